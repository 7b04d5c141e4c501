//! A thread's two magazines of free objects, and the protocol that lets a collector empty them.
//!
//! # The owner
//!
//! One thread at a time owns a cache and allocates from its *loaded* magazine, an array used as a stack, without a
//! lock and without a locked instruction. `top` points behind the topmost object:
//!
//! ```text
//! pop:  place = top - 1;  top = place;                        ── light barrier ──  place < low?   no → *place is ours
//! push: place = top;      *place = object;  top = place + 1;  ── light barrier ──  top > high?    no → done
//! ```
//!
//! The change is published first and checked afterwards, so that one comparison finds an empty (or full) magazine and a
//! collector alike: `low` is the magazine's first place, `high` the one behind its last, and a collector puts both where
//! every operation fails the check. An operation that does *settles*: it finds out under the cache's lock what became of
//! it, and takes its change back if need be. A magazine has two places more than it has room for: a push into a full one
//! writes the first of them, one that finds the magazine shut the second.
//!
//! When the loaded magazine is empty (or full) the owner takes the cache's lock and exchanges it for the *spare*
//! one, or for one from the *stash* or the zone's depot. The stash is for a thread that takes back what it gave: each
//! time it does it may keep one magazine more to itself, instead of passing it through the depot, where another thread
//! would take it and its objects would move from one processor's cache to another's. A thread that only frees, or only
//! allocates, has no more than a lot that is on its way.
//!
//! # The collector
//!
//! Whoever must have every free object (an exact limit, `trim`, the end of the zone) *revokes* the cache:
//!
//! ```text
//! hold;  lock;  low = MAX;  high = 0;  unlock  ── heavy barrier ──  lock;  seen = top;  top = shut;
//!                                                                  take the objects below seen, and the spare;  unlock
//! ```
//!
//! After the barrier an owner either published its change before the collector reads it, or sees the bounds and
//! comes to the lock. At most one operation is then in flight, and `seen` tells what became of it: a pop owns the object
//! it took unless the collector saw more; a push still owns its object unless the collector saw it. An operation that
//! begins after the collection finds `top` at the second spare place, where no other begins.
//!
//! # Shut caches
//!
//! A collected cache stays shut, and its owner on the slow path, until the owner *reopens* it: the magazine empty, the
//! bounds where they belong. It does so when it has something to put there and nobody [holds](Depot::hold) the zone.
//! While somebody does, owners of shut caches use the depot. So a collector that holds the zone and has collected
//! every cache sees, under the depot's lock, every free object there is: that is what makes a limit exact.
//!
//! A cache starts out shut. A *locked* one (the system has no heavy barrier) never opens: its owner does everything
//! under the lock and on the spare magazine. Nor does one whose zone is closed: its owner does everything without
//! it.
#![allow(unsafe_code)]

use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::mem::{self, MaybeUninit};

use crate::depot::{Depot, Magazine, Places, Stock};
use crate::head::Object;
use crate::stash::Stash;
use crate::sync::{AtomicUsize, Guard, Mutex, Ordering, Place, TopPtr, heavy_barrier, light_barrier};

/// What the lock of a cache protects.
struct Side {
    spare: Magazine,
    stash: Stash,
    /// The cache is shut; this is how many objects the collector found in the loaded magazine.
    seen: Option<usize>,
    /// The bounds are where every operation fails.
    revoked: bool,
    mode: Mode,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    /// May be open.
    Free,
    /// Shut for ever: there is no heavy barrier. Only the spare magazine is used.
    Locked,
    /// Shut for ever and empty: the zone is closed.
    Closed,
}

/// Where a slow operation goes.
enum Way {
    Loaded,
    Spare,
    /// Past this cache, to the depot or the keg.
    Shared,
}

/// One thread's free objects of one zone.
///
/// # Invariants
/// 1. `loaded` is used by the owner alone, or by a holder of `side`'s lock while the owner is known to stay out:
///    the owner itself, or the collector between the heavy barrier and the end of its critical section. The owner
///    alone changes `base`, which is that of `loaded`, and only under the lock.
/// 2. While the cache is open, the places of the loaded magazine below `top` are written and hold free objects that no
///    other list holds. When it is shut, nothing is in it.
/// 3. `room` is that of every magazine of this cache; each has two places more.
/// 4. While the cache is open, `top` is at most `room` places above `base`, but for the one operation in flight: one
///    below `base`, or one more, until it settles. When it is shut, `top` is at the last place, or being overwritten by
///    the operation that was in flight, which sets it back when it settles.
/// 5. `seen` is `Some` exactly when the cache is shut; then it is revoked. While it is revoked `low` is `usize::MAX` and
///    `high` is 0; otherwise they are the addresses of the loaded magazine's first place, and of the one behind `room`.
#[repr(align(128))]
pub(crate) struct Cache {
    top: TopPtr<Place<Object>>,
    low: AtomicUsize,
    high: AtomicUsize,
    /// Objects handed out. Written by the owner alone, read by anyone.
    gets: AtomicUsize,
    base: UnsafeCell<*mut Place<Object>>,
    room: usize,
    loaded: UnsafeCell<Places>,
    side: Mutex<Side>,
}

// SAFETY: `loaded` and `base` follow invariant 1; the rest is atomic or behind the lock.
unsafe impl Send for Cache {}
// SAFETY: as above; the functions that use `loaded` demand ownership or hold the lock.
unsafe impl Sync for Cache {}

impl Cache {
    /// A shut one, if there is memory for its magazines.
    pub(crate) fn new(room: usize, locked: bool) -> Option<Self> {
        let loaded = Magazine::new(room)?.places;
        let spare = Magazine::new(room)?;
        let base = loaded.base();
        let mode = if locked { Mode::Locked } else { Mode::Free };
        Some(Cache {
            top: TopPtr::new(base.wrapping_add(room + 1)),
            low: AtomicUsize::new(usize::MAX),
            high: AtomicUsize::new(0),
            gets: AtomicUsize::new(0),
            base: UnsafeCell::new(base),
            room,
            loaded: UnsafeCell::new(loaded),
            side: Mutex::new(Side { spare, stash: Stash::default(), seen: Some(0), revoked: true, mode }),
        })
    }

    /// Takes an object from the loaded magazine. `None`: the slow path has to look.
    ///
    /// # Safety
    /// The caller is the owner of this cache.
    #[inline(always)]
    pub(crate) unsafe fn pop(&self) -> Option<Object> {
        // SAFETY: by this function's contract.
        unsafe { self.pop_or(Some, |object| object) }
    }

    /// As [`pop`](Self::pop): what comes next, with an object; or, out of line, with one if there was one all the same.
    ///
    /// # Safety
    /// As for [`pop`](Self::pop).
    #[inline(always)]
    pub(crate) unsafe fn pop_or<R>(
        &self,
        then: impl FnOnce(Object) -> R,
        otherwise: impl FnOnce(Option<Object>) -> R,
    ) -> R {
        let place = self.top.load(Ordering::Relaxed).wrapping_sub(1);
        self.top.store(place, Ordering::Relaxed);
        light_barrier();
        if place.addr() < self.low.load(Ordering::Relaxed) {
            // SAFETY: the owner by this function's contract.
            return unsafe { self.settle_pop(place, otherwise) };
        }
        self.count_gets(1);
        // SAFETY: not below the first place, and not revoked, so the collector will see `place` or less: it is written
        // (invariant 2) and was published as taken.
        then(unsafe { (*place).read() })
    }

    /// Puts an object into the loaded magazine. `Err`: the slow path has to.
    ///
    /// # Safety
    /// The caller is the owner of this cache, and the object is a free one of the cache's zone that it gives away.
    #[inline(always)]
    pub(crate) unsafe fn push(&self, object: Object) -> Result<(), Object> {
        // SAFETY: by this function's contract.
        unsafe { self.publish(object).or_else(|place| self.settle_push(place, object)) }
    }

    /// The first half of [`push`](Self::push), which is all of it unless it fails with the place it wrote to: then
    /// [`settle_push`](Self::settle_push) has to follow.
    ///
    /// # Safety
    /// As for [`push`](Self::push).
    #[inline(always)]
    pub(crate) unsafe fn publish(&self, object: Object) -> Result<(), *mut Place<Object>> {
        let place = self.top.load(Ordering::Relaxed);
        // SAFETY: at most the first spare place, or the last if the cache is shut (invariants 3 and 4). No collector
        // reads at or above the `top` that it saw, which was this, unless it sees what we publish next; nor ever the
        // last place. Ours by invariant 1.
        unsafe { (*place).write(object) };
        let top = place.wrapping_add(1);
        // Release pairs with the Acquire in `collect`: who sees the top sees the object below it.
        self.top.store(top, Ordering::Release);
        light_barrier();
        if top.addr() > self.high.load(Ordering::Relaxed) { Err(place) } else { Ok(()) }
    }

    /// The owner counts objects handed out.
    #[inline(always)]
    pub(crate) fn count_gets(&self, n: usize) {
        self.gets.store(self.gets.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Takes up to `out.len()` objects from the loaded magazine, in one step. Returns how many places of `out` it wrote.
    /// Objects that `make` has not been given when it panics are lost.
    ///
    /// # Safety
    /// The caller is the owner of this cache.
    #[inline]
    pub(crate) unsafe fn pop_many<T>(
        &self,
        out: &mut [MaybeUninit<T>],
        mut make: impl FnMut(Object) -> T,
    ) -> usize {
        // SAFETY: the owner by this function's contract.
        let n = unsafe { self.filled() };
        let wanted = out.len().min(n);
        if wanted == 0 || n > self.room {
            // Empty, or shut.
            return 0;
        }
        // SAFETY: as above.
        let first = unsafe { self.place(n - wanted) };
        self.top.store(first, Ordering::Relaxed);
        light_barrier();
        // SAFETY: as above.
        if self.is_revoked() && !unsafe { self.settle_pop_many(n - wanted) } {
            return 0;
        }
        self.count_gets(wanted);
        for (i, slot) in out[..wanted].iter_mut().enumerate() {
            // SAFETY: as in `pop`: these places are written and were published as taken.
            slot.write(make(unsafe { (*first.wrapping_add(i)).read() }));
        }
        wanted
    }

    /// Puts as many of `objects` as there is room for into the loaded magazine, in one step. Returns how many of the first.
    ///
    /// # Safety
    /// As for [`push`](Self::push), for each object that is taken.
    #[inline]
    pub(crate) unsafe fn push_many(&self, objects: impl Iterator<Item = Object>) -> usize {
        // SAFETY: the owner by this function's contract.
        let n = unsafe { self.filled() };
        // None if it is full, or shut.
        let room = self.room.saturating_sub(n);
        // SAFETY: as above.
        let first = unsafe { self.place(n) };
        let mut top = first;
        for object in objects.take(room) {
            // SAFETY: as in `push`: places at and above the top, below `room`.
            unsafe { (*top).write(object) };
            top = top.wrapping_add(1);
        }
        if top == first {
            return 0;
        }
        // Release pairs with the Acquire in `collect`.
        self.top.store(top, Ordering::Release);
        light_barrier();
        // SAFETY: as above.
        if self.is_revoked() && !unsafe { self.settle_push_many(n) } {
            return 0;
        }
        (top.addr() - first.addr()) / size_of::<Place<Object>>()
    }

    #[inline]
    fn is_revoked(&self) -> bool {
        self.high.load(Ordering::Relaxed) == 0
    }

    /// A place of the loaded magazine.
    ///
    /// # Safety
    /// The caller is the owner, or holds the lock.
    #[inline]
    unsafe fn place(&self, i: usize) -> *mut Place<Object> {
        // SAFETY: changed by the owner alone, under the lock (invariant 1).
        unsafe { *self.base.get() }.wrapping_add(i)
    }

    /// Objects in the loaded magazine of an open cache, by its top.
    ///
    /// # Safety
    /// As for [`place`](Self::place).
    #[inline]
    unsafe fn filled(&self) -> usize {
        // Acquire pairs with the Release of pushes, for the collector.
        let top = self.top.load(Ordering::Acquire).addr();
        // SAFETY: by this function's contract. A pop that finds nothing puts the top below the base for a moment.
        top.saturating_sub(unsafe { self.place(0) }.addr()) / size_of::<Place<Object>>()
    }

    /// Puts the top of an open cache above `n` objects.
    ///
    /// # Safety
    /// The caller is the owner; the places below are written.
    unsafe fn set_filled(&self, n: usize) {
        // Release pairs with the Acquire in `filled`.
        // SAFETY: the owner.
        self.top.store(unsafe { self.place(n) }, Ordering::Release);
    }

    /// A pop that took what is in `place` and failed the check.
    ///
    /// # Safety
    /// The caller is the owner.
    #[cold]
    #[inline(never)]
    unsafe fn settle_pop<R>(&self, place: *mut Place<Object>, then: impl FnOnce(Option<Object>) -> R) -> R {
        let side = self.side.lock();
        // SAFETY: the owner.
        let (base, shut) = unsafe { (self.place(0), self.place(self.room + 1)) };
        let ours = match side.seen {
            // Not collected yet: the collector will see `place`, if there was anything to take.
            None if place.addr() >= base.addr() => true,
            None => {
                self.top.store(base, Ordering::Relaxed);
                false
            }
            Some(seen) => {
                self.top.store(shut, Ordering::Relaxed);
                // One that began at `shut` has taken nothing, nor has one that went below the base.
                place.wrapping_add(1) != shut && place.addr() >= base.wrapping_add(seen).addr()
            }
        };
        drop(side);
        then(ours.then(|| {
            self.count_gets(1);
            // SAFETY: we are the owner; the place was written when it was below the top, the collector did not take
            // what is in it, and nobody wrote to it since.
            unsafe { (*place).read() }
        }))
    }

    /// A pop of several that published `left` and then found itself revoked: are the objects above `left` still ours?
    ///
    /// # Safety
    /// The caller is the owner.
    #[cold]
    unsafe fn settle_pop_many(&self, left: usize) -> bool {
        let side = self.side.lock();
        // Not collected yet: the collector will see `left`.
        let Some(seen) = side.seen else { return true };
        // SAFETY: the owner.
        self.top.store(unsafe { self.place(self.room + 1) }, Ordering::Relaxed);
        seen <= left
    }

    /// A push that wrote to `place` and failed the check.
    ///
    /// # Safety
    /// The caller is the owner.
    #[cold]
    pub(crate) unsafe fn settle_push(&self, place: *mut Place<Object>, object: Object) -> Result<(), Object> {
        let side = self.side.lock();
        // SAFETY: the owner.
        let (behind, shut) = unsafe { (self.place(self.room), self.place(self.room + 1)) };
        let taken = match side.seen {
            // Not collected yet: the collector will see what we published, if there was room for it.
            None if place != behind => true,
            None => {
                self.top.store(behind, Ordering::Release);
                false
            }
            Some(seen) => {
                self.top.store(shut, Ordering::Relaxed);
                // SAFETY: the owner. One that began after the collection wrote to a place that nobody sees.
                place.addr() < unsafe { self.place(seen) }.addr()
            }
        };
        if taken { Ok(()) } else { Err(object) }
    }

    /// A push of several that published more than `n` and then found itself revoked: does the cache have the objects,
    /// or had it them?
    ///
    /// # Safety
    /// The caller is the owner.
    #[cold]
    unsafe fn settle_push_many(&self, n: usize) -> bool {
        let side = self.side.lock();
        // Not collected yet: the collector will see what we published.
        let Some(seen) = side.seen else { return true };
        // SAFETY: the owner.
        self.top.store(unsafe { self.place(self.room + 1) }, Ordering::Relaxed);
        seen > n
    }

    /// Puts the bounds where the loaded magazine has its ends, unless a collector wants every operation to fail.
    ///
    /// # Safety
    /// The caller is the owner and holds the lock.
    unsafe fn set_bounds(&self, side: &Side) {
        if !side.revoked {
            // SAFETY: the owner.
            let (low, high) = unsafe { (self.place(0).addr(), self.place(self.room).addr()) };
            self.low.store(low, Ordering::Relaxed);
            self.high.store(high, Ordering::Relaxed);
        }
    }

    fn way(side: &Side, depot: &Depot) -> Way {
        match side.mode {
            Mode::Closed => Way::Shared,
            _ if side.seen.is_some() && depot.is_held() => Way::Shared,
            Mode::Locked => Way::Spare,
            Mode::Free => Way::Loaded,
        }
    }

    /// Makes the loaded magazine usable again after a collection.
    ///
    /// # Safety
    /// The caller is the owner, holds the lock, and the way is `Loaded`.
    unsafe fn reopen(&self, side: &mut Side) {
        if side.seen.take().is_some() {
            side.revoked = false;
            // SAFETY: the owner, holding the lock.
            unsafe {
                self.set_filled(0);
                self.set_bounds(side);
            }
        }
    }

    /// The owner's slow pop: the loaded magazine is empty or shut. With the object comes how many the owner has got
    /// that need no slow pop, itself included: those of a magazine that is loaded now, or one. `Err`: neither the
    /// cache nor the depot has any; the depot is still locked.
    ///
    /// # Safety
    /// The caller is the owner of this cache, and `depot` is its zone's.
    pub(crate) unsafe fn refill<'a>(&self, depot: &'a Depot) -> Result<(Object, usize), Guard<'a, Stock>> {
        let mut side = self.side.lock();
        let side = &mut *side;
        let way = Self::way(side, depot);
        if side.spare.is_empty() {
            side.stash.take(&mut side.spare);
        }
        if side.spare.is_empty() {
            let mut stock = depot.stock.lock();
            match way {
                Way::Shared => return self.got(stock.pop()).ok_or(stock),
                Way::Loaded | Way::Spare => side.stash.full_for(&mut side.spare, stock)?,
            }
        }
        if let Way::Loaded = way {
            // SAFETY: the owner, holding the lock (invariant 1); the place was below the top (invariant 2).
            return Ok(unsafe {
                self.reopen(side);
                if self.filled() == 0 {
                    self.exchange(side);
                }
                let loaded = self.filled();
                self.set_filled(loaded - 1);
                self.count_gets(1);
                ((*self.place(loaded - 1)).read(), loaded)
            });
        }
        self.got(side.spare.pop()).ok_or_else(|| depot.stock.lock())
    }

    /// An object that came by itself, if it did.
    fn got(&self, object: Option<Object>) -> Option<(Object, usize)> {
        self.count_gets(usize::from(object.is_some()));
        object.map(|object| (object, 1))
    }

    /// The owner's slow push: the loaded magazine is full or shut. `Err`: past this cache, with this object.
    ///
    /// # Safety
    /// As for [`push`](Self::push); `depot` is the zone's.
    pub(crate) unsafe fn drain(&self, object: Object, depot: &Depot) -> Result<(), Object> {
        let mut side = self.side.lock();
        let side = &mut *side;
        let way = Self::way(side, depot);
        if let Way::Shared = way {
            return Err(object);
        }
        if let Way::Loaded = way {
            // SAFETY: the owner, holding the lock (invariant 1); a place at the top.
            unsafe {
                self.reopen(side);
                if self.filled() == self.room && side.spare.is_full() {
                    side.stash.empty_for(&mut side.spare, depot);
                }
                if self.filled() == self.room && side.spare.is_empty() {
                    self.exchange(side);
                }
                let n = self.filled();
                if n < self.room {
                    (*self.place(n)).write(object);
                    self.set_filled(n + 1);
                    return Ok(());
                }
            }
            // The spare holds part of a magazine: it was stocked from the depot's loose objects. Add to it.
        } else if side.spare.is_full() {
            side.stash.empty_for(&mut side.spare, depot);
        }
        side.spare.push(object);
        Ok(())
    }

    /// Swaps the loaded magazine and the spare one.
    ///
    /// # Safety
    /// The caller is the owner, holds the lock, and the cache is open.
    unsafe fn exchange(&self, side: &mut Side) {
        // SAFETY: exclusive by this function's contract (invariant 1). The new base is that of the magazine just loaded.
        unsafe {
            let n = self.filled();
            let loaded = &mut *self.loaded.get();
            mem::swap(loaded, &mut side.spare.places);
            *self.base.get() = loaded.base();
            self.set_filled(side.spare.len);
            side.spare.len = n;
            self.set_bounds(side);
        }
    }

    /// First step of a collection, with the zone held: keeps the owner off the fast path. Returns whether a
    /// [`heavy_barrier`] has to follow before [`collect`](Self::collect).
    fn revoke(&self) -> bool {
        let mut side = self.side.lock();
        if side.seen.is_some() {
            return false;
        }
        side.revoked = true;
        self.low.store(usize::MAX, Ordering::Relaxed);
        self.high.store(0, Ordering::Relaxed);
        true
    }

    /// Second step: takes every object. With `close` the cache is never used again.
    fn collect(&self, out: &mut Vec<Object>, close: bool) {
        let mut side = self.side.lock();
        if side.seen.is_none() {
            // It was open at the first step too, for nobody reopens a cache while the zone is held.
            debug_assert!(side.revoked);
            // SAFETY: after the barrier the owner comes to the lock, which we hold, so the loaded magazine is ours
            // (invariant 1) and holds `seen` objects (invariant 2).
            unsafe {
                let seen = self.filled();
                self.top.store(self.place(self.room + 1), Ordering::Relaxed);
                out.extend((0..seen).map(|i| (*self.place(i)).read()));
                side.seen = Some(seen);
            }
        }
        for mut magazine in side.stash.drain() {
            out.extend(core::iter::from_fn(|| magazine.pop()));
        }
        while let Some(object) = side.spare.pop() {
            out.push(object);
        }
        if close {
            side.mode = Mode::Closed;
        }
    }

    /// The owner's last act, and its flush: moves every object to the depot, without a barrier.
    ///
    /// # Safety
    /// The caller is the owner of this cache, and `depot` is its zone's.
    pub(crate) unsafe fn empty(&self, depot: &Depot) {
        let mut side = self.side.lock();
        let mut stock = depot.stock.lock();
        side.stash.drain().for_each(|magazine| stock.push_full(magazine));
        while let Some(object) = side.spare.pop() {
            stock.loose.push(object);
        }
        if side.seen.is_none() {
            // SAFETY: the owner, holding the lock; below the top (invariant 2).
            unsafe {
                stock.loose.extend((0..self.filled()).map(|i| (*self.place(i)).read()));
                self.set_filled(0);
            }
        }
    }

    /// Objects in both magazines: exact when the owner is quiet.
    pub(crate) fn cached(&self) -> usize {
        let side = self.side.lock();
        // SAFETY: `base` changes under the lock alone, which is held; nothing else of the magazine is touched.
        let loaded = if side.seen.is_none() { unsafe { self.filled() } } else { 0 };
        loaded.min(self.room) + side.spare.len + side.stash.len() * self.room
    }

    /// Objects handed out so far.
    pub(crate) fn gets(&self) -> usize {
        self.gets.load(Ordering::Relaxed)
    }
}

/// Empties a set of caches, whoever owns them. The zone is held.
pub(crate) fn collect_all<'a>(
    caches: impl Iterator<Item = &'a Cache> + Clone,
    out: &mut Vec<Object>,
    close: bool,
) {
    let mut open = false;
    for cache in caches.clone() {
        open |= cache.revoke();
    }
    if open {
        heavy_barrier();
    }
    for cache in caches {
        cache.collect(out, close);
    }
}
