//! Hooks: secondary zones, parts that are missing, panics.
#![allow(unsafe_code)]

mod common;

use std::alloc::Layout;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Barrier, OnceLock, Weak};

use common::{Pages, Tallied, Tally, raw_zone, steps};
use mbuf_zone::raw::{Group, Hooks, Object, RawZone, Settings, discard, put, take_or};
use mbuf_zone::{Cause, Lifecycle, ObjectZone, flush_thread};

fn panic_quietly() -> ! {
    resume_unwind(Box::new("on purpose"))
}

/// A zone of pairs: each object has a part, an object of another zone, whose address it keeps behind its head.
struct Pairs {
    tally: Tallied,
    parts: Arc<RawZone>,
}

/// Where a pair keeps its part.
fn part(object: Object) -> NonNull<Option<Object>> {
    // SAFETY: slots are 64 bytes long; the head takes the first sixteen at most.
    unsafe { object.as_ptr::<u8>().add(16).cast() }
}

// SAFETY: `init` leaves a pair with a part, `fini` takes it away.
unsafe impl Hooks for Pairs {
    unsafe fn init(&self, object: Object, block: Option<NonNull<u8>>) -> bool {
        let Ok(other) = self.parts.get::<1>() else { return false };
        // SAFETY: the slot is ours.
        unsafe {
            part(object).write(Some(other));
            self.tally.init(object, block)
        }
    }

    unsafe fn fini(&self, object: Object) -> Option<Object> {
        // SAFETY: passed on; `init` wrote the part.
        unsafe {
            self.tally.fini(object);
            part(object).read()
        }
    }
}

#[test]
fn a_secondary_zone_shares_limit_and_slots_and_gives_back_what_is_wanted() {
    let limit = 40;
    let (parts, parts_tally, parts_pages) = raw_zone(None, 4);
    let parts = Arc::new(parts);
    let (tally, pages) = (Arc::new(Tally::default()), Pages::default());
    let settings =
        Settings { limit: Some(limit), magazine: 4, source: Arc::new(pages.clone()), ..Settings::default() };
    let plain = RawZone::new(common::shape(), &settings, Box::new(Tallied(tally.clone())));
    let pair_tally = Arc::new(Tally::default());
    let hooks = Pairs { tally: Tallied(pair_tally.clone()), parts: parts.clone() };
    let pairs = plain.secondary(&settings, Box::new(hooks));

    // All as pairs; then at rest, as pairs.
    let held: Vec<_> = (0..limit).map(|_| pairs.get::<2>().unwrap()).collect();
    assert_eq!(plain.get::<0>(), Err(Cause::Limit));
    // SAFETY: just got; each has a part.
    held.iter().for_each(|&object| assert!(unsafe { part(object).read() }.is_some()));
    // SAFETY: ours.
    held.into_iter().for_each(|object| unsafe { put::<2>(object) });
    assert_eq!((pairs.stats().cached, parts.stats().in_use), (limit, limit));

    // Plain ones are made of pairs, a batch (half a magazine) at a time.
    let plains: Vec<_> = (0..10).map(|_| plain.get::<0>().unwrap()).collect();
    assert_eq!((pairs.stats().cached, parts.stats().in_use), (limit - 10, limit - 10));
    assert_eq!(plain.stats().in_use, 10);
    // SAFETY: ours.
    plains.into_iter().for_each(|object| unsafe { put::<0>(object) });

    assert_eq!((plain.stats().in_use, pairs.stats().in_use), (0, 0));
    drop((plain, pairs));
    flush_thread();
    tally.assert_over();
    pair_tally.assert_over();
    pages.assert_all_home();
    assert_eq!(parts.stats().in_use, 0);
    drop(parts);
    flush_thread();
    parts_tally.assert_over();
    parts_pages.assert_all_home();
}

#[test]
fn a_part_that_is_missing_fails_the_allocation_and_costs_no_slot() {
    let (parts, parts_tally, _) = raw_zone(Some(3), 4);
    let parts = Arc::new(parts);
    let (tally, pages) = (Arc::new(Tally::default()), Pages::default());
    let settings = Settings { limit: Some(10), source: Arc::new(pages.clone()), ..Settings::default() };
    let hooks = Pairs { tally: Tallied(tally.clone()), parts: parts.clone() };
    let pairs = RawZone::new(common::shape(), &settings, Box::new(hooks));
    for _ in 0..20 {
        let held: Vec<_> = (0..3).map(|_| pairs.get::<2>().unwrap()).collect();
        assert_eq!(pairs.get::<2>(), Err(Cause::Part));
        assert_eq!((pairs.stats().in_use, parts.stats().in_use), (3, 3));
        // SAFETY: ours.
        held.into_iter().for_each(|object| unsafe { put::<2>(object) });
        pairs.trim();
        assert_eq!(pairs.stats().total, 0);
    }
    // One that its user spoilt goes past the caches.
    let object = pairs.get::<2>().unwrap();
    // SAFETY: ours, and whole as far as `fini` is concerned.
    unsafe { discard(object) };
    assert_eq!((pairs.stats().cached, parts.stats().in_use), (0, 0));
    drop(pairs);
    flush_thread();
    tally.assert_over();
    pages.assert_all_home();
    drop(parts);
    flush_thread();
    parts_tally.assert_over();
}

/// Panics in the n-th call of the hook that is armed.
#[derive(Default)]
struct Traps {
    init: Trap,
    ctor: Trap,
    dtor: Trap,
    fini: Trap,
    values: AtomicUsize,
}

#[derive(Default)]
struct Trap(AtomicUsize);

impl Trap {
    fn arm(&self, calls: usize) {
        self.0.store(calls, Relaxed);
    }

    fn step(&self) {
        if self.0.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)) == Ok(1) {
            panic_quietly();
        }
    }
}

struct Trapped(Arc<Traps>);

struct Value(Arc<Traps>);

impl Drop for Value {
    fn drop(&mut self) {
        self.0.values.fetch_sub(1, Relaxed);
    }
}

impl Lifecycle<Value> for Trapped {
    fn init(&self) -> Option<Value> {
        self.0.init.step();
        self.0.values.fetch_add(1, Relaxed);
        Some(Value(self.0.clone()))
    }
    fn ctor(&self, _: &mut Value) {
        self.0.ctor.step();
    }
    fn dtor(&self, _: &mut Value) {
        self.0.dtor.step();
    }
    fn fini(&self, _: Value) {
        self.0.fini.step();
    }
}

/// All of a zone's objects, one after the other.
fn exhaust(zone: &ObjectZone<Value>, limit: usize) {
    let all: Vec<_> = (0..limit).map(|_| zone.get().unwrap()).collect();
    assert!(zone.get().is_err());
    drop(all);
    assert_eq!(zone.stats().in_use, 0);
}

#[test]
fn hooks_that_panic_lose_nothing() {
    let limit = 12;
    for nth in 1..=limit {
        let (traps, pages) = (Arc::new(Traps::default()), Pages::default());
        let zone = ObjectZone::builder()
            .limit(limit)
            .magazine(3)
            .pages(pages.clone())
            .objects(Trapped(traps.clone()));
        let run = |f: &mut dyn FnMut()| catch_unwind(AssertUnwindSafe(f)).is_err();
        for trap in [&traps.init, &traps.ctor, &traps.dtor] {
            zone.trim();
            trap.arm(nth);
            assert!(run(&mut || drop((0..limit).map(|_| zone.get().unwrap()).collect::<Vec<_>>())));
            assert_eq!(zone.stats().in_use, 0);
            exhaust(&zone, limit);
        }
        // In `fini`, from a trim and from the end of the zone.
        traps.fini.arm(nth);
        assert!(run(&mut || {
            zone.trim();
        }));
        exhaust(&zone, limit);
        traps.fini.arm(nth);
        let mut last = Some(zone);
        assert!(run(&mut || drop(last.take())));
        flush_thread();
        assert_eq!(traps.values.load(Relaxed), 0);
        pages.assert_all_home();
    }
}

#[test]
fn a_zone_ends_though_every_fini_panics() {
    let (traps, pages) = (Arc::new(Traps::default()), Pages::default());
    let zone = ObjectZone::builder().limit(4).pages(pages.clone()).objects(AlwaysTrapped(traps.clone()));
    drop([0; 3].map(|_| zone.get().unwrap()));
    assert!(catch_unwind(AssertUnwindSafe(|| zone.trim())).is_err());
    assert_eq!((zone.stats().in_use, zone.stats().cached), (0, 2), "one at a time");
    assert!(catch_unwind(AssertUnwindSafe(|| drop(zone))).is_err(), "two panics, of which the first goes on");
    flush_thread();
    pages.assert_all_home();
}

struct AlwaysTrapped(Arc<Traps>);

impl Lifecycle<Value> for AlwaysTrapped {
    fn init(&self) -> Option<Value> {
        self.0.values.fetch_add(1, Relaxed);
        Some(Value(self.0.clone()))
    }
    fn fini(&self, _: Value) {
        panic_quietly();
    }
}

/// What is not in `fini`'s hand is free, and found.
#[test]
fn a_trim_hides_no_more_than_fini_has_in_hand() {
    struct Slow(Arc<Barrier>, AtomicBool);
    impl Lifecycle<u8> for Slow {
        fn init(&self) -> Option<u8> {
            Some(1)
        }
        fn fini(&self, _: u8) {
            if !self.1.swap(true, Relaxed) {
                self.0.wait();
                self.0.wait();
            }
        }
    }
    let barrier = Arc::new(Barrier::new(2));
    let zone = ObjectZone::<u8>::builder().limit(4).objects(Slow(barrier.clone(), AtomicBool::new(false)));
    drop([0; 4].map(|_| zone.get().unwrap()));
    std::thread::scope(|scope| {
        scope.spawn(|| zone.trim());
        barrier.wait();
        let three = [0; 3].map(|_| zone.get().map(drop).is_ok());
        barrier.wait();
        assert_eq!(three, [true; 3], "all are free, one of them in fini's hand");
    });
}

#[test]
fn a_lower_limit_of_parts_reaches_those_in_free_objects() {
    let group = Group::new();
    let settings = Settings { group: Some(group), ..Settings::default() };
    let tallies = [Arc::new(Tally::default()), Arc::new(Tally::default())];
    let parts = Arc::new(RawZone::new(common::shape(), &settings, Box::new(Tallied(tallies[0].clone()))));
    let hooks = Pairs { tally: Tallied(tallies[1].clone()), parts: parts.clone() };
    let settings = Settings { parts: Some(parts.as_parts()), ..settings };
    let pairs = RawZone::new(common::shape(), &settings, Box::new(hooks));
    let give = |objects: Vec<Object>| {
        // SAFETY: just got.
        objects.into_iter().for_each(|object| unsafe { put::<2>(object) });
    };
    give((0..10).map(|_| pairs.get::<2>().unwrap()).collect());
    parts.set_limit(Some(3));
    for _ in 0..2 {
        let all: Vec<Object> = std::iter::from_fn(|| pairs.get::<2>().ok()).collect();
        assert_eq!(all.len(), 3);
        give(all);
    }
    // And more in use than it allows.
    parts.set_limit(None);
    let all: Vec<Object> = (0..6).map(|_| pairs.get::<2>().unwrap()).collect();
    parts.set_limit(Some(4));
    assert_eq!(pairs.get::<2>(), Err(Cause::Part));
    give(all);
    let all: Vec<Object> = std::iter::from_fn(|| pairs.get::<2>().ok()).collect();
    assert_eq!(all.len(), 4);
    give(all);
    drop((pairs, parts));
    // The first lets go of the pairs, whose hooks have the parts.
    flush_thread();
    flush_thread();
    tallies.iter().for_each(|tally| tally.assert_over());
}

#[test]
fn a_panic_while_the_zone_ends_leaves_objects_in_use_good() {
    let (traps, pages) = (Arc::new(Traps::default()), Pages::default());
    let zone = ObjectZone::builder().pages(pages.clone()).objects(Trapped(traps.clone()));
    let held = [zone.get().unwrap(), zone.get().unwrap(), zone.get().unwrap()];
    drop((zone.get().unwrap(), zone.get().unwrap()));
    traps.fini.arm(1);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(zone))).is_err());
    flush_thread();
    assert_eq!(Arc::strong_count(&held[0].0), Arc::strong_count(&traps));
    let [a, b, c] = held;
    // In the `fini` of one that comes home to the closed zone.
    traps.fini.arm(2);
    drop(a);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(b))).is_err());
    assert_eq!(traps.values.load(Relaxed), 1);
    drop(c.into_inner());
    assert_eq!(traps.values.load(Relaxed), 0);
    pages.assert_all_home();
}

#[test]
fn a_value_moved_out_of_an_object_zone_leaves_its_slot_behind() {
    let (traps, pages) = (Arc::new(Traps::default()), Pages::default());
    let zone = ObjectZone::builder().limit(2).pages(pages.clone()).objects(Trapped(traps.clone()));
    let values: Vec<_> = (0..10).map(|_| zone.get().unwrap().into_inner()).collect();
    assert_eq!((values.len(), zone.stats().in_use, zone.stats().cached), (10, 0, 0));
    exhaust(&zone, 2);
    let last = zone.get().unwrap();
    drop(zone);
    let last = last.into_inner();
    flush_thread();
    pages.assert_all_home();
    drop((values, last));
    assert_eq!(traps.values.load(Relaxed), 0);
}

#[test]
fn hooks_may_use_the_zone_they_serve() {
    /// Allocates and trims in `init`, gives back in `fini`.
    struct Reenters {
        tally: Tallied,
        zone: Arc<OnceLock<Weak<RawZone>>>,
        inside: AtomicBool,
    }
    impl Reenters {
        fn zone(&self) -> Option<Arc<RawZone>> {
            self.zone.get().and_then(Weak::upgrade)
        }
    }
    // SAFETY: objects are bare slots.
    unsafe impl Hooks for Reenters {
        unsafe fn init(&self, object: Object, block: Option<NonNull<u8>>) -> bool {
            if let Some(zone) = self.zone()
                && !self.inside.swap(true, Relaxed)
            {
                if let Ok(other) = zone.get::<0>() {
                    // SAFETY: just got.
                    unsafe { put::<0>(other) };
                }
                zone.trim();
                self.inside.store(false, Relaxed);
            }
            // SAFETY: passed on.
            unsafe { self.tally.init(object, block) }
        }

        unsafe fn fini(&self, object: Object) -> Option<Object> {
            if let Some(zone) = self.zone() {
                let _ = (zone.stats(), zone.give_back(1));
            }
            // SAFETY: passed on.
            unsafe { self.tally.fini(object) }
        }
    }
    let (tally, pages, whom) = (Arc::new(Tally::default()), Pages::default(), Arc::new(OnceLock::new()));
    let hooks =
        Reenters { tally: Tallied(tally.clone()), zone: whom.clone(), inside: AtomicBool::new(false) };
    let settings =
        Settings { limit: Some(6), magazine: 2, source: Arc::new(pages.clone()), ..Settings::default() };
    let zone = Arc::new(RawZone::new(common::shape(), &settings, Box::new(hooks)));
    whom.set(Arc::downgrade(&zone)).unwrap();
    for _ in 0..steps(20, 3) {
        let held: Vec<_> = (0..7).filter_map(|_| zone.get::<0>().ok()).collect();
        assert_eq!(held.len(), 6);
        // SAFETY: ours.
        held.into_iter().for_each(|object| unsafe { put::<0>(object) });
        assert_eq!(zone.stats().in_use, 0);
        zone.trim();
    }
    drop(zone);
    flush_thread();
    tally.assert_over();
    pages.assert_all_home();
}

#[test]
fn each_object_of_a_closed_zone_is_retained_and_released_once() {
    let (zone, tally, pages) = raw_zone(None, 4);
    let mut held: Vec<_> = (0..10).map(|_| zone.get::<0>().unwrap()).collect();
    // SAFETY: ours.
    held.drain(6..).for_each(|object| unsafe { put::<0>(object) });
    zone.close();
    assert_eq!((tally.retained.load(Relaxed), tally.released.load(Relaxed)), (6, 0));
    held.push(zone.local().get().unwrap());
    assert_eq!(tally.retained.load(Relaxed), 7);
    drop(zone);
    while let Some(object) = held.pop() {
        // SAFETY: ours.
        unsafe { put::<0>(object) };
        assert_eq!(tally.released.load(Relaxed), 7 - held.len());
    }
    flush_thread();
    assert_eq!(tally.freed.load(Relaxed), 0, "nobody watched");
    tally.assert_over();
    pages.assert_all_home();
}

#[test]
fn plain_objects_are_made_ahead_while_the_zone_is_open() {
    struct Ready(Tallied);
    // SAFETY: objects are bare slots, and always can be made.
    unsafe impl Hooks for Ready {
        unsafe fn init(&self, object: Object, block: Option<NonNull<u8>>) -> bool {
            // SAFETY: passed on.
            unsafe { self.0.init(object, block) }
        }
        unsafe fn fini(&self, object: Object) -> Option<Object> {
            // SAFETY: passed on.
            unsafe { self.0.fini(object) }
        }
        fn is_plain(&self) -> bool {
            true
        }
        fn retain(&self, objects: usize) {
            self.0.retain(objects);
        }
        fn release(&self) {
            self.0.release();
        }
    }
    let (tally, pages) = (Arc::new(Tally::default()), Pages::default());
    let settings = Settings { magazine: 8, source: Arc::new(pages.clone()), ..Settings::default() };
    let zone = RawZone::new(common::shape(), &settings, Box::new(Ready(Tallied(tally.clone()))));
    let made = || tally.made.load(Relaxed);
    let mut held: Vec<_> = (0..4).map(|_| zone.get::<0>().unwrap()).collect();
    assert_eq!((made(), zone.stats().cached), (4, 0), "half a magazine at a time");
    held.push(zone.get::<0>().unwrap());
    assert_eq!((made(), zone.stats().cached), (8, 3));
    zone.close();
    held.push(zone.get::<0>().unwrap());
    assert_eq!((made(), zone.stats().cached), (9, 0), "one at a time");
    // SAFETY: ours.
    held.into_iter().for_each(|object| unsafe { put::<0>(object) });
    drop(zone);
    flush_thread();
    tally.assert_over();
    pages.assert_all_home();
}

#[test]
fn objects_lead_to_the_users_pointer_and_know_their_zone() {
    static USER: u32 = 7;
    let settings = Settings { user: (&raw const USER).cast(), ..Settings::default() };
    let (tally, other) = (Arc::new(Tally::default()), raw_zone(None, 4).0);
    let shape = mbuf_zone::raw::Shape::new(Layout::from_size_align(128, 128).unwrap());
    let zone = RawZone::new(shape, &settings, Box::new(Tallied(tally.clone())));
    let object = zone.get::<0>().unwrap();
    // By name, too, which is found if it is the zone that was used last.
    // SAFETY: names of zones.
    let by_name = |zone: &RawZone| unsafe { take_or::<0, _>(zone.name(), Some, |object| object) };
    // SAFETY: ours.
    unsafe { put::<0>(object) };
    assert_eq!((by_name(&other), by_name(&zone)), (None, Some(object)));
    // SAFETY: no name.
    assert_eq!(unsafe { take_or::<0, _>(std::ptr::null(), Some, |object| object) }, None);
    // SAFETY: ours; a slot begins with its head.
    let head = unsafe { object.as_ptr::<mbuf_zone::raw::Head>().as_ref() };
    assert_eq!(head.user(), settings.user);
    assert!(zone.owns(head) && !other.owns(head) && !head.is_marked());
    for _ in 0..2 {
        head.mark();
        assert!(head.is_marked() && !zone.owns(head) && zone.is_home_of(head));
        assert_eq!(head.user(), settings.user);
    }
    head.unmark();
    assert!(zone.owns(head) && !head.is_marked() && !other.is_home_of(head));
    // SAFETY: ours.
    unsafe { put::<0>(object) };
    assert_eq!(zone.stats().in_use, 0);
    drop(zone);
    flush_thread();
    tally.assert_over();
}

/// Counts, waits twice in `fini`, and panics once in `freed`, as it is told.
struct Troubled {
    tally: Tallied,
    slow: Option<Arc<Barrier>>,
    panics: Arc<AtomicBool>,
}

impl Troubled {
    fn zone(slow: Option<Arc<Barrier>>, panics: &Arc<AtomicBool>) -> (RawZone, Arc<Tally>, Pages) {
        let (tally, pages) = (Arc::new(Tally::default()), Pages::default());
        let settings = Settings { magazine: 2, source: Arc::new(pages.clone()), ..Settings::default() };
        let hooks = Troubled { tally: Tallied(tally.clone()), slow, panics: panics.clone() };
        (RawZone::new(common::shape(), &settings, Box::new(hooks)), tally, pages)
    }
}

// SAFETY: objects are bare slots.
unsafe impl Hooks for Troubled {
    unsafe fn init(&self, object: Object, block: Option<NonNull<u8>>) -> bool {
        // SAFETY: passed on.
        unsafe { self.tally.init(object, block) }
    }

    unsafe fn fini(&self, object: Object) -> Option<Object> {
        if let Some(slow) = &self.slow {
            slow.wait();
            slow.wait();
        }
        // SAFETY: passed on.
        unsafe { self.tally.fini(object) }
    }

    fn freed(&self) {
        if self.panics.swap(false, Relaxed) {
            panic_quietly();
        }
    }

    fn retain(&self, objects: usize) {
        self.tally.retain(objects);
    }

    fn release(&self) {
        self.tally.release();
    }
}

#[test]
fn a_closed_zone_ends_though_telling_of_an_object_panics() {
    let panics = Arc::default();
    let (zone, tally, pages) = Troubled::zone(None, &panics);
    zone.watch();
    let objects = [zone.get::<0>().unwrap(), zone.get::<0>().unwrap()];
    zone.close();
    drop(zone);
    panics.store(true, Relaxed);
    let [first, second] = objects;
    // SAFETY: just got, and given away.
    assert!(catch_unwind(AssertUnwindSafe(|| unsafe { put::<0>(first) })).is_err());
    // SAFETY: as above.
    unsafe { put::<0>(second) };
    pages.assert_all_home();
    flush_thread();
    tally.assert_over();
}

/// The threads that used the zone still know it, so its pages do not go with it.
#[test]
fn what_is_given_back_while_the_zone_is_closed_leaves_no_pages_behind() {
    let barrier = Arc::new(Barrier::new(2));
    let (zone, tally, pages) = Troubled::zone(Some(barrier.clone()), &Arc::default());
    // SAFETY: just got, and given away.
    unsafe { put::<0>(zone.get::<0>().unwrap()) };
    std::thread::scope(|scope| {
        let giving = scope.spawn(|| zone.give_back(1));
        barrier.wait();
        // Its only object is on its way.
        zone.close();
        assert!(pages.bytes() > 0);
        barrier.wait();
        assert_eq!(giving.join().unwrap(), 1);
    });
    pages.assert_all_home();
    drop(zone);
    flush_thread();
    tally.assert_over();
}

#[test]
fn a_closed_zone_keeps_nothing_in_reserve() {
    let (zone, tally, pages) = raw_zone(Some(4), 2);
    zone.close();
    assert_eq!(zone.reserve(1), Err(Cause::Limit));
    assert_eq!(zone.stats().reserve, 0);
    drop(zone);
    tally.assert_over();
    pages.assert_all_home();
}
