//! Copies: of handles, sharing storage, and of bytes.

use mbuf::{Chain, Class, Header, MHLEN, MLEN, OpError, Packet, Pool, StorageKind};
use mbuf_testkit::{
    Built, Label, Private, Refusing, Shape, Storage, assert_empty, both_kinds, each_range, each_shape,
};

both_kinds! {
    fn share_shows_the_same_bytes_without_copying_storage<H>() {
        each_shape::<H>(|built| {
            let copy = built.chain.share().unwrap();
            assert_eq!(copy.check(), Ok(()));
            assert_eq!(copy, built.bytes);
            Built::check_header(&copy);
            built.check();
            let stored = |kind| kind != StorageKind::Inline;
            let mine = built.chain.segments().filter(|seg| stored(seg.storage_kind()) && !seg.is_empty());
            let theirs = copy.segments().filter(|seg| stored(seg.storage_kind()));
            for (mine, its) in mine.zip(theirs) {
                assert_eq!(mine.as_ptr(), its.as_ptr());
                assert!(mine.share_count() >= 2 && !mine.is_writable() && !its.is_writable());
                assert_eq!((mine.headroom(), its.headroom(), its.tailroom()), (0, 0, 0));
            }
            // Neither sees what the other writes.
            let mut copy = copy;
            copy.write_at(0, &vec![0xa1; built.bytes.len() + 9]).unwrap();
            built.check();
            built.chain.write_at(0, &vec![0xb2; built.bytes.len() + 5]).unwrap();
            assert_eq!(copy, vec![0xa1; built.bytes.len() + 9]);
        });
    }

    fn share_range_shows_a_range<H>() {
        each_range::<H>(|built, range| {
            let Some(expected) = built.bytes.get(range.clone()) else {
                assert!(matches!(built.chain.share_range(range), Err(OpError::Bounds(_))));
                return built.check();
            };
            let copy = built.chain.share_range(range.clone()).unwrap();
            assert_eq!(copy.check(), Ok(()));
            assert_eq!(copy, expected);
            Built::check_header(&copy);
            if range.is_empty() {
                assert_eq!(copy.first_segment().storage_kind(), StorageKind::Inline, "no reference for no bytes");
            }
            built.check();
            // The original outlives the copy, and the copy the original.
            drop(std::mem::replace(&mut built.chain, copy));
            assert_eq!(built.chain, built.bytes[range]);
        });
    }

    fn who_has_a_chain_alone_shares_as_others_do<H>() {
        each_shape::<H>(|built| {
            let counts = |chain: &mbuf::MbufChain<H>| -> Vec<_> {
                chain.segments().map(|seg| (seg.as_ptr(), seg.share_count(), seg.is_writable())).collect()
            };
            let before = counts(&built.chain);
            let by_reference = built.chain.share().unwrap();
            let expected = (counts(&by_reference).len(), counts(&built.chain));
            drop(by_reference);
            // Alone, and beside other holders.
            let mine = built.chain.share_mut().unwrap();
            assert_eq!((counts(&mine).len(), counts(&built.chain)), expected);
            let range = built.bytes.len() / 3..built.bytes.len();
            let part = built.chain.share_range_mut(range.clone()).unwrap();
            let outside = built.chain.share_range_mut(0..built.bytes.len() + 1);
            assert!(matches!(outside, Err(OpError::Bounds(_))));
            assert_eq!((mine.check(), part.check()), (Ok(()), Ok(())));
            assert_eq!(mine, built.bytes);
            assert_eq!(part, built.bytes[range]);
            built.check();
            drop((mine, part));
            assert_eq!(counts(&built.chain), before);
        });
    }

    fn the_last_holder_has_the_storage_for_itself_again<H>() {
        each_shape::<H>(|built| {
            let before: Vec<_> = built.chain.segments().map(|seg| (seg.is_writable(), seg.headroom())).collect();
            let copies: Vec<_> = (0..5).map(|_| built.chain.share().unwrap()).collect();
            drop(copies);
            let after: Vec<_> = built.chain.segments().map(|seg| (seg.is_writable(), seg.headroom())).collect();
            assert_eq!(before, after);
            built.check();
        });
    }

    fn duplicate_copies_into_memory_of_its_own<H>() {
        each_shape::<H>(|built| {
            for headroom in [None, Some(0), Some(1), Some(100), Some(2047), Some(4000), Some(16_000)] {
                let mut copy = match headroom {
                    None => built.chain.duplicate().unwrap(),
                    Some(n) => built.chain.duplicate_with_headroom(n).unwrap(),
                };
                assert_eq!(copy.check(), Ok(()));
                assert_eq!(copy, built.bytes);
                assert!(copy.is_writable() && copy.share_count() == 1);
                if let Some(n) = headroom {
                    assert_eq!(copy.headroom(), n);
                }
                Built::check_header(&copy);
                let fewest = built.bytes.len().div_ceil(4096).max(1);
                assert!(copy.segment_count() <= fewest + 1);
                copy.write_at(0, &vec![0xa1; built.bytes.len()]).unwrap();
                built.check();
            }
            let result = built.chain.duplicate_with_headroom(16_384);
            assert!(matches!(result, Err(OpError::TooLong { .. })));
            assert!(built.chain.duplicate_with_headroom(usize::MAX).is_err());
        });
    }
}

#[test]
fn sharing_a_cluster_packet_takes_one_mbuf_and_nothing_else() {
    let pool = Pool::new();
    let packet = Packet::from_slice(&pool, &[1; 1000]).unwrap();
    let before = pool.stats();
    let copy = packet.share().unwrap();
    let after = pool.stats();
    assert_eq!(after.mbufs.allocations - before.mbufs.allocations, 1);
    assert_eq!(after.clusters.allocations, before.clusters.allocations);
    assert_eq!(after.clusters.current, 1);
    assert_eq!((packet.share_count(), copy.share_count()), (2, 2));
    drop(packet);
    assert_eq!(copy.share_count(), 1);
    assert_eq!(copy, [1; 1000]);
    drop(copy);
    assert_empty(&pool);
}

#[test]
fn inline_data_that_does_not_fit_behind_a_header_goes_into_two_mbufs() {
    let pool = Pool::new();
    let chain: Chain = Chain::from_slice(&pool, &[5; MLEN - 16]).unwrap();
    assert_eq!(chain.first_segment().storage_kind(), StorageKind::Inline);
    let mut packet = Packet::from_owner(&pool, [4u8; 3]).unwrap();
    packet.append(chain).unwrap();
    let copy = packet.share_range(3..).unwrap();
    assert_eq!(copy, [5; MLEN - 16]);
    assert_eq!(copy.segment_count(), 2);
    assert_eq!(copy.first_segment().len(), MHLEN);
    drop((packet, copy));
    assert_empty(&pool);
}

#[test]
fn copies_get_the_tags_that_wish_to_be_copied() {
    let pool = Pool::new();
    for storage in [Storage::Inline, Storage::Own(Class::Cluster)] {
        let mut built = Shape::single(80, storage).build::<Header>(&pool);
        built.chain.set_tag(Private(3));
        for copy in [
            built.chain.share().unwrap(),
            built.chain.share_range(20..30).unwrap(),
            built.chain.share_range(7..7).unwrap(),
            built.chain.duplicate().unwrap(),
        ] {
            assert_eq!(copy.tag(), Some(&Label(43)));
            assert_eq!(copy.tags().count(), 1);
            assert_eq!(copy.check(), Ok(()));
        }
        built.chain.set_tag(Refusing);
        let before = pool.stats();
        assert_eq!(built.chain.share().unwrap_err(), OpError::Tag);
        assert_eq!(built.chain.share_range(..3).unwrap_err(), OpError::Tag);
        assert_eq!(built.chain.duplicate().unwrap_err(), OpError::Tag);
        let since = pool.stats().since(&before).ops;
        assert_eq!((since.copy_failures, since.duplicate_failures), (2, 1));
        assert_eq!(built.chain.share_count(), 1);
        built.chain.remove_tag::<Refusing>().unwrap();
        assert!(built.chain.share().is_ok());
    }
    assert_empty(&pool);
}

#[test]
fn a_thousand_sharers_are_counted() {
    let pool = Pool::new();
    let packet = Packet::from_slice(&pool, &[1; 1000]).unwrap();
    let n = if cfg!(miri) { 20 } else { 1000 };
    let mut copies: Vec<Packet> = (0..n).map(|_| packet.share().unwrap()).collect();
    assert_eq!(packet.share_count(), n + 1);
    assert_eq!(pool.stats().clusters.current, 1);
    drop(packet);
    let last = copies.pop().unwrap();
    drop(copies);
    assert_eq!(last.share_count(), 1);
    assert!(last.is_writable());
    drop(last);
    assert_empty(&pool);
}
