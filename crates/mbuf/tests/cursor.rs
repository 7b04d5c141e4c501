//! Readers, writers and reserves.

use std::io::{self, BufRead, Cursor, ErrorKind, IoSlice, Read, Seek, SeekFrom, Write};

use mbuf::{BoundsError, Class, Flags, MLEN, OpError, Packet, Pool, Refused, Reserve, Resource};
use mbuf_testkit::{
    Built, Hold, Observe, Shape, Storage, assert_empty, both_kinds, each_offset, each_shape,
    for_every_failure, in_use, pattern,
};

both_kinds! {
    fn a_reader_seeks_and_reads_as_a_cursor_does<H>() {
        each_offset::<H>(|built, at| {
            let (mut ours, mut theirs) = (built.chain.reader(), Cursor::new(&built.bytes));
            let (forth, back) = (at.min(i64::MAX as usize) as i64, -(at.min(i64::MAX as usize) as i64));
            let seeks = [
                SeekFrom::Start(at as u64),
                SeekFrom::Current(-1),
                SeekFrom::Current(2),
                SeekFrom::End(back),
                SeekFrom::Current(forth),
                SeekFrom::Current(back),
                SeekFrom::End(3),
                SeekFrom::Start(1),
                SeekFrom::Current(forth),
                SeekFrom::End(0),
                SeekFrom::Current(i64::MIN),
                SeekFrom::Start(u64::MAX),
                SeekFrom::Current(1),
                SeekFrom::Start(at as u64),
            ];
            for seek in seeks {
                match theirs.seek(seek) {
                    Ok(to) => assert_eq!(ours.seek(seek).unwrap(), to, "{seek:?}"),
                    Err(error) => assert_eq!(ours.seek(seek).unwrap_err().kind(), error.kind(), "{seek:?}"),
                }
                let position = theirs.position();
                assert_eq!(ours.position(), position, "{seek:?}");
                let start = usize::try_from(position).unwrap_or(usize::MAX).min(built.bytes.len());
                let expected = &built.bytes[start..];
                assert_eq!(ours.remaining(), expected.len());
                // What is looked at through a copy is still to be read.
                let mut copy = ours.clone();
                let chunk = copy.fill_buf().unwrap();
                assert!(expected.starts_with(chunk) && chunk.is_empty() == expected.is_empty());
                let n = expected.len().min(4);
                let mut out = [0xee; 4];
                copy.read_exact(&mut out[..n]).unwrap();
                assert_eq!(out[..n], expected[..n]);
                assert_eq!(copy.position(), position + n as u64);
                let mut too_long = vec![0; expected.len() + 1];
                assert_eq!(ours.read_exact(&mut too_long).unwrap_err().kind(), ErrorKind::UnexpectedEof);
                assert_eq!(ours.position(), position, "a failed read moves nothing");
            }
        });
    }

    fn a_reader_gives_every_byte_once_however_it_is_asked<H>() {
        each_shape::<H>(|built| {
            let bytes = &built.bytes;
            let mut all = Vec::new();
            assert_eq!(built.chain.reader().read_to_end(&mut all).unwrap(), bytes.len());
            assert_eq!(&all, bytes);
            // By pieces that do not fall on borders.
            let (mut reader, mut at) = (built.chain.reader(), 0);
            for size in [0, 1, 3, 64, 1000].into_iter().cycle() {
                let mut out = vec![0xee; size];
                let n = reader.read(&mut out).unwrap();
                assert!(n > 0 || size == 0 || at == bytes.len());
                assert_eq!(out[..n], bytes[at..at + n]);
                at += n;
                assert_eq!((reader.position(), reader.remaining()), (at as u64, bytes.len() - at));
                if at == bytes.len() && size == 1000 {
                    break;
                }
            }
            // By segments: the memory they have.
            let mut reader = built.chain.reader();
            for segment in built.chain.segments().filter(|seg| !seg.is_empty()) {
                let chunk = reader.fill_buf().unwrap();
                assert_eq!(chunk.as_ptr_range(), segment.bytes().as_ptr_range());
                reader.consume(segment.len() - 1);
                assert_eq!(reader.chunk(), &segment.bytes()[segment.len() - 1..]);
                reader.consume(1);
            }
            assert!(reader.chunk().is_empty());
            // No more than the rest of the segment is consumed.
            let mut reader = built.chain.reader();
            reader.consume(usize::MAX);
            assert_eq!(reader.position(), built.chain.first_segment().len() as u64);
            // Up to a byte that may be anywhere.
            let (mut ours, mut theirs) = (built.chain.reader(), Cursor::new(bytes));
            loop {
                let (mut a, mut b) = (Vec::new(), Vec::new());
                let n = theirs.read_until(pattern(1), &mut b).unwrap();
                assert_eq!(ours.read_until(pattern(1), &mut a).unwrap(), n);
                assert_eq!(a, b);
                if n == 0 {
                    break;
                }
            }
        });
    }

    fn a_writer_appends_all_it_is_given<H>() {
        each_shape::<H>(|built| {
            for &n in if cfg!(miri) { &[0usize, 1, 300][..] } else { &[0, 1, 7, 300, 5000] } {
                let data: Vec<u8> = (0..n).map(|i| 0x55 ^ i as u8).collect();
                let (room, count) = (built.chain.tailroom(), built.chain.segment_count());
                let (first, empty) = (built.chain.first_segment().as_ptr(), built.chain.is_empty());
                assert_eq!(built.chain.writer().write(&data).unwrap(), n);
                built.bytes.extend(&data);
                built.check();
                assert!(built.chain.segment_count() == count || n > room, "there was room");
                assert!(built.chain.first_segment().as_ptr() == first || empty, "what is there stays");
                let (a, b) = data.split_at(n / 3);
                let slices = [&[], a, &[], b, &[]].map(IoSlice::new);
                assert_eq!(built.chain.writer().write_vectored(&slices).unwrap(), n);
                built.bytes.extend(&data);
                built.check();
                built.chain.writer().flush().unwrap();
            }
            assert_eq!(built.chain.writer().write_vectored(&[]).unwrap(), 0);
            write!(built.chain.writer(), "{}three", 12).unwrap();
            built.bytes.extend(b"12three");
            built.check();
            Built::check_header(&built.chain);
        });
    }

    fn a_reserve_is_put_behind_whatever_is_there<H>() {
        each_shape::<H>(|built| {
            let wanted = if cfg!(miri) { 300 } else { 4100 };
            for len in [0usize, 1, 40, 300, wanted] {
                let (reserve, bytes) = filled(&built.pool, wanted);
                let capacity = reserve.capacity();
                let (before, used) = (built.chain.observe(), in_use(&built.pool));
                let refused = built.chain.append_reserve(reserve, capacity + 1).unwrap_err();
                let error = BoundsError { start: 0, end: capacity + 1, available: capacity };
                assert_eq!((refused.error, refused.input.capacity()), (error.into(), capacity));
                assert_eq!((built.chain.observe(), in_use(&built.pool)), (before, used));
                let allocated = built.pool.stats().mbufs.allocations;
                built.chain.append_reserve(refused.input, len).unwrap();
                assert_eq!(built.pool.stats().mbufs.allocations, allocated);
                built.bytes.extend(&bytes[..len]);
                built.check();
            }
            Built::check_header(&built.chain);
            assert!(built.chain.segments().all(|seg| !seg.is_empty()));
        });
    }
}

/// Chains on which a writer has to allocate sooner or later.
fn full() -> Vec<Shape> {
    let all = [Storage::Inline, Storage::Own(Class::Cluster), Storage::Shared(Class::Cluster)];
    let all = all.into_iter().chain([Storage::Copy(Class::Page), Storage::External, Storage::SharedReadOnly]);
    all.map(|storage| Shape::of([(10, storage), (30, storage)]).flush())
        .chain([Shape::single(0, Storage::Inline)])
        .collect()
}

#[test]
fn a_write_that_fails_has_written_nothing() {
    let data = [7; 6000];
    for shape in full().into_iter().step_by(if cfg!(miri) { 10 } else { 1 }) {
        let write = |chain: &mut Packet| chain.writer().write(&data).map(drop);
        let failures = for_every_failure(|pool| shape.build(pool).chain, |_, chain| write(chain));
        assert!(failures.mbufs > 0 && failures.storage + failures.pages > 0, "{failures:?}");
        let slices = [&data[..100], &data[..3000], &data[..50]].map(IoSlice::new);
        let write = |chain: &mut mbuf::Chain| chain.writer().write_vectored(&slices).map(drop);
        let failures = for_every_failure(|pool| shape.build(pool).chain, |_, chain| write(chain));
        assert!(failures.mbufs > 0 && failures.storage + failures.pages > 0, "{failures:?}");
    }
}

#[test]
fn an_exhausted_pool_is_an_error_that_keeps_what_was_written_before() {
    let pool = Pool::builder().mbufs(2).clusters(1).jumbo_pages(0).build().unwrap();
    let mut packet = Packet::with_cluster(&pool).unwrap();
    let room = packet.tailroom();
    packet.writer().write_all(&vec![1; room]).unwrap();
    packet.writer().write_all(&[2; MLEN]).unwrap();
    let error = packet.writer().write_all(&[3]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    assert_eq!(error.to_string(), "no mbufs are free: the pool's limit of 2 is in use");
    assert_eq!(packet.len(), room + MLEN);
    packet.check().unwrap();
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn an_error_becomes_one_of_io_of_the_same_kind_and_text() {
    let pool = Pool::builder().mbufs(0).build().unwrap();
    let none_free = Packet::new(&pool).unwrap_err();
    let errors = [
        (BoundsError { start: 1, end: 2, available: 1 }.into(), ErrorKind::UnexpectedEof),
        (none_free.into(), ErrorKind::OutOfMemory),
        (OpError::Tag, ErrorKind::InvalidInput),
        (OpError::TooLong { len: 2, max: 1 }, ErrorKind::InvalidInput),
    ];
    for (error, kind) in errors {
        let text = error.to_string();
        let error = io::Error::from(error);
        assert_eq!((error.kind(), error.to_string()), (kind, text));
    }
}

#[test]
fn readers_and_reserves_show_where_they_are_and_what_they_have() {
    let pool = Pool::new();
    let packet = Packet::from_slice(&pool, &[1; 5]).unwrap();
    let mut reader = packet.reader();
    reader.seek(SeekFrom::Start(3)).unwrap();
    assert_eq!(format!("{reader:?}"), "Reader { position: 3, len: 5 }");
    let reserve = Reserve::new(&pool, 100).unwrap();
    let capacity = reserve.capacity();
    assert_eq!(format!("{reserve:?}"), format!("Reserve {{ capacity: {capacity}, .. }}"));
    drop((packet, reserve));
    assert_empty(&pool);
}

#[test]
fn a_writer_behind_shared_bytes_copies_none_of_them() {
    let pool = Pool::new();
    let mut packet = Packet::from_slice(&pool, &[1; 600]).unwrap();
    let mut copy = packet.share().unwrap();
    let at = packet.first_segment().as_ptr();
    // The first has the room behind, so the second needs another segment.
    packet.writer().write_all(&[2; 100]).unwrap();
    copy.writer().write_all(&[3; 100]).unwrap();
    assert_eq!((packet.segment_count(), copy.segment_count()), (1, 2));
    assert!(packet.first_segment().as_ptr() == at && copy.first_segment().as_ptr() == at);
    assert_eq!(packet, [[1; 600].as_slice(), &[2; 100]].concat());
    assert_eq!(copy, [[1; 600].as_slice(), &[3; 100]].concat());
    drop((packet, copy));
    assert_empty(&pool);
}

#[test]
fn lines_cross_segments() {
    let pool = Pool::new();
    let mut packet = Packet::from_slice(&pool, b"alpha\nbeta\n\ngamma").unwrap();
    packet.shatter([3, 4, 1, 2]).unwrap();
    let lines: Vec<_> = packet.reader().lines().map(Result::unwrap).collect();
    assert_eq!(lines, ["alpha", "beta", "", "gamma"]);
    drop(packet);
    assert_empty(&pool);
}

/// A reserve with bytes in it, and these.
fn filled(pool: &Pool, capacity: usize) -> (Reserve, Vec<u8>) {
    let mut reserve = Reserve::new(pool, capacity).unwrap();
    assert!(reserve.capacity() >= capacity);
    let bytes: Vec<u8> = (0..reserve.capacity()).map(|i| (i ^ i >> 8) as u8).collect();
    let mut rest = &bytes[..];
    for mut slice in reserve.io_slices_mut() {
        let (now, later) = rest.split_at(slice.len());
        slice.copy_from_slice(now);
        rest = later;
    }
    assert!(rest.is_empty());
    (reserve, bytes)
}

#[test]
fn a_reserve_becomes_a_packet_or_a_chain_of_any_length_up_to_its_capacity() {
    let pool = Pool::new();
    let two_clusters = Pool::builder().jumbo_pages(0).build().unwrap();
    for pool in [&pool, &two_clusters] {
        let all = &[0usize, 1, 88, 104, 105, 184, 185, 1984, 2048, 4096, 9000][..];
        for &wanted in if cfg!(miri) { &[0, 185] } else { all } {
            let capacity = filled(pool, wanted).0.capacity();
            let edges = [0, 1, wanted.saturating_sub(1), wanted, capacity / 2, 2048.min(capacity), capacity];
            for len in edges {
                let (reserve, bytes) = filled(pool, wanted);
                let packet = reserve.into_packet(len).unwrap();
                packet.check().unwrap();
                assert_eq!(packet, bytes[..len]);
                assert_eq!(in_use(pool).mbufs, packet.segment_count(), "what is not used goes back");
                assert_eq!((packet.flags(), packet.share_count()), (Flags::default(), 1));
                let chain = filled(pool, wanted).0.into_chain(len).unwrap();
                chain.check().unwrap();
                assert_eq!(chain, bytes[..len]);
                drop((packet, chain));
                assert_empty(pool);
            }
            let (reserve, bytes) = filled(pool, wanted);
            let error = BoundsError { start: 0, end: capacity + 1, available: capacity };
            let Refused { error: found, input: reserve } = reserve.into_packet(capacity + 1).unwrap_err();
            assert_eq!(found, error.into());
            let Refused { error: found, input: reserve } = reserve.into_chain(capacity + 1).unwrap_err();
            assert_eq!(found, error.into());
            assert_eq!(reserve.into_packet(capacity).unwrap(), bytes);
            assert_empty(pool);
        }
        if let Some(beyond) = (u32::MAX as usize).checked_add(1) {
            for wanted in [beyond, usize::MAX] {
                let endless = Reserve::new(pool, wanted).unwrap_err();
                assert!(matches!(endless, OpError::TooLong { .. }), "{endless}");
            }
        }
        assert_empty(pool);
    }
}

#[test]
fn a_reserve_is_appended_without_an_allocation_and_large_ones_without_a_copy() {
    let pool = Pool::builder().mbufs(20).build().unwrap();
    let mut packet = Packet::from_slice(&pool, &[1; 1000]).unwrap();
    let (mut large, _) = filled(&pool, 3000);
    let (small, _) = filled(&pool, 100);
    let at = large.slices_mut().next().unwrap().as_ptr();
    let hold = Hold::all_but(&pool, Resource::Mbuf, 0);
    packet.append_reserve(small, 100).unwrap();
    assert_eq!(packet.segment_count(), 1, "few bytes that fit are copied");
    packet.append_reserve(large, 3000).unwrap();
    assert_eq!((packet.segment_count(), packet.len()), (2, 4100));
    assert_eq!(packet.last_segment().as_ptr(), at);
    drop((packet, hold));
    assert_empty(&pool);
}
