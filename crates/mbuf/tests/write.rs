//! Writing: private copies of what is shared, and bytes at an offset.

use mbuf::{Class, Flags, Header, OpError, Packet, Pool};
use mbuf_testkit::{Built, Shape, Storage, assert_empty, both_kinds, each_offset, each_range, each_shape};

both_kinds! {
    fn write_at_writes_and_others_see_nothing<H>() {
        each_offset::<H>(|built, at| {
            for &n in if cfg!(miri) { &[0usize, 3, 300][..] } else { &[0, 1, 3, 300, 5000] } {
                if at == u32::MAX as usize && n == 0 {
                    continue; // Where a number has 32 bits, that is a length to fill with zeros.
                }
                let data: Vec<u8> = (0..n).map(|i| 0x80 | (i as u8 ^ at as u8)).collect();
                let copies = built.pool.stats().ops.copies_on_write;
                match built.chain.write_at(at, &data) {
                    Ok(()) => {
                        let end = at + n;
                        let len = built.bytes.len();
                        built.bytes.resize(len.max(end), 0);
                        built.bytes[at..end].copy_from_slice(&data);
                    }
                    Err(error) => {
                        assert!(at == usize::MAX, "{error}");
                        assert!(matches!(error, OpError::TooLong { .. }));
                    }
                }
                built.check();
                if built.shape.is_writable() {
                    assert_eq!(built.pool.stats().ops.copies_on_write, copies, "nothing had to be copied");
                }
            }
            Built::check_header(&built.chain);
        });
    }

    fn make_unique_leaves_nothing_shared_and_nothing_changed<H>() {
        each_shape::<H>(|built| {
            let writable: Vec<_> = built.chain.segments().filter(|seg| seg.is_writable())
                .map(|seg| seg.as_ptr()).collect();
            built.chain.make_unique().unwrap();
            built.check();
            Built::check_header(&built.chain);
            assert!(built.chain.is_writable());
            assert_eq!(built.chain.share_count(), 1);
            let now: Vec<_> = built.chain.segments().map(|seg| seg.as_ptr()).collect();
            assert!(writable.iter().all(|address| now.contains(address)), "writable segments stay where they are");
            for seg in built.chain.segments_mut() {
                seg.bytes_mut().expect("writable").fill(0x5a);
            }
            built.check_sharers();
        });
    }

    fn make_unique_range_makes_the_range_writable<H>() {
        each_range::<H>(|built, range| {
            let len = built.bytes.len();
            let mbufs = built.pool.stats().mbufs.allocations;
            if built.bytes.get(range.clone()).is_none() {
                assert!(matches!(built.chain.make_unique_range(range), Err(OpError::Bounds(_))));
                return built.check();
            }
            built.chain.make_unique_range(range.clone()).unwrap();
            built.check();
            Built::check_header(&built.chain);
            if range.is_empty() || built.shape.is_writable() {
                assert_eq!(built.pool.stats().mbufs.allocations, mbufs, "there was nothing to copy");
            }
            let slices = built.chain.slices_mut(range.clone()).unwrap().expect("writable");
            for slice in slices {
                assert!(!slice.is_empty());
                slice.fill(0x5a);
            }
            built.bytes[range].fill(0x5a);
            assert_eq!(built.bytes.len(), len);
            built.check();
        });
    }

    fn slices_mut_gives_the_range_or_refuses<H>() {
        each_range::<H>(|built, range| {
            let Some(expected) = built.bytes.get(range.clone()) else {
                assert!(built.chain.slices_mut(range).is_err());
                return;
            };
            let mut at = 0;
            let blocked = built.chain.segments().any(|seg| {
                at += seg.len();
                !range.is_empty() && at - seg.len() < range.end && range.start < at && !seg.is_writable()
            });
            match built.chain.slices_mut(range.clone()).unwrap() {
                None => assert!(blocked),
                Some(slices) => {
                    assert!(!blocked);
                    assert_eq!(slices.map(|slice| slice.to_vec()).collect::<Vec<_>>().concat(), expected);
                }
            }
        });
    }

    fn segments_mut_refuses_bytes_that_others_see<H>() {
        each_shape::<H>(|built| {
            let before: Vec<_> =
                built.chain.segments().map(|seg| (seg.is_writable(), seg.to_vec(), format!("{seg:?}"))).collect();
            for (seg, (writable, bytes, text)) in built.chain.segments_mut().zip(before) {
                assert_eq!((seg.bytes(), seg.as_segment().as_ref()), (&bytes[..], &bytes[..]));
                assert_eq!(format!("{seg:?}"), format!("SegmentMut({text})"));
                assert_eq!(seg.bytes_mut().is_some(), writable);
            }
        });
    }
}

#[test]
fn a_write_into_a_shared_tail_that_grows_keeps_what_it_adds() {
    // The last segment is shared, owns the unused tail, has to be copied, and is extended by the same write.
    let pool = Pool::new();
    for at in [0usize, 1, 50, 99, 100, 101, 150] {
        for n in [1usize, 2, 60, 200, 3000] {
            let mut packet = Packet::from_slice(&pool, &[1; 600]).unwrap();
            packet.truncate(100);
            let copy = packet.share().unwrap();
            packet.write_at(at, &vec![2; n]).unwrap();
            let mut expected = vec![1; 100];
            expected.resize(100.max(at + n), 0);
            expected[at..at + n].fill(2);
            assert_eq!(packet.check(), Ok(()));
            assert_eq!(packet, expected, "{n} at {at}");
            assert_eq!(copy, [1; 100]);
        }
    }
    assert_empty(&pool);
}

#[test]
fn a_small_write_into_a_large_shared_buffer_copies_little() {
    let pool = Pool::new();
    let mut built = Shape::single(9000, Storage::Shared(Class::Jumbo9)).build::<Header>(&pool);
    let jumbos = pool.stats().jumbo_9k.allocations;
    built.chain.write_at(4000, b"change").unwrap();
    built.bytes[4000..4006].copy_from_slice(b"change");
    built.check();
    assert_eq!(pool.stats().jumbo_9k.allocations, jumbos);
    assert_eq!(built.chain.segment_count(), 3, "both ends stay shared");
    let unshared: usize =
        built.chain.segments().filter(|seg| seg.share_count() == 1).map(|seg| seg.len()).sum();
    assert_eq!(unshared, 6);
    drop(built);
    assert_empty(&pool);
}

#[test]
fn a_gap_is_zeros_even_where_old_data_was() {
    let pool = Pool::new();
    let mut packet = Packet::from_slice(&pool, &[0xff; 1500]).unwrap();
    packet.truncate(10);
    packet.write_at(700, b"end").unwrap();
    let mut expected = vec![0xff; 10];
    expected.resize(700, 0);
    expected.extend(b"end");
    assert_eq!(packet, expected);
    packet.truncate(0);
    packet.write_at(300, &[]).unwrap();
    assert_eq!(packet, [0; 300]);
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn a_small_rest_is_copied_with_what_is_written_and_a_large_one_stays_shared() {
    let pool = Pool::new();
    for (len, segments) in [(1000, 2), (1900, 3)] {
        let mut packet = Packet::from_slice(&pool, &vec![1; len]).unwrap();
        let copy = packet.share().unwrap();
        packet.write_at(900, &[2; 50]).unwrap();
        assert_eq!(packet.segment_count(), segments, "{len} bytes");
        assert_eq!(copy, vec![1; len]);
        drop((packet, copy));
    }
    assert_empty(&pool);
}

#[test]
fn a_copy_that_is_written_ends_the_record_that_the_original_ended() {
    let pool = Pool::new();
    let mut packet = Packet::from_owner(&pool, vec![1; 20_000]).unwrap();
    packet.segments_mut().for_each(|mut seg| seg.set_flags(Flags::END_OF_RECORD));
    packet.write_at(0, &[2; 20_000]).unwrap();
    let ends: Vec<bool> = packet.segments().map(|seg| seg.flags().contains(Flags::END_OF_RECORD)).collect();
    assert!(ends.len() > 1 && ends.iter().rposition(|end| !end) == Some(ends.len() - 2), "{ends:?}");
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn an_empty_chain_that_may_not_be_written_is_replaced() {
    let pool = Pool::builder().headroom(64).build().unwrap();
    for storage in Storage::ALL {
        let mut built = Shape::single(0, storage).build::<Header>(&pool);
        built.chain.make_unique().unwrap();
        assert!(built.chain.first_segment().is_writable(), "{storage:?}");
        built.check();
        let mut built = Shape::single(0, storage).build::<Header>(&pool);
        let replaced = built.chain.tailroom() == 0;
        built.chain.extend_from_slice(&[1; 300]).unwrap();
        built.bytes.extend([1; 300]);
        built.check();
        assert!(!replaced || built.chain.headroom() == 64, "{storage:?}");
    }
    assert_empty(&pool);
}
