//! From the link type of an interface to the network header.

use mbuf::Packet;
use mbuf_io::LinkType;

/// EtherTypes that matter here.
pub(crate) mod ether {
    pub(crate) const IPV4: u16 = 0x0800;
    pub(crate) const IPV6: u16 = 0x86dd;
    /// 802.1Q, the customer's tag.
    pub(crate) const VLAN: u16 = 0x8100;
    /// 802.1ad, the provider's tag around it (QinQ).
    pub(crate) const SERVICE_VLAN: u16 = 0x88a8;
    /// What QinQ was before it had a number.
    pub(crate) const OLD_QINQ: u16 = 0x9100;

    /// Whether a tag of four bytes follows.
    pub(crate) const fn is_tag(ethertype: u16) -> bool {
        matches!(ethertype, VLAN | SERVICE_VLAN | OLD_QINQ)
    }
}

/// Tags that are walked before the frame counts as something else.
const MAX_TAGS: usize = 8;

/// A link header: how long it is and what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// Bytes in front of the network header, tags included.
    pub(crate) len: usize,
    /// The EtherType of what follows; 0 when the header has none.
    pub(crate) ethertype: u16,
    /// VLAN tags passed on the way.
    pub(crate) tags: usize,
    /// The two outermost tags, 16 bits each; 0 when there are none.
    pub(crate) vlan: u32,
}

impl Link {
    /// Reads the link header; `None` when the frame ends inside it or the link type is not looked into.
    pub(crate) fn parse(packet: &Packet, link: LinkType) -> Option<Self> {
        let plain = |len, ethertype| Self { len, ethertype, tags: 0, vlan: 0 };
        Some(match link {
            LinkType::ETHERNET => return Self::ethernet(packet),
            LinkType::RAW => match packet.read_array::<1>(0).ok()?[0] >> 4 {
                4 => plain(0, ether::IPV4),
                6 => plain(0, ether::IPV6),
                _ => plain(0, 0),
            },
            LinkType::IPV4 => plain(0, ether::IPV4),
            LinkType::IPV6 => plain(0, ether::IPV6),
            LinkType::NULL | LinkType::LOOP => plain(4, family(packet.read_array(0).ok()?)),
            LinkType::LINUX_SLL => plain(16, u16::from_be_bytes(packet.read_array(14).ok()?)),
            LinkType::LINUX_SLL2 => {
                let ethertype = u16::from_be_bytes(packet.read_array(0).ok()?);
                packet.read_array::<1>(19).ok()?;
                plain(20, ethertype)
            }
            _ => return None,
        })
    }

    fn ethernet(packet: &Packet) -> Option<Self> {
        let mut ethertype = u16::from_be_bytes(packet.read_array(12).ok()?);
        let (mut len, mut tags, mut vlan) = (14, 0, 0);
        while ether::is_tag(ethertype) && tags < MAX_TAGS {
            let [tag_high, tag_low, type_high, type_low] = packet.read_array(len).ok()?;
            if tags < 2 {
                vlan = vlan << 16 | u32::from(u16::from_be_bytes([tag_high, tag_low]));
            }
            ethertype = u16::from_be_bytes([type_high, type_low]);
            len += 4;
            tags += 1;
        }
        if ethertype < 0x0600 {
            ethertype = 0; // a length: 802.2 follows
        }
        Some(Self { len, ethertype, tags, vlan })
    }
}

/// Translates the address family of a BSD loopback header, which may be in either byte order.
fn family(bytes: [u8; 4]) -> u16 {
    let value = u32::from_be_bytes(bytes);
    match if value > 0xffff { value.swap_bytes() } else { value } {
        2 => ether::IPV4,
        10 | 24 | 28 | 30 => ether::IPV6, // Linux; NetBSD and OpenBSD; FreeBSD; Darwin
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mbuf::Pool;

    fn parse(bytes: &[u8], link: LinkType) -> Option<Link> {
        Link::parse(&Packet::from_slice(&Pool::new(), bytes).unwrap(), link)
    }

    fn frame(after_addresses: &[u8]) -> Vec<u8> {
        [&[0; 12], after_addresses].concat()
    }

    #[test]
    fn ethernet_with_and_without_tags() {
        let found = |bytes: &[u8]| parse(&frame(bytes), LinkType::ETHERNET);
        assert_eq!(found(&[8, 0]), Some(Link { len: 14, ethertype: ether::IPV4, tags: 0, vlan: 0 }));
        let tagged = found(&[0x81, 0, 0, 7, 0x86, 0xdd]).unwrap();
        assert_eq!(tagged, Link { len: 18, ethertype: ether::IPV6, tags: 1, vlan: 7 });
        let twice = found(&[0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 8, 0]).unwrap();
        assert_eq!(twice, Link { len: 22, ethertype: ether::IPV4, tags: 2, vlan: 0x0001_0002 });
        assert_eq!(found(&[0, 46]).unwrap().ethertype, 0);
        assert_eq!(found(&[0x81, 0, 0]), None, "cut inside the tag");
        assert_eq!(found(&[8]), None);
    }

    #[test]
    fn endless_tags_end() {
        let found = parse(&frame(&[0x81, 0].repeat(100)), LinkType::ETHERNET).unwrap();
        assert_eq!((found.tags, found.ethertype), (MAX_TAGS, ether::VLAN));
    }

    #[test]
    fn loopback_families_in_both_orders() {
        for (family, ethertype) in [
            (2, ether::IPV4),
            (10, ether::IPV6),
            (24, ether::IPV6),
            (28, ether::IPV6),
            (30, ether::IPV6),
            (7, 0),
        ] {
            assert_eq!(parse(&[0, 0, 0, family], LinkType::LOOP).unwrap().ethertype, ethertype);
            assert_eq!(parse(&[family, 0, 0, 0], LinkType::NULL).unwrap().ethertype, ethertype);
        }
    }

    #[test]
    fn unknown_link_types_are_not_guessed() {
        assert_eq!(parse(&[0x45; 100], LinkType(105)), None);
        assert_eq!(parse(&[], LinkType::RAW), None);
        assert_eq!(parse(&[0x45], LinkType::RAW).unwrap().ethertype, ether::IPV4);
    }
}
