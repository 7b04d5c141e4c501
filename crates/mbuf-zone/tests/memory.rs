//! A process that runs out of memory, for everything but pages. Those are mapped, and what is left over is unmapped, which Miri
//! cannot do.
#![cfg(all(unix, not(miri)))]
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use mbuf_zone::{Cause, Exhausted, Mmap, Slot, Zone, flush_thread};

thread_local! {
    /// Allocations of this thread of so many bytes, and larger ones, fail.
    static TOO_LARGE: Cell<usize> = const { Cell::new(usize::MAX) };
}

struct Short;

// SAFETY: the system's, or none.
unsafe impl GlobalAlloc for Short {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() >= TOO_LARGE.get() {
            return std::ptr::null_mut();
        }
        // SAFETY: by this function's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: by this function's contract.
        unsafe { System.dealloc(memory, layout) };
    }
}

#[global_allocator]
static SHORT: Short = Short;

fn without<R>(too_large: usize, f: impl FnOnce() -> R) -> R {
    TOO_LARGE.set(too_large);
    let result = f();
    TOO_LARGE.set(usize::MAX);
    result
}

fn get(zone: &Zone<[u64; 100]>) -> Result<Slot<[u64; 100]>, Cause> {
    zone.get_with(|| [7; 100]).map_err(|Exhausted { cause, .. }| cause)
}

#[test]
fn a_slab_whose_record_cannot_be_had_is_memory_that_cannot() {
    let zone = Zone::<[u64; 100]>::builder().pages(Mmap::new()).build();
    let mut held = Vec::with_capacity(10_000);
    for _ in 0..8 {
        let before = zone.stats();
        held.push(get(&zone).unwrap());
        assert!(zone.stats().total > before.total, "a slab more");
        // All slots that there are can be had without memory.
        held.extend(std::iter::from_fn(|| without(1, || get(&zone)).ok()));
        let after = zone.stats();
        assert_eq!((after.in_use, after.cached, after.total), (held.len(), 0, held.len()));
        assert_eq!(without(1, || get(&zone)).map(drop), Err(Cause::Memory));
    }
    drop(held);
    assert_eq!(zone.stats().in_use, 0);
}

#[test]
fn who_gets_no_memory_for_a_cache_works_without_one() {
    let zone = Zone::<[u64; 100]>::builder().magazine(1000).pages(Mmap::new()).build();
    without(2048, || {
        let mut local = zone.local();
        let slots = [get(&zone).unwrap(), get(&zone).unwrap()];
        let other = local.get([8; 100]).unwrap();
        assert_eq!((zone.stats().in_use, zone.stats().gets), (3, 3));
        drop(slots);
        local.put(other);
    });
    // Now there is.
    drop(get(&zone).unwrap());
    assert_eq!((zone.stats().in_use, zone.stats().gets), (0, 4));
    flush_thread();
}
