//! Headers, read across segments.
//!
//! Everything here takes a packet however it is cut and gives byte offsets into it. Lengths in headers are
//! hostile: each is compared with what is there before it is used.

mod ip;
mod link;
mod tcp;
mod transport;

pub(crate) use ip::{Fragment, Ip, NotIp, Version, ipv4_header_sum};
pub(crate) use link::Link;
pub(crate) use tcp::{Tcp, flag};
pub(crate) use transport::{Unchecked, Verdict, flow_hash, pseudo_header, verify};

/// IP protocol numbers that are looked into.
pub(crate) mod protocol {
    /// ICMP for IPv4.
    pub(crate) const ICMP: u8 = 1;
    /// TCP.
    pub(crate) const TCP: u8 = 6;
    /// UDP.
    pub(crate) const UDP: u8 = 17;
    /// ICMP for IPv6.
    pub(crate) const ICMPV6: u8 = 58;
}

/// Reads two bytes as a big-endian number; zero behind the end.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    match bytes.get(at..) {
        Some([high, low, ..]) => u16::from_be_bytes([*high, *low]),
        _ => 0,
    }
}

/// Reads four bytes as a big-endian number; zero behind the end.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) << 16 | u32::from(u16_at(bytes, at.saturating_add(2)))
}

/// Overwrites bytes at `at`; does nothing where they do not fit.
pub(crate) fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..).and_then(|tail| tail.get_mut(..value.len())) {
        place.copy_from_slice(value);
    }
}
