//! `reassemble`: fragments back into datagrams, in whatever order they come.
//!
//! Overlapping fragments refuse the whole datagram, also what of it comes later (RFC 5722, RFC 8200; for IPv4 as
//! well). Exact duplicates are dropped alone. What is incomplete for 30 seconds of capture time is given up.

use std::collections::{HashMap, VecDeque};

use mbuf::{OpError, Packet, checksum};

use super::pieces::{Added, Pieces};
use super::{Desk, Mark, Stage};
use crate::wire::{self, Fragment, Ip, Link, Version, put};

/// Datagrams that may be incomplete at a time: as many as the largest window holds.
const MAX_DATAGRAMS: usize = 32_768;
/// How long a datagram may be incomplete, in nanoseconds.
const PATIENCE: u64 = 30_000_000_000;
const MAX_DATAGRAM: usize = 65_535;
const FIXED_V6: usize = 40;
const FRAGMENT_HEADER: usize = 8;

/// Reassembles IPv4 and IPv6 datagrams.
#[derive(Default)]
pub(crate) struct Reassemble {
    datagrams: HashMap<Key, Datagram>,
    /// The datagrams in the order of their first fragments, and some that are complete by now.
    order: VecDeque<(u64, Key)>,
    arrivals: u64,
    /// The latest capture time seen.
    now: u64,
    /// Up to this time, nothing has waited too long.
    patient_until: u64,
}

/// What the fragments of one datagram have in common.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    interface: u32,
    vlan: u32,
    version: Version,
    addresses: [u8; 32],
    protocol: u8,
    id: u32,
}

struct Datagram {
    pieces: Pieces,
    /// The IP header of the first fragment, once that is here.
    first: Option<Ip>,
    /// A contradiction was found: nothing of this datagram is accepted.
    refused: bool,
    /// When its first fragment arrived: capture time, and order.
    since: u64,
    arrival: u64,
}

impl Stage for Reassemble {
    fn process(&mut self, mut packet: Packet, desk: &mut Desk<'_>) {
        self.tell_time(packet.meta().timestamp);
        let link_type = desk.interfaces.link_of(&packet);
        let Some(link) = Link::parse(&packet, link_type) else {
            return desk.pass_untouched(packet, "not a fragment");
        };
        let Ok(ip) = Ip::parse(&packet, &link) else {
            return desk.pass_untouched(packet, "not a fragment");
        };
        let Some(fragment) = ip.fragment else {
            return desk.pass_untouched(packet, "not a fragment");
        };
        if ip.cut || Mark::of(&packet).missing > 0 {
            return desk.pass_untouched(packet, "cut by the capture");
        }
        if let Some(why) = refuse(&packet, &ip, fragment) {
            return desk.drop(packet, why);
        }
        if packet.len() > ip.end {
            desk.note("fragments", "padding removed");
            packet.truncate(ip.end);
        }
        if fragment.offset == 0 && !fragment.more {
            // An atomic fragment has no siblings, whatever its identification says (RFC 6946).
            let mut pieces = Pieces::default();
            pieces.add(0, ip.fragment_payload(), packet, true);
            let len = ip.end - ip.fragment_payload();
            return complete(pieces, &ip, len, desk);
        }
        let key = Key {
            interface: packet.meta().interface,
            vlan: link.vlan,
            version: ip.version,
            addresses: ip.address_key(),
            protocol: if ip.version == Version::V4 { ip.protocol } else { 0 },
            id: fragment.id,
        };
        self.expire(desk);
        self.add(key, packet, ip, fragment, desk);
    }

    fn end_of_window(&mut self, desk: &mut Desk<'_>) {
        self.expire(desk);
        if self.order.len() > 2 * self.datagrams.len() + 64 {
            let datagrams = &self.datagrams;
            self.order.retain(|entry| is_current(datagrams, entry));
        }
    }

    fn finish(&mut self, desk: &mut Desk<'_>) {
        (self.now, self.patient_until) = (0, 0);
        while let Some(key) = self.oldest() {
            self.give_up(&key, "pieces missing at the end", desk);
        }
    }
}

impl Reassemble {
    fn add(&mut self, key: Key, packet: Packet, ip: Ip, fragment: Fragment, desk: &mut Desk<'_>) {
        if self.datagrams.len() >= MAX_DATAGRAMS
            && !self.datagrams.contains_key(&key)
            && let Some(oldest) = self.oldest()
        {
            self.give_up(&oldest, "too many incomplete datagrams", desk);
        }
        let datagram = self.datagrams.entry(key).or_insert_with(|| {
            self.arrivals += 1;
            self.order.push_back((self.arrivals, key));
            Datagram {
                pieces: Pieces::default(),
                first: None,
                refused: false,
                since: self.now,
                arrival: self.arrivals,
            }
        });
        if datagram.refused {
            return desk.drop(packet, "overlapping pieces");
        }
        match datagram.pieces.add(fragment.offset, ip.fragment_payload(), packet, !fragment.more) {
            Added::New => {}
            Added::Duplicate(packet) => return desk.drop(packet, "duplicate piece"),
            Added::Conflict(packet, why) => {
                desk.drop(packet, why);
                datagram.refused = true;
                let pieces = core::mem::take(&mut datagram.pieces);
                return pieces.into_packets().for_each(|piece| desk.drop(piece, why));
            }
        }
        if fragment.offset == 0 {
            datagram.first = Some(ip);
        }
        if let (Some(len), Some(first)) = (datagram.pieces.complete(), datagram.first) {
            let pieces = core::mem::take(&mut datagram.pieces);
            self.datagrams.remove(&key);
            complete(pieces, &first, len, desk);
        }
    }

    /// Moves the clock forward. What came before any time was known waits from the first time that is.
    fn tell_time(&mut self, time: u64) {
        if self.now == 0 && time > 0 {
            self.datagrams.values_mut().for_each(|datagram| datagram.since = time);
        }
        self.now = self.now.max(time);
    }

    /// Gives up what waited too long.
    fn expire(&mut self, desk: &mut Desk<'_>) {
        if self.now <= self.patient_until {
            return;
        }
        while let Some(key) = self.oldest() {
            let Some(datagram) = self.datagrams.get(&key) else { break };
            if self.now.saturating_sub(datagram.since) <= PATIENCE {
                // The others came later.
                self.patient_until = datagram.since.saturating_add(PATIENCE);
                break;
            }
            self.give_up(&key, "incomplete for 30 seconds", desk);
        }
    }

    /// The datagram that waits longest.
    fn oldest(&mut self) -> Option<Key> {
        while let Some(entry) = self.order.front() {
            if is_current(&self.datagrams, entry) {
                return Some(entry.1);
            }
            self.order.pop_front();
        }
        None
    }

    /// Drops a datagram that will not become complete.
    fn give_up(&mut self, key: &Key, why: &'static str, desk: &mut Desk<'_>) {
        let Some(datagram) = self.datagrams.remove(key) else { return };
        if !datagram.refused {
            desk.note("datagrams", "given up");
        }
        datagram.pieces.into_packets().for_each(|piece| desk.drop(piece, why));
    }
}

/// Whether an entry of the order stands for a datagram that is still incomplete.
fn is_current(datagrams: &HashMap<Key, Datagram>, (arrival, key): &(u64, Key)) -> bool {
    datagrams.get(key).is_some_and(|datagram| datagram.arrival == *arrival)
}

/// Says why a fragment cannot be part of any datagram.
fn refuse(packet: &Packet, ip: &Ip, fragment: Fragment) -> Option<&'static str> {
    let len = ip.end - ip.fragment_payload();
    if ip.version == Version::V4 && wire::ipv4_header_sum(packet, ip).is_none_or(|sum| sum.finish() != 0) {
        return Some("bad IPv4 header");
    }
    if len == 0 {
        return Some("empty piece");
    }
    if fragment.more && !len.is_multiple_of(8) {
        return Some("length not a multiple of 8");
    }
    (fragment.offset + len > MAX_DATAGRAM).then_some("piece behind the end")
}

/// Joins the pieces and makes the first one's header that of the datagram.
fn complete(pieces: Pieces, first: &Ip, len: usize, desk: &mut Desk<'_>) {
    let mut packet = match pieces.join() {
        Ok(packet) => packet,
        Err((mark, error)) => return desk.lose(mark, &error),
    };
    let restored = match first.version {
        Version::V4 => restore_v4(&mut packet, first, len),
        Version::V6 => restore_v6(&mut packet, first, len),
    };
    match restored {
        Ok(true) => {
            desk.note("datagrams", "reassembled");
            desk.pass(packet);
        }
        Ok(false) => desk.drop(packet, "datagram longer than 65535 bytes"),
        Err(error) => desk.drop(packet, &error),
    }
}

fn restore_v4(packet: &mut Packet, first: &Ip, len: usize) -> Result<bool, OpError> {
    let mut scratch = [0; 60];
    let header_len = first.payload - first.start;
    let Ok(total) = u16::try_from(header_len + len) else { return Ok(false) };
    let header = &mut scratch[..header_len.min(60)];
    packet.read_at(first.start, header)?;
    put(header, 2, &total.to_be_bytes());
    let flags = header[6] & 0xc0; // reserved and "don't fragment" stay
    put(header, 6, &[flags, 0]);
    put(header, 10, &[0; 2]);
    let sum = checksum::sum(header).finish();
    put(header, 10, &sum.to_be_bytes());
    packet.write_at(first.start, header)?;
    Ok(true)
}

/// Takes the fragment header out and names what followed it where the fragment header was named.
fn restore_v6(packet: &mut Packet, first: &Ip, len: usize) -> Result<bool, OpError> {
    let at = first.repeated;
    let Ok(total) = u16::try_from(at - first.start - FIXED_V6 + len) else { return Ok(false) };
    let next: [u8; 1] = packet.read_array(at)?;
    let mut header = vec![0; at];
    packet.read_at(0, &mut header)?;
    put(&mut header, first.repeated_next, &next);
    put(&mut header, first.start + 4, &total.to_be_bytes());
    packet.trim_front(at + FRAGMENT_HEADER)?;
    packet.prepend_slice(&header)?;
    Ok(true)
}
