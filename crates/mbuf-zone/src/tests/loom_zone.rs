//! Whole zones: the limit, the end, and objects that change threads.
#![allow(unsafe_code)]

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::alloc::Layout;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use loom::sync::atomic::AtomicBool;
use loom::thread;

use super::explore;
use crate::page::{Heap, PageSource};
use crate::raw::{Hooks, Object, RawZone, Settings, Shape, put};

/// Counts, outside loom's sight, what must come to nothing.
#[derive(Default)]
struct Counts {
    made: AtomicUsize,
    finished: AtomicUsize,
    hooks_dropped: AtomicUsize,
    runs: AtomicUsize,
}

struct Counted(Arc<Counts>);

// SAFETY: objects are bare slots.
unsafe impl Hooks for Counted {
    unsafe fn init(&self, _: Object, _: Option<NonNull<u8>>) -> bool {
        self.0.made.fetch_add(1, Ordering::Relaxed);
        true
    }

    unsafe fn fini(&self, _: Object) -> Option<Object> {
        self.0.finished.fetch_add(1, Ordering::Relaxed);
        None
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.hooks_dropped.fetch_add(1, Ordering::Relaxed);
    }
}

struct CountedHeap(Arc<Counts>);

// SAFETY: passes everything on.
unsafe impl PageSource for CountedHeap {
    fn acquire(&self, layout: Layout) -> Option<NonNull<u8>> {
        self.0.runs.fetch_add(1, Ordering::Relaxed);
        Heap.acquire(layout)
    }

    unsafe fn release(&self, run: NonNull<u8>, layout: Layout) {
        self.0.runs.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: by this function's contract.
        unsafe { Heap.release(run, layout) }
    }
}

fn zone(limit: usize, counts: &Arc<Counts>) -> Arc<RawZone> {
    let settings = Settings {
        limit: Some(limit),
        magazine: 2,
        source: Arc::new(CountedHeap(counts.clone())),
        ..Settings::default()
    };
    Arc::new(RawZone::new(
        Shape::new(Layout::from_size_align(16, 16).unwrap()),
        &settings,
        Box::new(Counted(counts.clone())),
    ))
}

/// The zone is gone, with all that was in it.
fn check(counts: &Counts) {
    assert_eq!(counts.made.load(Ordering::Relaxed), counts.finished.load(Ordering::Relaxed));
    assert_eq!(counts.hooks_dropped.load(Ordering::Relaxed), 1, "the zone lives on");
    assert_eq!(counts.runs.load(Ordering::Relaxed), 0, "pages were kept");
}

#[test]
fn an_object_freed_into_a_cache_of_another_thread_is_found_at_the_limit() {
    explore("  freed elsewhere", 5, || {
        let counts = Arc::new(Counts::default());
        let zone = zone(1, &counts);
        let object = zone.get::<0>().unwrap();
        let freed = Arc::new(AtomicBool::new(false));
        let other = {
            let (zone, freed) = (zone.clone(), freed.clone());
            thread::spawn(move || {
                let must = freed.load(Ordering::Acquire);
                let mut local = zone.local();
                match local.get() {
                    // SAFETY: just got.
                    Ok(object) => unsafe { local.put(object) },
                    Err(_) => assert!(!must, "the object was free"),
                }
            })
        };
        // This thread frees what another zone call allocated, into a cache that sees no more operations.
        let mut local = zone.local();
        // SAFETY: ours.
        unsafe { local.put(object) };
        freed.store(true, Ordering::Release);
        other.join().unwrap();
        drop(local);
        drop(zone);
        check(&counts);
    });
}

#[test]
fn an_allocation_never_fails_while_fewer_objects_are_in_use_than_the_limit() {
    explore("  two threads, an object each, limit two", 5, || {
        let counts = Arc::new(Counts::default());
        let zone = zone(2, &counts);
        let other = {
            let zone = zone.clone();
            thread::spawn(move || {
                let mut local = zone.local();
                for _ in 0..2 {
                    let object = local.get().expect("at most one other object is in use");
                    // SAFETY: just got.
                    unsafe { local.put(object) };
                }
            })
        };
        let mut local = zone.local();
        for _ in 0..2 {
            let object = local.get().expect("at most one other object is in use");
            // SAFETY: just got.
            unsafe { local.put(object) };
        }
        drop(local);
        other.join().unwrap();
        drop(zone);
        check(&counts);
    });
}

#[test]
fn the_last_object_is_found_though_it_moves_while_others_look_for_it() {
    explore("  three threads, limit two, two permits", 3, || {
        let counts = Arc::new(Counts::default());
        let zone = zone(2, &counts);
        // Both objects are free, in a cache whose owner is asleep.
        let mut asleep = zone.local();
        let objects = [asleep.get().unwrap(), asleep.get().unwrap()];
        for object in objects {
            // SAFETY: just got.
            unsafe { asleep.put(object) };
        }
        let others = [0, 1].map(|_| {
            let zone = zone.clone();
            thread::spawn(move || {
                let mut local = zone.local();
                let object = local.get().expect("at most one other object is in use");
                // SAFETY: just got.
                unsafe { local.put(object) };
            })
        });
        for other in others {
            other.join().unwrap();
        }
        drop(asleep);
        drop(zone);
        check(&counts);
    });
}

#[test]
fn a_zone_may_close_while_a_thread_allocates_and_frees() {
    explore("  close against owner", 5, || {
        let counts = Arc::new(Counts::default());
        let zone = zone(2, &counts);
        let other = {
            let zone = zone.clone();
            thread::spawn(move || {
                let mut local = zone.local();
                for _ in 0..2 {
                    if let Ok(object) = local.get() {
                        // SAFETY: just got.
                        unsafe { local.put(object) };
                    }
                }
            })
        };
        zone.close();
        other.join().unwrap();
        drop(zone);
        check(&counts);
    });
}

#[test]
fn objects_of_a_closing_zone_come_home_from_other_threads() {
    explore("  close against two frees", 5, || {
        let counts = Arc::new(Counts::default());
        let zone = zone(2, &counts);
        let objects = [zone.get::<0>().unwrap(), zone.get::<0>().unwrap()];
        let others = objects.map(|object| {
            thread::spawn(move || {
                // SAFETY: handed over by the thread that got it.
                unsafe { put::<0>(object) };
            })
        });
        // As a thread does that used the zone: it keeps the zone, which keeps no pages.
        let known = zone.core().clone();
        drop(zone);
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(counts.runs.load(Ordering::Relaxed), 0, "pages of a closed zone without objects");
        drop(known);
        check(&counts);
    });
}

#[test]
fn trim_beside_an_owner_loses_nothing() {
    explore("  trim against owner", 5, || {
        let counts = Arc::new(Counts::default());
        let zone = zone(2, &counts);
        let other = {
            let zone = zone.clone();
            thread::spawn(move || {
                let mut local = zone.local();
                let object = local.get().unwrap();
                // SAFETY: just got.
                unsafe { local.put(object) };
                drop(local);
            })
        };
        zone.trim();
        other.join().unwrap();
        zone.trim();
        assert_eq!(zone.stats().total, 0);
        drop(zone);
        check(&counts);
    });
}
