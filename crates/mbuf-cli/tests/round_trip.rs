//! The main job: through the tunnel and back, byte for byte.

mod common;

use common::*;
use mbuf_io::LinkType;

#[test]
fn the_embedded_capture_comes_back() {
    let report = replay(&["--json", "--check"]).clean().json();
    assert_eq!(report["capture"]["frames"], 1091);
    assert_eq!(report["proof"]["identical"], 1091);
    assert_eq!(report["proof"]["holds"], true);
    assert_eq!(report["total"]["dropped"], 0);
    let names: Vec<&str> =
        report["stages"].as_array().unwrap().iter().map(|stage| stage["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["intake", "verify", "vxlan", "fragment:576", "reassemble", "decapsulate", "release"]);
    assert!(report["stages"][3]["packets_out"].as_u64() > report["stages"][3]["packets_in"].as_u64());
}

#[test]
fn every_recorded_capture_comes_back_over_ipv4_and_ipv6_in_any_window() {
    for capture in well_formed() {
        let expected = read(&capture);
        for stages in [
            "vxlan,fragment:576,reassemble,decapsulate",
            "vxlan:ipv6,fragment:1280,reassemble,decapsulate",
            "shatter:1,vxlan:ipv6,shatter:2,fragment:68,shatter:3,shuffle,shatter:4,reassemble,shatter:5,decapsulate",
        ] {
            for window in ["1", "7", "4096"] {
                let out = temp("round-trip.pcapng");
                let (capture, out_name) = (capture.to_str().unwrap(), out.to_str().unwrap());
                replay(&[
                    capture, "--stage", stages, "--prove", "--check", "--window", window, "--out", out_name,
                ])
                .clean();
                let mut found = read(&out);
                if stages.contains("shuffle") {
                    // Equal frames at equal times may trade places.
                    let mut expected = expected.clone();
                    expected.sort_by_key(|frame| (frame.timestamp, frame.bytes.clone()));
                    found.sort_by_key(|frame| (frame.timestamp, frame.bytes.clone()));
                    assert_same(&found, &expected, &format!("{capture} {stages} {window}"));
                } else {
                    assert_same(&found, &expected, &format!("{capture} {stages} {window}"));
                }
            }
        }
    }
}

#[test]
fn tunnels_in_tunnels_come_back() {
    let stages = "vxlan,vxlan:ipv6,fragment:400,shuffle,reassemble,vxlan,fragment:600,reassemble,decapsulate,\
                  decapsulate,decapsulate";
    replay(&["--stage", stages, "--prove", "--check"]).clean();
}

#[test]
fn a_tunnel_written_by_one_run_is_read_by_the_next() {
    let path = temp("tunnel.pcapng");
    for capture in well_formed() {
        let expected = read(&capture);
        for tunnel in ["vxlan", "vxlan:ipv6,fragment:700"] {
            let (capture, out) = (capture.to_str().unwrap(), path.to_str().unwrap());
            replay(&[capture, "--stage", tunnel, "--out", out]).clean();
            assert_same(&through(&path, "reassemble,decapsulate", "untunneled.pcapng"), &expected, capture);
        }
    }
}

/// Frames of every length around the limits of buffers and datagrams, up to some that no datagram holds.
fn awkward_lengths() -> Vec<Vec<u8>> {
    let mut lengths: Vec<usize> = (0..40).collect();
    for limit in [256, 512, 576, 1500, 2048, 4096, 9216, 16384, 65_280, 65_499, 65_535, 131_072, 200_000] {
        lengths.extend(limit - 3..limit + 3);
    }
    let mut random = Random(7);
    lengths.iter().map(|&len| (0..len).map(|_| random.next() as u8).collect()).collect()
}

#[test]
fn frames_of_any_length_and_link_type_come_back() {
    let frames = awkward_lengths();
    for link in [1, 0, 101, 113, 228, 229, 276, 105, 220, 4242] {
        let path = write_pcap(&format!("awkward-{link}.pcap"), LinkType(link), &frames);
        let path = path.to_str().unwrap();
        for outer in ["vxlan", "vxlan:ipv6"] {
            let stages = format!("verify,{outer},fragment:9000,shuffle:9,reassemble,decapsulate");
            let report = replay(&[path, "--stage", &stages, "--prove", "--check", "--json"]).clean().json();
            assert_eq!(report["proof"]["identical"], frames.len());
        }
        replay(&[path]).clean();
    }
}

#[test]
fn frames_cut_by_the_capture_keep_their_original_length() {
    let frames: Vec<_> =
        awkward_lengths().into_iter().map(|bytes| (bytes.len() as u32 + 1000, bytes)).collect();
    let path = temp("cut.pcap");
    std::fs::write(&path, pcap(LinkType::ETHERNET, &frames)).unwrap();
    let out = through(&path, "vxlan,fragment,reassemble,decapsulate", "cut-out.pcapng");
    assert_same(&out, &read(&path), "cut frames");
    assert!(out.iter().all(|frame| frame.original_len as usize == frame.bytes.len() + 1000));
}

#[test]
fn repeating_and_reading_standard_input() {
    let report = replay(&["--repeat", "3", "--json"]).clean().json();
    assert_eq!(report["proof"]["identical"], 3 * 1091);
    let bytes = std::fs::read(embedded()).unwrap();
    let report = replay_stdin(&["-", "--json"], &bytes);
    assert_eq!(report.json()["proof"]["identical"], 1091);
    let refused = replay_stdin(&["-", "--repeat", "2"], b"");
    assert_eq!(refused.status, Some(1));
}

/// Real frames with bytes of their headers overwritten: whatever they claim, they come back, and no stage trips.
#[test]
fn hostile_headers_come_back() {
    let real = read(&embedded());
    let mut random = Random(3);
    let mut frames = Vec::new();
    for round in 0..4000 {
        let mut bytes = real[random.below(real.len())].bytes.clone();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len().min(100));
            bytes[at] = match random.below(4) {
                0 => 0,
                1 => 0xff,
                2 => bytes[at] ^ 1 << random.below(8),
                _ => random.next() as u8,
            };
        }
        if round % 5 == 0 {
            bytes.truncate(random.below(bytes.len()));
        }
        frames.push(bytes);
    }
    for link in [LinkType::ETHERNET, LinkType::RAW, LinkType::LINUX_SLL] {
        let frames: Vec<Vec<u8>> = match link {
            LinkType::ETHERNET => frames.clone(),
            LinkType::RAW => {
                frames.iter().map(|bytes| bytes.get(14..).unwrap_or_default().to_vec()).collect()
            }
            _ => frames.iter().map(|bytes| [&[0; 2], &bytes[..]].concat()).collect(),
        };
        let path = write_pcap(&format!("hostile-{}.pcap", link.0), link, &frames);
        let path = path.to_str().unwrap();
        // The round trip takes whatever the frames say they are.
        let report = replay(&[path, "--check", "--json"]).clean().json();
        assert_eq!(report["proof"]["identical"], frames.len());
        for stages in [
            "fragment:68:force,shatter,shuffle,reassemble",
            "shatter,segment:1,coalesce",
            "segment:7,shuffle,coalesce:own,vlan,vlan-pop,vlan-pop,defrag",
            "vlan:7,vlan:8,mirror,shatter:3,mirror,verify,decapsulate,reassemble,decapsulate",
            "reassemble,fragment:1280,verify,shuffle,reassemble,verify,coalesce,segment",
        ] {
            replay(&[path, "--stage", stages, "--check"]).survived();
        }
    }
}
