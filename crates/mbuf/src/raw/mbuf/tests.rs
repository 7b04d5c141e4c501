//! Breaks mbufs on purpose, to see that `check` finds it.

use super::*;
use crate::{
    Audit, Chain, ChainFault, Class, Corruption, OpError, Packet, PacketQueue, Pool, QueueCorruption, Tag,
    ZoneFault,
};

/// A packet of three segments: a cluster, a shared cluster, inline data.
fn packet(pool: &Pool) -> Packet {
    let mut packet = Packet::from_slice(pool, &[1; 1900]).unwrap();
    packet.append(Packet::from_slice(pool, &[2; 1984]).unwrap().share().unwrap()).unwrap();
    packet.append(Chain::from_slice(pool, &[3; 100]).unwrap()).unwrap();
    assert_eq!((packet.segment_count(), packet.check()), (3, Ok(())));
    packet
}

/// Breaks segment `n`, says what `check` finds, and mends it.
fn broken(n: usize, with: impl Fn(&RawMbuf) -> u32, set: impl Fn(&RawMbuf, u32)) -> Corruption {
    let pool = Pool::new();
    let packet = packet(&pool);
    let seg = packet.segs().nth(n).unwrap();
    let old = with(seg);
    let found = packet.check().expect_err("it was broken");
    set(seg, old);
    assert_eq!(packet.check(), Ok(()));
    found
}

fn fault(corruption: Corruption) -> (usize, ChainFault) {
    (corruption.segment, corruption.fault)
}

#[test]
fn a_window_beyond_its_storage_is_found() {
    for n in 0..3 {
        let found = broken(n, |seg| seg.len.replace(seg.cap.get() + 1), |seg, old| seg.len.set(old));
        let capacity = [2048, 2048, MLEN][n];
        assert_eq!(found.segment, n);
        assert!(
            matches!(found.fault, ChainFault::Window { len, capacity: of, .. } if (len, of) == (capacity + 1, capacity)),
            "{found}"
        );
    }
}

#[test]
fn a_window_that_begins_outside_of_its_storage_is_found() {
    let pool = Pool::new();
    let packet = packet(&pool);
    for (n, seg) in packet.segs().enumerate() {
        let (old, buf, cap) = (seg.data.get(), seg.buf.get(), seg.cap.get() as usize);
        for start in [buf.wrapping_sub(1), buf.wrapping_add(cap + 1)] {
            seg.data.set(start);
            let found = packet.check().expect_err("it was broken");
            seg.data.set(old);
            let said = matches!(found.fault, ChainFault::Window { data, .. } if data == start.addr());
            assert!(said && found.segment == n, "{found}");
        }
    }
    assert_eq!(packet.check(), Ok(()));
}

#[test]
fn bounds_that_are_not_the_storages_are_found() {
    let found = broken(1, |seg| seg.cap.replace(2049), |seg, old| seg.cap.set(old));
    assert!(matches!(found.fault, ChainFault::Bounds { capacity: 2049, size: 2048, .. }), "{found}");
    let found = broken(2, |seg| seg.cap.replace(MLEN as u32 - 1), |seg, old| seg.cap.set(old));
    let said = matches!(found.fault, ChainFault::Bounds { capacity, size: MLEN, .. } if capacity == MLEN - 1);
    assert!(said, "{found}");
    let text = format!("segment 2: the bounds are {} bytes at 0x", MLEN - 1);
    assert!(found.to_string().contains(&text), "{found}");
}

#[test]
fn a_wrong_kind_of_storage_is_found() {
    let inline = |seg: &RawMbuf| seg.flags.replace(seg.flags.get() & !flag::KIND_MASK);
    let found = broken(1, inline, |seg, old| seg.flags.set(old));
    assert_eq!(fault(found), (1, ChainFault::Kind { flags: StorageKind::Inline, storage: true }));
    let bits = StorageKind::Cluster(Class::Cluster).bits() << flag::KIND_SHIFT;
    let cluster = |seg: &RawMbuf| seg.flags.replace(seg.flags.get() | bits);
    let found = broken(2, cluster, |seg, old| seg.flags.set(old));
    assert_eq!(
        fault(found),
        (2, ChainFault::Kind { flags: StorageKind::Cluster(Class::Cluster), storage: false })
    );
}

#[test]
fn a_lost_mark_and_a_lost_count_are_found() {
    let unmark = |seg: &RawMbuf| {
        seg.head.unmark();
        0
    };
    let found = broken(1, unmark, |seg, _| seg.head.mark());
    let kind = StorageKind::Cluster(Class::Cluster);
    assert_eq!(fault(found), (1, ChainFault::UnmarkedStorage { kind, sharers: 1 }));
    let pool = Pool::new();
    let mut packet = Packet::from_slice(&pool, &[1; 1900]).unwrap();
    let other = packet.share_mut().unwrap();
    packet.first().head.unmark();
    let found = packet.check().expect_err("it was broken");
    packet.first().head.mark();
    assert_eq!(fault(found), (0, ChainFault::UnmarkedStorage { kind, sharers: 2 }));
    drop(other);
    let lose = |seg: &RawMbuf| {
        let count = seg.storage().unwrap().refs.get();
        seg.storage().unwrap().refs.set(0);
        count
    };
    let found = broken(1, lose, |seg, old| seg.storage().unwrap().refs.set(old));
    assert_eq!(fault(found), (1, ChainFault::NoHolders));
}

#[test]
fn a_type_that_would_stay_counted_is_found() {
    let retype = |seg: &RawMbuf| seg.flags.replace(seg.flags.get() + 1);
    let found = broken(2, retype, |seg, old| seg.flags.set(old));
    assert_eq!(fault(found), (2, ChainFault::UnmarkedType { bits: MbufType::Data as u8 + 1 }));
}

#[test]
fn a_header_in_the_middle_an_empty_segment_and_a_forgotten_choice_are_found() {
    let header = |seg: &RawMbuf| seg.flags.replace(seg.flags.get() | flag::PKTHDR | flag::FRESH);
    let found = broken(1, header, |seg, old| seg.flags.set(old));
    assert_eq!(fault(found), (1, ChainFault::Header { present: true }));
    let found = broken(2, |seg| seg.len.replace(0), |seg, old| seg.len.set(old));
    assert_eq!(fault(found), (2, ChainFault::Empty));
    let chosen = |seg: &RawMbuf| seg.flags.replace(seg.flags.get() | flag::CHOSEN);
    let found = broken(0, chosen, |seg, old| seg.flags.set(old));
    assert_eq!(fault(found), (0, ChainFault::Chosen));
}

#[test]
fn a_record_without_bytes_a_tag_that_would_be_lost_and_a_link_in_the_middle_are_found() {
    let pool = Pool::new();
    let mut packet = Packet::new(&pool).unwrap();
    let found = |packet: &Packet| packet.check().map_err(fault);
    let flags = packet.first().flags.replace(packet.first().flags.get() | flag::END);
    assert_eq!(found(&packet), Err((0, ChainFault::EmptyRecord)));
    packet.first().flags.set(flags);
    packet.push_tag(Label);
    assert_eq!(found(&packet), Ok(()));
    packet.first().head.unmark();
    assert_eq!(found(&packet), Err((0, ChainFault::UnmarkedTags)));
    packet.first().head.mark();
    assert_eq!(found(&packet), Ok(()));
    drop(packet);

    let packet = self::packet(&pool);
    let (first, second) = (packet.first(), packet.segs().nth(1).unwrap());
    // The first is linked while it is in a queue; no other ever is.
    for (seg, expected) in
        [(first, Ok(())), (second, Err((1, ChainFault::Linked { next_packet: first.address() })))]
    {
        seg.next_packet.set(ptr::from_ref(first).cast_mut());
        assert_eq!(found(&packet), expected);
        seg.next_packet.set(ptr::null_mut());
    }
    assert_eq!(found(&packet), Ok(()));
    drop(packet);
    assert_eq!(pool.stats().mbufs.current, 0);
}

#[test]
fn a_free_mbuf_that_is_marked_is_found_in_its_pool() {
    let pool = Pool::new();
    let packet = Packet::new(&pool).unwrap();
    let mbuf = packet.0;
    drop(packet);
    assert_eq!(pool.check(), Ok(()));
    // SAFETY: the pool keeps its slabs, and this thread alone uses it.
    unsafe { mbuf.as_ref() }.head.mark();
    let found = pool.check().unwrap_err();
    let object = mbuf.as_ptr().addr();
    assert_eq!(found.fault, ZoneFault::Stray { object });
    assert_eq!(found.to_string(), format!("{}: {}", found.what, found.fault));
    // SAFETY: as above.
    unsafe { mbuf.as_ref() }.head.unmark();
    assert_eq!(pool.check(), Ok(()));
}

#[test]
fn a_queue_says_which_packet_is_corrupt_and_what_its_totals_should_be() {
    let pool = Pool::new();
    let mut queue = PacketQueue::new();
    queue.extend([packet(&pool), Packet::from_slice(&pool, &[1; 2000]).unwrap()]);
    let seg = queue.iter().nth(1).unwrap().first();
    let len = seg.len.replace(5000);
    let found = queue.check().unwrap_err();
    let QueueCorruption::Packet { index: 1, corruption: Corruption { segment: 0, fault, .. } } = found else {
        panic!("{found}");
    };
    assert!(matches!(fault, ChainFault::Window { len: 5000, .. }));
    assert!(found.to_string().starts_with("packet 1: chain at 0x"), "{found}");
    seg.len.set(len);
    assert_eq!(queue.check(), Ok(()));
    // A packet that is sound, but has not the bytes that came in.
    seg.len.set(len - 1);
    assert_eq!(queue.check(), Err(QueueCorruption::Totals { said: (2, 5984), found: (2, 5983) }));
    seg.len.set(len);
    // The same packets, and another is the last.
    queue.push_back(Packet::from_slice(&pool, &[2; 10]).unwrap()).unwrap();
    let [a, b, c] = [0, 1, 2].map(|n| ptr::from_ref(queue.iter().nth(n).unwrap().first()).cast_mut());
    let link = |order: [*mut RawMbuf; 3]| {
        for (n, packet) in order.into_iter().enumerate() {
            let next = order.get(n + 1).copied().unwrap_or(ptr::null_mut());
            // SAFETY: a packet of the queue, which this thread alone uses.
            unsafe { (*packet).next_packet.set(next) };
        }
    };
    link([a, c, b]);
    assert_eq!(queue.check(), Err(QueueCorruption::Tail));
    link([a, b, c]);
    assert_eq!(queue.check(), Ok(()));
    queue.clear();
    assert_eq!((queue.check(), pool.check()), (Ok(()), Ok(())));
}

#[test]
fn a_wrong_total_a_wrong_tail_and_a_missing_header_are_found() {
    let pool = Pool::new();
    let mut packet = packet(&pool);
    packet.header_mut().len += 1;
    let found = |packet: &Packet| packet.check().map_err(fault).unwrap_err();
    assert_eq!(found(&packet), (2, ChainFault::Length { header: 3985, segments: 3984 }));
    packet.header_mut().len -= 1;
    let first = ptr::from_ref(packet.first()).cast_mut();
    let tail = core::mem::replace(&mut packet.header_mut().tail, first);
    let last = packet.segs().last().unwrap().address();
    assert_eq!(found(&packet), (2, ChainFault::Tail { tail: first.addr(), last }));
    assert_eq!(packet.check().unwrap_err().chain, first.addr());
    packet.header_mut().tail = tail;
    let flags = packet.first().flags.replace(packet.first().flags.get() & !flag::PKTHDR);
    assert_eq!(found(&packet).1, ChainFault::Header { present: false });
    packet.first().flags.set(flags);
    assert_eq!(packet.check(), Ok(()));
}

#[test]
fn storage_that_cannot_be_counted_refuses_another_sharer() {
    // Of the mbufs that are had in vain some are samples.
    let pool = Pool::builder().locked(true).audit(Audit::one_in(128)).build().unwrap();
    let packet = packet(&pool);
    let storage = packet.segs().nth(1).unwrap().storage().unwrap();
    storage.refs.set(1 << 31);
    for _ in 0..500 {
        assert_eq!(packet.share().map(drop), Err(OpError::TooManySharers));
    }
    storage.refs.set(1);
    assert_eq!(packet.check(), Ok(()));
    drop(packet);
    assert_eq!(pool.stats().mbufs.current, 0);
    assert!(pool.audit_report().live.is_empty());
}

#[derive(Debug)]
struct Label;

impl Tag for Label {}

#[test]
fn a_mark_goes_with_its_last_reason_when_the_packet_is_changed() {
    let pool = Pool::new();
    let mut packet = Packet::with_cluster(&pool).unwrap();
    packet.extend(100).unwrap();
    assert!(!packet.first().head.is_marked());
    let other = packet.share().unwrap();
    packet.trim_back(1).unwrap();
    assert!(packet.first().head.is_marked());
    drop(other);
    packet.set_type(MbufType::Control);
    packet.extend(1).unwrap();
    assert!(packet.first().head.is_marked(), "its type is counted");
    packet.set_type(MbufType::Data);
    packet.push_tag(Label);
    packet.extend(1).unwrap();
    assert!(packet.first().head.is_marked(), "it has a tag");
    packet.remove_tag::<Label>().unwrap();
    packet.prepend(1).unwrap();
    assert!(!packet.first().head.is_marked());
    assert_eq!(packet.check(), Ok(()));
}

#[test]
fn a_packet_of_one_mbuf_has_a_header_when_it_says_something() {
    let pool = Pool::new();
    let mut packet = Packet::with_cluster(&pool).unwrap();
    packet.extend(100).unwrap();
    packet.prepend(10).unwrap();
    packet.trim_front(5).unwrap();
    packet.trim_back(1).unwrap();
    assert!(packet.first().is_fresh() && packet.duplicate().unwrap().first().is_fresh());
    assert_eq!((packet.len(), packet.check()), (104, Ok(())));
    packet.meta_mut().flow_id = 7;
    assert_eq!((packet.len(), packet.check()), (104, Ok(())));
    packet.append(Packet::from_slice(&pool, &[1; 2000]).unwrap()).unwrap();
    assert_eq!((packet.len(), packet.meta().flow_id, packet.check()), (2104, 7, Ok(())));
}
