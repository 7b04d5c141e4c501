//! The end of a record stays with its last byte, types with their bytes, and empty chains hold nothing.

use mbuf::{Chain, Flags, MbufChain, MbufType, Packet, Pool, StorageKind};
use mbuf_testkit::assert_empty;

const END: Flags = Flags::END_OF_RECORD;

/// An operation, and what of the segments is to be found afterwards.
type Case<T> = (fn(&mut Packet), &'static [T]);

/// Offsets behind the bytes at which records end.
fn ends<H: mbuf::Head>(chain: &MbufChain<H>) -> Vec<usize> {
    let mut offset = 0;
    let ends = chain.segments().filter_map(|seg| {
        offset += seg.len();
        seg.flags().contains(END).then_some(offset)
    });
    ends.collect()
}

fn record(pool: &Pool, len: usize) -> Packet {
    let mut packet = Packet::from_slice(pool, &vec![7; len]).unwrap();
    packet.segments_mut().last().unwrap().set_flags(END);
    assert_eq!(ends(&packet), [len]);
    packet
}

#[test]
fn a_split_leaves_the_end_of_the_record_to_the_tail() {
    let pool = Pool::new();
    for len in [100, 1500] {
        let mut packet = record(&pool, len);
        let tail = packet.split_off(70).unwrap();
        assert_eq!((ends(&packet), ends(&tail)), (vec![], vec![len - 70]));
    }
    assert_empty(&pool);
}

#[test]
fn a_copy_on_write_in_the_middle_leaves_one_end() {
    let pool = Pool::new();
    let mut packet = record(&pool, 1500);
    let other = packet.share().unwrap();
    packet.write_at(900, &[1]).unwrap();
    assert_eq!((packet.segment_count(), ends(&packet), ends(&other)), (3, vec![1500], vec![1500]));
    drop((packet, other));
    assert_empty(&pool);
}

#[test]
fn a_header_is_copied_without_the_end_of_the_record() {
    let pool = Pool::new();
    let (mut a, mut b) = (record(&pool, 10), Packet::from_slice(&pool, &[1; 10]).unwrap());
    b.set_flags(Flags::BROADCAST);
    a.copy_header_from(&b).unwrap();
    assert_eq!(a.flags(), END.with(Flags::BROADCAST));
    b.copy_header_from(&a).unwrap();
    assert_eq!(b.flags(), Flags::BROADCAST);
    drop((a, b));
    assert_empty(&pool);
}

#[test]
fn records_that_are_joined_stay_apart() {
    let pool = Pool::new();
    let mut packet = record(&pool, 1000);
    packet.append(record(&pool, 50)).unwrap();
    packet.append(Packet::from_slice(&pool, &[2; 20]).unwrap()).unwrap();
    assert_eq!(ends(&packet), [1000, 1050]);
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn bytes_behind_the_end_of_a_record_go_into_another_segment() {
    let pool = Pool::new();
    let ops: [fn(&mut Packet); 6] = [
        |p| p.extend_from_slice(&[8; 40]).unwrap(),
        |p| p.extend_from_slice(&[8; 3000]).unwrap(),
        |p| p.extend(40).unwrap().fill(8),
        |p| p.extend_zeroed(40).unwrap(),
        |p| p.write_at(90, &[8; 50]).unwrap(),
        |p| p.append_reserve(mbuf::Reserve::new(&Pool::new(), 40).unwrap(), 40).unwrap(),
    ];
    for op in ops {
        let mut packet = record(&pool, 100);
        assert_eq!(packet.tailroom(), 0);
        op(&mut packet);
        packet.check().unwrap();
        assert!(packet.len() >= 140);
        assert_eq!(ends(&packet), [100]);
        assert!(packet.tailroom() > 0);
    }
    assert_empty(&pool);
}

#[test]
fn a_record_that_loses_its_last_bytes_ends_with_those_left() {
    let pool = Pool::new();
    let two = || {
        let mut packet = record(&pool, 1000);
        packet.append(record(&pool, 500)).unwrap();
        packet
    };
    let cases: [Case<usize>; 9] = [
        (|p| p.trim_back(4).unwrap(), &[1000, 1496]),
        (|p| p.trim_back(500).unwrap(), &[1000]),
        (|p| p.trim_back(501).unwrap(), &[999]),
        (|p| p.truncate(300), &[300]),
        (|p| p.remove_range(200..1000).unwrap(), &[200, 700]),
        (|p| p.remove_range(200..1100).unwrap(), &[200, 600]),
        (|p| p.remove_range(200..300).unwrap(), &[900, 1400]),
        (|p| p.trim_front(1000).unwrap(), &[500]),
        (|p| p.trim_front(1500).unwrap(), &[]),
    ];
    for (op, expected) in cases {
        let mut packet = two();
        op(&mut packet);
        packet.check().unwrap();
        assert_eq!(ends(&packet), expected);
    }
    // Also if none of the segment that had the end is left.
    let mut packet = Packet::from_slice(&pool, &[1; 1000]).unwrap();
    packet.append(Chain::from_slice(&pool, &[2; 500]).unwrap()).unwrap();
    packet.segments_mut().last().unwrap().set_flags(END);
    packet.truncate(700);
    assert_eq!(ends(&packet), [700]);
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn a_copy_of_a_part_ends_a_record_only_where_the_original_does() {
    let pool = Pool::new();
    for len in [90, 150, 1500] {
        let mut packet = Packet::from_slice(&pool, &[1; 10]).unwrap();
        packet.append(record(&pool, len)).unwrap();
        for (range, expected) in
            [(0..len + 9, vec![]), (12..len + 10, vec![len - 2]), (10..len + 10, vec![len])]
        {
            let copy = packet.share_range(range).unwrap();
            assert_eq!(ends(&copy), expected);
        }
        assert_eq!(ends(&packet.duplicate().unwrap()), [len + 10]);
    }
    assert_empty(&pool);
}

#[test]
fn joined_segments_end_a_record_if_one_of_them_did() {
    let pool = Pool::new();
    let cases: [Case<usize>; 7] = [
        // In the room of the first segment, and in a new one.
        (|p| assert_eq!(p.make_contiguous(110).unwrap().len(), 110), &[110, 150]),
        (|p| assert_eq!(p.make_contiguous(150).unwrap().len(), 150), &[150]),
        (|p| assert_eq!(p.make_contiguous_with_headroom(110, 9000).unwrap().len(), 110), &[110, 150]),
        (|p| assert_eq!(p.make_contiguous_at(40..110).unwrap().len(), 70), &[110, 150]),
        (|p| p.collapse(1).unwrap(), &[200]),
        (|p| p.shatter([30, 80, 30]).unwrap(), &[110, 200]),
        (|p| p.defragment().unwrap(), &[200]),
    ];
    for (op, expected) in cases {
        let mut packet = record(&pool, 100);
        packet.append(record(&pool, 50)).unwrap();
        packet.append(Packet::from_slice(&pool, &[2; 50]).unwrap()).unwrap();
        op(&mut packet);
        packet.check().unwrap();
        assert_eq!(ends(&packet), expected);
    }
    assert_empty(&pool);
}

#[test]
fn an_empty_segment_ends_no_record() {
    let pool = Pool::new();
    let mut packet = Packet::with_cluster(&pool).unwrap();
    packet.set_flags(END.with(Flags::BROADCAST));
    assert_eq!(packet.flags(), Flags::BROADCAST);
    packet.append(record(&pool, 30)).unwrap();
    assert_eq!(packet.flags(), END.with(Flags::BROADCAST));
    packet.truncate(0);
    assert_eq!(packet.flags(), Flags::BROADCAST);
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn flags_of_a_packet_are_on_its_first_segment_alone() {
    let pool = Pool::new();
    let ops: [fn(&mut Packet); 5] = [
        |p| p.insert(600, Chain::from_slice(&Pool::new(), &[1; 300]).unwrap()).unwrap(),
        |p| p.remove_range(300..900).unwrap(),
        |p| p.write_at(600, &[1]).unwrap(),
        |p| p.make_unique().unwrap(),
        |p| assert_eq!(p.make_contiguous_at(900..1600).unwrap().len(), 700),
    ];
    for op in ops {
        for len in [1500, 9000] {
            let mut packet = Packet::with_class(&pool, mbuf::Class::Jumbo9).unwrap();
            packet.extend_from_slice(&vec![1; len]).unwrap();
            packet.append(Chain::from_slice(&pool, &[1; 2000]).unwrap()).unwrap();
            packet.set_flags(Flags::BROADCAST);
            let copy = packet.share().unwrap();
            op(&mut packet);
            for packet in [&packet, &copy] {
                let flags: Vec<Flags> = packet.segments().map(|seg| seg.flags()).collect();
                assert_eq!(flags[0], Flags::BROADCAST);
                assert!(flags[1..].iter().all(|&flags| flags == Flags::default()), "{flags:?}");
            }
        }
    }
    assert_empty(&pool);
}

#[test]
fn new_bytes_have_the_type_of_those_beside_them() {
    const C: MbufType = MbufType::Control;
    const O: MbufType = MbufType::OutOfBand;
    let pool = Pool::new();
    let mixed = || {
        let mut packet = Packet::from_slice(&pool, &[1; 1000]).unwrap();
        packet.set_type(MbufType::Control);
        let mut more = Chain::from_slice(&pool, &[1; 2000]).unwrap();
        more.append(Chain::from_slice(&pool, &[1; 2000]).unwrap()).unwrap();
        more.set_type(MbufType::OutOfBand);
        packet.append(more).unwrap();
        packet
    };
    let cases: [Case<MbufType>; 14] = [
        (|p| p.prepend(200).unwrap().fill(2), &[C, C, O, O]),
        (|p| p.extend_from_slice(&[2; 3000]).unwrap(), &[C, O, O, O]),
        (|p| p.extend(5000).unwrap().fill(2), &[C, O, O, O]),
        (|p| p.write_at(6000, &[3; 2000]).unwrap(), &[C, O, O, O]),
        (|p| p.append_reserve(mbuf::Reserve::new(&Pool::new(), 900).unwrap(), 900).unwrap(), &[C, O, O, O]),
        (|p| p.append(Chain::from_slice(&Pool::new(), b"few").unwrap()).unwrap(), &[C, O, O, MbufType::Data]),
        (|p| assert_eq!(p.make_contiguous(4000).unwrap().len(), 4000), &[C, O]),
        (|p| assert_eq!(p.make_contiguous_at(2900..3100).unwrap().len(), 200), &[C, O, O]),
        (|p| assert_eq!(p.make_contiguous_at(900..1100).unwrap().len(), 200), &[C, O, O]),
        (|p| p.collapse(2).unwrap(), &[C, O]),
        (|p| p.collapse(1).unwrap(), &[C]),
        (|p| p.shatter([600, 600, 3000]).unwrap(), &[C, C, O, O]),
        (|p| *p = p.duplicate().unwrap(), &[C, O]),
        (|p| *p = p.split_off(1200).unwrap(), &[O, O]),
    ];
    for (i, (op, expected)) in cases.into_iter().enumerate() {
        let mut packet = mixed();
        op(&mut packet);
        packet.check().unwrap();
        let types: Vec<MbufType> = packet.segments().map(|seg| seg.mbuf_type()).collect();
        assert_eq!(types, expected, "case {i}");
    }
    assert_empty(&pool);
}

#[test]
fn an_empty_part_has_the_type_of_the_chain() {
    let pool = Pool::new();
    let ops: [fn(&mut Packet) -> Packet; 5] = [
        |p| p.split_off(0).unwrap(),
        |p| p.split_off(p.len()).unwrap(),
        |p| p.share_range(5..5).unwrap(),
        |p| {
            p.trim_front(p.len()).unwrap();
            p.share().unwrap()
        },
        |p| {
            p.truncate(0);
            p.duplicate().unwrap()
        },
    ];
    for op in ops {
        for len in [50, 1500, 9000] {
            let mut packet = Packet::from_slice(&pool, &vec![1; len]).unwrap();
            packet.set_type(MbufType::Control);
            let other = op(&mut packet);
            let mut all = packet.segments().chain(other.segments());
            assert!(all.all(|seg| seg.mbuf_type() == MbufType::Control));
        }
    }
    assert_empty(&pool);
}

#[test]
fn a_header_that_needs_an_mbuf_or_moves_leaves_types_and_ends() {
    let pool = Pool::new();
    let inline = |n: usize, kind| {
        let mut chain = Chain::with_headroom(&pool, n, 0).unwrap();
        chain.extend_from_slice(&vec![1; n]).unwrap();
        chain.set_type(kind);
        chain.set_flags(END);
        chain
    };
    let packet = inline(mbuf::MLEN, MbufType::Control).into_packet().unwrap();
    assert_eq!((packet.segment_count(), ends(&packet)), (2, vec![mbuf::MLEN]));
    assert!(packet.segments().all(|seg| seg.mbuf_type() == MbufType::Control));
    drop(packet);
    let mut packet = record(&pool, 10);
    packet.append(inline(mbuf::MLEN, MbufType::OutOfBand)).unwrap();
    packet.trim_front(10).unwrap();
    assert_eq!((packet.segment_count(), ends(&packet)), (2, vec![mbuf::MLEN]));
    assert!(packet.segments().all(|seg| seg.mbuf_type() == MbufType::OutOfBand));
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn an_emptied_chain_lets_go_of_what_others_hold() {
    let pool = Pool::new();
    let empty: [fn(&mut Packet); 3] =
        [|p| p.trim_front(p.len()).unwrap(), |p| p.trim_back(p.len()).unwrap(), |p| p.truncate(0)];
    for op in empty {
        for len in [1500, 9000] {
            let mut packet = Packet::from_slice(&pool, &vec![1; len]).unwrap();
            let other = packet.share().unwrap();
            op(&mut packet);
            packet.check().unwrap();
            assert_eq!(
                (packet.first_segment().storage_kind(), other.share_count()),
                (StorageKind::Inline, 1)
            );
        }
        let mut external = Packet::from_owner(&pool, vec![1; 100_000]).unwrap();
        op(&mut external);
        external.check().unwrap();
        assert_eq!((external.memory(), pool.stats().external.current), (256, 0));
        external.extend_from_slice(b"and goes on").unwrap();
        assert_eq!(external, b"and goes on");
    }
    assert_empty(&pool);
}

#[test]
fn inserting_nothing_changes_nothing() {
    let pool = Pool::new();
    let mut packet = Packet::from_slice(&pool, &[1; 1500]).unwrap();
    packet.insert(700, Chain::new(&pool).unwrap()).unwrap();
    assert_eq!((packet.segment_count(), packet.is_writable()), (1, true));
    assert!(packet.insert(1501, Chain::new(&pool).unwrap()).is_err());
    drop(packet);
    assert_empty(&pool);
}
