//! Readers, writers and reserves.

use std::io::{BufRead, Read, Seek, SeekFrom, Write};

use mbuf::{Packet, Pool, Reserve};

fn assert_empty(pool: &Pool) {
    let stats = pool.stats();
    assert_eq!((stats.mbufs.current, stats.clusters.current), (0, 0));
}

#[test]
fn a_reader_agrees_with_a_cursor_over_the_same_bytes() {
    let pool = Pool::new();
    let data: Vec<u8> = (0..200).collect();
    for sizes in [vec![200], vec![1; 200], vec![7, 50, 3, 100, 40]] {
        let mut packet = Packet::from_slice(&pool, &data).unwrap();
        packet.shatter(sizes).unwrap();
        let (mut ours, mut theirs) = (packet.reader(), std::io::Cursor::new(&data));
        let seeks = [
            SeekFrom::Start(5),
            SeekFrom::Current(20),
            SeekFrom::Current(-10),
            SeekFrom::End(-3),
            SeekFrom::End(7),
            SeekFrom::Current(-9),
            SeekFrom::Start(1000),
            SeekFrom::Current(-900),
            SeekFrom::Start(0),
            SeekFrom::End(0),
            SeekFrom::Current(-200),
        ];
        for seek in seeks {
            assert_eq!(ours.seek(seek).unwrap(), theirs.seek(seek).unwrap(), "{seek:?}");
            assert_eq!(ours.position(), theirs.position());
            let (mut a, mut b) = ([0; 9], [0; 9]);
            let want = theirs.read(&mut b).unwrap();
            let mut got = 0;
            while got < want {
                got += ours.read(&mut a[got..want]).unwrap();
            }
            assert_eq!(ours.read(&mut []).unwrap(), 0);
            assert_eq!(a, b, "after {seek:?}");
            assert_eq!(ours.position(), theirs.position());
        }
        assert!(ours.seek(SeekFrom::Current(-5000)).is_err());
        let mut rest = Vec::new();
        let mut reader = packet.reader();
        reader.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, data);
        assert_eq!(reader.remaining(), 0);
        assert!(reader.read_exact(&mut [0]).is_err());
    }
    assert_empty(&pool);
}

#[test]
fn a_failed_read_exact_moves_nothing() {
    let pool = Pool::new();
    let packet = Packet::from_slice(&pool, b"abc").unwrap();
    let mut reader = packet.reader();
    assert!(reader.read_exact(&mut [0; 4]).is_err());
    assert_eq!(reader.position(), 0);
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn lines_cross_segments() {
    let pool = Pool::new();
    let mut packet = Packet::from_slice(&pool, b"alpha\nbeta\n\ngamma").unwrap();
    packet.shatter([3, 4, 1, 2]).unwrap();
    let lines: Vec<_> = packet.reader().lines().map(Result::unwrap).collect();
    assert_eq!(lines, ["alpha", "beta", "", "gamma"]);
    let mut reader = packet.reader();
    reader.consume(usize::MAX);
    assert_eq!(reader.position(), 3);
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn a_writer_appends_and_an_exhausted_pool_is_an_error_that_keeps_what_was_written() {
    let pool = Pool::builder().mbufs(2).clusters(1).jumbo_pages(0).build().unwrap();
    let mut packet = Packet::with_cluster(&pool).unwrap();
    let room = packet.tailroom();
    packet.writer().write_all(&vec![1; room]).unwrap();
    packet.writer().write_all(&[2; 184]).unwrap();
    let error = packet.writer().write_all(&[3]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::OutOfMemory);
    assert_eq!(error.to_string(), "no mbufs are free: the pool's limit of 2 is in use");
    assert_eq!(packet.len(), room + 184);
    packet.check().unwrap();
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn a_reserve_becomes_a_packet_of_any_length_up_to_its_capacity() {
    let pool = Pool::new();
    for len in [0, 1, 100, 104, 2048, 4000, 9000, 9001] {
        let mut reserve = Reserve::new(&pool, 9000).unwrap();
        assert!(reserve.capacity() >= 9000);
        let mut next = 0u8;
        for slice in reserve.slices_mut() {
            for byte in slice {
                *byte = next;
                next = next.wrapping_add(1);
            }
        }
        let packet = reserve.into_packet(len).unwrap();
        packet.check().unwrap();
        let want: Vec<u8> = (0..len).map(|i| i as u8).collect();
        assert_eq!(packet, want);
    }
    let reserve = Reserve::new(&pool, 10).unwrap();
    let capacity = reserve.capacity();
    let refused = reserve.into_chain(capacity + 1).unwrap_err();
    assert_eq!(refused.error, mbuf::BoundsError { offset: 0, len: capacity + 1, available: capacity }.into());
    assert_eq!(refused.input.into_packet(10).unwrap().len(), 10);
    let endless = Reserve::new(&pool, usize::MAX).unwrap_err();
    assert!(matches!(endless, mbuf::OpError::TooLong { .. }), "{endless}");
    assert_empty(&pool);
}

#[test]
fn a_reserve_is_appended_without_a_copy_and_comes_back_on_failure() {
    let pool = Pool::new();
    let mut packet = Packet::from_slice(&pool, &[1; 1900]).unwrap();
    let mut reserve = Reserve::new(&pool, 3000).unwrap();
    let at = reserve.slices_mut().next().unwrap().as_ptr();
    reserve.slices_mut().for_each(|s| s.fill(2));
    let mbuf::Refused { error, input: reserve } = packet.append_reserve(reserve, 100_000).unwrap_err();
    assert_eq!(error.to_string(), "100000 bytes at offset 0 are outside of 4032 bytes");
    packet.append_reserve(reserve, 3000).unwrap();
    packet.check().unwrap();
    assert_eq!(packet.len(), 4900);
    assert_eq!(packet.last_segment().bytes().as_ptr(), at);
    assert!(Reserve::new(&Pool::builder().mbufs(1).build().unwrap(), 100_000).is_err());
    drop(packet);
    assert_empty(&pool);
}
