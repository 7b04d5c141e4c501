//! The untyped interface: for those who lay out their own slots.
//!
//! A slot begins with a [`Head`]; what follows is the user's. [`Zone`](crate::Zone) and
//! [`ObjectZone`](crate::ObjectZone) are the safe faces of this module.
#![allow(unsafe_code)]

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::mem::MaybeUninit;
use core::panic::Location;

pub use crate::check::ZoneFault;
pub use crate::group::Group;
use crate::group::Kin;
pub use crate::head::{Head, Home, Object, Site};
use crate::keg::Keg;
pub use crate::keg::{Cause, Shape};
pub use crate::lanes::LANES;
pub use crate::local::Local;
use crate::page::{Heap, PageSource};
use crate::stats::ZoneStats;
pub use crate::sync::{Guard, Mutex};
pub(crate) use crate::thread::discard_bare;
pub use crate::thread::{discard, politely, put, put_or, take_or, try_put, try_put_bulk};
use crate::zone::Core;
pub use crate::zone::{Hooks, Observed};

/// How a zone is made.
#[derive(Clone)]
pub struct Settings {
    /// Objects that may be out of the keg at once. `None`: no limit.
    pub limit: Option<usize>,
    /// Objects per magazine, at least one and at most 65,536.
    pub magazine: usize,
    /// Where pages come from.
    pub source: Arc<dyn PageSource>,
    /// A pointer that every object of the zone leads to ([`Head::user`]).
    pub user: *const (),
    /// Take the cache's lock on every operation instead of relying on barriers between threads.
    pub locked: bool,
    /// The zones it shares a byte budget with. `None`: none but its secondary zones.
    pub group: Option<Group>,
    /// The zone whose objects this one's contain, one each: free ones are taken apart before an allocation there
    /// fails.
    pub parts: Option<Parts>,
}

/// The zone that others take parts from: see [`Settings::parts`].
#[derive(Clone)]
pub struct Parts(pub(crate) Arc<Keg>);

// SAFETY: `user` is only carried; using it is the business of who put it there.
unsafe impl Send for Settings {}
// SAFETY: as above.
unsafe impl Sync for Settings {}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            limit: None,
            magazine: 64,
            source: Arc::new(Heap),
            user: core::ptr::null(),
            locked: false,
            group: None,
            parts: None,
        }
    }
}

/// The handle of an open zone. Dropping it closes the zone; objects that are out stay valid.
pub struct RawZone {
    core: Arc<Core>,
}

impl RawZone {
    /// A zone with a keg of its own.
    pub fn new(shape: Shape, settings: &Settings, hooks: Box<dyn Hooks>) -> Self {
        let Group(kin) = settings.group.clone().unwrap_or_else(Group::new);
        let keg = Keg::new(shape, settings.limit, settings.source.clone(), kin.budget.clone());
        Self::over(Arc::new(keg), kin, settings, hooks)
    }

    /// A zone over this zone's keg: same slots, same limit, same group, other hooks. `settings.limit`,
    /// `settings.source` and `settings.group` are not used.
    ///
    /// Before one of them fails, free objects of the others are taken apart.
    pub fn secondary(&self, settings: &Settings, hooks: Box<dyn Hooks>) -> Self {
        Self::over(self.core.keg().clone(), self.core.kin.clone(), settings, hooks)
    }

    fn over(keg: Arc<Keg>, kin: Arc<Kin>, settings: &Settings, hooks: Box<dyn Hooks>) -> Self {
        let core = Arc::new(Core::new(keg, kin.clone(), hooks, settings));
        kin.join(&core);
        RawZone { core }
    }

    /// This zone, as the one that another takes parts from.
    pub fn as_parts(&self) -> Parts {
        Parts(self.core.keg().clone())
    }

    /// Takes an object, from this thread's cache if it can. `LANE` names the kind of object at this call site; see
    /// [`LANES`].
    ///
    /// # Errors
    /// The [`Cause`], when no object is free anywhere.
    #[inline(always)]
    #[track_caller]
    pub fn get<const LANE: usize>(&self) -> Result<Object, Cause> {
        self.get_or::<LANE, _>(|cause| cause)
    }

    /// As [`get`](Self::get), with an error made of the cause, off the fast path.
    ///
    /// # Errors
    /// As `otherwise` says, when no object is free anywhere.
    #[inline(always)]
    #[track_caller]
    pub fn get_or<const LANE: usize, E>(&self, otherwise: impl FnOnce(Cause) -> E) -> Result<Object, E> {
        crate::thread::get_or::<LANE, E>(&self.core, Some(Location::caller()), otherwise)
    }

    /// This zone's name, as [`take_or`] knows it.
    pub fn name(&self) -> *const () {
        Arc::as_ptr(&self.core).cast()
    }

    /// As [`get`](Self::get), for an object that is to be a part of another zone's. If there is none, that does not
    /// count as denied: the other zone may ask several times for one request. It says so once, with
    /// [`deny`](Self::deny). Those who [observe](Self::observe) the zone do not see it.
    #[inline]
    pub fn get_part<const LANE: usize>(&self) -> Option<Object> {
        // Who made way for others was not denied anything.
        let forgive = |cause| {
            if cause != Cause::Waiters {
                self.core.forgive();
            }
        };
        crate::thread::get_or::<LANE, _>(&self.core, None, forgive).ok()
    }

    /// Counts an allocation as denied.
    pub fn deny(&self) {
        self.core.deny();
    }

    /// Fills `out` with what `make` makes of objects, or takes nothing: what was made is dropped, which gives the object back.
    /// If `make` panics, objects are lost.
    ///
    /// # Errors
    /// The [`Cause`], when not enough objects are free. Of two calls that together want more than there is, both may
    /// fail.
    #[track_caller]
    pub fn get_bulk<const LANE: usize, T>(
        &self,
        out: &mut [MaybeUninit<T>],
        mut make: impl FnMut(Object) -> T,
    ) -> Result<(), Cause> {
        /// Drops what was made, if not all could be had or a hook panicked.
        struct Made<'a, T>(&'a mut [MaybeUninit<T>], usize);

        impl<T> Drop for Made<'_, T> {
            fn drop(&mut self) {
                for made in &mut self.0[..self.1] {
                    // SAFETY: the first so many are initialised, and are not used any more.
                    unsafe { made.assume_init_drop() };
                }
            }
        }

        let mut made = Made(out, 0);
        loop {
            made.1 += crate::thread::pop_many::<LANE, T>(&self.core, &mut made.0[made.1..], &mut make);
            if made.1 == made.0.len() {
                core::mem::forget(made);
                return Ok(());
            }
            let object = self.get::<LANE>()?;
            made.0[made.1].write(make(object));
            made.1 += 1;
        }
    }

    /// A cache of its own for the holder.
    pub fn local(&self) -> Local {
        Local::new(self.core.clone())
    }

    /// Whether an object is an unmarked one of this zone.
    #[inline(always)]
    pub fn owns(&self, head: &Head) -> bool {
        core::ptr::eq(head.home_marked(), Arc::as_ptr(&self.core))
    }

    /// Whether an object is one of this zone, marked or not.
    #[inline]
    pub fn is_home_of(&self, head: &Head) -> bool {
        core::ptr::eq(head.home(), Arc::as_ptr(&self.core))
    }

    /// Gives up to `n` free objects back to the keg, wherever they are cached. Returns how many.
    pub fn give_back(&self, n: usize) -> usize {
        self.core.give_back(n)
    }

    /// Gives every free object back to the keg and every empty slab to the page source. Returns bytes given back.
    pub fn trim(&self) -> usize {
        self.core.trim()
    }

    /// Changes the limit of the zone's keg, which secondary zones share.
    ///
    /// Free objects beyond a lower limit go back to the keg now. If more are in use than it allows, they stay; nothing
    /// is handed out until fewer are.
    pub fn set_limit(&self, limit: Option<usize>) {
        self.core.set_limit(limit);
    }

    /// Keeps `n` objects out of the keg, in use or free, for this zone alone, whoever else runs short. Fewer than
    /// before: the others may be had again.
    ///
    /// # Errors
    /// The [`Cause`], when not so many can be had; then the reserve is as before.
    pub fn reserve(&self, n: usize) -> Result<(), Cause> {
        self.core.reserve(n)
    }

    /// From here on, until [`unwatch`](Self::unwatch), every object that comes back calls [`Hooks::freed`], and what
    /// comes back before a look finds nothing is found by that look. Meanwhile the zone works without caches.
    pub fn watch(&self) {
        self.core.watch();
    }

    /// Ends one [`watch`](Self::watch).
    ///
    /// # Panics
    /// If there was none.
    pub fn unwatch(&self) {
        self.core.unwatch();
    }

    /// From here on the hooks are asked before an object is handed out, and see every one that is, and every one that comes
    /// back ([`Hooks::asked`], [`Hooks::taken`], [`Hooks::returned`]); or see samples, or nothing. Operations that begin before
    /// this returns may go unseen.
    pub fn observe(&self, what: Observed) {
        self.core.observe(what);
    }

    /// Objects that may be out of the keg at once.
    pub fn limit(&self) -> Option<usize> {
        self.core.keg().limit()
    }

    /// Checks the slabs, and every free object of this zone and of those over the same slabs: that it is there once, and
    /// theirs.
    ///
    /// # Errors
    /// The first [`ZoneFault`] found. There is none unless something is broken.
    /// # Cost
    /// Collects the caches of all threads, and holds the locks of depots and slabs; O(free objects times slabs).
    pub fn check(&self) -> Result<(), ZoneFault> {
        self.core.check()
    }

    #[cfg(test)]
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// A snapshot of the zone's counters.
    pub fn stats(&self) -> ZoneStats {
        self.core.stats()
    }

    /// What an allocation that finds nothing free would fail of now: limit, budget or memory; if of nothing, what the last one failed of.
    pub fn obstacle(&self) -> Cause {
        self.core.keg().obstacle()
    }

    /// Ends the zone: free objects go back to the keg now, the others when they are freed. Allocation still works,
    /// without caches.
    pub fn close(&self) {
        self.core.close();
    }
}

impl Drop for RawZone {
    fn drop(&mut self) {
        self.close();
    }
}

impl core::fmt::Debug for RawZone {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("RawZone").field(&self.stats()).finish()
    }
}
