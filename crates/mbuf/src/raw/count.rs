//! How many mbufs share a storage.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, Ordering, fence};

#[cfg(not(loom))]
use core::sync::atomic::{AtomicU32, Ordering, fence};

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

    /// One sharer less. True if it was the last: the storage is the caller's alone and the count rests at one.
    #[inline]
    pub(crate) fn release(&self) -> bool {
        if self.is_unique() {
            return true;
        }
        // Release pairs with the Acquire in `is_unique` and with the fence below.
        if self.0.fetch_sub(1, Ordering::Release) != 1 {
            return false;
        }
        // Acquire pairs with the Release of the other sharers.
        fence(Ordering::Acquire);
        self.0.store(1, Ordering::Relaxed);
        true
    }

    #[cfg(test)]
    pub(crate) fn set(&self, value: u32) {
        self.0.store(value, Ordering::Relaxed);
    }
}
