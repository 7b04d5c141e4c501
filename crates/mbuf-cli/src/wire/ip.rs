//! IPv4 and IPv6 headers, extension headers included.

use mbuf::Packet;
use mbuf::checksum::{self, Sum};

use super::link::{Link, ether};
use super::{u16_at, u32_at};

/// Extension headers that are walked before the packet counts as malformed.
const MAX_EXTENSIONS: usize = 32;

/// Which IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Version {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Why there is no IP header to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotIp {
    /// The link header says something else, or nothing.
    Other,
    /// The frame ends inside the headers.
    Short,
    /// The headers contradict themselves.
    Malformed,
}

/// An IP header: offsets from the first byte of the frame.
///
/// ```text
///   │ link │ IP header, extensions │ payload │ trailer │
///   0      start                   payload   end       len
/// ```
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ip {
    /// Which version.
    pub(crate) version: Version,
    /// Where its header starts.
    pub(crate) start: usize,
    /// Where the payload starts: behind the options or extension headers.
    pub(crate) payload: usize,
    /// Where the datagram ends according to its header; may be behind the end of the frame (see `cut`).
    pub(crate) end: usize,
    /// The frame ends before the datagram does.
    pub(crate) cut: bool,
    /// The protocol of the payload.
    pub(crate) protocol: u8,
    /// The IPv4 "don't fragment" flag.
    pub(crate) dont_fragment: bool,
    /// Set on fragments.
    pub(crate) fragment: Option<Fragment>,
    /// IPv6: where the headers end that every fragment repeats.
    pub(crate) repeated: usize,
    /// IPv6: where the byte is that names what follows `repeated`.
    pub(crate) repeated_next: usize,
    /// The checksum's destination is not the header's: a source route or routing header is not used up.
    pub(crate) routed: bool,
    /// Source and destination, back to back, 4 or 16 bytes each.
    addresses: [u8; 32],
}

/// What a fragment says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fragment {
    /// Bytes of the payload in front of this one's.
    pub(crate) offset: usize,
    /// Others follow.
    pub(crate) more: bool,
    /// What its siblings share.
    pub(crate) id: u32,
    /// IPv6: where the fragment header is.
    pub(crate) header: usize,
}

impl Ip {
    /// Reads the IP header behind a link header.
    pub(crate) fn parse(packet: &Packet, link: &Link) -> Result<Self, NotIp> {
        match link.ethertype {
            ether::IPV4 => Self::v4(packet, link.len),
            ether::IPV6 => Self::v6(packet, link.len),
            _ => Err(NotIp::Other),
        }
    }

    /// The addresses of source and destination, back to back.
    pub(crate) fn addresses(&self) -> &[u8] {
        match self.version {
            Version::V4 => &self.addresses[..8],
            Version::V6 => &self.addresses,
        }
    }

    /// The addresses as a key, padded with zeros.
    pub(crate) fn address_key(&self) -> [u8; 32] {
        self.addresses
    }

    /// Where the part starts that fragments divide among them.
    pub(crate) fn fragment_payload(&self) -> usize {
        match (self.version, self.fragment) {
            (Version::V6, Some(fragment)) => fragment.header + 8,
            _ => self.payload,
        }
    }

    fn v4(packet: &Packet, start: usize) -> Result<Self, NotIp> {
        let header: [u8; 20] = packet.read_array(start).map_err(|_| NotIp::Short)?;
        let header_len = usize::from(header[0] & 0x0f) * 4;
        let total = usize::from(u16_at(&header, 2));
        if header[0] >> 4 != 4 || header_len < 20 || total < header_len {
            return Err(NotIp::Malformed);
        }
        if start + header_len > packet.len() {
            return Err(NotIp::Short);
        }
        let mut addresses = [0; 32];
        addresses[..8].copy_from_slice(&header[12..]);
        let fragment = u16_at(&header, 6);
        let (offset, more) = (usize::from(fragment & 0x1fff) * 8, fragment & 0x2000 != 0);
        Ok(Self {
            version: Version::V4,
            start,
            payload: start + header_len,
            end: start + total,
            cut: start + total > packet.len(),
            protocol: header[9],
            dont_fragment: fragment & 0x4000 != 0,
            fragment: (offset > 0 || more).then(|| Fragment {
                offset,
                more,
                id: u32::from(u16_at(&header, 4)),
                header: start,
            }),
            repeated: start + header_len,
            repeated_next: start + 9,
            routed: header_len > 20 && has_source_route(packet, start + 20, start + header_len),
            addresses,
        })
    }

    fn v6(packet: &Packet, start: usize) -> Result<Self, NotIp> {
        let header: [u8; 40] = packet.read_array(start).map_err(|_| NotIp::Short)?;
        let len = usize::from(u16_at(&header, 4));
        if header[0] >> 4 != 6 || (len == 0 && header[6] == 0) {
            return Err(NotIp::Malformed); // or a jumbogram, which no link here carries
        }
        let mut addresses = [0; 32];
        addresses.copy_from_slice(&header[8..]);
        let mut ip = Self {
            version: Version::V6,
            start,
            payload: start + 40,
            end: start + 40 + len,
            cut: start + 40 + len > packet.len(),
            protocol: header[6],
            dont_fragment: false,
            fragment: None,
            repeated: start + 40,
            repeated_next: start + 6,
            routed: false,
            addresses,
        };
        ip.walk_extensions(packet)?;
        Ok(ip)
    }

    /// Moves `payload` behind the extension headers, keeping what they say.
    fn walk_extensions(&mut self, packet: &Packet) -> Result<(), NotIp> {
        let mut next_at = self.repeated_next;
        for _ in 0..MAX_EXTENSIONS {
            let kind = self.protocol;
            if !matches!(kind, 0 | 43 | 44 | 51 | 60 | 135 | 139 | 140) {
                return Ok(());
            }
            let at = self.payload;
            let fields: [u8; 8] = match packet.read_array(at) {
                Ok(fields) if at + 8 <= self.end => fields,
                _ if at + 8 <= self.end => return Err(NotIp::Short),
                _ => return Err(NotIp::Malformed),
            };
            let len = match kind {
                44 => 8,
                51 => (usize::from(fields[1]) + 2) * 4,
                _ => (usize::from(fields[1]) + 1) * 8,
            };
            if at + len > self.end {
                return Err(NotIp::Malformed);
            }
            self.protocol = fields[0];
            self.payload = at + len;
            match kind {
                44 if self.fragment.is_some() => return Err(NotIp::Malformed),
                44 => {
                    let offset = u16_at(&fields, 2);
                    let fragment = Fragment {
                        offset: usize::from(offset & 0xfff8),
                        more: offset & 1 != 0,
                        id: u32_at(&fields, 4),
                        header: at,
                    };
                    (self.repeated, self.repeated_next) = (at, next_at);
                    self.fragment = Some(fragment);
                    if fragment.offset > 0 {
                        return Ok(()); // the rest is in the first fragment
                    }
                }
                0 | 43 if self.fragment.is_none() => {
                    // The byte that names what follows is this header's first.
                    (self.repeated, self.repeated_next) = (self.payload, at);
                    self.routed |= kind == 43 && fields[3] > 0;
                }
                43 => self.routed |= fields[3] > 0,
                _ => {}
            }
            next_at = at;
        }
        Err(NotIp::Malformed)
    }
}

/// Looks for a source route that is not used up among IPv4 options.
fn has_source_route(packet: &Packet, mut at: usize, end: usize) -> bool {
    while at < end {
        match packet.read_array::<1>(at) {
            Ok([0]) | Err(_) => return false,
            Ok([1]) => at += 1,
            Ok([kind]) => match packet.read_array::<3>(at) {
                // The route's pointer is behind its end when the last hop was taken.
                Ok([_, len, pointer]) if matches!(kind, 131 | 137) && pointer <= len => return true,
                Ok([_, len, _]) if len >= 2 => at += usize::from(len),
                _ => return false,
            },
        }
    }
    false
}

/// Sums an IPv4 header; its checksum is right when the result [finishes](Sum::finish) as zero.
pub(crate) fn ipv4_header_sum(packet: &Packet, ip: &Ip) -> Option<Sum> {
    match packet.contiguous(ip.start..ip.payload) {
        Some(header) => Some(checksum::sum(header)),
        None => packet.sum(ip.start..ip.payload).ok(),
    }
}
