//! What each stage makes of real frames, read back from its output.

mod common;

use std::collections::HashMap;

use common::*;
use etherparse::{NetSlice, SlicedPacket, TransportSlice};

/// The stages in `stages` leave every frame as it was.
fn identity(stages: &str) {
    let expected = read(&embedded());
    let found = through(&embedded(), stages, &format!("identity-{}.pcapng", stages.replace([':', ','], "-")));
    assert_same(&found, &expected, stages);
}

#[test]
fn stages_that_only_look_or_move_bytes() {
    for stages in ["verify", "mirror", "defrag", "shatter,defrag", "shatter,mirror", "shatter,verify"] {
        identity(stages);
    }
}

#[test]
fn every_seed_shatters_the_same_bytes() {
    for seed in 0..12 {
        identity(&format!("shatter:{seed}"));
    }
}

#[test]
fn verify_finds_every_checksum_of_a_clean_recording_good() {
    for stages in ["verify", "shatter,verify"] {
        let report = replay(&["--stage", stages, "--json"]).clean().json();
        let stages = report["stages"].as_array().unwrap();
        let notes = &stages[stages.len() - 2]["notes"];
        assert_eq!(notes["IPv4 header"]["good"], 656);
        assert_eq!(notes["TCP"]["good"], 751);
        for (group, counts) in notes.as_object().unwrap() {
            assert!(counts.get("bad").is_none(), "{group}");
        }
    }
}

#[test]
fn verify_finds_a_flipped_bit() {
    let mut frames: Vec<Vec<u8>> = read(&embedded()).into_iter().map(|frame| frame.bytes).collect();
    for bytes in &mut frames {
        let last = bytes.len() - 1;
        if last > 70 {
            bytes[last] ^= 0x10;
        }
    }
    let path = write_pcap("flipped.pcap", mbuf_io::LinkType::ETHERNET, &frames);
    let report = replay(&[path.to_str().unwrap(), "--stage", "verify", "--json"]).clean().json();
    let notes = &report["stages"][1]["notes"];
    let count = |group: &str, label: &str| notes[group][label].as_u64().unwrap_or(0);
    assert!(count("TCP", "bad") > 300, "{notes}");
    assert!(count("UDP", "bad") > 10 && count("ICMP", "bad") > 5 && count("ICMPv6", "bad") > 5, "{notes}");
    assert_eq!(count("IPv4 header", "bad"), 0);
}

#[test]
fn vlan_tags_are_pushed_and_popped() {
    identity("vlan:7,vlan-pop");
    identity("vlan:7,vlan:8,vlan-pop,vlan-pop");
    identity("shatter,vlan,shatter:2,vlan-pop");
    for (tagged, plain) in through(&embedded(), "vlan:291", "vlan.pcapng").iter().zip(read(&embedded())) {
        let had_tag = matches!(plain.bytes[12..14], [0x81, 0] | [0x88, 0xa8]);
        let kind = if had_tag { [0x88, 0xa8] } else { [0x81, 0] };
        let expected = [&plain.bytes[..12], &kind, &[1, 0x23], &plain.bytes[12..]].concat();
        assert_eq!(tagged.bytes, expected);
    }
}

#[test]
fn vxlan_headers_are_what_another_parser_reads() {
    for (outer, overhead) in [("vxlan", 50), ("vxlan:ipv6", 70), ("shatter,vlan,vxlan,vlan-pop", 54)] {
        let wrapped = through(&embedded(), outer, "vxlan.pcapng");
        for (wrapped, plain) in wrapped.iter().zip(read(&embedded())) {
            assert_eq!(wrapped.bytes.len(), plain.bytes.len() + overhead);
            let packet = SlicedPacket::from_ethernet(&wrapped.bytes).unwrap();
            let Some(TransportSlice::Udp(udp)) = &packet.transport else { panic!("no UDP") };
            assert_eq!(udp.destination_port(), 4789);
            assert_eq!(udp.payload()[..8], [8, 0, 0, 0, 0, 0, 1, 0]);
            let sum = match packet.net.as_ref().unwrap() {
                NetSlice::Ipv4(ip) => {
                    assert_eq!(ip.header().to_header().calc_header_checksum(), ip.header().header_checksum());
                    udp.to_header().calc_checksum_ipv4(&ip.header().to_header(), udp.payload()).unwrap()
                }
                NetSlice::Ipv6(ip) => {
                    udp.to_header().calc_checksum_ipv6(&ip.header().to_header(), udp.payload()).unwrap()
                }
                NetSlice::Arp(_) => panic!("not IP"),
            };
            assert_eq!(udp.checksum(), sum);
            assert!(wrapped.bytes.ends_with(&plain.bytes[12..]));
        }
    }
}

#[test]
fn decapsulate_refuses_a_flipped_bit() {
    let mut frames: Vec<Vec<u8>> =
        through(&embedded(), "vxlan", "to-flip.pcapng").into_iter().map(|frame| frame.bytes).collect();
    for bytes in &mut frames {
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
    }
    let path = write_pcap("flipped-tunnel.pcap", mbuf_io::LinkType::ETHERNET, &frames);
    let ran = replay(&[path.to_str().unwrap(), "--stage", "decapsulate", "--json"]).survived();
    assert_eq!(ran.json()["stages"][1]["dropped"]["bad tunnel checksum"], frames.len());
}

/// Length of the IP datagram of an Ethernet frame, tags skipped, and whether it is an IPv6 fragment.
fn ip_len(bytes: &[u8]) -> Option<(usize, bool)> {
    let mut at = 12;
    while matches!(bytes[at..at + 2], [0x81, 0] | [0x88, 0xa8]) {
        at += 4;
    }
    let ip = &bytes[at + 2..];
    match bytes[at..at + 2] {
        [8, 0] => Some((usize::from(u16::from_be_bytes([ip[2], ip[3]])), false)),
        [0x86, 0xdd] => Some((40 + usize::from(u16::from_be_bytes([ip[4], ip[5]])), ip[6] == 44)),
        _ => None,
    }
}

#[test]
fn fragments_fit_and_go_back_together() {
    for mtu in [68, 576, 577, 1280, 1499] {
        let cut = through(&embedded(), &format!("fragment:{mtu}:force"), "fragments.pcapng");
        let (before, after) = (read(&embedded()).len(), cut.len());
        assert!(after > before, "{before} {after}");
        for frame in &cut {
            // What its sender fragmented stays, as IPv6 routers leave it.
            let fits = ip_len(&frame.bytes).is_none_or(|(len, fragment)| len <= mtu || fragment);
            assert!(fits, "{mtu}: {:02x?}", &frame.bytes[..40]);
        }
    }
    // Fragments that were recorded are put together too: compare with that.
    let expected = through(&embedded(), "reassemble", "reassembled.pcapng");
    assert!(expected.len() < read(&embedded()).len());
    for stages in
        ["fragment:576:force", "fragment:68:force,shuffle:1", "shatter,fragment:1280,shatter:3,shuffle:2"]
    {
        let mut found = through(&embedded(), &format!("{stages},reassemble"), "back-together.pcapng");
        let mut expected = expected.clone();
        let key = |frame: &Frame| (frame.timestamp, frame.bytes.clone());
        if stages.contains("shuffle") {
            // Which fragment comes first decides only when the datagram is passed on.
            found.sort_by_key(|frame| frame.bytes.clone());
            expected.sort_by_key(|frame| frame.bytes.clone());
            found.iter_mut().chain(&mut expected).for_each(|frame| frame.timestamp = 0);
            assert_same(&found, &expected, stages);
        } else {
            found.sort_by_key(key);
            expected.sort_by_key(key);
            assert_same(&found, &expected, stages);
        }
    }
}

#[test]
fn dont_fragment_is_respected() {
    let report = replay(&["--stage", "fragment:576", "--json"]).clean().json();
    assert!(report["stages"][1]["notes"]["untouched"]["don't fragment"].as_u64().unwrap() > 0);
    for frame in through(&embedded(), "fragment:576", "df.pcapng") {
        let ip = &frame.bytes[14..];
        if frame.bytes[12..14] == [8, 0] && ip[6] & 0x40 != 0 {
            assert_eq!(ip[6] & 0x20, 0, "a fragment that says don't fragment");
        }
    }
}

#[test]
fn missing_pieces_are_counted() {
    let pieces = through(&embedded(), "vxlan,fragment:576", "some-missing.pcapng");
    let mut kept: Vec<Vec<u8>> = Vec::new();
    let mut removed = 0;
    for frame in pieces {
        // The last fragment of every datagram: an offset, and none to follow.
        let fragment = u16::from_be_bytes([frame.bytes[20], frame.bytes[21]]);
        if fragment & 0x1fff != 0 && fragment & 0x2000 == 0 {
            removed += 1;
        } else {
            kept.push(frame.bytes);
        }
    }
    let path = write_pcap("missing.pcap", mbuf_io::LinkType::ETHERNET, &kept);
    let report =
        replay(&[path.to_str().unwrap(), "--stage", "reassemble,decapsulate", "--json"]).survived().json();
    let reassemble = &report["stages"][1];
    assert_eq!(reassemble["notes"]["datagrams"]["given up"], removed);
    assert!(reassemble["dropped"]["pieces missing at the end"].as_u64().unwrap() >= removed);
    assert_eq!(reassemble["packets_out"].as_u64().unwrap() + removed, 1091);
}

#[test]
fn overlapping_pieces_refuse_the_datagram() {
    let pieces = through(&embedded(), "vxlan,fragment:576", "to-overlap.pcapng");
    let mut frames: Vec<Vec<u8>> = pieces.into_iter().map(|frame| frame.bytes).collect();
    let victim = frames.iter().position(|bytes| bytes[20] & 0x20 != 0).unwrap();
    let exact = frames[victim].clone();
    frames.insert(victim, exact.clone()); // the same again: harmless
    let mut twin = exact;
    *twin.last_mut().unwrap() ^= 1;
    frames.insert(victim, twin); // the same place, other bytes: hostile
    let path = write_pcap("overlap.pcap", mbuf_io::LinkType::ETHERNET, &frames);
    let report =
        replay(&[path.to_str().unwrap(), "--stage", "reassemble,decapsulate", "--json"]).survived().json();
    assert!(report["stages"][1]["dropped"]["overlapping pieces"].as_u64().unwrap() >= 3, "{report}");
    assert_eq!(report["stages"][2]["packets_out"], 1090);
}

/// The bytes of every TCP flow, in the order of the frames, retransmissions included.
fn streams(frames: &[Frame]) -> HashMap<Vec<u8>, Vec<(u32, u8)>> {
    let mut streams: HashMap<_, Vec<(u32, u8)>> = HashMap::new();
    for frame in frames {
        let packet = SlicedPacket::from_ethernet(&frame.bytes).unwrap();
        let Some(TransportSlice::Tcp(tcp)) = &packet.transport else { continue };
        let mut key = match packet.net.as_ref().unwrap() {
            NetSlice::Ipv4(ip) => [ip.header().source(), ip.header().destination()].concat(),
            NetSlice::Ipv6(ip) => [ip.header().source(), ip.header().destination()].concat(),
            NetSlice::Arp(_) => continue,
        };
        key.extend(tcp.source_port().to_be_bytes());
        key.extend(tcp.destination_port().to_be_bytes());
        let stream = streams.entry(key).or_default();
        for (at, byte) in tcp.payload().iter().enumerate() {
            stream.push((tcp.sequence_number().wrapping_add(at as u32), *byte));
        }
    }
    streams
}

#[test]
fn segments_are_small_and_carry_the_same_stream() {
    let expected = streams(&read(&embedded()));
    for size in [11, 100, 536, 1000] {
        let cut = through(&embedded(), &format!("segment:{size}"), "segments.pcapng");
        for frame in &cut {
            let packet = SlicedPacket::from_ethernet(&frame.bytes).unwrap();
            if let Some(TransportSlice::Tcp(tcp)) = &packet.transport {
                assert!(tcp.payload().len() <= size);
                let sum = match packet.net.as_ref().unwrap() {
                    NetSlice::Ipv4(ip) => {
                        tcp.to_header().calc_checksum_ipv4(&ip.header().to_header(), tcp.payload())
                    }
                    NetSlice::Ipv6(ip) => {
                        tcp.to_header().calc_checksum_ipv6(&ip.header().to_header(), tcp.payload())
                    }
                    NetSlice::Arp(_) => continue,
                };
                assert_eq!(tcp.checksum(), sum.unwrap());
            }
        }
        assert!(streams(&cut) == expected, "{size}");
    }
}

#[test]
fn segments_of_one_frame_go_back_together() {
    for stages in
        ["segment:9,coalesce:own", "segment:536,coalesce:own", "shatter,segment:100,shatter:2,coalesce:own"]
    {
        identity(stages);
    }
}

#[test]
fn coalescing_keeps_the_stream_and_its_checksums() {
    let before = read(&embedded());
    let expected = streams(&before);
    for stages in ["coalesce", "shatter,coalesce", "segment:200,coalesce"] {
        let joined = through(&embedded(), stages, "joined.pcapng");
        assert!(stages.starts_with("segment") || joined.len() < before.len(), "{stages} joined nothing");
        assert!(streams(&joined) == expected, "{stages}");
    }
    let report = replay(&["--stage", "coalesce,verify,segment,verify", "--json"]).clean().json();
    for index in [2, 4] {
        let notes = &report["stages"][index]["notes"];
        assert!(notes["TCP"].get("bad").is_none() && notes["IPv4 header"].get("bad").is_none(), "{notes}");
    }
}

#[test]
fn an_offloaded_checksum_is_recognised_and_completed_by_segmentation() {
    let mut frames: Vec<Vec<u8>> = Vec::new();
    for frame in read(&embedded()) {
        let packet = SlicedPacket::from_ethernet(&frame.bytes).unwrap();
        let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Tcp(tcp))) = (&packet.net, &packet.transport)
        else {
            continue;
        };
        if tcp.payload().len() < 600 || !packet.vlan_ids().is_empty() {
            continue;
        }
        // What a sender leaves for its card: the sum of the pseudo-header, not complemented.
        let len = (tcp.slice().len()) as u16;
        let words =
            [&ip.header().source()[..], &ip.header().destination(), &[0, 6], &len.to_be_bytes()].concat();
        let mut sum: u32 =
            words.chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        let at = 14 + 20 + 16;
        let mut bytes = frame.bytes.clone();
        bytes[at..at + 2].copy_from_slice(&(sum as u16).to_be_bytes());
        frames.push(bytes);
    }
    assert!(frames.len() > 10);
    let path = write_pcap("offloaded.pcap", mbuf_io::LinkType::ETHERNET, &frames);
    let report =
        replay(&[path.to_str().unwrap(), "--stage", "verify,segment:500,verify", "--json"]).clean().json();
    let before = &report["stages"][1]["notes"]["TCP"];
    assert_eq!(before["unchecked: left to the network card"], frames.len(), "{before}");
    let after = report["stages"][3]["notes"]["TCP"].as_object().unwrap();
    assert_eq!(after.keys().collect::<Vec<_>>(), ["good"]);
}

#[test]
fn frames_cut_by_the_capture_pass_every_stage_untouched() {
    let capture = captures().join("extra/snap96.pcap");
    let expected = read(&capture);
    for stages in ["fragment:68:force", "reassemble", "segment:1", "coalesce", "verify", "defrag", "mirror"] {
        let found = through(&capture, stages, "snapped.pcapng");
        let whole = |frames: &[Frame]| {
            frames
                .iter()
                .filter(|frame| frame.original_len as usize > frame.bytes.len())
                .cloned()
                .collect::<Vec<_>>()
        };
        assert_same(&whole(&found), &whole(&expected), stages);
    }
}
