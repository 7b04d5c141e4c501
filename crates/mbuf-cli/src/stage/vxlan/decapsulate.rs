//! Out of the tunnel.

use std::collections::HashMap;

use mbuf::Packet;
use mbuf_io::{LinkType, MAX_FRAME};

use super::carrier::Carrier;
use super::{INTERFACE, OPAQUE, PORT, UDP_HEADER, VNI_VALID, VXLAN_HEADER};
use crate::stage::pieces::{Added, Pieces};
use crate::stage::{Desk, Interfaces, Mark, Stage};
use crate::wire::{self, Ip, Link, Unchecked, Verdict, protocol};

/// Opaque frames that may be incomplete at a time: as many as the largest window holds.
const MAX_FRAMES: usize = 32_768;

/// Takes frames out of VXLAN packets: this program's own and those of others.
#[derive(Default)]
pub(crate) struct Decapsulate {
    /// Opaque frames whose chunks are not all here, by VNI and frame number.
    frames: HashMap<(u32, u32), Pieces>,
}

impl Stage for Decapsulate {
    fn process(&mut self, mut packet: Packet, desk: &mut Desk<'_>) {
        let (outer, vni) = match open(&packet, desk.interfaces.link_of(&packet)) {
            Opened::Frame { outer, vni } => (outer, vni),
            Opened::Not(why) => return desk.pass_untouched(packet, why),
            Opened::Broken(why) => return desk.drop(packet, why),
        };
        packet.truncate(outer.end);
        if packet.trim_front(outer.start).is_err() {
            return desk.drop(packet, "malformed tunnel header");
        }
        if outer.unchecked {
            desk.note("tunnel", "without a checksum");
        }
        if vni & OPAQUE != 0 && self.is_chunk(&packet) {
            return self.chunk(packet, vni, desk);
        }
        match network(&packet, vni, LinkType::ETHERNET, desk.interfaces) {
            Some(interface) => {
                packet.meta_mut().interface = interface;
                desk.pass(packet);
            }
            None => desk.drop(packet, "too many networks"),
        }
    }

    fn finish(&mut self, desk: &mut Desk<'_>) {
        for (_, pieces) in self.frames.drain() {
            pieces.into_packets().for_each(|piece| desk.drop(piece, "pieces missing at the end"));
        }
    }
}

impl Decapsulate {
    fn is_chunk(&self, packet: &Packet) -> bool {
        packet.read_array(0).is_ok_and(|bytes| Carrier::from_bytes(&bytes).is_some())
    }

    /// Adds a chunk to its frame, and passes the frame on when it is complete.
    fn chunk(&mut self, mut packet: Packet, vni: u32, desk: &mut Desk<'_>) {
        let Some(carrier) = packet.read_array(0).ok().and_then(|bytes| Carrier::from_bytes(&bytes)) else {
            return desk.drop(packet, "malformed chunk");
        };
        let chunk = packet.len() - Carrier::LEN;
        let (Ok(offset), Ok(length)) = (usize::try_from(carrier.offset), usize::try_from(carrier.length))
        else {
            return desk.drop(packet, "malformed chunk");
        };
        if carrier.length > MAX_FRAME || offset.checked_add(chunk).is_none_or(|end| end > length) {
            return desk.drop(packet, "malformed chunk");
        }
        let Some(interface) = network(&packet, vni & !OPAQUE, carrier.link, desk.interfaces) else {
            return desk.drop(packet, "too many networks");
        };
        let mark = Mark::of(&packet);
        packet.meta_mut().interface = interface;
        Mark { missing: carrier.missing, ..mark }.put(&mut packet);
        let last = offset + chunk == length;
        if offset == 0 && last {
            return match packet.trim_front(Carrier::LEN) {
                Ok(()) => desk.pass(packet),
                Err(_) => desk.drop(packet, "malformed chunk"),
            };
        }
        let key = (vni, carrier.frame);
        if self.frames.len() >= MAX_FRAMES && !self.frames.contains_key(&key) {
            return desk.drop(packet, "too many incomplete frames");
        }
        let pieces = self.frames.entry(key).or_default();
        match pieces.add(offset, Carrier::LEN, packet, last) {
            Added::New => {}
            Added::Duplicate(packet) => return desk.drop(packet, "duplicate piece"),
            Added::Conflict(packet, why) => return desk.drop(packet, why),
        }
        if pieces.complete().is_none() {
            return;
        }
        let pieces = core::mem::take(pieces);
        self.frames.remove(&key);
        match pieces.join() {
            Ok(mut frame) => match frame.trim_front(Carrier::LEN) {
                Ok(()) => desk.pass(frame),
                Err(_) => desk.drop(frame, "malformed chunk"),
            },
            Err((mark, error)) => desk.lose(mark, &error),
        }
    }
}

/// What is around an inner frame.
struct Outer {
    /// Where the inner frame starts and ends.
    start: usize,
    end: usize,
    /// The sender computed no checksum.
    unchecked: bool,
}

enum Opened {
    Frame { outer: Outer, vni: u32 },
    Not(&'static str),
    Broken(&'static str),
}

/// Looks for a tunnel header and checks the datagram's checksum.
fn open(packet: &Packet, link: LinkType) -> Opened {
    const NOT: Opened = Opened::Not("not a tunnel packet");
    let Some(ip) = Link::parse(packet, link).and_then(|link| Ip::parse(packet, &link).ok()) else {
        return NOT;
    };
    if ip.protocol != protocol::UDP || ip.fragment.is_some_and(|fragment| fragment.offset > 0) {
        return NOT;
    }
    let Ok(udp) = packet.read_array::<UDP_HEADER>(ip.payload) else { return NOT };
    if wire::u16_at(&udp, 2) != PORT {
        return NOT;
    }
    let unchecked = match wire::verify(packet, &ip) {
        Verdict::Good => false,
        Verdict::Unchecked(Unchecked::None | Unchecked::Offloaded) => true,
        Verdict::Unchecked(Unchecked::Fragment) => return Opened::Not("a fragment of a tunnel packet"),
        Verdict::Unchecked(Unchecked::Cut) => return Opened::Not("a tunnel packet cut by the capture"),
        Verdict::Unchecked(_) => return Opened::Broken("malformed tunnel packet"),
        Verdict::Bad => return Opened::Broken("bad tunnel checksum"),
    };
    let end = ip.payload + usize::from(wire::u16_at(&udp, 4));
    let start = ip.payload + UDP_HEADER + VXLAN_HEADER;
    match packet.read_array::<VXLAN_HEADER>(ip.payload + UDP_HEADER) {
        Ok([flags, _, _, _, a, b, c, _]) if flags & VNI_VALID != 0 && start < end => {
            Opened::Frame { outer: Outer { start, end, unchecked }, vni: u32::from_be_bytes([0, a, b, c]) }
        }
        _ => Opened::Broken("malformed tunnel header"),
    }
}

/// The interface that a network identifier stands for.
fn network(packet: &Packet, vni: u32, link: LinkType, interfaces: &mut Interfaces) -> Option<u32> {
    let ours =
        interfaces.get(packet.meta().interface).is_some_and(|on| on.name.as_deref() == Some(INTERFACE));
    let counted = vni.checked_sub(1).filter(|&index| interfaces.get(index).is_some_and(|on| on.link == link));
    match counted {
        Some(index) if ours => Some(index),
        // Someone else's tunnel: each network gets an interface of its own.
        _ => interfaces.find_or_add(link, &format!("vni {vni}")),
    }
}
