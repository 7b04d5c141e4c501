//! Checksums above IP, over any segments.

use core::hash::Hasher;

use mbuf::Packet;
use mbuf::checksum::{self, Sum};

use super::{Ip, Version, protocol};

/// What a checksum said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is right.
    Good,
    /// It is wrong.
    Bad,
    /// It cannot be told.
    Unchecked(Unchecked),
}

/// Why a checksum was not checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unchecked {
    /// Only part of the datagram is here.
    Fragment,
    /// The capture cut the frame.
    Cut,
    /// The sender did not compute one.
    None,
    /// The sender left it to its network card, and the frame was captured before.
    Offloaded,
    /// A source route: the address it covers is not in the header.
    Routed,
    /// The lengths contradict each other.
    Malformed,
    /// Another protocol.
    Protocol,
}

impl Unchecked {
    /// Says it in words.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Fragment => "unchecked: a fragment",
            Self::Cut => "unchecked: cut by the capture",
            Self::None => "unchecked: sent without",
            Self::Offloaded => "unchecked: left to the network card",
            Self::Routed => "unchecked: source route",
            Self::Malformed => "unchecked: malformed",
            Self::Protocol => "unchecked: protocol",
        }
    }
}

/// Checks the checksum of TCP, UDP, ICMP or ICMPv6.
pub(crate) fn verify(packet: &Packet, ip: &Ip) -> Verdict {
    let (field, least) = match (ip.version, ip.protocol) {
        (_, protocol::TCP) => (16, 20),
        (_, protocol::UDP) => (6, 8),
        (Version::V4, protocol::ICMP) | (Version::V6, protocol::ICMPV6) => (2, 4),
        _ => return Verdict::Unchecked(Unchecked::Protocol),
    };
    if ip.fragment.is_some_and(|fragment| fragment.more || fragment.offset > 0) {
        return Verdict::Unchecked(Unchecked::Fragment);
    }
    if ip.cut {
        return Verdict::Unchecked(Unchecked::Cut);
    }
    if ip.routed {
        return Verdict::Unchecked(Unchecked::Routed);
    }
    let mut end = ip.end;
    if end.saturating_sub(ip.payload) < least {
        return Verdict::Unchecked(Unchecked::Malformed);
    }
    let Ok(found) = packet.read_array::<2>(ip.payload + field).map(u16::from_be_bytes) else {
        return Verdict::Unchecked(Unchecked::Malformed);
    };
    if ip.protocol == protocol::UDP {
        // UDP has a length of its own, which may leave a surplus.
        let len = packet.read_array::<2>(ip.payload + 4).map_or(0, u16::from_be_bytes);
        if usize::from(len) < least || ip.payload + usize::from(len) > end {
            return Verdict::Unchecked(Unchecked::Malformed);
        }
        end = ip.payload + usize::from(len);
        if found == 0 {
            return Verdict::Unchecked(Unchecked::None);
        }
    }
    let pseudo = match ip.protocol {
        protocol::ICMP => checksum::sum(&[]),
        other => pseudo_header(ip, other, end - ip.payload),
    };
    match packet.sum(ip.payload..end) {
        Ok(sum) if (pseudo + sum).finish() == 0 => Verdict::Good,
        // A card gets the sum of the pseudo-header, not complemented, and adds the rest.
        Ok(_) if ip.protocol != protocol::ICMP && found == !pseudo.finish() => {
            Verdict::Unchecked(Unchecked::Offloaded)
        }
        Ok(_) => Verdict::Bad,
        Err(_) => Verdict::Unchecked(Unchecked::Malformed),
    }
}

/// Sums the pseudo-header of a datagram with `len` bytes of payload.
pub(crate) fn pseudo_header(ip: &Ip, protocol: u8, len: usize) -> Sum {
    let mut rest = [0; 8];
    rest[..4].copy_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
    rest[7] = protocol;
    checksum::sum(ip.addresses()) + checksum::sum(&rest)
}

/// A number that is the same for all packets of a flow: addresses, protocol, ports.
pub(crate) fn flow_hash(packet: &Packet, ip: &Ip) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(ip.addresses());
    hasher.write_u8(ip.protocol);
    let first = ip.fragment.is_none();
    if let (true, protocol::TCP | protocol::UDP, Ok(ports)) =
        (first, ip.protocol, packet.read_array::<4>(ip.payload))
    {
        hasher.write(&ports);
    }
    hasher.finish()
}
