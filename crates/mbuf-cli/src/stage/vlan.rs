//! `vlan` and `vlan-pop`: tags in and out of the link header.

use mbuf::Packet;
use mbuf_io::LinkType;

use super::desk::Mark;
use super::{Desk, Stage};
use crate::wire::Link;

const ADDRESSES: usize = 12;
const TAG: usize = 4;
const CUSTOMER: u16 = 0x8100;
const SERVICE: u16 = 0x88a8;

/// Pushes a tag: 802.1Q, or 802.1ad in front of another.
pub(crate) struct Push {
    id: u16,
}

impl Push {
    pub(crate) const fn new(id: u16) -> Self {
        Self { id }
    }
}

impl Stage for Push {
    fn process(&mut self, mut packet: Packet, desk: &mut Desk<'_>) {
        if desk.interfaces.link_of(&packet) != LinkType::ETHERNET {
            return desk.pass_untouched(packet, "not Ethernet");
        }
        let Some(link) = Link::parse(&packet, LinkType::ETHERNET) else {
            return desk.pass_untouched(packet, "shorter than a header");
        };
        let kind = if link.tags > 0 { SERVICE } else { CUSTOMER };
        match push(&mut packet, kind, self.id) {
            Ok(()) => desk.pass(packet),
            Err(error) => desk.drop(packet, &error),
        }
    }

    fn headroom(&self) -> usize {
        TAG
    }
}

/// Moves the addresses four bytes forward and writes the tag between them and the type.
fn push(packet: &mut Packet, kind: u16, id: u16) -> Result<(), mbuf::OpError> {
    let addresses: [u8; ADDRESSES] = packet.read_array(0)?;
    let mut header = [0; ADDRESSES + TAG];
    header[..ADDRESSES].copy_from_slice(&addresses);
    header[ADDRESSES..ADDRESSES + 2].copy_from_slice(&kind.to_be_bytes());
    header[ADDRESSES + 2..].copy_from_slice(&id.to_be_bytes());
    packet.trim_front(ADDRESSES)?;
    packet.prepend_slice(&header)
}

/// Pops the outermost tag.
pub(crate) struct Pop;

impl Stage for Pop {
    fn process(&mut self, mut packet: Packet, desk: &mut Desk<'_>) {
        if desk.interfaces.link_of(&packet) != LinkType::ETHERNET {
            return desk.pass_untouched(packet, "not Ethernet");
        }
        if Link::parse(&packet, LinkType::ETHERNET).is_none_or(|link| link.tags == 0) {
            return desk.pass_untouched(packet, "no tag");
        }
        let mark = Mark::of(&packet);
        match pop(&mut packet) {
            Ok(()) => desk.pass(packet),
            Err(error) => desk.lose(mark, &error),
        }
    }
}

fn pop(packet: &mut Packet) -> Result<(), mbuf::OpError> {
    let addresses: [u8; ADDRESSES] = packet.read_array(0)?;
    packet.trim_front(ADDRESSES + TAG)?;
    packet.prepend_slice(&addresses)
}
