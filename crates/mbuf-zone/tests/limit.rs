//! The limit is exact, whatever threads do.
#![allow(unsafe_code)]

mod common;

use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use common::{Dice, Pages, Tallied, Tally, raw_zone, shape, steps};
use mbuf_zone::raw::{Group, Head, Hooks, Object, Observed, RawZone, Settings, politely, put, try_put_bulk};
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
        let mut few = [const { MaybeUninit::uninit() }; 60];
        zone.get_bulk::<0, _>(&mut few, Mine).unwrap();
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
        drop(few.map(|object| unsafe { object.assume_init() }));
        assert_eq!(zone.stats().in_use, 0);
        drop(zone);
        flush_thread();
        tally.assert_over();
        pages.assert_all_home();
    }

    /// Puts back what it has.
    struct Mine(Object);

    impl Drop for Mine {
        fn drop(&mut self) {
            // SAFETY: what was got, and is used once.
            unsafe { put::<0>(self.0) };
        }
    }

    fn check_bulk(zone: &mbuf_zone::raw::RawZone) {
        let mut many = [const { MaybeUninit::uninit() }; 41];
        assert_eq!(zone.get_bulk::<0, _>(&mut many, Mine), Err(Cause::Limit));
        assert_eq!(zone.stats().in_use, 60);
        let mut many = [MaybeUninit::uninit(); 40];
        zone.get_bulk::<0, _>(&mut many, |object| object).unwrap();
        assert_eq!(zone.stats().in_use, 100);
        // SAFETY: filled, and each a different object.
        let mut all: Vec<_> = many.iter().map(|object| unsafe { object.assume_init() }).collect();
        let distinct: std::collections::HashSet<_> =
            all.iter().map(|object| object.as_ptr::<u8>().addr()).collect();
        assert_eq!(distinct.len(), 40);
        // SAFETY: just got; some in one step, the others one by one.
        unsafe {
            let n = try_put_bulk::<0>(all[0].as_ptr::<Head>().as_ref().whence(), all.iter().copied());
            assert!(n <= 8, "as many as a magazine has room for");
            all.drain(..n).count();
            assert_eq!(zone.stats().in_use, 60 + all.len());
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
    // Lowered below what is in use: nothing new until less is.
    zone.set_limit(Some(3));
    for in_use in (3..=5).rev() {
        assert!(zone.get(0).is_err());
        assert_eq!(held.len(), in_use);
        held.pop();
    }
    held.push(zone.get(0).unwrap());
    assert!(zone.get(0).is_err());
    assert_eq!((zone.stats().in_use, zone.stats().cached), (3, 0));
    // Then caches work again.
    held.clear();
    assert_eq!((zone.stats().in_use, zone.stats().cached), (0, 3));
    held.extend((0..3).map(|i| zone.get(i).unwrap()));
    zone.set_limit(None);
    held.extend((0..100).map(|i| zone.get(i).unwrap()));
    drop(held);
    assert_eq!(zone.stats().in_use, 0);
    drop(zone);
    pages.assert_all_home();
}

/// The limit goes up and down while threads take and free. Whoever is served sees a limit that was in force meanwhile.
#[test]
fn a_limit_that_changes_beside_busy_threads_holds_in_the_end() {
    for locked in [false, true] {
        let pages = Pages::default();
        let zone = Zone::<usize>::builder().limit(40).magazine(4).locked(locked).pages(pages.clone()).build();
        let busy = AtomicUsize::new(3);
        thread::scope(|scope| {
            for seed in 0..3 {
                let (zone, busy) = (zone.clone(), &busy);
                scope.spawn(move || {
                    let mut dice = Dice::new(seed);
                    let mut held = Vec::new();
                    for round in 0..steps(20_000, 50) {
                        if dice.below(2) == 0 {
                            held.extend(zone.get(round).ok());
                        } else {
                            held.truncate(dice.below(20));
                        }
                        assert!(held.len() <= 40);
                    }
                    busy.fetch_sub(1, Ordering::AcqRel);
                });
            }
            let mut dice = Dice::new(9);
            while busy.load(Ordering::Acquire) > 0 {
                zone.set_limit(Some(dice.below(40)));
                thread::yield_now();
            }
        });
        assert_eq!(zone.stats().in_use, 0);
        for limit in [7, 1, 0, 12] {
            zone.set_limit(Some(limit));
            let all: Vec<_> = (0..limit).map(|i| zone.get(i).unwrap()).collect();
            assert!(zone.get(0).is_err());
            drop(all);
        }
        assert_eq!(zone.stats().cached, 12, "caches work again");
        drop(zone);
        pages.assert_all_home();
    }
}

type Family = (Group, RawZone, RawZone, RawZone, Vec<Arc<Tally>>);

/// A zone and a secondary one, with a budget over them and a third.
fn family(limit: Option<usize>, budget: Option<usize>) -> Family {
    family_with(limit, budget, 4)
}

fn family_with(limit: Option<usize>, budget: Option<usize>, magazine: usize) -> Family {
    let group = Group::new();
    group.set_budget(budget);
    let tallies: Vec<_> = (0..3).map(|_| Arc::new(Tally::default())).collect();
    let hooks = |i: usize| Box::new(Tallied(tallies[i].clone()));
    let settings = Settings { limit, magazine, group: Some(group.clone()), ..Settings::default() };
    let first = RawZone::new(shape(), &settings, hooks(0));
    let second = first.secondary(&settings, hooks(1));
    let third = RawZone::new(shape(), &settings, hooks(2));
    (group, first, second, third, tallies)
}

fn take(zone: &RawZone, n: usize) -> Vec<Object> {
    (0..n).map(|i| zone.get::<0>().unwrap_or_else(|cause| panic!("{cause:?} at {i} of {n}"))).collect()
}

fn give(objects: Vec<Object>) {
    // SAFETY: those who call this own them.
    objects.into_iter().for_each(|object| unsafe { put::<0>(object) });
}

#[test]
fn zones_over_one_keg_find_each_others_free_objects() {
    let (_, first, second, _third, tallies) = family(Some(20), None);
    for _ in 0..3 {
        give(take(&first, 20));
        let some = take(&second, 13);
        let rest = take(&first, 7);
        assert_eq!(first.get::<0>(), Err(Cause::Limit));
        assert_eq!(second.get::<0>(), Err(Cause::Limit));
        give(some);
        give(rest);
        give(take(&second, 20));
    }
    assert_eq!((first.stats().in_use, second.stats().in_use), (0, 0));
    drop((first, second, _third));
    flush_thread();
    tallies.iter().for_each(|tally| tally.assert_over());
}

#[test]
fn who_starves_takes_a_batch_and_only_from_those_who_can_help() {
    let (_, first, second, third, tallies) = family_with(Some(20), None, 8);
    give(take(&first, 20));
    give(take(&third, 10));
    // Half a magazine at a time.
    let mut held = Vec::new();
    for left in [16, 16, 16, 16, 12] {
        held.extend(take(&second, 1));
        assert_eq!((first.stats().cached, third.stats().cached), (left, 10));
    }
    let denied = take(&second, 15);
    assert_eq!(second.get::<0>(), Err(Cause::Limit));
    assert_eq!((first.stats().cached, third.stats().cached), (0, 10), "others' slots are no help");
    give(held);
    give(denied);
    drop((first, second, third));
    flush_thread();
    tallies.iter().for_each(|tally| tally.assert_over());
}

#[test]
fn a_reserve_that_cannot_be_had_moves_nothing() {
    let (group, first, second, third, tallies) = family(Some(20), None);
    let held = take(&first, 10);
    give(take(&first, 10));
    let told = || tallies.iter().map(|tally| tally.freed.load(Ordering::Relaxed)).collect::<Vec<_>>();
    assert_eq!(second.reserve(11), Err(Cause::Limit));
    assert_eq!((first.stats().cached, second.stats().cached, second.stats().reserve), (10, 0, 0));
    assert_eq!(told(), [0; 3]);
    second.reserve(10).unwrap();
    assert_eq!((first.stats().cached, second.stats().cached, second.stats().reserve), (0, 10, 10));
    // What is kept no longer may be had by others, who are told.
    second.reserve(10).unwrap();
    assert_eq!(told(), [0; 3]);
    second.reserve(4).unwrap();
    assert_eq!(told(), [0, 1, 0]);
    give(held);
    // By bytes: those of free objects of any zone count, but for what is reserved.
    second.trim();
    first.trim();
    assert_eq!(group.charged(), 4 * 64);
    give(take(&third, 3));
    give(take(&first, 3));
    group.set_budget(Some(64 * 12));
    assert_eq!(third.reserve(9), Err(Cause::Budget));
    assert_eq!((third.stats().cached, second.stats().cached), (3, 4));
    third.reserve(8).unwrap();
    assert_eq!((third.stats().cached, second.stats().cached, first.stats().cached), (8, 4, 0));
    assert_eq!(first.get::<0>(), Err(Cause::Budget));
    drop((first, second, third));
    flush_thread();
    tallies.iter().for_each(|tally| tally.assert_over());
}

/// Hooks that are not quiet, and make so many objects.
struct Few(AtomicUsize);

// SAFETY: objects are bare slots.
unsafe impl Hooks for Few {
    unsafe fn init(&self, _: Object, _: Option<NonNull<u8>>) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    unsafe fn fini(&self, _: Object) -> Option<Object> {
        None
    }
}

#[test]
fn a_part_that_cannot_be_had_ends_a_reserve_that_was_begun() {
    let zone = RawZone::new(shape(), &Settings::default(), Box::new(Few(AtomicUsize::new(3))));
    zone.reserve(2).unwrap();
    assert_eq!(zone.reserve(4), Err(Cause::Part));
    let stats = zone.stats();
    assert_eq!((stats.reserve, stats.cached, stats.bare), (2, 4, 1), "as before, and what was taken is free");
    zone.reserve(0).unwrap();
    assert_eq!((zone.trim() > 0, zone.stats().cached), (true, 0));
    drop(zone);
    flush_thread();
}

#[test]
fn a_group_says_what_its_budget_is_and_goes_on_without_those_that_left() {
    let (group, first, second, third, tallies) = family(None, None);
    assert_eq!((group.budget(), group.charged()), (None, 0));
    assert_eq!(format!("{group:?}"), "Group { budget: None, charged: 0 }");
    group.set_budget(Some(64 * 7));
    let held = take(&third, 2);
    assert_eq!((group.budget(), group.charged()), (Some(64 * 7), 64 * 2));
    assert_eq!(format!("{group:?}"), "Group { budget: Some(448), charged: 128 }");
    give(take(&second, 5));
    drop(first);
    // Those that are left help each other.
    let more = take(&third, 5);
    assert_eq!((third.get::<0>(), second.stats().cached), (Err(Cause::Budget), 0));
    give(held);
    give(more);
    drop((second, third));
    flush_thread();
    assert_eq!(group.charged(), 0);
    tallies.iter().for_each(|tally| tally.assert_over());
}

#[test]
fn as_many_are_given_back_as_was_asked_for() {
    let (zone, tally, _) = raw_zone(None, 4);
    give(take(&zone, 10));
    assert_eq!((zone.give_back(3), zone.stats().cached, tally.finished.load(Ordering::Relaxed)), (3, 7, 3));
    assert_eq!((zone.give_back(0), zone.give_back(8), zone.give_back(1)), (0, 7, 0));
    drop(zone);
    // Hooks that are not quiet: one at a time.
    let zone = RawZone::new(shape(), &Settings::default(), Box::new(Few(AtomicUsize::new(10))));
    give(take(&zone, 10));
    assert_eq!((zone.give_back(3), zone.stats().cached), (3, 7));
    assert_eq!((zone.give_back(usize::MAX), zone.stats().cached), (7, 0));
    drop(zone);
    flush_thread();
    tally.assert_over();
}

#[test]
fn a_budget_is_shared_by_all_zones_of_a_group() {
    let (group, first, second, third, tallies) = family(None, Some(64 * 20));
    for _ in 0..3 {
        give(take(&first, 20));
        give(take(&third, 20));
        let some = [take(&second, 5), take(&first, 5), take(&third, 10)];
        for zone in [&first, &second, &third] {
            assert_eq!(zone.get::<0>(), Err(Cause::Budget));
        }
        assert_eq!(group.charged(), 64 * 20);
        some.into_iter().for_each(give);
    }
    // Lowered while all are free, then while some are in use.
    group.set_budget(Some(64 * 8));
    assert!(group.charged() <= 64 * 8);
    let all = take(&third, 8);
    group.set_budget(Some(64 * 6));
    for n in (6..8).rev() {
        assert_eq!(first.get::<0>(), Err(Cause::Budget));
        assert_eq!(group.charged(), 64 * (n + 1));
        // SAFETY: ours.
        unsafe { put::<0>(all[n]) };
    }
    assert_eq!(first.get::<0>(), Err(Cause::Budget));
    give(all[..6].to_vec());
    give(take(&second, 6));
    group.set_budget(None);
    give(take(&first, 100));
    drop((first, second, third));
    flush_thread();
    assert_eq!(group.charged(), 0);
    tallies.iter().for_each(|tally| tally.assert_over());
}

#[test]
fn a_reserve_can_be_had_by_its_zone_whatever_others_take() {
    let (_, first, second, _third, tallies) = family(Some(20), None);
    give(take(&first, 20));
    second.reserve(6).unwrap();
    assert_eq!((second.stats().reserve, second.stats().cached), (6, 6));
    let others = take(&first, 14);
    assert_eq!(first.get::<0>(), Err(Cause::Limit));
    let own = take(&second, 6);
    assert_eq!(second.get::<0>(), Err(Cause::Limit));
    give(others);
    // Beyond its reserve it takes part in the rest, and gives it back.
    let more = take(&second, 14);
    give(own);
    give(more);
    second.trim();
    assert_eq!(second.stats().cached, 6);
    let others = take(&first, 14);
    assert_eq!(first.get::<0>(), Err(Cause::Limit));
    // More than there is: as before.
    assert_eq!(second.reserve(7), Err(Cause::Limit));
    assert_eq!((second.stats().reserve, second.stats().cached), (6, 6));
    second.reserve(2).unwrap();
    let last = take(&first, 4);
    assert_eq!(first.get::<0>(), Err(Cause::Limit));
    give(others);
    give(last);
    drop((first, second, _third));
    flush_thread();
    tallies.iter().for_each(|tally| tally.assert_over());
}

#[test]
fn who_watches_is_told_of_every_object_that_comes_back() {
    let group = Group::new();
    let tally = Arc::new(Tally::default());
    let settings =
        Settings { limit: Some(4), magazine: 4, group: Some(group.clone()), ..Settings::default() };
    let zone = RawZone::new(shape(), &settings, Box::new(Tallied(tally.clone())));
    let told = || tally.freed.load(Ordering::Relaxed);
    give(take(&zone, 4));
    assert_eq!(told(), 0);
    zone.watch();
    let all = take(&zone, 4);
    assert_eq!(zone.get::<0>(), Err(Cause::Limit));
    give(all);
    assert_eq!((told(), zone.stats().cached), (4, 4));
    assert_eq!(politely(Some(&group), || zone.get::<0>()), Err(Cause::Waiters));
    give(politely(Some(&group), || politely(None, || take(&zone, 1))));
    assert_eq!(told(), 5);
    let one = take(&zone, 1);
    zone.set_limit(Some(0));
    assert_eq!(told(), 6);
    give(one);
    assert_eq!(told(), 7);
    zone.set_limit(Some(4));
    // Memory that is given back; there is none while something is in use.
    let one = take(&zone, 1);
    let told_before = told();
    assert_eq!((zone.trim(), told()), (0, told_before));
    give(one);
    assert!(zone.trim() > 0);
    assert_eq!(told(), told_before + 2);
    zone.unwatch();
    let told_before = told();
    give(take(&zone, 4));
    flush_thread();
    give(politely(Some(&group), || take(&zone, 4)));
    zone.set_limit(Some(3));
    assert!(zone.trim() > 0);
    // Nor who only looks on.
    zone.observe(Observed::Everything);
    give(take(&zone, 3));
    zone.close();
    assert_eq!(told(), told_before);
    // The end of a zone may be what somebody waits for.
    let (zone, tally, _) = raw_zone(None, 4);
    zone.watch();
    zone.close();
    assert_eq!(tally.freed.load(Ordering::Relaxed), 1);
    drop(zone);
    flush_thread();
    tally.assert_over();
}

#[test]
fn what_is_reserved_stays_when_the_limit_is_lower() {
    let (zone, tally, pages) = raw_zone(Some(5), 4);
    zone.reserve(3).unwrap();
    let mut held = take(&zone, 5);
    zone.set_limit(Some(0));
    for (left, cached) in [(4, 0), (3, 0), (2, 1), (1, 2), (0, 3)] {
        give(held.split_off(left));
        assert_eq!((zone.stats().in_use, zone.stats().cached), (left, cached));
    }
    give(take(&zone, 3));
    zone.reserve(0).unwrap();
    zone.set_limit(Some(0));
    assert_eq!((zone.stats().cached, zone.get::<0>()), (0, Err(Cause::Limit)));
    drop(zone);
    flush_thread();
    tally.assert_over();
    pages.assert_all_home();
}

#[test]
fn a_part_that_is_missing_is_denied_when_it_is_said_and_no_sooner() {
    let (zone, tally, _) = raw_zone(Some(1), 4);
    let denied = || zone.stats().denied;
    let only = zone.get_part::<0>().unwrap();
    assert_eq!((zone.get_part::<0>(), denied()), (None, 0));
    zone.deny();
    assert_eq!((zone.get::<0>(), denied()), (Err(Cause::Limit), 2));
    give(vec![only]);
    assert_eq!((format!("{zone:?}"), denied()), (format!("RawZone({:?})", zone.stats()), 2));
    drop(zone);
    flush_thread();
    tally.assert_over();
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
    assert_eq!(format!("{b:?}"), format!("LocalZone({zone:?})"));
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
