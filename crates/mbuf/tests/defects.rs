//! The defects of the BSD sources that `docs/bsd-map.md` names, each with a test that shows ours does not have it.
//!
//! Without a test here:
//!
//! | defect | why |
//! | --- | --- |
//! | B11 type as array index | `MbufType` is an enum and indexes nothing; B11 below checks that all types are kept |
//! | B12 double free | a packet is moved when it is freed: using it again does not compile; B12 below checks reuse |
//! | B40 tracking tree unlocked | `audit.rs` has it, where the live set is tested |
//! | B42 counters falsely shared | a matter of layout, not of behaviour: counters lie beside each thread's magazines |
//! | B58 recycled buffers show old contents | to C and devices alone, and the audit fills them; B58 below checks that |
//! | | what is promised to be zero is |

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mbuf::{
    AllocCause, AllocError, Chain, Class, Flags, Header, LimitPolicy, MHLEN, MLEN, MbufType, Meta, OpError,
    Packet, PacketQueue, Pool, Preset, ReclaimKind, Reserve, Resource, Rule, StorageKind, Tunable, Tunables,
    Wait,
};
use mbuf_testkit::{
    Built, Drops, Hold, Label, Observe, Refusing, Shape, Sticky, Storage, assert_empty, for_every_failure,
    in_use, scaled,
};

fn cluster(pool: &Pool, bytes: &[u8]) -> Packet {
    let mut packet = Packet::with_cluster(pool).unwrap();
    packet.extend_from_slice(bytes).unwrap();
    packet
}

#[test]
fn b1_a_duplicate_whose_header_cannot_be_copied_leaks_nothing() {
    let pool = Pool::new();
    let mut packet = cluster(&pool, &[1; 1000]);
    packet.set_tag(Label(1));
    packet.set_tag(Refusing);
    let before = in_use(&pool);
    assert_eq!(packet.duplicate().unwrap_err(), OpError::Tag);
    assert_eq!(in_use(&pool), before);
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn b2_a_prepend_longer_than_an_mbuf_gets_the_room_or_is_refused() {
    let pool = Pool::new();
    for n in [MHLEN, MHLEN + 1, MLEN + 1, 3000, 16384, 16385, usize::MAX] {
        let mut packet = Packet::from_slice(&pool, b"data").unwrap();
        match packet.prepend(n) {
            Ok(place) => place.fill(7),
            Err(error) => assert!(n > 16384 && matches!(error, OpError::TooLong { .. })),
        }
        assert_eq!(packet.check(), Ok(()));
        assert!(packet.first_segment().len() <= packet.first_segment().capacity());
        assert_eq!(packet.read_array(packet.len() - 4), Ok(*b"data"));
    }
    assert_empty(&pool);
}

#[test]
fn b3_an_offset_that_would_be_negative_is_refused() {
    let pool = Pool::new();
    let mut packet = cluster(&pool, &[1; 100]);
    let offsets = [usize::MAX, usize::MAX - 1, -8isize as usize, isize::MIN as usize];
    // Where a number has 32 bits, a chain may be so long as the last.
    for offset in offsets.into_iter().filter(|&n| n >= u32::MAX as usize - 7) {
        assert!(matches!(packet.write_at(offset, &[9; 8]), Err(OpError::TooLong { .. })));
        assert!(packet.read_at(offset, &mut [0; 8]).is_err());
    }
    assert_eq!(packet, [1; 100]);
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn b4_a_write_does_not_show_in_other_holders_of_the_storage() {
    let pool = Pool::new();
    let mut packet = cluster(&pool, &[1; 100]);
    let (whole, part) = (packet.share().unwrap(), packet.share_range(40..60).unwrap());
    packet.write_at(30, &[2; 40]).unwrap();
    assert_eq!((whole == [1; 100], part == [1; 20]), (true, true));
    drop((packet, whole, part));
    assert_empty(&pool);
}

#[test]
fn b5_a_headerless_chain_of_full_mbufs_is_copied_whole() {
    let pool = Pool::new();
    let shape = Shape::of([(MLEN, Storage::Inline), (MLEN, Storage::Inline)]);
    let built = shape.build::<mbuf::Bare>(&pool);
    let copy = built.chain.share().unwrap();
    assert_eq!(copy.check(), Ok(()));
    assert_eq!(copy, built.bytes);
    // And as a packet, whose first mbuf holds less.
    let packet = copy.into_packet().unwrap();
    assert_eq!(packet.share().unwrap(), built.bytes);
    drop((packet, built));
    assert_empty(&pool);
}

#[test]
fn b6_padding_may_be_longer_than_an_mbuf() {
    let pool = Pool::new();
    for n in [60, MLEN, MLEN + 1, 5000] {
        let mut packet = Packet::from_slice(&pool, b"short").unwrap();
        packet.pad_to(n).unwrap();
        assert_eq!((packet.len(), packet.check()), (n, Ok(())));
        assert_eq!(packet.range_eq(5.., &vec![0; n - 5]), Ok(true));
    }
    assert_empty(&pool);
}

#[test]
fn b7_ranges_beyond_the_end_are_errors() {
    let pool = Pool::new();
    let built = Shape::of([(50, Storage::Inline), (50, Storage::ReadOnly)]).build::<Header>(&pool);
    let packet = &built.chain;
    for (start, end) in
        [(0, 101), (100, 101), (101, 101), (500, 600), (0, usize::MAX), (usize::MAX, usize::MAX)]
    {
        assert!(matches!(packet.share_range(start..end), Err(OpError::Bounds(_))), "{start}..{end}");
        assert!(packet.slices(start..end).is_err());
        assert!(
            packet
                .read_at(start, &mut vec![0; (end - start).min(200).max(usize::from(start > 100))])
                .is_err()
        );
    }
    drop(built);
    assert_empty(&pool);
}

#[test]
fn b8_a_trailer_offset_outside_of_the_frame_is_refused() {
    let pool = Pool::new();
    let frame: Vec<u8> = (0..100).collect();
    for offset in [97, 100, 101, usize::MAX - 3, usize::MAX] {
        assert!(matches!(Packet::from_trailer(&pool, &frame, offset), Err(OpError::Bounds(_))));
    }
    assert_eq!(Packet::from_trailer(&pool, &frame, 96).unwrap(), frame[..96]);
    assert_empty(&pool);
}

#[test]
fn b9_a_duplicate_has_the_bytes_there_are_whatever_was_done_before() {
    let pool = Pool::new();
    let mut built = Shape::of([(100, Storage::Inline), (700, Storage::ReadOnly), (90, Storage::Inline)])
        .build::<Header>(&pool);
    let packet = &mut built.chain;
    packet.trim_front(120).unwrap();
    packet.prepend(13).unwrap().fill(1);
    packet.trim_back(95).unwrap();
    packet.append(Chain::from_slice(&pool, &[2; 10]).unwrap()).unwrap();
    packet.remove_range(3..50).unwrap();
    let sum: usize = packet.segments().map(|seg| seg.len()).sum();
    assert_eq!(packet.len(), sum);
    assert_eq!(packet.duplicate().unwrap(), *packet);
    assert_eq!(packet.duplicate().unwrap().len(), sum);
    drop(built);
    assert_empty(&pool);
}

#[test]
fn b10_printing_walks_the_chain() {
    let pool = Pool::new();
    let chain = Shape::of([(3, Storage::Inline), (20, Storage::ReadOnly)]).build::<mbuf::Bare>(&pool).chain;
    assert_eq!(chain.hexdump(usize::MAX).to_string().lines().count(), 2);
    let empty = Packet::new(&pool).unwrap();
    assert_eq!(empty.hexdump(100).to_string(), "");
    assert!(format!("{chain:?} {empty:?}").contains("len: 23"));
    drop((chain, empty));
    assert_empty(&pool);
}

#[test]
fn b11_every_type_is_kept() {
    let pool = Pool::new();
    let kinds =
        [MbufType::Data, MbufType::Header, MbufType::SocketName, MbufType::Control, MbufType::OutOfBand];
    for kind in kinds {
        let mut packet = cluster(&pool, &[1; 10]);
        packet.set_type(kind);
        assert_eq!((packet.mbuf_type(), packet.share().unwrap().mbuf_type()), (kind, kind));
    }
    assert_empty(&pool);
}

#[test]
fn b12_what_is_freed_is_handed_out_once() {
    let (pool, n) = (Pool::new(), scaled(200, 20));
    for _ in 0..3 {
        let packets: Vec<Packet> = (0..n).map(|i| cluster(&pool, &[i as u8])).collect();
        let copies: Vec<Packet> = packets.iter().map(|packet| packet.share().unwrap()).collect();
        drop(packets);
        drop(copies);
        let again: Vec<Packet> = (0..n).map(|i| cluster(&pool, &[i as u8])).collect();
        assert!(again.iter().enumerate().all(|(i, packet)| *packet == [i as u8]));
        let mut places: Vec<_> = again.iter().map(|packet| packet.first_segment().as_ptr()).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), n);
    }
    assert_empty(&pool);
}

#[test]
fn b13_room_that_cannot_be_had_for_a_chain_is_an_error() {
    let pool = Pool::builder().mbufs(5).clusters(2).jumbo_pages(0).build().unwrap();
    let mut packet = Packet::from_slice(&pool, b"start").unwrap();
    let before = packet.observe();
    assert!(Reserve::new(&pool, 5000).is_err());
    assert!(matches!(packet.extend_zeroed(5000), Err(OpError::Alloc(_))));
    assert_eq!(packet.observe(), before);
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn b14_a_failed_split_leaves_the_length_alone() {
    // The head is inline and what is behind the cut does not fit behind a header: the case that recursed.
    let shape = Shape::of([(10, Storage::Inline), (MLEN, Storage::Inline), (30, Storage::Inline)]);
    let failures =
        for_every_failure(|pool| shape.build::<Header>(pool), |_, built| built.chain.split_off(20));
    assert!(failures.mbufs > 0 && failures.storage > 0, "{failures:?}");
}

#[test]
fn b15_an_empty_part_has_length_zero() {
    let pool = Pool::new();
    for storage in Storage::ALL {
        let mut built = Shape::single(50, storage).build::<Header>(&pool);
        let tail = built.chain.split_off(50).unwrap();
        assert_eq!((tail.len(), tail.first_segment().len(), tail.check()), (0, 0, Ok(())));
        let rest = built.chain.split_off(0).unwrap();
        assert_eq!((built.chain.len(), built.chain.first_segment().len()), (0, 0));
        assert_eq!(rest, built.bytes);
    }
    assert_empty(&pool);
}

#[test]
fn b16_splitting_a_headerless_chain_at_its_end_gives_an_empty_chain() {
    let pool = Pool::new();
    let mut chain = Chain::from_slice(&pool, &[1; 500]).unwrap();
    let tail = chain.split_off(500).unwrap();
    assert!(tail.is_empty() && chain.len() == 500);
    assert!(matches!(chain.split_off(501), Err(OpError::Bounds(_))));
    drop((chain, tail));
    assert_empty(&pool);
}

#[test]
fn b17_a_cut_at_the_end_of_a_cluster_leaves_it_writable() {
    let pool = Pool::new();
    let own = Storage::Own(Class::Cluster);
    let mut built = Shape::of([(1000, own), (300, own)]).build::<Header>(&pool);
    let tail = built.chain.split_off(1000).unwrap();
    assert!(built.chain.is_writable() && tail.is_writable());
    assert_eq!((built.chain.share_count(), tail.share_count()), (1, 1));
    assert!(tail.segments().chain(built.chain.segments()).all(|seg| !seg.is_empty()));
    drop((built, tail));
    assert_empty(&pool);
}

#[test]
fn b18_bytes_that_are_contiguous_already_are_left_where_they_are() {
    let pool = Pool::builder().mbufs(3).build().unwrap();
    let shape = Shape::of([(1500, Storage::ReadOnly), (10, Storage::Inline)]);
    let mut built = shape.build::<Header>(&pool);
    let hold = Hold::all_but(&pool, Resource::Mbuf, 0);
    let at = built.chain.first_segment().as_ptr();
    for n in [1, MHLEN, MHLEN + 1, 1500] {
        assert_eq!(built.chain.make_contiguous(n).unwrap().as_ptr(), at);
    }
    assert_eq!(built.chain.make_contiguous_at(700..1500).unwrap().len(), 800);
    assert!(
        matches!(built.chain.make_contiguous(1501), Err(OpError::Alloc(_))),
        "and a failure frees nothing"
    );
    built.check();
    drop(hold);
    assert_eq!(built.chain.make_contiguous(1501).unwrap().len(), 1501, "clusters are used");
    drop(built);
    assert_empty(&pool);
}

#[test]
fn b19_an_exact_fit_is_used() {
    let pool = Pool::new();
    // Pull up into the head.
    let shape = Shape::of([(4, Storage::Inline), (MHLEN - 4, Storage::ReadOnly), (1, Storage::ReadOnly)]);
    let mut built = shape.build::<Header>(&pool);
    let mbufs = pool.stats().mbufs.allocations;
    built.chain.make_contiguous(MHLEN).unwrap();
    assert_eq!(pool.stats().mbufs.allocations, mbufs);
    // Copy behind the tail.
    let mut packet = cluster(&pool, &[1; 100]);
    packet.extend_zeroed(packet.tailroom() - 50).unwrap();
    packet.append(Packet::from_slice(&pool, &[2; 50]).unwrap()).unwrap();
    assert_eq!((packet.segment_count(), packet.tailroom()), (1, 0));
    drop((packet, built));
    assert_empty(&pool);
}

#[test]
fn b20_no_more_bytes_are_pulled_up_than_asked() {
    let pool = Pool::new();
    let mut built = Shape::of([(80, Storage::ReadOnly), (100, Storage::ReadOnly)]).build::<Header>(&pool);
    built.chain.make_contiguous(81).unwrap();
    assert_eq!(built.chain.first_segment().len(), 81);
    drop(built);
    assert_empty(&pool);
}

#[test]
fn b21_failed_copies_and_failed_pullups_are_counted_apart() {
    let pool = Pool::builder().mbufs(2).build().unwrap();
    let mut packet = Packet::from_owner(&pool, [1u8; 20]).unwrap();
    packet.append(Packet::from_owner(&pool, [2u8; 20]).unwrap()).unwrap();
    assert!(packet.make_contiguous(30).is_err());
    let ops = pool.stats().ops;
    assert_eq!((ops.pullup_failures, ops.copy_failures), (1, 0));
    assert!(packet.share().is_err());
    let ops = pool.stats().ops;
    assert_eq!((ops.pullup_failures, ops.copy_failures), (1, 1));
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn b22_a_copy_of_nothing_is_an_empty_chain_and_no_failure() {
    let pool = Pool::new();
    let packet = cluster(&pool, &[1; 100]);
    for at in [0, 50, 100] {
        let copy = packet.share_range(at..at).unwrap();
        assert!(copy.is_empty());
        assert_eq!(copy.first_segment().storage_kind(), StorageKind::Inline);
    }
    assert!(Packet::new(&pool).unwrap().share().unwrap().is_empty());
    assert_eq!(pool.stats().ops.copy_failures, 0);
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn b23_a_copied_range_has_the_length_of_the_range() {
    let pool = Pool::new();
    let packet = cluster(&pool, &[1; 100]);
    for (start, end) in [(0, 100), (0, 40), (30, 100), (30, 31)] {
        let copy = packet.share_range(start..end).unwrap();
        assert_eq!((copy.len(), copy.check()), (end - start, Ok(())));
    }
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn b24_a_packet_whose_end_was_trimmed_can_be_duplicated() {
    let pool = Pool::new();
    let own = Storage::Own(Class::Cluster);
    let mut built = Shape::of([(2048, own), (100, own), (100, Storage::Inline)]).build::<Header>(&pool);
    built.chain.trim_back(200).unwrap();
    assert!(built.chain.segments().all(|seg| !seg.is_empty()));
    assert_eq!(built.chain.duplicate().unwrap(), built.bytes[..2048]);
    drop(built);
    assert_empty(&pool);
}

#[test]
fn b25_a_write_that_runs_out_of_memory_is_an_error_and_writes_nothing() {
    let shape = Shape::of([(300, Storage::Shared(Class::Cluster)), (100, Storage::Inline)]).flush();
    let failures = for_every_failure(
        |pool| shape.build::<Header>(pool),
        |_, built| built.chain.write_at(250, &[9; 6000]),
    );
    assert!(failures.mbufs >= 3 && failures.storage >= 2, "{failures:?}");
}

#[test]
fn b26_gathering_fails_with_its_cause_and_loses_no_data() {
    let pool = Pool::builder().mbufs(3).clusters(1).jumbo_pages(0).build().unwrap();
    let (a, b) = (vec![1; 3000], vec![2; 3000]);
    let slices = [std::io::IoSlice::new(&a), std::io::IoSlice::new(&b)];
    let error = Packet::from_slices(&pool, slices).unwrap_err();
    assert!(matches!(
        error,
        OpError::Alloc(AllocError { resource: Resource::Storage(_), cause: AllocCause::Limit(_), .. })
    ));
    assert_empty(&pool);
    // The slices are still there for another try.
    let packet = Packet::from_slices(&Pool::new(), slices).unwrap();
    assert_eq!(packet, [a.clone(), b.clone()].concat());
}

#[test]
fn b27_gathering_from_a_pool_without_mbufs_fails() {
    let pool = Pool::builder().mbufs(0).build().unwrap();
    for bytes in [&[][..], &[1; 10], &[1; 9000]] {
        assert!(matches!(Packet::from_slice(&pool, bytes), Err(OpError::Alloc(_))));
    }
    assert_empty(&pool);
}

#[test]
fn b28_a_headerless_chain_is_defragmented_like_any_other() {
    let pool = Pool::new();
    let mut built = Shape::of([(200, Storage::ReadOnly), (200, Storage::Inline)]).build::<mbuf::Bare>(&pool);
    built.chain.defragment().unwrap();
    assert_eq!(built.chain.segment_count(), 1);
    built.check();
    drop(built);
    assert_empty(&pool);
}

#[test]
fn b29_defragmenting_keeps_every_byte_there_is() {
    let pool = Pool::new();
    let mut built = Shape::of([(100, Storage::Inline), (100, Storage::ReadOnly)]).build::<Header>(&pool);
    built.chain.append(Chain::from_slice(&pool, &[1; 500]).unwrap()).unwrap();
    built.chain.prepend_slice(&[2; 90]).unwrap();
    let bytes = built.chain.to_vec();
    built.chain.defragment().unwrap();
    assert_eq!((built.chain.len(), built.chain.segment_count()), (790, 1));
    assert_eq!(built.chain, bytes);
    drop(built);
    assert_empty(&pool);
}

#[test]
fn b30_one_segment_is_not_copied_to_defragment_it() {
    let pool = Pool::new();
    let mut built = Shape::single(9000, Storage::SharedReadOnly).build::<Header>(&pool);
    let at = built.chain.first_segment().as_ptr();
    built.chain.defragment().unwrap();
    assert_eq!(built.chain.first_segment().as_ptr(), at);
    let ops = pool.stats().ops;
    assert_eq!((ops.defrag_useless, ops.defrag_packets, ops.defrag_bytes), (1, 0, 0));
    drop(built);
    assert_empty(&pool);
}

#[test]
fn b31_what_was_the_first_mbuf_has_no_header_any_more() {
    let pool = Pool::new();
    let mut packet = Packet::from_slice(&pool, &[1; 80]).unwrap();
    packet.meta_mut().interface = 5;
    packet.prepend(200).unwrap();
    assert_eq!(packet.check(), Ok(()), "exactly the first mbuf has a header");
    let old_head = packet.split_off(200).unwrap();
    assert_eq!((old_head.len(), old_head.check()), (80, Ok(())));
    assert_eq!(old_head.share().unwrap().len(), 80);
    drop((packet, old_head));
    assert_empty(&pool);
}

#[test]
fn b32_joined_packets_have_one_header_and_the_sum_of_the_lengths() {
    let pool = Pool::new();
    let drops = Drops::new();
    for (a, b) in [(10, 20), (300, 20), (300, 300), (0, 300), (300, 0)] {
        let mut first = Packet::from_slice(&pool, &vec![1; a]).unwrap();
        first.meta_mut().interface = 1;
        first.set_flags(Flags::BROADCAST);
        let mut second = Packet::from_slice(&pool, &vec![2; b]).unwrap();
        second.meta_mut().interface = 2;
        second.set_tag(Sticky(drops.clone()));
        let before = drops.count();
        first.append(second).unwrap();
        assert_eq!((first.len(), first.check()), (a + b, Ok(())));
        assert_eq!((first.meta().interface, first.flags()), (1, Flags::BROADCAST));
        assert_eq!((first.tags().count(), drops.count()), (0, before + 1));
    }
    assert_empty(&pool);
}

#[test]
fn b33_mbufs_and_clusters_that_trimming_empties_are_freed() {
    let pool = Pool::new();
    let own = Storage::Own(Class::Cluster);
    let shape = Shape::of([(1000, own), (1000, own), (1000, own), (1000, own)]);
    let mut built = shape.build::<Header>(&pool);
    built.chain.trim_front(2000).unwrap();
    assert_eq!((in_use(&pool).mbufs, in_use(&pool).clusters[0]), (2, 2));
    built.chain.trim_back(1000).unwrap();
    assert_eq!((in_use(&pool).mbufs, in_use(&pool).clusters[0]), (1, 1));
    drop(built);
    assert_empty(&pool);
}

#[test]
fn b34_both_parts_of_a_split_packet_have_the_whole_header() {
    let pool = Pool::new();
    for at in [0, 1, 99, 100, 101, 300] {
        let shape = Shape::of([(100, Storage::Inline), (200, Storage::ReadOnly)]);
        let mut built = shape.build::<Header>(&pool);
        let tail = built.chain.split_off(at).unwrap();
        Built::check_header(&built.chain);
        Built::check_header(&tail);
    }
    assert_empty(&pool);
}

#[test]
fn b35_a_frame_of_no_bytes_is_an_empty_packet_and_leaks_nothing() {
    let pool = Pool::new();
    assert!(Packet::from_slice(&pool, &[]).unwrap().is_empty());
    assert!(Packet::from_slices(&pool, [&[][..], &[]]).unwrap().is_empty());
    assert!(Packet::from_slices(&pool, <[&[u8]; 0]>::default()).unwrap().is_empty());
    assert!(Packet::from_trailer(&pool, &[1, 2, 3, 4], 0).unwrap().is_empty());
    assert!(Packet::from_trailer(&pool, &[1, 2, 3], 0).is_err());
    assert!(Packet::copy_with(&pool, 0, 0, |_, _| {}).unwrap().is_empty());
    assert_empty(&pool);
}

#[test]
fn b36_an_extension_uses_the_tailroom_and_then_clusters() {
    let pool = Pool::new();
    let mut packet = cluster(&pool, &[1; 100]);
    packet.write_at(90, &[2; 500]).unwrap();
    assert_eq!(packet.segment_count(), 1);
    packet.write_at(packet.len(), &[3; 9000]).unwrap();
    assert!(packet.segment_count() <= 4);
    assert_eq!(packet.segments().next().unwrap().tailroom(), 0);
    assert_eq!(packet.len(), 9590);
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn b37_lengths_are_zero_and_headers_empty_from_the_start() {
    let pool = Pool::new();
    for _ in 0..3 {
        let mut packets = vec![Packet::new(&pool).unwrap(), Packet::with_cluster(&pool).unwrap()];
        packets.extend(Class::ALL.map(|class| Packet::with_class(&pool, class).unwrap()));
        for packet in &mut packets {
            assert_eq!((packet.len(), packet.first_segment().len()), (0, 0));
            assert_eq!((packet.meta(), packet.tags().count(), packet.flags()), (&Meta::EMPTY, 0, Flags(0)));
            *packet.meta_mut() = Built::<Header>::META;
            packet.set_tag(Label(1));
            packet.set_flags(Flags(0xff));
            packet.extend_from_slice(b"old data").unwrap();
        }
        let chain = Chain::new(&pool).unwrap();
        assert_eq!((chain.len(), chain.flags()), (0, Flags(0)));
    }
    assert_empty(&pool);
}

#[test]
fn b38_tags_go_with_their_packet_however_it_is_freed() {
    let pool = Pool::new();
    let drops = Drops::new();
    let tagged = || {
        let mut packet = cluster(&pool, &[1; 10]);
        packet.set_tag(Sticky(drops.clone()));
        packet
    };
    drop(tagged());
    pool.cache().free(tagged());
    drop(tagged().into_chain());
    cluster(&pool, &[1]).append(tagged()).unwrap();
    let mut queue = PacketQueue::new();
    queue.push_back(tagged()).unwrap();
    queue.clear();
    thread::scope(|scope| {
        let packet = tagged();
        scope.spawn(move || drop(packet));
    });
    assert_eq!(drops.count(), 6);
    assert_empty(&pool);
}

#[test]
fn b39_last_holders_that_let_go_at_once_are_counted_once() {
    let pool = Pool::new();
    let rounds = scaled(4000, 20);
    let pairs: Vec<[Packet; 2]> = (0..rounds)
        .map(|_| {
            let packet = Packet::from_slice(&pool, &[1; 300]).unwrap();
            [packet.share().unwrap(), packet]
        })
        .collect();
    let (ours, theirs): (Vec<Packet>, Vec<Packet>) = pairs.into_iter().map(|[a, b]| (a, b)).unzip();
    // Both threads come to each pair at the same moment, as near as can be.
    let turns = [AtomicUsize::new(0), AtomicUsize::new(0)];
    thread::scope(|scope| {
        for (me, packets) in [ours, theirs].into_iter().enumerate() {
            let turns = &turns;
            scope.spawn(move || {
                for (turn, packet) in packets.into_iter().enumerate() {
                    turns[me].store(turn + 1, Ordering::SeqCst);
                    let mut spins = 0;
                    while turns[1 - me].load(Ordering::SeqCst) <= turn {
                        spins += 1;
                        if spins > 200 || cfg!(miri) {
                            thread::yield_now();
                        }
                        std::hint::spin_loop();
                    }
                    drop(packet);
                }
            });
        }
    });
    assert_empty(&pool);
}

#[test]
fn b41_counters_are_exact_however_many_threads_count() {
    let pool = Pool::new();
    let (threads, rounds) = (3, scaled(200, 10));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..rounds {
                    let mut packet = Packet::from_slice(&pool, &[1; 400]).unwrap();
                    packet.shatter([200, 200]).unwrap();
                    packet.defragment().unwrap();
                    packet.prepend(3000).unwrap();
                }
            });
        }
    });
    let (ops, n) = (pool.stats().ops, (threads * rounds) as u64);
    assert_eq!((ops.defrag_packets, ops.defrag_bytes, ops.prepends), (n, n * 400, n));
    assert_empty(&pool);
}

#[test]
fn b43_reclaim_is_not_entered_again_by_a_hook_that_runs_short() {
    let pool = Pool::builder().mbufs(1).build().unwrap();
    let runs = Arc::new(AtomicUsize::new(0));
    let (there, count) = (pool.clone(), runs.clone());
    let _guard = pool.on_reclaim(ReclaimKind::Protocol, 0, move || {
        count.fetch_add(1, Ordering::Relaxed);
        assert!(there.wait(Wait::Reclaim, || Packet::new(&there)).is_err());
    });
    let held = Packet::new(&pool).unwrap();
    assert!(pool.wait(Wait::Reclaim, || Packet::new(&pool)).is_err());
    assert_eq!((runs.load(Ordering::Relaxed), pool.stats().reclaim_panics), (1, 0));
    drop(held);
    assert_empty(&pool);
}

#[test]
fn b44_freeing_packets_while_clusters_are_short_drains_no_cache() {
    let pool = Pool::builder().clusters(16).build().unwrap();
    let mut held: Vec<Packet> = (0..16).map(|_| Packet::with_cluster(&pool).unwrap()).collect();
    assert!(Packet::with_cluster(&pool).is_err());
    for freed in 1..=16 {
        held.pop();
        let stats = pool.stats();
        assert_eq!((stats.packets.cached, stats.clusters.current), (freed, 16 - freed), "pairs stay parked");
    }
    assert_empty(&pool);
}

#[test]
fn b45_setters_at_once_do_not_lose_a_limit() {
    let mut tunables = Tunables::new();
    tunables.set(Tunable::Policy, LimitPolicy::GrowOnly).unwrap();
    tunables.set(Tunable::Clusters, 1_usize).unwrap();
    let pool = Pool::builder().tunables(&tunables).unwrap().build().unwrap();
    let rounds = scaled(2000, 50);
    // Each takes a step up from what it reads. Two that read the same cannot both be accepted, nor one that is late.
    let accepted: usize = thread::scope(|scope| {
        let step = || {
            (0..rounds)
                .filter(|_| {
                    let current = pool.limit(Class::Cluster).unwrap();
                    pool.set_limit(Class::Cluster, current + 1).is_ok()
                })
                .count()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(step)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(pool.limit(Class::Cluster), Some(1 + accepted));
    assert!(accepted >= rounds, "a thread that is alone is accepted every time");
}

#[test]
fn b46_b48_tunables_are_computed_in_64_bits_and_nonsense_is_refused() {
    let mut tunables = Tunables::from(Preset::FreeBsd);
    for nonsense in ["-1", "0", "-9223372036854775808", "9223372036854775807", "18446744073709551616"] {
        assert!(tunables.set_text("kern.maxusers", nonsense).is_err(), "{nonsense}");
        assert!(tunables.set_text("kern.ipc.nmbclusters", nonsense).is_err(), "{nonsense}");
        assert!(tunables.set_text("kern.ipc.nmbufs", nonsense).is_err(), "{nonsense}");
    }
    assert_eq!(tunables, Tunables::from(Preset::FreeBsd));
    if cfg!(target_pointer_width = "64") {
        // 64 times this does not fit into 32 bits, nor does any limit in bytes.
        tunables.set(Tunable::MaxUsers, 1_u64 << 30).unwrap();
        let resolved = tunables.resolve().unwrap();
        assert_eq!(resolved.limit(Class::Cluster.into()), Some((64 << 30) + 1024));
        assert_eq!(resolved.bytes(Class::Cluster.into()), Some(((64 << 30) + 1024) * 2048));
        assert_eq!(resolved.limit(Resource::Mbuf), Some(2 * ((64 << 30) + 1024)));
        // The most there may be passes, and neither formula nor rule overflows on it.
        for preset in Preset::ALL {
            let most = (isize::MAX as u64 / 2048).to_string();
            let mut tunables = Tunables::from(preset);
            tunables.set_text("kern.ipc.nmbclusters", &most).unwrap();
            match tunables.resolve() {
                Ok(resolved) => assert!(resolved.total_bytes().is_none_or(|bytes| bytes > 1 << 63)),
                // An eighth of them, of eight times the size and more.
                Err(errors) => assert!(errors.iter().all(|e| matches!(e.rule, Rule::TooLarge { .. }))),
            }
        }
    }
}

#[test]
fn b46_b48_limits_of_any_size_are_kept_as_they_are() {
    for n in [0, 1, u32::MAX as usize, usize::MAX / 2, usize::MAX] {
        let builder = Pool::builder().mbufs(n).clusters(n).jumbo_pages(n).jumbo_9k(n).jumbo_16k(n);
        let pool = builder.build().unwrap();
        // The largest number is no limit.
        let kept = Some(n).filter(|&n| n != usize::MAX);
        assert_eq!(pool.stats().mbufs.limit, kept);
        assert!(Class::ALL.iter().all(|&class| pool.stats().class(class).limit == kept));
        assert_eq!(Packet::from_slice(&pool, &[1; 20_000]).is_ok(), n > 1);
        assert_empty(&pool);
    }
}

#[test]
fn b47_mbufs_with_and_without_clusters_share_one_limit() {
    let pool = Pool::builder().mbufs(10).build().unwrap();
    let mut held = Vec::new();
    for i in 0..10 {
        held.push(if i % 2 == 0 {
            Packet::new(&pool).unwrap()
        } else {
            Packet::with_cluster(&pool).unwrap()
        });
    }
    assert!(Packet::new(&pool).is_err() && Packet::with_cluster(&pool).is_err());
    held.swap_remove(1);
    drop(Packet::new(&pool).unwrap());
    drop(Packet::with_cluster(&pool).unwrap());
    drop(held);
    assert_empty(&pool);
}

#[test]
fn b49_b50_b51_each_limit_is_its_own_exactly_and_zero_means_none() {
    let pool = Pool::builder().clusters(3).jumbo_9k(0).build().unwrap();
    assert_eq!(Hold::all_but(&pool, Resource::Storage(Class::Cluster), 0).len(), 3);
    let none = Packet::with_class(&pool, Class::Jumbo9).unwrap_err();
    assert_eq!((none.resource, none.cause), (Resource::Storage(Class::Jumbo9), AllocCause::Limit(0)));
    let stats = pool.stats();
    assert_eq!((stats.clusters.limit, stats.jumbo_9k.limit, stats.jumbo_16k.limit), (Some(3), Some(0), None));
    assert_eq!(stats.mbufs.limit, None);
    drop(Packet::with_class(&pool, Class::Jumbo16).unwrap());
    for limit in [1, 7, 33, 65, 100] {
        let pool = Pool::builder().mbufs(limit).build().unwrap();
        assert_eq!(pool.stats().mbufs.limit, Some(limit), "no rounding");
        assert_eq!(Hold::all_but(&pool, Resource::Mbuf, 0).len(), limit);
    }
    assert_empty(&pool);
}

#[test]
fn b49_jumbo_limits_follow_a_cluster_limit_that_was_set() {
    let mut tunables = Tunables::from(Preset::FreeBsd);
    tunables.set(Tunable::Clusters, 8000_usize).unwrap();
    tunables.set(Tunable::Jumbo9k, 7_usize).unwrap();
    let pool = Pool::builder().tunables(&tunables).unwrap().build().unwrap();
    assert_eq!(Class::ALL.map(|class| pool.limit(class)), [8000, 4000, 7, 1000].map(Some));
    assert_eq!(pool.limit(Resource::Mbuf), Some(16_000), "and mbufs follow, too");
}

#[test]
fn b51_b52_a_new_limit_is_compared_and_returned_as_it_will_be() {
    let mut tunables = Tunables::from(Preset::FreeBsd);
    tunables.set(Tunable::Clusters, 100_usize).unwrap();
    // Just enough: 100 + 50 + 25 + 12.
    tunables.set(Tunable::Mbufs, 187_usize).unwrap();
    let pool = Pool::builder().tunables(&tunables).unwrap().build().unwrap();
    // With the limit as it is there are mbufs enough; with the new one there are not.
    let error = pool.set_limit(Class::Cluster, 101).unwrap_err();
    assert!(matches!(error.rule, Rule::FewMbufs { least: 188, mbufs: 187, .. }), "{error}");
    assert_eq!(pool.limit(Class::Cluster), Some(100));
    assert_eq!(pool.set_limit(Resource::Mbuf, 188), Ok(Some(188)));
    assert_eq!(pool.set_limit(Class::Cluster, 101), Ok(Some(101)));
    for odd in [103, 107, 1009] {
        assert_eq!(pool.set_limit(Resource::Mbuf, 2 * odd + 1), Ok(Some(2 * odd + 1)));
        assert_eq!(pool.set_limit(Class::Cluster, odd), Ok(Some(odd)), "no rounding");
        assert_eq!(Hold::all_but(&pool, Resource::Storage(Class::Cluster), 0).len(), odd);
    }
    assert_empty(&pool);
}

#[test]
fn b53_no_count_is_negative() {
    let pool = Pool::new();
    let mut packet = cluster(&pool, &[1; 100]);
    for n in [101, i32::MAX as usize + 1, isize::MIN as usize, usize::MAX] {
        assert!(packet.trim_back(n).is_err() && packet.trim_front(n).is_err());
    }
    assert_eq!(packet, [1; 100]);
    drop(packet);
    assert_empty(&pool);
}

#[cfg_attr(miri, ignore = "256 MiB")]
#[test]
fn b54_b55_sums_of_lengths_do_not_overflow_and_are_not_truncated() {
    let big = vec![0u8; 256 << 20];
    let pool = Pool::new();
    // 17 slices are 4.25 GiB: refused before anything is taken.
    let error = Packet::from_slices(&pool, [&big[..]; 17]).unwrap_err();
    assert!(matches!(error, OpError::TooLong { max: 0xffff_ffff, .. }));
    assert_eq!(pool.stats().mbufs.allocations, 0);
    let big = Packet::from_owner(&pool, big).unwrap();
    let mut packet = big.share().unwrap();
    for _ in 0..14 {
        packet.append(big.share().unwrap()).unwrap();
    }
    assert!(packet.append(big.share().unwrap()).is_err());
    assert_eq!((packet.len(), packet.check()), (15 << 28, Ok(())));
    drop((packet, big));
    assert_empty(&pool);
}

#[test]
fn b56_no_length_has_a_meaning_of_its_own() {
    let pool = Pool::new();
    let packet = cluster(&pool, &[1; 100]);
    assert!(matches!(packet.share_range(..1_000_000_000), Err(OpError::Bounds(_))));
    assert!(matches!(packet.share_range(..usize::MAX), Err(OpError::Bounds(_))));
    assert_eq!(packet.share_range(..).unwrap().len(), 100);
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn b57_mbufs_are_limited_too() {
    let pool = Pool::builder().mbufs(4).build().unwrap();
    let packet = Packet::from_slice(&pool, &[1; 100]).unwrap();
    let copies: Vec<_> = std::iter::repeat_with(|| packet.share()).map_while(Result::ok).take(100).collect();
    assert_eq!(copies.len(), if packet.segment_count() == 1 { 3 } else { 1 });
    drop((packet, copies));
    assert_empty(&pool);
}

#[test]
fn b58_what_is_promised_to_be_zero_is_zero_in_recycled_buffers() {
    let pool = Pool::builder().clusters(2).jumbo_pages(1).build().unwrap();
    for _ in 0..3 {
        drop(Packet::from_slice(&pool, &[0xff; 4000]).unwrap());
        drop([cluster(&pool, &[0xff; 1900]), cluster(&pool, &[0xff; 1900])]);
        let mut packet = Packet::new(&pool).unwrap();
        packet.extend_zeroed(1500).unwrap();
        packet.write_at(1800, &[]).unwrap();
        packet.pad_to(1900).unwrap();
        assert_eq!(packet, [0; 1900]);
    }
    assert_empty(&pool);
}

#[test]
fn b59_a_cluster_is_found_wherever_it_is_parked() {
    let pool = Pool::builder().clusters(4).mbufs(12).build().unwrap();
    for round in 0..5 {
        // Parked with mbufs, by this thread and another.
        let held: Vec<Packet> = (0..4).map(|_| Packet::with_cluster(&pool).unwrap()).collect();
        thread::scope(|scope| {
            scope.spawn(move || drop(held));
        });
        // Taken as a part of a pair, kept by a sharer that is none.
        let copies: Vec<Packet> = (0..4).map(|_| cluster(&pool, &[1; 300]).share().unwrap()).collect();
        assert_eq!(pool.stats().clusters.current, 4);
        let error = Packet::with_cluster(&pool).unwrap_err();
        assert_eq!(error.resource, Resource::Storage(Class::Cluster));
        let stats = pool.stats();
        assert_eq!(
            (stats.clusters.denied, stats.packets.denied, stats.mbufs.denied),
            (round + 1, round + 1, 0)
        );
        drop(copies);
        assert_empty(&pool);
    }
}

#[test]
fn b60_mbufs_in_use_are_all_mbufs_in_use() {
    let pool = Pool::new();
    let held = [Packet::new(&pool).unwrap(), cluster(&pool, &[1]), Packet::from_owner(&pool, [1u8]).unwrap()];
    let copy = held[1].share().unwrap();
    assert_eq!((in_use(&pool).mbufs, in_use(&pool).clusters[0], in_use(&pool).external), (4, 1, 1));
    drop((held, copy));
    assert_empty(&pool);
}

#[test]
fn b62_how_long_to_wait_is_not_ignored() {
    let pool = Pool::builder().mbufs(1).build().unwrap();
    let held = Packet::new(&pool).unwrap();
    let start = Instant::now();
    let deadline = start + Duration::from_millis(20);
    assert!(pool.wait(Wait::Until(deadline), || Packet::new(&pool)).is_err());
    assert!(Instant::now() >= deadline && pool.stats().mbufs.waited == Some(1));
    assert!(pool.wait(Wait::No, || Packet::new(&pool)).is_err());
    assert_eq!((pool.stats().mbufs.waited, pool.stats().reclaims), (Some(1), 1));
    drop(held);
    assert_empty(&pool);
}

#[test]
fn b61_taking_the_head_of_a_queue_leaves_the_rest_in_it() {
    let pool = Pool::new();
    let mut queue: PacketQueue = (0..3).map(|i| cluster(&pool, &[i; 10])).collect();
    drop(queue.pop_front());
    assert_eq!((queue.len(), queue.check()), (2, Ok(())));
    let head = queue.pop_front().unwrap();
    assert_eq!(head, [1; 10]);
    // A packet that was in a queue is one like any other.
    let mut other = PacketQueue::new();
    other.push_back(head).unwrap();
    queue.append(&mut other);
    assert_eq!(queue.iter().map(|packet| packet.to_vec()[0]).collect::<Vec<_>>(), [2, 1]);
    drop(queue);
    assert_empty(&pool);
}
