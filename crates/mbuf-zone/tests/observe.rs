//! Zones whose hooks see every object that comes and goes, and may refuse.
#![allow(unsafe_code)]

mod common;

use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use common::{shape, steps};
use mbuf_zone::raw::{Head, Hooks, Object, Observed, RawZone, Settings, Site, discard, put, try_put_bulk};
use mbuf_zone::{Cause, flush_thread};

#[derive(Default)]
struct Seen {
    /// Addresses of what is out, and the lines that asked for it.
    out: Mutex<BTreeMap<usize, u32>>,
    asked: Mutex<Vec<u32>>,
    /// How many objects those stand for that were seen to come.
    stands_for: AtomicUsize,
    refuses: AtomicBool,
    /// Samples are seen, or the zone is switched while it is used: an object that was seen to come may go unseen.
    switched: AtomicBool,
}

struct Seeing(Arc<Seen>);

fn address(object: Object) -> usize {
    object.as_ptr::<u8>().as_ptr().addr()
}

// SAFETY: objects are bare slots.
unsafe impl Hooks for Seeing {
    unsafe fn init(&self, _: Object, _: Option<NonNull<u8>>) -> bool {
        true
    }

    unsafe fn fini(&self, _: Object) -> Option<Object> {
        None
    }

    fn is_quiet(&self) -> bool {
        true
    }

    fn asked(&self, site: Site) -> Result<(), Cause> {
        self.0.asked.lock().unwrap().push(site.line());
        if self.0.refuses.load(Relaxed) { Err(Cause::Refused) } else { Ok(()) }
    }

    unsafe fn taken(&self, object: Object, site: Site, many: usize) {
        self.0.stands_for.fetch_add(many, Relaxed);
        let before = self.0.out.lock().unwrap().insert(address(object), site.line());
        assert!(before.is_none() || self.0.switched.load(Relaxed));
    }

    unsafe fn returned(&self, object: Object) {
        self.0.out.lock().unwrap().remove(&address(object));
    }
}

fn zone(limit: Option<usize>) -> (RawZone, Arc<Seen>) {
    zone_with(Settings { limit, magazine: 4, ..Settings::default() })
}

fn zone_with(settings: Settings) -> (RawZone, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    (RawZone::new(shape(), &settings, Box::new(Seeing(seen.clone()))), seen)
}

fn put_all(objects: impl IntoIterator<Item = Object>) {
    // SAFETY: callers own them.
    objects.into_iter().for_each(|object| unsafe { put::<0>(object) });
}

#[test]
fn hooks_see_what_comes_and_goes_while_a_zone_is_observed() {
    let (zone, seen) = zone(None);
    let out = || seen.out.lock().unwrap().clone();
    let before = zone.get::<0>().unwrap();
    assert!(seen.asked.lock().unwrap().is_empty() && out().is_empty());
    // There are objects in the cache, and in one of another thread that goes on.
    put_all([zone.get::<0>().unwrap()]);
    zone.observe(Observed::Everything);
    zone.observe(Observed::Everything);
    let first = zone.get::<0>().unwrap();
    let line = line!() - 1;
    assert_eq!(out(), BTreeMap::from([(address(first), line)]));
    let mut local = zone.local();
    let second = local.get().unwrap();
    let third = std::thread::scope(|s| s.spawn(|| zone.get::<0>().unwrap()).join().unwrap());
    assert_eq!(out().len(), 3);
    // SAFETY: ours.
    unsafe { local.put(second) };
    assert_eq!(out().len(), 2);
    std::thread::scope(|s| s.spawn(|| put_all([first])).join().unwrap());
    // SAFETY: ours.
    unsafe { discard(third) };
    assert!(out().is_empty());
    // One that nobody saw come.
    put_all([before]);
    let mut bulk = [MaybeUninit::uninit(); 9];
    zone.get_bulk::<0, _>(&mut bulk, |object| object).unwrap();
    assert_eq!(out().len(), 9);
    // SAFETY: written by `get_bulk`, ours.
    let bulk = bulk.map(|object| unsafe { object.assume_init() });
    // SAFETY: as above.
    let taken = unsafe { try_put_bulk::<0>(bulk[0].as_ptr::<Head>().as_ref().whence(), bulk.into_iter()) };
    assert_eq!(taken, 0, "nobody would see it");
    put_all(bulk);
    assert!(out().is_empty());
    // Parts come and go unseen.
    put_all(zone.get_part::<0>());
    let asked = seen.asked.lock().unwrap().len();
    assert_eq!(asked, 12);
    zone.observe(Observed::Nothing);
    put_all([zone.get::<0>().unwrap()]);
    assert_eq!(seen.asked.lock().unwrap().len(), asked);
    assert_eq!(zone.stats().in_use, 0);
    drop((local, zone));
    flush_thread();
}

#[test]
fn samples_stand_for_what_was_got_with_them_and_for_nothing_else() {
    for (magazine, locked) in [(1, false), (16, false), (100, false), (16, true)] {
        let locked = locked || cfg!(mbuf_tsan);
        let (zone, seen) = zone_with(Settings { magazine, locked, ..Settings::default() });
        seen.switched.store(true, Relaxed);
        zone.observe(Observed::Samples);
        let stand_for = || seen.stands_for.swap(0, Relaxed);
        let grew = |n: usize, shown: usize| assert!((n..n + magazine).contains(&shown), "{shown} for {n}");
        // From the keg, then from the depot, where a thread that ended left its cache.
        for _ in 0..2 {
            std::thread::scope(|s| {
                s.spawn(|| {
                    let held: Vec<_> = (0..333).map(|_| zone.get::<0>().unwrap()).collect();
                    grew(333, stand_for());
                    put_all(held);
                    assert_eq!(stand_for(), 0, "nothing came");
                    // Back and forth, where the cache has some and has room for more.
                    let some: Vec<_> = (0..magazine / 2).map(|_| zone.get::<0>().unwrap()).collect();
                    stand_for();
                    put_all(some);
                    (0..10).for_each(|_| put_all([zone.get::<0>().unwrap()]));
                    assert_eq!(stand_for(), if locked { 10 } else { 0 });
                    flush_thread();
                })
                .join()
                .unwrap()
            });
        }
        let mut local = zone.local();
        let held: Vec<_> = (0..333).map(|_| local.get().unwrap()).collect();
        grew(333, stand_for());
        // The caches are shut: each for itself.
        zone.watch();
        let more: Vec<_> = (0..50).map(|_| zone.get::<0>().unwrap()).collect();
        assert_eq!(stand_for(), 50);
        zone.unwatch();
        // Everything: each for itself, whatever is in the depot.
        zone.observe(Observed::Everything);
        put_all(held.into_iter().chain(more));
        put_all([zone.get::<0>().unwrap(), zone.get::<0>().unwrap()]);
        assert_eq!(stand_for(), 2);
        drop(local);
        assert_eq!(zone.stats().in_use, 0);
        drop(zone);
        flush_thread();
    }
}

#[test]
fn what_hooks_refuse_is_denied_and_costs_no_object() {
    let (zone, seen) = zone(Some(1));
    zone.observe(Observed::Everything);
    seen.refuses.store(true, Relaxed);
    assert_eq!(zone.get::<0>(), Err(Cause::Refused));
    assert_eq!(zone.local().get(), Err(Cause::Refused));
    assert_eq!((zone.stats().denied, zone.stats().in_use, zone.stats().gets), (2, 0, 0));
    put_all(zone.get_part::<0>());
    seen.refuses.store(false, Relaxed);
    let only = zone.get::<0>().unwrap();
    assert_eq!(zone.get::<0>(), Err(Cause::Limit));
    put_all([only]);
    drop(zone);
    flush_thread();
}

#[test]
fn objects_of_a_closed_zone_are_seen_until_the_last_is_back() {
    let (zone, seen) = zone(None);
    zone.observe(Observed::Everything);
    let held = [zone.get::<0>().unwrap(), zone.get::<0>().unwrap()];
    zone.close();
    put_all([held[0]]);
    assert_eq!(seen.out.lock().unwrap().len(), 1);
    drop(zone);
    put_all([held[1]]);
    assert!(seen.out.lock().unwrap().is_empty());
    flush_thread();
    assert_eq!(Arc::strong_count(&seen), 1, "nothing of the zone is left");
}

#[test]
fn to_switch_while_threads_work_loses_nothing() {
    let (zone, seen) = zone(None);
    seen.switched.store(true, Relaxed);
    std::thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                for _ in 0..steps(20_000, 30) {
                    put_all([zone.get::<0>().unwrap(), zone.get::<0>().unwrap()]);
                }
                flush_thread();
            });
        }
        for i in 0..steps(50, 5) {
            zone.observe([Observed::Everything, Observed::Nothing, Observed::Samples][i % 3]);
            std::thread::yield_now();
        }
    });
    zone.observe(Observed::Nothing);
    assert_eq!(zone.stats().in_use, 0);
    drop(zone);
    flush_thread();
}
