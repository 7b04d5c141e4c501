//! What a cache keeps from the depot.
//!
//! A thread that takes back what it gave, in bursts larger than its magazines, would otherwise exchange with others
//! through the depot, and headers would wander between the cores' caches. Each full magazine that comes back from the
//! depot earns a place for one that need not go there the next time.
//!
//! Threads that do exchange, as one allocates what the other frees, do so by *lots* of magazines: the depot's lock, and
//! the lines behind it, move from core to core once for a lot. Headers that come from there were last used by another
//! core: each magazine's are asked for when it is loaded, all at once, and not one by one as they are written.

use alloc::vec::Vec;
use core::mem;

use crate::depot::{Depot, Magazine, Stock};
use crate::sync::Guard;

/// Magazines that a cache keeps from the depot.
///
/// # Invariants
/// 1. Those in `full` are full, and fewer than `room` and a lot together.
#[derive(Default)]
pub(crate) struct Stash {
    full: Vec<Magazine>,
    /// How many of them, the last ones, came from the depot.
    foreign: usize,
    empty: Vec<Magazine>,
    /// Full magazines it may hold, besides a lot that is not yet complete.
    room: usize,
    /// Magazines given to the depot and not yet taken back.
    given: usize,
}

/// Objects in a stash at most, besides a lot that is not yet complete.
const LARGEST_STASH: usize = 4096;

/// Magazines and objects in a lot at most; it has one magazine at least.
const LARGEST_LOT: usize = 4;
const LOT_OBJECTS: usize = 256;

impl Stash {
    /// Magazines of this size in a stash at most.
    fn most(magazine: &Magazine) -> usize {
        LARGEST_STASH / magazine.capacity()
    }

    /// Magazines of this size that go to the depot, or come from it, while its lock is held once.
    fn lot(magazine: &Magazine) -> usize {
        (LOT_OBJECTS / magazine.capacity()).clamp(1, LARGEST_LOT)
    }

    /// Exchanges an empty magazine for what the depot has, and keeps others for later where it has many. Gives the lock
    /// back if it has nothing.
    pub(crate) fn full_for<'a>(
        &mut self,
        magazine: &mut Magazine,
        mut stock: Guard<'a, Stock>,
    ) -> Result<(), Guard<'a, Stock>> {
        // Others may come: half of what is there at most, but for the last one.
        let lot = stock.full_magazines().div_ceil(2).min(Self::lot(magazine));
        stock.full_for(magazine);
        if magazine.is_empty() {
            return Err(stock);
        }
        let own = self.full.len();
        for _ in 1..lot {
            let mut more = self.empty_like(magazine);
            stock.full_for(&mut more);
            // Below the one before: they are used in the order in which the depot would have given them.
            self.full.insert(own, more);
        }
        drop(stock);
        self.foreign += self.full.len() - own;
        magazine.fetch();
        let back = lot.min(self.given);
        self.given -= back;
        self.room = (self.room + back).min(Self::most(magazine));
        Ok(())
    }

    /// Exchanges an empty magazine for a full one, if there is one.
    pub(crate) fn take(&mut self, magazine: &mut Magazine) {
        let Some(full) = self.full.pop() else { return };
        if let Some(foreign) = self.foreign.checked_sub(1) {
            self.foreign = foreign;
            full.fetch();
        }
        self.empty.push(mem::replace(magazine, full));
    }

    /// Exchanges a full magazine for an empty one. If there are too many full ones, a lot goes to the depot.
    pub(crate) fn empty_for(&mut self, magazine: &mut Magazine, depot: &Depot) {
        let lot = Self::lot(magazine);
        // Never more (invariant 1).
        if self.full.len() + 1 >= self.room + lot {
            let mut stock = depot.stock.lock();
            // The oldest ones, which this core's caches have least of.
            for mut full in self.full.drain(..lot - 1) {
                stock.empty_for(&mut full);
                self.empty.push(full);
            }
            self.foreign = self.foreign.min(self.full.len());
            // More could not be earned back.
            self.given = (self.given + lot).min(Self::most(magazine));
            return stock.empty_for(magazine);
        }
        let empty = self.empty_like(magazine);
        self.full.push(mem::replace(magazine, empty));
        self.foreign = 0;
    }

    fn empty_like(&mut self, magazine: &Magazine) -> Magazine {
        self.empty.pop().unwrap_or_else(|| magazine.empty_like())
    }

    /// Takes everything out; the next ones have to earn their place again.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Magazine> + use<> {
        mem::take(self).full.into_iter()
    }

    /// Full magazines in it.
    pub(crate) fn len(&self) -> usize {
        self.full.len()
    }
}

#[allow(unsafe_code)]
#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::cache::{Cache, collect_all};
    use crate::head::Object;
    use core::num::NonZeroUsize;
    use core::ptr::NonNull;

    const ROOM: usize = 2;

    fn put(cache: &Cache, depot: &Depot, objects: Vec<Object>) {
        for object in objects {
            // SAFETY: this thread is the owner; nothing here looks at what objects point to.
            let past = unsafe { cache.push(object).or_else(|object| cache.drain(object, depot)) };
            assert!(past.is_ok());
        }
    }

    fn get(cache: &Cache, depot: &Depot, n: usize) -> Vec<Object> {
        // SAFETY: as above.
        let get = || unsafe { cache.pop().or_else(|| Some(cache.refill(depot).ok()?.0)) };
        (0..n).map(|_| get().unwrap()).collect()
    }

    #[cfg_attr(mbuf_tsan, ignore = "caches that are locked have no stash")]
    #[test]
    fn a_thread_that_takes_back_what_it_gave_keeps_it_the_next_time() {
        let depot = Depot::new();
        let locked = !crate::sync::barriers_available();
        let (taker, giver) = (Cache::new(ROOM, locked).unwrap(), Cache::new(ROOM, locked).unwrap());
        let in_depot = || depot.stock.lock().len();
        let name = |i: usize| Object::new(NonNull::without_provenance(NonZeroUsize::new(i * 16).unwrap()));
        let objects: Vec<_> = (1..=20).map(name).collect();
        put(&taker, &depot, objects);
        // But for the loaded magazine and the spare one.
        assert_eq!(in_depot(), 16);
        let objects = get(&taker, &depot, 20);
        put(&taker, &depot, objects);
        assert_eq!((in_depot(), taker.cached()), (0, 20));
        let objects = get(&taker, &depot, 20);
        assert_eq!(taker.cached(), 0);

        // One that only frees leaves it to others, however much it is.
        put(&giver, &depot, objects);
        assert_eq!((in_depot(), giver.cached()), (16, 4));
        let objects = get(&taker, &depot, 16);
        put(&giver, &depot, objects);
        assert_eq!((in_depot(), giver.cached()), (16, 4));

        // Who is emptied starts again.
        let objects = get(&taker, &depot, 16);
        put(&taker, &depot, objects);
        assert_eq!((in_depot(), taker.cached()), (0, 16));
        let mut collected = Vec::new();
        collect_all([&taker].into_iter(), &mut collected, false);
        assert_eq!((collected.len(), taker.cached()), (16, 0));
        put(&taker, &depot, collected);
        // Four magazines went there at once; two wait for two others.
        assert_eq!((in_depot(), taker.cached()), (8, 8));
    }

    #[cfg_attr(mbuf_tsan, ignore = "caches that are locked have no stash")]
    #[test]
    fn magazines_go_from_thread_to_thread_by_lots() {
        let depot = Depot::new();
        let locked = !crate::sync::barriers_available();
        let (taker, giver) = (Cache::new(ROOM, locked).unwrap(), Cache::new(ROOM, locked).unwrap());
        let in_depot = || depot.stock.lock().len();
        let name = |i: usize| Object::new(NonNull::without_provenance(NonZeroUsize::new(i * 16).unwrap()));
        let mut turns = Vec::new();
        for i in 1..=40 {
            put(&giver, &depot, Vec::from([name(i)]));
            turns.push(in_depot());
        }
        // Two magazines that it keeps, then four at a time.
        assert_eq!(turns.iter().filter(|&&there| there % (4 * ROOM) != 0).count(), 0);
        assert_eq!((in_depot(), giver.cached()), (32, 8));
        // Four at a time, but never more than half of what is there.
        let mut left = Vec::from([32]);
        for _ in 0..32 {
            get(&taker, &depot, 1);
            left.push(in_depot());
        }
        left.dedup();
        assert_eq!(left, [32, 24, 16, 8, 4, 2, 0]);
    }

    #[cfg_attr(mbuf_tsan, ignore = "caches that are locked have no stash")]
    #[test]
    fn a_thread_keeps_no_more_than_it_took_back() {
        let depot = Depot::new();
        let locked = !crate::sync::barriers_available();
        let (taker, giver) = (Cache::new(ROOM, locked).unwrap(), Cache::new(ROOM, locked).unwrap());
        let name = |i: usize| Object::new(NonNull::without_provenance(NonZeroUsize::new(i * 16).unwrap()));
        // Four magazines that the one gave, and many that another did.
        put(&taker, &depot, (1..=12).map(name).collect());
        put(&giver, &depot, (101..=140).map(name).collect());
        assert_eq!(depot.stock.lock().len(), 8 + 32);
        let objects = get(&taker, &depot, 44);
        put(&taker, &depot, objects);
        // The two magazines in hand, and four in place of those that it gave.
        assert_eq!((taker.cached(), depot.stock.lock().len()), (12, 32));
    }

    #[test]
    fn loose_objects_are_taken_a_magazine_at_a_time() {
        let depot = Depot::new();
        let cache = Cache::new(ROOM, !crate::sync::barriers_available()).unwrap();
        let name = |i: usize| Object::new(NonNull::without_provenance(NonZeroUsize::new(i * 16).unwrap()));
        depot.stock.lock().loose.extend((1..=5).map(name));
        let left = [3, 3, 1, 1, 0].map(|left| {
            get(&cache, &depot, 1);
            assert_eq!(depot.stock.lock().len(), left);
            cache.cached()
        });
        assert_eq!((left, cache.gets()), ([1, 0, 1, 0, 0], 5));
    }

    #[test]
    fn a_cache_that_was_collected_opens_again_when_nobody_holds_the_zone() {
        let depot = Depot::new();
        let cache = Cache::new(ROOM, !crate::sync::barriers_available()).unwrap();
        let name = |i: usize| Object::new(NonNull::without_provenance(NonZeroUsize::new(i * 16).unwrap()));
        put(&cache, &depot, Vec::from([name(1)]));
        let held = (depot.hold(), depot.hold());
        let mut collected = Vec::new();
        collect_all([&cache].into_iter(), &mut collected, false);
        // SAFETY: this thread is the owner.
        let put_by = |object| unsafe { cache.push(object).or_else(|object| cache.drain(object, &depot)) };
        assert_eq!((collected.len(), put_by(name(1))), (1, Err(name(1))));
        drop(held.0);
        assert_eq!((put_by(name(1)), depot.is_held()), (Err(name(1)), true));
        drop(held.1);
        assert_eq!((put_by(name(1)), depot.is_held(), cache.cached()), (Ok(()), false, 1));
    }

    #[cfg_attr(mbuf_tsan, ignore = "caches that are locked have no stash")]
    #[test]
    fn a_stash_has_a_bound_in_objects() {
        const ROOM: usize = 1024;
        let depot = Depot::new();
        let cache = Cache::new(ROOM, !crate::sync::barriers_available()).unwrap();
        let name = |i: usize| Object::new(NonNull::without_provenance(NonZeroUsize::new(i * 16).unwrap()));
        // A magazine of so many is a lot.
        put(&cache, &depot, (1..=2 * ROOM + 1).map(name).collect());
        assert_eq!((cache.cached(), depot.stock.lock().len()), (ROOM + 1, ROOM));
        get(&cache, &depot, 2 * ROOM + 1);

        let mut objects: Vec<_> = (1..=10 * ROOM).map(name).collect();
        for _ in 0..3 {
            put(&cache, &depot, objects);
            objects = get(&cache, &depot, 10 * ROOM);
        }
        put(&cache, &depot, objects);
        // The loaded magazine, the spare one, and the stash.
        assert_eq!((cache.cached(), depot.stock.lock().len()), (2 * ROOM + LARGEST_STASH, 4 * ROOM));
    }
}
