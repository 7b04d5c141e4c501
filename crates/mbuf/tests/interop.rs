//! The traits and types of the crate `bytes`.
#![cfg(feature = "bytes")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::{Buf, BufMut, Bytes};
use mbuf::{Appender, Chain, MbufChain, OpError, Packet, Pool, Resource, StorageKind};
use mbuf_testkit::{
    Built, Counted, Drops, Hold, Kind, assert_empty, both_kinds, each_offset, each_shape, for_every_failure,
    in_use,
};

/// Takes the chain out of what was built, which keeps another.
fn take<H: Kind>(built: &mut Built<H>) -> MbufChain<H> {
    let empty = MbufChain::new(&built.pool).unwrap();
    built.bytes.clear();
    std::mem::replace(&mut built.chain, empty)
}

/// Drops bytes on another thread.
fn drop_elsewhere(bytes: Bytes) {
    std::thread::spawn(move || drop(bytes)).join().unwrap();
}

both_kinds! {
    fn a_chain_reads_as_a_buf_whatever_its_segments<H>() {
        each_offset::<H>(|built, at| {
            let mut flat = &built.bytes[..];
            if at > flat.len() {
                let chain = &mut built.chain;
                assert!(catch_unwind(AssertUnwindSafe(|| chain.advance(at))).is_err());
                assert!(catch_unwind(AssertUnwindSafe(|| chain.copy_to_bytes(at))).is_err());
                return built.check();
            }
            built.chain.advance(at);
            flat.advance(at);
            assert_eq!(built.chain, flat);
            Built::check_header(&built.chain);
            for n in [0usize, 1, 2, 40] {
                assert_eq!((built.chain.remaining(), built.chain.has_remaining()), (flat.len(), !flat.is_empty()));
                let chunk = built.chain.chunk();
                assert!(flat.starts_with(chunk) && chunk.is_empty() == flat.is_empty());
                let n = n.min(flat.len());
                let mut out = [[0; 40]; 2];
                built.chain.copy_to_slice(&mut out[0][..n]);
                flat.copy_to_slice(&mut out[1][..n]);
                assert_eq!(out[0], out[1]);
            }
            while flat.len() > 8 {
                assert_eq!(built.chain.get_u8(), flat.get_u8());
                assert_eq!(built.chain.get_u16_le(), flat.get_u16_le());
                assert_eq!(built.chain.get_u32(), flat.get_u32());
                flat.advance(flat.len() / 2);
                built.chain.advance(built.chain.remaining() - flat.len());
                assert_eq!(built.chain, flat);
            }
        });
    }

    fn vectored_chunks_are_an_exact_prefix<H>() {
        each_shape::<H>(|built| {
            let segments: Vec<&[u8]> =
                built.chain.segments().map(|seg| seg.bytes()).filter(|bytes| !bytes.is_empty()).collect();
            for room in 0..segments.len() + 2 {
                let mut slices = vec![std::io::IoSlice::new(b"old"); room];
                let n = built.chain.chunks_vectored(&mut slices);
                assert_eq!(n, room.min(segments.len()));
                for (slice, segment) in slices[..n].iter().zip(&segments) {
                    assert_eq!(slice.as_ptr_range(), segment.as_ptr_range());
                }
                assert!(slices[n..].iter().all(|slice| **slice == *b"old"));
            }
        });
    }

    fn copy_to_bytes_shares_what_lies_in_one_buffer_and_copies_the_rest<H>() {
        each_offset::<H>(|built, n| {
            if n > built.bytes.len() {
                return;
            }
            let first = built.chain.first_segment();
            let (at, sharers) = (first.as_ptr(), first.share_count());
            let shares = n > 0 && n <= first.len() && first.storage_kind() != StorageKind::Inline;
            let goes = n >= first.len();
            let bytes = built.chain.copy_to_bytes(n);
            assert_eq!(bytes, built.bytes[..n]);
            built.bytes.drain(..n);
            built.check();
            Built::check_header(&built.chain);
            assert_eq!(bytes.as_ptr() == at, shares);
            if shares && !goes {
                assert_eq!(built.chain.first_segment().share_count(), sharers + 1);
            }
            // Neither sees what is done with the other.
            let expected = bytes.to_vec();
            let len = built.bytes.len();
            built.chain.write_at(0, &vec![0xa5; len + 9]).unwrap();
            built.bytes = vec![0xa5; len + 9];
            assert_eq!(bytes, expected);
            drop_elsewhere(bytes);
            built.check();
        });
    }

    fn a_chain_becomes_bytes_without_an_allocation<H>() {
        each_shape::<H>(|built| {
            let expected = built.bytes.clone();
            let chain = take(built);
            let (single, at) = (chain.segment_count() == 1, chain.first_segment().as_ptr());
            let sharer = chain.share().unwrap();
            let hold = in_use(&built.pool);
            let allocations = built.pool.stats().mbufs.allocations;
            let bytes = Bytes::from(chain);
            assert_eq!(bytes, expected);
            assert_eq!(built.pool.stats().mbufs.allocations, allocations);
            if single {
                assert_eq!(in_use(&built.pool), hold);
                assert!(bytes.as_ptr() == at || bytes.is_empty(), "one segment is not copied");
            } else {
                assert_ne!(bytes.as_ptr(), at, "several are copied, and go home");
                assert!(in_use(&built.pool).mbufs < hold.mbufs);
            }
            // The other holder writes a copy, and behind the window what the bytes do not show.
            let mut sharer = sharer;
            sharer.extend_from_slice(&[0xa5; 60]).unwrap();
            sharer.write_at(0, &[0x5a; 3]).unwrap();
            assert_eq!(bytes, expected);
            built.check_sharers();
            let part = bytes.slice(bytes.len() / 2..);
            drop((bytes, sharer));
            assert_eq!(part, expected[expected.len() / 2..]);
            drop_elsewhere(part);
        });
    }

    fn an_appender_writes_into_the_tailroom_and_no_further<H>() {
        each_shape::<H>(|built| {
            let (room, count) = (built.chain.tailroom(), built.chain.segment_count());
            let mut appender = Appender::new(&mut built.chain);
            assert_eq!((appender.remaining_mut(), appender.has_remaining_mut()), (room, room > 0));
            assert_eq!(appender.chunk_mut().len(), room);
            assert!(catch_unwind(AssertUnwindSafe(|| appender.put_bytes(1, room + 1))).is_err());
            if room >= 8 {
                appender.put_u32(0x0102_0304);
                appender.put_slice(&[5; 4]);
                built.bytes.extend([1, 2, 3, 4, 5, 5, 5, 5]);
                assert_eq!(appender.remaining_mut(), room - 8);
                assert_eq!(appender.chain(), &built.bytes);
            }
            let rest = appender.remaining_mut();
            appender.put_bytes(9, rest);
            assert!(!appender.has_remaining_mut());
            built.bytes.resize(built.bytes.len() + rest, 9);
            built.check();
            assert_eq!((built.chain.tailroom(), built.chain.segment_count()), (0, count));
            Built::check_header(&built.chain);
        });
    }
}

#[test]
fn bytes_become_a_packet_and_bytes_again_without_a_copy() {
    let pool = Pool::new();
    let drops = Drops::new();
    let bytes = Bytes::from_owner(Counted::new(vec![7; 5000], &drops));
    let mut packet = Packet::from_bytes(&pool, bytes.clone()).unwrap();
    assert_eq!(packet.first_segment().as_ptr(), bytes.as_ptr());
    assert!(packet.first_segment().is_read_only());
    packet.trim_front(10).unwrap();
    packet.trim_back(5).unwrap();
    let mut sharer = packet.share().unwrap();
    let back = Bytes::from(packet);
    assert_eq!((back.as_ptr(), back.len()), (bytes[10..].as_ptr(), 4985));
    // What is written is a copy.
    sharer.write_at(0, &[1; 4985]).unwrap();
    assert_eq!(bytes, vec![7; 5000]);
    drop(sharer);
    assert_empty(&pool);
    drop(bytes);
    assert_eq!(drops.count(), 0);
    drop_elsewhere(back);
    assert_eq!(drops.count(), 1);
}

#[test]
fn bytes_that_find_no_mbuf_come_back() {
    let bytes = Bytes::from(vec![7; 5000]);
    let failures = for_every_failure(
        |_| (),
        |pool, ()| {
            Packet::from_bytes(pool, bytes.clone()).map_err(|refused| {
                assert_eq!((refused.input.as_ptr(), refused.input.len()), (bytes.as_ptr(), 5000));
                refused.error
            })
        },
    );
    assert!(failures.mbufs > 0 && failures.pages > 0, "{failures:?}");
}

#[test]
fn an_exhausted_pool_makes_copies_of_what_it_would_have_shared() {
    let pool = Pool::builder().mbufs(3).build().unwrap();
    let mut packet = Packet::from_slice(&pool, &[1; 1500]).unwrap();
    let at = packet.first_segment().as_ptr();
    let hold = Hold::all_but(&pool, Resource::Mbuf, 0);
    assert!(matches!(packet.share(), Err(OpError::Alloc(_))));
    let copied = packet.copy_to_bytes(700);
    assert_eq!((&copied[..], packet.len(), packet.share_count()), (&[1; 700][..], 800, 1));
    // The whole needs nothing.
    let whole = Bytes::from(packet);
    assert_eq!((whole.as_ptr(), whole.len()), (at.wrapping_add(700), 800));
    drop(hold);
    assert_eq!(in_use(&pool).mbufs, 1);
    drop_elsewhere(whole);
    assert_eq!(copied, vec![1; 700]);
    assert_empty(&pool);
}

#[test]
fn what_bytes_hold_is_freed_when_the_last_of_them_goes() {
    let pool = Pool::new();
    for len in [100, 1500] {
        let bytes = Bytes::from(Chain::from_slice(&pool, &vec![1; len]).unwrap());
        let part = bytes.slice(10..20);
        drop(bytes);
        assert_eq!(in_use(&pool).mbufs, 1);
        drop(part);
        assert_empty(&pool);
    }
}
