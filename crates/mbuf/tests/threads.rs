//! Packets and pools between threads, at the end of threads, and after the pool.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;

use mbuf::{Class, Packet, PacketQueue, Pool, Resource};
use mbuf_testkit::{
    Counted, Drops, FailingPages, Hold, Label, PanicOnDrop, PanicTag, Rng, assert_empty, in_use, scaled,
};

#[test]
fn packets_are_freed_on_other_threads_than_those_that_made_them() {
    let pool = Pool::builder().mbufs(200).clusters(50).build().unwrap();
    let (send, receive) = mpsc::sync_channel::<Packet>(16);
    let maker = {
        let pool = pool.clone();
        thread::spawn(move || {
            for i in 0..scaled(20_000, 60) {
                // The limit is exact, so there are times when it is reached.
                let mut packet = loop {
                    match Packet::with_cluster(&pool) {
                        Ok(packet) => break packet,
                        Err(_) => thread::yield_now(),
                    }
                };
                packet.extend_from_slice(&[i as u8; 100]).unwrap();
                send.send(packet).unwrap();
            }
        })
    };
    for (i, packet) in receive.into_iter().enumerate() {
        assert_eq!(packet, [i as u8; 100]);
    }
    maker.join().unwrap();
    assert_empty(&pool);
}

#[test]
fn sharers_on_many_threads_read_write_and_drop() {
    let pool = Pool::new();
    let threads = if cfg!(miri) { 3 } else { 4 };
    for round in 0..scaled(200, 4) {
        let mut packet = Packet::with_class(&pool, Class::ALL[round % 4]).unwrap();
        packet.extend_from_slice(&[round as u8; 700]).unwrap();
        let drops = Drops::new();
        packet.append(Packet::from_owner(&pool, Counted::new(vec![7; 300], &drops)).unwrap()).unwrap();
        let expected = packet.to_vec();
        let barrier = Arc::new(Barrier::new(threads));
        let handles: Vec<_> = (0..threads)
            .map(|i| {
                let (mut mine, expected, barrier) =
                    (packet.share().unwrap(), expected.clone(), barrier.clone());
                thread::spawn(move || {
                    barrier.wait();
                    assert_eq!(mine, expected);
                    let copy = mine.share().unwrap();
                    mine.write_at(650, &[i as u8; 100]).unwrap();
                    assert_eq!(copy, expected);
                    drop(mine);
                    let tail = copy.share_range(700..).unwrap();
                    drop(copy);
                    assert_eq!(tail, [7; 300]);
                })
            })
            .collect();
        drop(packet);
        for handle in handles {
            handle.join().unwrap();
        }
        assert_eq!(drops.count(), 1);
        assert_empty(&pool);
    }
}

#[test]
fn one_packet_is_shared_from_by_many_threads_at_once() {
    let pool = Pool::new();
    let mut packet = Packet::from_slice(&pool, &[3; 6000]).unwrap();
    packet.set_tag(Label(4));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut copies = Vec::new();
                for i in 0..scaled(500, 10) {
                    copies.push(packet.share_range(i % 5000..).unwrap());
                    assert_eq!(packet.sum(..).unwrap(), mbuf::checksum::sum(&[3; 6000]));
                    if i % 7 == 0 {
                        copies.clear();
                    }
                }
                assert!(copies.iter().all(|copy| copy.tag() == Some(&Label(4))));
            });
        }
    });
    assert_eq!(packet.share_count(), 1);
    assert!(packet.is_writable());
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn a_tail_is_written_while_others_read_what_is_in_front_of_it() {
    let pool = Pool::new();
    let mut writer = Packet::with_cluster(&pool).unwrap();
    writer.extend_from_slice(&[1; 50]).unwrap();
    let reader = writer.share().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..scaled(2000, 20) {
                assert_eq!(reader, [1; 50]);
            }
        });
        while writer.tailroom() > 0 && writer.len() < if cfg!(miri) { 80 } else { 5000 } {
            writer.extend_from_slice(&[2]).unwrap();
        }
    });
    assert_eq!(writer.segment_count(), 1);
    drop((writer, reader));
    assert_empty(&pool);
}

#[test]
fn packets_outlive_every_handle_of_their_pool_and_still_do_everything() {
    let pages = FailingPages::new(usize::MAX);
    let budget = pages.budget();
    let pool = Pool::builder().mbufs(60).clusters(20).pages(pages).build().unwrap();
    let drops = Drops::new();
    let mut packet = Packet::from_slice(&pool, &[1; 3000]).unwrap();
    packet.append(Packet::from_owner(&pool, Counted::new(vec![2; 500], &drops)).unwrap()).unwrap();
    // Free buffers in the caches of this thread and another.
    drop(Hold::all_but(&pool, Resource::Mbuf, 0));
    thread::spawn({
        let pool = pool.clone();
        move || drop(Packet::with_cluster(&pool).unwrap())
    })
    .join()
    .unwrap();
    drop(pool);
    let mut expected = [vec![1; 3000], vec![2; 500]].concat();
    let mut all = Vec::new();
    for _ in 0..3 {
        packet.prepend_slice(&[3; 100]).unwrap();
        expected.splice(0..0, [3; 100]);
        all.push(packet.share().unwrap());
        all.push(packet.duplicate().unwrap());
        let tail = packet.split_off(1700).unwrap();
        packet.append(tail).unwrap();
        packet.write_at(5, b"write").unwrap();
        expected[5..10].copy_from_slice(b"write");
        packet.make_contiguous(2500).unwrap();
        packet.extend_from_slice(&[4; 300]).unwrap();
        expected.extend([4; 300]);
        assert_eq!(packet, expected);
        assert_eq!(packet.check(), Ok(()));
    }
    // The limits are still there.
    while let Ok(copy) = packet.duplicate() {
        all.push(copy);
        assert!(all.len() < 60);
    }
    all.clear();
    packet.defragment().unwrap();
    assert_eq!(packet, expected);
    thread::spawn(move || {
        let copy = packet.share().unwrap();
        drop(packet);
        drop(copy);
    })
    .join()
    .unwrap();
    assert_eq!(drops.count(), 1);
    assert_eq!((budget.out(), budget.bytes()), (0, 0), "the last packet gives the pool's memory back");
}

#[test]
fn a_pool_can_be_dropped_on_any_thread_while_others_use_its_packets() {
    for _ in 0..scaled(100, 3) {
        let pages = FailingPages::new(usize::MAX);
        let budget = pages.budget();
        let pool = Pool::builder().pages(pages).build().unwrap();
        let barrier = Arc::new(Barrier::new(3));
        let users: Vec<_> = (0..2)
            .map(|i| {
                let mut packet = Packet::from_slice(&pool, &[i; 2500]).unwrap();
                let barrier = barrier.clone();
                thread::spawn(move || {
                    barrier.wait();
                    for _ in 0..20 {
                        let copy = packet.share().unwrap();
                        packet.prepend_slice(&[i; 300]).unwrap();
                        packet.trim_front(300).unwrap();
                        assert_eq!(copy, packet);
                    }
                })
            })
            .collect();
        barrier.wait();
        drop(pool);
        for user in users {
            user.join().unwrap();
        }
        assert_eq!(budget.out(), 0);
    }
}

thread_local! {
    static KEPT: RefCell<Vec<Packet>> = const { RefCell::new(Vec::new()) };
    static LATE: RefCell<Option<Late>> = const { RefCell::new(None) };
}

/// Uses its packet and its pool while its thread ends.
struct Late {
    packet: Packet,
    pool: Option<Pool>,
}

impl Drop for Late {
    fn drop(&mut self) {
        let copy = self.packet.share().unwrap();
        self.packet.prepend_slice(&[9; 2000]).unwrap();
        if let Some(pool) = &self.pool {
            drop(Packet::from_slice(pool, &[1; 5000]).unwrap());
        }
        drop(copy);
    }
}

#[test]
fn packets_in_thread_locals_go_home_when_the_thread_ends() {
    for keep_pool in [true, false] {
        // Whichever thread-local is there first: the library's cache or ours.
        for ours_first in [true, false] {
            let pages = FailingPages::new(usize::MAX);
            let budget = pages.budget();
            let pool = Pool::builder().pages(pages).build().unwrap();
            let other = pool.clone();
            thread::spawn(move || {
                if ours_first {
                    KEPT.with_borrow_mut(|kept| kept.clear());
                    LATE.with_borrow_mut(|late| *late = None);
                }
                let mut packet = Packet::from_slice(&other, &[1; 9000]).unwrap();
                packet.set_tag(Label(1));
                let copy = packet.share().unwrap();
                KEPT.with_borrow_mut(|kept| kept.extend([packet, copy]));
                let packet = Packet::from_slice(&other, &[1; 300]).unwrap();
                let pool = keep_pool.then(|| other.clone());
                LATE.with_borrow_mut(|late| *late = Some(Late { packet, pool }));
            })
            .join()
            .unwrap();
            assert_empty(&pool);
            pool.trim();
            assert_eq!(budget.out(), 0);
        }
    }
}

#[test]
fn a_long_chain_with_owners_and_tags_that_panic_is_freed_to_the_end() {
    let pool = Pool::new();
    let drops = Drops::new();
    let n = scaled(2000, 30);
    let mut packet = Packet::from_slice(&pool, &[1; 10]).unwrap();
    packet.set_tag(PanicTag);
    for _ in 0..n {
        packet.append(Packet::from_owner(&pool, Counted::new(vec![1; 300], &drops)).unwrap()).unwrap();
    }
    let bad = PanicOnDrop(Counted::new(vec![2; 300], &drops));
    packet.append(Packet::from_owner(&pool, bad).unwrap()).unwrap();
    for _ in 0..n {
        packet.append(Packet::from_owner(&pool, Counted::new(vec![1; 300], &drops)).unwrap()).unwrap();
    }
    let ended = thread::spawn(move || drop(packet)).join();
    assert!(ended.is_err());
    assert_eq!(drops.count(), 2 * n + 1);
    assert_empty(&pool);
}

#[test]
fn a_destructor_may_use_the_pool() {
    struct Greedy {
        pool: Pool,
        bytes: [u8; 4],
        done: Arc<AtomicBool>,
    }
    impl AsRef<[u8]> for Greedy {
        fn as_ref(&self) -> &[u8] {
            &self.bytes
        }
    }
    impl Drop for Greedy {
        fn drop(&mut self) {
            let mut packet = Packet::from_slice(&self.pool, &[1; 5000]).unwrap();
            let copy = packet.share().unwrap();
            packet.write_at(0, b"x").unwrap();
            drop((packet, copy));
            self.done.store(true, Ordering::Relaxed);
        }
    }
    let pool = Pool::new();
    let done = Arc::new(AtomicBool::new(false));
    let owner = Greedy { pool: pool.clone(), bytes: [0; 4], done: done.clone() };
    drop(Packet::from_owner(&pool, owner).unwrap());
    assert!(done.load(Ordering::Relaxed));
    assert_empty(&pool);
    // It may even be what keeps the pool alive.
    let pages = FailingPages::new(usize::MAX);
    let budget = pages.budget();
    let pool = Pool::builder().pages(pages).build().unwrap();
    let owner = Greedy { pool: pool.clone(), bytes: [0; 4], done };
    let mut packet = Packet::from_owner(&pool, owner).unwrap();
    packet.append(Packet::from_slice(&pool, &[1; 5000]).unwrap()).unwrap();
    drop(pool);
    drop(packet);
    assert_eq!(budget.out(), 0);
}

/// Half a million segments: as deep as no stack is.
#[test]
fn a_chain_of_half_a_million_segments_is_made_and_freed_without_recursion() {
    let n = if cfg!(miri) { 2000 } else { 500_000 };
    let pool = Pool::new();
    let small = thread::Builder::new().stack_size(256 << 10);
    let handle = small.spawn({
        let pool = pool.clone();
        move || {
            let mut packet = Packet::from_slice(&pool, &vec![5; n]).unwrap();
            packet.shatter(std::iter::repeat(1)).unwrap();
            assert_eq!((packet.len(), packet.segment_count()), (n, n));
            let copy = packet.share().unwrap();
            let tail = packet.split_off(n / 2).unwrap();
            assert_eq!(tail.len() + packet.len(), copy.len());
            drop(tail);
            packet.truncate(1);
            drop(copy.into_chain());
            drop(packet);
        }
    });
    handle.unwrap().join().unwrap();
    assert_empty(&pool);
}

#[test]
fn a_long_queue_is_freed_without_recursion() {
    let n = if cfg!(miri) { 500 } else { 300_000 };
    let pool = Pool::new();
    let small = thread::Builder::new().stack_size(128 << 10);
    let handle = small.spawn({
        let pool = pool.clone();
        move || {
            let queue: PacketQueue = (0..n).map(|_| Packet::new(&pool).unwrap()).collect();
            assert_eq!(queue.len(), n);
        }
    });
    handle.unwrap().join().unwrap();
    assert_empty(&pool);
}

#[test]
fn a_limit_is_exact_whichever_threads_have_the_free_buffers() {
    let pool = Pool::builder().mbufs(64).clusters(32).build().unwrap();
    let (barrier, done) = (Barrier::new(3), Barrier::new(3));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                // All buffers pass through each thread's caches, and stay there.
                let held = (0..10).map(|_| Packet::with_cluster(&pool).unwrap()).collect::<Vec<_>>();
                drop(held);
                barrier.wait();
                done.wait();
            });
        }
        barrier.wait();
        let pairs = Hold::all_but(&pool, Resource::Storage(Class::Cluster), 0);
        assert_eq!(pairs.len(), 32);
        assert_eq!(Hold::all_but(&pool, Resource::Mbuf, 0).len(), 32);
        done.wait();
    });
    assert_empty(&pool);
}

#[test]
fn threads_that_do_everything_at_once_leave_the_pool_empty() {
    everything_at_once(false);
}

/// As where there are no barriers between threads.
#[test]
fn threads_that_do_everything_at_once_leave_a_locked_pool_empty() {
    everything_at_once(true);
}

fn everything_at_once(locked: bool) {
    let pool = Pool::builder().mbufs(600).clusters(100).jumbo_pages(20).locked(locked).build().unwrap();
    let exchange: Mutex<Vec<(Packet, Vec<u8>)>> = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for seed in 0..3 {
            let (pool, exchange) = (&pool, &exchange);
            scope.spawn(move || {
                let mut rng = Rng::new(seed);
                for _ in 0..scaled(3000, 40) {
                    let taken = exchange.lock().unwrap().pop();
                    let Some((mut packet, mut bytes)) = taken.filter(|_| rng.below(4) > 0) else {
                        let bytes = vec![rng.word() as u8; rng.below(3000)];
                        if let Ok(packet) = Packet::from_slice(pool, &bytes) {
                            exchange.lock().unwrap().push((packet, bytes));
                        }
                        continue;
                    };
                    assert_eq!(packet, bytes);
                    assert_eq!(packet.check(), Ok(()));
                    match rng.below(5) {
                        0 => {
                            if let Ok(copy) = packet.share() {
                                exchange.lock().unwrap().push((copy, bytes.clone()));
                            }
                        }
                        1 => {
                            let at = rng.below(bytes.len() + 1);
                            if let Ok(tail) = packet.split_off(at) {
                                let tail_bytes = bytes.split_off(at);
                                exchange.lock().unwrap().push((tail, tail_bytes));
                            }
                        }
                        2 if !bytes.is_empty() => {
                            let at = rng.below(bytes.len());
                            if packet.write_at(at, &[0x77]).is_ok() {
                                bytes[at] = 0x77;
                            }
                        }
                        3 => {
                            if packet.extend_from_slice(&[1; 33]).is_ok() {
                                bytes.extend([1; 33]);
                            }
                        }
                        _ => continue,
                    }
                    exchange.lock().unwrap().push((packet, bytes));
                }
            });
        }
    });
    for (packet, bytes) in exchange.into_inner().unwrap() {
        assert_eq!(packet, bytes);
    }
    assert_empty(&pool);
}

#[test]
fn a_panic_in_the_middle_of_an_operation_loses_nothing() {
    let pool = Pool::new();
    let bytes = Packet::from_slice(&pool, &[1; 50]).unwrap();
    // The copy routine panics when half of the packet is there.
    let result = catch_unwind(AssertUnwindSafe(|| {
        Packet::copy_with(&pool, 20_000, 0, |at, _| assert!(at < 10_000, "enough"))
    }));
    assert!(result.is_err());
    assert_eq!(in_use(&pool).mbufs, 1);
    // Sizes of segments come from the user, too.
    let mut packet = bytes.duplicate().unwrap();
    let result = catch_unwind(AssertUnwindSafe(|| {
        packet.shatter((0..).map(|i| if i < 5 { 3 } else { panic!("no more sizes") }))
    }));
    assert!(result.is_err());
    assert_eq!(packet, [1; 50]);
    assert_eq!((packet.check(), packet.segment_count()), (Ok(()), 1));
    drop((packet, bytes));
    assert_empty(&pool);
}
