//! The caches of the running thread.
//!
//! A thread keeps one cache per zone it used, in a list. Beside it, for a few **lanes**, it keeps the zone and the
//! cache it used last. A lane is a constant of the call site (`mbuf` gives each kind of object its own), so that
//! the inlined path compares the object's zone with the lane's and then uses the lane's cache: the zone becomes
//! control flow, which the processor predicts, and no address is computed from what was just loaded.
//!
//! The lanes have no destructor, so reading them costs one instruction and works at any time, even while the
//! thread's other thread-locals are being torn down (`lanes.rs`). The list has one: it empties the caches and clears the lanes.
//! Operations after that go to the depot.
#![allow(unsafe_code)]

use alloc::sync::Arc;

use crate::cache::Cache;
use crate::group::{Group, Kin};
use crate::head::{Head, Home, Object, Site};
use crate::keg::Cause;
use crate::sync::Place;
use crate::zone::Core;

#[cfg(all(feature = "std", not(loom)))]
mod imp {
    use super::*;
    use crate::lanes::{self, LANES, NOBODY};
    use alloc::vec::Vec;
    use std::cell::{Cell, RefCell};
    use std::ptr::{self, NonNull};

    thread_local! {
        static MINE: RefCell<Mine> = const { RefCell::new(Mine { entries: Vec::new(), sweep_at: SWEEP_FIRST }) };
    }

    struct Mine {
        /// Sorted by the zone's address.
        entries: Vec<(Arc<Core>, Arc<Cache>)>,
        /// Number of entries at which to look for closed zones.
        sweep_at: usize,
    }

    const SWEEP_FIRST: usize = 16;

    impl Mine {
        fn search(&self, core: &Arc<Core>) -> Result<usize, usize> {
            self.entries.binary_search_by_key(&Arc::as_ptr(core), |(c, _)| Arc::as_ptr(c))
        }

        /// Takes out the entries of closed zones, for [`forget`].
        fn take_closed(&mut self) -> Vec<(Arc<Core>, Arc<Cache>)> {
            let (gone, kept) = self.entries.drain(..).partition(|(core, _)| core.is_closed());
            self.entries = kept;
            self.sweep_at = (2 * self.entries.len()).max(SWEEP_FIRST);
            gone
        }
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

    thread_local! {
        static POLITE: Cell<*const Kin> = const { Cell::new(ptr::null()) };
    }

    /// Whether this thread leaves what others wait for in this group alone.
    pub(crate) fn is_polite(kin: &Kin) -> bool {
        ptr::eq(POLITE.get(), kin)
    }

    /// Runs `f`; meanwhile, this thread finds nothing in zones of the group that are watched. With `None` it does, also
    /// within another call of this.
    pub fn politely<R>(group: Option<&Group>, f: impl FnOnce() -> R) -> R {
        struct Back(*const Kin);
        impl Drop for Back {
            fn drop(&mut self) {
                POLITE.set(self.0);
            }
        }
        let _back = Back(POLITE.replace(group.map_or(ptr::null(), |group| Arc::as_ptr(&group.0))));
        f()
    }

    fn clear_lanes() {
        lanes::with(|lanes| {
            for lane in lanes {
                lane.zone.set(NOBODY);
            }
        });
    }

    #[inline(always)]
    pub(super) fn hot<const LANE: usize>(zone: *const Core) -> Option<&'static Cache> {
        const { assert!(LANE < LANES, "no such lane") };
        lanes::with(|lanes| {
            let lane = &lanes[LANE];
            if !ptr::eq(lane.zone.get(), zone) {
                return None;
            }
            // SAFETY: the address is that of a zone, so the cache is live and ours (invariant 1). It lives until the
            // lane is cleared; callers use it at once.
            Some(unsafe { lane.cache.get().as_ref() })
        })
    }

    /// This thread's cache of the zone, made if need be; the lane is set to it. `None` if the zone is closed, the
    /// thread is past the end of its list, or there is no memory for a cache.
    #[cold]
    pub(super) fn find<const LANE: usize>(core: &Arc<Core>) -> Option<Arc<Cache>> {
        let mut gone = Vec::new();
        let found = MINE.try_with(|mine| {
            let mut mine = mine.try_borrow_mut().ok()?;
            if let Ok(at) = mine.search(core) {
                return Some(mine.entries[at].1.clone());
            }
            let cache = core.register()?;
            if mine.entries.len() >= mine.sweep_at {
                gone = mine.take_closed();
            }
            let at = mine.search(core).unwrap_or_else(|at| at);
            mine.entries.insert(at, (core.clone(), cache.clone()));
            Some(cache)
        });
        let cache = found.ok().flatten()?;
        lanes::with(|lanes| {
            lanes[LANE].zone.set(Arc::as_ptr(core));
            lanes[LANE].cache.set(NonNull::from(&*cache));
        });
        // After the lane was set: what is dropped here may change list and lanes.
        forget(gone);
        Some(cache)
    }

    /// Lets go of the caches of closed zones, which are out of the list. What their hooks own may be dropped here.
    fn forget(gone: Vec<(Arc<Core>, Arc<Cache>)>) {
        if gone.is_empty() {
            return;
        }
        lanes::with(|lanes| {
            for lane in lanes {
                if gone.iter().any(|(core, _)| ptr::eq(Arc::as_ptr(core), lane.zone.get())) {
                    lane.zone.set(NOBODY);
                }
            }
        });
        for (core, cache) in gone {
            // SAFETY: this thread owned the cache; neither its list nor a lane names it any more.
            unsafe { core.unregister(&cache) };
        }
    }

    /// Empties this thread's caches into the depots, and forgets those of closed zones.
    pub fn flush() {
        let taken = MINE.try_with(|mine| {
            let mut mine = mine.try_borrow_mut().ok()?;
            let gone = mine.take_closed();
            for (core, cache) in &mine.entries {
                // SAFETY: this thread owns the caches in its list.
                unsafe { core.flush(cache) };
            }
            Some(gone)
        });
        forget(taken.ok().flatten().unwrap_or_default());
    }
}

#[cfg(any(not(feature = "std"), loom))]
mod imp {
    use super::*;

    #[inline(always)]
    pub(super) fn hot<const LANE: usize>(_: *const Core) -> Option<&'static Cache> {
        None
    }

    pub(super) fn find<const LANE: usize>(_: &Arc<Core>) -> Option<Arc<Cache>> {
        None
    }

    /// Empties this thread's caches into the depots. Without thread-locals there are none.
    pub fn flush() {}

    pub(crate) fn is_polite(_: &Kin) -> bool {
        false
    }

    /// Runs `f`. Without thread-locals that is all.
    pub fn politely<R>(_: Option<&Group>, f: impl FnOnce() -> R) -> R {
        f()
    }
}

pub(crate) use imp::is_polite;
pub use imp::{flush, politely};

#[inline(always)]
pub(crate) fn get_or<const LANE: usize, E>(
    core: &Arc<Core>,
    site: Option<Site>,
    otherwise: impl FnOnce(Cause) -> E,
) -> Result<Object, E> {
    if let Some(cache) = imp::hot::<LANE>(Arc::as_ptr(core)) {
        // SAFETY: the lane's cache is owned by this thread.
        if let Some(object) = unsafe { cache.pop() } {
            return Ok(object);
        }
    }
    match get_slow::<LANE>(core, site) {
        Ok(object) => Ok(object),
        Err(cause) => Err(otherwise(cause)),
    }
}

#[cold]
#[inline(never)]
fn get_slow<const LANE: usize>(core: &Arc<Core>, site: Option<Site>) -> Result<Object, Cause> {
    let Some(cache) = imp::find::<LANE>(core) else { return core.get_shared(site) };
    // SAFETY: `find` gives this thread's own cache of this zone.
    match unsafe { cache.pop() } {
        Some(object) => Ok(object),
        // SAFETY: as above.
        None => unsafe { core.get_slow(&cache, site) },
    }
}

/// Gives back an object if it is an unmarked one of the zone this thread used last in this lane. Otherwise returns false
/// and has done nothing.
///
/// # Safety
/// If the object is unmarked: it is a free one of its zone that the caller gives away on success. In any case
/// `head` is its head, and live.
#[inline(always)]
pub unsafe fn try_put<const LANE: usize>(object: Object, head: &Head) -> bool {
    // SAFETY: by this function's contract.
    unsafe { put_or::<LANE, _>(object, head.whence(), || true, || true, || false) }
}

/// The same, for an object that `ready` says to be free when it comes from an unmarked one of that zone; what `ready` does is
/// done before another thread may have the object. `done` is what comes next, `otherwise` if nothing was given back.
///
/// For functions that are to be short: `done` and `otherwise` are called last, and what they need is not kept for them.
///
/// # Safety
/// `home` is what the object's head says, or says when `ready` was called. If that is unmarked and `ready` says so, the object is
/// a free one of its zone that the caller gives away.
#[inline(always)]
pub unsafe fn put_or<const LANE: usize, R>(
    object: Object,
    home: Home,
    ready: impl FnOnce() -> bool,
    done: impl FnOnce() -> R,
    otherwise: impl FnOnce() -> R,
) -> R {
    match imp::hot::<LANE>(home.0) {
        // SAFETY: the lane's cache is owned by this thread and belongs to the object's zone; the object by this function's
        // contract.
        Some(cache) if ready() => unsafe {
            match cache.publish(object) {
                Ok(()) => done(),
                Err(place) => put_settling::<LANE, R>(object, place, cache, done),
            }
        },
        _ => otherwise(),
    }
}

/// What is left to do of a [`put_or`] whose fast path failed: one call, so that there is little of it in every place
/// that frees.
///
/// # Safety
/// `place` is what [`Cache::publish`] returned for the object.
#[cold]
#[inline(never)]
unsafe fn put_settling<const LANE: usize, R>(
    object: Object,
    place: *mut Place<Object>,
    cache: &Cache,
    done: impl FnOnce() -> R,
) -> R {
    // SAFETY: by this function's contract.
    if let Err(object) = unsafe { cache.settle_push(place, object) } {
        // SAFETY: as above: given away, and not taken.
        let core = unsafe { home(object) };
        match imp::find::<LANE>(&core) {
            None => core.put_shared(object),
            // SAFETY: this thread's own cache of the object's zone; the object as above.
            Some(cache) => unsafe { core.put_slow(&cache, object) },
        }
    }
    done()
}

/// Takes an object of the zone of that name ([`RawZone::name`](crate::raw::RawZone::name)), if it is the one this thread
/// used last in this lane: `then` is what comes next. Else it is `otherwise`, with an object if one was had all the same.
///
/// For functions that are to be short: `otherwise` is called last, and what it needs is not kept for it.
///
/// # Safety
/// `name` is null, or was a zone's: no other address is.
#[inline(always)]
pub unsafe fn take_or<const LANE: usize, R>(
    name: *const (),
    then: impl FnOnce(Object) -> R,
    otherwise: impl FnOnce(Option<Object>) -> R,
) -> R {
    match imp::hot::<LANE>(name.cast()) {
        // SAFETY: a zone's address, so the lane is not empty; its cache is owned by this thread.
        Some(cache) => unsafe { cache.pop_or(then, otherwise) },
        None => otherwise(None),
    }
}

/// The zone of an object, kept alive while the object goes.
///
/// # Safety
/// The object is out of its keg.
pub(crate) unsafe fn home(object: Object) -> Arc<Core> {
    // SAFETY: an object that is out of its keg has a live head and keeps its zone, which lives in an `Arc`.
    unsafe {
        let home = object.head().home();
        Arc::increment_strong_count(home);
        Arc::from_raw(home)
    }
}

/// Gives back an object to whatever zone it belongs to.
///
/// # Safety
/// The object is a free one of its zone, unmarked, that the caller gives away.
#[cold]
#[inline(never)]
pub unsafe fn put<const LANE: usize>(object: Object) {
    // SAFETY: by this function's contract.
    let core = unsafe { home(object) };
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

/// Gives an object straight back to the keg of its zone, by way of the zone's `fini` hook, past all caches: for one
/// that is no longer what the zone's users expect of a free object.
///
/// # Safety
/// As for [`put`]; `fini` must be able to deal with the object's state.
#[cold]
pub unsafe fn discard(object: Object) {
    // SAFETY: by this function's contract, as in `put`.
    unsafe { home(object) }.discard(object);
}

/// Gives the slot of an object straight back to the keg of its zone, without `fini`: its user took the object apart.
///
/// # Safety
/// As for [`put`], but for the object, which is as `fini` would leave it.
#[cold]
pub(crate) unsafe fn discard_bare(object: Object) {
    // SAFETY: by this function's contract, as in `put`.
    unsafe { home(object) }.discard_bare(object);
}

/// Takes up to `out.len()` objects from this thread's loaded magazine.
#[inline]
pub(crate) fn pop_many<const LANE: usize, T>(
    core: &Arc<Core>,
    out: &mut [core::mem::MaybeUninit<T>],
    make: impl FnMut(Object) -> T,
) -> usize {
    match imp::hot::<LANE>(Arc::as_ptr(core)) {
        // SAFETY: the lane's cache is owned by this thread.
        Some(cache) => unsafe { cache.pop_many(out, make) },
        None => 0,
    }
}

/// Gives back as many of the objects as there is room for in the loaded magazine, in one step, if `home` is the zone that this
/// thread used last in this lane, without a mark. Returns how many of the first; otherwise it has done nothing.
///
/// # Safety
/// If `home` is without a mark: each object has it, and is a free one of its zone; the caller gives away those that are taken.
/// The iterator leaves zones alone.
#[inline]
pub unsafe fn try_put_bulk<const LANE: usize>(home: Home, objects: impl Iterator<Item = Object>) -> usize {
    match imp::hot::<LANE>(home.0) {
        // SAFETY: the lane's cache is owned by this thread and belongs to the objects' zone; they by this function's contract.
        Some(cache) => unsafe { cache.push_many(objects) },
        None => 0,
    }
}
