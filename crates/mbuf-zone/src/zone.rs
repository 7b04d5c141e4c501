//! The untyped zone: caches over a depot over a keg, the order in which a dry zone looks for objects, and what
//! becomes of objects that outlive their zone.
//!
//! A zone is **open** while its handle lives, then **closed**. An open zone keeps free objects in caches and in the
//! depot. Closing empties every cache for good and gives all free objects back to the keg; from then on the objects
//! that are still out hold the zone (and what its hooks keep alive), operations go straight to the keg, and the
//! last object to return lets go of everything.
//!
//! An allocation that finds nothing here goes on in `limit.rs`.
//!
//! # Hooks that panic
//!
//! Hooks run without locks (but for those that say they cannot mind), and whatever a hook had in hand goes back to
//! the keg if it panics.
//!
//! Locks, in the order in which they are taken: the group's `moving`; `caches`; a cache's; the depots', several of
//! them only by who has `moving`; the keg's.
#![allow(unsafe_code)]

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::ptr::NonNull;

use crate::back::{Back, Bare, Finish, Home, Later};
use crate::cache::{Cache, collect_all};
use crate::depot::{Depot, Stock};
use crate::group::{Kin, Moving};
use crate::head::{Object, Site};
use crate::keg::{Cause, Keg};
use crate::limit::Found;
use crate::raw::Settings;
use crate::stats::ZoneStats;
use crate::sync::{AtomicPtr, AtomicUsize, Guard, Mutex, Ordering, barriers_available};

/// What a zone does to its objects on their way between keg and caches.
///
/// `init` and `fini` may panic, and may allocate and free objects of any zone unless they say otherwise.
///
/// # Safety
/// After `init` returned true the slot holds an object that the users of the zone may rely on; `fini` leaves nothing
/// in it that needs care, and neither does an `init` that returned false, nor one of the two that panics. Neither
/// touches the slot's [`Head`](crate::raw::Head). `retain` and `release` do not panic. `is_plain` does what it says.
pub unsafe trait Hooks: Send + Sync {
    /// Makes an object of a slot that leaves the keg. `block` is the slot's memory block, if the shape has one.
    /// Returns false if it cannot; the slot then goes back.
    ///
    /// # Safety
    /// The slot is out of the keg and nobody else's. Its memory is zeroed or as `fini` left it.
    unsafe fn init(&self, object: Object, block: Option<NonNull<u8>>) -> bool;

    /// Whether `init` always succeeds, is quick, does not panic and uses no zone. The zone then calls it with locks
    /// held, for a batch of slots at a time.
    fn is_plain(&self) -> bool {
        false
    }

    /// Takes an object apart before its slot goes back to the keg. Returns the object of another zone that was a part
    /// of it, if there was one: free, unmarked, and given away. It goes back to its zone.
    ///
    /// # Safety
    /// The object is free and nobody else's.
    unsafe fn fini(&self, object: Object) -> Option<Object>;

    /// Whether `fini` uses no zone and does not run the user's code. The zone then calls it while it keeps others of
    /// its group from looking for free objects, so that they do not overlook the one in hand.
    fn is_quiet(&self) -> bool {
        false
    }

    /// An object or memory of the zone came back while somebody [watches](crate::raw::RawZone::watch) it, or its limit
    /// was changed. Called without locks. Should not panic: who gave the object back would.
    fn freed(&self) {}

    /// Whether an object may be handed out, asked before there is one. This and the next two are called only while the
    /// zone is [observed](crate::raw::RawZone::observe) (of samples, only `taken` is), without locks, and do not panic.
    /// Objects that are to be parts of others come and go unseen.
    ///
    /// # Errors
    /// What the allocation fails with.
    fn asked(&self, site: Site) -> Result<(), Cause> {
        let _ = site;
        Ok(())
    }

    /// An object is about to be handed out, and stands for `many`: itself, and those behind it in a magazine, which are not
    /// shown. One, where everything is observed.
    ///
    /// # Safety
    /// The object is one that `init` made, or that was put back, and nobody else's.
    unsafe fn taken(&self, object: Object, site: Site, many: usize) {
        let _ = (object, site, many);
    }

    /// An object comes back; it is in no list yet.
    ///
    /// # Safety
    /// The object is as its user gave it back, and nobody else's.
    unsafe fn returned(&self, object: Object) {
        let _ = object;
    }

    /// The zone closed with `objects` still out, each of which will be followed by one call of
    /// [`release`](Self::release). What they need must live until then. Called with a lock of the zone held: does
    /// not use it.
    fn retain(&self, objects: usize) {
        let _ = objects;
    }

    /// One object of the closed zone came back. May drop the zone itself.
    fn release(&self) {}
}

/// What the hooks of a zone are shown of what comes and goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Observed {
    /// Nothing.
    Nothing,
    /// Each object for which a thread found its loaded magazine empty, with the number of those that it got with it. None of
    /// those that come back.
    Samples,
    /// All of them. Meanwhile the zone works without caches.
    Everything,
}

/// Most plain objects that are made at a time. Few under Miri, where making them is most of what a test takes.
const BATCH: usize = if cfg!(miri) { 4 } else { 32 };

/// More would be a mistake: a thread caches two magazines.
const LARGEST_MAGAZINE: usize = 1 << 16;

/// The shared part of a zone. Objects name it by address.
///
/// # Invariants
/// 1. It lives in an `Arc`, at least while any handle, registered cache, or object that is out of the keg does. The
///    objects of a closed zone hold one reference together, from `close` or the first `import` after it, to the
///    return of the last.
/// 2. Every object is in exactly one place: a user, one magazine, `loose`, or the keg. A slot may be in `bare`, too.
pub(crate) struct Core {
    keg: Arc<Keg>,
    /// The zone's group.
    pub(crate) kin: Arc<Kin>,
    /// Whose slots the objects of this zone contain.
    pub(crate) parts: Option<Arc<Keg>>,
    /// Objects that this zone keeps out of the keg.
    pub(crate) floor: AtomicUsize,
    hooks: Box<dyn Hooks>,
    /// A plain pointer, in a wrapper that may be shared.
    user: AtomicPtr<()>,
    magazine: usize,
    pub(crate) depot: Depot,
    caches: Mutex<Registry>,
    denied: AtomicUsize,
    /// Allocations that found something only by looking everywhere.
    pub(crate) rescued: AtomicUsize,
    /// Objects handed out by caches that are gone, and without a cache.
    gets: AtomicUsize,
    /// What the hooks see, as a number.
    pub(crate) observed: AtomicUsize,
    /// Caches never open: no barrier here, or the user asked for it.
    locked: bool,
    /// What the hooks said.
    plain: bool,
    quiet: bool,
}

struct Registry {
    caches: Vec<Arc<Cache>>,
    closed: bool,
}

impl Core {
    pub(crate) fn new(keg: Arc<Keg>, kin: Arc<Kin>, hooks: Box<dyn Hooks>, settings: &Settings) -> Self {
        let &Settings { magazine, user, locked, .. } = settings;
        Core {
            keg,
            kin,
            parts: settings.parts.as_ref().map(|parts| parts.0.clone()),
            floor: AtomicUsize::new(0),
            plain: hooks.is_plain(),
            quiet: hooks.is_quiet(),
            hooks,
            user: AtomicPtr::new(user.cast_mut()),
            magazine: magazine.clamp(1, LARGEST_MAGAZINE),
            depot: Depot::new(),
            caches: Mutex::new(Registry { caches: Vec::new(), closed: false }),
            denied: AtomicUsize::new(0),
            rescued: AtomicUsize::new(0),
            gets: AtomicUsize::new(0),
            observed: AtomicUsize::new(0),
            locked: locked || !barriers_available(),
        }
    }

    #[inline]
    pub(crate) fn user(&self) -> *const () {
        // Relaxed: never changes.
        self.user.load(Ordering::Relaxed)
    }

    pub(crate) fn keg(&self) -> &Arc<Keg> {
        &self.keg
    }

    /// A cache for a new owner, or `None` if the zone is closed, or there is no memory for one.
    pub(crate) fn register(&self) -> Option<Arc<Cache>> {
        let mut registry = self.caches.lock();
        if registry.closed {
            return None;
        }
        let cache = Arc::new(Cache::new(self.magazine, self.locked)?);
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
        // SAFETY: the owner by this function's contract. The cache of a closed zone is empty, so nothing comes to
        // rest in its depot.
        unsafe { cache.empty(&self.depot) };
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.caches.lock().closed
    }

    /// Gets an object for the owner of `cache`, past the loaded magazine.
    ///
    /// # Safety
    /// The caller is the owner of the cache, which belongs to this zone.
    #[cold]
    pub(crate) unsafe fn get_slow(
        self: &Arc<Self>,
        cache: &Cache,
        site: Option<Site>,
    ) -> Result<Object, Cause> {
        self.ask(site)?;
        // SAFETY: the owner by this function's contract.
        let (object, many) = match unsafe { cache.refill(&self.depot) } {
            Ok(found) => found,
            Err(stock) => (self.import(stock).inspect(|_| cache.count_gets(1))?, 1),
        };
        self.show_taken(object, many, site);
        Ok(object)
    }

    /// Puts an object back for the owner of `cache`, past the loaded magazine.
    ///
    /// # Safety
    /// The caller is the owner of the cache, which belongs to this zone; the object is a free one of this zone that
    /// it gives away.
    #[cold]
    pub(crate) unsafe fn put_slow(self: &Arc<Self>, cache: &Cache, object: Object) {
        self.show_returned(object);
        // SAFETY: as this function's contract says.
        if let Err(object) = unsafe { cache.drain(object, &self.depot) } {
            self.settle(object, &mut Later::default());
        }
    }

    /// Gets an object without a cache.
    #[cold]
    pub(crate) fn get_shared(self: &Arc<Self>, site: Option<Site>) -> Result<Object, Cause> {
        self.ask(site)?;
        let object = self.import(self.depot.stock.lock())?;
        self.gets.fetch_add(1, Ordering::Relaxed);
        self.show_taken(object, 1, site);
        Ok(object)
    }

    /// Whether an object may be had at all: a polite thread finds nothing where others wait, and hooks may refuse.
    fn ask(&self, site: Option<Site>) -> Result<(), Cause> {
        if crate::thread::is_polite(&self.kin) && self.is_watched() {
            return Err(Cause::Waiters);
        }
        match site {
            Some(site) if self.observed() == Observed::Everything => {
                self.hooks.asked(site).inspect_err(|_| self.deny())
            }
            _ => Ok(()),
        }
    }

    /// The object is about to be handed out, the first of so many that were had at once.
    fn show_taken(&self, object: Object, many: usize, site: Option<Site>) {
        let Some(site) = site else { return };
        let many = match self.observed() {
            Observed::Nothing => return,
            Observed::Samples => many,
            Observed::Everything => 1,
        };
        // SAFETY: the object is about to be handed out, so nobody else's.
        unsafe { self.hooks.taken(object, site, many) };
    }

    /// The caller gives the object away, and has not put it anywhere yet.
    fn show_returned(&self, object: Object) {
        if self.observed() == Observed::Everything {
            // SAFETY: the object was given away and is in no list.
            unsafe { self.hooks.returned(object) };
        }
    }

    /// Puts an object back without a cache. The object is a free one of this zone that the caller gives away.
    #[cold]
    pub(crate) fn put_shared(self: &Arc<Self>, object: Object) {
        self.show_returned(object);
        self.settle(object, &mut Later::default());
    }

    /// Puts an object to rest where it belongs, in the depot or the keg, and leaves what remains to do for later.
    pub(crate) fn settle(self: &Arc<Self>, object: Object, later: &mut Later) {
        let mut stock = self.depot.stock.lock();
        self.ease(&mut stock);
        if stock.closed || (stock.braked && stock.out > self.floor()) {
            let back = self.part(&mut stock);
            drop(stock);
            self.finish(object, later);
            later.push(back);
        } else {
            stock.loose.push(object);
            if stock.watched > 0 {
                later.push(Back { core: self.clone(), counted: false, watched: true });
            }
        }
    }

    /// Gives an object back to the keg, by way of `fini`. The caller gives it away.
    #[cold]
    pub(crate) fn discard(self: &Arc<Self>, object: Object) {
        self.show_returned(object);
        let mut later = Later::default();
        let bare = Bare(self, object);
        // SAFETY: the object is free, in no list, and came from this zone's keg.
        let part = unsafe { self.hooks.fini(object) };
        drop(bare);
        self.settle_part(part, &mut later);
    }

    /// Gives the slot of an object that its user took apart back to the keg, or keeps it if the zone has no more than
    /// its reserve. The caller gives it away.
    #[cold]
    pub(crate) fn discard_bare(self: &Arc<Self>, slot: Object) {
        let mut stock = self.depot.stock.lock();
        if !stock.closed && stock.out <= self.floor() {
            stock.bare.push(slot);
            return;
        }
        let back = self.part(&mut stock);
        drop(stock);
        drop(Home(&self.keg, slot));
        drop(back);
    }

    /// An object no longer counts as out, or, of a closed zone, will not when there is nothing left to do.
    fn part(self: &Arc<Self>, stock: &mut Stock) -> Back {
        if !stock.closed {
            stock.out -= 1;
        }
        Back { core: self.clone(), counted: stock.closed, watched: stock.watched > 0 }
    }

    /// An object of a closed zone no longer counts as out. Was it the last?
    pub(crate) fn uncount(&self) -> bool {
        let mut stock = self.depot.stock.lock();
        stock.out -= 1;
        stock.out == 0
    }

    /// Says that there may be something for those who wait.
    pub(crate) fn tell(&self) {
        self.hooks.freed();
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Objects that are made at a time.
    pub(crate) fn batch(&self) -> usize {
        (self.magazine / 2).clamp(1, BATCH)
    }

    /// Gets an object from the depot or the keg, looking everywhere for one before it fails.
    fn import(self: &Arc<Self>, mut stock: Guard<'_, Stock>) -> Result<Object, Cause> {
        self.ease(&mut stock);
        let found = self.take(&mut stock).inspect(|found| {
            if self.plain && !stock.closed && matches!(found, Found::Slot(..)) {
                self.make_ahead(&mut stock);
            }
        });
        drop(stock);
        found.and_then(|found| self.make(found)).or_else(|cause| self.starve(cause))
    }

    /// Takes what depot and keg have.
    pub(crate) fn take(self: &Arc<Self>, stock: &mut Stock) -> Result<Found, Cause> {
        if let Some(object) = stock.pop() {
            return Ok(Found::Ready(object));
        }
        if let Some(slot) = stock.bare.pop() {
            return Ok(Found::Slot(slot, self.keg.block(slot)));
        }
        self.take_new(stock)
    }

    /// Takes a slot from the keg.
    pub(crate) fn take_new(self: &Arc<Self>, stock: &mut Stock) -> Result<Found, Cause> {
        let (slot, block) = self.keg.take()?;
        stock.out += 1;
        if stock.closed {
            self.retain(1, stock.out == 1);
        }
        Ok(Found::Slot(slot, block))
    }

    /// Makes an object of what was found.
    pub(crate) fn make(self: &Arc<Self>, found: Found) -> Result<Object, Cause> {
        let (slot, block) = match found {
            Found::Ready(object) => return Ok(object),
            Found::Slot(slot, block) => (slot, block),
        };
        let bare = Bare(self, slot);
        // SAFETY: the keg gave the slot to us alone.
        unsafe { slot.head() }.set_home(Arc::as_ptr(self));
        // SAFETY: as above.
        if !unsafe { self.hooks.init(slot, block) } {
            return Err(Cause::Part);
        }
        mem::forget(bare);
        Ok(slot)
    }

    /// Makes more objects, into the depot. The lock is not let go, so they are at no time between keg and depot.
    fn make_ahead(self: &Arc<Self>, stock: &mut Stock) {
        if stock.loose.try_reserve(self.batch()).is_err() {
            return;
        }
        for _ in 1..self.batch() {
            let Some((slot, block)) = self.keg.take_ready() else { break };
            // SAFETY: the keg gave the slot to us alone; plain objects are made with locks held, and always can be.
            let made = unsafe {
                slot.head().set_home(Arc::as_ptr(self));
                self.hooks.init(slot, block)
            };
            debug_assert!(made, "the init of a plain object does not fail");
            stock.out += 1;
            stock.loose.push(slot);
        }
    }

    /// `n` more objects are out of a closed zone: `first` if there were none before.
    fn retain(self: &Arc<Self>, n: usize, first: bool) {
        self.hooks.retain(n);
        if first {
            // SAFETY: the pointer is that of an `Arc`, which the caller holds.
            unsafe { Arc::increment_strong_count(Arc::as_ptr(self)) };
        }
    }

    /// Gives an object that no longer counts as out back to the keg.
    pub(crate) fn finish(&self, object: Object, later: &mut Later) {
        let home = Home(&self.keg, object);
        // SAFETY: the object is free, in no list, and came from this zone's keg.
        let part = unsafe { self.hooks.fini(object) };
        drop(home);
        self.settle_part(part, later);
    }

    fn settle_part(&self, part: Option<Object>, later: &mut Later) {
        if let Some(part) = part {
            // SAFETY: an object of another zone that is out of its keg, by the contract of `fini`.
            unsafe { crate::thread::home(part) }.settle(part, later);
        }
    }

    pub(crate) fn let_go(&self) {
        self.hooks.release();
    }

    /// Moves every cached object, whoever's, to the depot.
    pub(crate) fn collect(&self, _: &Moving<'_>) {
        let _held = self.depot.hold();
        let mut objects = Vec::new();
        collect_all(self.caches.lock().caches.iter().map(Arc::as_ref), &mut objects, false);
        let mut stock = self.depot.stock.lock();
        debug_assert!(objects.is_empty() || !stock.closed, "a closed zone has no cached objects");
        stock.loose.append(&mut objects);
    }

    /// Gives up to `n` free objects back to the keg. Returns how many.
    pub(crate) fn give_back(self: &Arc<Self>, n: usize) -> usize {
        let (mut given, mut collected) = (0, false);
        loop {
            let moving = self.kin.moving();
            if !collected && self.depot.stock.lock().len() < n {
                self.collect(&moving);
            }
            collected = true;
            let mut batch = Finish::default();
            {
                let mut stock = self.depot.stock.lock();
                while given + batch.len() < n
                    && batch.has_room_for(self)
                    && let Some(spare) = stock.part_with(self.floor())
                {
                    batch.add(self, spare);
                }
            }
            if batch.len() == 0 {
                return given;
            }
            given += batch.len();
            batch.finish(moving);
        }
    }

    /// Gives every free object back to the keg and every empty slab to the page source. Returns bytes given back.
    pub(crate) fn trim(self: &Arc<Self>) -> usize {
        // What is freed from now on is left alone.
        self.give_back(usize::MAX);
        self.depot.stock.lock().shrink();
        let bytes = self.keg.trim();
        if bytes > 0 && self.is_watched() {
            self.tell();
        }
        bytes
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.depot.stock.lock().watched > 0
    }

    /// Ends the zone: see the module's introduction. Doing it twice does nothing.
    pub(crate) fn close(self: &Arc<Self>) {
        let moving = self.kin.moving();
        let mut free = Finish::default();
        {
            let _held = self.depot.hold();
            let mut objects = Vec::new();
            {
                let mut registry = self.caches.lock();
                if mem::replace(&mut registry.closed, true) {
                    return;
                }
                collect_all(registry.caches.iter().map(Arc::as_ref), &mut objects, true);
            }
            self.kin.leave(self);
            self.floor.store(0, Ordering::Relaxed);
            let mut stock = self.depot.stock.lock();
            stock.loose.append(&mut objects);
            while let Some(spare) = stock.part_with(0) {
                free.add(self, spare);
            }
            stock.shrink();
            stock.closed = true;
            free.later(Back { core: self.clone(), counted: false, watched: stock.watched > 0 });
            if stock.out > 0 {
                self.retain(stock.out, true);
            }
        }
        // From here on nothing depends on what the hooks do.
        free.finish(moving);
    }

    pub(crate) fn deny(&self) {
        self.denied.fetch_add(1, Ordering::Relaxed);
    }

    /// An allocation that was counted as denied does not count.
    pub(crate) fn forgive(&self) {
        self.denied.fetch_sub(1, Ordering::Relaxed);
    }

    /// A snapshot. Exact when no thread is in the middle of an operation.
    pub(crate) fn stats(&self) -> ZoneStats {
        let caches = self.caches.lock().caches.clone();
        let in_caches: usize = caches.iter().map(|c| c.cached()).sum();
        let gets = caches.iter().fold(0usize, |sum, c| sum.wrapping_add(c.gets()));
        let bare;
        let (cached, out) = {
            let stock = self.depot.stock.lock();
            bare = stock.bare.len();
            (in_caches + stock.len() + stock.bare.len(), stock.out)
        };
        let keg = self.keg.stats();
        ZoneStats {
            in_use: out.saturating_sub(cached),
            cached,
            total: keg.total,
            limit: self.keg.limit(),
            reserve: self.floor(),
            bare,
            peak: keg.peak,
            gets: gets.wrapping_add(self.gets.load(Ordering::Relaxed)),
            denied: self.denied.load(Ordering::Relaxed),
            rescued: self.rescued.load(Ordering::Relaxed),
            object_bytes: self.keg.shape().bytes(),
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        debug_assert_eq!(self.depot.stock.lock().len(), 0, "a zone is closed before it is dropped");
    }
}

#[cfg(all(test, not(loom), feature = "std"))]
mod tests {
    use crate::check::tests::{give, take, zone};
    use crate::flush_thread;
    use crate::raw::Settings;

    #[test]
    fn caches_are_the_zones_as_long_as_their_owners_live() {
        let zone = zone(&Settings { magazine: 4, ..Settings::default() });
        let (caches, in_depot) =
            (|| zone.core().caches.lock().caches.len(), || zone.core().depot.stock.lock().len());
        give(take(&zone, 4));
        assert_eq!((caches(), in_depot()), (1, 0));
        let mut local = zone.local();
        let objects = [0; 2].map(|_| local.get().unwrap());
        // SAFETY: ours.
        objects.into_iter().for_each(|object| unsafe { local.put(object) });
        assert_eq!((caches(), in_depot(), zone.stats().cached), (2, 0, 6));
        local.flush();
        assert_eq!((caches(), in_depot()), (2, 2));
        // As many as the depot has: no cache is looked into.
        assert_eq!((zone.give_back(2), in_depot(), zone.stats().cached), (2, 0, 4));
        // SAFETY: ours.
        local.get().map(|object| unsafe { local.put(object) }).unwrap();
        drop(local);
        assert_eq!((caches(), in_depot()), (1, 1));
        // The thread's own stays, and its list says so, though others are swept.
        flush_thread();
        assert_eq!((caches(), in_depot(), zone.stats().cached), (1, 5, 5));
        std::thread::scope(|scope| scope.spawn(|| give(take(&zone, 1))).join().unwrap());
        assert_eq!((caches(), in_depot(), zone.stats().gets), (1, 5, 8));
        drop(zone);
        flush_thread();
    }
}
