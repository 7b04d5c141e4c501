//! `coalesce`: neighbouring TCP segments of a flow joined the way a receiving stack does it (GRO).
//!
//! A segment joins the one in front of it when it is the very next of its flow in this window, all headers agree
//! but for length, identification, sequence number and checksums, and both checksums are right. Runs end at a
//! segment shorter than the first, at PSH and FIN, and at 65535 bytes.

use std::collections::HashMap;

use mbuf::{OpError, Packet, checksum};

use super::segment::finish_lengths;
use super::{Desk, Mark, Stage};
use crate::wire::{self, Ip, Link, Tcp, Verdict, Version, flag, pseudo_header, put};

const MAX_DATAGRAM: usize = 65_535;

/// Joins TCP segments.
pub(crate) struct Coalesce {
    /// Join only what was cut from one frame.
    own: bool,
    /// The packets of this window, in order; runs grow in place.
    window: Vec<Run>,
    /// The run that each flow may still join.
    open: HashMap<Flow, usize>,
    scratch: Vec<u8>,
}

/// Interface, tags, addresses and ports.
#[derive(PartialEq, Eq, Hash)]
struct Flow {
    interface: u32,
    addresses: [u8; 32],
    ports: [u8; 4],
}

/// A packet of the window, and what may join it.
struct Run {
    packet: Packet,
    growing: Option<Growing>,
}

/// A run of segments.
struct Growing {
    ip: Ip,
    tcp: Tcp,
    /// The headers, with all that may differ set to zero.
    headers: Vec<u8>,
    /// Payload bytes so far, and segments.
    len: usize,
    segments: u16,
    /// The IPv4 identification of the first segment.
    first_id: u16,
    /// FIN and PSH of the last segment.
    flags: u8,
}

impl Coalesce {
    pub(crate) fn new(own: bool) -> Self {
        Self { own, window: Vec::new(), open: HashMap::new(), scratch: Vec::new() }
    }

    /// Tries to add a segment to the run its flow has open.
    fn join(&mut self, mut packet: Packet, ip: Ip, tcp: Tcp, flow: Flow, desk: &mut Desk<'_>) {
        if self.read_headers(&packet, &ip, &tcp).is_err() {
            return self.window.push(Run { packet, growing: None });
        }
        let id = if ip.version == Version::V4 {
            packet.read_array(ip.start + 4).unwrap_or_default()
        } else {
            [0; 2]
        };
        let id = u16::from_be_bytes(id);
        let mark = Mark::of(&packet);
        let run = self.open.get(&flow).and_then(|&index| self.window.get_mut(index));
        if let Some(Run { packet: first, growing: Some(growing) }) = run
            && growing.accepts(&ip, &tcp, id, &self.scratch)
            && (!self.own || Mark::of(first).frame == mark.frame)
        {
            let joined = packet.trim_front(tcp.payload).map_err(OpError::from);
            match joined.and_then(|()| first.append(packet).map_err(mbuf::OpError::from)) {
                Ok(()) => {
                    growing.len += tcp.len;
                    growing.segments += 1;
                    growing.flags = tcp.flags & (flag::FIN | flag::PSH);
                    if growing.flags != 0 || tcp.len < growing.tcp.len {
                        self.open.remove(&flow);
                    }
                }
                Err(error) => desk.lose(mark, &error),
            }
            return;
        }
        if tcp.flags & (flag::FIN | flag::PSH) == 0 {
            self.open.insert(flow, self.window.len());
        } else {
            self.open.remove(&flow);
        }
        let headers = self.scratch.clone();
        let growing = Growing { ip, tcp, headers, len: tcp.len, segments: 1, first_id: id, flags: 0 };
        self.window.push(Run { packet, growing: Some(growing) });
    }

    /// Copies the headers of a segment, with all that may differ set to zero.
    fn read_headers(&mut self, packet: &Packet, ip: &Ip, tcp: &Tcp) -> Result<(), OpError> {
        self.scratch.resize(tcp.payload, 0);
        packet.read_at(0, &mut self.scratch)?;
        match ip.version {
            Version::V4 => {
                put(&mut self.scratch, ip.start + 2, &[0; 4]); // length, identification
                put(&mut self.scratch, ip.start + 10, &[0; 2]);
            }
            Version::V6 => put(&mut self.scratch, ip.start + 4, &[0; 2]),
        }
        put(&mut self.scratch, tcp.start + 4, &[0; 4]); // sequence number
        put(&mut self.scratch, tcp.start + 13, &[tcp.flags & !(flag::FIN | flag::PSH | flag::CWR)]);
        put(&mut self.scratch, tcp.start + 16, &[0; 2]);
        Ok(())
    }
}

impl Growing {
    /// Whether a segment is the next of this run.
    fn accepts(&self, ip: &Ip, tcp: &Tcp, id: u16, headers: &[u8]) -> bool {
        let next = self.tcp.sequence.wrapping_add(u32::try_from(self.len).unwrap_or(0));
        let counted = id == self.first_id.wrapping_add(self.segments);
        let constant = ip.dont_fragment && id == self.first_id && id == 0;
        tcp.sequence == next
            && tcp.len <= self.tcp.len
            && tcp.flags & flag::CWR == 0
            && (ip.version == Version::V6 || counted || constant)
            && self.tcp.payload - self.ip.start + self.len + tcp.len <= MAX_DATAGRAM
            && self.headers == headers
    }
}

impl Stage for Coalesce {
    fn process(&mut self, packet: Packet, desk: &mut Desk<'_>) {
        let link_type = desk.interfaces.link_of(&packet);
        let ip = Link::parse(&packet, link_type).and_then(|link| Ip::parse(&packet, &link).ok());
        let tcp = ip.and_then(|ip| Some((ip, Tcp::parse(&packet, &ip)?)));
        let Some((ip, tcp)) = tcp else {
            return self.window.push(Run { packet, growing: None });
        };
        let ports = packet.read_array(tcp.start).unwrap_or_default();
        let flow = Flow { interface: packet.meta().interface, addresses: ip.address_key(), ports };
        if !joinable(&packet, &ip, &tcp) {
            self.open.remove(&flow);
            return self.window.push(Run { packet, growing: None });
        }
        self.join(packet, ip, tcp, flow, desk);
    }

    fn end_of_window(&mut self, desk: &mut Desk<'_>) {
        self.open.clear();
        for Run { mut packet, growing } in core::mem::take(&mut self.window) {
            match growing.filter(|growing| growing.segments > 1) {
                None => desk.pass(packet),
                Some(growing) => match growing.close(&mut packet) {
                    Ok(()) => {
                        desk.note("TCP", "coalesced");
                        desk.pass(packet);
                    }
                    Err(error) => desk.drop(packet, &error),
                },
            }
        }
    }
}

impl Growing {
    /// Makes the first segment's headers those of the run.
    fn close(&self, packet: &mut Packet) -> Result<(), OpError> {
        let mut head = vec![0; self.tcp.payload];
        packet.read_at(0, &mut head)?;
        finish_lengths(&mut head, &self.ip, self.len);
        put(&mut head, self.tcp.start + 13, &[self.tcp.flags | self.flags]);
        put(&mut head, self.tcp.start + 16, &[0; 2]);
        let header = head.get(self.tcp.start..).unwrap_or_default();
        let sum = pseudo_header(&self.ip, wire::protocol::TCP, header.len() + self.len)
            + checksum::sum(header)
            + packet.sum(self.tcp.payload..packet.len())?;
        put(&mut head, self.tcp.start + 16, &sum.finish().to_be_bytes());
        packet.write_at(0, &head)?;
        packet.meta_mut().tso_segment = u16::try_from(self.tcp.len).unwrap_or(0);
        Ok(())
    }
}

/// Whether a segment may be part of a run at all.
fn joinable(packet: &Packet, ip: &Ip, tcp: &Tcp) -> bool {
    tcp.len > 0
        && packet.len() == ip.end
        && tcp.flags & flag::ACK != 0
        && tcp.flags & (flag::SYN | flag::RST | flag::URG) == 0
        && Mark::of(packet).missing == 0
        && (ip.version == Version::V6
            || wire::ipv4_header_sum(packet, ip).is_some_and(|sum| sum.finish() == 0))
        && wire::verify(packet, ip) == Verdict::Good
}
