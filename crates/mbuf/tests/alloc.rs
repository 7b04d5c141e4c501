//! Making packets and chains, limits, and what the pool counts.

use mbuf::{
    AllocCause, BuildError, Chain, Class, MCLBYTES, MHLEN, MINCLSIZE, MJUM16BYTES, MLEN, MbufChain, OpError,
    Packet, Pool, Resource, StorageKind,
};
use mbuf_testkit::{Hold, assert_empty, both_kinds, for_ever, in_use, pattern, scaled};

const LENGTHS: &[usize] = if cfg!(miri) {
    &[0, 1, 88, 89, 200, 2049, 5000]
} else {
    &[
        0, 1, 15, 16, 87, 88, 89, 103, 104, 105, 168, 169, 183, 184, 185, 1983, 1984, 1985, 2047, 2048, 2049,
        4031, 4032, 4033, 4095, 4096, 4097, 9216, 9217, 16384, 16385, 70_000,
    ]
};

fn data(n: usize) -> Vec<u8> {
    (0..n).map(pattern).collect()
}

both_kinds! {
    fn empty_ones_have_the_room_they_promise<H>() {
        let pool = Pool::new();
        let chain = MbufChain::<H>::new(&pool).unwrap();
        assert!(chain.is_empty() && chain.segment_count() == 1);
        assert_eq!((chain.headroom(), chain.tailroom()), (16, H::INLINE - 16));
        assert_eq!(chain.first_segment().storage_kind(), StorageKind::Inline);
        for class in Class::ALL {
            let chain = MbufChain::<H>::with_class(&pool, class).unwrap();
            assert_eq!((chain.headroom(), chain.tailroom()), (64, class.size() - 64));
            assert_eq!(chain.first_segment().storage_kind(), StorageKind::Cluster(class));
            assert_eq!(chain.check(), Ok(()));
        }
        drop(chain);
        assert_empty(&pool);
    }

    fn with_capacity_takes_the_smallest_storage_that_holds_the_bytes<H>() {
        let pool = Pool::new();
        let mut last = 0;
        for n in LENGTHS.iter().copied().filter(|&n| n <= MJUM16BYTES) {
            let mut chain = MbufChain::<H>::with_capacity(&pool, n).unwrap();
            assert!(chain.tailroom() >= n);
            let capacity = chain.first_segment().capacity();
            let smallest = if n <= H::INLINE { H::INLINE } else { Class::for_len(n).unwrap().size() };
            assert_eq!(capacity, smallest);
            assert!(capacity >= last);
            last = capacity;
            chain.extend_from_slice(&data(n)).unwrap();
            assert_eq!(chain.segment_count(), 1);
            assert_eq!(chain, data(n));
        }
        for n in [MJUM16BYTES + 1, usize::MAX] {
            let error = OpError::TooLong { len: n, max: MJUM16BYTES };
            assert_eq!(MbufChain::<H>::with_capacity(&pool, n).unwrap_err(), error);
        }
        assert_empty(&pool);
    }

    fn with_headroom_gives_exactly_so_much<H>() {
        let pool = Pool::new();
        for n in LENGTHS.iter().copied().filter(|&n| n <= MJUM16BYTES) {
            for headroom in [0, 1, 14, 64, 100, 2048].into_iter().filter(|room| n + room <= MJUM16BYTES) {
                let chain = MbufChain::<H>::with_headroom(&pool, n, headroom).unwrap();
                assert_eq!(chain.headroom(), headroom);
                assert!(chain.tailroom() >= n);
                assert_eq!(chain.check(), Ok(()));
            }
        }
        for (n, room) in [(MJUM16BYTES, 1), (usize::MAX, 1), (1, usize::MAX), (usize::MAX, usize::MAX)] {
            let result = MbufChain::<H>::with_headroom(&pool, n, room);
            assert!(matches!(result, Err(OpError::TooLong { .. })));
        }
        assert_empty(&pool);
    }

    fn bytes_of_any_number_are_copied_behind_the_usual_headroom<H>() {
        for room in [0, 64, 1024] {
            let pool = Pool::builder().headroom(room).build().unwrap();
            for &n in LENGTHS {
                let bytes = data(n);
                let chain = MbufChain::<H>::from_slice(&pool, &bytes).unwrap();
                assert_eq!(chain.check(), Ok(()));
                assert_eq!(chain, bytes);
                let inline = chain.first_segment().storage_kind() == StorageKind::Inline;
                assert_eq!(chain.headroom(), if inline { room.min(16) } else { room });
                assert!(chain.segment_count() <= (n + room).div_ceil(4096).max(1));
                let (a, b) = bytes.split_at(n / 3);
                let pieces: [&[u8]; 5] = [&[], a, &[], b, &[]];
                assert_eq!(MbufChain::<H>::from_slices(&pool, pieces).unwrap(), bytes);
                for exact in [0, 17, 100, 5000, MJUM16BYTES - 1] {
                    let chain = MbufChain::<H>::from_slice_with_headroom(&pool, &bytes, exact).unwrap();
                    assert_eq!((chain.check(), chain.headroom()), (Ok(()), exact));
                    assert_eq!(chain, bytes);
                }
                let refused = MbufChain::<H>::from_slice_with_headroom(&pool, &bytes, MJUM16BYTES);
                assert!(matches!(refused, Err(OpError::TooLong { .. })));
            }
            assert_empty(&pool);
        }
    }

    fn a_copy_routine_is_given_every_piece_once_in_order<H>() {
        let pool = Pool::new();
        for &n in LENGTHS {
            for headroom in [0, 5, 2048, MJUM16BYTES - 1] {
                let mut next = 0;
                let bytes = data(n);
                let chain = MbufChain::<H>::copy_with(&pool, n, headroom, |at, place| {
                    assert_eq!(at, next);
                    next += place.len();
                    place.copy_from_slice(&bytes[at..next]);
                })
                .unwrap();
                assert_eq!(next, n);
                assert_eq!(chain.headroom(), headroom);
                assert_eq!(chain, bytes);
                assert_eq!(chain.check(), Ok(()));
            }
        }
        for headroom in [MJUM16BYTES, usize::MAX] {
            let result = MbufChain::<H>::copy_with(&pool, 1, headroom, |_, _| panic!("not called"));
            assert!(matches!(result, Err(OpError::TooLong { .. })));
        }
        if let Some(beyond) = (u32::MAX as usize).checked_add(1) {
            let result = MbufChain::<H>::copy_with(&pool, beyond, 0, |_, _| panic!("not called"));
            assert!(matches!(result, Err(OpError::TooLong { .. })));
        }
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            MbufChain::<H>::copy_with(&pool, 8000, 0, |at, _| assert!(at == 0, "enough"))
        }));
        assert!(panic.is_err());
        assert_empty(&pool);
    }

    fn a_trailer_frame_is_turned_round<H>() {
        let pool = Pool::new();
        for n in [0usize, 3, 4, 5, 30, 3000] {
            let frame = data(n);
            for at in [0, 1, n / 2, n.saturating_sub(5), n.saturating_sub(4), n.saturating_sub(3), n, usize::MAX] {
                let result = MbufChain::<H>::from_trailer(&pool, &frame, at);
                if at.checked_add(4).is_none_or(|end| end > n) {
                    assert!(matches!(result, Err(OpError::Bounds(_))), "{at} of {n}");
                } else {
                    assert_eq!(result.unwrap(), [&frame[at + 4..], &frame[..at]].concat());
                }
            }
        }
        assert_empty(&pool);
    }
}

#[test]
fn headroom_is_had_whole_or_not_at_all() {
    let pool = Pool::builder().jumbo_pages(0).build().unwrap();
    // A cluster has no room for a byte behind so much.
    let refused = Packet::from_slice_with_headroom(&pool, &[1; 100], MCLBYTES).unwrap_err();
    assert!(matches!(refused, OpError::Alloc(_)), "{refused}");
    let packet = Packet::from_slice_with_headroom(&pool, &[1; 100], MCLBYTES - 1).unwrap();
    assert_eq!((packet.headroom(), packet.segment_count()), (MCLBYTES - 1, 2));
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn sizes_are_those_of_the_bsd_kernels() {
    assert_eq!(mbuf::MSIZE, 256);
    if cfg!(target_pointer_width = "64") {
        assert_eq!((MLEN, MHLEN, MINCLSIZE), (184, 104, 105));
    }
    assert_eq!(Class::ALL.map(Class::size), [2048, 4096, 9216, 16384]);
    assert_eq!((Class::for_len(0), Class::for_len(2048)), (Some(Class::Cluster), Some(Class::Cluster)));
    assert_eq!((Class::for_len(2049), Class::for_len(16384)), (Some(Class::Page), Some(Class::Jumbo16)));
    assert_eq!((Class::for_len(16385), Class::for_len(usize::MAX)), (None, None));
}

#[test]
fn nine_kilobytes_take_one_segment_or_pages_if_it_cannot_be_had() {
    let pool = Pool::builder().jumbo_9k(1).build().unwrap();
    let bytes = data(9000);
    let packet = Packet::from_slice(&pool, &bytes).unwrap();
    let copy = packet.duplicate().unwrap();
    assert_eq!((packet.segment_count(), copy.segment_count()), (1, 3));
    assert!(packet.memory() < copy.memory());
    assert_eq!((packet == bytes[..], copy == packet), (true, true));
    drop((packet, copy));
    assert_empty(&pool);
}

#[test]
fn a_limit_is_exact_and_the_error_names_it() {
    let pool = Pool::builder().mbufs(10).clusters(4).jumbo_pages(2).jumbo_9k(1).jumbo_16k(0).build().unwrap();
    let limits = [(Class::Cluster, 4), (Class::Page, 2), (Class::Jumbo9, 1), (Class::Jumbo16, 0)];
    for _ in 0..3 {
        for (class, limit) in limits {
            let held: Vec<Packet> = (0..limit).map(|_| Packet::with_class(&pool, class).unwrap()).collect();
            let denied = pool.stats().class(class).denied;
            let error = Packet::with_class(&pool, class).unwrap_err();
            assert_eq!((error.resource, error.cause), (Resource::Storage(class), AllocCause::Limit(limit)));
            if class != Class::Cluster {
                assert_eq!(pool.stats().class(class).denied, denied + 1);
            }
            assert_eq!(in_use(&pool).mbufs, limit, "the mbuf that was taken for it went back");
            assert_eq!(pool.stats().class(class).current, limit);
            drop(held);
            assert_empty(&pool);
        }
        let mut held: Vec<Packet> = (0..10).map(|_| Packet::new(&pool).unwrap()).collect();
        let error = Packet::new(&pool).unwrap_err();
        assert_eq!((error.resource, error.cause), (Resource::Mbuf, AllocCause::Limit(10)));
        assert_eq!(Packet::with_cluster(&pool).unwrap_err(), error);
        assert_eq!(Packet::with_class(&pool, Class::Page).unwrap_err(), error);
        assert!(error.to_string().contains("10"), "{error}");
        held.pop();
        Packet::with_cluster(&pool).unwrap();
        drop(held);
        assert_empty(&pool);
    }
}

#[test]
fn parked_pairs_are_taken_apart_for_whoever_needs_a_half() {
    let pool = Class::ALL.into_iter().fold(Pool::builder().mbufs(8), |pool, class| pool.limit(class, 8));
    let pool = pool.build().unwrap();
    for class in Class::ALL.into_iter().cycle().take(3 * Class::ALL.len()) {
        // All mbufs are parked with buffers, those of the class before among them.
        assert_eq!(Hold::all_but(&pool, Resource::Storage(class), 0).len(), 8);
        let stats = pool.stats();
        assert_eq!((stats.mbufs.cached, stats.class(class).cached, stats.class(class).current), (8, 8, 0));
        // Every mbuf is to be had without a buffer,
        let plain: Vec<Chain> = (0..8).map(|_| Chain::new(&pool).unwrap()).collect();
        assert!(Packet::with_class(&pool, class).is_err());
        drop(plain);
        // and every pair again.
        assert_eq!(Hold::all_but(&pool, Resource::Storage(class), 0).len(), 8);
    }
    assert_empty(&pool);
}

#[test]
fn a_freed_buffer_of_any_class_rests_with_its_mbuf() {
    for class in Class::ALL {
        let pool = Pool::builder().mbufs(4).limit(class, 2).build().unwrap();
        let place = |packet: &Packet| packet.segments().next().unwrap().bytes().as_ptr();
        let mut packet = Packet::with_class(&pool, class).unwrap();
        packet.extend_from_slice(&[7; 9]).unwrap();
        let first = place(&packet);
        // Shared, so that it loses its buffer; it rests with the other one.
        let copy = packet.share().unwrap();
        drop(packet);
        let stats = pool.stats();
        assert_eq!((stats.class(class).current, stats.class(class).cached), (1, 1), "{class:?}");
        assert_eq!((place(&copy), copy.to_vec()), (first, vec![7; 9]));
        // With the last one out it has none to rest with.
        let mut other = Packet::with_class(&pool, class).unwrap();
        other.extend_from_slice(&[8; 9]).unwrap();
        let held = other.share().unwrap();
        drop(other);
        assert_eq!(
            (pool.stats().class(class).current, pool.stats().class(class).cached),
            (2, 0),
            "{class:?}"
        );
        assert!(Packet::with_class(&pool, class).is_err());
        drop((copy, held));
        assert_eq!(Hold::all_but(&pool, Resource::Storage(class), 0).len(), 2);
        assert_empty(&pool);
    }
}

#[test]
fn allocations_that_found_a_buffer_only_elsewhere_are_counted() {
    let pool = Pool::builder().mbufs(4).clusters(4).build().unwrap();
    let packets: Vec<Packet> = (0..4).map(|_| Packet::with_cluster(&pool).unwrap()).collect();
    assert_eq!(pool.stats().packets.reclaimed, 0);
    // Into the cache of another thread, which goes on.
    let (done, end) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            drop(packets);
            done.wait();
            end.wait();
        });
        done.wait();
        let first = Packet::with_cluster(&pool).unwrap();
        assert_eq!((pool.stats().packets.reclaimed, pool.stats().mbufs.reclaimed), (1, 0));
        // The pairs that are left become plain mbufs.
        let plain = Packet::new(&pool).unwrap();
        assert_eq!((pool.stats().packets.reclaimed, pool.stats().mbufs.reclaimed), (1, 1));
        assert_eq!(pool.stats().mbufs.denied, 0);
        end.wait();
        drop((first, plain));
    });
    assert_empty(&pool);
}

#[test]
fn a_buffer_shared_and_freed_in_any_order_can_be_had_again() {
    let pool = Pool::builder().mbufs(6).clusters(3).build().unwrap();
    for round in 0..12 {
        let mut held = Vec::new();
        for _ in 0..3 {
            let packet = Packet::with_cluster(&pool).unwrap();
            let mut packet = packet;
            packet.extend_from_slice(b"x").unwrap();
            let copy = packet.share().unwrap();
            held.extend([packet, copy]);
        }
        assert!(Packet::new(&pool).is_err() && Packet::with_cluster(&pool).is_err());
        while !held.is_empty() {
            let at = (round * 7) % held.len();
            held.swap_remove(at);
        }
        assert_empty(&pool);
    }
}

#[test]
fn what_is_freed_is_used_again_before_memory_is_taken() {
    let pool = Pool::new();
    let bytes = data(scaled(30_000, 3_000));
    drop(Packet::from_slice(&pool, &bytes).unwrap());
    let total = pool.stats().bytes_total();
    for _ in 0..scaled(20, 2) {
        drop(Packet::from_slice(&pool, &bytes).unwrap());
    }
    assert_eq!(pool.stats().bytes_total(), total);
    assert!(pool.stats().bytes_cached() > 0);
    assert!(pool.trim() > 0);
    assert_eq!((pool.stats().bytes_total(), pool.stats().bytes_cached()), (0, 0));
    assert_empty(&pool);
}

#[test]
fn statistics_count_what_is_there() {
    let pool = Pool::builder().name("counted").build().unwrap();
    let held = [
        Packet::new(&pool).unwrap(),
        Packet::with_cluster(&pool).unwrap(),
        Packet::with_cluster(&pool).unwrap(),
        Packet::with_class(&pool, Class::Page).unwrap(),
        Packet::with_class(&pool, Class::Jumbo9).unwrap(),
        Packet::with_class(&pool, Class::Jumbo16).unwrap(),
        Packet::from_owner(&pool, [0u8; 3]).unwrap(),
    ];
    let stats = pool.stats();
    assert_eq!(stats.name, "counted");
    assert_eq!((stats.mbufs.current, stats.packets.current, stats.clusters.current), (7, 2, 2));
    assert_eq!(in_use(&pool).clusters, [2, 1, 1, 1]);
    assert_eq!(stats.external.current, 1);
    assert_eq!(stats.bytes_in_use(), 7 * 256 + 2 * 2048 + 4096 + 9216 + 16384);
    assert_eq!((stats.mbufs.allocations, stats.clusters.allocations), (7, 2));
    let table = stats.to_string();
    assert!(table.starts_with("7/"), "{table}");
    assert!(table.contains("2/0 mbuf+clusters out of packet secondary zone in use"), "{table}");
    drop(held);
    assert_empty(&pool);
    assert_eq!(pool.stats().mbufs.allocations, 7);
    assert!(pool.stats().mbufs.peak >= Some(7));
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    assert_eq!(
        Pool::builder().headroom(1025).build().unwrap_err(),
        BuildError::Headroom { asked: 1025, max: 1024 }
    );
    assert!(Pool::builder().headroom(usize::MAX).build().is_err());
    let pool = Pool::builder().headroom(1024).build().unwrap();
    assert_eq!(Packet::with_cluster(&pool).unwrap().headroom(), 1024);
    let none = Pool::builder().mbufs(0).build().unwrap();
    assert!(Packet::new(&none).is_err());
    assert_empty(&none);
}

#[test]
fn an_explicit_cache_gives_and_takes_packets_like_any_other() {
    let pool = Pool::builder().mbufs(20).clusters(10).build().unwrap();
    let mut cache = pool.cache();
    for _ in 0..3 {
        let packets: Vec<Packet> = (0..10).map(|_| cache.with_cluster().unwrap()).collect();
        assert!(cache.with_cluster().is_err());
        let small: Vec<Packet> = (0..10).map(|_| cache.new_packet().unwrap()).collect();
        assert!(cache.new_packet().is_err() && Packet::new(&pool).is_err());
        // Room in front as in a packet from the pool.
        assert!(small.iter().all(|packet| packet.headroom() == 16));
        for packet in packets {
            let copy = packet.share();
            cache.free(packet);
            drop(copy);
        }
        small.into_iter().for_each(|packet| cache.free(packet));
        cache.free(Packet::from_slice(&pool, &data(9000)).unwrap());
        cache.free(Packet::from_owner(&pool, [1u8]).unwrap());
        let mut tagged = cache.with_cluster().unwrap();
        tagged.set_tag(mbuf_testkit::Label(1));
        cache.free(tagged);
        let other = Pool::new();
        cache.free(Packet::with_cluster(&other).unwrap());
        assert_empty(&other);
        assert_empty(&pool);
        // What is cached there is free for others, too.
        assert_eq!(Hold::all_but(&pool, Resource::Storage(Class::Cluster), 0).len(), 10);
        cache.flush();
    }
    drop(cache);
    assert_empty(&pool);
}

#[cfg_attr(
    miri,
    ignore = "mappings are cut to size, which Miri cannot do; it has arenas in mbuf-zone's tests"
)]
#[test]
fn pages_may_come_from_mappings_or_from_an_arena() {
    use mbuf::{Arena, Mmap};
    let pools = [
        Pool::builder().pages(Mmap::new()).build().unwrap(),
        Pool::builder().pages(Mmap::huge()).build().unwrap(),
        Pool::builder().pages(Arena::new(for_ever(4 << 20))).build().unwrap(),
    ];
    for pool in &pools {
        for _ in 0..2 {
            let mut packet = Packet::from_slice(pool, &data(60_000)).unwrap();
            let copy = packet.share().unwrap();
            packet.write_at(100, &[7; 300]).unwrap();
            packet.make_contiguous(16_000).unwrap();
            packet.append(Packet::with_class(pool, Class::Jumbo9).unwrap()).unwrap();
            assert_eq!(copy, data(60_000));
            drop((packet, copy));
            assert_empty(pool);
            assert!(pool.trim() > 0);
            assert_eq!(pool.stats().bytes_total(), 0);
        }
    }
    // An arena ends, and what comes back can be had again.
    let pool = &pools[2];
    for _ in 0..2 {
        let mut held = Vec::new();
        let error = loop {
            match Packet::with_class(pool, Class::Jumbo16) {
                Ok(packet) => held.push(packet),
                Err(error) => break error,
            }
        };
        assert_eq!(error.cause, AllocCause::Memory);
        assert!(held.len() > 100, "{}", held.len());
        drop(held);
        assert_empty(pool);
        pool.trim();
    }
}

#[test]
fn packets_come_and_go_by_the_dozen() {
    let pool = Pool::builder().mbufs(100).clusters(90).build().unwrap();
    let mut packets = vec![Packet::from_slice(&pool, b"first").unwrap()];
    for n in [0, 1, 31, 32, 33, 89] {
        Packet::with_cluster_bulk(&pool, n, &mut packets).unwrap();
        assert_eq!(packets.len(), n + 1);
        for (i, packet) in packets.iter_mut().enumerate().skip(1) {
            assert_eq!((packet.len(), packet.headroom(), packet.check()), (0, pool.headroom(), Ok(())));
            packet.extend_from_slice(&i.to_le_bytes()).unwrap();
        }
        for (i, packet) in packets.iter().enumerate().skip(1) {
            assert_eq!(*packet, i.to_le_bytes(), "each has a cluster of its own");
        }
        packets.truncate(1);
        assert_eq!(pool.stats().mbufs.current, 1);
    }
    assert_eq!(packets[0], *b"first");
}

#[test]
fn packets_of_all_kinds_are_freed_at_once() {
    let pools = [(); 2].map(|()| Pool::builder().mbufs(200).build().unwrap());
    let mut packets = Vec::new();
    let mut kept = Vec::new();
    for round in 0..3 {
        for pool in &pools {
            Packet::with_cluster_bulk(pool, 70, &mut packets).unwrap();
            packets.push(Packet::from_slice(pool, b"inline").unwrap());
            packets.push(Packet::with_class(pool, Class::Page).unwrap());
            let mut shared = Packet::with_cluster(pool).unwrap();
            shared.extend_from_slice(b"shared").unwrap();
            kept.push(shared.share().unwrap());
            packets.push(shared);
            let mut two = Packet::with_cluster(pool).unwrap();
            two.extend_from_slice(b"two").unwrap();
            two.append(Packet::from_slice(pool, &[b'.'; 1000]).unwrap()).unwrap();
            assert_eq!(two.segment_count(), 2);
            packets.push(two);
            packets.push(Packet::with_cluster(pool).unwrap());
        }
        Packet::free_bulk(&mut packets);
        assert!(packets.is_empty());
        for pool in &pools {
            assert_eq!(pool.stats().mbufs.current, round + 1, "what is shared stays with whoever has it");
        }
        assert!(kept.iter().all(|packet| *packet == *b"shared"));
    }
    kept.clear();
    pools.iter().for_each(assert_empty);
}

#[test]
fn too_many_at_a_time_are_none() {
    let pool = Pool::builder().mbufs(100).clusters(70).build().unwrap();
    let mut packets = Vec::new();
    Packet::with_cluster_bulk(&pool, 3, &mut packets).unwrap();
    for n in [68, 70, 1000] {
        let error = Packet::with_cluster_bulk(&pool, n, &mut packets).unwrap_err();
        assert_eq!((error.resource, error.cause), (Resource::Storage(Class::Cluster), AllocCause::Limit(70)));
        assert_eq!((packets.len(), pool.stats().mbufs.current), (3, 3));
    }
    // However many: nothing is set aside for them before they are there.
    Packet::with_cluster_bulk(&pool, usize::MAX, &mut packets).unwrap_err();
    assert_eq!((packets.len(), pool.stats().mbufs.current), (3, 3));
    Packet::with_cluster_bulk(&pool, 67, &mut packets).unwrap();
    drop(packets);
    assert_empty(&pool);
}
