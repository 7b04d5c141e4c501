//! Lists of linked mbufs that operations take chains apart into, and walks along them.
#![allow(unsafe_code)]

use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ptr::{self, NonNull};

use super::chain::{Chain, Head, MbufChain, Packet};
use super::mbuf::{self, Edit, Mbuf, PacketHeader, RawMbuf, Released};
use crate::meta::Flags;

/// An owned list of mbufs that is being worked on: no packet header, empty windows allowed, both ends at hand.
///
/// # Invariants
/// 1. Both null, or the first and the last mbuf of a list that this value owns, linked by `next`, ending in null.
pub(crate) struct Run {
    pub(super) first: *mut RawMbuf,
    pub(super) last: *mut RawMbuf,
}

// SAFETY: a list of owned mbufs (see `Mbuf`).
unsafe impl Send for Run {}
// SAFETY: as above.
unsafe impl Sync for Run {}

impl Drop for Run {
    // As for `Mbuf`.
    #[inline(always)]
    fn drop(&mut self) {
        if !self.first.is_null() {
            // SAFETY: owned by invariant 1.
            unsafe { free_list(self.first) };
        }
    }
}

impl Run {
    pub(crate) const fn new() -> Self {
        Run { first: ptr::null_mut(), last: ptr::null_mut() }
    }

    /// A list of one.
    pub(crate) fn of(mbuf: Mbuf) -> Self {
        let mbuf = mbuf.into_raw().as_ptr();
        Run { first: mbuf, last: mbuf }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    pub(crate) fn push_back(&mut self, mbuf: Mbuf) {
        self.append(Run::of(mbuf));
    }

    pub(crate) fn push_front(&mut self, mbuf: Mbuf) {
        let mut front = Run::of(mbuf);
        front.append(core::mem::take(self));
        *self = front;
    }

    pub(crate) fn pop_front(&mut self) -> Option<Mbuf> {
        let first = NonNull::new(self.first)?;
        // SAFETY: the first of our list; unlinked, it is what an `Mbuf` is.
        let mbuf = unsafe {
            self.first = first.as_ref().next.replace(ptr::null_mut());
            Mbuf::from_raw(first)
        };
        if self.first.is_null() {
            self.last = ptr::null_mut();
        }
        Some(mbuf)
    }

    /// Cuts off the segments that end within the first `n` bytes. Also returns how many of the `n` bytes are left:
    /// they are the first ones of what is the first segment now.
    pub(crate) fn take_front(&mut self, n: usize) -> (Run, usize) {
        let (mut last, mut next, mut left) = (ptr::null_mut::<RawMbuf>(), self.first, n);
        // SAFETY: null, or a live mbuf of our list.
        while let Some(mbuf) = unsafe { next.as_ref() }
            && mbuf.len() <= left
        {
            left -= mbuf.len();
            last = next;
            next = mbuf.next.get();
        }
        // SAFETY: null, or a live mbuf of our list; both parts end in null.
        let Some(border) = (unsafe { last.as_ref() }) else { return (Run::new(), left) };
        border.next.set(ptr::null_mut());
        let front = Run { first: self.first, last };
        self.first = next;
        if next.is_null() {
            self.last = ptr::null_mut();
        }
        (front, left)
    }

    /// Cuts the list down to `keep` bytes and at least one segment; returns the segments cut off. A record that was cut
    /// ends with what is left of it.
    pub(crate) fn cut(&mut self, keep: usize) -> Run {
        let (mut kept, within) = self.take_front(keep);
        if (within > 0 || kept.is_empty())
            && let Some(mut seg) = self.pop_front()
        {
            let over = seg.len() - within;
            seg.edit().trim_back(over);
            kept.push_back(seg);
        }
        let rest = core::mem::replace(self, kept);
        // SAFETY: null, or the last mbuf of a list that is borrowed mutably.
        if let Some(mut last) = NonNull::new(self.last).map(|last| unsafe { Edit::new(last) }) {
            let cut_off = rest.segs().fold(0, |flags, seg| flags | seg.user_flags());
            let flags = last.user_flags() | cut_off & Flags::END_OF_RECORD.0;
            last.set_user_flags(flags);
        }
        rest
    }

    /// Links another list behind this one: the splice that everything is built on.
    pub(crate) fn append(&mut self, other: Run) {
        let other = ManuallyDrop::new(other);
        if other.first.is_null() {
            return;
        }
        // SAFETY: null, or the last of our list, whose `next` is null.
        match unsafe { self.last.as_ref() } {
            Some(last) => last.next.set(other.first),
            None => self.first = other.first,
        }
        self.last = other.last;
    }

    pub(crate) fn segs(&self) -> Segs<'_> {
        Segs { next: self.first, _of: PhantomData }
    }

    pub(crate) fn segs_mut(&mut self) -> SegsMut<'_> {
        SegsMut { next: self.first, _of: PhantomData }
    }

    /// Sum of the windows, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.segs().map(RawMbuf::len).sum()
    }

    /// Makes a packet of the list, whose first mbuf can carry a header.
    ///
    /// # Panics
    /// If the list is empty.
    pub(crate) fn into_packet(self, header: PacketHeader, len: usize) -> Packet {
        let mut this = ManuallyDrop::new(self);
        MbufChain::assemble(&mut this, Some(header), len)
    }

    /// Makes a headerless chain of the list.
    ///
    /// # Panics
    /// If the list is empty.
    pub(crate) fn into_chain(self) -> Chain {
        let mut this = ManuallyDrop::new(self);
        MbufChain::assemble(&mut this, None, 0)
    }

    /// Makes a chain of either kind: with the header if it is a packet.
    pub(crate) fn into<H: Head>(self, header: PacketHeader, len: usize) -> MbufChain<H> {
        let mut this = ManuallyDrop::new(self);
        MbufChain::assemble(&mut this, H::HEADER.then_some(header), len)
    }
}

/// What an operation no longer needs.
#[derive(Default)]
pub(crate) struct Trash {
    mbufs: Run,
    storage: Option<Released>,
}

impl Trash {
    pub(crate) fn push(&mut self, mbuf: Mbuf) {
        self.mbufs.push_back(mbuf);
    }

    pub(crate) fn append(&mut self, run: Run) {
        self.mbufs.append(run);
    }

    pub(crate) fn push_storage(&mut self, storage: Released) {
        debug_assert!(self.storage.is_none(), "an operation strips one mbuf at most");
        self.storage = Some(storage);
    }
}

impl Default for Run {
    fn default() -> Self {
        Run::new()
    }
}

/// The segments of a list, as shared references.
#[derive(Clone)]
pub(crate) struct Segs<'a> {
    next: *const RawMbuf,
    _of: PhantomData<&'a RawMbuf>,
}

// SAFETY: what a `&'a Chain` can do from any thread.
unsafe impl Send for Segs<'_> {}
// SAFETY: as above.
unsafe impl Sync for Segs<'_> {}

impl Segs<'_> {
    /// # Safety
    /// The mbuf is the first of a list that is borrowed as long as this lives.
    pub(super) unsafe fn along(first: *const RawMbuf) -> Self {
        Segs { next: first, _of: PhantomData }
    }
}

impl<'a> Iterator for Segs<'a> {
    type Item = &'a RawMbuf;

    #[inline]
    fn next(&mut self) -> Option<&'a RawMbuf> {
        // SAFETY: null, or a live mbuf of a list that is borrowed during `'a`.
        let mbuf = unsafe { self.next.as_ref() }?;
        self.next = mbuf.next.get();
        Some(mbuf)
    }
}

/// The segments of a list, each with leave to change it.
pub(crate) struct SegsMut<'a> {
    next: *mut RawMbuf,
    _of: PhantomData<&'a mut RawMbuf>,
}

// SAFETY: what a `&'a mut Chain` can do from any thread.
unsafe impl Send for SegsMut<'_> {}
// SAFETY: as above.
unsafe impl Sync for SegsMut<'_> {}

impl SegsMut<'_> {
    /// # Safety
    /// The mbuf is the first of a list that is borrowed mutably as long as this lives.
    pub(super) unsafe fn along(first: *mut RawMbuf) -> Self {
        SegsMut { next: first, _of: PhantomData }
    }
}

impl<'a> Iterator for SegsMut<'a> {
    type Item = Edit<'a>;

    fn next(&mut self) -> Option<Edit<'a>> {
        let mbuf = NonNull::new(self.next)?;
        // SAFETY: a live mbuf of a list that is borrowed mutably during `'a`; each is given out once, and an `Edit`
        // does not reach `next`.
        unsafe {
            self.next = mbuf.as_ref().next.get();
            Some(Edit::new(mbuf))
        }
    }
}

/// Frees mbufs along `next`, one after the other however many there are.
///
/// # Safety
/// `first` is null or the first of a list that is owned and never used again.
#[inline(never)]
pub(super) unsafe fn free_list(first: *mut RawMbuf) {
    /// Goes on with the rest when the destructor of a tag or an owner panics.
    struct Rest(*mut RawMbuf);

    impl Rest {
        #[inline(always)]
        fn free_one(&mut self) -> bool {
            let Some(mbuf) = NonNull::new(self.0) else { return false };
            // SAFETY: the list is ours; each mbuf is unlinked before it is freed.
            unsafe {
                self.0 = mbuf.as_ref().next.replace(ptr::null_mut());
                mbuf::free(mbuf);
            }
            true
        }
    }

    impl Drop for Rest {
        #[cold]
        fn drop(&mut self) {
            while self.free_one() {}
        }
    }

    let mut rest = Rest(first);
    while rest.free_one() {}
    core::mem::forget(rest);
}
