//! Limits under mixes that nobody would choose: whoever has a permit for a buffer gets one, and whoever waits is served.
//!
//! `MBUF_STRESS_SECONDS` (default: a third of one) is how long each test runs: too short a
//! time for Miri to do anything.
#![cfg(not(miri))]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mbuf::{AllocError, Class, Packet, Pool, Wait};
use mbuf_testkit::{Rng, assert_empty, for_ever};
use mbuf_zone::Arena;

fn secs() -> Duration {
    let text = std::env::var("MBUF_STRESS_SECONDS").ok();
    Duration::from_secs_f64(text.and_then(|text| text.parse().ok()).unwrap_or(0.33))
}

/// Users with permits beside a stirrer. Returns refused/served.
fn users(
    pool: &Pool,
    permits: usize,
    threads: usize,
    take: impl Fn(&Pool) -> Result<Packet, AllocError> + Sync,
    stir: impl Fn(&Pool, &AtomicBool, usize) + Sync,
    stirrers: usize,
) -> (usize, usize, Option<String>) {
    let permits = AtomicUsize::new(permits);
    let (refused, served, stop) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let said = std::sync::Mutex::new(None);
    let end = Instant::now() + secs();
    thread::scope(|s| {
        for seed in 0..threads {
            let (permits, refused, served, take, stop, said) =
                (&permits, &refused, &served, &take, &stop, &said);
            s.spawn(move || {
                let mut rng = Rng::new(seed as u64);
                let mut held = Vec::new();
                while Instant::now() < end {
                    for _ in 0..50 {
                        if rng.below(2) == 0 {
                            if permits
                                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1))
                                .is_ok()
                            {
                                match take(pool) {
                                    Ok(p) => {
                                        held.push(p);
                                        served.fetch_add(1, Ordering::Relaxed);
                                    }
                                    Err(e) => {
                                        *said.lock().unwrap() = Some(e.to_string());
                                        refused.fetch_add(1, Ordering::Relaxed);
                                        permits.fetch_add(1, Ordering::AcqRel);
                                    }
                                }
                            }
                        } else if let Some(p) = held.pop() {
                            drop(p);
                            permits.fetch_add(1, Ordering::AcqRel);
                        }
                    }
                }
                stop.store(true, Ordering::Relaxed);
                for p in held {
                    drop(p);
                    permits.fetch_add(1, Ordering::AcqRel);
                }
            });
        }
        for i in 0..stirrers {
            let (stop, stir) = (&stop, &stir);
            s.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    stir(pool, stop, i);
                }
            });
        }
    });
    (refused.into_inner(), served.into_inner(), said.into_inner().unwrap())
}

macro_rules! none_refused {
    ($r:expr) => {{
        let r = $r;
        println!("refused {} of {}: {:?}", r.0, r.0 + r.1, r.2);
        assert_eq!(r.0, 0, "with a permit, {:?}", r.2);
    }};
}

/// a. A sibling with free objects closes beside users that have permits. It uses none while it closes.
#[test]
fn a_sibling_that_closes_hides_nothing() {
    let pool = Pool::builder().clusters(12).build().unwrap();
    none_refused!(users(
        &pool,
        6,
        3,
        Packet::with_cluster,
        |pool, _, _| {
            let rx = pool.reservation("rx").build().unwrap();
            // six: 6 + 6 are all there are
            let own: Vec<_> = (0..6).filter_map(|_| Packet::with_cluster(&rx).ok()).collect();
            drop(own);
            drop(rx);
        },
        1
    ));
    assert_empty(&pool);
}

/// a2. The same for mbufs, with a large number of free objects at the sibling.
#[test]
fn a_sibling_of_mbufs_that_closes_hides_nothing() {
    let pool = Pool::builder().mbufs(400).build().unwrap();
    none_refused!(users(
        &pool,
        200,
        3,
        Packet::new,
        |pool, _, _| {
            let rx = pool.reservation("rx").build().unwrap();
            let own: Vec<_> = (0..200).filter_map(|_| Packet::new(&rx).ok()).collect();
            drop(own);
            drop(rx);
        },
        1
    ));
    assert_empty(&pool);
}

/// b. A reservation that cannot be met (it would need more than there is) takes nothing.
#[test]
fn a_reservation_that_fails_refuses_nobody() {
    let pool = Pool::builder().clusters(8).build().unwrap();
    none_refused!(users(
        &pool,
        8,
        3,
        Packet::with_cluster,
        |pool, _, _| {
            assert!(pool.reservation("rx").clusters(9).build().is_err());
        },
        1
    ));
    assert_empty(&pool);
}

/// b2. A reservation that is met, comes and goes.
#[test]
fn a_reservation_that_comes_and_goes_refuses_nobody() {
    let pool = Pool::builder().clusters(10).build().unwrap();
    none_refused!(users(
        &pool,
        6,
        3,
        Packet::with_cluster,
        |pool, _, _| {
            let rx = pool.reservation("rx").clusters(4).build().unwrap();
            drop(rx);
        },
        1
    ));
    assert_empty(&pool);
}

/// d. Trim beside, memory from an arena.
#[test]
fn a_trim_hides_no_memory() {
    let pool = Pool::builder().pages(Arena::new(for_ever(128 << 10))).build().unwrap();
    let r = users(
        &pool,
        4,
        3,
        Packet::new,
        |pool, _, _| {
            pool.trim();
        },
        1,
    );
    none_refused!(r);
    assert_empty(&pool);
}

/// e. Trims, flushes, threads that exit, explicit caches, waits, budget changes beside, heap memory.
#[test]
fn the_nastiest_mix() {
    for locked in [false, true] {
        let each = 256 + 2048 + 32;
        let pool = Pool::builder().clusters(10).budget(12 * each).locked(locked).build().unwrap();
        none_refused!(users(
            &pool,
            8,
            3,
            Packet::with_cluster,
            |pool, _, i| match i {
                0 => {
                    pool.trim();
                    pool.set_budget(None).unwrap();
                    pool.set_budget(Some(12 * each)).unwrap();
                }
                1 => {
                    thread::scope(|s| {
                        s.spawn(|| {
                            let mut c = pool.cache();
                            let a = c.with_cluster();
                            if let Ok(a) = a {
                                c.free(a)
                            }
                            drop(Packet::with_cluster(pool));
                        });
                    });
                }
                _ => {
                    let _ = pool.wait(Wait::Until(Instant::now() + Duration::from_micros(20)), || {
                        Packet::with_cluster(pool)
                    });
                }
            },
            3
        ));
        assert_empty(&pool);
    }
}

/// f. Users of a pool and of its reservation, with permits for the rules of both.
#[test]
fn users_of_a_pool_and_a_reservation_are_not_refused() {
    let pool = Pool::builder().clusters(6).build().unwrap();
    let rx = pool.reservation("rx").clusters(3).build().unwrap();
    let (total, own) = (AtomicUsize::new(6), AtomicUsize::new(3));
    let (refused, served) = ([AtomicUsize::new(0), AtomicUsize::new(0)], AtomicUsize::new(0));
    let end = Instant::now() + secs();
    let get =
        |n: &AtomicUsize| n.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1)).is_ok();
    thread::scope(|s| {
        for seed in 0..6 {
            let (total, own, refused, served, pool, rx, get) =
                (&total, &own, &refused, &served, &pool, &rx, &get);
            s.spawn(move || {
                let mut rng = Rng::new(seed);
                let parent = seed % 2 == 0;
                let mut held = Vec::new();
                let back = |p: Packet| {
                    drop(p);
                    if parent {
                        own.fetch_add(1, Ordering::AcqRel);
                    }
                    total.fetch_add(1, Ordering::AcqRel);
                };
                while Instant::now() < end {
                    for _ in 0..50 {
                        if rng.below(2) == 0 {
                            if parent && !get(own) {
                                continue;
                            }
                            if !get(total) {
                                if parent {
                                    own.fetch_add(1, Ordering::AcqRel);
                                }
                                continue;
                            }
                            match Packet::with_cluster(if parent { pool } else { rx }) {
                                Ok(p) => {
                                    held.push(p);
                                    served.fetch_add(1, Ordering::Relaxed);
                                }
                                Err(_) => {
                                    refused[usize::from(parent)].fetch_add(1, Ordering::Relaxed);
                                    if parent {
                                        own.fetch_add(1, Ordering::AcqRel);
                                    }
                                    total.fetch_add(1, Ordering::AcqRel);
                                }
                            }
                        } else if let Some(p) = held.pop() {
                            back(p)
                        }
                    }
                }
                held.into_iter().for_each(back);
            });
        }
    });
    let r = refused.map(AtomicUsize::into_inner);
    println!("refused rx {} pool {}, served {}", r[0], r[1], served.into_inner());
    assert_eq!(r, [0, 0]);
}

/// g. An error names the limit that was reached.
#[test]
fn an_error_names_what_was_reached() {
    let pool = Pool::builder().clusters(3).build().unwrap();
    let (wrong, errors) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let end = Instant::now() + secs();
    thread::scope(|s| {
        s.spawn(|| {
            while Instant::now() < end {
                pool.trim();
            }
        });
        for _ in 0..4 {
            s.spawn(|| {
                let mut held = Vec::new();
                while Instant::now() < end {
                    match Packet::with_cluster(&pool) {
                        Ok(p) => held.push(p),
                        Err(e) => {
                            errors.fetch_add(1, Ordering::Relaxed);
                            if !matches!(e.cause, mbuf::AllocCause::Limit(_))
                                && wrong.fetch_add(1, Ordering::Relaxed) == 0
                            {
                                println!("{e}");
                            }
                            held.clear();
                        }
                    }
                }
            });
        }
    });
    println!("{} of {} errors name no limit", wrong.load(Ordering::Relaxed), errors.into_inner());
    assert_eq!(wrong.into_inner(), 0);
    println!("waited for memory: {}", pool.stats().memory_waited);
}

/// h. Wait::Forever gives up only if nothing can come back.
#[test]
fn nobody_gives_up_while_others_come_and_go() {
    let pool = Pool::builder().clusters(3).build().unwrap();
    let (given_up, waits) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let end = Instant::now() + secs();
    thread::scope(|s| {
        for _ in 0..3 {
            s.spawn(|| {
                while Instant::now() < end {
                    let p = Packet::with_cluster(&pool);
                    for _ in 0..40 {
                        std::hint::spin_loop();
                    }
                    drop(p);
                    for _ in 0..40 {
                        std::hint::spin_loop();
                    }
                }
            });
        }
        s.spawn(|| {
            while Instant::now() < end {
                waits.fetch_add(1, Ordering::Relaxed);
                let r = pool.wait(Wait::Forever, || {
                    (0..3).map(|_| Packet::with_cluster(&pool)).collect::<Result<Vec<_>, _>>()
                });
                if let Err(e) = r
                    && given_up.fetch_add(1, Ordering::Relaxed) == 0
                {
                    println!("{e}");
                }
            }
        });
    });
    println!(
        "{} of {} given up; stats waited {} {}",
        given_up.load(Ordering::Relaxed),
        waits.into_inner(),
        pool.stats().clusters.waited.unwrap_or(0),
        pool.stats().memory_waited
    );
    assert_eq!(given_up.into_inner(), 0);
    assert_empty(&pool);
}

/// i. All kinds of waiters, reservations that come and go, budget changes, trims: all end.
#[test]
fn a_crowd_of_waiters_ends() {
    let each = 256 + 2048 + 32;
    let pool = Pool::builder().clusters(6).mbufs(12).budget(14 * each).build().unwrap();
    let keep = Packet::new(&pool).unwrap(); // never hopeless for mbufs
    let (stop, errors) = (AtomicBool::new(false), AtomicUsize::new(0));
    let beats: Vec<AtomicUsize> = (0..6).map(|_| AtomicUsize::new(0)).collect();
    let end = Instant::now() + secs();
    thread::scope(|s| {
        for i in 0..6usize {
            let (pool, beats, errors) = (&pool, &beats, &errors);
            s.spawn(move || {
                let mut rng = Rng::new(i as u64);
                while Instant::now() < end {
                    let rx =
                        if i == 5 { pool.reservation("r").clusters(1).mbufs(1).build().ok() } else { None };
                    let from = rx.as_ref().unwrap_or(pool);
                    let k = rng.below(4);
                    let r: Result<Vec<Packet>, AllocError> = from.wait(Wait::Forever, || match k {
                        0 => Ok(vec![Packet::new(from)?, Packet::new(from)?]),
                        1 => Ok(vec![Packet::with_cluster(from)?, Packet::with_cluster(from)?]),
                        2 => Ok(vec![Packet::with_class(from, Class::Jumbo9)?]),
                        _ => Ok(vec![Packet::with_cluster(from)?, Packet::new(from)?]),
                    });
                    if r.is_err() {
                        errors.fetch_add(1, Ordering::Relaxed);
                    }
                    beats[i].fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        s.spawn(|| {
            while Instant::now() < end {
                pool.trim();
                pool.set_budget(Some(8 * each)).unwrap();
                pool.set_budget(Some(14 * each)).unwrap();
            }
        });
        s.spawn(|| {
            thread::sleep(end - Instant::now() + Duration::from_secs(3));
            if !stop.load(Ordering::Relaxed) {
                let b: Vec<_> = beats.iter().map(|b| b.load(Ordering::Relaxed)).collect();
                println!("STUCK? beats {b:?}\n{:#?}", pool.stats());
                thread::sleep(Duration::from_secs(1));
                // kick
                pool.set_budget(None).unwrap();
            }
        });
        s.spawn(|| {
            thread::sleep(end - Instant::now() + Duration::from_millis(2500));
            stop.store(true, Ordering::Relaxed)
        });
    });
    println!("errors {}, beats {:?}", errors.into_inner(), beats);
    drop(keep);
    assert_empty(&pool);
}

/// h2. Wait::Forever does not give up while free objects are on their way home from a sibling that closes.
#[test]
fn nobody_gives_up_while_a_sibling_closes() {
    let pool = Pool::builder().mbufs(2000).build().unwrap();
    let (given_up, waits) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let end = Instant::now() + secs();
    thread::scope(|s| {
        s.spawn(|| {
            while Instant::now() < end {
                let rx = pool.reservation("rx").build().unwrap();
                let all: Vec<_> = std::iter::from_fn(|| Packet::new(&rx).ok()).collect();
                drop(all);
                drop(rx);
            }
        });
        s.spawn(|| {
            while Instant::now() < end {
                waits.fetch_add(1, Ordering::Relaxed);
                if let Err(e) = pool.wait(Wait::Forever, || Packet::new(&pool))
                    && given_up.fetch_add(1, Ordering::Relaxed) == 0
                {
                    println!("{e}");
                }
            }
        });
    });
    println!("{} of {} given up", given_up.load(Ordering::Relaxed), waits.into_inner());
    assert_eq!(given_up.into_inner(), 0);
}
