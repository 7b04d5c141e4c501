//! Segments whose storage is about to get another holder.
#![allow(unsafe_code)]

use core::cell::Cell;
use core::marker::PhantomData;
use core::ops::Deref;

use super::RawMbuf;

/// A segment that can be shared: by whoever sees it, or by its only user.
pub(crate) trait Hold: Deref<Target = RawMbuf> {
    /// Counts one more holder of the segment's storage, if it has any. False, and nothing changed, if there are too
    /// many.
    fn acquire(&self) -> bool;
}

impl Hold for &RawMbuf {
    #[inline]
    fn acquire(&self) -> bool {
        self.storage().is_none_or(|storage| storage.refs.acquire())
    }
}

/// A segment that nobody else uses: sharing it takes no locked instruction if it is the only holder of its storage.
///
/// # Invariants
/// 1. During `'a` the mbuf is used through this value alone, and so by one thread at a time (it is not `Sync`).
pub(crate) struct Sole<'a>(&'a RawMbuf, PhantomData<Cell<()>>);

impl<'a> Sole<'a> {
    /// # Safety
    /// As invariant 1 says; others may look, but share nothing.
    #[inline]
    pub(in crate::raw) unsafe fn new(mbuf: &'a RawMbuf) -> Self {
        Sole(mbuf, PhantomData)
    }
}

impl Deref for Sole<'_> {
    type Target = RawMbuf;

    #[inline]
    fn deref(&self) -> &RawMbuf {
        self.0
    }
}

impl Hold for Sole<'_> {
    #[inline]
    fn acquire(&self) -> bool {
        // SAFETY: the mbuf is a holder, and nobody else shares through it (invariant 1).
        self.storage().is_none_or(|storage| unsafe { storage.refs.acquire_alone() })
    }
}
