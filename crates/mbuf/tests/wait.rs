//! Waiting: order, deadlines, cancellation, and that nobody waits for what cannot come.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use mbuf::{AllocCause, AllocError, Class, OpError, Packet, Pool, ReclaimKind, Resource, Wait};
use mbuf_testkit::{assert_empty, scaled};

/// Long enough for a thread to fall asleep; no result depends on it.
fn a_moment() {
    thread::sleep(Duration::from_millis(if cfg!(miri) { 1 } else { 20 }));
}

#[test]
fn a_free_on_another_thread_ends_a_wait() {
    for locked in [false, true] {
        let pool = Pool::builder().clusters(1).locked(locked).build().unwrap();
        let held = Packet::with_cluster(&pool).unwrap();
        thread::scope(|scope| {
            let waiter = scope.spawn(|| pool.wait(Wait::Forever, || Packet::with_cluster(&pool)).unwrap());
            while pool.stats().clusters.waited == Some(0) {
                thread::yield_now();
            }
            assert!(!waiter.is_finished());
            drop(held);
            drop(waiter.join().unwrap());
        });
        let stats = pool.stats();
        assert_eq!((stats.clusters.waited, stats.mbufs.waited, stats.memory_waited), (Some(1), Some(0), 0));
        assert_empty(&pool);
    }
}

#[test]
fn a_wait_ends_at_its_deadline_with_the_error_and_nothing_changed() {
    let pool = Pool::builder().mbufs(2).build().unwrap();
    let mut packet = Packet::from_slice(&pool, &[1; 1000]).unwrap();
    let other = Packet::new(&pool).unwrap();
    let before = packet.clone_bytes();
    let deadline = Instant::now() + Duration::from_millis(30);
    let error = pool.wait(Wait::Until(deadline), || packet.share()).unwrap_err();
    assert!(Instant::now() >= deadline);
    assert_eq!(error.to_string(), "no mbufs are free: the pool's limit of 2 is in use");
    assert_eq!(packet.clone_bytes(), before);
    // A deadline that has passed: tried all the same.
    drop(other);
    let past = Instant::now();
    let copy = pool.wait(Wait::Until(past), || packet.share()).unwrap();
    assert!(pool.wait(Wait::Until(past), || packet.share()).is_err());
    packet.append(copy.into_chain()).unwrap();
    drop(packet);
    assert_empty(&pool);
}

trait CloneBytes {
    fn clone_bytes(&self) -> Vec<u8>;
}

impl CloneBytes for Packet {
    fn clone_bytes(&self) -> Vec<u8> {
        self.segments().flat_map(|segment| segment.bytes().to_vec()).collect()
    }
}

#[test]
fn other_errors_and_those_of_other_pools_are_returned_at_once() {
    let (pool, dry) = (Pool::new(), Pool::builder().mbufs(0).build().unwrap());
    let mut packet = Packet::from_slice(&pool, b"abc").unwrap();
    let error = pool.wait(Wait::Forever, || packet.trim_front(4).map_err(OpError::from)).unwrap_err();
    assert!(matches!(error, OpError::Bounds(_)));
    let error: AllocError = pool.wait(Wait::Forever, || Packet::new(&dry)).unwrap_err();
    assert_eq!((error.resource, error.cause), (Resource::Mbuf, AllocCause::Limit(0)));
    drop(packet);
    assert_empty(&pool);
}

/// So many packets, or none.
fn some(pool: &Pool, n: usize) -> Result<Vec<Packet>, AllocError> {
    (0..n).map(|_| Packet::with_cluster(pool)).collect()
}

#[test]
fn what_no_free_could_bring_is_not_waited_for() {
    let pool = Pool::builder().clusters(2).build().unwrap();
    assert_eq!(pool.wait(Wait::Forever, || some(&pool, 3)).unwrap_err().cause, AllocCause::Limit(2));
    let none = Pool::builder().limit(Class::Jumbo9, 0).build().unwrap();
    let error = none.wait(Wait::Forever, || Packet::with_class(&none, Class::Jumbo9)).unwrap_err();
    assert_eq!(error.resource, Resource::Storage(Class::Jumbo9));
    assert_empty(&pool);
}

#[test]
fn an_operation_that_frees_something_itself_is_tried_again() {
    let pool = Pool::builder().clusters(4).build().unwrap();
    let mut kept: Vec<_> = (0..4).map(|_| Packet::with_cluster(&pool).unwrap()).collect();
    let packets = pool.wait(Wait::Forever, || {
        some(&pool, 3).inspect_err(|_| {
            // Makes room, but only after it was refused.
            kept.pop();
        })
    });
    assert_eq!((packets.unwrap().len(), kept.len()), (3, 1));
    drop(kept);
    assert_empty(&pool);
}

#[test]
fn a_waiter_that_takes_part_of_what_it_needs_sleeps_all_the_same() {
    let pool = Pool::builder().clusters(4).build().unwrap();
    let mut kept: Vec<_> = (0..3).map(|_| Packet::with_cluster(&pool).unwrap()).collect();
    let attempts = AtomicUsize::new(0);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            pool.wait(Wait::Forever, || {
                attempts.fetch_add(1, Ordering::Relaxed);
                some(&pool, 3)
            })
        });
        while pool.stats().clusters.waited == Some(0) {
            thread::yield_now();
        }
        let sleeps = (0..100).any(|_| {
            let before = attempts.load(Ordering::Relaxed);
            a_moment();
            attempts.load(Ordering::Relaxed) == before
        });
        kept.pop();
        kept.pop();
        assert_eq!(waiter.join().unwrap().unwrap().len(), 3);
        // Not before: a scope waits for its threads, whatever goes wrong.
        assert!(sleeps, "it tries for ever");
    });
    assert!(attempts.into_inner() <= 6);
    drop(kept);
    assert_empty(&pool);
}

#[test]
fn waiters_are_served_in_order_of_arrival() {
    let pool = Pool::builder().clusters(1).build().unwrap();
    let (order, waiters) = (Mutex::new(Vec::new()), scaled(8, 3));
    let held = Packet::with_cluster(&pool).unwrap();
    thread::scope(|scope| {
        for n in 0..waiters {
            let (pool, order) = (&pool, &order);
            scope.spawn(move || {
                let packet = pool.wait(Wait::Forever, || Packet::with_cluster(pool)).unwrap();
                order.lock().unwrap().push(n);
                drop(packet);
            });
            // The next one comes when this one stands in the queue.
            while pool.stats().clusters.waited <= Some(n as u64) {
                thread::yield_now();
            }
        }
        drop(held);
    });
    assert_eq!(order.into_inner().unwrap(), (0..waiters).collect::<Vec<_>>());
    assert_empty(&pool);
}

#[test]
fn a_newcomer_that_would_wait_does_not_overtake() {
    for class in Class::ALL {
        let pool = Pool::builder().limit(class, 1).build().unwrap();
        let held = Packet::with_class(&pool, class).unwrap();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut context = Context::from_waker(&waker);
        let mut first = pin!(pool.wait_async(|| Packet::with_class(&pool, class)));
        assert!(first.as_mut().poll(&mut context).is_pending());
        drop(held);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        // It was woken and has not run yet.
        let mut second = pin!(pool.wait_async(|| Packet::with_class(&pool, class)));
        assert!(second.as_mut().poll(&mut context).is_pending());
        let Poll::Ready(Ok(packet)) = first.as_mut().poll(&mut context) else { panic!("it was its turn") };
        assert!(second.as_mut().poll(&mut context).is_pending());
        drop(packet);
        let Poll::Ready(Ok(packet)) = second.as_mut().poll(&mut context) else { panic!("it was its turn") };
        // A call that does not wait finds every buffer that is free.
        let mut third = Box::pin(pool.wait_async(|| Packet::with_class(&pool, class)));
        assert!(third.as_mut().poll(&mut context).is_pending());
        drop(packet);
        drop(Packet::with_class(&pool, class).unwrap());
        assert!(third.as_mut().poll(&mut context).is_ready());
        // For its buffer, every time.
        assert_eq!((pool.stats().class(class).waited, pool.stats().mbufs.waited), (Some(3), Some(0)));
        assert_empty(&pool);
    }
}

#[test]
fn a_wait_within_a_wait_has_its_turn_too() {
    let pool = Pool::builder().clusters(1).build().unwrap();
    let held = Packet::with_cluster(&pool).unwrap();
    let waker = Waker::from(Arc::new(Woken::default()));
    let mut before = Box::pin(pool.wait_async(|| Packet::with_cluster(&pool)));
    assert!(before.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let runs = AtomicUsize::new(0);
    thread::scope(|scope| {
        // The outer one does not overtake; the inner one stands in the queue while the outer makes its first attempt.
        let waiter = scope.spawn(|| {
            pool.wait(Wait::Forever, || {
                runs.fetch_add(1, Ordering::Relaxed);
                let deadline = Instant::now() + Duration::from_secs(60);
                pool.wait(Wait::Until(deadline), || Packet::with_cluster(&pool))
            })
        });
        while pool.stats().clusters.waited != Some(2) {
            thread::yield_now();
        }
        drop((before, held));
        drop(waiter.join().unwrap().unwrap());
    });
    assert_eq!(runs.into_inner(), 1, "the inner one had its turn");
    assert_empty(&pool);
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_future_that_is_dropped_when_it_was_its_turn_passes_it_on() {
    let pool = Pool::builder().clusters(1).build().unwrap();
    let held = Packet::with_cluster(&pool).unwrap();
    let woken: Vec<_> = (0..3).map(|_| Arc::new(Woken::default())).collect();
    let mut futures: Vec<_> =
        woken.iter().map(|_| Box::pin(pool.wait_async(|| Packet::with_cluster(&pool)))).collect();
    for (future, woken) in futures.iter_mut().zip(&woken) {
        assert!(future.as_mut().poll(&mut Context::from_waker(&woken.clone().into())).is_pending());
    }
    let wakes = || woken.iter().map(|woken| woken.0.load(Ordering::Relaxed)).collect::<Vec<_>>();
    drop(held);
    assert_eq!(wakes(), [1, 0, 0], "one free wakes one");
    drop(futures.remove(0));
    assert_eq!(wakes(), [1, 1, 0]);
    // One that gives up before its turn.
    drop(futures.remove(1));
    assert_eq!(wakes(), [1, 1, 0]);
    let Poll::Ready(Ok(packet)) =
        futures[0].as_mut().poll(&mut Context::from_waker(&woken[1].clone().into()))
    else {
        panic!("it was its turn")
    };
    drop((futures, packet));
    // Nobody waits any more: the pool is as fast as before.
    assert_empty(&pool);
    drop(Packet::with_cluster(&pool).unwrap());
    assert_eq!(pool.stats().clusters.cached, 1);
}

#[test]
fn any_kind_of_buffer_can_be_waited_for() {
    type Take = fn(&Pool) -> Result<Packet, OpError>;
    let cases: [(&str, Take, Take); 5] = [
        ("an mbuf, from a pair", |p| Ok(Packet::with_cluster(p)?), |p| Ok(Packet::new(p)?)),
        ("a pair, from an mbuf", |p| Ok(Packet::new(p)?), |p| Ok(Packet::with_cluster(p)?)),
        ("a page", |p| Ok(Packet::with_class(p, Class::Page)?), |p| Ok(Packet::with_class(p, Class::Page)?)),
        ("bytes", |p| Ok(Packet::with_class(p, Class::Jumbo9)?), |p| Ok(Packet::with_class(p, Class::Page)?)),
        (
            "16 KiB",
            |p| Ok(Packet::with_class(p, Class::Jumbo16)?),
            |p| Ok(Packet::with_class(p, Class::Jumbo16)?),
        ),
    ];
    for (name, hold, want) in cases {
        let builder = Pool::builder().mbufs(1).clusters(1).jumbo_pages(1).jumbo_16k(1);
        let pool =
            builder.budget(if name == "bytes" { 256 + 9 * 1024 + 32 } else { 1 << 20 }).build().unwrap();
        let held = hold(&pool).unwrap();
        let (sent, received) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| sent.send(pool.wait(Wait::Forever, || want(&pool)).unwrap()).unwrap());
            a_moment();
            assert!(received.try_recv().is_err(), "{name}");
            drop(held);
            let packet =
                received.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|e| panic!("{name}: {e}"));
            drop(packet);
        });
        assert_empty(&pool);
    }
}

#[test]
fn a_raised_limit_ends_a_wait() {
    let pool = Pool::builder().budget(256 + 2048 + 32).build().unwrap();
    let held = Packet::with_cluster(&pool).unwrap();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| pool.wait(Wait::Forever, || Packet::with_cluster(&pool)).unwrap());
        while pool.stats().memory_waited == 0 {
            thread::yield_now();
        }
        pool.set_budget(None).unwrap();
        drop(waiter.join().unwrap());
    });
    drop(held);
    assert_empty(&pool);
}

/// Threads that take and free at the limit, waiting for what they cannot have: all come to their end.
#[test]
fn no_wake_up_is_lost_in_a_crowd() {
    for locked in [false, true] {
        let pool = Pool::builder().clusters(3).mbufs(5).locked(locked).build().unwrap();
        let (threads, rounds) = (scaled(6, 3), scaled(3000, 20));
        let given_up = AtomicUsize::new(0);
        let waited = || pool.stats().clusters.waited.unwrap() + pool.stats().mbufs.waited.unwrap();
        // Until somebody waits there is nothing to be had, however soon a thread would be done.
        let all: Vec<_> = (0..5).map(|_| Packet::new(&pool).unwrap()).collect();
        thread::scope(|scope| {
            for seed in 0..threads {
                let (pool, given_up) = (&pool, &given_up);
                scope.spawn(move || {
                    for round in 0..rounds {
                        let kind = (seed + round) % 4;
                        let wait = if kind == 3 {
                            Wait::Until(Instant::now() + Duration::from_micros(50))
                        } else {
                            Wait::Forever
                        };
                        let packet = pool.wait(wait, || match kind {
                            0 => Packet::new(pool).map_err(OpError::from),
                            1 => Packet::from_slice(pool, &[1; 4000]),
                            _ => Packet::with_cluster(pool).map_err(OpError::from),
                        });
                        if packet.is_err() {
                            assert_eq!(kind, 3);
                            given_up.fetch_add(1, Ordering::Relaxed);
                        }
                        // With the packet: the others run short.
                        if round % 4 == 0 {
                            thread::yield_now();
                        }
                    }
                });
            }
            while waited() == 0 {
                thread::yield_now();
            }
            drop(all);
        });
        assert_empty(&pool);
        println!("{} of {} operations waited, {} in vain", waited(), threads * rounds, given_up.into_inner());
    }
}

#[test]
fn hooks_run_in_order_and_before_an_operation_fails_or_waits() {
    let pool = Pool::builder().clusters(1).build().unwrap();
    let called = Arc::new(Mutex::new(Vec::new()));
    let hook = |kind, priority, name: &'static str| {
        let called = called.clone();
        pool.on_reclaim(kind, priority, move || called.lock().unwrap().push(name))
    };
    let guards = [
        hook(ReclaimKind::Memory, -5, "memory"),
        hook(ReclaimKind::Interface, 0, "interface"),
        hook(ReclaimKind::Protocol, 7, "second"),
        hook(ReclaimKind::Protocol, -1, "first"),
        hook(ReclaimKind::Protocol, 7, "third"),
    ];
    let take_called = || std::mem::take(&mut *called.lock().unwrap());
    let held = Packet::with_cluster(&pool).unwrap();
    assert!(pool.wait(Wait::No, || Packet::with_cluster(&pool)).is_err());
    assert!(take_called().is_empty());
    assert!(pool.wait(Wait::Reclaim, || Packet::with_cluster(&pool)).is_err());
    assert_eq!(take_called(), ["first", "second", "third", "interface"]);
    let soon = Instant::now() + Duration::from_millis(2);
    assert!(pool.wait(Wait::Until(soon), || Packet::with_cluster(&pool)).is_err());
    assert_eq!(take_called().len(), 4, "once");
    assert!(pool.reclaim());
    assert_eq!((take_called().len(), pool.stats().reclaims), (4, 3));
    drop(held);
    assert!(pool.low_memory() > 0, "memory went back to the system");
    assert_eq!(take_called(), ["first", "second", "third", "interface", "memory"]);
    drop(guards);
    pool.low_memory();
    assert!(take_called().is_empty());
}

#[test]
fn a_hook_may_allocate_free_reclaim_panic_and_unregister() {
    let pool = Pool::builder().clusters(2).build().unwrap();
    let kept = Arc::new(Mutex::new(vec![Packet::with_cluster(&pool).unwrap()]));
    let inner = Arc::new(AtomicBool::new(false));
    let own = Arc::new(Mutex::new(None));
    let panics = pool.on_reclaim(ReclaimKind::Protocol, 0, || {
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    let last = {
        let (pool_there, inner, own) = (pool.clone(), inner.clone(), own.clone());
        pool.on_reclaim(ReclaimKind::Protocol, 1, move || {
            let packet = pool_there.wait(Wait::Reclaim, || Packet::with_cluster(&pool_there));
            inner.store(pool_there.reclaim(), Ordering::Relaxed);
            drop(packet);
            drop(own.lock().unwrap().take());
            kept.lock().unwrap().clear();
        })
    };
    *own.lock().unwrap() = Some(last);
    let held = Packet::with_cluster(&pool).unwrap();
    let second = pool.wait(Wait::Reclaim, || Packet::with_cluster(&pool)).unwrap();
    assert!(!inner.load(Ordering::Relaxed), "never re-entered");
    assert_eq!((pool.stats().reclaims, pool.stats().reclaim_panics), (1, 1));
    assert!(pool.wait(Wait::Reclaim, || Packet::with_cluster(&pool)).is_err(), "the second hook is gone");
    assert_eq!(pool.stats().reclaim_panics, 2);
    drop((held, second, panics));
    assert_empty(&pool);
}
