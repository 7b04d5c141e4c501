//! What a well-formed capture is read as.

mod common;

use std::io::Read;
use std::path::Path;

use common::*;
use mbuf::Pool;
use mbuf_io::{Capture, LinkType};

/// What a test looks at: interface, timestamp, original length, bytes.
type Seen = (u32, u64, u32, Vec<u8>);

fn read_all(file: &[u8]) -> Vec<Seen> {
    let mut capture = Capture::new(file, "test").unwrap();
    let mut seen = Vec::new();
    while let Some(frame) = capture.next_frame().unwrap() {
        assert_eq!(frame.number, seen.len() as u64 + 1);
        seen.push((frame.interface, frame.timestamp, frame.original_len, frame.data.to_vec()));
    }
    assert!(capture.next_frame().unwrap().is_none());
    assert_eq!(capture.frames(), seen.len() as u64);
    assert_eq!(capture.position(), file.len() as u64);
    seen
}

#[test]
fn pcap_in_both_orders_and_both_units() {
    for order in ORDERS {
        for (magic, unit) in [(0xa1b2_c3d4, 1000), (0xa1b2_3c4d, 1)] {
            let mut file = pcap_header(order, magic, 1);
            file.extend(pcap_record(order, 7, 9, 100, b"abc"));
            file.extend(pcap_record(order, u32::MAX, u32::MAX, 0, b""));
            let seen = read_all(&file);
            assert_eq!(seen[0], (0, 7_000_000_000 + 9 * unit, 100, b"abc".to_vec()));
            assert_eq!(seen[1].3, b"");
        }
    }
}

#[test]
fn modified_pcap_has_longer_record_headers() {
    for order in ORDERS {
        let mut file = pcap_header(order, 0xa1b2_cd34, 1);
        for data in [&b"abc"[..], b"defg"] {
            let record = pcap_record(order, 7, 9, 100, data);
            file.extend([&record[..16], &[0xee; 8], &record[16..]].concat());
        }
        let seen = read_all(&file);
        assert_eq!(seen[0], (0, 7_000_009_000, 100, b"abc".to_vec()));
        assert_eq!(seen[1].3, b"defg");
    }
}

#[test]
fn pcap_link_type_ignores_the_check_sequence_bits() {
    let file = pcap_header(Order::Little, 0xa1b2_c3d4, 0x1400_0071);
    let capture = Capture::new(&file[..], "test").unwrap();
    assert_eq!(capture.interfaces()[0].link, LinkType::LINUX_SLL);
}

#[test]
fn every_packet_block_of_pcapng() {
    for order in ORDERS {
        let file = small_pcapng(order);
        let seen = read_all(&file);
        assert_eq!(
            seen,
            [
                (0, 1_000_000_001, 5, b"first".to_vec()),
                (1, 2_000, 3, b"two".to_vec()),
                (0, 0, 5, b"three".to_vec()),
                (0, 4, 4, b"four".to_vec()),
            ]
        );
        let mut capture = Capture::new(&file[..], "test").unwrap();
        while capture.next_frame().unwrap().is_some() {}
        assert_eq!(capture.interfaces()[0].name.as_deref(), Some("eth0"));
        assert_eq!(capture.interfaces()[1].link, LinkType::LINUX_SLL2);
    }
}

#[test]
fn sections_may_change_the_byte_order_and_restart_the_interfaces() {
    let mut file = small_pcapng(Order::Little);
    file.extend(small_pcapng(Order::Big));
    let seen = read_all(&file);
    let interfaces: Vec<u32> = seen.iter().map(|frame| frame.0).collect();
    assert_eq!(interfaces, [0, 1, 0, 0, 2, 3, 2, 2]);
    assert_eq!(seen[0].3, seen[4].3);
}

#[test]
fn time_offset_is_read_in_the_byte_order_of_the_section() {
    for order in ORDERS {
        let options = [option(order, 14, &order.u64(100)), option(order, 9, &[0x80 | 1])];
        let file =
            [section(order), interface(order, 1, 0, &options), enhanced(order, 0, 3, 1, b"x")].concat();
        assert_eq!(read_all(&file)[0].1, 101_500_000_000);
    }
}

#[test]
fn simple_packets_are_cut_at_snaplen() {
    let file = [
        section(Order::Little),
        interface(Order::Little, 1, 6, &[]),
        simple(Order::Little, 9, b"sixsix\0\0"),
    ];
    let seen = read_all(&file.concat());
    assert_eq!(seen[0], (0, 0, 9, b"sixsix".to_vec()));
}

#[test]
fn offsets_point_at_records() {
    for order in ORDERS {
        for file in [small_pcap(order), small_pcapng(order)] {
            let mut capture = Capture::new(&file[..], "test").unwrap();
            while let Some(frame) = capture.next_frame().unwrap() {
                let at = frame.offset as usize;
                assert!(file[at..].windows(frame.data.len()).take(32).any(|bytes| bytes == frame.data));
            }
        }
    }
}

/// A reader that gives one byte at a time, and an interruption before each.
struct Trickle<'a>(&'a [u8], bool);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.1 = !self.1;
        if self.1 {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        let len = 1.min(buffer.len());
        self.0.read(&mut buffer[..len])
    }
}

#[test]
fn slow_and_interrupted_readers_make_no_difference() {
    for order in ORDERS {
        for file in [small_pcap(order), small_pcapng(order)] {
            let mut slow = Capture::new(Trickle(&file, false), "slow").unwrap();
            for (_, _, _, expected) in read_all(&file) {
                assert_eq!(slow.next_frame().unwrap().unwrap().data, expected);
            }
            assert!(slow.next_frame().unwrap().is_none());
        }
    }
}

#[test]
fn a_frame_enters_the_pool_as_from_a_driver() {
    let pool = Pool::builder().headroom(96).build().unwrap();
    let file = small_pcapng(Order::Little);
    let mut capture = Capture::new(&file[..], "test").unwrap();
    capture.next_frame().unwrap().unwrap();
    let frame = capture.next_frame().unwrap().unwrap();
    let packet = frame.into_packet(&pool).unwrap();
    assert_eq!(packet, b"two");
    assert_eq!(packet.meta().interface, 1);
    assert_eq!(packet.meta().timestamp, 2_000);
    let long = [0; 1000];
    let frame = mbuf_io::Frame { data: &long, ..frame };
    let long = frame.into_packet(&pool).unwrap();
    assert!(long.first_segment().headroom() >= 96);
    drop((packet, long));
    assert_eq!(pool.stats().mbufs.current, 0);
}

#[test]
fn a_dry_pool_does_not_lose_the_capture() {
    let pool = Pool::builder().mbufs(0).build().or_else(|_| Pool::builder().mbufs(1).build()).unwrap();
    let mut hoard = Vec::new();
    while let Ok(packet) = mbuf::Packet::new(&pool) {
        hoard.push(packet);
    }
    let file = small_pcapng(Order::Little);
    let mut capture = Capture::new(&file[..], "test").unwrap();
    let frame = capture.next_frame().unwrap().unwrap();
    assert!(frame.into_packet(&pool).is_err());
    hoard.clear();
    if pool.stats().mbufs.limit != Some(0) {
        assert_eq!(frame.into_packet(&pool).unwrap(), b"first");
    }
    assert_eq!(capture.next_frame().unwrap().unwrap().data, b"two");
}

/// The recorded captures of the repository: frames, and what is wrong behind them.
const RECORDED: [(&str, u64, Option<&str>); 15] = [
    ("real.pcapng", 1091, None),
    ("extra/nsec-be.pcap", 24, None),
    ("extra/usec-le.pcap", 24, None),
    ("extra/loopback-null.pcap", 18, None),
    ("extra/linux-sll.pcap", 14, None),
    ("extra/raw-ip.pcap", 18, None),
    ("extra/snap96.pcap", 30, None),
    ("extra/multi-if.pcapng", 20, None),
    ("extra/mixed-endian.pcapng", 15, None),
    ("extra/empty.pcap", 0, None),
    ("extra/cut-mid-frame.pcap", 4, Some("the file ends inside a frame")),
    ("extra/cut-mid-block.pcapng", 4, Some("the file ends inside a packet block")),
    ("extra/bad-length.pcap", 3, Some("captured bytes, at most 16777216 are possible")),
    ("extra/bad-magic.pcap", 0, Some("neither pcap nor pcapng")),
    ("extra/zero.pcap", 0, Some("the file is empty")),
];

#[test]
fn recorded_captures() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../captures");
    if !folder.is_dir() {
        println!("skipped: {} is not there", folder.display());
        return;
    }
    for (name, frames, damage) in RECORDED {
        let file = std::fs::read(folder.join(name)).unwrap();
        let (seen, error) = match Capture::new(&file[..], name) {
            Err(error) => (0, Some(error)),
            Ok(mut capture) => loop {
                match capture.next_frame() {
                    Ok(Some(_)) => {}
                    Ok(None) => break (capture.frames(), None),
                    Err(error) => break (capture.frames(), Some(error)),
                }
            },
        };
        assert_eq!(seen, frames, "{name}");
        let message = error.map(|error| error.to_string());
        match (damage, &message) {
            (None, None) => {}
            (Some(damage), Some(message)) => assert!(message.contains(damage), "{message}"),
            _ => panic!("{name}: {message:?}"),
        }
    }
}

/// The same frames in big-endian nanoseconds and little-endian microseconds.
#[test]
fn recorded_byte_orders_agree() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../captures/extra");
    let (Ok(nanos), Ok(micros)) =
        (std::fs::read(folder.join("nsec-be.pcap")), std::fs::read(folder.join("usec-le.pcap")))
    else {
        println!("skipped: {} is not there", folder.display());
        return;
    };
    let (nanos, micros) = (read_all(&nanos), read_all(&micros));
    assert_eq!(nanos.len(), micros.len());
    for (nano, micro) in nanos.into_iter().zip(micros) {
        assert_eq!(nano.1 / 1000 * 1000, micro.1);
        assert_eq!((nano.2, nano.3), (micro.2, micro.3));
    }
}
