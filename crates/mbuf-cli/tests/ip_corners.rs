//! IP as it is rarely seen: options, extension headers, fragments of fragments, the longest datagrams.

mod common;

use common::*;
use mbuf_io::LinkType;

/// The Internet checksum, written the slow way.
fn checksum(parts: &[&[u8]]) -> u16 {
    let bytes = parts.concat();
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 256) as u8).collect()
}

/// A UDP datagram with its checksum; `addresses` are source and destination, back to back.
fn udp(addresses: &[u8], data: &[u8]) -> Vec<u8> {
    let len = 8 + data.len() as u16;
    let mut udp =
        [&4000u16.to_be_bytes()[..], &4001u16.to_be_bytes(), &len.to_be_bytes(), &[0; 2], data].concat();
    let sum = checksum(&[addresses, &[0, 17], &len.to_be_bytes(), &udp]);
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    udp
}

/// An Ethernet frame with an IPv4 datagram.
fn v4(id: u16, options: &[u8], data: &[u8]) -> Vec<u8> {
    let addresses = [192, 0, 2, 1, 198, 51, 100, 1];
    let udp = udp(&addresses, data);
    let header_len = 20 + options.len();
    let mut header = vec![0x40 | (header_len / 4) as u8, 0];
    header.extend(((header_len + udp.len()) as u16).to_be_bytes());
    header.extend(id.to_be_bytes());
    header.extend([0, 0, 64, 17, 0, 0]);
    header.extend(addresses);
    header.extend(options);
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0][..], &header, &udp].concat()
}

/// An Ethernet frame with an IPv6 datagram; each extension is its number and its bytes without the first.
fn v6(extensions: &[(u8, &[u8])], data: &[u8]) -> Vec<u8> {
    let mut addresses = [0; 32];
    addresses[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    addresses[16..20].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    (addresses[15], addresses[31]) = (1, 2);
    let udp = udp(&addresses, data);
    let mut chain = Vec::new();
    for (index, (_, rest)) in extensions.iter().enumerate() {
        chain.push(extensions.get(index + 1).map_or(17, |next| next.0));
        chain.extend(*rest);
    }
    let len = (chain.len() + udp.len()) as u16;
    let next = extensions.first().map_or(17, |first| first.0);
    let header = [&[0x60, 0, 0, 0][..], &len.to_be_bytes(), &[next, 64], &addresses].concat();
    [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd][..], &header, &chain, &udp].concat()
}

/// Hop-by-hop options, destination options and a routing header that is used up: 8, 16 and 24 bytes.
const HOP_BY_HOP: (u8, &[u8]) = (0, &[0, 1, 4, 0, 0, 0, 0]);
const DESTINATION: (u8, &[u8]) = (60, &[1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
const ROUTING: (u8, &[u8]) =
    (43, &[2, 0, 0, 0, 0, 0, 0, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3]);

/// Everything comes back from fragments, in order and not.
fn comes_back(name: &str, frames: &[Vec<u8>], mtu: &[usize]) {
    let path = write_pcap(&format!("{name}.pcap"), LinkType::ETHERNET, frames);
    let path_name = path.to_str().unwrap();
    let report = replay(&[path_name, "--stage", "verify", "--json"]).clean().json();
    assert_eq!(report["stages"][1]["notes"]["UDP"]["good"], frames.len(), "{name}: {}", report["stages"][1]);
    for mtu in mtu {
        let stages = format!("shatter,fragment:{mtu},shuffle:{mtu},shatter:2,reassemble,verify");
        let ran = replay(&[path_name, "--stage", &stages, "--prove", "--check", "--json"]);
        let report = ran.json();
        assert_eq!(report["proof"]["identical"], frames.len(), "{name} {mtu}: {}", report["stages"]);
        assert_eq!(report["stages"][6]["notes"]["UDP"]["good"], frames.len());
        ran.clean();
    }
}

#[test]
fn ipv4_options_are_repeated_where_they_ask_for_it() {
    // Router alert (copied), timestamp (not copied), a used-up source route (copied), no-operations, an end.
    let options = [0x94, 4, 0, 0, 0x44, 8, 5, 0, 0, 0, 0, 0, 0x83, 7, 8, 203, 0, 113, 1, 1, 1, 1, 1, 0];
    let frames: Vec<_> =
        [1, 600, 1400, 8000, 40_000].iter().map(|&len| v4(len, &options, &payload(len.into()))).collect();
    comes_back("options", &frames, &[68, 100, 576, 1500]);

    let path = write_pcap("options-cut.pcap", LinkType::ETHERNET, &frames[1..2]);
    let pieces = through(&path, "fragment:200", "options-cut.pcapng");
    assert!(pieces.len() > 2);
    assert_eq!(pieces[0].bytes[14], 0x4b);
    assert_eq!(pieces[0].bytes[34..58], options);
    for piece in &pieces[1..] {
        assert_eq!(piece.bytes[14], 0x48);
        assert_eq!(piece.bytes[34..46], [0x94, 4, 0, 0, 0x83, 7, 8, 203, 0, 113, 1, 0]);
    }
    for piece in &pieces {
        let header_len = usize::from(piece.bytes[14] & 15) * 4;
        assert_eq!(checksum(&[&piece.bytes[14..14 + header_len]]), 0);
        assert!(piece.bytes.len() <= 214);
    }
}

#[test]
fn a_source_route_that_is_not_used_up_hides_what_the_checksum_covers() {
    let options = [0x83, 7, 4, 203, 0, 113, 1, 0];
    let path = write_pcap("route.pcap", LinkType::ETHERNET, &[v4(7, &options, b"data")]);
    let report = replay(&[path.to_str().unwrap(), "--stage", "verify", "--json"]).clean().json();
    assert_eq!(report["stages"][1]["notes"]["UDP"]["unchecked: source route"], 1);
}

#[test]
fn ipv6_fragment_headers_stand_behind_what_every_fragment_repeats() {
    for (extensions, repeated) in [
        (vec![], 0),
        (vec![HOP_BY_HOP], 8),
        (vec![DESTINATION], 0),
        (vec![HOP_BY_HOP, DESTINATION], 8),
        (vec![ROUTING], 24),
        (vec![HOP_BY_HOP, DESTINATION, ROUTING, DESTINATION], 8 + 16 + 24),
    ] {
        let frames: Vec<_> =
            [1, 600, 1400, 40_000].iter().map(|&len| v6(&extensions, &payload(len))).collect();
        comes_back(&format!("extensions-{repeated}-{}", extensions.len()), &frames, &[200, 576, 1280]);

        let path = write_pcap("extensions-cut.pcap", LinkType::ETHERNET, &frames[1..2]);
        for piece in through(&path, "fragment:200", "extensions-cut.pcapng") {
            let named = match extensions.iter().rposition(|extension| extension.0 == 43 || extension.0 == 0) {
                None => 20, // the fixed header's next header
                Some(last) => {
                    54 + extensions[..last].iter().map(|extension| extension.1.len() + 1).sum::<usize>()
                }
            };
            let mut expected = frames[1][..54 + repeated].to_vec();
            expected[named] = 44;
            expected[18..20].copy_from_slice(&piece.bytes[18..20]); // the length differs
            assert_eq!(piece.bytes[..54 + repeated], expected);
            assert_eq!(piece.bytes[54 + repeated + 1], 0, "the fragment header's reserved byte");
            assert!(piece.bytes.len() <= 214);
        }
    }
}

#[test]
fn the_longest_datagrams() {
    let frames =
        [v4(9, &[], &payload(65_507)), v6(&[], &payload(65_527)), v6(&[HOP_BY_HOP], &payload(65_519))];
    comes_back("longest", &frames, &[68, 1280, 9000]);
}

#[test]
fn fragments_of_fragments() {
    let frames: Vec<_> = [600, 1400, 8000].iter().map(|&len| v4(len, &[], &payload(len.into()))).collect();
    let path = write_pcap("twice.pcap", LinkType::ETHERNET, &frames);
    let stages = "fragment:1280,fragment:576,shuffle,fragment:68,reassemble";
    replay(&[path.to_str().unwrap(), "--stage", stages, "--prove", "--check"]).clean();
}

#[test]
fn tagged_datagrams_stay_in_their_network() {
    // The same datagram in three networks: their fragments must not meet.
    let plain = v4(7, &[], &payload(3000));
    let tagged = |id: u8| [&plain[..12], &[0x81, 0, 0, id], &plain[12..]].concat();
    comes_back("tagged", &[plain.clone(), tagged(1), tagged(2)], &[576]);
}

#[test]
fn padding_of_short_fragments_is_no_payload() {
    let path = write_pcap("padded-whole.pcap", LinkType::ETHERNET, &[v4(7, &[], &payload(100))]);
    let pieces = through(&path, "fragment:68", "padded.pcapng");
    let padded: Vec<Vec<u8>> = pieces
        .into_iter()
        .map(|piece| {
            let mut bytes = piece.bytes;
            bytes.resize(bytes.len().max(90), 0xee);
            bytes
        })
        .collect();
    let path = write_pcap("padded.pcap", LinkType::ETHERNET, &padded);
    let found = through(&path, "reassemble", "unpadded.pcapng");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].bytes, v4(7, &[], &payload(100)));
}

#[test]
fn an_atomic_fragment_is_a_datagram_of_its_own() {
    // Two of them with one identification, as RFC 6946 asks to keep apart.
    const ATOMIC: (u8, &[u8]) = (44, &[0, 0, 0, 1, 2, 3, 4]);
    let frames = [v6(&[ATOMIC], &payload(10)), v6(&[ATOMIC], &payload(20))];
    let path = write_pcap("atomic.pcap", LinkType::ETHERNET, &frames);
    let found = through(&path, "reassemble", "atomic.pcapng");
    let bytes: Vec<_> = found.into_iter().map(|frame| frame.bytes).collect();
    assert_eq!(bytes, [v6(&[], &payload(10)), v6(&[], &payload(20))]);
}

#[test]
fn hostile_fragments_are_refused() {
    let piece = |offset: u16, more: bool, data: &[u8]| {
        let mut frame = v4(7, &[], data);
        let field = (offset / 8) | (u16::from(more) << 13);
        frame[20..22].copy_from_slice(&field.to_be_bytes());
        frame[24..26].copy_from_slice(&[0; 2]);
        let sum = checksum(&[&frame[14..34]]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
        frame
    };
    // UDP headers of eight bytes count: a piece has eight bytes more than its data.
    for (why, frames) in [
        ("length not a multiple of 8", vec![piece(0, true, &payload(9))]),
        ("piece behind the end", vec![piece(65_528, false, &payload(16))]),
        ("overlapping pieces", vec![piece(0, true, &payload(24)), piece(16, false, &payload(24))]),
        ("pieces contradict each other", vec![piece(8, false, &payload(8)), piece(80, false, &payload(8))]),
        ("pieces contradict each other", vec![piece(80, true, &payload(8)), piece(8, false, &payload(8))]),
        ("bad IPv4 header", {
            let mut frame = piece(0, true, &payload(8));
            frame[24] ^= 1;
            vec![frame]
        }),
    ] {
        let path = write_pcap("refused.pcap", LinkType::ETHERNET, &frames);
        let report =
            replay(&[path.to_str().unwrap(), "--stage", "reassemble", "--json", "--check"]).survived().json();
        let stage = &report["stages"][1];
        assert_eq!(stage["dropped"][why], frames.len(), "{why}: {stage}");
        assert_eq!(stage["packets_out"], 0);
    }
}

#[test]
fn what_waits_too_long_is_given_up() {
    let path = write_pcap("late-whole.pcap", LinkType::ETHERNET, &[v4(7, &[], &payload(1000))]);
    let pieces = through(&path, "fragment:576", "late.pcapng");
    let other = v4(8, &[], &payload(8));
    // Seconds of capture time: of the first fragment, of another frame, of the second fragment. None is 0.
    for (times, late) in [
        ([100, 110, 140], true),
        ([100, 110, 130], false),
        ([100, 140, 100], true),
        ([0, 100, 140], true),
        ([0, 100, 130], false),
        ([0, 0, 100], false),
    ] {
        let mut file = pcap(LinkType::ETHERNET, &[]);
        for (seconds, bytes) in times.into_iter().zip([&pieces[0].bytes, &other, &pieces[1].bytes]) {
            for field in [seconds, 0, bytes.len() as u32, bytes.len() as u32] {
                file.extend(field.to_le_bytes());
            }
            file.extend(bytes);
        }
        let path = temp("late.pcap");
        std::fs::write(&path, file).unwrap();
        for window in ["1", "64"] {
            let args = [path.to_str().unwrap(), "--stage", "reassemble", "--json", "--window", window];
            let report = replay(&args).survived().json();
            let stage = &report["stages"][1];
            assert_eq!(stage["packets_out"], if late { 1 } else { 2 }, "{times:?}: {stage}");
            let dropped = |why: &str| stage["dropped"][why].as_u64().unwrap_or(0);
            assert_eq!(dropped("incomplete for 30 seconds"), u64::from(late), "{times:?}: {stage}");
            assert_eq!(dropped("pieces missing at the end"), u64::from(late), "{times:?}: {stage}");
        }
    }
}
