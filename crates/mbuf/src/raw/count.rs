//! How many mbufs share a storage.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, Ordering};

#[cfg(not(loom))]
use core::sync::atomic::{AtomicU32, Ordering};

/// A count of sharers that rests at one, cannot wrap, and costs no locked instruction while it is one.
///
/// # Invariants
/// 1. The value is the number of mbufs that hold the storage; one while the storage is free.
/// 2. It goes up only through a holder, so who sees one and is a holder is the only one, and stays so.
#[repr(transparent)]
pub(crate) struct ShareCount(AtomicU32);

/// Sharing is refused from here on. Far enough from wrapping that every thread of the machine may overshoot.
const MOST: u32 = 1 << 31;

impl ShareCount {
    #[cfg(any(test, loom))]
    pub(crate) fn new() -> Self {
        ShareCount(AtomicU32::new(1))
    }

    /// Sets the count of storage that is being made.
    pub(crate) fn reset(&self) {
        self.0.store(1, Ordering::Relaxed);
    }

    /// The number of sharers, as of now.
    pub(crate) fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether the caller, a holder, is the only one.
    #[inline]
    pub(crate) fn is_unique(&self) -> bool {
        // Acquire pairs with the Release in `release`: what the others did with the storage is over.
        self.0.load(Ordering::Acquire) == 1
    }

    /// One more sharer. False, and nothing changed, if there are too many.
    #[inline]
    pub(crate) fn acquire(&self) -> bool {
        // Relaxed: the new sharer is made from one that holds the storage.
        if self.0.fetch_add(1, Ordering::Relaxed) < MOST {
            return true;
        }
        self.0.fetch_sub(1, Ordering::Relaxed);
        false
    }

    /// As [`acquire`](Self::acquire), without a locked instruction if the caller is the only holder.
    ///
    /// # Safety
    /// The caller is a holder, and nobody else acquires through the same hold meanwhile.
    #[inline]
    #[allow(unsafe_code)]
    pub(crate) unsafe fn acquire_alone(&self) -> bool {
        if !self.is_unique() {
            return self.acquire();
        }
        // Relaxed, and not one step: there is nobody else (invariant 2), and no one can come in but through this hold.
        self.0.store(2, Ordering::Relaxed);
        true
    }

    /// One sharer less. True if it was the last: the storage is the caller's alone and the count rests at one.
    #[inline]
    pub(crate) fn release(&self) -> bool {
        if self.is_unique() {
            return true;
        }
        // Release pairs with the Acquire in `is_unique` and below.
        if self.0.fetch_sub(1, Ordering::Release) != 1 {
            return false;
        }
        // Acquire pairs with the Release of the other sharers. A load, as ThreadSanitizer does not know fences.
        self.0.load(Ordering::Acquire);
        self.0.store(1, Ordering::Relaxed);
        true
    }

    #[cfg(test)]
    pub(crate) fn set(&self, value: u32) {
        self.0.store(value, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_is_full_refuses_and_stays_as_it_is() {
        let count = ShareCount::new();
        assert!(count.acquire());
        assert_eq!(count.get(), 2);
        count.set(MOST - 1);
        assert!(count.acquire());
        assert_eq!(count.get(), MOST);
        assert!(!count.acquire());
        assert_eq!(count.get(), MOST);
        assert!(!count.release());
        assert!(count.acquire());
    }

    #[test]
    fn the_last_release_leaves_the_count_at_rest() {
        let count = ShareCount::new();
        assert!(count.release());
        assert!(count.acquire());
        assert!(!count.is_unique());
        assert!(!count.release());
        assert!(count.is_unique() && count.release());
        assert_eq!(count.get(), 1);
    }
}

/// Models: every interleaving of two or three holders, with the storage as a cell that notices races.
#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    struct Shared {
        count: ShareCount,
        bytes: UnsafeCell<u32>,
        freed: loom::sync::atomic::AtomicU32,
    }

    #[allow(unsafe_code)]
    impl Shared {
        fn new() -> Arc<Self> {
            Arc::new(Shared {
                count: ShareCount::new(),
                bytes: UnsafeCell::new(7),
                freed: loom::sync::atomic::AtomicU32::new(0),
            })
        }

        fn read(&self) {
            // SAFETY: holders read; loom reports a write at the same time.
            self.bytes.with(|bytes| assert_eq!(unsafe { *bytes }, 7));
        }

        /// Writes if this holder is the only one, as `bytes_mut` does. The value stays the same.
        fn write_if_unique(&self) {
            if self.count.is_unique() {
                // SAFETY: the only holder; loom reports a read or write at the same time.
                self.bytes.with_mut(|bytes| unsafe { *bytes = 7 });
            }
        }

        fn drop_hold(&self) {
            if self.count.release() {
                // SAFETY: the last holder; loom reports a read or write at the same time.
                self.bytes.with_mut(|bytes| unsafe { *bytes = 7 });
                self.freed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    #[test]
    fn of_two_holders_one_frees_and_neither_races() {
        loom::model(|| {
            let shared = Shared::new();
            assert!(shared.count.acquire());
            let other = {
                let shared = shared.clone();
                thread::spawn(move || {
                    shared.read();
                    shared.drop_hold();
                })
            };
            shared.write_if_unique();
            shared.read();
            shared.drop_hold();
            other.join().unwrap();
            assert_eq!(shared.freed.load(Ordering::Relaxed), 1);
            assert_eq!(shared.count.get(), 1);
        });
    }

    #[test]
    #[allow(unsafe_code)]
    fn a_holder_that_is_alone_may_share_without_a_locked_instruction() {
        loom::model(|| {
            let shared = Shared::new();
            assert!(shared.count.acquire());
            let other = {
                let shared = shared.clone();
                thread::spawn(move || {
                    // Shares once more, alone or not, then lets both go.
                    // SAFETY: a holder, and the only one to use this hold.
                    assert!(unsafe { shared.count.acquire_alone() });
                    shared.read();
                    shared.drop_hold();
                    shared.write_if_unique();
                    shared.drop_hold();
                })
            };
            // SAFETY: as above.
            assert!(unsafe { shared.count.acquire_alone() });
            shared.drop_hold();
            shared.read();
            shared.drop_hold();
            other.join().unwrap();
            assert_eq!(shared.freed.load(Ordering::Relaxed), 1);
            assert_eq!(shared.count.get(), 1);
        });
    }

    #[test]
    fn a_holder_that_shares_on_while_another_lets_go_keeps_the_storage() {
        loom::model(|| {
            let shared = Shared::new();
            assert!(shared.count.acquire());
            let other = {
                let shared = shared.clone();
                thread::spawn(move || {
                    // Shares once more, then lets both go.
                    assert!(shared.count.acquire());
                    shared.read();
                    shared.drop_hold();
                    shared.write_if_unique();
                    shared.drop_hold();
                })
            };
            shared.read();
            shared.drop_hold();
            other.join().unwrap();
            assert_eq!(shared.freed.load(Ordering::Relaxed), 1);
        });
    }
}
