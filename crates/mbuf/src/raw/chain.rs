//! Linked mbufs: the handle that users own.
//!
//! ```text
//! Packet ─▶ [header: len, tail, tags, meta │ data] ─next▶ [data] ─next▶ [data]
//!                        └────────────────────────────────────────────────▲
//! Chain  ─▶ [data] ─next▶ [data]
//! ```
#![allow(unsafe_code)]

use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ptr::{self, NonNull};

use super::mbuf::{self, Edit, Mbuf, PacketHeader, RawMbuf, Sole};
use super::run::{Run, Segs, SegsMut, Trash, free_list};
use super::zones::Shared;
use crate::error::{OpError, Refused};
use crate::tag::TagList;

mod sealed {
    pub trait Sealed {}
}

/// Whether a chain's first mbuf carries a packet header. Sealed: [`Bare`] and [`Header`] are all there is.
pub trait Head: sealed::Sealed + 'static {
    #[doc(hidden)]
    const HEADER: bool;
}

/// No packet header.
#[derive(Debug)]
pub enum Bare {}

/// A packet header.
#[derive(Debug)]
pub enum Header {}

impl sealed::Sealed for Bare {}
impl sealed::Sealed for Header {}

impl Head for Bare {
    const HEADER: bool = false;
}

impl Head for Header {
    const HEADER: bool = true;
}

/// A chain of mbufs: owned bytes in one or more segments. With a packet header it is a [`Packet`], without one a
/// [`Chain`].
///
/// ```text
/// Packet ─▶ ┌ mbuf ───────────┐ next ┌ mbuf ─────┐ next ┌ mbuf ─────┐
///           │ len, tail, tags │ ───▶ │           │ ───▶ │           │
///           │ meta            │      │ inline    │      │ window on │
///           │ window on       │      │ data      │      │ shared    │
///           │ a cluster       │      │           │      │ storage   │
///           └─────────────────┘      └───────────┘      └───────────┘
/// ```
///
/// One pointer wide, as is its `Option`. The mbufs belong to this value alone; their storage may be shared with other
/// chains, and is then read-only until it is copied ([`make_unique`](MbufChain::make_unique)) or the others are gone.
/// Dropping a chain gives its mbufs back to the pool they came from, from any thread, even after the pool's handles
/// are gone.
///
/// Every operation that may fail leaves the chain as it was when it does. Lengths and offsets are bytes, offsets
/// from the first byte of the chain. No segment is empty, except that a chain of zero bytes is one empty segment.
/// A chain holds at most `u32::MAX` bytes.
///
/// Chains of several pools may be joined: each mbuf goes back to the pool it came from. What an operation needs it
/// takes from the pool of the chain's first segment.
//
// Invariants:
// 1. The pointer is to a live mbuf that this value owns with all that follow along `next`, which ends in null; their
//    `next_packet` is null.
// 2. With `H::HEADER`, exactly the first mbuf has a packet header, whose `len` is the sum of the windows and whose
//    `tail` is the last mbuf (or which is fresh, and then there is one mbuf). Otherwise none has.
// 3. No window but that of a single mbuf is empty.
#[repr(transparent)]
pub struct MbufChain<H: Head>(pub(super) NonNull<RawMbuf>, PhantomData<H>);

/// A chain of mbufs without a packet header.
pub type Chain = MbufChain<Bare>;

/// A chain whose first mbuf carries a packet header: total length, metadata, tags.
pub type Packet = MbufChain<Header>;

// SAFETY: a chain owns its mbufs (see `Mbuf`); tags and owners of external storage are `Send`, tags also `Sync`.
unsafe impl<H: Head> Send for MbufChain<H> {}
// SAFETY: as above.
unsafe impl<H: Head> Sync for MbufChain<H> {}

impl<H: Head> Drop for MbufChain<H> {
    #[inline]
    fn drop(&mut self) {
        self.edge();
        // SAFETY: ours by invariant 1, and gone after this.
        unsafe {
            if !(H::HEADER && self.is_single() && mbuf::try_free(self.0)) {
                free_chain::<H>(self.0);
            }
        }
    }
}

/// Frees what the inlined path does not: of packets, those that it tried in vain.
///
/// # Safety
/// The mbuf is the first of a list that is owned and never used again.
#[inline(never)]
unsafe fn free_chain<H: Head>(first: NonNull<RawMbuf>) {
    // SAFETY: by this function's contract.
    unsafe {
        if first.as_ref().next.get().is_null() {
            if H::HEADER {
                mbuf::free_rarer(first);
            } else {
                mbuf::free(first);
            }
        } else {
            free_list(first.as_ptr());
        }
    }
}

impl<H: Head> MbufChain<H> {
    /// The list's mbufs as a chain. `run` is empty afterwards, without having been dropped.
    #[allow(
        clippy::expect_used,
        reason = "callers leave a segment, and had the lengths checked before they changed anything"
    )]
    pub(super) fn assemble(run: &mut Run, header: Option<PacketHeader>, len: usize) -> Self {
        let first = NonNull::new(run.first).expect("a chain has a segment");
        if let Some(mut header) = header {
            // SAFETY: the first of a list that is ours.
            let mut mbuf = ManuallyDrop::new(unsafe { Mbuf::from_raw(first) });
            mbuf.add_header();
            header.len = u32::try_from(len).expect("lengths were checked");
            header.tail = run.last;
            mbuf.set_header(header);
        }
        // Not dropped: its mbufs are the chain's now.
        core::mem::forget(core::mem::take(run));
        let chain = MbufChain(first, PhantomData);
        chain.edge();
        chain
    }

    /// Makes a chain of one mbuf, which has a header if the chain should.
    #[inline(always)]
    pub(crate) fn from_mbuf(mbuf: Mbuf) -> Self {
        debug_assert_eq!(mbuf.has_header(), H::HEADER);
        MbufChain(mbuf.into_raw(), PhantomData)
    }

    /// The chain that begins with an mbuf.
    ///
    /// # Safety
    /// The mbuf is the first of a chain of this kind that nobody else owns.
    pub(super) unsafe fn from_first(first: NonNull<RawMbuf>) -> Self {
        MbufChain(first, PhantomData)
    }

    /// Makes a chain of one mbuf, which for a packet has a fresh header.
    #[inline(always)]
    pub(crate) fn from_fresh(mbuf: Mbuf) -> Self {
        debug_assert!(!H::HEADER || mbuf.is_fresh());
        Self::from_mbuf(mbuf)
    }

    /// Makes a chain of a list that says nothing but its `len` bytes: as [`from_fresh`](Self::from_fresh), of several mbufs.
    ///
    /// # Panics
    /// If the list is empty.
    #[inline]
    pub(crate) fn from_run(mut run: Run, len: usize) -> Self {
        #[allow(clippy::expect_used, reason = "as in `assemble`")]
        let mut chain = Self::from_fresh(run.pop_front().expect("a chain has a segment"));
        if !run.is_empty() {
            chain.link_back(run, len);
        }
        chain
    }

    /// Makes a chain like this one of one mbuf, which has a packet header if this has; see `copy_header`.
    #[inline(always)]
    pub(crate) fn like(&self, mut mbuf: Mbuf) -> Result<Self, OpError> {
        if H::HEADER {
            mbuf.copy_header(self.first())?;
        }
        Ok(MbufChain(mbuf.into_raw(), PhantomData))
    }

    /// The only mbuf, or the chain back.
    pub(crate) fn into_mbuf(self) -> Result<Mbuf, Self> {
        if self.segs().nth(1).is_some() {
            return Err(self);
        }
        let this = ManuallyDrop::new(self);
        // SAFETY: ours, and linked to nothing.
        Ok(unsafe { Mbuf::from_raw(this.0) })
    }

    /// Where an operation begins or ends: debug builds look whether the chain is as it should be.
    #[inline(always)]
    #[track_caller]
    fn edge(&self) {
        debug_assert_eq!(self.check(), Ok(()));
    }

    /// The first segment.
    #[inline]
    pub(crate) fn first(&self) -> &RawMbuf {
        // SAFETY: live and ours (invariant 1).
        unsafe { self.0.as_ref() }
    }

    /// The first segment, to be changed. The total is the caller's business.
    #[inline]
    pub(crate) fn first_mut(&mut self) -> Edit<'_> {
        // SAFETY: live, ours, and borrowed mutably.
        unsafe { Edit::new(self.0) }
    }

    #[inline]
    fn last_place(&self) -> NonNull<RawMbuf> {
        let first = self.first();
        if !H::HEADER {
            let mut last = self.0;
            // SAFETY: live and ours (invariant 1).
            while let Some(next) = NonNull::new(unsafe { last.as_ref() }.next.get()) {
                last = next;
            }
            return last;
        }
        if first.is_fresh() { self.0 } else { NonNull::new(first.header().tail).unwrap_or(self.0) }
    }

    /// The address of the last mbuf.
    #[cfg(feature = "ffi")]
    pub(super) fn last_address(&self) -> *mut RawMbuf {
        self.last_place().as_ptr()
    }

    /// The last segment. O(1) for packets, O(segments) for headerless chains.
    #[inline]
    pub(crate) fn last(&self) -> &RawMbuf {
        // SAFETY: live and ours (invariants 1 and 2).
        unsafe { self.last_place().as_ref() }
    }

    /// The last segment, to be changed. The total is the caller's business.
    #[inline]
    pub(crate) fn last_mut(&mut self) -> Edit<'_> {
        // SAFETY: live, ours (invariants 1 and 2), and borrowed mutably.
        unsafe { Edit::new(self.last_place()) }
    }

    #[inline]
    pub(crate) fn segs(&self) -> Segs<'_> {
        // SAFETY: ours (invariant 1), borrowed with `self`.
        unsafe { Segs::along(self.0.as_ptr()) }
    }

    /// The chain, and its segments for sharing by the only one who uses it.
    #[inline]
    pub(crate) fn solely(&mut self) -> (&Self, impl Iterator<Item = Sole<'_>>) {
        let this = &*self;
        // SAFETY: borrowed mutably, so that nobody else uses the segments meanwhile; each is given out once.
        (this, this.segs().map(|seg| unsafe { Sole::new(seg) }))
    }

    /// The segments, to be changed. The total is the caller's business.
    #[inline]
    pub(crate) fn segs_mut(&mut self) -> SegsMut<'_> {
        // SAFETY: ours (invariant 1), borrowed mutably.
        unsafe { SegsMut::along(self.0.as_ptr()) }
    }

    /// Whether there is one segment.
    #[inline]
    pub(crate) fn is_single(&self) -> bool {
        self.first().next.get().is_null()
    }

    /// Total length in bytes. O(1) for packets, O(segments) for headerless chains.
    #[inline]
    pub(crate) fn total(&self) -> usize {
        self.told_total().unwrap_or_else(|| self.first().len())
    }

    /// The total, unless a fresh header leaves it to the only segment. There is no need to look whether that one becomes
    /// too long.
    #[inline]
    fn told_total(&self) -> Option<usize> {
        if H::HEADER { self.first().packet_len() } else { Some(self.segs().map(RawMbuf::len).sum()) }
    }

    /// Tells the header, if there is one, that the total changed.
    #[inline]
    pub(crate) fn set_total(&mut self, len: usize) {
        if H::HEADER
            && let Some(told) = self.first_mut().packet_len_mut()
        {
            *told = len as u32;
        }
        self.edge();
    }

    /// Tells the header, if there is one, that the total is less by `n`.
    #[inline]
    pub(crate) fn shorten_total(&mut self, n: usize) {
        if H::HEADER
            && let Some(told) = self.first_mut().packet_len_mut()
        {
            *told -= n as u32;
        }
        self.edge();
    }

    /// Extends the first window to the front by `n` bytes of headroom and gives them. They hold old data. Without so much
    /// headroom, or if the chain would be too long, it comes back.
    #[inline(always)]
    pub(crate) fn grow_front(&mut self, n: usize) -> Result<&mut [u8], &mut Self> {
        match self.grow(n, |chain| chain.first_mut().grow_front(n).map(NonNull::from)) {
            // SAFETY: bytes of a window of ours that was just extended, writable, and borrowed with `self`.
            Some(mut bytes) => Ok(unsafe { bytes.as_mut() }),
            None => Err(self),
        }
    }

    /// Extends the last window to the back by `n` bytes of tailroom: otherwise as [`grow_front`](Self::grow_front).
    #[inline(always)]
    pub(crate) fn grow_back(&mut self, n: usize) -> Result<&mut [u8], &mut Self> {
        match self.grow(n, |chain| chain.last_mut().grow_back(n).map(NonNull::from)) {
            // SAFETY: as above.
            Some(mut bytes) => Ok(unsafe { bytes.as_mut() }),
            None => Err(self),
        }
    }

    /// Adds `n` to the total if `f` extends a window by so many bytes. `None` if it does not, or must not.
    #[inline]
    fn grow(
        &mut self,
        n: usize,
        f: impl FnOnce(&mut Self) -> Option<NonNull<[u8]>>,
    ) -> Option<NonNull<[u8]>> {
        self.edge();
        if let Some(total) = self.told_total()
            && n > u32::MAX as usize - total
        {
            return None;
        }
        let grown = f(self)?;
        if H::HEADER
            && let Some(told) = self.first_mut().packet_len_mut()
        {
            *told += n as u32;
        }
        self.edge();
        Some(grown)
    }

    /// Cuts the only segment, which has storage, in two: another chain like this one shows what is behind `at`.
    ///
    /// # Panics
    /// If there is nothing in front of `at` or behind it.
    #[inline]
    #[track_caller]
    pub(crate) fn split_single(&mut self, at: usize) -> Result<Self, OpError> {
        let first = self.first();
        let len = first.len();
        assert!(0 < at && at < len);
        // SAFETY: the chain is borrowed mutably, so nobody else uses its first mbuf.
        let sole = unsafe { Sole::new(first) };
        let mut rest = first.shared().showing(H::HEADER, &sole, at..len)?;
        if H::HEADER {
            rest.copy_header(first)?;
        }
        self.first_mut().cut_for(at, &mut rest);
        self.set_total(at);
        Ok(MbufChain(rest.into_raw(), PhantomData))
    }

    /// The pool.
    #[inline]
    pub(crate) fn shared(&self) -> &Shared {
        self.first().shared()
    }

    /// A copy of the header, tags copied as each wishes; an empty one for headerless chains.
    pub(crate) fn copy_header(&self) -> Result<PacketHeader, OpError> {
        if !H::HEADER {
            return Ok(PacketHeader::EMPTY);
        }
        self.first().copied_header().ok_or(OpError::Tag)
    }

    /// Exchanges the tags of two packets.
    pub(crate) fn swap_tags(&mut self, other: &mut Self) {
        let tagged = |chain: &Self| H::HEADER && chain.first().header().tags.is_some();
        if !tagged(self) && !tagged(other) {
            return;
        }
        for mbuf in [self.first_mut(), other.first_mut()] {
            mbuf.mark();
        }
        let (mine, theirs) = (self.first_mut().header_mut(), other.first_mut().header_mut());
        core::mem::swap(&mut mine.tags, &mut theirs.tags);
    }

    /// Takes the chain apart and drops its packet header but for the tags.
    #[inline]
    pub(crate) fn into_bare_run(self) -> (Run, TagList) {
        let this = ManuallyDrop::new(self);
        let run = this.list();
        let tags = if H::HEADER {
            // SAFETY: ours, and part of a chain no more.
            ManuallyDrop::new(unsafe { Mbuf::from_raw(this.0) }).drop_header()
        } else {
            TagList::EMPTY
        };
        (run, tags)
    }

    /// The mbufs, which have one owner too many.
    #[inline]
    fn list(&self) -> Run {
        Run { first: self.0.as_ptr(), last: self.last_place().as_ptr() }
    }

    /// Takes the chain apart.
    #[inline]
    pub(crate) fn into_run(self) -> (Run, PacketHeader) {
        let this = ManuallyDrop::new(self);
        this.disassemble()
    }

    #[inline]
    fn disassemble(&self) -> (Run, PacketHeader) {
        let run = self.list();
        let header = if H::HEADER {
            // SAFETY: the callers own the list from here on, and do not use the chain.
            ManuallyDrop::new(unsafe { Mbuf::from_raw(self.0) }).take_header()
        } else {
            PacketHeader::EMPTY
        };
        (run, header)
    }

    /// Works on the list of mbufs, which has `len` bytes afterwards and whose first mbuf can carry a header.
    ///
    /// `f` cannot fail: what may has been done before. Mbufs and storage that are no longer needed go into the trash,
    /// which is emptied when the chain is whole again, as that may run the user's code.
    pub(crate) fn edit<R>(&mut self, len: usize, f: impl FnOnce(&mut Run, &mut Trash) -> R) -> R {
        /// Puts the chain together again, also when `f` panics.
        struct Guard<'a, H: Head> {
            chain: &'a mut MbufChain<H>,
            run: Run,
            header: Option<PacketHeader>,
            len: usize,
        }

        impl<H: Head> Drop for Guard<'_, H> {
            fn drop(&mut self) {
                let header = self.header.take().filter(|_| H::HEADER);
                let whole = MbufChain::<H>::assemble(&mut self.run, header, self.len);
                self.chain.0 = ManuallyDrop::new(whole).0;
            }
        }

        let (run, header) = self.disassemble();
        let mut trash = Trash::default();
        let mut guard = Guard { chain: self, run, header: Some(header), len };
        f(&mut guard.run, &mut trash)
    }

    /// Links a list that is not empty behind the last segment, for `len` bytes in all.
    #[inline]
    pub(crate) fn link_back(&mut self, more: Run, len: usize) {
        let more = ManuallyDrop::new(more);
        debug_assert!(!more.is_empty());
        self.last().next.set(more.first);
        if H::HEADER {
            let header = self.first_mut().header_mut();
            header.tail = more.last;
            header.len = len as u32;
        }
        self.edge();
    }

    /// Puts an mbuf, which has a header if this is a packet, in front of the first segment, for `len` bytes in all.
    pub(crate) fn link_front(&mut self, mut mbuf: Mbuf, len: usize) {
        if H::HEADER {
            let tail = self.last_place().as_ptr();
            // SAFETY: ours, and the first segment no more.
            mbuf.take_header_of(&mut ManuallyDrop::new(unsafe { Mbuf::from_raw(self.0) }));
            let header = mbuf.edit().header_mut();
            header.len = len as u32;
            header.tail = tail;
        }
        mbuf.next.set(self.0.as_ptr());
        self.0 = mbuf.into_raw();
        self.edge();
    }

    /// As [`edit`](Self::edit), where the first segment stays the first, and has its header all along.
    pub(crate) fn edit_rest(&mut self, len: usize, f: impl FnOnce(&mut Mbuf, &mut Run, &mut Trash)) {
        /// Puts the chain together again, also when `f` panics.
        struct Guard<'a, H: Head> {
            chain: &'a mut MbufChain<H>,
            first: ManuallyDrop<Mbuf>,
            rest: Run,
            len: usize,
        }

        impl<H: Head> Drop for Guard<'_, H> {
            fn drop(&mut self) {
                let rest = core::mem::take(&mut self.rest);
                if rest.is_empty() {
                    self.chain.set_total(self.len);
                } else {
                    self.chain.link_back(rest, self.len);
                }
            }
        }

        self.edge();
        let last = self.last_place().as_ptr();
        let next = self.first().next.replace(ptr::null_mut());
        let rest = Run { first: next, last: if next.is_null() { next } else { last } };
        if H::HEADER {
            self.first_mut().header_mut().tail = self.0.as_ptr();
        }
        // SAFETY: ours, and linked to nothing now; not dropped.
        let first = ManuallyDrop::new(unsafe { Mbuf::from_raw(self.0) });
        let mut trash = Trash::default();
        let mut guard = Guard { chain: self, first, rest, len };
        f(&mut guard.first, &mut guard.rest, &mut trash);
    }

    /// The address of the first mbuf, for `Debug` and for tests of identity.
    pub(crate) fn address(&self) -> *const () {
        self.0.as_ptr().cast_const().cast()
    }
}

impl Packet {
    /// The packet header; reads as empty while it is fresh.
    #[inline]
    pub(crate) fn header(&self) -> &PacketHeader {
        self.first().header()
    }

    /// The packet header, made real. `len` and `tail` are not the caller's to change.
    #[inline]
    pub(crate) fn header_mut(&mut self) -> &mut PacketHeader {
        self.first_mut().header_mut()
    }

    /// After tags were attached.
    pub(crate) fn note_tags(&mut self) {
        self.first_mut().mark();
    }

    /// A packet over memory of the user's.
    ///
    /// # Safety
    /// The bytes `find` returns live as long as the owner is neither touched nor dropped; they may be written unless
    /// `read_only`.
    #[track_caller]
    unsafe fn external<O: Send + 'static>(
        shared: &Shared,
        owner: O,
        read_only: bool,
        find: impl FnOnce(&mut O) -> (*mut u8, usize),
    ) -> Result<Packet, Refused<O>> {
        // SAFETY: by this function's contract.
        let mbuf = unsafe { shared.external(owner, read_only, find) }?;
        Ok(MbufChain::from_fresh(mbuf))
    }

    /// A packet over the bytes that `owner` lends for reading.
    #[track_caller]
    pub(crate) fn over<O>(shared: &Shared, owner: O) -> Result<Packet, Refused<O>>
    where
        O: AsRef<[u8]> + Send + 'static,
    {
        // SAFETY: the owner rests where it is and is not touched until it is dropped, so the shared borrow that
        // `as_ref` was called with may be thought to last as long. Read-only, so nobody writes through the pointer.
        unsafe {
            Self::external(shared, owner, true, |owner| {
                let bytes: &[u8] = (*owner).as_ref();
                (bytes.as_ptr().cast_mut(), bytes.len())
            })
        }
    }

    /// A packet over the bytes that `owner` lends for writing.
    #[track_caller]
    pub(crate) fn over_mut<O>(shared: &Shared, owner: O) -> Result<Packet, Refused<O>>
    where
        O: AsMut<[u8]> + Send + 'static,
    {
        // SAFETY: as in `over`, with a mutable borrow.
        unsafe {
            Self::external(shared, owner, false, |owner| {
                let bytes = owner.as_mut();
                (bytes.as_mut_ptr(), bytes.len())
            })
        }
    }
}
