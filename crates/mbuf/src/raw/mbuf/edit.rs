//! Leave to change a segment.
#![allow(unsafe_code)]

use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::{self, NonNull};
use core::slice;

use super::{Mbuf, PacketHeader, RawMbuf, flag};
use crate::meta::MbufType;
use crate::pool::LifeEvent;

/// Leave to change one segment, wherever it is linked.
///
/// # Invariants
/// 1. The mbuf is live and nobody else reads or changes it during `'a`.
pub(crate) struct Edit<'a> {
    mbuf: NonNull<RawMbuf>,
    _of: PhantomData<&'a mut RawMbuf>,
}

// SAFETY: what a `&mut` to an owned mbuf can do from any thread.
unsafe impl Send for Edit<'_> {}
// SAFETY: as above, through `&RawMbuf`.
unsafe impl Sync for Edit<'_> {}

impl Deref for Edit<'_> {
    type Target = RawMbuf;

    #[inline]
    fn deref(&self) -> &RawMbuf {
        // SAFETY: live by invariant 1.
        unsafe { self.mbuf.as_ref() }
    }
}

impl<'a> Edit<'a> {
    /// # Safety
    /// As invariant 1 says.
    pub(in crate::raw) unsafe fn new(mbuf: NonNull<RawMbuf>) -> Self {
        Edit { mbuf, _of: PhantomData }
    }

    /// The same leave, to be handed to a function that is called: so it stays in a register.
    #[inline(always)]
    fn again(&mut self) -> Edit<'_> {
        Edit { mbuf: self.mbuf, _of: PhantomData }
    }

    /// The window, if it may be written.
    #[inline]
    pub(crate) fn bytes_mut(mut self) -> Option<&'a mut [u8]> {
        if !self.may_write() {
            return None;
        }
        // SAFETY: initialised and live (invariants 1, 2 of `RawMbuf`); the only holder of its storage, and this the
        // only use of the holder during `'a`.
        Some(unsafe { slice::from_raw_parts_mut(self.data.get(), self.len()) })
    }

    /// Extends the window to the front by `n` bytes of headroom and gives them. They hold old data.
    #[inline]
    pub(crate) fn grow_front(mut self, n: usize) -> Option<&'a mut [u8]> {
        if n > self.front_room() {
            return None;
        }
        // SAFETY: `n` bytes of headroom lie in front, in storage of which this is the only holder.
        let bytes = unsafe {
            let data = self.data.get().sub(n);
            self.data.set(data);
            slice::from_raw_parts_mut(data, n)
        };
        self.len.set(self.len.get() + n as u32);
        Some(bytes)
    }

    /// Extends the window to the back by `n` bytes of tailroom and gives them. They hold old data.
    #[inline]
    pub(crate) fn grow_back(mut self, n: usize) -> Option<&'a mut [u8]> {
        if n > self.back_room() {
            return None;
        }
        let len = self.len();
        self.len.set((len + n) as u32);
        // SAFETY: `n` bytes of tailroom lie behind, which other holders neither see nor write (invariant 4).
        Some(unsafe { slice::from_raw_parts_mut(self.data.get().add(len), n) })
    }

    /// The tailroom, to be written. It holds old data.
    #[cfg(feature = "bytes")]
    pub(crate) fn spare_mut(mut self) -> &'a mut [u8] {
        let room = self.back_room();
        // SAFETY: bytes behind the window that no other holder sees or writes (invariant 4).
        unsafe { slice::from_raw_parts_mut(self.data.get().add(self.len()), room) }
    }

    /// Drops `n` bytes at the front of the window.
    ///
    /// # Panics
    /// If the window has fewer.
    #[inline]
    pub(crate) fn trim_front(&mut self, n: usize) {
        assert!(n <= self.len());
        // SAFETY: still inside of the window.
        self.data.set(unsafe { self.data.get().add(n) });
        self.len.set(self.len.get() - n as u32);
    }

    /// Drops `n` bytes at the back of the window.
    ///
    /// # Panics
    /// If the window has fewer.
    #[inline]
    pub(crate) fn trim_back(&mut self, n: usize) {
        assert!(n <= self.len());
        self.len.set(self.len.get() - n as u32);
        self.give_up_tail();
    }

    /// After the window's end moved to the front: others may still see what is now behind it.
    #[inline]
    fn give_up_tail(&mut self) {
        if !self.is_alone() {
            self.flags.set(self.flags.get() & !flag::TAIL_OWNER);
        }
    }

    /// Whether the window may be written.
    #[inline]
    fn may_write(&mut self) -> bool {
        !self.has(flag::READ_ONLY) && self.is_alone()
    }

    /// Bytes in front of the window that may be written.
    #[inline]
    fn front_room(&mut self) -> usize {
        if self.may_write() { self.front() } else { 0 }
    }

    /// Bytes behind the window that may be written.
    #[inline]
    fn back_room(&mut self) -> usize {
        if self.owns_tail() { self.back() } else { 0 }
    }

    /// Whether what is behind the window may be written: so it remains when the storage is shared.
    #[inline]
    fn owns_tail(&mut self) -> bool {
        match self.flags.get() & (flag::READ_ONLY | flag::END | flag::TAIL_OWNER) {
            flag::TAIL_OWNER => true,
            0 => self.again().takes_tail(),
            _ => false,
        }
    }

    #[cold]
    fn takes_tail(mut self) -> bool {
        let alone = self.is_alone();
        if alone {
            // What is behind the window is nobody else's.
            self.flags.set(self.flags.get() | flag::TAIL_OWNER);
        }
        alone
    }

    /// Whether this is the only holder of the bytes.
    #[inline]
    fn is_alone(&mut self) -> bool {
        !self.head.is_marked() || self.again().looks_whether_alone()
    }

    /// The same of an mbuf with a mark, which is taken off if it was there for other holders that are gone.
    #[inline(never)]
    fn looks_whether_alone(self) -> bool {
        let alone = self.is_unique();
        if alone && self.is_plain() {
            self.head.unmark();
        }
        alone
    }

    /// Cuts the window at `at` and gives the right to the tail behind to `rest`, which shows what was cut off.
    #[inline]
    pub(crate) fn cut_for(&mut self, at: usize, rest: &mut Mbuf) {
        assert!(at <= self.len());
        if self.has(flag::TAIL_OWNER)
            && self.storage.get() == rest.storage.get()
            && !self.storage.get().is_null()
        {
            self.flags.set(self.flags.get() & !flag::TAIL_OWNER);
            rest.flags.set(rest.flags.get() | flag::TAIL_OWNER);
        }
        self.len.set(at as u32);
        self.give_up_tail();
        self.clear_end();
        self.note(LifeEvent::Split);
    }

    /// The segment does not end a record: what did was cut off, or stands in another segment now.
    pub(crate) fn clear_end(&mut self) {
        self.flags.set(self.flags.get() & !flag::END);
    }

    /// Moves the window within its own storage so that `headroom` bytes are in front.
    ///
    /// # Panics
    /// If it is not writable, or that is not possible.
    pub(crate) fn slide(&mut self, headroom: usize) {
        assert!(self.is_writable() && headroom + self.len() <= self.capacity());
        // SAFETY: both places are inside of storage of which this is the only holder.
        unsafe {
            let data = self.buf.get().add(headroom);
            ptr::copy(self.data.get(), data, self.len());
            self.data.set(data);
        }
    }

    /// Marks the segment as chosen by the operation that is being prepared, or not.
    pub(crate) fn choose(&mut self, chosen: bool) {
        let flags = self.flags.get() & !flag::CHOSEN;
        self.flags.set(if chosen { flags | flag::CHOSEN } else { flags });
    }

    /// Sets the type.
    #[inline]
    pub(crate) fn set_type(&mut self, bits: u8) {
        if bits != self.type_bits() {
            self.again().change_type(bits);
        }
    }

    #[cold]
    fn change_type(self, bits: u8) {
        self.shared().ops.retype(self.mbuf_type(), MbufType::from_bits(bits));
        self.flags.set(self.flags.get() & !flag::TYPE_MASK | u32::from(bits));
        self.head.mark();
    }

    /// Sets the flags that users see. No bytes end no record.
    #[inline]
    pub(crate) fn set_user_flags(&mut self, bits: u16) {
        self.flags.set(self.flags.get() & !flag::USER_MASK | u32::from(bits) << flag::USER_SHIFT);
        if self.len() == 0 {
            self.clear_end();
        }
    }

    /// Makes the packet header real.
    #[cfg(feature = "ffi")]
    pub(in crate::raw) fn make_header(&mut self) {
        // SAFETY: the same leave, for the time of this call.
        unsafe { Edit::new(self.mbuf) }.header_mut();
    }

    /// The window, if the storage is not shared, whether or not a flag says that it must not be written.
    #[cfg(feature = "ffi")]
    pub(crate) fn own_bytes_mut(self) -> Option<&'a mut [u8]> {
        if !self.is_unique() {
            return None;
        }
        // SAFETY: as in `bytes_mut`; C's memory may be written whatever C says in a flag.
        Some(unsafe { slice::from_raw_parts_mut(self.data.get(), self.len()) })
    }

    /// After tags were attached.
    #[cfg(feature = "ffi")]
    pub(crate) fn note_tags(&mut self) {
        self.head.mark();
    }

    /// Says that a record ends here, though there may be no bytes yet.
    #[cfg(feature = "ffi")]
    pub(crate) fn mark_end(&mut self) {
        self.flags.set(self.flags.get() | flag::END);
    }

    /// An empty window ends no record.
    #[cfg(feature = "ffi")]
    pub(crate) fn forget_empty_end(&mut self) {
        if self.len() == 0 {
            self.clear_end();
        }
    }

    /// Forgets the bytes of the window.
    #[cfg(feature = "ffi")]
    pub(crate) fn empty(&mut self) {
        self.len.set(0);
    }

    /// The packet header, made real if it was fresh.
    #[inline]
    pub(crate) fn header_mut(self) -> &'a mut PacketHeader {
        debug_assert!(self.has(flag::PKTHDR));
        if self.has(flag::FRESH) {
            let (len, tail) = (self.len.get(), self.mbuf.as_ptr());
            // SAFETY: the header's place in an mbuf that we may change.
            unsafe { self.header_place().write(PacketHeader { len, tail, ..PacketHeader::EMPTY }) };
            self.flags.set(self.flags.get() & !flag::FRESH);
        }
        // SAFETY: initialised by invariant 6; this is the only use of the mbuf during `'a`.
        unsafe { &mut *self.header_place() }
    }

    /// The packet's length, if the header says it.
    #[inline]
    pub(in crate::raw) fn packet_len_mut(self) -> Option<&'a mut u32> {
        if self.has(flag::FRESH) { None } else { Some(&mut self.header_mut().len) }
    }

    /// Keeps the mbuf off the inlined free path.
    pub(in crate::raw) fn mark(&self) {
        self.head.mark();
    }
}
