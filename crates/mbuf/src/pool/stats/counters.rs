//! The live counters of a pool's slow paths: one set per thread, as far as there are sets, summed when they are read. A
//! thread that has a set of its own counts without locked instructions; the others share one.

use alloc::sync::Arc;
use core::array;
use core::ops::Deref;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::operations::OpCounters;
use crate::meta::MbufType;

/// Sets of counters. The last one is for all threads that have none of their own.
const SETS: usize = if cfg!(feature = "std") { 8 } else { 1 };

const COMMON: usize = SETS - 1;

/// A number that is only added to and subtracted from. That of one set may be less than none (wrapped): what one
/// thread took, another may give back. Only the sum over all sets means something.
#[derive(Default)]
pub(crate) struct Counter(AtomicUsize);

impl Counter {
    pub(crate) fn add(&self, n: usize) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// As [`add`](Self::add), where nobody else changes the number meanwhile.
    fn add_alone(&self, n: usize) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// The number, where nothing is subtracted and there is one set.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed) as u64
    }
}

/// One set, on cache lines of its own: threads that count do not slow each other down.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Set {
    ops: OpCounters,
    /// Mbufs of each type but `Data`, which is the rest.
    types: [Counter; MbufType::ALL.len() - 1],
    pub(super) tags: Counter,
    pub(super) tags_made: Counter,
}

// Two lines each: neighbouring lines are fetched in pairs.
const _: () = assert!(align_of::<Set>() == 128 && size_of::<Set>().is_multiple_of(128));

impl Set {
    /// The mbufs of a type; nothing counts `Data`.
    pub(super) fn of_type(&self, kind: MbufType) -> Option<&Counter> {
        Self::place_of(kind).map(|i| &self.types[i])
    }

    fn place_of(kind: MbufType) -> Option<usize> {
        (kind as usize).checked_sub(MbufType::Data as usize + 1)
    }
}

impl Deref for Set {
    type Target = OpCounters;

    fn deref(&self) -> &OpCounters {
        &self.ops
    }
}

/// All sets of a pool.
#[derive(Clone)]
pub(crate) struct Counters(Arc<[Set; SETS]>);

impl Default for Counters {
    fn default() -> Self {
        Counters(Arc::new(array::from_fn(|_| Set::default())))
    }
}

impl Counters {
    /// Adds to a counter of the running thread's set.
    #[inline]
    pub(crate) fn add(&self, of: impl FnOnce(&Set) -> &Counter, n: usize) {
        match thread::own_set() {
            Some(set) => of(&self.0[set]).add_alone(n),
            None => of(&self.0[COMMON]).add(n),
        }
    }

    fn sub(&self, of: impl FnOnce(&Set) -> &Counter, n: usize) {
        self.add(of, n.wrapping_neg());
    }

    pub(crate) fn retype(&self, from: MbufType, to: MbufType) {
        if let Some(i) = Set::place_of(from) {
            self.sub(|set| &set.types[i], 1);
        }
        if let Some(i) = Set::place_of(to) {
            self.add(|set| &set.types[i], 1);
        }
    }
}

/// What all threads counted in these pools. Never less than none, although between two threads' halves of one change it
/// may look so.
pub(super) fn sum(pools: &[&Counters], of: impl Fn(&Set) -> Option<&Counter>) -> usize {
    let counters = pools.iter().flat_map(|pool| pool.0.iter()).filter_map(of);
    let sum = counters.fold(0, |sum: usize, counter| sum.wrapping_add(counter.0.load(Ordering::Relaxed)));
    if sum > isize::MAX as usize { 0 } else { sum }
}

/// Which thread has which set, in all pools.
#[cfg(feature = "std")]
mod thread {
    use super::COMMON;
    use core::cell::Cell;
    use core::sync::atomic::{AtomicBool, Ordering};

    static TAKEN: [AtomicBool; COMMON] = [const { AtomicBool::new(false) }; COMMON];

    /// Before the first question.
    const UNASKED: usize = usize::MAX;

    std::thread_local! {
        /// The running thread's set, or one beyond those that belong to somebody.
        static MINE: Cell<usize> = const { Cell::new(UNASKED) };
        static LEASE: Lease = Lease::new();
    }

    /// A set for as long as the thread lives.
    struct Lease(usize);

    impl Lease {
        fn new() -> Self {
            // Acquire pairs with the Release in `drop`: who had the set before has counted.
            let free = TAKEN.iter().position(|taken| !taken.swap(true, Ordering::Acquire));
            Lease(free.unwrap_or(COMMON))
        }
    }

    impl Drop for Lease {
        fn drop(&mut self) {
            MINE.set(COMMON);
            if let Some(taken) = TAKEN.get(self.0) {
                // Release pairs with the Acquire in `new`.
                taken.store(false, Ordering::Release);
            }
        }
    }

    /// The set that the running thread alone counts in, if it has one.
    #[inline]
    pub(super) fn own_set() -> Option<usize> {
        let set = MINE.get();
        if set < COMMON { Some(set) } else { ask(set) }
    }

    #[cold]
    fn ask(set: usize) -> Option<usize> {
        if set == UNASKED {
            // A thread that is past its end has none.
            MINE.set(LEASE.try_with(|lease| lease.0).unwrap_or(COMMON));
        }
        Some(MINE.get()).filter(|&set| set < COMMON)
    }
}

#[cfg(not(feature = "std"))]
mod thread {
    pub(super) fn own_set() -> Option<usize> {
        None
    }
}

/// Counts a tag for as long as it lives.
pub(crate) struct CountedTag(Counters);

impl CountedTag {
    pub(crate) fn new(counters: &Counters) -> Self {
        counters.add(|set| &set.tags, 1);
        counters.add(|set| &set.tags_made, 1);
        CountedTag(counters.clone())
    }

    /// For another tag of the same pool.
    pub(crate) fn another(&self) -> Self {
        Self::new(&self.0)
    }
}

impl Drop for CountedTag {
    fn drop(&mut self) {
        self.0.sub(|set| &set.tags, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_thread_takes_and_another_gives_back_sums_up_to_nothing() {
        let counters = Counters::default();
        let give = |from, to| {
            let counters = counters.clone();
            std::thread::spawn(move || counters.retype(from, to)).join().unwrap();
        };
        counters.retype(MbufType::Data, MbufType::Control);
        counters.retype(MbufType::Data, MbufType::Control);
        give(MbufType::Control, MbufType::Header);
        let sum = |kind| sum(&[&counters], |set| set.of_type(kind));
        assert_eq!((sum(MbufType::Control), sum(MbufType::Header)), (1, 1));
        give(MbufType::Control, MbufType::Data);
        give(MbufType::Header, MbufType::Data);
        assert_eq!((sum(MbufType::Control), sum(MbufType::Header)), (0, 0));
        // Half of a hand-over that is under way.
        give(MbufType::Control, MbufType::Data);
        assert_eq!(sum(MbufType::Control), 0);
    }

    #[test]
    fn more_threads_than_sets_count_at_once_and_nothing_is_lost() {
        let counters = Counters::default();
        let (threads, times) = (SETS + 4, if cfg!(miri) { 20 } else { 10_000 });
        let all_there = std::sync::Barrier::new(threads);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    all_there.wait();
                    // Each has asked for a set before anybody ends.
                    counters.add(|set| &set.tags, 1);
                    all_there.wait();
                    (1..times).for_each(|_| counters.add(|set| &set.tags, 1));
                });
            }
        });
        assert_eq!(sum(&[&counters], |set| Some(&set.tags)), threads * times);
        let own = counters.0[..COMMON].iter().filter(|set| set.tags.get() > 0).count();
        assert!(own > 0 && counters.0[COMMON].tags.get() > 0, "{own}");
    }
}
