//! Damaged and hostile captures: what stood before the damage is delivered, and the error says where it is.

mod common;

use common::*;
use mbuf_io::{Capture, CaptureError, Damage, MAX_FRAME};

/// Reads until the end or the damage.
fn read(file: &[u8]) -> (Vec<Vec<u8>>, Option<CaptureError>) {
    let mut frames = Vec::new();
    let mut capture = match Capture::new(file, "broken.pcap") {
        Ok(capture) => capture,
        Err(error) => return (frames, Some(error)),
    };
    loop {
        match capture.next_frame() {
            Ok(Some(frame)) => frames.push(frame.data.to_vec()),
            Ok(None) => return (frames, None),
            Err(error) => {
                assert!(capture.next_frame().unwrap().is_none(), "nothing follows the damage");
                return (frames, Some(error));
            }
        }
    }
}

/// Reads a file that must be damaged behind `frames` frames, at `offset`; at offset 0 it is the file as a whole.
fn damaged(file: &[u8], frames: usize, offset: usize) -> Damage {
    let (seen, error) = read(file);
    let error = error.expect("damage must be found");
    assert_eq!(seen.len(), frames, "{error}");
    let frame = (offset > 0).then_some(frames as u64 + 1);
    assert_eq!((error.frame, error.offset), (frame, offset as u64), "{error}");
    error.damage
}

#[test]
fn a_file_cut_anywhere_gives_what_stood_before() {
    for order in ORDERS {
        for file in [small_pcap(order), small_pcapng(order)] {
            let (whole, none) = read(&file);
            assert!(none.is_none());
            for len in 0..file.len() {
                let (seen, error) = read(&file[..len]);
                assert_eq!(seen[..], whole[..seen.len()]);
                match error {
                    Some(error) => assert!(error.offset <= len as u64, "{error}"),
                    // Cut exactly between two records.
                    None => assert!(len >= 24 && seen.len() <= whole.len()),
                }
            }
        }
    }
}

#[test]
fn truncation_tells_what_is_there() {
    let file = small_pcap(Order::Little);
    let second = 24 + 16 + 40;
    let damage = damaged(&file[..second + 16 + 10], 1, second);
    assert!(matches!(damage, Damage::Truncated { part: "a frame", expected: 57, found: 26 }), "{damage}");
    let damage = damaged(&file[..second + 3], 1, second);
    assert!(
        matches!(damage, Damage::Truncated { part: "a record header", expected: 16, found: 3 }),
        "{damage}"
    );
}

#[test]
fn messages_name_file_frame_and_offset() {
    let file = small_pcap(Order::Little);
    let (_, error) = read(&file[..100]);
    assert_eq!(
        error.unwrap().to_string(),
        "broken.pcap: frame 2, byte offset 80: the file ends inside a frame: 20 of 57 bytes are there"
    );
    let message = |file: &[u8]| read(file).1.unwrap().to_string();
    assert_eq!(message(b""), "broken.pcap: the file is empty");
    assert_eq!(
        message(&small_pcapng(Order::Little)[..20]),
        "broken.pcap: the file ends inside a section header: 20 of 28 bytes are there"
    );
}

#[test]
fn not_a_capture() {
    assert!(matches!(damaged(b"", 0, 0), Damage::Empty));
    assert!(matches!(damaged(b"\xd4\xc3", 0, 0), Damage::Truncated { .. }));
    assert!(matches!(damaged(b"GIF89a", 0, 0), Damage::NotACapture { magic: [b'G', b'I', b'F', b'8'] }));
    assert!(matches!(damaged(b"\x1f\x8b\x08\x00", 0, 0), Damage::Compressed { format: "gzip" }));
    let mut future = small_pcap(Order::Big);
    future[5] = 3;
    assert!(matches!(damaged(&future, 0, 0), Damage::Version { major: 3, minor: 4 }));
}

#[test]
fn huge_lengths_are_refused_without_reading_on() {
    for order in ORDERS {
        let mut file = pcap_header(order, 0xa1b2_c3d4, 1);
        file.extend(pcap_record(order, 0, 0, 0, b""));
        file.extend(order.u32(0));
        file.extend(order.u32(0));
        file.extend(order.u32(u32::MAX));
        file.extend(order.u32(u32::MAX));
        let damage = damaged(&file, 1, 40);
        assert!(matches!(damage, Damage::FrameLength { len: u32::MAX, limit: MAX_FRAME }), "{damage}");

        for len in [0, 8, 11, 13, 30, u32::MAX, u32::MAX - 3, MAX_FRAME * 2] {
            let mut file = small_pcapng(order);
            let at = file.len();
            file.extend(order.u32(6));
            file.extend(order.u32(len));
            file.extend([0; 64]);
            let damage = damaged(&file, 4, at);
            assert!(
                matches!(damage, Damage::BlockLength { block: 6, len: found } if found == len),
                "{damage}"
            );
        }
    }
}

#[test]
fn a_frame_must_fit_into_its_block() {
    for order in ORDERS {
        let mut file = small_pcapng(order);
        let at = file.len();
        let mut packet = enhanced(order, 0, 0, 8, b"12345678");
        packet[20..24].copy_from_slice(&order.u32(9));
        file.extend(packet);
        let damage = damaged(&file, 4, at);
        assert!(matches!(damage, Damage::FrameLength { len: 9, limit: 8 }), "{damage}");
    }
}

#[test]
fn the_two_lengths_of_a_block_must_agree() {
    for kind in [5, 6] {
        let mut file = small_pcapng(Order::Little);
        let at = file.len();
        let mut last = block(Order::Little, kind, &[0; 32]);
        let end = last.len();
        last[end - 4] = 99;
        file.extend(last);
        let damage = damaged(&file, 4, at);
        assert!(matches!(damage, Damage::BlockTrailer { len: 44, trailer: 99, .. }), "{damage}");
    }
}

#[test]
fn an_interface_must_be_described_in_its_section() {
    let file = [section(Order::Little), simple(Order::Little, 1, b"x")].concat();
    let damage = damaged(&file, 0, 28);
    assert!(matches!(damage, Damage::UnknownInterface { interface: 0, described: 0 }), "{damage}");

    let mut file = small_pcapng(Order::Little);
    file.extend(section(Order::Little));
    let at = file.len();
    file.extend(enhanced(Order::Little, 1, 0, 0, b""));
    let damage = damaged(&file, 4, at);
    assert!(matches!(damage, Damage::UnknownInterface { interface: 1, described: 0 }), "{damage}");
}

#[test]
fn interfaces_are_limited() {
    let one = interface(Order::Little, 1, 0, &[]);
    let mut file = section(Order::Little);
    for _ in 0..=mbuf_io::MAX_INTERFACES {
        file.extend(&one);
    }
    let at = file.len() - one.len();
    assert!(matches!(damaged(&file, 0, at), Damage::TooManyInterfaces));
}

#[test]
fn a_reader_that_fails_is_damage_at_that_frame() {
    struct Failing<'a>(&'a [u8]);
    impl std::io::Read for Failing<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.0.is_empty() {
                return Err(std::io::Error::other("the disk is on fire"));
            }
            self.0.read(buffer)
        }
    }
    let file = small_pcap(Order::Little);
    let mut capture = Capture::new(Failing(&file[..100]), "disk").unwrap();
    assert!(capture.next_frame().unwrap().is_some());
    let error = capture.next_frame().unwrap_err();
    assert_eq!((error.frame, error.offset), (Some(2), 80));
    assert_eq!(error.to_string(), "disk: frame 2, byte offset 80: cannot read: the disk is on fire");
    assert!(std::error::Error::source(&error).is_some());
}

/// A small generator of pseudo-random numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

#[test]
fn mutated_files_never_panic_and_never_invent_frames() {
    const WORTH_TRYING: [u32; 8] = [0, 1, 4, 0x7fff_ffff, 0x8000_0000, u32::MAX - 3, u32::MAX - 1, u32::MAX];
    let mut random = Random(1);
    let seeds: Vec<Vec<u8>> =
        ORDERS.iter().flat_map(|&order| [small_pcap(order), small_pcapng(order)]).collect();
    for round in 0..20_000 {
        let mut file = seeds[round % seeds.len()].clone();
        for _ in 0..=random.below(3) {
            let at = random.below(file.len());
            match random.below(4) {
                0 => file[at] = random.next() as u8,
                1 => file[at] ^= 1 << random.below(8),
                2 => file.truncate(at.max(1)),
                _ => {
                    let value = WORTH_TRYING[random.below(WORTH_TRYING.len())].to_le_bytes();
                    let at = (at & !3).min(file.len().saturating_sub(4));
                    let end = (at + 4).min(file.len());
                    file[at..end].copy_from_slice(&value[..end - at]);
                }
            }
        }
        let (frames, error) = read(&file);
        let bytes: usize = frames.iter().map(Vec::len).sum();
        assert!(bytes <= file.len());
        if let Some(error) = error {
            assert!(error.offset <= file.len() as u64);
            assert!(!error.to_string().is_empty());
        }
    }
}
