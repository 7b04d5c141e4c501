//! One cache, its owner, and those who empty it.
#![allow(unsafe_code)]

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem::MaybeUninit;
use core::num::NonZeroUsize;
use core::ptr::NonNull;

use loom::thread;

use super::explore;
use crate::cache::{Cache, collect_all};
use crate::depot::Depot;
use crate::head::Object;
use crate::sync::Mutex;

const ROOM: usize = 3;

/// The object with this name. Nothing here looks at what it points to.
fn named(name: usize) -> Object {
    Object::new(NonNull::without_provenance(NonZeroUsize::new(name * 16).unwrap()))
}

/// One step of the owner.
#[derive(Clone, Copy, Debug)]
enum Step {
    Pop,
    Push,
    PopMany,
    PushMany,
    Flush,
}
use Step::*;

struct Model {
    cache: Cache,
    depot: Depot,
    collecting: Mutex<()>,
}

impl Model {
    /// An open cache with the objects `1..=n`.
    fn new(n: usize) -> Arc<Self> {
        let model = Model {
            cache: Cache::new(ROOM, false).unwrap(),
            depot: Depot::new(),
            collecting: Mutex::new(()),
        };
        // A cache starts out shut: open it.
        model.put(named(99));
        model.get().unwrap();
        for name in 1..=n {
            model.put(named(name));
        }
        Arc::new(model)
    }

    fn get(&self) -> Option<Object> {
        // SAFETY: the callers are the owner, one after the other.
        unsafe { self.cache.pop().or_else(|| Some(self.cache.refill(&self.depot).ok()?.0)) }
    }

    fn put(&self, object: Object) {
        // SAFETY: as above; objects are given away.
        let past = unsafe { self.cache.push(object).or_else(|object| self.cache.drain(object, &self.depot)) };
        if let Err(object) = past {
            self.depot.stock.lock().loose.push(object);
        }
    }

    /// The owner's part: takes `steps`, and returns what it has in the end.
    fn own(&self, steps: &[Step], mut mine: Vec<Object>) -> Vec<Object> {
        for step in steps {
            match step {
                Pop => mine.extend(self.get()),
                Push => {
                    if let Some(object) = mine.pop() {
                        self.put(object);
                    }
                }
                PopMany => {
                    let mut out = [MaybeUninit::uninit(); 2];
                    // SAFETY: the owner; the first `n` are written.
                    unsafe {
                        let n = self.cache.pop_many(&mut out, |object| object);
                        mine.extend(out[..n].iter().map(|object| object.assume_init()));
                    }
                }
                PushMany => {
                    // SAFETY: the owner; the objects are given away.
                    let n = unsafe { self.cache.push_many(mine.iter().copied()) };
                    mine.drain(..n);
                }
                // SAFETY: the owner.
                Flush => unsafe { self.cache.empty(&self.depot) },
            }
        }
        mine
    }

    /// The collector's part, as in `Core::collect` and `Core::close`.
    fn collect(&self, close: bool) {
        let _held = self.depot.hold();
        let _one = self.collecting.lock();
        let mut objects = Vec::new();
        collect_all([&self.cache].into_iter(), &mut objects, close);
        self.depot.stock.lock().loose.append(&mut objects);
    }

    /// Every object is in one place.
    fn check(&self, mut held: Vec<Object>, objects: usize) {
        self.own(&[Flush], Vec::new());
        let mut stock = self.depot.stock.lock();
        while let Some(object) = stock.pop() {
            held.push(object);
        }
        let mut names: Vec<usize> = held.iter().map(|o| o.as_ptr::<u8>().addr().get() / 16).collect();
        names.sort_unstable();
        assert_eq!(names, (1..=objects).collect::<Vec<_>>());
    }
}

/// `cached` objects in the cache, `mine` more with the owner, who takes `steps` while others collect.
fn run(cached: usize, mine: usize, steps: &'static [Step], collectors: &'static [bool]) {
    let name = std::format!("  {cached} cached, {mine} with the owner, {steps:?}, {collectors:?}");
    explore(&name, (collectors.len() > 1).then_some(3), move || {
        let model = Model::new(cached);
        let others: Vec<_> = collectors
            .iter()
            .map(|&close| {
                let model = model.clone();
                thread::spawn(move || model.collect(close))
            })
            .collect();
        let held = model.own(steps, (cached + 1..=cached + mine).map(named).collect());
        for other in others {
            other.join().unwrap();
        }
        model.check(held, cached + mine);
    });
}

const COLLECT: bool = false;
const CLOSE: bool = true;

#[test]
fn a_collection_during_a_pop_or_push_loses_no_object_and_gives_none_twice() {
    for cached in 0..=3 {
        run(cached, 0, &[Pop], &[COLLECT]);
        run(cached, 1, &[Push], &[COLLECT]);
    }
}

#[test]
fn a_collection_during_bulk_operations_loses_no_object_and_gives_none_twice() {
    run(2, 0, &[PopMany], &[COLLECT]);
    run(1, 0, &[PopMany, Push], &[COLLECT]);
    run(0, 2, &[PushMany], &[COLLECT]);
    run(1, 2, &[PushMany, Pop], &[COLLECT]);
    run(2, 0, &[PopMany, PushMany], &[COLLECT]);
    run(3, 2, &[PopMany, PushMany, PopMany, Push], &[COLLECT]);
}

#[test]
fn the_owner_goes_on_after_a_collection() {
    run(1, 1, &[Push, Pop], &[COLLECT]);
    run(2, 0, &[Pop, Push], &[COLLECT]);
    run(2, 1, &[Push, Push], &[COLLECT]);
    run(2, 0, &[Pop, Pop, Push], &[COLLECT]);
    run(1, 2, &[Push, Push, Pop, Push], &[COLLECT]);
    run(2, 2, &[Pop, Push, Push, Push, Pop, Pop], &[COLLECT]);
}

#[test]
fn a_flush_during_a_collection_loses_no_object() {
    run(2, 1, &[Flush, Push], &[COLLECT]);
    run(2, 1, &[Push, Flush, Pop], &[COLLECT]);
}

#[test]
fn two_collectors_take_each_object_once() {
    run(1, 0, &[Pop, Push], &[COLLECT, COLLECT]);
    run(2, 1, &[Push, Pop, Pop], &[COLLECT, COLLECT]);
    run(1, 1, &[Push, Pop], &[COLLECT, COLLECT]);
}

#[test]
fn a_closed_cache_keeps_nothing_whatever_its_owner_was_about() {
    for collectors in [&[CLOSE][..], &[COLLECT, CLOSE]] {
        run(1, 0, &[Pop, Push], collectors);
        run(1, 1, &[Push, Pop], collectors);
        run(1, 1, &[PushMany, PopMany], collectors);
    }
}

#[test]
fn magazines_go_through_the_depot_between_two_owners() {
    explore("  two owners", 5, || {
        let model = Model::new(0);
        let giver = {
            let model = model.clone();
            thread::spawn(move || {
                // Two magazines stay here, the next goes to the depot.
                let held = model.own(&[Push; 7], (1..=7).map(named).collect());
                assert!(held.is_empty());
                model.own(&[Pop, Pop, Push, Flush], held)
            })
        };
        // The other owner takes what came to the depot, if it came, and brings it back.
        let other = Cache::new(ROOM, false).unwrap();
        let mut taken = Vec::new();
        for _ in 0..2 {
            // SAFETY: this thread owns the other cache.
            taken.extend(unsafe { other.pop().or_else(|| Some(other.refill(&model.depot).ok()?.0)) });
        }
        while let Some(object) = taken.pop() {
            // SAFETY: as above; objects are given away.
            unsafe {
                let past = other.push(object).or_else(|object| other.drain(object, &model.depot));
                assert!(past.is_ok());
            }
        }
        // SAFETY: as above.
        unsafe { other.empty(&model.depot) };
        let held = giver.join().unwrap();
        model.check(held, 7);
    });
}
