//! An explicit cache: the same magazines, owned by a value instead of by a thread.
#![allow(unsafe_code)]

use alloc::sync::Arc;
use core::marker::PhantomData;
use core::panic::Location;

use crate::cache::Cache;
use crate::head::{Object, Site};
use crate::keg::Cause;
use crate::zone::Core;

/// A cache of one zone that its holder owns: for hot loops, and for targets without thread-locals.
///
/// Not `Send`: it belongs to the thread that made it. Dropping it gives its objects to the zone's depot.
///
/// # Invariants
/// 1. This value is the owner of `cache` (see `cache.rs`), which belongs to `core`.
pub struct Local {
    core: Arc<Core>,
    cache: Option<Arc<Cache>>,
    _not_send: PhantomData<*mut ()>,
}

impl Local {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        let cache = core.register();
        Local { core, cache, _not_send: PhantomData }
    }

    /// Takes an object out of the zone.
    ///
    /// # Errors
    /// The [`Cause`], when every object is in use.
    #[inline]
    #[track_caller]
    pub fn get(&mut self) -> Result<Object, Cause> {
        self.get_or(|cause| cause)
    }

    /// As [`get`](Self::get), with an error made of the cause, off the fast path.
    ///
    /// # Errors
    /// As `otherwise` says, when every object is in use.
    #[inline(always)]
    #[track_caller]
    pub fn get_or<E>(&mut self, otherwise: impl FnOnce(Cause) -> E) -> Result<Object, E> {
        if let Some(cache) = &self.cache
            // SAFETY: the owner (invariant 1).
            && let Some(object) = unsafe { cache.pop() }
        {
            return Ok(object);
        }
        match self.get_slow(Some(Location::caller())) {
            Ok(object) => Ok(object),
            Err(cause) => Err(otherwise(cause)),
        }
    }

    #[cold]
    #[inline(never)]
    fn get_slow(&mut self, site: Option<Site>) -> Result<Object, Cause> {
        match &self.cache {
            // SAFETY: the owner (invariant 1).
            Some(cache) => unsafe { self.core.get_slow(cache, site) },
            None => self.core.get_shared(site),
        }
    }

    /// Gives an object back.
    ///
    /// # Safety
    /// The object is a free one of this zone, unmarked, that the caller gives away.
    #[inline]
    pub unsafe fn put(&mut self, object: Object) {
        let Some(cache) = &self.cache else { return self.core.put_shared(object) };
        // SAFETY: the owner (invariant 1); the object by this function's contract.
        if let Err(object) = unsafe { cache.push(object) } {
            // SAFETY: as above.
            unsafe { self.core.put_slow(cache, object) };
        }
    }

    /// Whether the object is an unmarked one of this cache's zone.
    #[inline(always)]
    pub fn owns(&self, head: &crate::head::Head) -> bool {
        core::ptr::eq(head.home_marked(), Arc::as_ptr(&self.core))
    }

    /// Gives every cached object to the depot.
    pub fn flush(&mut self) {
        if let Some(cache) = &self.cache {
            // SAFETY: the owner (invariant 1).
            unsafe { self.core.flush(cache) };
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        if let Some(cache) = self.cache.take() {
            // SAFETY: the owner (invariant 1), for the last time.
            unsafe { self.core.unregister(&cache) };
        }
    }
}
