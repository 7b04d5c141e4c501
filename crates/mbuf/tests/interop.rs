//! The traits and types of the crate `bytes`.
#![cfg(feature = "bytes")]

use bytes::{Buf, BufMut, Bytes};
use mbuf::{Appender, Chain, Packet, Pool};

fn pool() -> Pool {
    Pool::new()
}

fn assert_empty(pool: &Pool) {
    let stats = pool.stats();
    assert_eq!((stats.mbufs.current, stats.clusters.current, stats.external.current), (0, 0, 0));
}

#[test]
fn a_packet_reads_as_a_buf_whatever_its_segments() {
    let pool = pool();
    for sizes in [vec![100], vec![1; 64], vec![3, 1, 7, 2, 40], vec![63, 1]] {
        let data: Vec<u8> = (0..64).collect();
        let mut packet = Packet::from_slice(&pool, &data).unwrap();
        packet.shatter(sizes).unwrap();
        let mut flat = &data[..];
        assert_eq!(packet.get_u8(), flat.get_u8());
        assert_eq!(packet.get_u64(), flat.get_u64());
        assert_eq!(packet.get_u16_le(), flat.get_u16_le());
        packet.advance(5);
        flat.advance(5);
        assert_eq!(packet.remaining(), flat.remaining());
        assert_eq!(packet.copy_to_bytes(20), flat.copy_to_bytes(20));
        assert_eq!(packet.copy_to_bytes(packet.remaining()), flat.copy_to_bytes(flat.remaining()));
        assert!(!packet.has_remaining() && packet.chunk().is_empty());
        packet.check().unwrap();
    }
    assert_empty(&pool);
}

#[test]
fn vectored_chunks_are_an_exact_prefix() {
    let pool = pool();
    let data: Vec<u8> = (0..100).collect();
    let mut packet = Packet::from_slice(&pool, &data).unwrap();
    packet.shatter([10, 20, 30, 40]).unwrap();
    for room in 0..6 {
        let mut slices = vec![std::io::IoSlice::new(&[]); room];
        let n = packet.chunks_vectored(&mut slices);
        let joined: Vec<u8> = slices[..n].iter().flat_map(|s| s.to_vec()).collect();
        assert_eq!(n, room.min(4));
        assert_eq!(joined, &data[..joined.len()]);
        assert_eq!(joined.len(), [0, 10, 30, 60, 100, 100][room]);
    }
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn bytes_become_a_packet_and_bytes_again_without_a_copy() {
    let pool = pool();
    let bytes = Bytes::from(vec![7u8; 5000]);
    let mut packet = Packet::from_bytes(&pool, bytes.clone()).unwrap();
    assert_eq!(packet.first_segment().bytes().as_ptr(), bytes.as_ptr());
    packet.trim_front(10).unwrap();
    packet.trim_back(5).unwrap();
    let back = Bytes::from(packet);
    assert_eq!((back.as_ptr(), back.len()), (bytes[10..].as_ptr(), 4985));
    assert_empty(&pool);
}

#[test]
fn a_packet_of_one_segment_becomes_bytes_without_a_copy_and_goes_home_when_they_do() {
    let pool = pool();
    let packet = Packet::from_slice(&pool, &[1; 1500]).unwrap();
    let at = packet.first_segment().bytes().as_ptr();
    let bytes = Bytes::from(packet);
    assert_eq!((bytes.as_ptr(), bytes.len()), (at, 1500));
    let part = bytes.slice(100..200);
    drop(bytes);
    assert_eq!(pool.stats().clusters.current, 1);
    drop(part);
    assert_empty(&pool);
}

#[test]
fn copy_to_bytes_shares_storage_and_copies_inline_data() {
    let pool = pool();
    let mut packet = Packet::from_slice(&pool, &[1; 1500]).unwrap();
    let at = packet.first_segment().bytes().as_ptr();
    let bytes = packet.copy_to_bytes(700);
    assert_eq!(bytes.as_ptr(), at);
    assert_eq!(packet.len(), 800);
    let mut small = Chain::from_slice(&pool, &[2; 150]).unwrap();
    assert_eq!(small.copy_to_bytes(140), &[2; 140][..]);
    assert_eq!(small.len(), 10);
    drop((bytes, packet, small));
    assert_empty(&pool);
}

#[test]
fn an_appender_writes_into_the_tailroom_and_no_further() {
    let pool = pool();
    let mut packet = Packet::with_capacity(&pool, 300).unwrap();
    let room = packet.tailroom();
    let mut appender = Appender::new(&mut packet);
    assert_eq!(appender.remaining_mut(), room);
    appender.put_u32(0x0102_0304);
    appender.put_slice(&[5; 100]);
    assert_eq!(appender.remaining_mut(), room - 104);
    assert_eq!(appender.chain().len(), 104);
    assert_eq!(packet.read_array(0), Ok([1, 2, 3, 4, 5]));
    assert_eq!(packet.segment_count(), 1);
    drop(packet);
    assert_empty(&pool);
}

#[test]
#[should_panic(expected = "cannot advance")]
fn advancing_beyond_the_end_panics_as_the_trait_demands() {
    Packet::from_slice(&pool(), b"abc").unwrap().advance(4);
}
