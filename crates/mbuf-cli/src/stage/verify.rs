//! `verify`: checks every checksum there is, changing nothing.

use mbuf::Packet;

use super::{Desk, Mark, Stage};
use crate::wire::{self, Ip, Link, NotIp, Unchecked, Verdict, Version, protocol};

/// Checks IPv4 header, TCP, UDP, ICMP and ICMPv6 checksums where the bytes lie, across segments.
pub(crate) struct Verify;

impl Stage for Verify {
    fn process(&mut self, packet: Packet, desk: &mut Desk<'_>) {
        inspect(&packet, desk);
        desk.pass(packet);
    }
}

fn inspect(packet: &Packet, desk: &mut Desk<'_>) {
    let link = desk.interfaces.link_of(packet);
    let Some(header) = Link::parse(packet, link) else {
        return desk.note("frames", "link type not looked into");
    };
    if header.tags > 0 {
        desk.note("frames", "with a VLAN tag");
    }
    let ip = match Ip::parse(packet, &header) {
        Ok(ip) => ip,
        Err(NotIp::Other) => return desk.note("frames", "not IP"),
        Err(NotIp::Short) if Mark::of(packet).missing > 0 => {
            return desk.note("frames", "cut in the headers");
        }
        Err(NotIp::Short | NotIp::Malformed) => return desk.note("frames", "malformed IP header"),
    };
    if ip.version == Version::V4 {
        let good = wire::ipv4_header_sum(packet, &ip).is_some_and(|sum| sum.finish() == 0);
        desk.note("IPv4 header", if good { "good" } else { "bad" });
    }
    let group = match (ip.version, ip.protocol) {
        (_, protocol::TCP) => "TCP",
        (_, protocol::UDP) => "UDP",
        (Version::V4, protocol::ICMP) => "ICMP",
        (Version::V6, protocol::ICMPV6) => "ICMPv6",
        _ => "other IP",
    };
    desk.note(group, label(wire::verify(packet, &ip)));
}

fn label(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Good => "good",
        Verdict::Bad => "bad",
        Verdict::Unchecked(Unchecked::Protocol) => "no checksum known",
        Verdict::Unchecked(why) => why.label(),
    }
}
