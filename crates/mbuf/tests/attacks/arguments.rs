//! Numbers and iterators that lie, values that are moved about, and pools that are dry, gone, or not the right one.

use std::cell::Cell;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};

use mbuf::{Chain, OpError, Packet, PacketQueue, Pool, Reserve, Resource};

use crate::{Sure, in_use, panics, plain};

/// A slice of another length every time it is looked at.
#[derive(Clone)]
struct Fickle<'a>(&'a Cell<usize>, &'static [u8]);
impl Deref for Fickle<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.0.set(self.0.get().wrapping_mul(25).wrapping_add(13));
        &self.1[..self.0.get() % (self.1.len() + 1)]
    }
}

#[test]
fn slices_that_change_their_length_make_a_sound_packet_or_a_panic() {
    let pool = Pool::new();
    let seed = Cell::new(0);
    for n in 0..50 {
        seed.set(n);
        let slices = [Fickle(&seed, &[1; 200]), Fickle(&seed, &[2; 150]), Fickle(&seed, &[])];
        let made = catch_unwind(AssertUnwindSafe(|| Packet::from_slices(&pool, slices.iter().cloned())));
        if let Ok(packet) = made {
            assert_eq!(packet.unwrap().check(), Ok(()));
        }
    }
    assert_eq!(in_use(&pool), [0, 0, 0]);
}

#[test]
fn numbers_from_the_edge_are_refused_and_change_nothing() {
    use std::ops::Bound::{Excluded, Included, Unbounded};
    const MAX: usize = usize::MAX;
    // Where a number has 32 bits, some are lengths like others: for these, memory runs out.
    let pool = Pool::builder().budget(1 << 24).build().unwrap();
    let mut packet = plain(&pool, 1);
    let before = in_use(&pool);
    #[allow(clippy::reversed_empty_ranges)]
    let ranges = [
        (Excluded(MAX), Unbounded),
        (Included(MAX), Included(MAX)),
        (Included(0), Included(MAX)),
        (Included(1), Excluded(MAX)),
        (Included(MAX), Excluded(0)),
        (Included(5), Excluded(2)),
        (Excluded(600), Unbounded),
        (Included(601), Unbounded),
    ];
    for range in ranges {
        assert!(packet.share_range(range).is_err());
        assert!(packet.slices(range).is_err() && packet.slices_mut(range).is_err());
        assert!(packet.remove_range(range).is_err() && packet.make_unique_range(range).is_err());
        assert!(packet.make_contiguous_at(range).is_err() && packet.contiguous(range).is_none());
        assert!(packet.sum(range).is_err() && packet.range_eq(range, &[]).is_err());
    }
    for n in [MAX, MAX - 599, MAX / 2, u32::MAX as usize, u32::MAX as usize - 599] {
        assert!(packet.trim_front(n).is_err() && packet.trim_back(n).is_err());
        assert!(packet.prepend(n).is_err() && packet.extend(n).is_err());
        assert!(packet.extend_zeroed(n).is_err() || n + 600 <= u32::MAX as usize);
        assert!(packet.make_contiguous(n).is_err() && packet.make_contiguous_with_headroom(1, n).is_err());
        assert!(packet.split_off(n).is_err() && packet.read_at(n, &mut [0]).is_err());
        assert!(packet.write_at(n, &[0; 600]).is_err() && packet.locate(n).is_none());
        assert!(packet.find_bytes(n, b"\x01").is_none() && packet.duplicate_with_headroom(n).is_err());
        assert!(Packet::with_capacity(&pool, n).is_err() && Packet::with_headroom(&pool, 5, n).is_err());
        assert!(Packet::copy_with(&pool, 5, n, |_, _| ()).is_err());
        packet.truncate(n);
    }
    assert!(Packet::copy_with(&pool, MAX, 0, |_, _| ()).is_err());
    assert_eq!(packet.collapse(0).unwrap_err(), OpError::TooManySegments { needed: 1, max: 0 });
    assert_eq!(in_use(&pool), before);
    assert_eq!((packet.check(), packet == [1; 600]), (Ok(()), true));
}

#[test]
fn a_reader_seeks_anywhere() {
    use std::io::{Read, Seek, SeekFrom};
    let pool = Pool::new();
    let packet = plain(&pool, 1);
    let mut reader = packet.reader();
    let to = [
        SeekFrom::Start(u64::MAX),
        SeekFrom::Current(1),
        SeekFrom::Current(i64::MIN),
        SeekFrom::End(i64::MAX),
        SeekFrom::End(i64::MIN),
        SeekFrom::Start(300),
        SeekFrom::Current(-1),
        SeekFrom::Start(600),
        SeekFrom::Current(0),
        SeekFrom::End(-600),
    ];
    for (a, b) in to.iter().flat_map(|a| to.iter().map(move |b| (a, b))) {
        let _ = (reader.seek(*a), reader.seek(*b));
        let mut out = Vec::new();
        let left = reader.remaining();
        assert_eq!(reader.clone().read_to_end(&mut out).unwrap(), left);
        let _ = reader.read(&mut [0; 7]);
    }
}

#[test]
fn a_reserve_gives_what_it_has_and_no_more() {
    let pool = Pool::new();
    let mut reserve = Reserve::new(&pool, 5000).unwrap();
    let capacity = reserve.capacity();
    let slices: Vec<_> = reserve.slices_mut().collect();
    slices.into_iter().for_each(|slice| slice.fill(4));
    assert!(Reserve::new(&pool, 10).unwrap().into_packet(usize::MAX).is_err());
    let mut packet = plain(&pool, 1);
    let reserve = packet.append_reserve(reserve, capacity + 1).unwrap_err().input;
    packet.append_reserve(reserve, capacity).unwrap();
    assert_eq!((packet.check(), packet.len()), (Ok(()), 600 + capacity));
    packet.append_reserve(Reserve::new(&pool, 0).unwrap(), 0).unwrap();
    assert_eq!(Reserve::new(&pool, 300).unwrap().into_chain(0).unwrap().check(), Ok(()));
}

// Values that are moved about, and pools that are dry, gone, or not the right one.

#[test]
fn handles_may_be_swapped_and_forgotten_in_the_middle_of_things() {
    let pool = Pool::new();
    let (mut a, mut b) = (plain(&pool, 1), Packet::new(&pool).unwrap());
    std::mem::forget(a.segments_mut());
    std::mem::forget(a.slices_mut(..).unwrap());
    std::mem::swap(&mut a, &mut b);
    let chain = std::mem::replace(&mut b, Packet::from_owner(&pool, vec![1]).unwrap()).into_chain();
    let mut queue = PacketQueue::new();
    queue.push_back(a).unwrap();
    queue.push_back(chain.into_packet().unwrap()).unwrap();
    let mut other = PacketQueue::with_limit(0);
    std::mem::swap(&mut queue, &mut other);
    other.append(&mut queue);
    assert_eq!((other.len(), other.bytes(), other.check()), (2, 600, Ok(())));
    let shares: Vec<_> = other.iter().map(|packet| packet.share().unwrap()).collect();
    assert_eq!(other.back().unwrap(), &shares[1]);
    let mut rest = other.into_iter();
    assert!(rest.next().is_some());
    drop(pool);
    drop(rest);
    drop(shares);
    assert_eq!(b.share().unwrap().into_chain(), [1]);
}

#[test]
fn pools_of_one_and_of_none() {
    let none = Pool::builder().mbufs(0).clusters(0).build().unwrap();
    assert_eq!(Packet::new(&none).unwrap_err().resource, Resource::Mbuf);
    assert!(Packet::with_cluster(&none).is_err());
    let refused = Packet::from_owner(&none, vec![1, 2]).unwrap_err();
    assert_eq!(refused.input, [1, 2]);

    let one = Pool::builder().mbufs(2).clusters(1).jumbo_pages(0).build().unwrap();
    for _ in 0..3 {
        let mut packet = Packet::with_cluster(&one).unwrap();
        packet.extend_from_slice(&[3; 500]).unwrap();
        let mut shared = packet.share().unwrap();
        // The pair goes without its cluster, which is shared.
        drop(packet);
        assert!(Packet::with_cluster(&one).is_err());
        shared.prepend(10).unwrap();
        assert!(shared.shatter([400, 100]).is_err());
        let small = Packet::new(&one).unwrap();
        assert!(shared.split_off(100).is_err());
        assert_eq!((shared.check(), shared.len()), (Ok(()), 510));
        drop((small, shared));
        assert_eq!(in_use(&one), [0, 0, 0]);
    }
}

#[test]
fn a_cache_frees_packets_of_any_pool() {
    let (pool, other) = (Pool::new(), Pool::new());
    let mut cache = pool.cache();
    for packet in [plain(&other, 1), Packet::with_cluster(&other).unwrap(), Packet::new(&other).unwrap()] {
        cache.free(packet);
    }
    let mut tagged = cache.with_cluster().unwrap();
    tagged.set_tag(Sure(2));
    cache.free(tagged);
    let mut packet = cache.with_cluster().unwrap();
    assert_eq!((packet.tags().count(), packet.meta().interface), (0, 0));
    packet.extend_from_slice(&[1; 10]).unwrap();
    let shared = packet.share().unwrap();
    cache.free(packet);
    let mut fresh = cache.with_cluster().unwrap();
    fresh.extend(10).unwrap().fill(9);
    assert_eq!(shared, [1; 10]);
    cache.free(shared);
    cache.free(fresh);
    drop(cache);
    assert_eq!((in_use(&pool), in_use(&other)), ([0; 3], [0; 3]));
}

#[cfg(feature = "bytes")]
mod bytes_crate {
    use super::*;
    use bytes::{Buf, BufMut, Bytes, BytesMut};
    use mbuf::Appender;

    #[test]
    fn bytes_go_both_ways_while_others_write() {
        let pool = Pool::new();
        let mut packet = Packet::with_cluster(&pool).unwrap();
        packet.extend_from_slice(&[1; 300]).unwrap();
        let bytes = Bytes::from(packet.share().unwrap());
        packet.extend_from_slice(&[2; 10]).unwrap();
        packet.write_at(0, &[3]).unwrap();
        assert_eq!(bytes[..], [1; 300]);
        let (mut front, back) = (bytes.clone(), bytes.slice(250..));
        drop(bytes);
        front.truncate(2);
        let mut changed = front.try_into_mut().unwrap_or_else(|bytes| BytesMut::from(&bytes[..]));
        changed[0] = 9;
        assert_eq!(back[0], 1);
        let again = Packet::from_bytes(&pool, back.clone()).unwrap();
        let mut twice = Packet::from_bytes(&pool, Bytes::from(again.share().unwrap())).unwrap();
        drop((back, again, packet));
        twice.write_at(1, &[7]).unwrap();
        assert_eq!(twice.copy_to_bytes(3)[..], [1, 7, 1]);
        drop(twice);
        assert_eq!(in_use(&pool), [0, 0, 0]);
    }

    #[test]
    #[cfg_attr(miri, ignore = "4 GiB")]
    fn an_appender_has_no_room_beyond_the_longest_chain() {
        let pool = Pool::new();
        let piece = Packet::from_owner(&pool, vec![0; 1 << 24]).unwrap();
        let mut packet = piece.share().unwrap();
        for _ in 1..255 {
            packet.append(piece.share().unwrap()).unwrap();
        }
        packet.append(piece.share_range(..(1 << 24) - 600 - 4).unwrap()).unwrap();
        packet.append(plain(&pool, 1)).unwrap();
        assert!(packet.tailroom() > 3 && packet.len() == u32::MAX as usize - 3);
        assert!(packet.extend_from_slice(&[0; 4]).is_err());
        assert!(packet.append(Chain::from_slice(&pool, &[0; 4]).unwrap()).is_err());
        let mut appender = Appender::new(&mut packet);
        assert_eq!(appender.remaining_mut(), 3);
        appender.put_slice(b"end");
        assert!(panics(|| appender.put_u8(0)));
        assert_eq!((packet.len(), packet.check()), (u32::MAX as usize, Ok(())));
        assert!(packet.range_eq(u32::MAX as usize - 3.., b"end").unwrap());
        assert!(packet.share().unwrap().append(packet).is_err());
    }

    #[test]
    fn an_appender_keeps_to_its_room() {
        let pool = Pool::new();
        let mut packet = Packet::with_headroom(&pool, 8, 2040).unwrap();
        packet.extend_from_slice(b"abc").unwrap();
        let shared = packet.share().unwrap();
        let mut appender = Appender::new(&mut packet);
        assert_eq!((appender.remaining_mut(), appender.chunk_mut().len()), (5, 5));
        appender.put_slice(b"de");
        let _ = appender.chunk_mut();
        assert!(panics(|| appender.put_slice(b"fghi")));
        appender.put_u8(b'f');
        let mut shared2 = shared.share().unwrap();
        assert_eq!(Appender::new(&mut shared2).remaining_mut(), 0);
        assert_eq!((&packet, &shared), (&packet.duplicate().unwrap(), &shared2));
        assert_eq!((packet == b"abcdef", shared == b"abc"), (true, true));
    }
}
