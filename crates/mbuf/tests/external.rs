//! External storage: memory of the user's, with an owner.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use mbuf::{OpError, Packet, Pool, StorageKind};
use mbuf_testkit::{Counted, Drops, PanicOnDrop, assert_empty};

fn counted(pool: &Pool, n: usize, drops: &Drops) -> Packet {
    Packet::from_owner(pool, Counted::new((0..n).map(|i| i as u8).collect(), drops)).unwrap()
}

#[test]
fn the_owner_is_dropped_once_with_the_last_sharer() {
    let pool = Pool::new();
    for order in 0..4 {
        let drops = Drops::new();
        let mut packet = counted(&pool, 1000, &drops);
        let copy = packet.share_range(100..900).unwrap();
        let tail = packet.split_off(500).unwrap();
        let mut parts = vec![packet, copy, tail];
        for i in 0..3 {
            assert_eq!(drops.count(), 0);
            let at = (order + i) % parts.len();
            parts.remove(at);
        }
        assert_eq!(drops.count(), 1);
        assert_empty(&pool);
    }
}

#[test]
fn owners_of_any_size_and_alignment_are_kept_and_given_back() {
    #[derive(Debug, Clone, PartialEq)]
    struct Large([u64; 20]);
    impl AsRef<[u8]> for Large {
        fn as_ref(&self) -> &[u8] {
            b"from a large owner"
        }
    }
    #[derive(Debug, Clone, PartialEq)]
    #[repr(align(64))]
    struct Aligned(u8);
    impl AsRef<[u8]> for Aligned {
        fn as_ref(&self) -> &[u8] {
            assert!(std::ptr::from_ref(self).addr().is_multiple_of(64));
            std::slice::from_ref(&self.0)
        }
    }
    let pool = Pool::new();
    let packet = Packet::from_owner(&pool, Large([3; 20])).unwrap();
    assert_eq!(packet, b"from a large owner");
    assert_eq!(packet.try_into_owner::<Large>().unwrap(), Large([3; 20]));
    let packet = Packet::from_owner(&pool, Aligned(5)).unwrap();
    assert_eq!(packet, [5]);
    assert_eq!(packet.try_into_owner::<Aligned>().unwrap(), Aligned(5));
    // Bytes within the owner itself, which rests in the record.
    for n in 0..3u8 {
        let packet = Packet::from_owner_mut(&pool, [n; 64]).unwrap();
        assert_eq!(packet, [n; 64]);
        assert_eq!(packet.try_into_owner::<[u8; 64]>().unwrap(), [n; 64]);
    }
    let packet = Packet::from_owner(&pool, "static").unwrap();
    assert_eq!(packet, b"static");
    assert_eq!(packet.try_into_owner::<&'static str>().unwrap(), "static");
    assert_empty(&pool);
}

#[test]
fn memory_that_may_be_written_is_written_in_place_while_it_is_unique() {
    let pool = Pool::new();
    let mut packet = Packet::from_owner_mut(&pool, vec![0u8; 300]).unwrap();
    packet.write_at(10, b"in place").unwrap();
    assert_eq!(pool.stats().clusters.allocations, 0);
    packet.trim_front(10).unwrap();
    packet.trim_back(282).unwrap();
    assert_eq!((packet.headroom(), packet.tailroom()), (10, 282));
    packet.prepend_slice(b">").unwrap();
    packet.extend_from_slice(b"<").unwrap();
    assert_eq!(packet, b">in place<");
    let copy = packet.share().unwrap();
    packet.write_at(0, b"#").unwrap();
    assert_eq!(copy, b">in place<");
    let owner = copy.try_into_owner::<Vec<u8>>().unwrap();
    assert_eq!(&owner[9..19], b">in place<");
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn read_only_memory_has_no_room_and_is_copied_before_a_write() {
    let pool = Pool::new();
    let drops = Drops::new();
    let mut packet = counted(&pool, 300, &drops);
    packet.trim_front(10).unwrap();
    packet.trim_back(10).unwrap();
    let seg = packet.first_segment();
    assert!(seg.is_read_only() && !seg.is_writable());
    assert_eq!((seg.headroom(), seg.tailroom(), seg.share_count()), (0, 0, 1));
    assert_eq!(seg.storage_kind(), StorageKind::External);
    assert!(packet.segments_mut().next().unwrap().bytes_mut().is_none());
    packet.write_at(0, &[0xff; 280]).unwrap();
    assert_eq!(drops.count(), 1, "nothing shows the memory any more");
    assert_eq!(packet, [0xff; 280]);
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn read_only_memory_is_never_written_however_few_hold_it() {
    let pool = Pool::new();
    let memory: Arc<[u8]> = (0..=255).collect();
    let bytes = memory.to_vec();
    // Copies of copies, of which the last one is left alone with the memory.
    let make: [fn(&Packet) -> Packet; 3] = [
        |packet| packet.share().unwrap(),
        |packet| packet.share_range(10..packet.len() - 10).unwrap(),
        |packet| packet.share().unwrap().split_off(7).unwrap(),
    ];
    for make in make {
        let original = Packet::from_owner(&pool, memory.clone()).unwrap();
        let mut copy = make(&make(&original));
        drop(original);
        let seg = copy.first_segment();
        assert_eq!((seg.share_count(), seg.is_writable(), seg.headroom(), seg.tailroom()), (1, false, 0, 0));
        assert!(copy.segments_mut().next().unwrap().bytes_mut().is_none());
        assert!(copy.slices_mut(..).unwrap().is_none());
        let seen = copy.to_vec();
        copy.prepend_slice(&[1; 5]).unwrap();
        copy.extend_from_slice(&[2; 5]).unwrap();
        copy.make_contiguous_with_headroom(40, 3).unwrap();
        copy.write_at(20, &[3; 60]).unwrap();
        let mut expected = [&[1; 5][..], &seen, &[2; 5]].concat();
        expected[20..80].fill(3);
        assert_eq!(copy, expected);
        assert_eq!(*memory, *bytes);
    }
    assert_eq!(Arc::strong_count(&memory), 1);
    assert_empty(&pool);
}

#[test]
fn the_owner_comes_back_only_to_its_only_holder_and_as_what_it_is() {
    let pool = Pool::new();
    let drops = Drops::new();
    let packet = counted(&pool, 100, &drops);
    let packet = packet.try_into_owner::<Vec<u8>>().unwrap_err();
    let copy = packet.share().unwrap();
    let packet = packet.try_into_owner::<Counted>().unwrap_err();
    drop(copy);
    let mut packet = packet.try_into_owner::<Counted>().map(drop).err().map_or_else(
        || {
            assert_eq!(drops.count(), 1);
            counted(&pool, 100, &drops)
        },
        |_| panic!("it was alone"),
    );
    packet.append(Packet::from_slice(&pool, &[1; 300]).unwrap()).unwrap();
    let packet = packet.try_into_owner::<Counted>().unwrap_err();
    assert_eq!(packet.len(), 400);
    let inline = Packet::from_slice(&pool, b"x").unwrap();
    assert_eq!(inline.try_into_owner::<Vec<u8>>().unwrap_err(), b"x");
    let cluster = Packet::from_slice(&pool, &[1; 300]).unwrap();
    assert_eq!(cluster.try_into_owner::<Vec<u8>>().unwrap_err(), [1; 300]);
    drop(packet);
    assert_eq!(drops.count(), 2);
    assert_empty(&pool);
}

#[test]
fn taking_the_owner_drops_the_tags_and_frees_the_mbuf() {
    let pool = Pool::new();
    let drops = Drops::new();
    let mut packet = Packet::from_owner(&pool, vec![1, 2]).unwrap();
    packet.set_tag(mbuf_testkit::Sticky(drops.clone()));
    assert_eq!(packet.try_into_owner::<Vec<u8>>().unwrap(), [1, 2]);
    assert_eq!(drops.count(), 1);
    assert_empty(&pool);
}

#[test]
fn an_empty_owner_is_an_empty_packet() {
    let pool = Pool::new();
    let drops = Drops::new();
    let mut packet = counted(&pool, 0, &drops);
    assert!(packet.is_empty());
    let copy = packet.share().unwrap();
    packet.extend_from_slice(b"more").unwrap();
    packet.prepend_slice(b"one ").unwrap();
    assert_eq!(packet, b"one more");
    assert_eq!(drops.count(), 1, "no reference for no bytes");
    drop((packet, copy));
    assert_empty(&pool);
}

#[test]
fn an_owner_that_panics_when_dropped_costs_nothing_else() {
    let pool = Pool::new();
    let drops = Drops::new();
    let panics = Drops::new();
    let mut packet = Packet::from_slice(&pool, &[1; 3000]).unwrap();
    packet.append(counted(&pool, 300, &drops)).unwrap();
    let bad = PanicOnDrop(Counted::new(vec![2; 300], &panics));
    packet.append(Packet::from_owner(&pool, bad).unwrap()).unwrap();
    packet.append(counted(&pool, 300, &drops)).unwrap();
    packet.append(Packet::from_slice(&pool, &[3; 9000]).unwrap()).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| drop(packet))).is_err());
    assert_eq!((drops.count(), panics.count()), (2, 1));
    assert_empty(&pool);
}

#[test]
fn an_operation_that_frees_an_owner_that_panics_is_complete_nevertheless() {
    let pool = Pool::new();
    let build = || {
        let mut packet = Packet::from_slice(&pool, &[1; 300]).unwrap();
        let bad = PanicOnDrop(Counted::new(vec![2; 300], &Drops::new()));
        packet.append(Packet::from_owner(&pool, bad).unwrap()).unwrap();
        packet.append(Packet::from_slice(&pool, &[3; 300]).unwrap()).unwrap();
        packet
    };
    type Case = (fn(&mut Packet), Vec<u8>);
    let ops: [Case; 6] = [
        (|p| p.trim_front(700).unwrap(), vec![3; 200]),
        (|p| p.trim_back(700).unwrap(), vec![1; 200]),
        (|p| p.truncate(300), vec![1; 300]),
        (|p| p.make_unique().unwrap(), [vec![1; 300], vec![2; 300], vec![3; 300]].concat()),
        (|p| p.defragment().unwrap(), [vec![1; 300], vec![2; 300], vec![3; 300]].concat()),
        (
            |p| assert_eq!(p.make_contiguous(900).unwrap().len(), 900),
            [vec![1; 300], vec![2; 300], vec![3; 300]].concat(),
        ),
    ];
    for (op, expected) in ops {
        let mut packet = build();
        assert!(catch_unwind(AssertUnwindSafe(|| op(&mut packet))).is_err());
        assert_eq!(packet.check(), Ok(()));
        assert_eq!(packet, expected);
        drop(packet);
        assert_empty(&pool);
    }
}

#[test]
fn an_owner_that_cannot_give_its_bytes_is_dropped_and_nothing_is_kept() {
    struct Unable(Drops);
    impl Drop for Unable {
        fn drop(&mut self) {
            drop(mbuf_testkit::Counted::new(Vec::new(), &self.0));
        }
    }
    impl AsRef<[u8]> for Unable {
        fn as_ref(&self) -> &[u8] {
            panic!("no bytes")
        }
    }
    impl AsMut<[u8]> for Unable {
        fn as_mut(&mut self) -> &mut [u8] {
            panic!("no bytes")
        }
    }
    let pool = Pool::new();
    let drops = Drops::new();
    assert!(catch_unwind(AssertUnwindSafe(|| Packet::from_owner(&pool, Unable(drops.clone())))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| Packet::from_owner_mut(&pool, Unable(drops.clone())))).is_err());
    assert_eq!(drops.count(), 2);
    assert_empty(&pool);
}

#[cfg(all(not(miri), target_pointer_width = "64"))]
#[test]
fn an_owner_of_more_than_four_gibibytes_comes_back() {
    struct Huge(Vec<u8>);
    impl AsRef<[u8]> for Huge {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    impl AsMut<[u8]> for Huge {
        fn as_mut(&mut self) -> &mut [u8] {
            &mut self.0
        }
    }
    // Zeroed by the system and never touched: address space, not memory.
    let huge = Huge(vec![0; (u32::MAX as usize) + 1]);
    let pool = Pool::new();
    let refused = Packet::from_owner(&pool, huge).map(drop).unwrap_err();
    assert_eq!(refused.error, OpError::TooLong { len: 1 << 32, max: u32::MAX as usize });
    assert_empty(&pool);
    let mut huge = refused.input;
    let refused = Packet::from_owner_mut(&pool, huge).map(drop).unwrap_err();
    assert_empty(&pool);
    huge = refused.input;
    huge.0.truncate(u32::MAX as usize);
    let packet = Packet::from_owner(&pool, huge).map_err(|refused| refused.error).unwrap();
    assert_eq!(packet.len(), u32::MAX as usize);
    assert_eq!(packet.share_range(1 << 31..).unwrap().len(), (1 << 31) - 1);
    drop(packet);
    assert_empty(&pool);
}
