//! What was once wrong with limits, waiting and reservations, each a test: user code at awkward moments, zones that end,
//! brakes, sharing at the limit.
#![allow(unsafe_code)]
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use mbuf::{AllocError, Class, Packet, Pool, ReclaimKind, Wait};
use mbuf_testkit::for_ever;
use mbuf_zone::{Arena, Lifecycle, ObjectZone};

/// Times are those of a processor. Miri takes longer.
const SLOWER: u32 = if cfg!(miri) { 60 } else { 1 };

fn within(what: &str, secs: u64, f: impl FnOnce() + Send + 'static) {
    let (tx, rx) = mpsc::channel();
    thread::spawn(move || {
        f();
        tx.send(()).ok();
    });
    match rx.recv_timeout(SLOWER * Duration::from_secs(secs)) {
        Ok(()) => {}
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what}: hangs"),
        Err(_) => panic!("{what}: panicked"),
    }
}

fn clusters(pool: &Pool, n: usize) -> Vec<Packet> {
    (0..n).map(|_| Packet::with_cluster(pool).unwrap()).collect()
}
fn grab(pool: &Pool) -> Vec<Packet> {
    std::iter::from_fn(|| Packet::with_cluster(pool).ok()).collect()
}

#[derive(Default)]
struct Woken(AtomicUsize);
impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
type Fut<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// 1. "What it keeps is out of the reach of this pool, in use or free ... a use gets its own share back."
#[test]
fn sharing_does_not_lose_a_reservation() {
    let pool = Pool::builder().clusters(10).build().unwrap();
    let rx = pool.reservation("rx").clusters(4).build().unwrap();
    let rest = clusters(&pool, 6);
    for mut p in clusters(&rx, 4) {
        p.extend(1500).unwrap().fill(7);
        let copy = p.share().unwrap();
        drop(p);
        drop(copy);
    }
    let stolen = grab(&pool);
    assert_eq!(stolen.len(), 0, "pool got what rx keeps; reserved says {}", pool.stats().clusters.reserved);
    assert_eq!(grab(&rx).len(), 4);
    drop(rest);
}

/// 2. A budget that is lowered and raised again does not cost a reservation its share.
#[test]
fn a_brake_does_not_lose_a_reservation() {
    let each = 256 + 2048 + 32;
    let pool = Pool::builder().budget(10 * each).build().unwrap();
    let rx = pool.reservation("rx").clusters(4).build().unwrap();
    let rest = clusters(&pool, 6);
    let own = clusters(&rx, 4);
    pool.set_budget(Some(5 * each)).unwrap();
    drop(own);
    pool.set_budget(Some(10 * each)).unwrap();
    let stolen = grab(&pool);
    let got = grab(&rx);
    assert_eq!((stolen.len(), got.len()), (0, 4), "(pool, rx); reserved {}", pool.stats().clusters.reserved);
    drop(rest);
}

/// 3. A reservation that ends gives its share back: who waits has to hear of it.
#[test]
fn a_waiter_hears_of_a_reservation_that_ends() {
    for kind in ["mbufs", "page", "clusters"] {
        let pool = Pool::builder().mbufs(4).jumbo_pages(2).clusters(2).build().unwrap();
        let rx = match kind {
            "mbufs" => pool.reservation("rx").mbufs(3),
            "page" => pool.reservation("rx").buffers(Class::Page, 1),
            _ => pool.reservation("rx").clusters(1),
        }
        .build()
        .unwrap();
        let take = move |pool: &Pool| match kind {
            "mbufs" => Packet::new(pool),
            "page" => Packet::with_class(pool, Class::Page),
            _ => Packet::with_cluster(pool),
        };
        let held = take(&pool).unwrap();
        let p = pool.clone();
        let w = thread::spawn(move || {
            let until = Instant::now() + SLOWER * Duration::from_secs(3);
            let t = Instant::now();
            let r = p.wait(Wait::Until(until), || take(&p));
            (r.is_ok(), t.elapsed())
        });
        thread::sleep(Duration::from_millis(200));
        drop(rx);
        let r = w.join().unwrap();
        assert!(r.0 && r.1 < SLOWER * Duration::from_secs(2), "{kind}: not woken: {r:?}");
        drop(held);
    }
}

/// 4a. Memory that a trim gives back is heard of by who waits for memory.
#[test]
fn a_waiter_for_memory_hears_of_a_trim() {
    let memory = for_ever(256 << 10);
    let pool = Pool::builder().pages(Arena::new(memory)).build().unwrap();
    let held = Packet::new(&pool).unwrap();
    let all: Vec<_> = std::iter::from_fn(|| Packet::new(&pool).ok()).collect();
    assert!(all.len() > 50);
    let p = pool.clone();
    let w = thread::spawn(move || {
        p.wait(Wait::Until(Instant::now() + SLOWER * Duration::from_secs(3)), || {
            Packet::with_class(&p, Class::Jumbo16)
        })
        .is_ok()
    });
    while pool.stats().memory_waited == 0 {
        thread::yield_now();
    }
    thread::sleep(Duration::from_millis(100));
    drop(all);
    thread::sleep(Duration::from_millis(100));
    assert!(pool.trim() > 100_000);
    assert!(w.join().unwrap(), "and who waited was not told");
    drop(held);
}

/// 4b. Who waits for memory when nobody has a buffer any more gets the error, and does not sleep for ever.
#[test]
fn hopeless_is_noticed_when_the_last_buffer_goes_to_an_open_cache() {
    let memory = for_ever(256 << 10);
    let pool = Pool::builder().pages(Arena::new(memory)).build().unwrap();
    let mut all = grab(&pool);
    let n = all.len();
    all.truncate(n - 20); // this thread's cache is open
    let p = pool.clone();
    let w = thread::spawn(move || {
        let t = Instant::now();
        let r = p.wait(Wait::Until(t + SLOWER * Duration::from_secs(3)), || {
            Packet::with_class(&p, Class::Jumbo16)
        });
        (r.is_ok(), t.elapsed())
    });
    while pool.stats().memory_waited == 0 {
        thread::yield_now();
    }
    thread::sleep(Duration::from_millis(100));
    drop(all);
    let r = w.join().unwrap();
    assert!(
        r.1 < SLOWER * Duration::from_secs(2),
        "slept though nobody has a buffer: {r:?}, in use {}",
        pool.stats().mbufs.current
    );
}

/// 5. Wakers run without locks: one that allocates at the limit while another thread's trim takes pairs apart.
#[test]
fn a_waker_may_allocate_while_pairs_are_taken_apart() {
    within("waker allocates in trim", 5, || {
        struct Greedy(Pool, AtomicUsize);
        impl Wake for Greedy {
            fn wake(self: Arc<Self>) {
                let got = grab(&self.0);
                self.1.fetch_add(1 + got.len(), Ordering::Relaxed);
            }
        }
        let pool = Pool::builder().clusters(2).build().unwrap();
        let held = Packet::with_cluster(&pool).unwrap();
        let p = pool.clone();
        let mut w: Fut<_> =
            Box::pin(pool.wait_async(move || {
                Ok::<_, AllocError>((Packet::with_cluster(&p)?, Packet::with_cluster(&p)?))
            }));
        let greedy = Arc::new(Greedy(pool.clone(), AtomicUsize::new(0)));
        let waker = Waker::from(greedy.clone());
        assert!(w.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        pool.trim();
        drop(held);
        pool.trim();
        assert!(greedy.1.load(Ordering::Relaxed) > 0, "nobody was woken");
        drop(w);
    });
}

/// 6. A cache list swept while pairs are taken apart drops what closed zones own: user code under `moving`.
#[test]
fn a_sweep_while_pairs_are_taken_apart_may_run_the_users_code() {
    within("sweep in trim", 5, || {
        struct Life(Pool, Arc<AtomicUsize>);
        impl Lifecycle<u8> for Life {
            fn init(&self) -> Option<u8> {
                Some(1)
            }
        }
        impl Drop for Life {
            fn drop(&mut self) {
                self.1.fetch_add(grab(&self.0).len(), Ordering::Relaxed);
            }
        }
        let pool = Pool::builder().mbufs(4).clusters(4).build().unwrap();
        let p = pool.clone();
        thread::spawn(move || drop(clusters(&p, 4))).join().unwrap();
        let had = Arc::new(AtomicUsize::new(0));
        for _ in 0..16 {
            let zone = ObjectZone::<u8>::builder().objects(Life(pool.clone(), had.clone()));
            drop(zone.get().unwrap());
            drop(zone);
        }
        // All mbufs are parked in pairs: one is taken apart. This thread had no cache for the pool, and looks through its list
        // of caches when it gets one.
        drop(Packet::new(&pool).unwrap());
        assert!(had.load(Ordering::Relaxed) > 0, "no lifecycle was dropped, or it had nothing");
    });
}

/// 7. "Unregisters a reclaim hook when dropped."
#[test]
fn a_guard_unregisters_though_its_reservation_is_gone() {
    let pool = Pool::builder().clusters(1).build().unwrap();
    let rx = pool.reservation("rx").build().unwrap();
    let runs = Arc::new(AtomicUsize::new(0));
    let count = runs.clone();
    let guard = rx.on_reclaim(ReclaimKind::Protocol, 0, move || {
        count.fetch_add(1, Ordering::Relaxed);
    });
    drop(rx);
    drop(guard);
    pool.reclaim();
    assert_eq!(runs.load(Ordering::Relaxed), 0, "the hook still runs");
    assert_eq!(Arc::strong_count(&runs), 1, "and is still owned");
}

/// 8. Counters do not go below nothing.
#[test]
fn denied_does_not_underflow() {
    let pool = Pool::builder().clusters(3).build().unwrap();
    let a = Packet::from_slice(&pool, &[1; 1000]).unwrap();
    let b = a.share().unwrap();
    let c = Packet::with_cluster(&pool).unwrap();
    let p = pool.clone();
    let mut w: Fut<_> = Box::pin(
        pool.wait_async(move || (0..3).map(|_| Packet::with_cluster(&p)).collect::<Result<Vec<_>, _>>()),
    );
    let waker = Waker::from(Arc::new(Woken::default()));
    assert!(w.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let before = pool.stats().clusters.denied;
    let mut a = Some(a);
    for _ in 0..1 {
        pool.wait(Wait::Until(Instant::now()), || {
            drop(a.take());
            Ok::<_, AllocError>(())
        })
        .unwrap();
    }
    let after = pool.stats().clusters.denied;
    assert!(after >= before, "denied went from {before} to {after}");
    drop((b, c, w));
}

/// 9. An allocation from another pool that has free buffers, inside an operation that waits here, is not refused.
#[test]
fn politeness_is_about_one_pool() {
    let a = Pool::builder().clusters(2).build().unwrap();
    let b = Pool::builder().clusters(3).build().unwrap();
    let waker = Waker::from(Arc::new(Woken::default()));
    let pend = |pool: &Pool, n: usize| {
        let held = Packet::with_cluster(pool).unwrap();
        let p = pool.clone();
        let mut w: Fut<_> = Box::pin(
            pool.wait_async(move || (0..n).map(|_| Packet::with_cluster(&p)).collect::<Result<Vec<_>, _>>()),
        );
        assert!(w.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        (held, w)
    };
    let (_w1, _w2) = (pend(&a, 2), pend(&b, 3));
    // b has two free clusters. Nobody waits for b here: a call that does not wait.
    let r = a.wait(Wait::Until(Instant::now()), || Packet::with_cluster(&b));
    assert!(r.is_ok(), "{:?}", r.map(|_| ()).map_err(|e| e.to_string()));
}

/// 12. Two waiters of different kinds, each of which takes part of what it needs, sleep.
#[test]
fn waiters_of_different_kinds_do_not_keep_each_other_awake() {
    let pool = Pool::builder().mbufs(4).clusters(2).build().unwrap();
    let (a, b, c) = (
        Packet::with_cluster(&pool).unwrap(),
        Packet::with_cluster(&pool).unwrap(),
        Packet::new(&pool).unwrap(),
    );
    let (n1, n2) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let until = Instant::now() + SLOWER * Duration::from_millis(1500);
    thread::scope(|s| {
        let w2 = s.spawn(|| {
            pool.wait(Wait::Until(until), || {
                n1.fetch_add(1, Ordering::Relaxed);
                Ok::<_, AllocError>((Packet::with_cluster(&pool)?, Packet::new(&pool)?, Packet::new(&pool)?))
            })
            .is_ok()
        });
        while pool.stats().clusters.waited == Some(0) {
            thread::yield_now();
        }
        let w1 = s.spawn(|| {
            pool.wait(Wait::Until(until), || {
                n2.fetch_add(1, Ordering::Relaxed);
                Ok::<_, AllocError>((Packet::with_cluster(&pool)?, Packet::with_cluster(&pool)?))
            })
            .is_ok()
        });
        while pool.stats().clusters.waited < Some(2) {
            thread::yield_now();
        }
        drop(a);
        thread::sleep(SLOWER * Duration::from_millis(300));
        let seen = (n1.load(Ordering::Relaxed), n2.load(Ordering::Relaxed));
        thread::sleep(SLOWER * Duration::from_millis(500));
        let then = (n1.load(Ordering::Relaxed), n2.load(Ordering::Relaxed));
        drop((b, c));
        println!("{seen:?} {then:?} {} {}", w1.join().unwrap(), w2.join().unwrap());
        // Once more may be by a wake-up on its way.
        let tried = (then.0 - seen.0) + (then.1 - seen.1);
        assert!(tried <= 2, "nothing was freed, and they try for ever: {seen:?} {then:?}");
    });
}

/// 16. Wait in a hook, wait in a wait, a future dropped in its own waker.
#[test]
fn nesting_terminates() {
    within("nesting", 10, || {
        let pool = Pool::builder().clusters(2).build().unwrap();
        let kept = Arc::new(Mutex::new(clusters(&pool, 1)));
        let (k, p) = (kept.clone(), pool.clone());
        let _g = pool.on_reclaim(ReclaimKind::Protocol, 0, move || {
            drop(std::mem::take(&mut *k.lock().unwrap()));
            drop(p.wait(Wait::Forever, || Packet::with_cluster(&p)));
        });
        let held = clusters(&pool, 1);
        drop(pool.wait(Wait::Forever, || pool.wait(Wait::Forever, || Packet::with_cluster(&pool))).unwrap());
        // dropped in its waker
        #[allow(clippy::type_complexity)]
        struct DropIt(Mutex<Option<Fut<Result<Vec<Packet>, AllocError>>>>, AtomicBool);
        impl Wake for DropIt {
            fn wake(self: Arc<Self>) {
                drop(self.0.lock().unwrap().take());
                self.1.store(true, Ordering::Relaxed);
            }
        }
        let own = Arc::new(DropIt(Mutex::new(None), AtomicBool::new(false)));
        let p = pool.clone();
        let mut f: Fut<_> =
            Box::pin(pool.wait_async(move || (0..2).map(|_| Packet::with_cluster(&p)).collect()));
        let waker = Waker::from(own.clone());
        assert!(f.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        *own.0.lock().unwrap() = Some(f);
        drop(held);
        assert!(own.1.load(Ordering::Relaxed));
        // the pool is fast again
        drop(Packet::with_cluster(&pool));
        assert_eq!(pool.stats().mbufs.current, 0);
    });
    let _ = Poll::Ready(());
}

/// 17. After waits, brakes and reservations are over, caches work as before.
#[test]
#[cfg_attr(miri, ignore = "compares times")]
fn caches_work_again() {
    let pool = Pool::builder().clusters(300).build().unwrap();
    let time = |pool: &Pool| {
        (0..5)
            .map(|_| {
                let t = Instant::now();
                for _ in 0..100_000 {
                    drop(Packet::with_cluster(pool).unwrap());
                }
                t.elapsed()
            })
            .min()
            .unwrap()
    };
    let first = time(&pool);
    for round in 0..20 {
        let rx = pool.reservation("rx").clusters(5).build().unwrap();
        let held = clusters(&pool, 295);
        let p = pool.clone();
        let mut f: Fut<_> = Box::pin(pool.wait_async(move || Packet::with_cluster(&p)));
        assert!(f.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        pool.set_budget(Some(100_000)).unwrap();
        if round % 2 == 0 {
            drop(held);
            pool.set_budget(None).unwrap();
            drop(f)
        } else {
            drop(f);
            pool.set_budget(None).unwrap();
            drop(held)
        }
        drop(rx);
    }
    // Slow for ever is what it must not be; the machine may have other work for a while.
    let last: Vec<_> = (0..10).map(|_| time(&pool)).take_while(|&last| last >= first * 4).collect();
    assert!(last.len() < 10, "{first:?} {last:?}");
    assert_eq!(pool.stats().clusters.current, 0);
}

/// 19. A hook that was unregistered after its pool went is not run by a reservation that lives on.
#[test]
fn a_hook_of_a_reservation_outlives_nothing() {
    let pool = Pool::builder().clusters(1).build().unwrap();
    let rx = pool.reservation("rx").build().unwrap();
    let n = Arc::new(AtomicUsize::new(0));
    let c = n.clone();
    let g = pool.on_reclaim(ReclaimKind::Protocol, 0, move || {
        c.fetch_add(1, Ordering::Relaxed);
    });
    drop(pool); // the parent goes, the family lives in rx
    drop(g);
    rx.reclaim();
    assert_eq!(n.load(Ordering::Relaxed), 0);
}

/// 20. `reserved` of what cannot be: a reservation that failed leaves the counters of the pool alone.
#[test]
fn a_failed_reservation_leaves_the_counters_alone() {
    let pool = Pool::builder().clusters(4).build().unwrap();
    let held = clusters(&pool, 2);
    let before = pool.stats();
    assert!(pool.reservation("rx").clusters(3).build().is_err());
    let after = pool.stats();
    assert_eq!(
        (before.clusters.allocations, before.clusters.denied, before.packets.denied),
        (after.clusters.allocations, after.clusters.denied, after.packets.denied)
    );
    drop(held);
}

/// 21. Who waits and is not served is not denied, and does not take back a denial that never was.
#[test]
fn an_underflow_of_denied() {
    // As `denied_does_not_underflow`, from nothing: the waiter needs a page, by budget.
    let pool = Pool::builder().budget(12_000).build().unwrap();
    let a = Packet::from_slice(&pool, &[1; 1000]).unwrap();
    let b = a.share().unwrap();
    let p = pool.clone();
    let mut w: Fut<_> = Box::pin(pool.wait_async(move || Packet::with_class(&p, Class::Jumbo16)));
    assert!(w.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(pool.stats().clusters.denied, 0);
    let mut a = Some(a);
    pool.wait(Wait::Until(Instant::now()), || {
        drop(a.take());
        Ok::<_, AllocError>(())
    })
    .unwrap();
    assert_eq!(pool.stats().clusters.denied, 0);
    drop((b, w));
}
