//! Waiting: no call is lost, whatever frees, waits or gives up at the same time.
#![allow(unsafe_code)]

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::task::Wake;
use core::alloc::Layout;
use core::ptr::NonNull;
use core::task::{Context, Waker};

use loom::thread;

use super::explore;
use crate::raw::{Cause, Group, Hooks, Object, RawZone, Settings, Shape, put};
use crate::wait::WaitQueue;

/// Bare slots; what comes back calls the queue.
struct Calling(Arc<WaitQueue>);

// SAFETY: objects are bare slots.
unsafe impl Hooks for Calling {
    unsafe fn init(&self, _: Object, _: Option<NonNull<u8>>) -> bool {
        true
    }

    unsafe fn fini(&self, _: Object) -> Option<Object> {
        None
    }

    fn is_quiet(&self) -> bool {
        true
    }

    fn freed(&self) {
        self.0.call();
    }
}

struct Model {
    zone: RawZone,
    queue: Arc<WaitQueue>,
}

impl Model {
    fn new(limit: usize) -> Arc<Self> {
        let queue = Arc::new(WaitQueue::new());
        let settings = Settings { limit: Some(limit), magazine: 2, ..Settings::default() };
        let shape = Shape::new(Layout::from_size_align(16, 16).unwrap());
        Arc::new(Model { zone: RawZone::new(shape, &settings, Box::new(Calling(queue.clone()))), queue })
    }

    /// Waits for an object. Loom says so if it would wait for ever.
    fn wait(&self) -> Object {
        let mut ticket = self.queue.join();
        self.zone.watch();
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let object = loop {
            if ticket.poll(&mut Context::from_waker(&waker)).is_pending() {
                thread::park();
                continue;
            }
            match self.zone.get::<0>() {
                Ok(object) => break object,
                Err(cause) => assert_eq!(cause, Cause::Limit),
            }
        };
        self.zone.unwatch();
        object
    }
}

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[test]
fn a_waiter_gets_what_is_freed_at_the_same_time() {
    explore("  waiter against free", 4, || {
        let model = Model::new(1);
        let object = model.zone.get::<0>().unwrap();
        let waiter = {
            let model = model.clone();
            thread::spawn(move || {
                let object = model.wait();
                // SAFETY: just got.
                unsafe { put::<0>(object) };
            })
        };
        // SAFETY: ours.
        unsafe { put::<0>(object) };
        waiter.join().unwrap();
        assert_eq!(model.zone.stats().in_use, 0);
    });
}

#[test]
fn a_waiter_gets_what_is_freed_into_a_cache_at_the_same_time() {
    explore("  waiter against free into a cache", 3, || {
        let model = Model::new(1);
        let waiter = {
            let model = model.clone();
            thread::spawn(move || {
                let object = model.wait();
                // SAFETY: just got.
                unsafe { put::<0>(object) };
            })
        };
        let mut local = model.zone.local();
        if let Ok(object) = local.get() {
            // SAFETY: just got.
            unsafe { local.put(object) };
        }
        waiter.join().unwrap();
        drop(local);
        assert_eq!(model.zone.stats().in_use, 0);
    });
}

#[test]
fn one_who_gives_up_passes_its_call_on() {
    explore("  cancel against wake", 3, || {
        let model = Model::new(1);
        let object = model.zone.get::<0>().unwrap();
        // In the queue before the other, and never tries.
        let mut fickle = model.queue.join();
        let waiter = {
            let model = model.clone();
            thread::spawn(move || {
                let object = model.wait();
                // SAFETY: just got.
                unsafe { put::<0>(object) };
            })
        };
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let _ = fickle.poll(&mut Context::from_waker(&waker));
        let freer = thread::spawn(move || {
            // SAFETY: handed over by who got it.
            unsafe { put::<0>(object) };
        });
        drop(fickle);
        freer.join().unwrap();
        waiter.join().unwrap();
        assert!(model.queue.is_empty());
    });
}

#[test]
fn a_limit_that_two_zones_share_is_exact() {
    explore("  two zones over one keg, two threads, two permits", 3, || {
        let queue = Arc::new(WaitQueue::new());
        let settings =
            Settings { limit: Some(2), magazine: 1, group: Some(Group::new()), ..Settings::default() };
        let shape = Shape::new(Layout::from_size_align(16, 16).unwrap());
        let first = RawZone::new(shape, &settings, Box::new(Calling(queue.clone())));
        let second = Arc::new(first.secondary(&settings, Box::new(Calling(queue))));
        // Both objects rest in the first zone.
        let objects = [first.get::<0>().unwrap(), first.get::<0>().unwrap()];
        for object in objects {
            // SAFETY: just got.
            unsafe { put::<0>(object) };
        }
        let other = {
            let second = second.clone();
            thread::spawn(move || {
                let object = second.get::<0>().expect("at most one other object is in use");
                // SAFETY: just got.
                unsafe { put::<0>(object) };
            })
        };
        for zone in [&first, &*second] {
            let object = zone.get::<0>().expect("at most one other object is in use");
            // SAFETY: just got.
            unsafe { put::<0>(object) };
        }
        other.join().unwrap();
    });
}
