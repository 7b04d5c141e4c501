//! Into the tunnel.

use etherparse::{EtherType, Ethernet2Header, IpNumber, Ipv4Header, Ipv6Header, UdpHeader};
use mbuf::{OpError, Packet, checksum};
use mbuf_io::{Interface, LinkType};

use super::carrier::Carrier;
use super::{INTERFACE, OPAQUE, PORT, UDP_HEADER, VNI_VALID, VXLAN_HEADER};
use crate::stage::pieces::cut;
use crate::stage::{Desk, Mark, Stage};
use crate::wire::{self, Ip, Link, Version, put};

const MAC_FROM: [u8; 6] = [2, 0, 0, 0, 0, 1];
const MAC_TO: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// Addresses for benchmarks (RFC 2544) and for documentation (RFC 3849).
const V4_FROM: [u8; 4] = [198, 18, 0, 1];
const V4_TO: [u8; 4] = [198, 18, 0, 2];
const V6_FROM: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const V6_TO: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
const TTL: u8 = 64;

const ETHERNET: usize = Ethernet2Header::LEN;
const MAX_OUTER: usize = ETHERNET + Ipv6Header::LEN + UDP_HEADER + VXLAN_HEADER;
/// The longest inner frame: an IPv4 datagram of 65535 bytes, and what fits into IPv6 too.
const MAX_INNER: usize = 65_535 - Ipv4Header::MIN_LEN - UDP_HEADER - VXLAN_HEADER;
/// Bytes of an opaque frame per datagram.
const CHUNK: usize = 65_280;
/// Source ports that carry the flow's hash (RFC 7348, section 5).
const FIRST_SOURCE_PORT: u16 = 49_152;

/// Puts each frame into the tunnel, its headers into the frame's headroom.
pub(crate) struct Encapsulate {
    version: Version,
    /// The tunnel's interface, from the first packet on.
    interface: Option<u32>,
    /// The identification of the next IPv4 datagram.
    next_id: u16,
    /// The number of the next opaque frame.
    next_frame: u32,
    chunks: Vec<Packet>,
}

impl Encapsulate {
    pub(crate) const fn new(version: Version) -> Self {
        Self { version, interface: None, next_id: 1, next_frame: 1, chunks: Vec::new() }
    }

    fn add_interface(&mut self, desk: &mut Desk<'_>) -> Option<u32> {
        self.interface = desk.interfaces.add(Interface::new(LinkType::ETHERNET).named(INTERFACE));
        self.interface
    }

    /// Puts the tunnel's headers in front of an inner frame.
    fn wrap(&mut self, packet: &mut Packet, on: u32, vni: u32, source_port: u16) -> Result<(), OpError> {
        let mut scratch = [0; MAX_OUTER];
        let header = self.outer_header(&mut scratch, packet, vni, source_port)?;
        packet.prepend_slice(header)?;
        packet.meta_mut().interface = on;
        Ok(())
    }

    /// Builds the headers, the UDP checksum over the inner frame included.
    fn outer_header<'a>(
        &mut self,
        scratch: &'a mut [u8; MAX_OUTER],
        inner: &Packet,
        vni: u32,
        source_port: u16,
    ) -> Result<&'a [u8], OpError> {
        let udp_len = UDP_HEADER + VXLAN_HEADER + inner.len();
        let wire_len = u16::try_from(udp_len).unwrap_or(u16::MAX);
        let ip_len = match self.version {
            Version::V4 => self.v4(&mut scratch[ETHERNET..], wire_len),
            Version::V6 => v6(&mut scratch[ETHERNET..], wire_len),
        };
        let ether_type = match self.version {
            Version::V4 => EtherType::IPV4,
            Version::V6 => EtherType::IPV6,
        };
        let ethernet = Ethernet2Header { destination: MAC_TO, source: MAC_FROM, ether_type };
        put(scratch, 0, &ethernet.to_bytes());

        let udp_at = ETHERNET + ip_len;
        let udp = UdpHeader { source_port, destination_port: PORT, length: wire_len, checksum: 0 };
        put(scratch, udp_at, &udp.to_bytes());
        let [_, a, b, c] = vni.to_be_bytes();
        put(scratch, udp_at + UDP_HEADER, &[VNI_VALID, 0, 0, 0, a, b, c, 0]);

        let (addresses_at, addresses) = match self.version {
            Version::V4 => (ETHERNET + 12, 8),
            Version::V6 => (ETHERNET + 8, 32),
        };
        let len = udp_at + UDP_HEADER + VXLAN_HEADER;
        let pseudo = checksum::sum(&scratch[addresses_at..addresses_at + addresses])
            + checksum::sum(&[0, IpNumber::UDP.0])
            + checksum::sum(&wire_len.to_be_bytes());
        let sum = pseudo + checksum::sum(&scratch[udp_at..len]) + inner.sum(0..inner.len())?;
        // Zero would say that there is no checksum; ones are the other zero.
        let sum = match sum.finish() {
            0 => u16::MAX,
            sum => sum,
        };
        put(scratch, udp_at + 6, &sum.to_be_bytes());
        Ok(&scratch[..len])
    }

    fn v4(&mut self, place: &mut [u8], payload: u16) -> usize {
        let len = Ipv4Header::MIN_LEN;
        let mut header = Ipv4Header {
            total_len: payload.saturating_add(20),
            identification: self.next_id,
            dont_fragment: false,
            time_to_live: TTL,
            protocol: IpNumber::UDP,
            source: V4_FROM,
            destination: V4_TO,
            ..Ipv4Header::default()
        };
        header.header_checksum = header.calc_header_checksum();
        self.next_id = self.next_id.wrapping_add(1);
        put(place, 0, &header.to_bytes());
        len
    }

    /// Sends a frame that cannot travel as it is.
    fn chunk(&mut self, packet: Packet, on: u32, vni: u32, link: LinkType, desk: &mut Desk<'_>) {
        let mark = Mark::of(&packet);
        let Ok(length) = u32::try_from(packet.len()) else { return desk.drop(packet, "too long") };
        let frame = self.next_frame;
        self.next_frame = self.next_frame.wrapping_add(1);
        let result = cut(packet, 0, CHUNK, &mut self.chunks, |_, piece, head| {
            let offset = u32::try_from(piece.offset).unwrap_or(u32::MAX);
            let carrier = Carrier { link, frame, length, offset, missing: mark.missing };
            head.extend_from_slice(&carrier.to_bytes());
        });
        let mut chunks = core::mem::take(&mut self.chunks);
        let wrapped = result.and_then(|()| {
            chunks.iter_mut().try_for_each(|chunk| {
                // The tunnel's packets are whole, whatever they carry.
                Mark { missing: 0, ..mark }.put(chunk);
                self.wrap(chunk, on, vni | OPAQUE, FIRST_SOURCE_PORT)
            })
        });
        match wrapped {
            Ok(()) => chunks.drain(..).for_each(|chunk| desk.pass(chunk)),
            Err(error) => {
                chunks.clear();
                desk.lose(mark, &error);
            }
        }
        self.chunks = chunks;
    }
}

impl Stage for Encapsulate {
    fn process(&mut self, mut packet: Packet, desk: &mut Desk<'_>) {
        let link = desk.interfaces.link_of(&packet);
        let vni = packet.meta().interface.saturating_add(1);
        // Interfaces are limited: a VNI never reaches the bit that marks chunks.
        let Some(on) = self.interface.or_else(|| self.add_interface(desk)).filter(|_| vni < OPAQUE) else {
            return desk.drop(packet, "no interface left for the tunnel");
        };
        let opaque = if link != LinkType::ETHERNET {
            Some("opaque: not Ethernet")
        } else if Mark::of(&packet).missing > 0 {
            Some("opaque: cut by the capture")
        } else if packet.len() > MAX_INNER {
            Some("opaque: longer than a datagram")
        } else if packet.len() < ETHERNET {
            Some("opaque: shorter than a header")
        } else {
            None
        };
        if let Some(why) = opaque {
            desk.note("frames", why);
            return self.chunk(packet, on, vni, link, desk);
        }
        let flow = Link::parse(&packet, link).and_then(|link| Ip::parse(&packet, &link).ok());
        let hash = flow.map_or(0, |ip| wire::flow_hash(&packet, &ip));
        let port = FIRST_SOURCE_PORT | u16::from_ne_bytes([hash as u8, (hash >> 8) as u8]);
        match self.wrap(&mut packet, on, vni, port) {
            Ok(()) => desk.pass(packet),
            Err(error) => desk.drop(packet, &error),
        }
    }

    fn headroom(&self) -> usize {
        MAX_OUTER + Carrier::LEN
    }
}

fn v6(place: &mut [u8], payload: u16) -> usize {
    let header = Ipv6Header {
        payload_length: payload,
        next_header: IpNumber::UDP,
        hop_limit: TTL,
        source: V6_FROM,
        destination: V6_TO,
        ..Ipv6Header::default()
    };
    put(place, 0, &header.to_bytes());
    Ipv6Header::LEN
}
