//! Cutting in two.

use mbuf::{Class, MHLEN, OpError, Packet, Pool, StorageKind};
use mbuf_testkit::{Built, Label, Shape, Storage, assert_empty, both_kinds, each_offset};

both_kinds! {
    fn split_off_returns_the_bytes_behind_the_cut<H>() {
        each_offset::<H>(|built, at| {
            let mbufs = built.pool.stats().mbufs.allocations;
            match built.chain.split_off(at) {
                Err(error) => {
                    assert!(at > built.bytes.len());
                    assert!(matches!(error, OpError::Bounds(_)));
                    built.check();
                }
                Ok(tail) => {
                    assert_eq!(tail.check(), Ok(()));
                    assert_eq!(built.chain, built.bytes[..at]);
                    assert_eq!(tail, built.bytes[at..]);
                    Built::check_header(&built.chain);
                    Built::check_header(&tail);
                    let allocated = built.pool.stats().mbufs.allocations - mbufs;
                    assert!(allocated <= 1, "{allocated} mbufs for one cut");
                    // Written apart, the parts stay apart.
                    built.check_sharers();
                    let (mut a, mut b) = (built.bytes[..at].to_vec(), built.bytes[at..].to_vec());
                    let mut tail = tail;
                    built.chain.extend_from_slice(&[0xaa; 40]).unwrap();
                    tail.prepend_slice(&[0xbb; 40]).unwrap();
                    tail.extend_from_slice(&[0xcc; 40]).unwrap();
                    a.extend([0xaa; 40]);
                    b.splice(0..0, [0xbb; 40]);
                    b.extend([0xcc; 40]);
                    assert_eq!(built.chain, a);
                    assert_eq!(tail, b);
                    assert_eq!(tail.check(), Ok(()));
                }
            }
        });
    }

    fn split_to_returns_the_bytes_in_front_of_the_cut<H>() {
        each_offset::<H>(|built, at| {
            let mbufs = built.pool.stats().mbufs.allocations;
            let Ok(mut front) = built.chain.split_to(at) else {
                assert!(at > built.bytes.len());
                return built.check();
            };
            assert!(built.pool.stats().mbufs.allocations - mbufs <= 1);
            assert_eq!((front.check(), built.chain.check()), (Ok(()), Ok(())));
            assert_eq!(front, built.bytes[..at]);
            assert_eq!(built.chain, built.bytes[at..]);
            Built::check_header(&front);
            Built::check_header(&built.chain);
            front.append(std::mem::replace(&mut built.chain, mbuf::MbufChain::new(&built.pool).unwrap())).unwrap();
            assert_eq!(front, built.bytes);
        });
    }

    fn parts_put_together_again_are_the_whole<H>() {
        each_offset::<H>(|built, at| {
            if at > built.bytes.len() {
                return;
            }
            let tail = built.chain.split_off(at).unwrap();
            built.chain.append(tail).unwrap();
            built.check();
            Built::check_header(&built.chain);
        });
    }
}

#[test]
fn a_cut_between_segments_takes_no_reference_and_no_mbuf() {
    let pool = Pool::new();
    for storage in Storage::ALL {
        let shape = Shape::of([(100, storage), (90, storage)]).flush();
        let mut built = shape.build::<mbuf::Header>(&pool);
        let before: Vec<u32> = built.chain.segments().map(|seg| seg.share_count()).collect();
        let mbufs = pool.stats().mbufs.allocations;
        let tail = built.chain.split_off(100).unwrap();
        assert_eq!(pool.stats().mbufs.allocations, mbufs);
        assert_eq!(built.chain.share_count(), before[0]);
        assert_eq!(tail.share_count(), before[1]);
        assert_eq!((built.chain.segment_count(), tail.segment_count()), (1, 1));
        drop((tail, built));
        assert_empty(&pool);
    }
}

#[test]
fn an_empty_part_holds_no_storage_of_the_other() {
    let pool = Pool::new();
    for storage in Storage::ALL {
        for at in [0, 300] {
            let mut built = Shape::single(300, storage).build::<mbuf::Header>(&pool);
            let sharers = built.chain.share_count();
            let tail = built.chain.split_off(at).unwrap();
            let (empty, full) = if at == 0 { (&built.chain, &tail) } else { (&tail, &built.chain) };
            assert!(empty.is_empty());
            assert_eq!(empty.first_segment().storage_kind(), StorageKind::Inline);
            assert_eq!(full.share_count(), sharers, "{storage:?} at {at}");
            drop((tail, built));
            assert_empty(&pool);
        }
    }
}

#[test]
fn a_tail_whose_first_segment_cannot_carry_a_header_gets_one_that_can() {
    let pool = Pool::new();
    let shape = Shape::of([(20, Storage::Inline), (MHLEN + 1, Storage::Inline), (9, Storage::Inline)]);
    for at in (1..20 + MHLEN + 10).step_by(if cfg!(miri) { 19 } else { 1 }) {
        let mut built = shape.build::<mbuf::Header>(&pool);
        let tail = built.chain.split_off(at).unwrap();
        assert_eq!(tail.check(), Ok(()));
        assert_eq!(tail, built.bytes[at..]);
        assert_eq!(built.chain, built.bytes[..at]);
    }
    assert_empty(&pool);
}

#[test]
fn the_tail_of_a_cut_cluster_keeps_the_tailroom_and_the_front_gets_none() {
    let pool = Pool::new();
    let mut packet = Packet::from_slice(&pool, &[1; 500]).unwrap();
    let room = packet.tailroom();
    let mut tail = packet.split_off(200).unwrap();
    assert_eq!((packet.tailroom(), tail.tailroom()), (0, room));
    tail.extend_from_slice(&[2; 100]).unwrap();
    assert_eq!(tail.segment_count(), 1);
    drop(tail);
    assert!(packet.tailroom() > 0, "alone, it may write what was the tail");
    packet.extend_from_slice(&[3; 100]).unwrap();
    assert_eq!((packet.len(), packet.segment_count()), (300, 1));
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn tags_that_wish_go_with_both_parts() {
    let pool = Pool::new();
    let mut packet = Packet::from_slice(&pool, &[1; 500]).unwrap();
    packet.set_tag(Label(1));
    packet.set_tag(mbuf_testkit::Private(2));
    let tail = packet.split_off(250).unwrap();
    assert_eq!(tail.tag(), Some(&Label(1)));
    assert!(tail.tag::<mbuf_testkit::Private>().is_none());
    assert!(packet.tag::<mbuf_testkit::Private>().is_some());
    packet.set_tag(mbuf_testkit::Refusing);
    assert!(matches!(packet.split_off(100), Err(OpError::Tag)));
    assert_eq!(packet, [1; 250]);
    assert_eq!(packet.share_count(), 2, "the refused cut took no reference");
    drop((packet, tail));
    assert_empty(&pool);
}

#[test]
fn many_cuts_of_one_cluster_give_it_back_once() {
    let pool = Pool::new();
    let mut packet = Packet::from_slice(&pool, &(0..200).collect::<Vec<u8>>()).unwrap();
    let mut parts = Vec::new();
    while packet.len() > 1 {
        parts.push(packet.split_off(packet.len() - 1).unwrap());
    }
    assert_eq!(pool.stats().clusters.current, 1);
    assert!(parts.iter().rev().enumerate().all(|(i, part)| *part == [i as u8 + 1]));
    drop(parts);
    assert_eq!(packet.share_count(), 1);
    assert_eq!(packet.first_segment().storage_kind(), StorageKind::Cluster(Class::Cluster));
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn the_packet_that_is_cut_keeps_its_own_tags_whichever_part_it_is() {
    use mbuf_testkit::Private;
    const LABEL: Label = Built::<mbuf::Header>::LABEL;
    let pool = Pool::new();
    for at in [0, 100, 300, 500] {
        let shape = Shape::of([(200, Storage::Own(Class::Cluster)), (300, Storage::Own(Class::Cluster))]);
        let mut packet = shape.build::<mbuf::Header>(&pool).chain;
        packet.set_tag(Private(2));
        let front = packet.split_to(at).unwrap();
        assert_eq!((packet.tag(), packet.tag()), (Some(&LABEL), Some(&Private(2))));
        assert_eq!((front.tag(), front.tag::<Private>()), (Some(&LABEL), None));
        drop(packet);
        assert_eq!(front.len(), at);
        drop(front);
        // The only tag, too.
        let mut packet = Packet::from_slice(&pool, &[1; 500]).unwrap();
        packet.set_tag(Private(3));
        let front = packet.split_to(at).unwrap();
        assert_eq!((packet.tag(), front.tags().count()), (Some(&Private(3)), 0));
        drop((packet, front));
        assert_empty(&pool);
    }
}
