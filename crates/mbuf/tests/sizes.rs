//! What things weigh.

use std::mem::size_of;

use mbuf::{Chain, Class, MSIZE, Packet, Pool};
use mbuf_testkit::{FailingPages, assert_empty};

#[test]
fn a_packet_is_one_pointer_and_so_is_perhaps_a_packet() {
    assert_eq!(size_of::<Packet>(), size_of::<usize>());
    assert_eq!(size_of::<Option<Packet>>(), size_of::<usize>());
    assert_eq!(size_of::<Chain>(), size_of::<usize>());
    assert_eq!(size_of::<Option<Chain>>(), size_of::<usize>());
    assert_eq!(size_of::<Pool>(), size_of::<usize>());
    assert!(size_of::<mbuf::OpError>() <= 4 * size_of::<usize>());
    assert_eq!(size_of::<mbuf::Meta>(), 56);
}

/// Bytes of pages per byte of the buffers they have room for, with many of a kind in use. Under Miri slabs are smaller.
#[cfg(not(miri))]
#[test]
fn slabs_add_less_than_two_percent() {
    type Make = (&'static str, usize, fn(&Pool) -> Packet);
    let make: [Make; 6] = [
        ("mbufs", MSIZE, |pool| Packet::new(pool).unwrap()),
        ("pairs", MSIZE + 2048, |pool| Packet::with_cluster(pool).unwrap()),
        ("pages", MSIZE + 4096, |pool| Packet::with_class(pool, Class::Page).unwrap()),
        ("9 KiB", MSIZE + 9216, |pool| Packet::with_class(pool, Class::Jumbo9).unwrap()),
        ("16 KiB", MSIZE + 16384, |pool| Packet::with_class(pool, Class::Jumbo16).unwrap()),
        ("small", MSIZE, |pool| Packet::from_slice(pool, b"small").unwrap()),
    ];
    for (what, bytes, make) in make {
        let pages = FailingPages::new(usize::MAX);
        let budget = pages.budget();
        let pool = Pool::builder().pages(pages).build().unwrap();
        let n = 4096;
        let packets: Vec<Packet> = (0..n).map(|_| make(&pool)).collect();
        let (pages, buffers) = (budget.bytes() as f64, pool.stats().bytes_total() as f64);
        let overhead = pages / buffers - 1.0;
        assert!(overhead < 0.02, "{what}: {:.2} % over the buffers", overhead * 100.0);
        // Slabs are taken some way ahead, but not far.
        let ahead = buffers / (n * bytes) as f64 - 1.0;
        assert!((0.0..0.5).contains(&ahead), "{what}: {:.2} % ahead", ahead * 100.0);
        drop(packets);
        assert_empty(&pool);
        pool.trim();
        assert_eq!(budget.bytes(), 0, "all pages go back");
    }
}
