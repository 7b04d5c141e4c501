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
//! lock;  revoked = true;  unlock  ── heavy barrier ──  lock;  seen = len;  take slots[..seen] and the spare;
//!                                                        len = COLLECTED
//! ```
//!
//! After the barrier an owner either published its length before the collector reads it, or sees `revoked` and
//! comes to the lock. At most one operation is then in flight, and `seen` tells what became of it: a pop that
//! published `n-1` owns slot `n-1` unless the collector saw `n`; a push that published `n+1` still owns its object
//! unless the collector saw `n+1`. An operation that begins after the collection finds the length `COLLECTED`,
//! which is neither: a push takes it for full, a pop for taken. The owner then acknowledges: `len = 0`, `seen` and
//! `revoked` cleared.
//!
//! A *retired* cache stays revoked for ever: its zone is closed, or the system has no heavy barrier. Its owner does
//! everything under the lock and on the spare magazine; the loaded one and `len` mean nothing.
#![allow(unsafe_code)]

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::mem::{self, MaybeUninit};

use crate::head::Object;
use crate::sync::{AtomicBool, AtomicU32, AtomicUsize, Mutex, Ordering, heavy_barrier, light_barrier};

/// The length of a loaded magazine whose contents the collector took, or that is not in use.
const COLLECTED: u32 = u32::MAX;

type Slots = Box<[MaybeUninit<Object>]>;

/// A magazine: room for a fixed number of objects, the first `len` of which are there.
///
/// # Invariants
/// 1. `slots[..len]` are initialised, and each is a free object of the zone that no other list holds.
pub(crate) struct Magazine {
    slots: Slots,
    len: usize,
}

impl Magazine {
    pub(crate) fn new(size: usize) -> Self {
        Magazine { slots: vec![MaybeUninit::uninit(); size].into_boxed_slice(), len: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn capacity(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len == self.slots.len()
    }

    pub(crate) fn push(&mut self, object: Object) {
        self.slots[self.len] = MaybeUninit::new(object);
        self.len += 1;
    }

    pub(crate) fn pop(&mut self) -> Option<Object> {
        self.len = self.len.checked_sub(1)?;
        // SAFETY: `len` was in the initialised part (invariant 1) and no longer is.
        Some(unsafe { self.slots[self.len].assume_init() })
    }
}

/// What the lock of a cache protects.
struct Side {
    spare: Magazine,
    /// Length the collector found, until the owner has acknowledged it.
    seen: Option<u32>,
    retired: bool,
}

/// One thread's free objects of one zone.
///
/// # Invariants
/// 1. `loaded` is used by the owner alone, or by a holder of `side`'s lock while the owner is known to stay out:
///    the owner itself, or the collector between the heavy barrier and the owner's acknowledgement.
/// 2. While the cache is not revoked, or revoked and not yet collected, the loaded magazine's `slots[..len]` are initialised free objects.
/// 3. `room` is the length of every magazine of this cache.
#[repr(align(128))]
pub(crate) struct Cache {
    len: AtomicU32,
    revoked: AtomicBool,
    room: u32,
    /// Base of `loaded`'s slots, kept beside the length.
    base: UnsafeCell<*mut MaybeUninit<Object>>,
    /// Objects handed out. Written by the owner alone, read by anyone.
    gets: AtomicUsize,
    loaded: UnsafeCell<Slots>,
    side: Mutex<Side>,
}

// SAFETY: `loaded` and `base` follow invariant 1; the rest is atomic or behind the lock.
unsafe impl Send for Cache {}
// SAFETY: as above; the functions that use `loaded` demand ownership or hold the lock.
unsafe impl Sync for Cache {}

/// What came of looking at the depot for a cache.
pub(crate) enum Refill {
    Got(Object),
    Empty,
}

impl Cache {
    pub(crate) fn new(room: usize, retired: bool) -> Self {
        let mut loaded = Magazine::new(room).slots;
        let base = loaded.as_mut_ptr();
        Cache {
            len: AtomicU32::new(if retired { COLLECTED } else { 0 }),
            revoked: AtomicBool::new(retired),
            room: u32::try_from(room).expect("a magazine has under 2^32 rounds"),
            base: UnsafeCell::new(base),
            gets: AtomicUsize::new(0),
            loaded: UnsafeCell::new(loaded),
            side: Mutex::new(Side { spare: Magazine::new(room), seen: None, retired }),
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
        // SAFETY: not revoked, so the collector saw `left` or less: the slot is initialised (invariant 2) and was
        // published as taken; `base` is read by its owner (invariant 1).
        Some(unsafe { (*(*self.base.get()).add(left as usize)).assume_init() })
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

    #[inline(always)]
    fn count_gets(&self, n: usize) {
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
        let left = n - wanted;
        self.len.store(left, Ordering::Relaxed);
        light_barrier();
        if self.revoked.load(Ordering::Relaxed) && !self.settle_pop_many(left) {
            return 0;
        }
        self.count_gets(wanted as usize);
        for (i, slot) in out[..wanted as usize].iter_mut().enumerate() {
            // SAFETY: as in `pop`: these slots were published as taken and are initialised.
            *slot = unsafe { *(*self.base.get()).add(left as usize + i) };
        }
        wanted as usize
    }

    /// A bulk pop that published `left` and then found itself revoked: are the objects above `left` still ours?
    #[cold]
    fn settle_pop_many(&self, left: u32) -> bool {
        let mut side = self.side.lock();
        let ours = match side.seen {
            Some(seen) => seen <= left,
            None => !side.retired,
        };
        self.acknowledge(&mut side);
        ours
    }

    /// Puts as many of `objects` as there is room for into the loaded magazine, in one step. Returns how many.
    ///
    /// # Safety
    /// As for [`push`](Self::push), for each object that is taken.
    #[inline]
    pub(crate) unsafe fn push_many(&self, objects: &[Object]) -> usize {
        let n = self.len.load(Ordering::Relaxed);
        let wanted = u32::try_from(objects.len()).unwrap_or(u32::MAX).min(self.room.saturating_sub(n));
        for (i, &object) in objects[..wanted as usize].iter().enumerate() {
            // SAFETY: as in `push`: slots above the length, below `room`.
            unsafe { (*(*self.base.get()).add(n as usize + i)).write(object) };
        }
        if wanted == 0 {
            return 0;
        }
        // Release pairs with the Acquire in `collect`.
        self.len.store(n + wanted, Ordering::Release);
        light_barrier();
        if self.revoked.load(Ordering::Relaxed) && !self.settle_push_many(n) {
            return 0;
        }
        wanted as usize
    }

    #[cold]
    fn settle_push_many(&self, n: u32) -> bool {
        let mut side = self.side.lock();
        let taken = match side.seen {
            Some(seen) => seen > n,
            None => !side.retired,
        };
        self.acknowledge(&mut side);
        taken
    }

    /// A pop that published `n - 1` and then found itself revoked.
    #[cold]
    fn settle_pop(&self, n: u32) -> Option<Object> {
        let ours = n != COLLECTED && self.settle_pop_many(n - 1);
        if n == COLLECTED {
            self.acknowledge(&mut self.side.lock());
        }
        if !ours {
            return None;
        }
        self.count_gets(1);
        // SAFETY: we are the owner; slot `n - 1` was initialised when `n` was published, the collector did not take
        // it, and nobody wrote to it since.
        Some(unsafe { (*(*self.base.get()).add(n as usize - 1)).assume_init() })
    }

    /// A push that published `n + 1` and then found itself revoked.
    #[cold]
    fn settle_push(&self, n: u32, object: Object) -> Result<(), Object> {
        if self.settle_push_many(n) { Ok(()) } else { Err(object) }
    }

    /// Owner, under the lock: makes the cache usable again after a collection.
    fn acknowledge(&self, side: &mut Side) {
        let collected = side.seen.take().is_some();
        if side.retired {
            self.len.store(COLLECTED, Ordering::Relaxed);
        } else if collected {
            self.len.store(0, Ordering::Relaxed);
            self.revoked.store(false, Ordering::Relaxed);
        }
    }

    /// The owner's slow pop: the loaded magazine is empty. `full` exchanges an empty magazine of the depot's for a
    /// full one.
    ///
    /// # Safety
    /// The caller is the owner of this cache.
    pub(crate) unsafe fn refill(&self, full: impl FnOnce(Magazine) -> Magazine) -> Refill {
        let mut side = self.side.lock();
        self.acknowledge(&mut side);
        if side.spare.is_empty() {
            let empty = mem::replace(&mut side.spare, Magazine { slots: Box::default(), len: 0 });
            side.spare = full(empty);
        }
        if side.retired {
            return match side.spare.pop() {
                Some(object) => {
                    self.count_gets(1);
                    Refill::Got(object)
                }
                None => Refill::Empty,
            };
        }
        if self.len.load(Ordering::Relaxed) == 0 {
            // SAFETY: the owner, holding the lock (invariant 1).
            unsafe { self.exchange(&mut side.spare) };
        }
        let n = self.len.load(Ordering::Relaxed);
        if n == 0 {
            return Refill::Empty;
        }
        self.len.store(n - 1, Ordering::Relaxed);
        self.count_gets(1);
        // SAFETY: the owner, holding the lock; the slot was below the length (invariant 2).
        Refill::Got(unsafe { (*(*self.base.get()).add(n as usize - 1)).assume_init() })
    }

    /// The owner's slow push: the loaded magazine is full. `empty` exchanges a full magazine for an empty one of
    /// the depot's.
    ///
    /// # Safety
    /// As for [`push`](Self::push).
    pub(crate) unsafe fn drain(&self, object: Object, empty: impl FnOnce(Magazine) -> Magazine) {
        let mut side = self.side.lock();
        self.acknowledge(&mut side);
        if side.spare.is_full() {
            let full = mem::replace(&mut side.spare, Magazine { slots: Box::default(), len: 0 });
            side.spare = empty(full);
        }
        if side.retired {
            side.spare.push(object);
            return;
        }
        if self.len.load(Ordering::Relaxed) == self.room {
            if side.spare.is_empty() {
                // SAFETY: the owner, holding the lock (invariant 1).
                unsafe { self.exchange(&mut side.spare) };
            } else {
                // The spare holds a part of a magazine: it is stocked from the depot's loose objects. Add to it.
                side.spare.push(object);
                return;
            }
        }
        let n = self.len.load(Ordering::Relaxed);
        // SAFETY: the owner, holding the lock; `n < room` now.
        unsafe { (*(*self.base.get()).add(n as usize)).write(object) };
        self.len.store(n + 1, Ordering::Release);
    }

    /// Swaps the loaded magazine and the spare one.
    ///
    /// # Safety
    /// The caller is the owner, or knows it stays out, and holds the lock.
    unsafe fn exchange(&self, spare: &mut Magazine) {
        // SAFETY: exclusive by this function's contract (invariant 1).
        let loaded = unsafe { &mut *self.loaded.get() };
        mem::swap(loaded, &mut spare.slots);
        // SAFETY: as above; the new base points into the magazine just loaded.
        unsafe { *self.base.get() = loaded.as_mut_ptr() };
        let n = self.len.load(Ordering::Relaxed) as usize;
        // Release pairs with the Acquire in `collect`.
        self.len.store(spare.len as u32, Ordering::Release);
        spare.len = n;
    }

    /// First step of a collection: keep the owner off the fast path. A [`heavy_barrier`] has to follow, then
    /// [`collect`](Self::collect). Returns whether there is anything to come back for.
    pub(crate) fn revoke(&self) -> bool {
        let side = self.side.lock();
        if side.seen.is_none() && !side.retired {
            self.revoked.store(true, Ordering::Relaxed);
        }
        self.loaded_len(&side) != 0 || !side.spare.is_empty()
    }

    /// Second step: takes every object. With `retire` the cache is never used again without its lock.
    pub(crate) fn collect(&self, out: &mut Vec<Object>, retire: bool) {
        let mut side = self.side.lock();
        while let Some(object) = side.spare.pop() {
            out.push(object);
        }
        if side.seen.is_none() && !side.retired && self.revoked.load(Ordering::Relaxed) {
            // Acquire pairs with the Release in `push`.
            let seen = self.len.load(Ordering::Acquire);
            for i in 0..seen as usize {
                // SAFETY: after the barrier the owner comes to the lock, which we hold, so the loaded magazine is
                // ours (invariant 1) and holds `seen` objects (invariant 2).
                out.push(unsafe { (*(*self.base.get()).add(i)).assume_init() });
            }
            side.seen = Some(seen);
            self.len.store(COLLECTED, Ordering::Relaxed);
        }
        side.retired |= retire;
    }

    /// The owner's last act, and a `LocalCache`'s flush: takes every object without a barrier.
    ///
    /// # Safety
    /// The caller is the owner of this cache.
    pub(crate) unsafe fn empty(&self, out: &mut Vec<Object>) {
        let mut side = self.side.lock();
        self.acknowledge(&mut side);
        while let Some(object) = side.spare.pop() {
            out.push(object);
        }
        if !side.retired {
            for i in 0..self.len.load(Ordering::Relaxed) as usize {
                // SAFETY: the owner, holding the lock; below the length (invariant 2).
                out.push(unsafe { (*(*self.base.get()).add(i)).assume_init() });
            }
            self.len.store(0, Ordering::Relaxed);
        }
    }

    /// Objects in both magazines: exact when the owner is quiet.
    pub(crate) fn cached(&self) -> usize {
        let side = self.side.lock();
        self.loaded_len(&side) + side.spare.len
    }

    fn loaded_len(&self, side: &Side) -> usize {
        if side.retired || side.seen.is_some() { 0 } else { self.len.load(Ordering::Relaxed) as usize }
    }

    /// Objects handed out so far.
    pub(crate) fn gets(&self) -> usize {
        self.gets.load(Ordering::Relaxed)
    }
}

/// Empties a set of caches, whoever owns them.
pub(crate) fn collect_all<'a>(
    caches: impl Iterator<Item = &'a Cache> + Clone,
    out: &mut Vec<Object>,
    retire: bool,
) {
    let mut any = retire;
    for cache in caches.clone() {
        any |= cache.revoke();
    }
    if any {
        heavy_barrier();
    }
    for cache in caches {
        cache.collect(out, retire);
    }
}
