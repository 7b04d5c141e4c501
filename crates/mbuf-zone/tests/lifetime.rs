//! Zones, slots and threads that end in any order.
#![allow(unsafe_code)]

mod common;

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Barrier, Mutex, Weak, mpsc};
use std::thread;

use common::{Pages, raw_zone, steps};
use mbuf_zone::raw::{Head, discard, put, try_put};
use mbuf_zone::{Lifecycle, ObjectZone, Slot, Zone, flush_thread};

/// Something that uses a zone when it is dropped.
struct User {
    held: Vec<Slot<u64>>,
    zone: Option<Zone<u64>>,
    ran: Arc<AtomicUsize>,
}

impl Drop for User {
    fn drop(&mut self) {
        if let Some(zone) = &self.zone {
            let fresh = zone.get(3).unwrap();
            assert_eq!(*fresh, 3);
        }
        assert!(self.held.iter().all(|slot| **slot == 1));
        self.held.clear();
        self.ran.fetch_add(1, Relaxed);
    }
}

thread_local! {
    static USER: RefCell<Option<User>> = const { RefCell::new(None) };
}

/// The crate's own thread-local is torn down before or after ours, as we touch ours second or first.
#[test]
fn slots_in_thread_locals_are_freed_while_the_thread_ends() {
    for ours_first in [false, true] {
        for zone_too in [false, true] {
            let (pages, ran) = (Pages::default(), Arc::new(AtomicUsize::new(0)));
            let zone = Zone::<u64>::builder().limit(20).pages(pages.clone()).build();
            let (zone_there, ran_there) = (zone.clone(), ran.clone());
            thread::spawn(move || {
                if ours_first {
                    USER.with(|user| assert!(user.borrow().is_none()));
                }
                let held = (0..5).map(|_| zone_there.get(1).unwrap()).collect();
                let zone = zone_too.then_some(zone_there);
                USER.with(|user| *user.borrow_mut() = Some(User { held, zone, ran: ran_there }));
            })
            .join()
            .unwrap();
            assert_eq!((ran.load(Relaxed), zone.stats().in_use), (1, 0));
            let all: Vec<_> = (0..20).map(|_| zone.get(1).unwrap()).collect();
            drop((zone, all));
            pages.assert_all_home();
        }
    }
}

#[test]
fn the_last_slot_of_a_dropped_zone_may_die_in_a_thread_local() {
    for ours_first in [false, true] {
        let (pages, ran) = (Pages::default(), Arc::new(AtomicUsize::new(0)));
        let (pages_there, ran_there) = (pages.clone(), ran.clone());
        thread::spawn(move || {
            if ours_first {
                USER.with(|user| assert!(user.borrow().is_none()));
            }
            let zone = Zone::<u64>::builder().pages(pages_there).build();
            let held = (0..5).map(|_| zone.get(1).unwrap()).collect();
            drop(zone);
            USER.with(|user| *user.borrow_mut() = Some(User { held, zone: None, ran: ran_there }));
        })
        .join()
        .unwrap();
        assert_eq!(ran.load(Relaxed), 1);
        pages.assert_all_home();
    }
}

#[test]
fn a_zone_dropped_while_slots_live_keeps_their_pages_and_no_others() {
    let pages = Pages::default();
    let zone = Zone::<u64>::builder().pages(pages.clone()).build();
    let count = steps(10_000, 100) as u64;
    let mut slots: Vec<_> = (0..count).map(|i| zone.get(i).unwrap()).collect();
    let survivor = slots.remove(7);
    let with_all = pages.bytes();
    drop(slots);
    drop(zone);
    assert!(pages.bytes() <= with_all && pages.bytes() > 0);
    assert_eq!(*survivor, 7);
    thread::spawn(move || drop(survivor)).join().unwrap();
    pages.assert_all_home();
}

#[test]
fn a_closed_zone_still_allocates() {
    let (zone, tally, pages) = raw_zone(Some(4), 2);
    let before = zone.get::<0>().unwrap();
    zone.close();
    let after: Vec<_> = (0..3).map(|_| zone.get::<0>().unwrap()).collect();
    assert!(zone.get::<0>().is_err());
    // SAFETY: just got.
    after.into_iter().for_each(|object| unsafe { put::<0>(object) });
    assert_eq!((zone.stats().in_use, zone.stats().cached), (1, 0));
    drop(zone);
    assert_eq!(tally.dropped.load(Relaxed), 0);
    // SAFETY: ours.
    unsafe { put::<0>(before) };
    flush_thread();
    tally.assert_over();
    pages.assert_all_home();
}

#[test]
fn a_thread_forgets_the_zones_that_died() {
    let (count, pages) = (100, Pages::default());
    let kept = Zone::<u64>::builder().pages(pages.clone()).build();
    let mut alive = Vec::new();
    let lives: Vec<Weak<_>> = (0..count)
        .map(|i| {
            let life = Arc::new(());
            struct Life(#[expect(dead_code)] Arc<()>);
            impl Lifecycle<u64> for Life {
                fn init(&self) -> Option<u64> {
                    Some(5)
                }
            }
            let weak = Arc::downgrade(&life);
            let zone = ObjectZone::builder().pages(pages.clone()).objects(Life(life));
            drop((zone.get().unwrap(), kept.get(1).unwrap()));
            if i % 10 == 0 {
                alive.push(zone);
            }
            weak
        })
        .collect();
    // Dead ones go as new ones come, the rest when asked.
    let dead_but_kept = |lives: &[Weak<_>]| lives.iter().filter(|life| life.strong_count() > 0).count() - 10;
    assert!(dead_but_kept(&lives) < 50, "{}", dead_but_kept(&lives));
    flush_thread();
    assert_eq!(dead_but_kept(&lives), 0);
    assert!(alive.iter().all(|zone| *zone.get().unwrap() == 5));
    assert!(alive.iter().all(|zone| zone.stats().in_use == 0));
    drop((alive, kept));
    flush_thread();
    assert!(lives.iter().all(|life| life.strong_count() == 0));
    pages.assert_all_home();
}

#[test]
fn values_may_own_slots_of_their_own_zone() {
    struct Node(#[expect(dead_code)] Option<Slot<Node>>, Arc<AtomicUsize>, Option<Zone<u64>>);
    impl Drop for Node {
        fn drop(&mut self) {
            self.1.fetch_add(1, Relaxed);
            // And use other zones when they go.
            if let Some(zone) = &self.2 {
                assert_eq!(*zone.get(4).unwrap(), 4);
            }
        }
    }
    for depth in [2, steps(200, 20)] {
        let (pages, dropped) = (Pages::default(), Arc::new(AtomicUsize::new(0)));
        let zone = Zone::<Node>::builder().magazine(4).pages(pages.clone()).build();
        let numbers = Zone::<u64>::builder().pages(pages.clone()).build();
        let mut list = None;
        for _ in 0..depth {
            list = Some(zone.get(Node(list.take(), dropped.clone(), Some(numbers.clone()))).ok().unwrap());
        }
        if depth == 2 {
            drop(zone);
            drop(list);
        } else {
            drop(list);
            assert_eq!(zone.stats().in_use, 0);
            drop(zone);
        }
        assert_eq!(dropped.load(Relaxed), depth);
        drop(numbers);
        flush_thread();
        pages.assert_all_home();
    }
}

#[test]
fn objects_may_own_objects_of_their_own_zone_when_it_closes() {
    struct Node(Option<Slot<Node>>);
    struct Life;
    impl Lifecycle<Node> for Life {
        fn init(&self) -> Option<Node> {
            Some(Node(None))
        }
    }
    let (pages, (done, watch)) = (Pages::default(), mpsc::channel());
    let pages_there = pages.clone();
    let thread = thread::spawn(move || {
        let zone = ObjectZone::builder().magazine(1).pages(pages_there).objects(Life);
        let mut outer: Vec<_> = (0..9).map(|_| zone.get().unwrap()).collect();
        let inner: Vec<_> = (0..9).map(|_| zone.get().unwrap()).collect();
        for (outer, inner) in outer.iter_mut().zip(inner) {
            outer.0 = Some(inner);
        }
        // They rest with their inner objects, and give them back when they are taken apart.
        drop(outer);
        drop(zone);
        done.send(()).unwrap();
    });
    watch.recv_timeout(std::time::Duration::from_secs(60)).expect("closing the zone waits for itself");
    thread.join().unwrap();
    pages.assert_all_home();
}

/// The threads that used the zone still know it, so its pages do not go with it.
#[test]
fn the_last_slot_home_gives_back_the_pages_of_those_that_were_on_their_way() {
    /// Taken apart slowly, if it says so.
    struct Life(Arc<Barrier>);
    impl Lifecycle<bool> for Life {
        fn init(&self) -> Option<bool> {
            Some(false)
        }
        fn fini(&self, slow: bool) {
            if slow {
                self.0.wait();
                self.0.wait();
            }
        }
    }
    let (pages, barrier) = (Pages::default(), Arc::new(Barrier::new(2)));
    let zone = ObjectZone::builder().pages(pages.clone()).objects(Life(barrier.clone()));
    let (mut slow, quick) = (zone.get().unwrap(), zone.get().unwrap());
    *slow = true;
    drop(zone);
    let freeing = thread::spawn(move || drop(slow));
    barrier.wait();
    drop(quick);
    assert!(pages.bytes() > 0, "a slot is in use");
    barrier.wait();
    freeing.join().unwrap();
    pages.assert_all_home();
}

#[test]
fn a_zone_may_die_while_other_threads_allocate_and_free() {
    for round in 0..steps(300, 3) {
        let (zone, tally, pages) = raw_zone(Some(8), 2);
        let zone = Arc::new(zone);
        let shared = Arc::new(Mutex::new(Vec::new()));
        let threads: Vec<_> = (0..3)
            .map(|thread| {
                let (zone, shared) = (zone.clone(), shared.clone());
                thread::spawn(move || {
                    for step in 0..20 {
                        if let Ok(object) = zone.get::<1>() {
                            shared.lock().unwrap().push(object);
                        }
                        let object = shared.lock().unwrap().pop();
                        if let Some(object) = object {
                            // SAFETY: taken out of the list by us alone; a head is at the front of each slot.
                            unsafe {
                                let head = object.as_ptr::<Head>().as_ref();
                                match (round + step) % 3 {
                                    0 => discard(object),
                                    1 if try_put::<1>(object, head) => {}
                                    _ => put::<1>(object),
                                }
                            }
                        }
                        if step == 10 && thread == 0 {
                            zone.close();
                        }
                    }
                })
            })
            .collect();
        // Joined, not scoped: a scope does not wait for thread-locals to be torn down.
        for thread in threads {
            thread.join().unwrap();
        }
        let rest = std::mem::take(&mut *shared.lock().unwrap());
        drop(zone);
        // SAFETY: nobody else's.
        rest.into_iter().for_each(|object| unsafe { put::<0>(object) });
        flush_thread();
        tally.assert_over();
        pages.assert_all_home();
    }
}
