//! Growing: at the front, at the back, by bytes and by chains.

use mbuf::{Chain, Class, Header, MCLBYTES, MHLEN, MJUM16BYTES, MLEN, OpError, Packet, Pool, StorageKind};
use mbuf_testkit::{Built, Shape, Storage, assert_empty, both_kinds, each_offset, each_shape, pattern};

const SIZES: &[usize] = if cfg!(miri) {
    &[0, 1, 105, 300]
} else {
    &[0, 1, 16, 103, 104, 105, 183, 184, 185, 256, 257, 2048, 2049, 9000, 16384]
};

fn data(n: usize) -> Vec<u8> {
    (0..n).map(|i| !pattern(i)).collect()
}

both_kinds! {
    fn prepend_puts_bytes_in_front<H>() {
        each_shape::<H>(|built| {
            for &n in SIZES {
                let (room, segments) = (built.chain.headroom(), built.chain.segment_count());
                let mbufs = built.pool.stats().mbufs.allocations;
                let empty = built.chain.is_empty();
                let bytes = data(n);
                built.chain.prepend(n).unwrap().copy_from_slice(&bytes);
                built.bytes.splice(0..0, bytes);
                built.check();
                let added = usize::from(n > room && !empty);
                assert_eq!(built.chain.segment_count(), segments + added, "{n} bytes into {room}");
                let allocated = (built.pool.stats().mbufs.allocations - mbufs) as usize;
                assert_eq!(allocated, usize::from(n > room));
            }
            Built::check_header(&built.chain);
        });
    }

    fn what_is_put_in_front_one_byte_at_a_time_shares_one_mbuf<H>() {
        each_shape::<H>(|built| {
            let segments = built.chain.segment_count();
            for n in 0..60u8 {
                built.chain.prepend_slice(&[n]).unwrap();
                built.bytes.insert(0, n);
            }
            built.check();
            assert!(built.chain.segment_count() <= segments + 1);
        });
    }

    fn extend_from_slice_fills_the_tailroom_first<H>() {
        each_shape::<H>(|built| {
            for &n in SIZES {
                let (room, segments) = (built.chain.tailroom(), built.chain.segment_count());
                let empty = built.chain.is_empty();
                built.chain.extend_from_slice(&data(n)).unwrap();
                built.bytes.extend(data(n));
                built.check();
                if n <= room {
                    assert_eq!(built.chain.segment_count(), segments);
                } else if !empty {
                    assert!(built.chain.segment_count() > segments);
                    let last: usize = built.chain.segments().skip(segments).map(|seg| seg.len()).sum();
                    assert_eq!(last, n - room, "the last segment was not filled to the brim");
                }
            }
            Built::check_header(&built.chain);
        });
    }

    fn extend_gives_contiguous_bytes<H>() {
        each_shape::<H>(|built| {
            for &n in SIZES {
                built.chain.extend(n).unwrap().copy_from_slice(&data(n));
                built.bytes.extend(data(n));
                built.check();
            }
            Built::check_header(&built.chain);
        });
    }

    fn extend_zeroed_and_pad_to_give_zeros_wherever_they_are_put<H>() {
        each_shape::<H>(|built| {
            // Old data where the zeros will go.
            built.chain.extend_from_slice(&[0xaa; 150]).unwrap();
            built.chain.trim_back(150).unwrap();
            for &n in SIZES {
                built.chain.extend_zeroed(n).unwrap();
                built.bytes.extend(vec![0; n]);
                built.check();
            }
            let len = built.bytes.len();
            built.chain.pad_to(len).unwrap();
            built.chain.pad_to(0).unwrap();
            built.check();
            built.chain.pad_to(len + 700).unwrap();
            built.bytes.resize(len + 700, 0);
            built.check();
            Built::check_header(&built.chain);
        });
    }

    fn append_links_or_copies_another_chain<H>() {
        let others = [
            Shape::single(0, Storage::Inline),
            Shape::single(0, Storage::SharedReadOnly),
            Shape::single(1, Storage::Inline),
            Shape::single(256, Storage::Shared(Class::Cluster)),
            Shape::of([(100, Storage::Inline), (156, Storage::ReadOnly)]),
            Shape::of([(100, Storage::Inline), (157, Storage::Copy(Class::Cluster))]),
            Shape::of([(3, Storage::External), (150, Storage::Inline), (2000, Storage::Own(Class::Page))]),
        ];
        each_shape::<H>(|built| {
            for shape in &others {
                let other = shape.build::<Header>(&built.pool);
                let Built { chain: packet, bytes, .. } = other;
                built.chain.append(packet).unwrap();
                built.bytes.extend(bytes);
                built.check();
                let mut other = shape.build::<mbuf::Bare>(&built.pool);
                let chain = std::mem::replace(&mut other.chain, Chain::new(&built.pool).unwrap());
                built.chain.append(chain).unwrap();
                built.bytes.extend(&other.bytes);
                built.check();
                other.check_sharers();
            }
            Built::check_header(&built.chain);
        });
    }

    fn insert_puts_another_chain_anywhere<H>() {
        each_offset::<H>(|built, at| {
            for shape in [
                Shape::single(3, Storage::Inline),
                Shape::of([(200, Storage::Shared(Class::Cluster)), (150, Storage::Inline)]),
                Shape::single(0, Storage::Inline),
            ] {
                let mut other = shape.build::<Header>(&built.pool);
                let packet = std::mem::replace(&mut other.chain, Packet::new(&built.pool).unwrap());
                match built.chain.insert(at, packet) {
                    Ok(()) => {
                        built.bytes.splice(at..at, other.bytes.iter().copied());
                    }
                    Err(refused) => {
                        assert!(at > built.bytes.len());
                        assert!(matches!(refused.error, OpError::Bounds(_)));
                        assert_eq!(refused.input, other.bytes);
                    }
                }
                built.check();
                other.check_sharers();
            }
            Built::check_header(&built.chain);
        });
    }

    fn too_much_at_once_is_refused<H>() {
        each_shape::<H>(|built| {
            let too_long = |result: Result<(), OpError>| match result {
                Err(OpError::TooLong { len, max }) => assert!(len > max || len == usize::MAX),
                other => panic!("{other:?}"),
            };
            for n in [MJUM16BYTES + 1, u32::MAX as usize, usize::MAX] {
                too_long(built.chain.prepend(n).map(drop));
                too_long(built.chain.extend(n).map(drop));
                built.check();
            }
            // Where a number has 32 bits, none is too much for a chain without bytes.
            let longest = u32::MAX as usize;
            let room = longest - built.bytes.len();
            for n in [room.wrapping_add(1), usize::MAX].into_iter().filter(|&n| n > room) {
                too_long(built.chain.extend_zeroed(n));
                built.check();
            }
            for n in [longest.wrapping_add(1), usize::MAX].into_iter().filter(|&n| n > longest) {
                too_long(built.chain.pad_to(n));
                built.check();
            }
        });
    }
}

#[test]
fn an_exact_fit_in_the_tailroom_is_used_and_one_byte_more_is_linked() {
    let pool = Pool::new();
    for room in [1usize, 50, 200, 256] {
        for more in [room, room + 1] {
            let mut packet = Packet::with_headroom(&pool, MCLBYTES, 0).unwrap();
            packet.extend_zeroed(MCLBYTES - room).unwrap();
            assert_eq!(packet.tailroom(), room);
            packet.append(Packet::from_slice(&pool, &vec![1; more]).unwrap()).unwrap();
            let copied = more <= room && more <= 256;
            assert_eq!(packet.segment_count(), if copied { 1 } else { 2 }, "{more} into {room}");
            assert_eq!(packet.check(), Ok(()));
        }
    }
    assert_empty(&pool);
}

#[test]
fn an_exact_fit_in_the_headroom_is_used_and_one_byte_more_takes_an_mbuf() {
    let pool = Pool::new();
    let mut packet = Packet::with_headroom(&pool, 10, 33).unwrap();
    packet.extend_zeroed(10).unwrap();
    packet.prepend(33).unwrap();
    assert_eq!((packet.segment_count(), packet.headroom()), (1, 0));
    packet.prepend(1).unwrap();
    assert_eq!(packet.segment_count(), 2);
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn a_prepended_mbuf_is_inline_exactly_as_long_as_the_bytes_fit() {
    let pool = Pool::new();
    let kinds = |kind: StorageKind, n: usize| {
        let class = Class::for_len(n).unwrap();
        assert_eq!(kind, StorageKind::Cluster(class), "{n} bytes");
    };
    for n in [1, MHLEN, MHLEN + 1, MLEN, MLEN + 1, 2048, 2049, 4096, 4097, 9216, 9217, 16384] {
        let mut packet = Packet::from_owner(&pool, [1u8]).unwrap();
        packet.prepend(n).unwrap();
        let kind = packet.first_segment().storage_kind();
        if n <= MHLEN {
            assert_eq!(kind, StorageKind::Inline)
        } else {
            kinds(kind, n)
        }
        // What is put in front later finds all the room.
        assert_eq!(packet.headroom(), (packet.first_segment().capacity() - n) & !7);
        let mut chain = Packet::from_owner(&pool, [1u8]).unwrap().into_chain();
        chain.prepend(n).unwrap();
        let kind = chain.first_segment().storage_kind();
        if n <= MLEN { assert_eq!(kind, StorageKind::Inline) } else { kinds(kind, n) }
    }
    assert_empty(&pool);
}

#[test]
fn while_storage_is_shared_only_the_original_has_the_tailroom() {
    let pool = Pool::new();
    let mut original = Packet::with_cluster(&pool).unwrap();
    original.extend_from_slice(b"seen by both").unwrap();
    let mut copy = original.share().unwrap();
    assert_eq!((original.headroom(), copy.headroom(), copy.tailroom()), (0, 0, 0));
    let room = original.tailroom();
    assert!(room > 1000);
    original.extend_from_slice(&vec![7; room]).unwrap();
    assert_eq!(original.segment_count(), 1);
    copy.extend_from_slice(b"!").unwrap();
    assert_eq!(copy, b"seen by both!");
    assert_eq!(original.read_array::<2>(11), Ok([b'h', 7]));
    drop(original);
    assert!(copy.is_writable(), "alone again");
    drop(copy);
    assert_empty(&pool);
}

#[test]
fn chains_of_other_pools_can_be_appended_and_go_home() {
    let (one, two) = (Pool::new(), Pool::new());
    let mut a = Packet::from_slice(&one, &[1; 3000]).unwrap();
    a.append(Packet::from_slice(&two, &[2; 3000]).unwrap()).unwrap();
    assert_ne!(two.stats().mbufs.current, 0);
    a.make_contiguous_at(2900..3100).unwrap();
    let tail = a.split_off(3000).unwrap();
    drop(a);
    assert_eq!(tail, vec![2; 3000]);
    drop(tail);
    assert_empty(&one);
    assert_empty(&two);
}

/// 17 times 256 MiB are more than 4 GiB.
#[cfg(not(miri))]
#[test]
fn totals_over_four_gibibytes_are_refused_and_nothing_changes() {
    let pool = Pool::new();
    let big = Packet::from_owner(&pool, vec![0u8; 256 << 20]).unwrap();
    fn run<H: mbuf_testkit::Kind>(big: &Packet) {
        let mut whole = H::from_packet(big.share().unwrap());
        for n in 2..=15 {
            whole.append(big.share().unwrap()).unwrap();
            assert_eq!(whole.len(), n * (256 << 20));
        }
        let refused = whole.append(big.share().unwrap()).unwrap_err();
        assert!(matches!(refused.error, OpError::TooLong { .. }));
        assert_eq!(refused.input.len(), 256 << 20);
        let refused = whole.insert(5, refused.input).unwrap_err();
        assert!(matches!(refused.error, OpError::TooLong { .. }));
        whole.append(big.share_range(1..).unwrap()).unwrap();
        assert_eq!(whole.len(), u32::MAX as usize);
        assert_eq!(whole.check(), Ok(()));
        assert!(
            whole.prepend(1).is_err() && whole.extend(1).is_err() && whole.extend_from_slice(&[1]).is_err()
        );
        assert!(whole.extend_zeroed(1).is_err() && whole.write_at(u32::MAX as usize, &[1]).is_err());
        if let Some(beyond) = whole.len().checked_add(1) {
            assert!(whole.pad_to(beyond).is_err() && whole.write_at(beyond, &[]).is_err());
        }
        assert!(whole.append(big.share_range(..1).unwrap()).is_err());
        assert_eq!(whole.check(), Ok(()));
        assert_eq!((whole.len(), whole.segment_count()), (u32::MAX as usize, 16));
        let tail = whole.split_off(3 << 30).unwrap();
        assert_eq!((whole.len(), tail.len()), (3 << 30, (1 << 30) - 1));
    }
    run::<Header>(&big);
    run::<mbuf::Bare>(&big);
    drop(big);
    assert_empty(&pool);
}
