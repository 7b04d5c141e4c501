//! What is written is read back.

mod common;

use std::io::{self, IoSlice, Write};

use mbuf::{Packet, Pool};
use mbuf_io::{Capture, Interface, LinkType, PcapngWriter, TimeUnit, WriteError};

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + len) as u8).collect()
}

#[test]
fn every_length_and_padding_comes_back() {
    let pool = Pool::new();
    let mut file = Vec::new();
    let mut writer = PcapngWriter::new(&mut file, "test").unwrap();
    let ethernet = writer.add_interface(&Interface::new(LinkType::ETHERNET).named("eth0")).unwrap();
    let raw = writer.add_interface(&Interface::new(LinkType::RAW)).unwrap();
    let lengths = [0, 1, 2, 3, 4, 5, 63, 64, 255, 256, 1514, 9000, 70_001];
    for (index, len) in lengths.into_iter().enumerate() {
        let mut packet = Packet::from_slice(&pool, &bytes(len)).unwrap();
        packet.meta_mut().interface = if index % 2 == 0 { ethernet } else { raw };
        packet.meta_mut().timestamp = 1_700_000_000_123_456_789 + index as u64;
        writer.write(&packet, len as u32 + 9).unwrap();
    }
    writer.finish().unwrap();

    let mut capture = Capture::new(&file[..], "written").unwrap();
    for (index, len) in lengths.into_iter().enumerate() {
        let frame = capture.next_frame().unwrap().unwrap();
        assert_eq!(frame.data, bytes(len));
        assert_eq!(frame.interface, index as u32 % 2);
        assert_eq!(frame.timestamp, 1_700_000_000_123_456_789 + index as u64);
        assert_eq!(frame.original_len, len as u32 + 9);
        assert_eq!(frame.missing(), 9);
    }
    assert!(capture.next_frame().unwrap().is_none());
    assert_eq!(capture.interfaces()[0], Interface::new(LinkType::ETHERNET).named("eth0"));
    assert_eq!(capture.interfaces()[1].link, LinkType::RAW);
    assert_eq!(capture.interfaces()[1].time_unit, TimeUnit::NANOS);
}

/// A writer that takes few bytes at a time and never flattens.
#[derive(Default)]
struct Stingy {
    taken: Vec<u8>,
    calls: usize,
}

impl Write for Stingy {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(7);
        self.taken.extend(&bytes[..count]);
        Ok(count)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.calls += 1;
        if self.calls.is_multiple_of(5) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let mut left = 100;
        for slice in slices {
            let count = slice.len().min(left);
            self.taken.extend(&slice[..count]);
            left -= count;
        }
        Ok(100 - left)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn many_segments_and_short_writes() {
    let pool = Pool::new();
    let expected = bytes(1000);
    let mut packet = Packet::from_slice(&pool, &expected).unwrap();
    packet.shatter(std::iter::repeat(3)).unwrap();
    assert!(packet.segment_count() > 300);

    let mut writer = PcapngWriter::new(Stingy::default(), "test").unwrap();
    let interface = writer.add_interface(&Interface::new(LinkType::ETHERNET)).unwrap();
    writer.write_on(interface, 5, 1000, &packet).unwrap();
    let file = writer.finish().unwrap().taken;

    let mut capture = Capture::new(&file[..], "written").unwrap();
    assert_eq!(capture.next_frame().unwrap().unwrap().data, expected);
    assert!(capture.next_frame().unwrap().is_none());
}

#[test]
fn an_interface_must_be_added_first() {
    let pool = Pool::new();
    let packet = Packet::from_slice(&pool, b"x").unwrap();
    let mut writer = PcapngWriter::new(Vec::new(), "test").unwrap();
    let error = writer.write(&packet, 1).unwrap_err();
    assert!(matches!(error, WriteError::UnknownInterface { interface: 0, added: 0 }), "{error}");
}

#[test]
fn a_full_disk_is_an_error() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Ok(0)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    assert!(PcapngWriter::new(Full, "test").is_err());
}
