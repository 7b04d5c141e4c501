//! The live counters of a pool's slow paths: one set per thread, as far as there are sets, summed when they are read.

use alloc::sync::Arc;
use core::array;
use core::ops::Deref;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::operations::OpCounters;
use crate::meta::MbufType;

/// Sets of counters. More threads than this share.
const SETS: usize = if cfg!(feature = "std") { 8 } else { 1 };

/// A number that is only added to and subtracted from. That of one set may be less than none (wrapped): what one
/// thread took, another may give back. Only the sum over all sets means something.
#[derive(Default)]
pub(crate) struct Counter(AtomicUsize);

impl Counter {
    pub(crate) fn add(&self, n: usize) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn sub(&self, n: usize) {
        self.0.fetch_sub(n, Ordering::Relaxed);
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
        self.types.get((kind as usize).wrapping_sub(MbufType::Data as usize + 1))
    }

    pub(crate) fn retype(&self, from: MbufType, to: MbufType) {
        if let Some(count) = self.of_type(from) {
            count.sub(1);
        }
        if let Some(count) = self.of_type(to) {
            count.add(1);
        }
    }
}

impl Deref for Set {
    type Target = OpCounters;

    fn deref(&self) -> &OpCounters {
        &self.ops
    }
}

/// All sets of a pool. Dereferences to the one of the running thread.
#[derive(Clone)]
pub(crate) struct Counters(Arc<[Set; SETS]>);

impl Default for Counters {
    fn default() -> Self {
        Counters(Arc::new(array::from_fn(|_| Set::default())))
    }
}

impl Deref for Counters {
    type Target = Set;

    fn deref(&self) -> &Set {
        &self.0[this_thread()]
    }
}

/// What all threads counted in these pools. Never less than none, although between two threads' halves of one change it
/// may look so.
pub(super) fn sum(pools: &[&Counters], of: impl Fn(&Set) -> Option<&Counter>) -> usize {
    let counters = pools.iter().flat_map(|pool| pool.0.iter()).filter_map(of);
    let sum = counters.fold(0, |sum: usize, counter| sum.wrapping_add(counter.0.load(Ordering::Relaxed)));
    if sum > isize::MAX as usize { 0 } else { sum }
}

/// The running thread's set.
#[cfg(feature = "std")]
fn this_thread() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    std::thread_local! {
        static SET: usize = THREADS.fetch_add(1, Ordering::Relaxed) % SETS;
    }
    SET.try_with(|&set| set).unwrap_or(0)
}

#[cfg(not(feature = "std"))]
fn this_thread() -> usize {
    0
}

/// Counts a tag for as long as it lives.
pub(crate) struct CountedTag(Counters);

impl CountedTag {
    pub(crate) fn new(counters: &Counters) -> Self {
        counters.tags.add(1);
        counters.tags_made.add(1);
        CountedTag(counters.clone())
    }

    /// For another tag of the same pool.
    pub(crate) fn another(&self) -> Self {
        Self::new(&self.0)
    }
}

impl Drop for CountedTag {
    fn drop(&mut self) {
        self.0.tags.sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_thread_takes_and_another_gives_back_sums_up_to_nothing() {
        let counters = Counters::default();
        let (take, give) = (&counters.0[0], &counters.0[SETS - 1]);
        take.retype(MbufType::Data, MbufType::Control);
        take.retype(MbufType::Data, MbufType::Control);
        give.retype(MbufType::Control, MbufType::Header);
        let sum = |kind| sum(&[&counters], |set| set.of_type(kind));
        assert_eq!((sum(MbufType::Control), sum(MbufType::Header)), (1, 1));
        give.retype(MbufType::Control, MbufType::Data);
        give.retype(MbufType::Header, MbufType::Data);
        assert_eq!((sum(MbufType::Control), sum(MbufType::Header)), (0, 0));
        // Half of a hand-over that is under way.
        give.retype(MbufType::Control, MbufType::Data);
        assert_eq!(sum(MbufType::Control), 0);
    }
}
