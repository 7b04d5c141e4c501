//! Dropping bytes at either end, and in the middle.

use mbuf::{BoundsError, Class, MHLEN, Packet, Pool};
use mbuf_testkit::{Built, Shape, Storage, assert_empty, both_kinds, each_offset, each_range};

both_kinds! {
    fn trim_front_drops_the_first_bytes_and_frees_what_it_empties<H>() {
        each_offset::<H>(|built, n| {
            let (len, mbufs) = (built.bytes.len(), built.pool.stats().mbufs.current);
            let result = built.chain.trim_front(n);
            if n > len {
                assert_eq!(result, Err(BoundsError { start: 0, end: n, available: len }));
                return built.check();
            }
            assert_eq!(result, Ok(()));
            assert_eq!(built.chain, built.bytes[n..]);
            assert_eq!(built.chain.len(), len - n);
            Built::check_header(&built.chain);
            let gone = mbufs - built.pool.stats().mbufs.current;
            let mut emptied = 0;
            let mut at = 0;
            for &(size, _) in &built.shape.segments {
                at += size;
                emptied += usize::from(at <= n);
            }
            // The header may have kept one of them, with bytes of the next one.
            let most = emptied.min(built.shape.segments.len() - 1);
            assert!(gone == most || gone + 1 == most, "{gone} freed, {emptied} emptied");
        });
    }

    fn trim_back_drops_the_last_bytes_and_frees_what_it_empties<H>() {
        each_offset::<H>(|built, n| {
            let len = built.bytes.len();
            let result = built.chain.trim_back(n);
            if n > len {
                assert_eq!(result, Err(BoundsError { start: 0, end: n, available: len }));
                return built.check();
            }
            assert_eq!(result, Ok(()));
            assert_eq!(built.chain, built.bytes[..len - n]);
            assert_eq!(built.chain.len(), len - n);
            Built::check_header(&built.chain);
            let mut at = 0;
            let kept = built.shape.segments.iter().filter(|&&(size, _)| {
                at += size;
                at - size < len - n
            });
            assert_eq!(built.chain.segment_count(), kept.count().max(1));
        });
    }

    fn truncate_keeps_what_is_shorter<H>() {
        each_offset::<H>(|built, n| {
            built.chain.truncate(n);
            assert_eq!(built.chain, built.bytes[..n.min(built.bytes.len())]);
            Built::check_header(&built.chain);
        });
    }

    fn remove_range_joins_what_is_left<H>() {
        each_range::<H>(|built, range| {
            let result = built.chain.remove_range(range.clone());
            if built.bytes.get(range.clone()).is_none() {
                assert!(result.is_err());
                return built.check();
            }
            result.unwrap();
            built.bytes.drain(range);
            built.check();
            Built::check_header(&built.chain);
        });
    }
}

#[test]
fn trimming_within_a_segment_allocates_and_moves_nothing() {
    let pool = Pool::new();
    let mut built = Shape::single(1000, Storage::Own(Class::Cluster)).build::<mbuf::Header>(&pool);
    let before = (built.chain.first_segment().as_ptr(), pool.stats().mbufs.allocations);
    built.chain.trim_front(10).unwrap();
    built.chain.trim_back(10).unwrap();
    let after = (built.chain.first_segment().as_ptr().wrapping_sub(10), pool.stats().mbufs.allocations);
    assert_eq!(before, after);
    assert!(built.chain.headroom() >= 10 && built.chain.tailroom() >= 10);
    drop(built);
    assert_empty(&pool);
}

#[test]
fn a_header_that_loses_its_mbuf_takes_another_when_inline_data_is_in_its_way() {
    // The second segment is inline with more bytes than fit behind a header.
    for front in
        [Storage::Inline, Storage::Own(Class::Cluster), Storage::ReadOnly, Storage::Copy(Class::Cluster)]
    {
        let pool = Pool::new();
        let shape = Shape::of([(20, front), (MHLEN + 60, Storage::Inline), (9, Storage::Inline)]);
        let mut built = shape.build::<mbuf::Header>(&pool);
        let mbufs = pool.stats().mbufs.allocations;
        built.chain.trim_front(20).unwrap();
        built.bytes.drain(..20);
        built.check();
        assert_eq!(pool.stats().mbufs.allocations, mbufs, "trimming cannot fail, so it cannot allocate");
        Built::check_header(&built.chain);
        drop(built);
        assert_empty(&pool);
    }
}

#[test]
fn trimming_one_of_two_sharers_gives_neither_room_that_the_other_sees() {
    let pool = Pool::new();
    let mut a = Packet::from_slice(&pool, &[1; 300]).unwrap();
    let b = a.share().unwrap();
    a.trim_back(100).unwrap();
    assert_eq!(a.tailroom(), 0, "the bytes behind are the other's");
    a.extend_from_slice(&[2; 100]).unwrap();
    assert_eq!(b, [1; 300]);
    drop((a, b));
    assert_empty(&pool);
}
