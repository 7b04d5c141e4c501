//! Ethernet, IP and UDP headers, in whatever holds the frame. Lengths in headers are compared with what is there
//! before they are used.
//!
//! What every frame goes through is inlined for all buffers alike: otherwise it is the compiler's choice for whom, and
//! that makes up to ten nanoseconds per frame.

use std::hash::{DefaultHasher, Hasher};

use mbuf::checksum::{self, Sum};

use crate::frame::Frame;

pub const ETHERNET: usize = 14;
pub const IPV4: usize = 20;
pub const UDP: usize = 8;
pub const VXLAN: usize = 8;
pub const VXLAN_PORT: u16 = 4789;

const TCP_PROTOCOL: u8 = 6;
const UDP_PROTOCOL: u8 = 17;
const MORE: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;
const MAX_TAGS: usize = 8;
const MAX_EXTENSIONS: usize = 32;

pub fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

pub fn put_u16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// An Ethernet header.
pub struct Link {
    /// Its bytes, tags included.
    pub len: usize,
    pub ethertype: u16,
    pub tags: usize,
}

impl Link {
    #[inline(always)]
    pub fn parse(frame: &impl Frame) -> Option<Self> {
        let (mut len, mut tags) = (ETHERNET, 0);
        let mut ethertype = u16::from_be_bytes(frame.read(12)?);
        while matches!(ethertype, 0x8100 | 0x88a8 | 0x9100) && tags < MAX_TAGS {
            ethertype = u16::from_be_bytes(frame.read(len + 2)?);
            len += 4;
            tags += 1;
        }
        Some(Self { len, ethertype, tags })
    }
}

/// An IP header: offsets are from the frame's first byte.
pub struct Ip {
    pub v4: bool,
    pub start: usize,
    /// Where the payload starts, behind options or extension headers.
    pub payload: usize,
    /// Where the datagram ends.
    pub end: usize,
    pub protocol: u8,
    pub dont_fragment: bool,
    pub fragment: Option<Fragment>,
    addresses: [u8; 32],
}

#[derive(Clone, Copy)]
pub struct Fragment {
    pub offset: usize,
    pub more: bool,
    pub id: u32,
}

impl Ip {
    /// `None` if it is not IP, or not all there.
    #[inline(always)]
    pub fn parse(frame: &impl Frame, link: &Link) -> Option<Self> {
        let ip = match link.ethertype {
            0x0800 => Self::v4(frame, link.len)?,
            0x86dd => Self::v6(frame, link.len)?,
            _ => return None,
        };
        (ip.payload <= ip.end && ip.end <= frame.length()).then_some(ip)
    }

    /// Source and destination, one behind the other.
    pub fn addresses(&self) -> &[u8] {
        &self.addresses[..if self.v4 { 8 } else { 32 }]
    }

    #[inline(always)]
    fn v4(frame: &impl Frame, start: usize) -> Option<Self> {
        let mut scratch = [0; IPV4];
        let header = frame.view(start, &mut scratch)?;
        let header_len = usize::from(header[0] & 0x0f) * 4;
        if header[0] >> 4 != 4 || header_len < IPV4 {
            return None;
        }
        let mut addresses = [0; 32];
        addresses[..8].copy_from_slice(&header[12..]);
        let field = u16_at(header, 6);
        let fragment = Fragment {
            offset: usize::from(field & OFFSET) * 8,
            more: field & MORE != 0,
            id: u16_at(header, 4).into(),
        };
        Some(Self {
            v4: true,
            start,
            payload: start + header_len,
            end: start + usize::from(u16_at(header, 2)),
            protocol: header[9],
            dont_fragment: field & 0x4000 != 0,
            fragment: (fragment.more || fragment.offset > 0).then_some(fragment),
            addresses,
        })
    }

    fn v6(frame: &impl Frame, start: usize) -> Option<Self> {
        let mut scratch = [0; 40];
        let header = frame.view(start, &mut scratch)?;
        if header[0] >> 4 != 6 {
            return None;
        }
        let mut addresses = [0; 32];
        addresses.copy_from_slice(&header[8..]);
        let mut ip = Self {
            v4: false,
            start,
            payload: start + 40,
            end: start + 40 + usize::from(u16_at(header, 4)),
            protocol: header[6],
            dont_fragment: false,
            fragment: None,
            addresses,
        };
        for _ in 0..MAX_EXTENSIONS {
            if !matches!(ip.protocol, 0 | 43 | 44 | 51 | 60) {
                return Some(ip);
            }
            let fields: [u8; 8] = frame.read(ip.payload)?;
            let len = match ip.protocol {
                44 => {
                    let offset = u16_at(&fields, 2);
                    let id = u32::from(u16_at(&fields, 4)) << 16 | u32::from(u16_at(&fields, 6));
                    let more = offset & 1 != 0;
                    ip.fragment = Some(Fragment { offset: usize::from(offset & 0xfff8), more, id });
                    8
                }
                51 => (usize::from(fields[1]) + 2) * 4,
                _ => (usize::from(fields[1]) + 1) * 8,
            };
            ip.protocol = fields[0];
            ip.payload += len;
            if ip.fragment.is_some_and(|fragment| fragment.offset > 0) {
                return Some(ip);
            }
        }
        None
    }
}

/// What the checksums of a frame said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Good,
    Bad,
    /// A fragment, sent without, or of a protocol that has none.
    Unchecked,
    NotIp,
}

/// Checks the checksums of IPv4, TCP, UDP, ICMP and ICMPv6.
pub fn verify(frame: &impl Frame) -> Verdict {
    match Link::parse(frame).and_then(|link| Ip::parse(frame, &link)) {
        Some(ip) if ip.v4 && header_sum(frame, &ip).is_none_or(|sum| !sum.is_valid()) => Verdict::Bad,
        Some(ip) => verify_payload(frame, &ip).unwrap_or(Verdict::Bad),
        None => Verdict::NotIp,
    }
}

/// The sum of an IPv4 header.
#[inline(always)]
pub fn header_sum(frame: &impl Frame, ip: &Ip) -> Option<Sum> {
    frame.sum_of(ip.start..ip.payload)
}

/// Checks the checksum of what IP carries; `None` where lengths contradict each other.
#[inline(always)]
pub fn verify_payload(frame: &impl Frame, ip: &Ip) -> Option<Verdict> {
    let pseudo = !(ip.v4 && ip.protocol == 1);
    if ip.fragment.is_some_and(|it| it.more || it.offset > 0) {
        return Some(Verdict::Unchecked);
    }
    let mut end = ip.end;
    match (ip.v4, ip.protocol) {
        (_, TCP_PROTOCOL) | (true, 1) | (false, 58) => {}
        (_, UDP_PROTOCOL) => {
            let mut scratch = [0; UDP];
            let header = frame.view(ip.payload, &mut scratch)?;
            end = ip.payload + usize::from(u16_at(header, 4));
            if u16_at(header, 6) == 0 {
                return Some(Verdict::Unchecked);
            }
        }
        _ => return Some(Verdict::Unchecked),
    }
    if end > ip.end {
        return None;
    }
    let mut sum = frame.sum_of(ip.payload..end)?;
    if pseudo {
        sum += pseudo_header(ip.addresses(), ip.protocol, end - ip.payload);
    }
    Some(if sum.is_valid() { Verdict::Good } else { Verdict::Bad })
}

/// The sum of what stands for the IP header in the checksums of what it carries.
pub fn pseudo_header(addresses: &[u8], protocol: u8, len: usize) -> Sum {
    checksum::sum(addresses) + Sum::of_word(protocol.into()) + Sum::of_u32(len as u32)
}

/// A number that is the same for all frames of a flow: addresses, protocol, ports.
pub fn flow_hash(frame: &impl Frame) -> u64 {
    let Some(ip) = Link::parse(frame).and_then(|link| Ip::parse(frame, &link)) else { return 0 };
    let mut hasher = DefaultHasher::new();
    hasher.write(ip.addresses());
    hasher.write_u8(ip.protocol);
    if ip.fragment.is_none()
        && matches!(ip.protocol, TCP_PROTOCOL | UDP_PROTOCOL)
        && let Some(ports) = frame.read::<4>(ip.payload)
    {
        hasher.write(&ports);
    }
    hasher.finish()
}

/// An IPv4 header without options, its checksum put in.
pub fn finish_ipv4(header: &mut [u8]) {
    put_u16(header, 10, 0);
    let sum = checksum::sum(header).finish();
    put_u16(header, 10, sum);
}

/// Bytes of the tunnel's headers.
pub const TUNNEL: usize = ETHERNET + IPV4 + UDP + VXLAN;

/// The tunnel's headers, as they are before lengths, numbers and checksums are put in: Ethernet between two locally
/// administered addresses, IPv4 between two addresses for benchmarks, UDP to the port of VXLAN, network 1.
const TUNNEL_HEADER: [u8; TUNNEL] = [
    2,
    0,
    0,
    0,
    0,
    2,
    2,
    0,
    0,
    0,
    0,
    1,
    8,
    0, // Ethernet
    0x45,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    64,
    UDP_PROTOCOL,
    0,
    0,
    198,
    18,
    0,
    1,
    198,
    18,
    0,
    2, // IPv4
    0,
    0,
    0x12,
    0xb5,
    0,
    0,
    0,
    0, // UDP
    8,
    0,
    0,
    0,
    0,
    0,
    1,
    0, // VXLAN
];

/// The tunnel's headers for a frame of which this is the sum.
pub fn tunnel_header(inner: Sum, inner_len: usize, id: u16, source_port: u16) -> [u8; TUNNEL] {
    const UDP_AT: usize = ETHERNET + IPV4;
    let mut header = TUNNEL_HEADER;
    let udp_len = u16::try_from(UDP + VXLAN + inner_len).expect("shorter than a datagram");
    put_u16(&mut header, ETHERNET + 2, udp_len + IPV4 as u16);
    put_u16(&mut header, ETHERNET + 4, id);
    finish_ipv4(&mut header[ETHERNET..UDP_AT]);
    put_u16(&mut header, UDP_AT, source_port);
    put_u16(&mut header, UDP_AT + 4, udp_len);
    let pseudo = pseudo_header(&header[ETHERNET + 12..UDP_AT], UDP_PROTOCOL, udp_len.into());
    let sum = pseudo + checksum::sum(&header[UDP_AT..]) + inner;
    put_u16(&mut header, UDP_AT + 6, sum.finish_udp());
    header
}

/// Whether a frame is a tunnel's; its UDP checksum has been checked then. `Some(false)`: that one is wrong.
pub fn is_tunnel(frame: &impl Frame) -> Option<bool> {
    let ip = Link::parse(frame).and_then(|link| Ip::parse(frame, &link))?;
    let port = u16::from_be_bytes(frame.read(ip.payload + 2)?);
    if ip.protocol != UDP_PROTOCOL || ip.fragment.is_some() || port != VXLAN_PORT {
        return None;
    }
    Some(ip.payload + UDP + VXLAN == TUNNEL && verify_payload(frame, &ip) == Some(Verdict::Good))
}
