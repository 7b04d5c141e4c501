//! Zones of values and of objects, as their users see them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use mbuf_zone::{Cause, Exhausted, Lifecycle, ObjectZone, Slot, Zone};

#[test]
fn a_slot_is_one_pointer_wide_and_so_is_its_option() {
    assert_eq!(size_of::<Slot<[u8; 100]>>(), size_of::<usize>());
    assert_eq!(size_of::<Option<Slot<[u8; 100]>>>(), size_of::<usize>());
}

#[test]
fn one_thread_can_take_exactly_the_limit() {
    for limit in [1, 2, 63, 64, 65, 200] {
        for locked in [false, true] {
            let zone = Zone::<usize>::builder().limit(limit).locked(locked).build();
            for _ in 0..3 {
                let slots: Vec<_> = (0..limit).map(|i| zone.get(i).unwrap()).collect();
                let (error, value) = zone.get(77).unwrap_err();
                assert_eq!((error.cause, error.limit, value), (Cause::Limit, Some(limit), 77));
                assert_eq!(zone.stats().in_use, limit);
                assert!(slots.iter().enumerate().all(|(i, slot)| **slot == i));
            }
            assert_eq!(zone.stats().in_use, 0);
        }
    }
}

#[test]
fn a_value_that_is_moved_out_leaves_its_slot_free() {
    let (zone, token) = (Zone::<Arc<()>>::builder().limit(1).build(), Arc::new(()));
    for _ in 0..3 {
        let value = zone.get(token.clone()).unwrap().into_inner();
        assert_eq!((zone.stats().in_use, zone.stats().cached, Arc::strong_count(&token)), (0, 1, 2));
        drop(value);
    }
}

#[test]
fn what_was_put_into_a_local_cache_last_comes_from_it_first() {
    let zone = Zone::<u32>::builder().magazine(4).build();
    let mut local = zone.local();
    let place = |slot: &Slot<u32>| std::ptr::from_ref(&**slot).addr();
    let slot = local.get(1).unwrap();
    let at = place(&slot);
    local.put(slot);
    let other = zone.get(2).unwrap();
    assert!(place(&other) != at, "the thread has a cache of its own");
    let slot = local.get(3).unwrap();
    assert_eq!(place(&slot), at);
    // What is flushed is for others.
    local.put(slot);
    local.flush();
    let there = thread::scope(|scope| scope.spawn(|| place(&zone.get(4).unwrap())).join().unwrap());
    assert_eq!(there, at);
}

#[test]
fn values_slots_are_made_half_a_magazine_at_a_time() {
    let zone = Zone::<u32>::builder().magazine(8).build();
    let slots = [0; 5].map(|i| zone.get(i).unwrap());
    assert_eq!((zone.stats().in_use, zone.stats().cached), (slots.len(), 3));
}

#[test]
fn zones_slots_and_errors_can_be_printed() {
    let zone = Zone::<usize>::builder().limit(1).build();
    assert!(format!("{zone:?}").starts_with("Zone(ZoneStats {"));
    let slot = zone.get(7).unwrap();
    assert_eq!(format!("{slot:?}"), "7");
    let said = |cause, limit| Exhausted { cause, limit }.to_string();
    assert_eq!(zone.get(8).unwrap_err().0.to_string(), said(Cause::Limit, Some(1)));
    assert_eq!(said(Cause::Limit, Some(5)), "all 5 objects of the zone are in use");
    assert_eq!(said(Cause::Part, Some(5)), "a part of the object could not be had");
    assert_eq!(said(Cause::PartRefused, None), said(Cause::Part, None));
    assert_eq!(said(Cause::Refused, None), "the zone's hooks refused");
    assert_eq!(said(Cause::Memory, Some(5)), "the zone's page source is out of memory");
}

#[test]
fn free_slots_in_other_threads_caches_are_found_before_an_allocation_fails() {
    for locked in [false, true] {
        let limit = if cfg!(miri) { 20 } else { 300 };
        let zone = Zone::<usize>::builder().limit(limit).locked(locked).build();
        let (to_others, others) =
            (Arc::new(std::sync::Barrier::new(4)), Arc::new(std::sync::Barrier::new(4)));
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (zone, to_others, others) = (zone.clone(), to_others.clone(), others.clone());
                thread::spawn(move || {
                    drop((0..limit / 3).map(|i| zone.get(i).unwrap()).collect::<Vec<_>>());
                    to_others.wait();
                    others.wait();
                    // The cache that was emptied under this thread still works.
                    drop(zone.get(1).unwrap());
                })
            })
            .collect();
        to_others.wait();
        let all: Vec<_> = (0..limit).map(|i| zone.get(i).unwrap()).collect();
        assert!(zone.get(0).is_err());
        drop(all);
        others.wait();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(zone.stats().in_use, 0);
    }
}

#[test]
fn slots_outlive_the_zone_and_come_home_from_another_thread() {
    let counted = Arc::new(AtomicUsize::new(0));
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let zone = Zone::<Counted>::builder().limit(100).build();
    let slots: Vec<_> = (0..100).map(|_| zone.get(Counted(counted.clone())).ok().unwrap()).collect();
    drop(zone);
    thread::spawn(move || drop(slots)).join().unwrap();
    assert_eq!(counted.load(Ordering::Relaxed), 100);
}

#[test]
fn objects_rest_constructed_and_are_finished_when_the_zone_is_trimmed() {
    #[derive(Default)]
    struct Count {
        init: AtomicUsize,
        ctor: AtomicUsize,
        dtor: AtomicUsize,
        fini: AtomicUsize,
    }
    struct Life(Arc<Count>);
    impl Lifecycle<Box<u32>> for Life {
        fn init(&self) -> Option<Box<u32>> {
            (self.0.init.fetch_add(1, Ordering::Relaxed) < 50).then(|| Box::new(1))
        }
        fn ctor(&self, _: &mut Box<u32>) {
            self.0.ctor.fetch_add(1, Ordering::Relaxed);
        }
        fn dtor(&self, _: &mut Box<u32>) {
            self.0.dtor.fetch_add(1, Ordering::Relaxed);
        }
        fn fini(&self, object: Box<u32>) {
            assert_eq!(*object, 1);
            self.0.fini.fetch_add(1, Ordering::Relaxed);
        }
    }
    let count = Arc::new(Count::default());
    let zone = ObjectZone::builder().objects(Life(count.clone()));
    let held: Vec<_> = (0..50).map(|_| zone.get().unwrap()).collect();
    assert_eq!(zone.get().unwrap_err().cause, Cause::Part);
    drop(held);
    for _ in 0..10 {
        drop(zone.get().unwrap());
    }
    assert_eq!((count.ctor.load(Ordering::Relaxed), count.dtor.load(Ordering::Relaxed)), (60, 60));
    assert_eq!(count.fini.load(Ordering::Relaxed), 0);
    assert!(zone.trim() > 0);
    assert_eq!(count.fini.load(Ordering::Relaxed), 50);
    assert_eq!(zone.stats().total, 0);
}

#[test]
fn threads_that_pass_slots_around_lose_none() {
    let rounds = if cfg!(miri) { 60 } else { 20_000 };
    for locked in [false, true] {
        let limit = 64;
        let zone = Zone::<usize>::builder().limit(limit).magazine(8).locked(locked).build();
        let (sender, receiver) = std::sync::mpsc::sync_channel::<Slot<usize>>(32);
        let receiver = Arc::new(std::sync::Mutex::new(receiver));
        let makers: Vec<_> = (0..2)
            .map(|_| {
                let (zone, sender) = (zone.clone(), sender.clone());
                thread::spawn(move || {
                    for i in 0..rounds {
                        match zone.get(i) {
                            Ok(slot) => sender.send(slot).unwrap(),
                            Err((error, _)) => assert_eq!(error.cause, Cause::Limit),
                        }
                    }
                })
            })
            .collect();
        drop(sender);
        let takers: Vec<_> = (0..2)
            .map(|_| {
                let receiver = receiver.clone();
                thread::spawn(move || {
                    loop {
                        let Ok(slot) = receiver.lock().unwrap().recv() else { break };
                        assert!(*slot < rounds);
                    }
                })
            })
            .collect();
        for thread in makers.into_iter().chain(takers) {
            thread.join().unwrap();
        }
        assert_eq!(zone.stats().in_use, 0, "{:?}", zone.stats());
        let all: Vec<_> = (0..limit).map(|i| zone.get(i).unwrap()).collect();
        assert_eq!(all.len(), limit);
    }
}
