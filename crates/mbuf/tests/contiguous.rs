//! Making bytes contiguous.

use mbuf::{Class, Header, MHLEN, MJUM16BYTES, MLEN, OpError, Packet, Pool};
use mbuf_testkit::{Built, Shape, Storage, assert_empty, both_kinds, each_offset, each_range};

both_kinds! {
    fn make_contiguous_gives_the_first_bytes<H>() {
        each_offset::<H>(|built, n| {
            let first = built.chain.first_segment().len();
            let (mbufs, address) = (built.pool.stats().mbufs.allocations, built.chain.first_segment().as_ptr());
            let segments = built.chain.segment_count();
            match built.chain.make_contiguous(n) {
                Ok(bytes) => assert_eq!(bytes, &built.bytes[..n]),
                Err(error) => {
                    assert!(n > built.bytes.len());
                    assert!(matches!(error, OpError::Bounds(_)));
                    return built.check();
                }
            }
            built.check();
            Built::check_header(&built.chain);
            assert!(built.chain.segment_count() <= segments + 1);
            let allocated = built.pool.stats().mbufs.allocations - mbufs;
            if n <= first {
                assert_eq!(built.chain.first_segment().as_ptr(), address, "they were contiguous already");
                assert_eq!(allocated, 0);
            }
            assert!(allocated <= 1);
        });
    }

    fn make_contiguous_moves_nothing_behind_the_prefix<H>() {
        each_offset::<H>(|built, n| {
            if n > built.bytes.len() {
                return;
            }
            // Where the bytes behind the prefix are, for all segments but the one it ends in.
            let mut at = 0;
            let behind: Vec<_> = built.chain.segments().filter_map(|seg| {
                at += seg.len();
                (at - seg.len() >= n && !seg.is_empty()).then(|| seg.as_ptr())
            }).collect();
            built.chain.make_contiguous(n).unwrap();
            let now: Vec<_> = built.chain.segments().map(|seg| seg.as_ptr()).collect();
            // A first segment that may make room for more may move within its storage.
            let moved = behind.iter().filter(|address| !now.contains(address)).count();
            assert!(moved == 0 || (n == 0 && moved == 1), "{moved} segments behind moved");
        });
    }

    fn make_contiguous_with_headroom_gives_both<H>() {
        each_offset::<H>(|built, n| {
            for &room in if cfg!(miri) { &[1, 200][..] } else { &[0, 1, 30, 90, 200, 3000] } {
                let bytes = match built.chain.make_contiguous_with_headroom(n, room) {
                    Ok(bytes) => bytes,
                    Err(error) => {
                        assert!(n > built.bytes.len());
                        assert!(matches!(error, OpError::Bounds(_)));
                        return built.check();
                    }
                };
                assert_eq!(bytes, &built.bytes[..n]);
                assert!(built.chain.headroom() >= room);
                built.check();
                Built::check_header(&built.chain);
                let mbufs = built.pool.stats().mbufs.allocations;
                built.chain.prepend(room).unwrap().fill(0xdd);
                assert_eq!(built.pool.stats().mbufs.allocations, mbufs, "the headroom was there");
                built.check_sharers();
                built.chain.trim_front(room).unwrap();
            }
        });
    }

    fn make_contiguous_at_gives_a_range_and_moves_nothing_in_front<H>() {
        each_range::<H>(|built, range| {
            let Some(expected) = built.bytes.get(range.clone()) else {
                assert!(matches!(built.chain.make_contiguous_at(range), Err(OpError::Bounds(_))));
                return built.check();
            };
            let mut at = 0;
            let in_front: Vec<_> = built.chain.segments().filter_map(|seg| {
                at += seg.len();
                (at <= range.start && range.start > 0).then(|| (seg.as_ptr(), seg.len()))
            }).collect();
            let was = built.chain.contiguous(range.clone()).map(<[u8]>::as_ptr);
            let mbufs = built.pool.stats().mbufs.allocations;
            assert_eq!(built.chain.make_contiguous_at(range.clone()).unwrap(), expected);
            assert_eq!(built.chain.contiguous(range.clone()), Some(expected));
            let allocated = built.pool.stats().mbufs.allocations - mbufs;
            if let Some(was) = was {
                assert_eq!(built.chain.contiguous(range).map(<[u8]>::as_ptr), Some(was));
                assert_eq!(allocated, 0);
            }
            assert!(allocated <= 1);
            let now: Vec<_> = built.chain.segments().map(|seg| (seg.as_ptr(), seg.len())).collect();
            for segment in in_front {
                assert!(now.contains(&segment), "a segment in front moved");
            }
            built.check();
            Built::check_header(&built.chain);
        });
    }

    fn contiguous_peeks_and_never_moves<H>() {
        each_range::<H>(|built, range| {
            let slices = built.chain.slices(range.clone()).ok().map(Iterator::count);
            let found = built.chain.contiguous(range.clone());
            match slices {
                None => assert_eq!(found, None),
                Some(n) if n > 1 => assert_eq!(found, None),
                Some(_) => assert_eq!(found, Some(&built.bytes[range])),
            }
        });
    }
}

#[test]
fn an_exact_fit_in_the_first_segment_is_used() {
    let pool = Pool::new();
    for (first, capacity) in [(Storage::Inline, MHLEN), (Storage::Own(Class::Cluster), 2048)] {
        let shape =
            Shape::of([(10, first), (capacity - 10, Storage::Own(Class::Cluster)), (5, Storage::Inline)]);
        let mut built = shape.headroom(0).build::<Header>(&pool);
        let mbufs = pool.stats().mbufs.allocations;
        built.chain.make_contiguous(capacity).unwrap();
        assert_eq!(pool.stats().mbufs.allocations, mbufs, "it fits exactly");
        built.check();
        assert_eq!(built.chain.segment_count(), 2);
    }
    assert_empty(&pool);
}

#[test]
fn no_more_than_the_bytes_asked_for_are_moved() {
    let pool = Pool::new();
    let shape = Shape::of([(40, Storage::ReadOnly), (40, Storage::ReadOnly), (40, Storage::Inline)]);
    for n in 41..=80 {
        let mut built = shape.build::<Header>(&pool);
        built.chain.make_contiguous(n).unwrap();
        assert_eq!(built.chain.first_segment().len(), n);
        built.check();
    }
    assert_empty(&pool);
}

#[test]
fn sixteen_kibibytes_can_be_made_contiguous_and_not_one_byte_more() {
    let pool = Pool::new();
    for n in [MLEN, 2049, 4097, 9217, MJUM16BYTES] {
        let mut packet = Packet::from_slice(&pool, &vec![3; 20_000]).unwrap();
        packet.shatter([1000; 20]).unwrap();
        assert_eq!(packet.make_contiguous(n).unwrap().len(), n);
        packet.shatter([1000; 20]).unwrap();
        assert_eq!(packet.make_contiguous_at(777..777 + n).unwrap().len(), n);
    }
    let mut packet = Packet::from_slice(&pool, &vec![3; 20_000]).unwrap();
    let too_long = Err(OpError::TooLong { len: MJUM16BYTES + 1, max: MJUM16BYTES });
    assert_eq!(packet.make_contiguous(MJUM16BYTES + 1), too_long);
    assert_eq!(packet.make_contiguous_at(1..MJUM16BYTES + 2), too_long);
    assert_eq!(packet.make_contiguous_with_headroom(MJUM16BYTES, 1), too_long);
    assert!(matches!(packet.make_contiguous_with_headroom(1, usize::MAX), Err(OpError::TooLong { .. })));
    assert_eq!(packet, vec![3; 20_000]);
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn a_first_segment_that_is_as_asked_for_stays_as_it_is() {
    let pool = Pool::new();
    let packet = Packet::from_slice(&pool, &[1; 1000]).unwrap();
    // Whatever was done to shared bytes would be a copy of them.
    let mut copy = packet.share().unwrap();
    for n in [0, 1, 1000] {
        copy.make_contiguous_with_headroom(n, 0).unwrap();
        assert_eq!(copy.first_segment().as_ptr(), packet.first_segment().as_ptr());
    }
    drop((packet, copy));
    assert_empty(&pool);
}

#[test]
fn a_first_segment_slides_if_what_comes_to_it_finds_no_room_behind() {
    let pool = Pool::new();
    let bytes: Vec<u8> = (0..1600).map(|i| i as u8).collect();
    for (headroom, room, expected) in
        [(500, None, 500), (500, Some(5), 500), (748, None, 748), (1000, None, 748)]
    {
        let mut packet = Packet::with_headroom(&pool, 1000, headroom).unwrap();
        packet.extend_from_slice(&bytes[..1000]).unwrap();
        packet.append(Packet::from_slice(&pool, &bytes[1000..]).unwrap()).unwrap();
        let mbufs = pool.stats().mbufs.allocations;
        let found = match room {
            None => packet.make_contiguous(1300),
            Some(room) => packet.make_contiguous_with_headroom(1300, room),
        };
        assert_eq!(found.map(|bytes| bytes.len() >= 1300), Ok(true));
        assert_eq!(
            (packet.headroom(), pool.stats().mbufs.allocations),
            (expected, mbufs),
            "{headroom} {room:?}"
        );
        assert_eq!((packet.check(), packet == bytes), (Ok(()), true));
    }
    assert_empty(&pool);
}

#[test]
fn what_is_copied_together_has_the_headroom_of_the_pool_as_far_as_there_is_room() {
    let pool = Pool::builder().headroom(64).build().unwrap();
    for (n, expected) in [(1900, 64), (1984, 64), (1985, 56), (2041, 0), (2048, 0), (2049, 64)] {
        let shape = Shape::of([(1800, Storage::ReadOnly), (1800, Storage::ReadOnly)]);
        let mut built = shape.build::<Header>(&pool);
        built.chain.make_contiguous(n).unwrap();
        assert_eq!(built.chain.headroom(), expected, "{n} bytes");
        built.check();
    }
    assert_empty(&pool);
}

#[test]
fn headroom_for_nothing_gives_an_empty_chain_room() {
    let pool = Pool::new();
    for storage in Storage::ALL {
        let mut built = Shape::single(0, storage).build::<Header>(&pool);
        built.chain.make_contiguous_with_headroom(0, 500).unwrap();
        assert!(built.chain.headroom() >= 500);
        built.check();
        Built::check_header(&built.chain);
    }
    assert_empty(&pool);
}

#[test]
fn headroom_moves_up_to_a_cluster_too_much_but_not_all_of_a_larger_segment() {
    let bytes = vec![7; 16_000];
    let large = |pool: &Pool, len| {
        let mut packet = Packet::with_class(pool, Class::Jumbo16).unwrap();
        packet.extend_from_slice(&bytes[..len]).unwrap();
        packet
    };
    let pool = Pool::new();
    for (len, slides) in [(20 + 2048, true), (20 + 2049, false), (16_000, false)] {
        let mut packet = large(&pool, len);
        let behind = packet.first_segment()[20..].as_ptr();
        assert_eq!(packet.make_contiguous_with_headroom(20, 100).unwrap()[..20], bytes[..20]);
        assert_eq!(packet.segment_count(), if slides { 1 } else { 2 });
        assert_eq!(packet.last_segment().as_ptr() == behind, !slides, "the bytes behind");
        assert!(packet.headroom() >= 100);
        assert_eq!((packet.check(), packet == bytes[..len]), (Ok(()), true));
    }
    assert_empty(&pool);
    // Without another mbuf there is still the room.
    let pool = Pool::builder().mbufs(1).build().unwrap();
    let mut packet = large(&pool, 16_000);
    packet.make_contiguous_with_headroom(20, 100).unwrap();
    assert_eq!((packet.segment_count(), packet.headroom()), (1, 100));
    assert_eq!((packet.check(), packet == bytes), (Ok(()), true));
    drop(packet);
    assert_empty(&pool);
}
