//! `segment`: TCP cut the way a network card does it (TSO). Payloads are shared, not copied.

use mbuf::{OpError, Packet, checksum};

use super::pieces::{Cut, cut};
use super::{Desk, Mark, Stage};
use crate::wire::{self, Ip, Link, Tcp, Unchecked, Verdict, Version, flag, pseudo_header, put, u16_at};

/// The size when neither the command line nor the packet says one (RFC 9293).
const DEFAULT_SIZE: usize = 536;

/// Cuts TCP segments with more payload than `size`.
pub(crate) struct Segment {
    size: Option<usize>,
    pieces: Vec<Packet>,
}

impl Segment {
    pub(crate) const fn new(size: Option<usize>) -> Self {
        Self { size, pieces: Vec::new() }
    }
}

impl Stage for Segment {
    fn process(&mut self, packet: Packet, desk: &mut Desk<'_>) {
        let size = match (self.size, packet.meta().tso_segment) {
            (Some(size), _) => size,
            (None, 0) => DEFAULT_SIZE,
            (None, size) => usize::from(size),
        };
        let link = desk.interfaces.link_of(&packet);
        let ip = Link::parse(&packet, link).and_then(|link| Ip::parse(&packet, &link).ok());
        let Some((ip, tcp)) = ip.and_then(|ip| Some((ip, Tcp::parse(&packet, &ip)?))) else {
            return desk.pass_untouched(packet, "not TCP");
        };
        if let Some(why) = stays_whole(&packet, &ip, &tcp, size) {
            return desk.pass_untouched(packet, why);
        }
        let mark = Mark::of(&packet);
        match segment(packet, &ip, &tcp, size, &mut self.pieces) {
            Ok(()) => {
                desk.note("TCP", "segmented");
                for mut piece in self.pieces.drain(..) {
                    piece.meta_mut().tso_segment = 0;
                    desk.pass(piece);
                }
            }
            Err(error) => desk.lose(mark, &error),
        }
    }
}

fn stays_whole(packet: &Packet, ip: &Ip, tcp: &Tcp, size: usize) -> Option<&'static str> {
    if tcp.len <= size {
        return Some("fits");
    }
    if tcp.flags & (flag::SYN | flag::RST | flag::URG) != 0 {
        return Some("SYN, RST or URG");
    }
    if ip.end < packet.len() {
        return Some("padding behind the datagram");
    }
    if ip.version == Version::V4 && wire::ipv4_header_sum(packet, ip).is_none_or(|sum| sum.finish() != 0) {
        return Some("bad IPv4 header");
    }
    match wire::verify(packet, ip) {
        Verdict::Good | Verdict::Unchecked(Unchecked::Offloaded) => None,
        _ => Some("bad TCP checksum"),
    }
}

fn segment(packet: Packet, ip: &Ip, tcp: &Tcp, size: usize, out: &mut Vec<Packet>) -> Result<(), OpError> {
    let mut header = vec![0; tcp.payload];
    packet.read_at(0, &mut header)?;
    cut(packet, tcp.payload, size, out, |payload, Cut { index, offset, len, last }, head| {
        head.extend_from_slice(&header);
        if ip.version == Version::V4 {
            let step = u16::try_from(index & 0xffff).unwrap_or(0);
            let id = u16_at(head, ip.start + 4).wrapping_add(step);
            put(head, ip.start + 4, &id.to_be_bytes());
        }
        let sequence = tcp.sequence.wrapping_add(u32::try_from(offset).unwrap_or(0));
        put(head, tcp.start + 4, &sequence.to_be_bytes());
        let mut flags = tcp.flags;
        if !last {
            flags &= !(flag::FIN | flag::PSH);
        }
        if index > 0 {
            flags &= !flag::CWR;
        }
        put(head, tcp.start + 13, &[flags]);
        finish(head, ip, tcp, payload, len);
    })
}

/// Writes lengths and checksums into the headers of a segment whose payload is `payload`.
fn finish(head: &mut [u8], ip: &Ip, tcp: &Tcp, payload: &Packet, len: usize) {
    finish_lengths(head, ip, len);
    put(head, tcp.start + 16, &[0; 2]);
    let header = head.get(tcp.start..).unwrap_or_default();
    let sum = pseudo_header(ip, wire::protocol::TCP, header.len() + len) + checksum::sum(header);
    let Ok(rest) = payload.sum(0..len) else { return };
    put(head, tcp.start + 16, &(sum + rest).finish().to_be_bytes());
}

/// Writes the length of the IP datagram that is all of `head` from `ip.start` on and `payload` bytes more, and the
/// checksum of an IPv4 header.
pub(super) fn finish_lengths(head: &mut [u8], ip: &Ip, payload: usize) {
    let len = head.len().saturating_sub(ip.start) + payload;
    match ip.version {
        Version::V4 => {
            put(head, ip.start + 2, &u16::try_from(len).unwrap_or(0).to_be_bytes());
            put(head, ip.start + 10, &[0; 2]);
            let sum = checksum::sum(head.get(ip.start..ip.payload).unwrap_or_default()).finish();
            put(head, ip.start + 10, &sum.to_be_bytes());
        }
        Version::V6 => {
            let len = len.saturating_sub(40);
            put(head, ip.start + 4, &u16::try_from(len).unwrap_or(0).to_be_bytes());
        }
    }
}
