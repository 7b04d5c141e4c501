//! The caches of the running thread.
//!
//! A thread keeps one cache per zone it used, in a list. Beside it, for a few **lanes**, it keeps the zone and the
//! cache it used last. A lane is a constant of the call site (`mbuf` gives each kind of object its own), so that
//! the inlined path compares the object's zone with the lane's and then uses the lane's cache: the zone becomes
//! control flow, which the processor predicts, and no address is computed from what was just loaded.
//!
//! The lanes have no destructor, so reading them costs one instruction and works at any time, even while the
//! thread's other thread-locals are being torn down. The list has one: it empties the caches and clears the lanes.
//! Operations after that go to the depot.
#![allow(unsafe_code)]

use alloc::sync::Arc;

use crate::head::{Head, Object};
use crate::keg::Cause;
use crate::zone::Core;

/// Number of lanes. Call sites with different kinds of objects use different ones; sharing one is only slower.
pub const LANES: usize = 8;

#[cfg(all(feature = "std", not(loom)))]
mod imp {
    use super::*;
    use crate::cache::Cache;
    use alloc::vec::Vec;
    use std::cell::{Cell, RefCell};
    use std::ptr;

    /// # Invariants
    /// 1. `cache` is null, or this thread owns it, it belongs to `zone`, and the thread's list holds both.
    struct Lane {
        zone: Cell<*const Core>,
        cache: Cell<*const Cache>,
    }

    thread_local! {
        static HOT: [Lane; LANES] = const {
            [const { Lane { zone: Cell::new(ptr::null()), cache: Cell::new(ptr::null()) } }; LANES]
        };
        static MINE: RefCell<Mine> = const { RefCell::new(Mine { entries: Vec::new() }) };
    }

    struct Mine {
        /// Sorted by the zone's address.
        entries: Vec<(Arc<Core>, Arc<Cache>)>,
    }

    impl Drop for Mine {
        fn drop(&mut self) {
            clear_lanes();
            for (core, cache) in self.entries.drain(..) {
                // SAFETY: this thread owns the caches in its list, and the lanes no longer name them.
                unsafe { core.unregister(&cache) };
            }
        }
    }

    fn clear_lanes() {
        HOT.with(|lanes| {
            for lane in lanes {
                lane.zone.set(ptr::null());
                lane.cache.set(ptr::null());
            }
        });
    }

    #[inline(always)]
    pub(super) fn hot<const LANE: usize>(zone: *const Core) -> Option<&'static Cache> {
        HOT.with(|lanes| {
            let lane = &lanes[LANE];
            if ptr::eq(lane.zone.get(), zone) && !zone.is_null() {
                // SAFETY: the zone is not null, so the cache is live and ours (invariant 1). It lives until the lane
                // is cleared; callers use it at once.
                Some(unsafe { &*lane.cache.get() })
            } else {
                None
            }
        })
    }

    /// This thread's cache of the zone, made if need be; the lane is set to it. `None` if the zone is closed or
    /// the thread is past the end of its list.
    #[cold]
    pub(super) fn find<const LANE: usize>(core: &Arc<Core>) -> Option<Arc<Cache>> {
        let found = MINE.try_with(|mine| {
            let mut mine = mine.try_borrow_mut().ok()?;
            let at = match mine.entries.binary_search_by_key(&Arc::as_ptr(core), |(c, _)| Arc::as_ptr(c)) {
                Ok(at) => at,
                Err(at) => {
                    let cache = core.register()?;
                    mine.entries.insert(at, (core.clone(), cache));
                    at
                }
            };
            Some(mine.entries[at].1.clone())
        });
        let cache = found.ok().flatten()?;
        HOT.with(|lanes| {
            lanes[LANE].zone.set(Arc::as_ptr(core));
            lanes[LANE].cache.set(Arc::as_ptr(&cache));
        });
        sweep();
        Some(cache)
    }

    /// Forgets the caches of closed zones, now and then.
    fn sweep() {
        let gone = MINE.try_with(|mine| {
            let Ok(mut mine) = mine.try_borrow_mut() else { return Vec::new() };
            if mine.entries.len() < 16 {
                return Vec::new();
            }
            let (gone, kept) = mine.entries.drain(..).partition(|(core, _)| core.is_closed());
            mine.entries = kept;
            gone
        });
        let gone: Vec<(Arc<Core>, Arc<Cache>)> = gone.unwrap_or_default();
        if gone.is_empty() {
            return;
        }
        HOT.with(|lanes| {
            for lane in lanes {
                if gone.iter().any(|(core, _)| ptr::eq(Arc::as_ptr(core), lane.zone.get())) {
                    lane.zone.set(ptr::null());
                    lane.cache.set(ptr::null());
                }
            }
        });
        for (core, cache) in gone {
            // SAFETY: this thread owned the cache; neither its list nor a lane names it any more.
            unsafe { core.unregister(&cache) };
        }
    }

    /// Empties this thread's caches into the depots.
    pub fn flush() {
        let entries = MINE.try_with(|mine| mine.try_borrow().map(|m| m.entries.clone()).unwrap_or_default());
        for (core, cache) in entries.unwrap_or_default() {
            // SAFETY: this thread owns the caches in its list.
            unsafe { core.flush(&cache) };
        }
    }
}

#[cfg(any(not(feature = "std"), loom))]
mod imp {
    use super::*;
    use crate::cache::Cache;

    #[inline(always)]
    pub(super) fn hot<const LANE: usize>(_: *const Core) -> Option<&'static Cache> {
        None
    }

    pub(super) fn find<const LANE: usize>(_: &Arc<Core>) -> Option<Arc<Cache>> {
        None
    }

    /// Empties this thread's caches into the depots. Without thread-locals there are none.
    pub fn flush() {}
}

pub use imp::flush;

#[inline(always)]
pub(crate) fn get<const LANE: usize>(core: &Arc<Core>) -> Result<Object, Cause> {
    if let Some(cache) = imp::hot::<LANE>(Arc::as_ptr(core)) {
        // SAFETY: the lane's cache is owned by this thread.
        if let Some(object) = unsafe { cache.pop() } {
            return Ok(object);
        }
    }
    get_slow::<LANE>(core)
}

#[cold]
#[inline(never)]
fn get_slow<const LANE: usize>(core: &Arc<Core>) -> Result<Object, Cause> {
    let Some(cache) = imp::find::<LANE>(core) else { return core.get_shared() };
    // SAFETY: `find` gives this thread's own cache of this zone.
    match unsafe { cache.pop() } {
        Some(object) => Ok(object),
        // SAFETY: as above.
        None => unsafe { core.get_slow(&cache) },
    }
}

/// Gives back an object if it is an unmarked one of the zone this thread used last in this lane, and there is room.
/// Otherwise returns false and has done nothing.
///
/// # Safety
/// If the object is unmarked: it is a free one of its zone that the caller gives away on success. In any case
/// `head` is its head, and live.
#[inline(always)]
pub unsafe fn try_put<const LANE: usize>(object: Object, head: &Head) -> bool {
    match imp::hot::<LANE>(head.home_marked()) {
        // SAFETY: the lane's cache is owned by this thread and belongs to the object's zone.
        Some(cache) => unsafe { cache.push(object) }.is_ok(),
        None => false,
    }
}

/// Gives back an object to whatever zone it belongs to.
///
/// # Safety
/// The object is a free one of its zone, unmarked, that the caller gives away.
#[cold]
#[inline(never)]
pub unsafe fn put<const LANE: usize>(object: Object) {
    // SAFETY: the object is out of its keg, so its head is live and its zone too; the `Arc` made here keeps the
    // zone while the object goes.
    let core = unsafe {
        let home = object.head().home();
        Arc::increment_strong_count(home);
        Arc::from_raw(home)
    };
    match imp::find::<LANE>(&core) {
        None => core.put_shared(object),
        Some(cache) => {
            // SAFETY: this thread's own cache of the object's zone; the object by this function's contract.
            if let Err(object) = unsafe { cache.push(object) } {
                // SAFETY: as above.
                unsafe { core.put_slow(&cache, object) };
            }
        }
    }
}

/// Takes up to `out.len()` objects from this thread's loaded magazine.
#[inline]
pub(crate) fn pop_many<const LANE: usize>(
    core: &Arc<Core>,
    out: &mut [core::mem::MaybeUninit<Object>],
) -> usize {
    match imp::hot::<LANE>(Arc::as_ptr(core)) {
        // SAFETY: the lane's cache is owned by this thread.
        Some(cache) => unsafe { cache.pop_many(out) },
        None => 0,
    }
}

/// Puts as many objects as there is room for into this thread's loaded magazine.
///
/// # Safety
/// Each is a free, unmarked object of the zone; the caller gives away those that are taken.
#[inline]
pub(crate) unsafe fn push_many<const LANE: usize>(core: &Arc<Core>, objects: &[Object]) -> usize {
    match imp::hot::<LANE>(Arc::as_ptr(core)) {
        // SAFETY: the lane's cache is owned by this thread; the objects by this function's contract.
        Some(cache) => unsafe { cache.push_many(objects) },
        None => 0,
    }
}
