//! A thread's two magazines of free objects, and the protocol that lets a collector empty them.
//!
//! # The owner
//!
//! One thread at a time owns a cache and allocates from its *loaded* magazine, an array used as a stack, without a
//! lock and without a locked instruction:
//!
//! ```text
//! pop:  n = len;  len = n-1;          ── light barrier ──  revoked?  no → slots[n-1] is ours
//! push: n = len;  slots[n] = object;  len = n+1;  ── light barrier ──  revoked?  no → done
//! ```
//!
//! When the loaded magazine is empty (or full) the owner takes the cache's lock and exchanges it for the *spare*
//! one, or for one from the zone's depot.
//!
//! # The collector
//!
//! Whoever must have every free object (an exact limit, `trim`, the end of the zone) *revokes* the cache:
//!
//! ```text
//! hold;  lock;  revoked = true;  unlock  ── heavy barrier ──  lock;  seen = len;  len = COLLECTED;
//!                                                              take slots[..seen] and the spare;  unlock
//! ```
//!
//! After the barrier an owner either published its length before the collector reads it, or sees `revoked` and
//! comes to the lock. At most one operation is then in flight, and `seen` tells what became of it: a pop that
//! published `n-1` owns slot `n-1` unless the collector saw `n`; a push that published `n+1` still owns its object
//! unless the collector saw `n+1`. An operation that begins after the collection finds the length `COLLECTED`,
//! which is neither: a push takes it for full, a pop for taken.
//!
//! # Shut caches
//!
//! A collected cache stays shut, and its owner on the slow path, until the owner *reopens* it: `len = 0`, `seen`
//! and `revoked` cleared. It does so when it has something to put there and nobody [holds](Depot::hold) the zone.
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
use crate::sync::{
    AtomicBool, AtomicU32, AtomicUsize, Guard, Mutex, Ordering, Place, heavy_barrier, light_barrier,
};

/// The length of a loaded magazine that is shut.
const COLLECTED: u32 = u32::MAX;

/// What the lock of a cache protects.
struct Side {
    spare: Magazine,
    /// The cache is shut; this is the length that the collector found.
    seen: Option<u32>,
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
///    the owner itself, or the collector between the heavy barrier and the end of its critical section.
/// 2. While the cache is open, the loaded magazine's `slots[..len]` are written and hold free objects that no other
///    list holds. When it is shut, nothing is in it.
/// 3. `room` is the length of every magazine of this cache, and less than `COLLECTED`.
/// 4. `seen` is `Some` exactly when the cache is shut; then `revoked` is true, and `len` is `COLLECTED` or being
///    overwritten by the one operation that was in flight, which sets it back when it settles.
#[repr(align(128))]
pub(crate) struct Cache {
    len: AtomicU32,
    revoked: AtomicBool,
    room: u32,
    /// Base of `loaded`'s slots, kept beside the length.
    base: UnsafeCell<*const Place<Object>>,
    /// Objects handed out. Written by the owner alone, read by anyone.
    gets: AtomicUsize,
    loaded: UnsafeCell<Places>,
    side: Mutex<Side>,
}

// SAFETY: `loaded` and `base` follow invariant 1; the rest is atomic or behind the lock.
unsafe impl Send for Cache {}
// SAFETY: as above; the functions that use `loaded` demand ownership or hold the lock.
unsafe impl Sync for Cache {}

impl Cache {
    pub(crate) fn new(room: usize, locked: bool) -> Self {
        let loaded = Magazine::new(room).places;
        let base = loaded.base();
        let room32 = u32::try_from(room).ok().filter(|&room| room < COLLECTED);
        let mode = if locked { Mode::Locked } else { Mode::Free };
        Cache {
            len: AtomicU32::new(COLLECTED),
            revoked: AtomicBool::new(true),
            room: room32.expect("a magazine has less than 2^32 - 1 rounds"),
            base: UnsafeCell::new(base),
            gets: AtomicUsize::new(0),
            loaded: UnsafeCell::new(loaded),
            side: Mutex::new(Side { spare: Magazine::new(room), seen: Some(0), mode }),
        }
    }

    /// Takes an object from the loaded magazine. `None`: the slow path has to look.
    ///
    /// # Safety
    /// The caller is the owner of this cache.
    #[inline(always)]
    pub(crate) unsafe fn pop(&self) -> Option<Object> {
        let n = self.len.load(Ordering::Relaxed);
        let left = n.checked_sub(1)?;
        self.len.store(left, Ordering::Relaxed);
        light_barrier();
        if self.revoked.load(Ordering::Relaxed) {
            return self.settle_pop(n);
        }
        self.count_gets(1);
        // SAFETY: not revoked, so the collector will see `left` or less: the slot is written (invariant 2) and was
        // published as taken; `base` is read by its owner (invariant 1).
        Some(unsafe { (*(*self.base.get()).add(left as usize)).read() })
    }

    /// Puts an object into the loaded magazine. `Err`: the slow path has to.
    ///
    /// # Safety
    /// The caller is the owner of this cache, and the object is a free one of the cache's zone that it gives away.
    #[inline(always)]
    pub(crate) unsafe fn push(&self, object: Object) -> Result<(), Object> {
        let n = self.len.load(Ordering::Relaxed);
        if n >= self.room {
            return Err(object);
        }
        // SAFETY: `n < room` (invariant 3), a slot above the length, which no collector reads; ours by invariant 1.
        unsafe { (*(*self.base.get()).add(n as usize)).write(object) };
        // Release pairs with the Acquire in `collect`: who sees the length sees the slot.
        self.len.store(n + 1, Ordering::Release);
        light_barrier();
        if self.revoked.load(Ordering::Relaxed) {
            return self.settle_push(n, object);
        }
        Ok(())
    }

    /// The owner counts objects handed out.
    #[inline(always)]
    pub(crate) fn count_gets(&self, n: usize) {
        self.gets.store(self.gets.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Takes up to `out.len()` objects from the loaded magazine, in one step. Returns how many it wrote.
    ///
    /// # Safety
    /// The caller is the owner of this cache.
    #[inline]
    pub(crate) unsafe fn pop_many(&self, out: &mut [MaybeUninit<Object>]) -> usize {
        let n = self.len.load(Ordering::Relaxed);
        if n == COLLECTED {
            return 0;
        }
        let wanted = u32::try_from(out.len()).unwrap_or(u32::MAX).min(n);
        if wanted == 0 {
            return 0;
        }
        let left = n - wanted;
        self.len.store(left, Ordering::Relaxed);
        light_barrier();
        if self.revoked.load(Ordering::Relaxed) && !self.settle_pop_many(left) {
            return 0;
        }
        self.count_gets(wanted as usize);
        for (i, slot) in out[..wanted as usize].iter_mut().enumerate() {
            // SAFETY: as in `pop`: these slots are written and were published as taken.
            slot.write(unsafe { (*(*self.base.get()).add(left as usize + i)).read() });
        }
        wanted as usize
    }

    /// Puts as many of `objects` as there is room for into the loaded magazine, in one step. Returns how many.
    ///
    /// # Safety
    /// As for [`push`](Self::push), for each object that is taken.
    #[inline]
    pub(crate) unsafe fn push_many(&self, objects: &[Object]) -> usize {
        let n = self.len.load(Ordering::Relaxed);
        let wanted = u32::try_from(objects.len()).unwrap_or(u32::MAX).min(self.room.saturating_sub(n));
        if wanted == 0 {
            return 0;
        }
        for (i, &object) in objects[..wanted as usize].iter().enumerate() {
            // SAFETY: as in `push`: slots above the length, below `room`.
            unsafe { (*(*self.base.get()).add(n as usize + i)).write(object) };
        }
        // Release pairs with the Acquire in `collect`.
        self.len.store(n + wanted, Ordering::Release);
        light_barrier();
        if self.revoked.load(Ordering::Relaxed) && !self.settle_push_many(n) {
            return 0;
        }
        wanted as usize
    }

    /// A pop that published `n - 1` and then found itself revoked.
    #[cold]
    fn settle_pop(&self, n: u32) -> Option<Object> {
        if n == COLLECTED {
            // It began after the collection. Nobody else looks at the length of a shut cache (invariant 4).
            self.len.store(COLLECTED, Ordering::Relaxed);
            return None;
        }
        if !self.settle_pop_many(n - 1) {
            return None;
        }
        self.count_gets(1);
        // SAFETY: we are the owner; slot `n - 1` was written when `n` was published, the collector did not take it,
        // and nobody wrote to it since.
        Some(unsafe { (*(*self.base.get()).add(n as usize - 1)).read() })
    }

    /// A pop that published `left` and then found itself revoked: are the objects above `left` still ours?
    #[cold]
    fn settle_pop_many(&self, left: u32) -> bool {
        let side = self.side.lock();
        // Not collected yet: the collector will see `left`.
        let Some(seen) = side.seen else { return true };
        self.len.store(COLLECTED, Ordering::Relaxed);
        seen <= left
    }

    /// A push that published `n + 1` and then found itself revoked.
    #[cold]
    fn settle_push(&self, n: u32, object: Object) -> Result<(), Object> {
        if self.settle_push_many(n) { Ok(()) } else { Err(object) }
    }

    /// A push that published more than `n` and then found itself revoked: does the cache have the objects, or had
    /// it them?
    #[cold]
    fn settle_push_many(&self, n: u32) -> bool {
        let side = self.side.lock();
        // Not collected yet: the collector will see what we published.
        let Some(seen) = side.seen else { return true };
        self.len.store(COLLECTED, Ordering::Relaxed);
        seen > n
    }

    fn way(side: &Side, depot: &Depot) -> Way {
        match side.mode {
            Mode::Closed => Way::Shared,
            _ if side.seen.is_some() && depot.is_held() => Way::Shared,
            Mode::Locked => Way::Spare,
            Mode::Free => Way::Loaded,
        }
    }

    /// Owner, under the lock, when the way is `Loaded`: makes the loaded magazine usable again after a collection.
    fn reopen(&self, side: &mut Side) {
        if side.seen.take().is_some() {
            self.len.store(0, Ordering::Relaxed);
            self.revoked.store(false, Ordering::Relaxed);
        }
    }

    /// The owner's slow pop: the loaded magazine is empty or shut. `Err`: neither the cache nor the depot has any;
    /// the depot is still locked.
    ///
    /// # Safety
    /// The caller is the owner of this cache, and `depot` is its zone's.
    pub(crate) unsafe fn refill<'a>(&self, depot: &'a Depot) -> Result<Object, Guard<'a, Stock>> {
        let mut side = self.side.lock();
        let way = Self::way(&side, depot);
        if side.spare.is_empty() {
            let mut stock = depot.stock.lock();
            match way {
                Way::Shared => return self.got(stock.pop()).ok_or(stock),
                Way::Loaded | Way::Spare => stock.full_for(&mut side.spare),
            }
            if side.spare.is_empty() {
                return Err(stock);
            }
        }
        if let Way::Loaded = way {
            self.reopen(&mut side);
            if self.len.load(Ordering::Relaxed) == 0 {
                // SAFETY: the owner, holding the lock (invariant 1).
                unsafe { self.exchange(&mut side.spare) };
            }
            let left = self.len.load(Ordering::Relaxed) - 1;
            self.len.store(left, Ordering::Relaxed);
            self.count_gets(1);
            // SAFETY: the owner, holding the lock; the slot was below the length (invariant 2).
            return Ok(unsafe { (*(*self.base.get()).add(left as usize)).read() });
        }
        self.got(side.spare.pop()).ok_or_else(|| depot.stock.lock())
    }

    fn got(&self, object: Option<Object>) -> Option<Object> {
        self.count_gets(usize::from(object.is_some()));
        object
    }

    /// The owner's slow push: the loaded magazine is full or shut. `Err`: past this cache, with this object.
    ///
    /// # Safety
    /// As for [`push`](Self::push); `depot` is the zone's.
    pub(crate) unsafe fn drain(&self, object: Object, depot: &Depot) -> Result<(), Object> {
        let mut side = self.side.lock();
        let way = Self::way(&side, depot);
        if let Way::Shared = way {
            return Err(object);
        }
        if let Way::Loaded = way {
            self.reopen(&mut side);
            if self.len.load(Ordering::Relaxed) == self.room && side.spare.is_full() {
                depot.stock.lock().empty_for(&mut side.spare);
            }
            if self.len.load(Ordering::Relaxed) == self.room && side.spare.is_empty() {
                // SAFETY: the owner, holding the lock (invariant 1).
                unsafe { self.exchange(&mut side.spare) };
            }
            let n = self.len.load(Ordering::Relaxed);
            if n < self.room {
                // SAFETY: the owner, holding the lock; a slot above the length.
                unsafe { (*(*self.base.get()).add(n as usize)).write(object) };
                // Release pairs with the Acquire in `collect`.
                self.len.store(n + 1, Ordering::Release);
                return Ok(());
            }
            // The spare holds part of a magazine: it was stocked from the depot's loose objects. Add to it.
        } else if side.spare.is_full() {
            depot.stock.lock().empty_for(&mut side.spare);
        }
        side.spare.push(object);
        Ok(())
    }

    /// Swaps the loaded magazine and the spare one.
    ///
    /// # Safety
    /// The caller is the owner, holds the lock, and the cache is open.
    unsafe fn exchange(&self, spare: &mut Magazine) {
        // SAFETY: exclusive by this function's contract (invariant 1).
        let loaded = unsafe { &mut *self.loaded.get() };
        mem::swap(loaded, &mut spare.places);
        // SAFETY: as above; the new base is that of the magazine just loaded.
        unsafe { *self.base.get() = loaded.base() };
        let n = self.len.load(Ordering::Relaxed) as usize;
        // Release pairs with the Acquire in `collect`.
        self.len.store(spare.len as u32, Ordering::Release);
        spare.len = n;
    }

    /// First step of a collection, with the zone held: keeps the owner off the fast path. Returns whether a
    /// [`heavy_barrier`] has to follow before [`collect`](Self::collect).
    fn revoke(&self) -> bool {
        let side = self.side.lock();
        if side.seen.is_some() {
            return false;
        }
        self.revoked.store(true, Ordering::Relaxed);
        true
    }

    /// Second step: takes every object. With `close` the cache is never used again.
    fn collect(&self, out: &mut Vec<Object>, close: bool) {
        let mut side = self.side.lock();
        if side.seen.is_none() {
            // It was open at the first step too, for nobody reopens a cache while the zone is held.
            debug_assert!(self.revoked.load(Ordering::Relaxed));
            // Acquire pairs with the Release in `push`.
            let seen = self.len.load(Ordering::Acquire);
            self.len.store(COLLECTED, Ordering::Relaxed);
            for i in 0..seen as usize {
                // SAFETY: after the barrier the owner comes to the lock, which we hold, so the loaded magazine is
                // ours (invariant 1) and holds `seen` objects (invariant 2).
                out.push(unsafe { (*(*self.base.get()).add(i)).read() });
            }
            side.seen = Some(seen);
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
        while let Some(object) = side.spare.pop() {
            stock.loose.push(object);
        }
        if side.seen.is_none() {
            for i in 0..self.len.load(Ordering::Relaxed) as usize {
                // SAFETY: the owner, holding the lock; below the length (invariant 2).
                stock.loose.push(unsafe { (*(*self.base.get()).add(i)).read() });
            }
            self.len.store(0, Ordering::Relaxed);
        }
    }

    /// Objects in both magazines: exact when the owner is quiet.
    pub(crate) fn cached(&self) -> usize {
        let side = self.side.lock();
        let loaded = if side.seen.is_none() { self.len.load(Ordering::Relaxed) as usize } else { 0 };
        loaded + side.spare.len
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
