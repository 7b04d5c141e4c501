//! What went wrong in other libraries of packet buffers, one test for each that no other test of ours stood for already.
//! `docs/regressions.md` has the whole list.

use std::io::{self, IoSlice, Read, Write};
use std::thread;

use mbuf::{Chain, Class, Fault, OpError, Packet, Pool, Refused, StorageKind, Tag, TagCopy};
use mbuf_testkit::{Counted, Drops, assert_empty, in_use, pattern};

/// A packet of so many clusters, each full.
fn clusters(pool: &Pool, n: usize) -> (Packet, Vec<u8>) {
    let bytes: Vec<u8> = (0..n * 2048).map(pattern).collect();
    let mut packet = Packet::from_slice(pool, &bytes).unwrap();
    packet.shatter(vec![2048; n]).unwrap();
    assert_eq!(packet.segment_count(), n);
    (packet, bytes)
}

#[test]
fn what_is_written_in_front_behind_and_amid_is_seen_by_its_writer_alone() {
    let pool = Pool::new();
    for own_memory in [false, true] {
        for writer in [0, 1] {
            for place in 0..3 {
                let mut packet = match own_memory {
                    true => Packet::from_owner_mut(&pool, vec![5u8; 600]).unwrap(),
                    false => Packet::from_slice_with_headroom(&pool, &[5; 600], 100).unwrap(),
                };
                packet.trim_front(100).unwrap();
                packet.trim_back(100).unwrap();
                let copy = packet.share().unwrap();
                let mut both = [packet, copy];
                let expected = match place {
                    0 => {
                        both[writer].prepend_slice(&[1; 60]).unwrap();
                        [vec![1; 60], vec![5; 400]].concat()
                    }
                    1 => {
                        both[writer].extend_from_slice(&[2; 60]).unwrap();
                        [vec![5; 400], vec![2; 60]].concat()
                    }
                    _ => {
                        both[writer].write_at(200, &[3; 60]).unwrap();
                        [vec![5; 200], vec![3; 60], vec![5; 140]].concat()
                    }
                };
                assert_eq!(both[writer], expected);
                assert_eq!(both[1 - writer], [5; 400]);
                // What the other puts there is its own, too.
                both[1 - writer].prepend_slice(&[8; 60]).unwrap();
                both[1 - writer].extend_from_slice(&[9; 60]).unwrap();
                assert_eq!(both[writer], expected);
                for packet in &both {
                    assert_eq!(packet.check(), Ok(()));
                }
            }
        }
    }
    assert_empty(&pool);
}

#[test]
fn a_head_that_is_held_outlives_its_chain_freed_on_another_thread() {
    let pool = Pool::new();
    let (packet, bytes) = clusters(&pool, 4);
    let head = packet.share_range(0..64).unwrap();
    thread::spawn(move || drop(packet)).join().unwrap();
    assert_eq!(in_use(&pool).clusters[0], 1, "of the chain only what is held");
    assert_eq!(head, bytes[..64]);
    drop(head);
    assert_empty(&pool);
}

#[test]
fn a_copy_that_fails_at_any_segment_leaves_nothing_behind() {
    const SEGMENTS: usize = 8;
    let pool = Pool::new();
    let (packet, bytes) = clusters(&pool, SEGMENTS);
    let before = in_use(&pool);
    for n in 0.. {
        pool.inject([Fault::nth(n)]);
        let copy = packet.share();
        pool.inject([]);
        match copy {
            Err(error) => assert!(matches!(error, OpError::Alloc(_))),
            Ok(copy) => {
                assert_eq!((n as usize, copy.segment_count()), (SEGMENTS, SEGMENTS));
                break;
            }
        }
        assert_eq!(in_use(&pool), before);
        assert!(packet.segments().all(|seg| seg.share_count() == 1 && seg.is_writable()));
        assert_eq!(packet, bytes);
    }
    assert!(packet.segments().all(|seg| seg.share_count() == 1), "the copy is gone");
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn a_deep_copy_of_memory_with_an_owner_has_none() {
    let pool = Pool::new();
    let drops = Drops::new();
    let copies: Vec<Packet> = [
        |packet: &mut Packet| packet.duplicate(),
        |packet: &mut Packet| {
            let mut copy = packet.share()?;
            copy.make_unique()?;
            Ok(copy)
        },
        |packet: &mut Packet| {
            let mut copy = packet.share()?;
            copy.extend_from_slice(&[1])?;
            copy.defragment()?;
            copy.truncate(packet.len());
            Ok(copy)
        },
    ]
    .into_iter()
    .map(|copy: fn(&mut Packet) -> Result<Packet, OpError>| {
        let mut packet = Packet::from_owner(&pool, Counted::new(vec![7; 3000], &drops)).unwrap();
        copy(&mut packet).unwrap()
    })
    .collect();
    for copy in &copies {
        for seg in copy.segments() {
            assert!(seg.storage_kind() != StorageKind::External && seg.is_writable(), "{copy:?}");
        }
        assert_eq!(*copy, [7; 3000]);
    }
    assert_eq!(drops.count(), copies.len(), "no copy keeps the owner");
    drop(copies);
    assert_empty(&pool);
}

#[test]
fn both_sides_of_a_cut_count_their_own_segments() {
    let pool = Pool::new();
    for at in [0, 1, 2047, 2048, 2049, 5000, 6143, 6144, 8192] {
        let (mut packet, bytes) = clusters(&pool, 4);
        let tail = packet.split_off(at).unwrap();
        let counts = (at.div_ceil(2048), 4 - at / 2048);
        for (part, bytes, count) in [(&packet, &bytes[..at], counts.0), (&tail, &bytes[at..], counts.1)] {
            // That of no bytes has an empty one.
            assert_eq!(part.segment_count(), count.max(1), "cut at {at}");
            assert_eq!(part.segments().count(), count.max(1), "cut at {at}");
            assert_eq!(part.slices(..).unwrap().count(), part.segments().filter(|s| !s.is_empty()).count());
            assert_eq!(part.last_segment().bytes(), part.segments().last().unwrap().bytes());
            assert_eq!(part, bytes);
        }
    }
    assert_empty(&pool);
}

#[test]
fn a_copy_of_a_reader_goes_its_own_way_and_ends_where_its_packet_does() {
    let pool = Pool::new();
    let (packet, bytes) = clusters(&pool, 3);
    let mut reader = packet.reader();
    reader.read_exact(&mut [0; 3000]).unwrap();
    let mut copy = reader.clone();
    reader.read_exact(&mut [0; 3000]).unwrap();
    let mut rest = Vec::new();
    copy.read_to_end(&mut rest).unwrap();
    assert!(rest == bytes[3000..]);
    assert_eq!(copy.read(&mut [0]).unwrap(), 0);
    assert_eq!((reader.position(), copy.position()), (6000, 6144));
    let mut limited = Read::take(packet.reader(), 2050);
    rest.clear();
    limited.read_to_end(&mut rest).unwrap();
    assert!(rest == bytes[..2050]);
    assert_eq!(limited.into_inner().position(), 2050);
    drop(packet);
    assert_empty(&pool);
}

/// A tag that has a packet, which may have such a tag.
struct Encloses(#[expect(dead_code, reason = "held")] Packet);

impl Tag for Encloses {
    fn copy(&self) -> TagCopy {
        TagCopy::Refuse
    }
}

#[test]
fn a_tag_may_hold_a_packet_that_has_a_tag() {
    let pool = Pool::new();
    let mut packet = Packet::from_slice(&pool, &[0; 3000]).unwrap();
    for _ in 0..100 {
        let mut outer = Packet::from_slice(&pool, &[1; 300]).unwrap();
        outer.set_tag(Encloses(packet));
        packet = outer;
    }
    assert_eq!(packet.share().err(), Some(OpError::Tag));
    // On a thread whose caches are as good as gone.
    thread::spawn(move || drop(packet)).join().unwrap();
    assert_empty(&pool);
}

#[test]
fn a_byte_of_every_cluster_keeps_the_clusters_until_it_is_copied() {
    const N: usize = 50;
    let pool = Pool::new();
    let (packet, bytes) = clusters(&pool, N);
    let mut thin = Packet::new(&pool).unwrap();
    for i in 0..N {
        let byte: Chain = packet.share_range(i * 2048 + i..i * 2048 + i + 1).unwrap().into_chain();
        let byte: Packet = byte.into_packet().map_err(|Refused { error, .. }| error).unwrap();
        thin.insert(thin.len(), byte).map_err(|Refused { error, .. }| error).unwrap();
    }
    drop(packet);
    let expected: Vec<u8> = (0..N).map(|i| bytes[i * 2048 + i]).collect();
    assert_eq!(thin, expected);
    thin.defragment().unwrap();
    assert_eq!(thin, expected);
    assert_eq!(in_use(&pool).clusters, [0; 4], "they are free");
    assert!(thin.memory() <= Class::Cluster.size());
    drop(thin);
    assert_empty(&pool);
}

/// Takes a few bytes at a time, and as a socket does, from as many slices as they are in.
struct Narrow(Vec<u8>, usize);

impl Write for Narrow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let before = self.0.len();
        self.0.extend(slices.iter().flat_map(|slice| slice.iter()).take(self.1));
        Ok(self.0.len() - before)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn readers_of_readers_and_writes_in_parts_give_every_byte_once() {
    let pool = Pool::new();
    let (packet, bytes) = clusters(&pool, 3);
    for width in [1, 7, 100, 2047, 2048, 2049, 5000] {
        let mut out = Narrow(Vec::new(), width);
        let (front, back) = (packet.reader(), packet.reader());
        let mut nested = Read::take(Read::chain(Read::take(front, 2500), Read::take(back, 900)), 3000);
        io::copy(&mut nested, &mut out).unwrap();
        assert_eq!(out.0, [&bytes[..2500], &bytes[..500]].concat());

        let mut out = Narrow(Vec::new(), width);
        let mut slices: Vec<IoSlice<'_>> = packet.slices(10..).unwrap().map(IoSlice::new).collect();
        let mut left = &mut slices[..];
        while !left.is_empty() {
            let n = out.write_vectored(left).unwrap();
            IoSlice::advance_slices(&mut left, n);
        }
        assert_eq!(out.0, bytes[10..]);

        let mut again = Packet::new(&pool).unwrap();
        io::copy(&mut packet.reader(), &mut again.writer()).unwrap();
        assert_eq!(again, bytes);
    }
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn a_packet_of_more_than_64_kibibytes_is_like_any_other() {
    const LEN: usize = 3 * 65536 + 1;
    let pool = Pool::new();
    let bytes: Vec<u8> = (0..LEN).map(pattern).collect();
    let mut packet = Packet::from_slice(&pool, &bytes).unwrap();
    assert_eq!(packet.len(), LEN);
    assert_eq!(packet.sum(..).unwrap(), mbuf::checksum::sum(&bytes));
    assert_eq!(packet.duplicate().unwrap(), bytes);
    packet.write_at(65535, &[1, 2]).unwrap();
    let tail = packet.split_off(65536).unwrap();
    assert_eq!((packet.len(), tail.len()), (65536, LEN - 65536));
    assert_eq!(
        (packet.last_segment().bytes().last(), tail.first_segment().bytes().first()),
        (Some(&1), Some(&2))
    );
    packet.append(tail).unwrap();
    packet.trim_front(65537).unwrap();
    assert_eq!(packet, bytes[65537..]);
    assert_eq!(packet.check(), Ok(()));
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn all_buffers_of_a_pool_are_had_twice_over_and_not_one_more() {
    let pool = Pool::builder().mbufs(40).clusters(40).build().unwrap();
    for round in 0..2u8 {
        let mut all: Vec<Packet> = (0..40).map(|_| Packet::with_cluster(&pool).unwrap()).collect();
        assert!(Packet::with_cluster(&pool).is_err() && Packet::new(&pool).is_err());
        for (i, packet) in all.iter_mut().enumerate() {
            packet.extend(1900).unwrap().fill(i as u8 ^ round);
        }
        for (i, packet) in all.iter().enumerate() {
            assert!(packet.segments().all(|s| s.bytes().iter().all(|&byte| byte == i as u8 ^ round)));
        }
        drop(all);
        assert_empty(&pool);
    }
}

#[test]
fn a_packet_of_one_segment_grows_and_shrinks_at_both_ends_where_it_is() {
    let pool = Pool::new();
    let mut packet = Packet::with_cluster(&pool).unwrap();
    packet.extend(1000).unwrap().fill(5);
    let place = |packet: &Packet| packet.first_segment().bytes().as_ptr().addr();
    let (start, head, tail) = (place(&packet), packet.headroom(), packet.tailroom());
    packet.prepend(14).unwrap().fill(1);
    packet.extend(100).unwrap().fill(9);
    assert_eq!((packet.headroom(), packet.tailroom(), packet.segment_count()), (head - 14, tail - 100, 1));
    assert_eq!(
        (place(&packet), packet.to_vec()),
        (start - 14, [vec![1; 14], vec![5; 1000], vec![9; 100]].concat())
    );
    packet.trim_front(14).unwrap();
    packet.trim_back(100).unwrap();
    assert_eq!((place(&packet), packet.headroom(), packet.tailroom()), (start, head, tail));
    assert_eq!(packet, [5; 1000]);
    assert!(packet.trim_back(1001).is_err() && packet.trim_front(1001).is_err());
    assert_eq!(packet, [5; 1000]);
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn headers_are_consumed_in_the_order_opposite_to_that_in_which_they_were_pushed() {
    let pool = Pool::new();
    let (mut packet, bytes) = clusters(&pool, 2);
    let headers: Vec<Vec<u8>> = [8, 20, 40, 14, 100].map(|n| vec![n as u8; n]).into();
    for header in &headers {
        packet.prepend_slice(header).unwrap();
    }
    let mut reader = packet.share().unwrap();
    for header in headers.iter().rev() {
        assert_eq!(reader.make_contiguous(header.len()).unwrap(), header);
        reader.trim_front(header.len()).unwrap();
    }
    assert!(reader == bytes);
    assert_eq!(packet.len(), 182 + bytes.len(), "the other one has them still");
    drop((packet, reader));
    assert_empty(&pool);
}
