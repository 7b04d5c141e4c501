//! The limit is exact, whatever threads do.
#![allow(unsafe_code)]

mod common;

use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use common::{Dice, Pages, raw_zone, steps};
use mbuf_zone::raw::put;
use mbuf_zone::{Cause, Slot, Zone, flush_thread};

/// Permits to hold an object: who has one must get one.
struct Permits(AtomicUsize);

impl Permits {
    fn take(&self) -> bool {
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)).is_ok()
    }

    fn give(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// Threads that hold as many objects as there are permits, for `rounds` steps each, and fail if they are denied one.
fn contend(zone: &Zone<usize>, limit: usize, threads: usize, rounds: usize) {
    let permits = Permits(AtomicUsize::new(limit));
    thread::scope(|scope| {
        for seed in 0..threads {
            let (zone, permits) = (zone.clone(), &permits);
            scope.spawn(move || {
                let mut dice = Dice::new(seed + 1);
                let mut held: Vec<Slot<usize>> = Vec::new();
                for round in 0..rounds {
                    if dice.below(5) < 3 && permits.take() {
                        held.push(zone.get(round).expect("fewer objects are in use than the limit"));
                    } else {
                        for _ in 0..dice.below(8).min(held.len()) {
                            assert!(*held.swap_remove(dice.below(held.len())) <= round);
                            permits.give();
                        }
                    }
                }
                while held.pop().is_some() {
                    permits.give();
                }
            });
        }
    });
    assert_eq!(zone.stats().in_use, 0);
}

#[test]
fn an_allocation_never_fails_while_fewer_objects_are_in_use_than_the_limit() {
    for (limit, magazine) in [(1, 1), (2, 4), (24, 1), (24, 4), (24, 64)] {
        for locked in [false, true] {
            let pages = Pages::default();
            let zone =
                Zone::builder().limit(limit).magazine(magazine).locked(locked).pages(pages.clone()).build();
            contend(&zone, limit, 4, steps(300_000, 40));
            assert_eq!(zone.stats().denied, 0);
            println!("limit {limit}, magazine {magazine}, locked {locked}: {} objects", zone.stats().gets);
            drop(zone);
            pages.assert_all_home();
        }
    }
}

#[test]
fn threads_that_come_and_go_do_not_blur_the_limit() {
    let (limit, pages) = (16, Pages::default());
    let zone = Zone::builder().limit(limit).magazine(4).pages(pages.clone()).build();
    for _ in 0..steps(100, 2) {
        contend(&zone, limit, 3, steps(100, 10));
    }
    assert_eq!((zone.stats().denied, zone.stats().in_use), (0, 0));
    drop(zone);
    pages.assert_all_home();
}

#[test]
fn every_object_in_the_caches_of_sleeping_threads_can_be_had() {
    for locked in [false, true] {
        let (sleepers, each, pages) = (4, steps(100, 6), Pages::default());
        let limit = sleepers * each;
        let zone = Zone::<usize>::builder().limit(limit).locked(locked).pages(pages.clone()).build();
        let (full, over) = (Barrier::new(sleepers + 1), Barrier::new(sleepers + 1));
        thread::scope(|scope| {
            for _ in 0..sleepers {
                scope.spawn(|| {
                    // All hold their share at once, so that each cache ends up with one.
                    let held: Vec<_> = (0..each).map(|i| zone.get(i).unwrap()).collect();
                    full.wait();
                    drop(held);
                    full.wait();
                    over.wait();
                });
            }
            full.wait();
            full.wait();
            let all: Vec<_> = (0..limit).map(|i| zone.get(i).unwrap()).collect();
            assert_eq!(zone.get(0).unwrap_err().0.cause, Cause::Limit);
            drop(all);
            over.wait();
        });
        assert_eq!(zone.stats().in_use, 0);
        drop(zone);
        pages.assert_all_home();
    }
}

#[test]
fn objects_of_threads_that_exited_or_panicked_can_be_had() {
    let (limit, pages) = (steps(200, 8), Pages::default());
    let zone = Zone::<usize>::builder().limit(limit).pages(pages.clone()).build();
    for dies in [false, true] {
        let zone_there = zone.clone();
        let ended = thread::spawn(move || {
            let _held: Vec<_> = (0..limit).map(|i| zone_there.get(i).unwrap()).collect();
            assert!(zone_there.get(0).is_err());
            if dies {
                // Quietly: the panic hook of the test harness has nothing to say here.
                std::panic::resume_unwind(Box::new("on purpose"));
            }
        })
        .join();
        assert_eq!(ended.is_err(), dies);
        let all: Vec<_> = (0..limit).map(|i| zone.get(i).unwrap()).collect();
        assert!(zone.get(0).is_err());
        drop(all);
    }
    assert_eq!(zone.stats().in_use, 0);
    drop(zone);
    pages.assert_all_home();
}

#[test]
fn trims_beside_busy_threads_lose_nothing() {
    let (limit, pages) = (64, Pages::default());
    let zone = Zone::<usize>::builder().limit(limit).magazine(4).pages(pages.clone()).build();
    let busy = AtomicBool::new(true);
    thread::scope(|scope| {
        let trimmer = scope.spawn(|| {
            while busy.load(Ordering::Acquire) {
                zone.trim();
                thread::yield_now();
            }
        });
        let workers: Vec<_> = (0..3)
            .map(|seed| {
                let zone = zone.clone();
                scope.spawn(move || {
                    let mut dice = Dice::new(seed);
                    let mut held = Vec::new();
                    for round in 0..steps(5_000, 30) {
                        if dice.below(2) == 0 {
                            held.extend(zone.get(round).ok());
                        } else {
                            held.truncate(dice.below(20));
                        }
                    }
                })
            })
            .collect();
        let ended: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        busy.store(false, Ordering::Release);
        trimmer.join().unwrap();
        assert!(ended.iter().all(Result::is_ok));
    });
    let all: Vec<_> = (0..limit).map(|i| zone.get(i).unwrap()).collect();
    assert!(zone.get(0).is_err());
    drop(all);
    zone.trim();
    assert_eq!((zone.stats().total, zone.stats().cached), (0, 0));
    pages.assert_all_home();
}

#[test]
fn a_bulk_request_is_met_in_full_or_not_at_all() {
    for locals in [false, true] {
        let (zone, tally, pages) = raw_zone(Some(100), 8);
        let mut few = [MaybeUninit::uninit(); 60];
        zone.get_bulk::<0>(&mut few).unwrap();
        if locals {
            // Some of the free ones are in a cache that this call cannot reach without collecting it.
            let mut local = zone.local();
            let objects: Vec<_> = (0..20).map(|_| local.get().unwrap()).collect();
            // SAFETY: just got.
            objects.into_iter().for_each(|object| unsafe { local.put(object) });
            check_bulk(&zone);
        } else {
            check_bulk(&zone);
        }
        // SAFETY: the first call filled it.
        unsafe { zone.put_bulk::<0>(&few.map(|object| object.assume_init())) };
        assert_eq!(zone.stats().in_use, 0);
        drop(zone);
        flush_thread();
        tally.assert_over();
        pages.assert_all_home();
    }

    fn check_bulk(zone: &mbuf_zone::raw::RawZone) {
        let mut many = [MaybeUninit::uninit(); 41];
        assert_eq!(zone.get_bulk::<0>(&mut many), Err(Cause::Limit));
        assert_eq!(zone.stats().in_use, 60);
        zone.get_bulk::<0>(&mut many[..40]).unwrap();
        assert_eq!(zone.stats().in_use, 100);
        // SAFETY: filled, and each a different object.
        let mut all: Vec<_> = many[..40].iter().map(|object| unsafe { object.assume_init() }).collect();
        let distinct: std::collections::HashSet<_> =
            all.iter().map(|object| object.as_ptr::<u8>().addr()).collect();
        assert_eq!(distinct.len(), 40);
        // SAFETY: just got; half in bulk, half one by one.
        unsafe {
            zone.put_bulk::<0>(&all.split_off(20));
            all.into_iter().for_each(|object| put::<0>(object));
        }
    }
}

#[test]
fn a_limit_may_grow_and_shrink() {
    let pages = Pages::default();
    let zone = Zone::<usize>::builder().limit(10).pages(pages.clone()).build();
    let mut held: Vec<_> = (0..10).map(|i| zone.get(i).unwrap()).collect();
    assert!(zone.get(0).is_err());
    zone.set_limit(Some(12));
    held.extend((10..12).map(|i| zone.get(i).unwrap()));
    let (error, _) = zone.get(0).unwrap_err();
    assert_eq!(error.limit, Some(12));
    // Lowered while all are free: the excess goes at once.
    held.clear();
    zone.set_limit(Some(5));
    held.extend((0..5).map(|i| zone.get(i).unwrap()));
    assert!(zone.get(0).is_err());
    // Lowered below what is in use: nothing new, and after a trim the new limit holds.
    zone.set_limit(Some(3));
    assert!(zone.get(0).is_err());
    held.clear();
    zone.trim();
    held.extend((0..3).map(|i| zone.get(i).unwrap()));
    assert!(zone.get(0).is_err());
    zone.set_limit(None);
    held.extend((0..100).map(|i| zone.get(i).unwrap()));
    drop(held);
    assert_eq!(zone.stats().in_use, 0);
    drop(zone);
    pages.assert_all_home();
}

#[test]
fn a_value_that_panics_while_it_is_made_leaves_its_slot_free() {
    let pages = Pages::default();
    let zone = Zone::<usize>::builder().limit(1).pages(pages.clone()).build();
    for _ in 0..3 {
        let result = catch_unwind(AssertUnwindSafe(|| {
            zone.get_with(|| std::panic::resume_unwind(Box::new("on purpose")))
        }));
        assert!(result.is_err());
        assert_eq!(*zone.get_with(|| 7).unwrap(), 7);
    }
    assert_eq!(zone.stats().in_use, 0);
    drop(zone);
    pages.assert_all_home();
}

#[test]
fn local_caches_are_part_of_the_zone() {
    let pages = Pages::default();
    let zone = Zone::<Arc<()>>::builder().limit(10).magazine(4).pages(pages.clone()).build();
    let (other, token) = (Zone::<Arc<()>>::builder().build(), Arc::new(()));
    let (mut a, mut b) = (zone.local(), zone.local());
    let mut held: Vec<_> = (0..10).map(|_| a.get(token.clone()).unwrap()).collect();
    assert!(b.get(token.clone()).is_err() && zone.get(token.clone()).is_err());
    held.drain(5..).for_each(|slot| a.put(slot));
    held.extend((0..5).map(|_| b.get(token.clone()).unwrap()));
    held.into_iter().for_each(|slot| b.put(slot));
    // A slot of another zone is dropped as always.
    a.put(other.get(token.clone()).unwrap());
    assert_eq!((zone.stats().in_use, zone.stats().cached, other.stats().in_use), (0, 10, 0));
    assert_eq!(Arc::strong_count(&token), 1);
    a.flush();
    b.flush();
    // A local cache that outlives its zone goes on, and lets go at the end.
    let slot = a.get(token.clone()).unwrap();
    drop((zone, b));
    a.put(slot);
    drop(a.get(token.clone()).unwrap());
    drop(a);
    pages.assert_all_home();
}
