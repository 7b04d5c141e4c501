//! Fewer segments, or others.

use mbuf::{Class, Flags, Header, MHLEN, MLEN, OpError, Packet, Pool};
use mbuf_testkit::{Built, Shape, Storage, assert_empty, both_kinds, each_shape};

both_kinds! {
    fn defragment_needs_no_more_segments_than_the_bytes<H>() {
        each_shape::<H>(|built| {
            let (segments, before) = (built.chain.segment_count(), built.pool.stats());
            let address = built.chain.first_segment().as_ptr();
            built.chain.defragment().unwrap();
            built.check();
            Built::check_header(&built.chain);
            let len = built.bytes.len();
            let fewest = if len <= H::INLINE { 1 } else { len.div_ceil(4096) };
            assert!(built.chain.segment_count() <= fewest);
            let after = built.pool.stats();
            if segments <= fewest {
                assert_eq!(built.chain.first_segment().as_ptr(), address);
                assert_eq!(after.mbufs.allocations, before.mbufs.allocations);
                assert_eq!(after.ops.defrag_useless, before.ops.defrag_useless + 1);
            } else {
                assert!(built.chain.is_writable());
                assert_eq!(after.ops.defrag_packets, before.ops.defrag_packets + 1);
                assert_eq!(after.ops.defrag_bytes, before.ops.defrag_bytes + len as u64);
            }
        });
    }

    fn collapse_gives_no_more_segments_than_asked<H>() {
        each_shape::<H>(|built| {
            let segments = built.chain.segment_count();
            for max in [segments + 1, segments, segments.saturating_sub(1), 3, 2, 1] {
                let mbufs = built.pool.stats().mbufs.allocations;
                if max == 0 {
                    continue;
                }
                let had = built.chain.segment_count();
                built.chain.collapse(max).unwrap();
                assert!(built.chain.segment_count() <= max);
                if had <= max {
                    assert_eq!(built.pool.stats().mbufs.allocations, mbufs);
                }
                built.check();
                Built::check_header(&built.chain);
            }
            assert_eq!(built.chain.collapse(0), Err(OpError::TooManySegments { needed: 1, max: 0 }));
            built.check();
        });
    }

    fn shatter_cuts_where_it_is_told<H>() {
        each_shape::<H>(|built| {
            let len = built.bytes.len();
            for size in [1, 2, 7, H::INLINE, H::INLINE + 1, 600, 20_000] {
                if len / size > 400 {
                    continue;
                }
                built.chain.shatter(std::iter::repeat(size)).unwrap();
                built.check();
                Built::check_header(&built.chain);
                let size = size.min(16384);
                let lens: Vec<usize> = built.chain.segments().map(|seg| seg.len()).collect();
                assert_eq!(lens.len(), len.div_ceil(size).max(1));
                assert!(lens[..lens.len() - 1].iter().all(|&n| n == size));
            }
            // Zeros are ones; what the sizes do not cover goes into clusters.
            built.chain.shatter([0, 3]).unwrap();
            built.check();
            let lens: Vec<usize> = built.chain.segments().map(|seg| seg.len()).collect();
            let mut expected = Vec::new();
            let mut left = len;
            for n in [1, 3].into_iter().chain(std::iter::repeat(2048)) {
                if left == 0 && !expected.is_empty() {
                    break;
                }
                expected.push(n.min(left));
                left -= n.min(left);
            }
            assert_eq!(lens, expected);
        });
    }
}

#[test]
fn more_than_sixteen_kibibytes_collapse_into_as_many_buffers_as_they_need() {
    let pool = Pool::new();
    let bytes: Vec<u8> = (0..50_000u32).map(|i| (i * 7) as u8).collect();
    for max in [3usize, 4, 5, 10] {
        let mut packet = Packet::from_slice(&pool, &bytes).unwrap();
        packet.shatter(std::iter::repeat(500)).unwrap();
        let result = packet.collapse(max);
        if max < 4 {
            assert_eq!(result, Err(OpError::TooManySegments { needed: 4, max }));
            assert_eq!(packet.segment_count(), 100);
        } else {
            assert_eq!(result, Ok(()));
            assert!(packet.segment_count() <= max);
        }
        assert_eq!(packet, bytes);
        assert_eq!(packet.check(), Ok(()));
    }
    assert_empty(&pool);
}

#[test]
fn collapse_leaves_the_first_segments_and_joins_the_others_in_what_they_need() {
    let pool = Pool::new();
    let bytes: Vec<u8> = (0..4200).map(|i| i as u8).collect();
    let mut packet = Packet::from_slice(&pool, &bytes).unwrap();
    packet.shatter([700; 6]).unwrap();
    let before: Vec<_> = packet.segments().map(|seg| seg.as_ptr()).collect();
    packet.collapse(3).unwrap();
    let after: Vec<_> = packet.segments().map(|seg| seg.as_ptr()).collect();
    assert_eq!((&after[..2], after.len()), (&before[..2], 3));
    assert_eq!(packet.last_segment().capacity(), 4096, "for 2800 bytes");
    assert_eq!(packet, bytes);
    for n in [MHLEN, MHLEN + 1, MLEN, MLEN + 1] {
        let mut packet = Packet::from_slice(&pool, &bytes[..n]).unwrap();
        packet.shatter(std::iter::repeat(30)).unwrap();
        packet.collapse(1).unwrap();
        assert_eq!((packet.segment_count(), packet.check(), packet == bytes[..n]), (1, Ok(()), true));
    }
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn the_end_of_a_record_survives_compaction() {
    let pool = Pool::new();
    let mut packet = Packet::from_slice(&pool, &[1; 300]).unwrap();
    packet.shatter([100; 3]).unwrap();
    for (i, mut seg) in packet.segments_mut().enumerate() {
        if i == 2 {
            seg.set_flags(Flags::END_OF_RECORD);
        }
    }
    let copy = packet.duplicate().unwrap();
    assert!(copy.last_segment().flags().contains(Flags::END_OF_RECORD));
    packet.defragment().unwrap();
    assert!(packet.last_segment().flags().contains(Flags::END_OF_RECORD));
    packet.shatter([150; 2]).unwrap();
    assert!(packet.last_segment().flags().contains(Flags::END_OF_RECORD));
    assert!(!packet.first_segment().flags().contains(Flags::END_OF_RECORD));
    packet.collapse(1).unwrap();
    assert!(packet.last_segment().flags().contains(Flags::END_OF_RECORD));
    drop((packet, copy));
    assert_empty(&pool);
}

#[test]
fn small_data_defragments_into_an_mbuf_without_storage() {
    let pool = Pool::new();
    // Sixteen bytes of an inline segment are headroom.
    for (n, inline) in [(MHLEN - 16, true), (MHLEN + 1, false), (MLEN, false)] {
        let shape = Shape::of([(10, Storage::Own(Class::Page)), (n - 10, Storage::ReadOnly)]);
        let mut built = shape.build::<Header>(&pool);
        built.chain.defragment().unwrap();
        built.check();
        assert_eq!(built.chain.memory() == mbuf::MSIZE, inline, "{n} bytes");
        assert_eq!(built.chain.segment_count(), 1);
    }
    assert_empty(&pool);
}

#[test]
fn headroom_costs_no_segment() {
    let pool = Pool::builder().headroom(64).build().unwrap();
    // From 8193 on, 9 KiB are less memory than pages.
    let lengths = [
        (4032usize, 1),
        (4033, 1),
        (4090, 1),
        (4096, 1),
        (4097, 2),
        (8150, 2),
        (8192, 2),
        (8193, 1),
        (9152, 1),
    ];
    for (n, fewest) in lengths {
        let bytes: Vec<u8> = (0..n).map(|i| i as u8).collect();
        let mut packet = Packet::from_slice(&pool, &bytes).unwrap();
        packet.shatter(std::iter::repeat(700)).unwrap();
        packet.defragment().unwrap();
        assert_eq!(packet.segment_count(), fewest, "{n} bytes");
        let spare = n.div_ceil(4096) * 4096 - n;
        assert_eq!(packet.headroom(), 64.min(spare & !7), "{n} bytes");
        assert_eq!(packet, bytes);
    }
    assert_empty(&pool);
}
