//! The untyped zone: caches over a depot over a keg, the order in which a dry zone looks for objects, and what
//! becomes of objects that outlive their zone.
//!
//! A zone is **open** while its handle lives, then **closed**. An open zone keeps free objects in caches and in the
//! depot. Closing empties and retires every cache and gives all free objects back to the keg; from then on each
//! object that is still out holds a reference to the zone (and to what its hooks keep alive), operations go
//! straight to the keg, and the last object to return lets go of everything.
#![allow(unsafe_code)]

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ptr::NonNull;

use crate::cache::{Cache, Magazine, Refill, collect_all};
use crate::head::Object;
use crate::keg::{Cause, Keg};
use crate::stats::ZoneStats;
use crate::sync::{AtomicUsize, Mutex, Ordering, barriers_available};

/// What a zone does to its objects on their way between keg and caches, and when it runs dry.
///
/// # Safety
/// After `init` returned true the slot holds an object that the users of the zone may rely on; `fini` leaves nothing
/// in it that needs care. Neither touches the slot's [`Head`](crate::raw::Head).
pub unsafe trait Hooks: Send + Sync {
    /// Makes an object of a slot that leaves the keg. `block` is the slot's memory block, if the shape has one.
    /// Returns false if it cannot; the slot then goes back.
    ///
    /// # Safety
    /// The slot is out of the keg and nobody else's. Its memory is zeroed or as `fini` left it.
    unsafe fn init(&self, object: Object, block: Option<NonNull<u8>>) -> bool;

    /// Takes an object apart before its slot goes back to the keg.
    ///
    /// # Safety
    /// The object is free and nobody else's.
    unsafe fn fini(&self, object: Object);

    /// Asks others to give back what would help this zone: `n` objects, or the parts of them. Returns whether a
    /// retry is worth while. No lock of the zone is held.
    fn starved(&self, n: usize) -> bool {
        let _ = n;
        false
    }

    /// The zone closed with `objects` still out, each of which will be followed by one call of
    /// [`release`](Self::release). What they need must live until then.
    fn retain(&self, objects: usize) {
        let _ = objects;
    }

    /// One object of the closed zone came back. May drop the zone itself.
    fn release(&self) {}
}

/// Objects that go between keg and caches at a time.
const BATCH: usize = 32;

#[derive(Default)]
struct Depot {
    full: Vec<Magazine>,
    empty: Vec<Magazine>,
    /// Free objects in no magazine: collected, freed without a cache, or left over from an import.
    loose: Vec<Object>,
    /// Set when closing has counted the objects that are out: each holds a reference from now on.
    counted: bool,
}

/// The shared part of a zone. Objects name it by address.
///
/// # Invariants
/// 1. It lives while any handle, registered cache, or object that is out of the keg does.
/// 2. Every object is in exactly one place: a user, one magazine, `loose`, or the keg.
pub(crate) struct Core {
    keg: Arc<Keg>,
    hooks: Box<dyn Hooks>,
    user: AtomicUsizePtr,
    magazine: usize,
    depot: Mutex<Depot>,
    caches: Mutex<Registry>,
    /// Held while caches are being collected, so that collections do not cross.
    collecting: Mutex<()>,
    /// Objects of this zone out of the keg.
    out: AtomicUsize,
    denied: AtomicUsize,
    /// Objects handed out by caches that are gone, and without a cache.
    gets: AtomicUsize,
    /// Caches start out retired: no barrier here, or the user asked for it.
    locked: bool,
}

struct Registry {
    caches: Vec<Arc<Cache>>,
    closed: bool,
}

type AtomicUsizePtr = core::sync::atomic::AtomicPtr<()>;

impl Core {
    pub(crate) fn new(
        keg: Arc<Keg>,
        hooks: Box<dyn Hooks>,
        magazine: usize,
        user: *const (),
        locked: bool,
    ) -> Self {
        Core {
            keg,
            hooks,
            user: AtomicUsizePtr::new(user.cast_mut()),
            magazine: magazine.max(1),
            depot: Mutex::new(Depot::default()),
            caches: Mutex::new(Registry { caches: Vec::new(), closed: false }),
            collecting: Mutex::new(()),
            out: AtomicUsize::new(0),
            denied: AtomicUsize::new(0),
            gets: AtomicUsize::new(0),
            locked: locked || !barriers_available(),
        }
    }

    pub(crate) fn user(&self) -> *const () {
        self.user.load(core::sync::atomic::Ordering::Relaxed)
    }

    pub(crate) fn keg(&self) -> &Arc<Keg> {
        &self.keg
    }

    /// A cache for a new owner, or `None` if the zone is closed.
    pub(crate) fn register(&self) -> Option<Arc<Cache>> {
        let mut registry = self.caches.lock();
        if registry.closed {
            return None;
        }
        let cache = Arc::new(Cache::new(self.magazine, self.locked));
        registry.caches.push(cache.clone());
        Some(cache)
    }

    /// Empties a cache whose owner ends, and forgets it.
    ///
    /// # Safety
    /// The caller is the owner of the cache, which belongs to this zone, and never uses it again.
    pub(crate) unsafe fn unregister(&self, cache: &Arc<Cache>) {
        // SAFETY: the owner by this function's contract.
        unsafe { self.flush(cache) };
        self.caches.lock().caches.retain(|c| !Arc::ptr_eq(c, cache));
        self.gets.fetch_add(cache.gets(), Ordering::Relaxed);
    }

    /// Moves the objects of a cache to the depot.
    ///
    /// # Safety
    /// The caller is the owner of the cache, which belongs to this zone.
    pub(crate) unsafe fn flush(&self, cache: &Cache) {
        let mut objects = Vec::new();
        // SAFETY: the owner by this function's contract.
        unsafe { cache.empty(&mut objects) };
        for object in objects {
            self.put_shared(object);
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.caches.lock().closed
    }

    /// Gets an object for the owner of `cache`, past the loaded magazine.
    ///
    /// # Safety
    /// The caller is the owner of the cache, which belongs to this zone.
    #[cold]
    pub(crate) unsafe fn get_slow(&self, cache: &Cache) -> Result<Object, Cause> {
        // SAFETY: the owner by this function's contract.
        let refill = unsafe { cache.refill(|empty| self.depot.lock().full_for(empty)) };
        match refill {
            Refill::Got(object) => Ok(object),
            Refill::Empty => {
                let mut batch = [None; BATCH];
                let n = self.import((self.magazine / 2).clamp(1, BATCH), &mut batch)?;
                for &extra in batch[1..n].iter().flatten() {
                    // SAFETY: the owner; the object is fresh and nobody else's.
                    if let Err(extra) = unsafe { cache.push(extra) } {
                        self.put_shared(extra);
                    }
                }
                self.gets.fetch_add(1, Ordering::Relaxed);
                batch[0].ok_or(Cause::Memory)
            }
        }
    }

    /// Puts an object back for the owner of `cache`, past the loaded magazine.
    ///
    /// # Safety
    /// The caller is the owner of the cache, which belongs to this zone; the object is a free one of this zone that
    /// it gives away.
    #[cold]
    pub(crate) unsafe fn put_slow(&self, cache: &Cache, object: Object) {
        if self.is_closed() {
            return self.put_shared(object);
        }
        // SAFETY: as this function's contract says.
        unsafe { cache.drain(object, |full| self.depot.lock().empty_for(full)) };
    }

    /// Gets an object without a cache.
    #[cold]
    pub(crate) fn get_shared(&self) -> Result<Object, Cause> {
        let object = match self.depot.lock().pop() {
            Some(object) => object,
            None => {
                let mut batch = [None; BATCH];
                self.import(1, &mut batch)?;
                batch[0].ok_or(Cause::Memory)?
            }
        };
        self.gets.fetch_add(1, Ordering::Relaxed);
        Ok(object)
    }

    /// Puts an object back without a cache. The object is a free one of this zone that the caller gives away. The
    /// caller holds an `Arc` of this zone.
    #[cold]
    pub(crate) fn put_shared(&self, object: Object) {
        let mut depot = self.depot.lock();
        if !depot.counted {
            depot.loose.push(object);
            return;
        }
        let left = self.out.fetch_sub(1, Ordering::Relaxed) - 1;
        drop(depot);
        self.finish(object);
        if left == 0 {
            self.keg.trim();
        }
        self.hooks.release();
        // SAFETY: closing made this reference for an object that was out, and this is one that came back. The
        // caller has a reference of its own, so this is not the last.
        unsafe { Arc::decrement_strong_count(self) };
    }

    /// Brings up to `wanted` objects from the keg, looking everywhere for one before it fails.
    fn import(&self, wanted: usize, batch: &mut [Option<Object>; BATCH]) -> Result<usize, Cause> {
        let cause = match self.import_from_keg(wanted, batch) {
            Ok(n) => return Ok(n),
            Err(cause) => cause,
        };
        // Free objects of this zone in other caches.
        if self.collect() > 0
            && let Some(object) = self.depot.lock().pop()
        {
            batch[0] = Some(object);
            return Ok(1);
        }
        // Free objects, or parts of them, with others.
        if self.hooks.starved(wanted)
            && let Ok(n) = self.import_from_keg(wanted, batch)
        {
            return Ok(n);
        }
        // What came back meanwhile.
        if let Some(object) = self.depot.lock().pop() {
            batch[0] = Some(object);
            return Ok(1);
        }
        self.denied.fetch_add(1, Ordering::Relaxed);
        Err(cause)
    }

    fn import_from_keg(&self, wanted: usize, batch: &mut [Option<Object>; BATCH]) -> Result<usize, Cause> {
        const NONE: (Object, Option<NonNull<u8>>) = (Object::new(NonNull::dangling()), None);
        let mut slots = [NONE; BATCH];
        let taken = self.keg.take(&mut slots[..wanted.min(BATCH)])?;
        let mut made = 0;
        for &(object, block) in &slots[..taken] {
            // SAFETY: the keg gave the slot to us alone.
            unsafe { object.head() }.set_home(self);
            // SAFETY: as above.
            if unsafe { self.hooks.init(object, block) } {
                batch[made] = Some(object);
                made += 1;
            } else {
                // SAFETY: taken above, and `init` that fails leaves nothing in it.
                unsafe { self.keg.put(object) };
            }
        }
        if made == 0 {
            return Err(Cause::Part);
        }
        let depot = self.depot.lock();
        self.out.fetch_add(made, Ordering::Relaxed);
        if depot.counted {
            self.retain(made);
        }
        Ok(made)
    }

    /// Gives each of `n` objects that are out of a closed zone its references.
    fn retain(&self, n: usize) {
        self.hooks.retain(n);
        for _ in 0..n {
            // SAFETY: every `Core` lives in an `Arc` (see `RawZone`), and the caller holds a reference.
            unsafe { Arc::increment_strong_count(self) };
        }
    }

    /// Takes a free object out of the depot for good. It no longer counts as out.
    fn take_free(&self) -> Option<Object> {
        let mut depot = self.depot.lock();
        let object = depot.pop()?;
        self.out.fetch_sub(1, Ordering::Relaxed);
        Some(object)
    }

    /// Gives an object that no longer counts as out back to the keg.
    fn finish(&self, object: Object) {
        // SAFETY: the object is free, in no list, and came from this zone's keg.
        unsafe {
            self.hooks.fini(object);
            self.keg.put(object);
        }
    }

    /// Moves every cached object, whoever's, to the depot. Returns how many are there.
    fn collect(&self) -> usize {
        let _one = self.collecting.lock();
        let caches = self.caches.lock().caches.clone();
        let mut objects = Vec::new();
        collect_all(caches.iter().map(Arc::as_ref), &mut objects, false);
        let mut depot = self.depot.lock();
        debug_assert!(objects.is_empty() || !depot.counted, "a closed zone has no cached objects");
        depot.loose.append(&mut objects);
        depot.len(self.magazine)
    }

    /// Gives up to `n` free objects back to the keg. Returns how many.
    pub(crate) fn give_back(&self, n: usize) -> usize {
        let enough = self.depot.lock().len(self.magazine) >= n;
        if !enough {
            self.collect();
        }
        let mut given = 0;
        while given < n {
            let Some(object) = self.take_free() else { break };
            self.finish(object);
            given += 1;
        }
        given
    }

    /// Gives every free object back to the keg and every empty slab to the page source. Returns bytes given back.
    pub(crate) fn trim(&self) -> usize {
        self.give_back(usize::MAX);
        self.depot.lock().empty.clear();
        self.keg.trim()
    }

    /// Ends the zone: see the module's introduction. Doing it twice does nothing.
    pub(crate) fn close(&self) {
        let _one = self.collecting.lock();
        let caches = {
            let mut registry = self.caches.lock();
            if core::mem::replace(&mut registry.closed, true) {
                return;
            }
            registry.caches.clone()
        };
        let mut objects = Vec::new();
        collect_all(caches.iter().map(Arc::as_ref), &mut objects, true);
        for object in objects {
            self.out.fetch_sub(1, Ordering::Relaxed);
            self.finish(object);
        }
        let mut depot = self.depot.lock();
        while let Some(object) = depot.pop() {
            self.out.fetch_sub(1, Ordering::Relaxed);
            // A hook runs under the depot's lock here, and here alone: `fini` does not come back to this zone.
            self.finish(object);
        }
        depot.empty.clear();
        depot.counted = true;
        self.retain(self.out.load(Ordering::Relaxed));
        drop(depot);
        self.keg.trim();
    }

    /// A snapshot. Exact when no thread is in the middle of an operation.
    pub(crate) fn stats(&self) -> ZoneStats {
        let caches = self.caches.lock().caches.clone();
        let in_caches: usize = caches.iter().map(|c| c.cached()).sum();
        let gets: usize = caches.iter().map(|c| c.gets()).sum();
        let cached = in_caches + self.depot.lock().len(self.magazine);
        let keg = self.keg.stats();
        ZoneStats {
            in_use: self.out.load(Ordering::Relaxed).saturating_sub(cached),
            cached,
            total: keg.total,
            limit: self.keg.limit(),
            peak: keg.peak,
            gets: gets.wrapping_add(self.gets.load(Ordering::Relaxed)),
            denied: self.denied.load(Ordering::Relaxed),
            object_bytes: self.keg.shape().bytes(),
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        let depot = self.depot.lock();
        debug_assert!(
            depot.loose.is_empty() && depot.full.is_empty(),
            "a zone is closed before it is dropped"
        );
    }
}

impl Depot {
    fn full_for(&mut self, empty: Magazine) -> Magazine {
        if let Some(full) = self.full.pop() {
            self.empty.push(empty);
            return full;
        }
        let mut magazine = empty;
        while !magazine.is_full() {
            let Some(object) = self.loose.pop() else { break };
            magazine.push(object);
        }
        magazine
    }

    fn empty_for(&mut self, full: Magazine) -> Magazine {
        let size = full.capacity();
        self.full.push(full);
        self.empty.pop().unwrap_or_else(|| Magazine::new(size))
    }

    fn pop(&mut self) -> Option<Object> {
        if let Some(object) = self.loose.pop() {
            return Some(object);
        }
        let mut magazine = self.full.pop()?;
        while let Some(object) = magazine.pop() {
            self.loose.push(object);
        }
        self.empty.push(magazine);
        self.loose.pop()
    }

    fn len(&self, magazine: usize) -> usize {
        self.loose.len() + self.full.len() * magazine
    }
}
