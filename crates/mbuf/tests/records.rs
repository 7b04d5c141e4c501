//! The end of a record stays with its last byte, the type with the chain, and empty chains hold nothing.

use mbuf::{Chain, Flags, MbufChain, MbufType, Packet, Pool, StorageKind};
use mbuf_testkit::assert_empty;

const END: Flags = Flags::END_OF_RECORD;

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
fn new_segments_have_the_type_of_the_chain() {
    let pool = Pool::new();
    let control = || {
        let mut packet = Packet::from_slice(&pool, &[1; 1000]).unwrap();
        packet.append(Chain::from_slice(&pool, &[1; 2000]).unwrap()).unwrap();
        packet.append(Chain::from_slice(&pool, &[1; 2000]).unwrap()).unwrap();
        packet.set_type(MbufType::Control);
        packet
    };
    let ops: [fn(&mut Packet); 8] = [
        |p| p.collapse(2).unwrap(),
        |p| p.extend_from_slice(&[2; 9000]).unwrap(),
        |p| assert_eq!(p.extend(5000).unwrap().len(), 5000),
        |p| p.write_at(4900, &[3; 9000]).unwrap(),
        |p| assert_eq!(p.make_contiguous_at(900..1100).unwrap().len(), 200),
        |p| assert_eq!(p.prepend(200).unwrap().len(), 200),
        |p| p.defragment().unwrap(),
        |p| assert_eq!(p.make_contiguous(4000).unwrap().len(), 4000),
    ];
    for op in ops {
        let mut packet = control();
        op(&mut packet);
        assert!(packet.segments().all(|seg| seg.mbuf_type() == MbufType::Control), "{:?}", packet.segments());
    }
    assert_empty(&pool);
}

#[test]
fn an_emptied_chain_lets_go_of_what_others_hold() {
    let pool = Pool::new();
    let empty: [fn(&mut Packet); 3] =
        [|p| p.trim_front(p.len()).unwrap(), |p| p.trim_back(p.len()).unwrap(), |p| p.truncate(0)];
    for op in empty {
        let mut packet = Packet::from_slice(&pool, &[1; 1500]).unwrap();
        let other = packet.share().unwrap();
        op(&mut packet);
        packet.check().unwrap();
        assert_eq!((packet.first_segment().storage_kind(), other.share_count()), (StorageKind::Inline, 1));
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
