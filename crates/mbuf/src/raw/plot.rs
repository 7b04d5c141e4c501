//! The bytes of buffers that nobody has, for whoever looks after them meanwhile.
#![allow(unsafe_code)]

use core::marker::PhantomData;
use core::ptr::NonNull;
use core::slice;

use mbuf_zone::raw::Object;

use super::mbuf::RawMbuf;
use super::storage::Storage;
use crate::config::Class;
use crate::pool::Buffer;

/// Bytes behind a cluster that are nobody's, if its pool was made with guards. A cluster's alignment is no more then.
pub(crate) const GUARD: usize = 64;
const GUARD_BYTE: u8 = 0xfd;

/// The data area of an mbuf (what of it is in use at no time while it rests), or the bytes of a cluster, while it is free.
pub(crate) struct Plot<'a> {
    /// The address of the mbuf, or of the cluster's descriptor: it is the same as long as the pool's slabs have it.
    pub(crate) key: usize,
    /// What it is.
    pub(crate) what: Buffer,
    pub(crate) bytes: &'a mut [u8],
    /// What is behind them, if there is a guard.
    guard: &'a mut [u8],
}

impl Plot<'_> {
    /// The first byte of the guard that was written: its offset from the start of the cluster, what is there and what
    /// should be.
    pub(crate) fn guard_damage(&self) -> Option<(usize, u8, u8)> {
        let at = self.guard.iter().position(|&byte| byte != GUARD_BYTE)?;
        Some((self.bytes.len() + at, self.guard[at], GUARD_BYTE))
    }

    pub(crate) fn mend_guard(&mut self) {
        self.guard.fill(GUARD_BYTE);
    }
}

/// What one free object has of them.
///
/// # Invariants
/// 1. `mbuf` and `storage`, as far as there, are free and nobody else's during `'a`; `guard` is [`GUARD`] only if there are
///    so many bytes behind the storage's.
pub(crate) struct Plots<'a> {
    mbuf: Option<Object>,
    storage: Option<(NonNull<Storage>, Class)>,
    guard: usize,
    _of: PhantomData<&'a mut ()>,
}

impl Plots<'_> {
    pub(crate) const NONE: Self = Plots { mbuf: None, storage: None, guard: 0, _of: PhantomData };

    /// Those of a free mbuf that rests without storage.
    ///
    /// # Safety
    /// The mbuf is free and nobody else's while the result, and what it gives, is in use.
    pub(super) unsafe fn of_mbuf(object: Object) -> Self {
        Plots { mbuf: Some(object), ..Self::NONE }
    }

    /// Those of a free mbuf, and of the cluster of that class that it rests with, if it has it.
    ///
    /// # Safety
    /// As for [`of_mbuf`](Self::of_mbuf). It holds the cluster alone, which has a guard if `guard` is not zero.
    pub(super) unsafe fn of_pair(object: Object, class: Class, guard: usize) -> Self {
        // SAFETY: live by this function's contract.
        let storage = unsafe { object.as_ptr::<RawMbuf>().as_ref() }.resting_storage();
        Plots {
            mbuf: Some(object),
            storage: storage.map(|storage| (storage, class)),
            guard,
            _of: PhantomData,
        }
    }

    /// Those of a free cluster.
    ///
    /// # Safety
    /// As for [`of_mbuf`](Self::of_mbuf).
    pub(super) unsafe fn of_cluster(object: Object, class: Class, guard: usize) -> Self {
        Plots { mbuf: None, storage: Some((object.as_ptr(), class)), guard, _of: PhantomData }
    }
}

impl<'a> Iterator for Plots<'a> {
    type Item = Plot<'a>;

    fn next(&mut self) -> Option<Plot<'a>> {
        if let Some(mbuf) = self.mbuf.take() {
            let key = mbuf.as_ptr::<u8>().as_ptr().addr();
            // SAFETY: the data area of a free mbuf that is nobody else's (invariant 1); given once.
            let bytes = unsafe { RawMbuf::resting_area(mbuf.as_ptr()) };
            return Some(Plot { key, what: Buffer::Mbuf, bytes, guard: &mut [] });
        }
        let (storage, class) = self.storage.take()?;
        // SAFETY: free and nobody else's, so its bytes are, and those of its guard (invariant 1); given once.
        unsafe {
            let Storage { buf, size, .. } = *storage.as_ptr();
            let bytes = slice::from_raw_parts_mut(buf, size as usize);
            let guard = slice::from_raw_parts_mut(buf.add(size as usize), self.guard);
            Some(Plot { key: storage.as_ptr().addr(), what: Buffer::Cluster(class), bytes, guard })
        }
    }
}

/// Fills the guard behind a block.
///
/// # Safety
/// There are [`GUARD`] bytes behind the first `size` of the block, which is nobody else's.
pub(super) unsafe fn fill_guard(block: NonNull<u8>, size: usize) {
    // SAFETY: by this function's contract.
    unsafe { block.as_ptr().add(size).write_bytes(GUARD_BYTE, GUARD) };
}
