//! `fragment`: IP datagrams cut to the MTU of a link. Payloads are shared, not copied.

use mbuf::{OpError, Packet, checksum};

use super::pieces::{Cut, cut};
use super::{Desk, Mark, Stage};
use crate::wire::{self, Ip, Link, Version, put, u16_at};

/// Bytes of an IPv6 fragment header, and its number.
const FRAGMENT_HEADER: usize = 8;
const FRAGMENT: u8 = 44;
const FIXED_V4: usize = 20;
const FIXED_V6: usize = 40;
/// The IPv4 flags that stay as they are: reserved and "don't fragment".
const KEPT_FLAGS: u16 = 0xc000;
const MORE: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;

/// Fragments IPv4 and IPv6 datagrams that are longer than the MTU.
pub(crate) struct FragmentStage {
    mtu: usize,
    force: bool,
    /// The identification of the next IPv6 datagram.
    next_id: u32,
    pieces: Vec<Packet>,
}

impl FragmentStage {
    pub(crate) const fn new(mtu: usize, force: bool) -> Self {
        Self { mtu, force, next_id: 1, pieces: Vec::new() }
    }

    /// Says why a datagram stays whole.
    fn stays_whole(&self, packet: &Packet, ip: &Ip) -> Option<&'static str> {
        if ip.cut || Mark::of(packet).missing > 0 {
            return Some("cut by the capture");
        }
        if ip.end - ip.start <= self.mtu {
            return Some("fits");
        }
        if ip.end < packet.len() {
            return Some("padding behind the datagram");
        }
        match ip.version {
            Version::V4 if ip.dont_fragment && !self.force => Some("don't fragment"),
            Version::V4 if wire::ipv4_header_sum(packet, ip).is_none_or(|sum| sum.finish() != 0) => {
                Some("bad IPv4 header")
            }
            Version::V6 if ip.fragment.is_some() => Some("fragmented by its sender"),
            _ => None,
        }
    }

    fn v4(&mut self, packet: Packet, ip: &Ip) -> Result<(), OpError> {
        let mut header = vec![0; ip.payload];
        packet.read_at(0, &mut header)?;
        let later = later_header(&header, ip.start);
        let size = (self.mtu - (ip.payload - ip.start)) & !7;
        let field = u16_at(&header, ip.start + 6);
        cut(packet, ip.payload, size, &mut self.pieces, |_, piece, head| {
            head.extend_from_slice(if piece.index == 0 { &header } else { &later });
            let more = if piece.last { field & MORE } else { MORE };
            let offset = (field & OFFSET) + units(piece.offset);
            put(head, ip.start + 6, &(field & KEPT_FLAGS | more | offset & OFFSET).to_be_bytes());
            finish_v4(head, ip.start, piece.len);
        })
    }

    fn v6(&mut self, packet: Packet, ip: &Ip) -> Result<(), OpError> {
        let mut header = vec![0; ip.repeated];
        packet.read_at(0, &mut header)?;
        let next = header.get(ip.repeated_next).copied().unwrap_or_default();
        put(&mut header, ip.repeated_next, &[FRAGMENT]);
        let id = self.next_id.to_be_bytes();
        self.next_id = self.next_id.wrapping_add(1);
        let size = (self.mtu - (ip.repeated - ip.start) - FRAGMENT_HEADER) & !7;
        cut(packet, ip.repeated, size, &mut self.pieces, |_, Cut { offset, len, last, .. }, head| {
            head.extend_from_slice(&header);
            let [high, low] = (units(offset) << 3 | u16::from(!last)).to_be_bytes();
            head.extend_from_slice(&[next, 0, high, low]);
            head.extend_from_slice(&id);
            let total = head.len() - ip.start - FIXED_V6 + len;
            put(head, ip.start + 4, &u16::try_from(total).unwrap_or(0).to_be_bytes());
        })
    }
}

impl Stage for FragmentStage {
    fn process(&mut self, packet: Packet, desk: &mut Desk<'_>) {
        let link = desk.interfaces.link_of(&packet);
        let Some(ip) = Link::parse(&packet, link).and_then(|link| Ip::parse(&packet, &link).ok()) else {
            return desk.pass_untouched(packet, "not IP");
        };
        if let Some(why) = self.stays_whole(&packet, &ip) {
            return desk.pass_untouched(packet, why);
        }
        let header = match ip.version {
            Version::V4 => ip.payload - ip.start,
            Version::V6 => ip.repeated - ip.start + FRAGMENT_HEADER,
        };
        if header + 8 > self.mtu {
            return desk.pass_untouched(packet, "headers longer than the MTU");
        }
        let mark = Mark::of(&packet);
        let result = match ip.version {
            Version::V4 => self.v4(packet, &ip),
            Version::V6 => self.v6(packet, &ip),
        };
        match result {
            Ok(()) => {
                desk.note("datagrams", "fragmented");
                self.pieces.drain(..).for_each(|piece| desk.pass(piece));
            }
            Err(error) => desk.lose(mark, &error),
        }
    }
}

/// An offset in units of eight bytes.
fn units(offset: usize) -> u16 {
    u16::try_from(offset / 8).unwrap_or(u16::MAX)
}

/// Writes total length and checksum of the IPv4 header that ends `head` and starts at `start`.
fn finish_v4(head: &mut [u8], start: usize, payload: usize) {
    let total = head.len() - start + payload;
    put(head, start + 2, &u16::try_from(total).unwrap_or(u16::MAX).to_be_bytes());
    put(head, start + 10, &[0; 2]);
    let sum = checksum::sum(head.get(start..).unwrap_or_default()).finish();
    put(head, start + 10, &sum.to_be_bytes());
}

/// The header of fragments behind the first: only options that ask to be copied (RFC 791, "copied flag").
fn later_header(header: &[u8], start: usize) -> Vec<u8> {
    let options_at = (start + FIXED_V4).min(header.len());
    let (fixed, mut options) = header.split_at(options_at);
    let mut later = fixed.to_vec();
    while let [kind, rest @ ..] = options {
        let len = match (kind, rest) {
            (0, _) => break,
            (1, _) => 1,
            (_, [len, ..]) if (2..=options.len()).contains(&usize::from(*len)) => usize::from(*len),
            _ => break,
        };
        let (option, others) = options.split_at(len);
        if kind & 0x80 != 0 {
            later.extend_from_slice(option);
        }
        options = others;
    }
    later.resize(options_at + (later.len() - options_at).next_multiple_of(4), 0);
    let words = u8::try_from((later.len() - start) / 4).unwrap_or(15);
    put(&mut later, start, &[0x40 | words & 0x0f]);
    later
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_copied_options_are_repeated() {
        let mut header = vec![0xee; 14];
        header.extend([0x4a, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        header.extend([7, 7, 4, 0, 0, 0, 0, 1, 0x94, 4, 0, 0, 0x83, 3, 4, 0, 0, 0, 0, 0]);
        let later = later_header(&header, 14);
        assert_eq!(later[34..], [0x94, 4, 0, 0, 0x83, 3, 4, 0]);
        assert_eq!(later[14], 0x47);
    }

    #[test]
    fn broken_options_end_the_copy() {
        for options in [[0x94, 0, 0, 0], [0x94, 9, 0, 0], [1, 1, 1, 0x94]] {
            let mut header = vec![0x46; 20];
            header.extend(options);
            assert_eq!(later_header(&header, 0).len(), 20);
        }
    }
}
