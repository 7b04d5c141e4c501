//! A segment that is owned and linked to nothing.
#![allow(unsafe_code)]

use core::mem::ManuallyDrop;
use core::ops::{Deref, Range};
use core::ptr::{self, NonNull};

use mbuf_zone::raw::Object;

use super::free::{Released, free_unlinked};
use super::{Edit, Hold, PacketHeader, RawMbuf, TYPE_DATA, flag, kind_bits};
use crate::config::{Class, HEADER_OFFSET, MHLEN, MLEN, MSIZE, PLAIN_OFFSET};
use crate::error::OpError;
use crate::raw::storage::{self, Storage, StorageKind};
use crate::tag::TagList;

/// One segment that nobody else has: not linked, freed on drop.
///
/// # Invariants
/// 1. The mbuf is out of its zone, its `next` and `next_packet` are null, and this value alone names it.
pub(crate) struct Mbuf(NonNull<RawMbuf>);

// SAFETY: an owned mbuf; what other threads share with it is storage, which is counted and not written while shared.
unsafe impl Send for Mbuf {}
// SAFETY: as above; shared references change nothing but the atomic mark.
unsafe impl Sync for Mbuf {}

impl Deref for Mbuf {
    type Target = RawMbuf;

    #[inline]
    fn deref(&self) -> &RawMbuf {
        // SAFETY: live by invariant 1.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Mbuf {
    // Inlined, so that no address of a handle is taken where a panic would drop it: it stays in a register.
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: ours alone by invariant 1, and gone after this.
        unsafe { free_unlinked(self.0) };
    }
}

impl Mbuf {
    pub(in crate::raw) fn into_raw(self) -> NonNull<RawMbuf> {
        ManuallyDrop::new(self).0
    }

    /// # Safety
    /// As invariant 1 says.
    pub(in crate::raw) unsafe fn from_raw(mbuf: NonNull<RawMbuf>) -> Self {
        Mbuf(mbuf)
    }

    /// Leave to change the mbuf.
    #[inline]
    pub(crate) fn edit(&mut self) -> Edit<'_> {
        // SAFETY: ours alone (invariant 1), and borrowed mutably.
        unsafe { Edit::new(self.0) }
    }

    /// An empty mbuf with inline storage of an object of the mbuf zone, `headroom` bytes in front.
    ///
    /// # Safety
    /// The object is one of the pool's mbuf zone, at rest, and nobody else's. `headroom` is at most [`MHLEN`],
    /// or without a header [`MLEN`].
    #[inline(always)]
    pub(in crate::raw) unsafe fn plain(object: Object, header: bool, headroom: usize) -> Self {
        debug_assert!(headroom <= if header { MHLEN } else { MLEN });
        let mbuf = object.as_ptr::<RawMbuf>();
        let (offset, flags) = if header {
            (HEADER_OFFSET, flag::PKTHDR | flag::FRESH | flag::TAIL_OWNER | TYPE_DATA)
        } else {
            (PLAIN_OFFSET, flag::FRESH | flag::TAIL_OWNER | TYPE_DATA)
        };
        // SAFETY: ours, and at rest; the inline area is `MSIZE - offset` bytes from `offset`, at least `headroom`.
        unsafe {
            let raw = mbuf.as_ref();
            let buf = mbuf.cast::<u8>().as_ptr().add(offset);
            raw.buf.set(buf);
            raw.data.set(buf.add(headroom));
            raw.cap.set((MSIZE - offset) as u32);
            raw.len.set(0);
            raw.flags.set(flags);
        }
        Mbuf(mbuf)
    }

    /// An empty mbuf with its cluster, `headroom` bytes in front.
    ///
    /// # Safety
    /// The object is one of the pool's packet zone of that class, at rest, and nobody else's. `headroom` is at most the
    /// class's size.
    #[inline(always)]
    pub(in crate::raw) unsafe fn paired(object: Object, class: Class, header: bool, headroom: usize) -> Self {
        debug_assert!(headroom <= class.size());
        let header = if header { flag::PKTHDR } else { 0 };
        let kind = kind_bits(StorageKind::Cluster(class));
        let mbuf = object.as_ptr::<RawMbuf>();
        // SAFETY: ours, and at rest, so `buf` is that of a cluster of the class.
        unsafe {
            let raw = mbuf.as_ref();
            raw.data.set(raw.buf.get().add(headroom));
            raw.len.set(0);
            raw.flags.set(header | flag::FRESH | flag::TAIL_OWNER | flag::PAIRED | TYPE_DATA | kind);
        }
        Mbuf(mbuf)
    }

    /// Gives an mbuf with empty inline storage a cluster of its own.
    ///
    /// # Safety
    /// `cluster` is an object of the zone of that class, its count at one, that nobody else has.
    #[cfg(feature = "ffi")]
    pub(in crate::raw) unsafe fn attach(&mut self, cluster: Object, class: Class) {
        // SAFETY: by this function's contract a storage of that class, given to us.
        unsafe { self.hold(cluster.as_ptr(), StorageKind::Cluster(class)) };
    }

    /// Makes the mbuf a holder of storage, with an empty window at its start.
    ///
    /// # Safety
    /// One count of `storage`, which is of that kind, is given to the mbuf, which has inline storage and is empty.
    #[inline]
    unsafe fn hold(&mut self, storage: NonNull<Storage>, kind: StorageKind) {
        debug_assert!(self.storage.get().is_null() && self.len() == 0);
        // SAFETY: live, as one count is ours.
        let (buf, size) = unsafe { ((*storage.as_ptr()).buf, (*storage.as_ptr()).size) };
        self.storage.set(storage.as_ptr());
        self.buf.set(buf);
        self.data.set(buf);
        self.cap.set(size);
        self.flags.set(self.flags.get() & !flag::KIND_MASK | kind_bits(kind));
        self.head.mark();
        self.publish();
    }

    /// Gives an mbuf with empty inline storage external storage with an owner, all of it in the window.
    ///
    /// # Safety
    /// `record` is an object of the external zone that nobody else has. The bytes `find` returns live as long as the
    /// owner is neither touched nor dropped; they may be written unless `read_only`.
    pub(in crate::raw) unsafe fn attach_external<O: Send + 'static>(
        &mut self,
        record: Object,
        owner: O,
        read_only: bool,
        find: impl FnOnce(&mut O) -> (*mut u8, usize),
    ) -> Result<(), (O, usize)> {
        // SAFETY: by this function's contract; the one count of the new storage goes to this mbuf.
        unsafe {
            let storage = storage::init_external(record, owner, read_only, find)?;
            self.hold(storage, StorageKind::External);
        }
        self.len.set(self.cap.get());
        if read_only {
            self.flags.set(self.flags.get() | flag::READ_ONLY);
        }
        Ok(())
    }

    /// Takes the owner of external storage back, if it is an `O` and this is the only holder.
    pub(crate) fn into_owner<O: Send + 'static>(self) -> Result<O, Self> {
        let Some(storage) = NonNull::new(self.storage.get()) else { return Err(self) };
        if self.kind() != StorageKind::External {
            return Err(self);
        }
        // SAFETY: held by `RawMbuf`'s invariant 3 and external; on success the mbuf forgets it.
        match unsafe { storage::take_owner::<O>(storage) } {
            None => Err(self),
            Some(owner) => {
                self.storage.set(ptr::null_mut());
                Ok(owner)
            }
        }
    }

    /// An mbuf that shows a part of another's window, of an object of the mbuf zone: storage is shared; inline data is
    /// copied, and has to fit.
    ///
    /// # Safety
    /// The object is one of the pool's mbuf zone, at rest, and nobody else's.
    #[inline]
    pub(in crate::raw) unsafe fn showing(
        object: Object,
        header: bool,
        from: &impl Hold,
        part: Range<usize>,
    ) -> Result<Self, OpError> {
        debug_assert!(part.start < part.end && part.end <= from.len());
        if !from.has_storage() {
            // SAFETY: by this function's contract.
            return unsafe { Self::plain(object, header, 0) }.copy_of(from, part);
        }
        if !from.acquire() {
            // SAFETY: by this function's contract.
            drop(unsafe { Self::plain(object, header, 0) });
            return Err(OpError::TooManySharers);
        }
        // SAFETY: by this function's contract; the count just acquired is the new mbuf's.
        let mut mbuf = unsafe {
            let header = if header { flag::PKTHDR | flag::FRESH } else { flag::FRESH };
            Self::sharing(object, header | from.told_up_to(part.end), from, part)
        };
        mbuf.publish_as(from);
        mbuf.edit().set_type(from.type_bits());
        Ok(mbuf)
    }

    /// The same, of data, where one count of the storage was acquired for the new mbuf, with these flags besides those of the
    /// storage. What C sees of it is left to do.
    ///
    /// # Safety
    /// As for [`showing`](Self::showing); one count of the storage, which `from` has, is given to the mbuf.
    #[inline(always)]
    pub(super) unsafe fn sharing(object: Object, flags: u32, from: &RawMbuf, part: Range<usize>) -> Self {
        from.head.mark();
        let mbuf = object.as_ptr::<RawMbuf>();
        // SAFETY: ours. The count is this mbuf's; the window is a part of the other's, so inside of the storage. The pointer to
        // it is not made of the reference: it has to reach all of the storage, for whoever frees it.
        unsafe {
            let raw = mbuf.as_ref();
            raw.head.mark();
            raw.storage.set(from.storage.get());
            raw.buf.set(from.buf.get());
            raw.cap.set(from.cap.get());
            raw.data.set(from.data.get().add(part.start));
            raw.len.set((part.end - part.start) as u32);
            raw.flags.set(flags | from.flags.get() & (flag::KIND_MASK | flag::READ_ONLY) | TYPE_DATA);
        }
        Mbuf(mbuf)
    }

    /// Copies a part of another's window into this empty mbuf, where it has to fit.
    pub(crate) fn copy_of(mut self, from: &RawMbuf, part: Range<usize>) -> Result<Self, OpError> {
        let (len, max) = (part.end - part.start, self.capacity());
        let place = self.edit().grow_back(len).ok_or(OpError::TooLong { len, max })?;
        place.copy_from_slice(&from.bytes()[part.clone()]);
        self.flags.set(self.flags.get() & !flag::USER_MASK | from.told_up_to(part.end));
        self.edit().set_type(from.type_bits());
        Ok(self)
    }

    /// Gives the mbuf a fresh packet header, moving inline data out of its way.
    ///
    /// # Panics
    /// If it cannot carry one (a bug of the caller's).
    #[inline]
    pub(crate) fn add_header(&mut self) {
        if self.has(flag::PKTHDR) {
            return;
        }
        assert!(self.can_carry_header(), "inline data in the way of a packet header");
        if self.kind() == StorageKind::Inline {
            let (front, len) = (self.front(), self.len());
            let room = HEADER_OFFSET - PLAIN_OFFSET;
            let front = if front >= room { front - room } else { (MHLEN - len) & !7 };
            // SAFETY: the inline area of our own mbuf; `front + len <= MHLEN`: either the window's place is unchanged
            // or it is put there.
            unsafe {
                let buf = self.0.cast::<u8>().as_ptr().add(HEADER_OFFSET);
                let data = buf.add(front);
                ptr::copy(self.data.get(), data, len);
                self.buf.set(buf);
                self.data.set(data);
            }
            self.cap.set(MHLEN as u32);
        }
        self.flags.set(self.flags.get() | flag::PKTHDR | flag::FRESH);
    }

    /// Takes the packet header out. The mbuf has none afterwards.
    #[inline]
    pub(crate) fn take_header(&mut self) -> PacketHeader {
        let mut header = if self.has(flag::FRESH) {
            PacketHeader::EMPTY
        } else {
            // SAFETY: initialised by invariant 6, and never read again.
            unsafe { self.header_place().read() }
        };
        header.flags = self.packet_flags();
        self.forget_header();
        header
    }

    /// Drops the packet header but for its tags. The mbuf has none afterwards.
    #[inline]
    pub(in crate::raw) fn drop_header(&mut self) -> TagList {
        let tags = if self.has(flag::FRESH) {
            TagList::EMPTY
        } else {
            // SAFETY: initialised by invariant 6, and never read again.
            unsafe { (&raw const (*self.header_place()).tags).read() }
        };
        self.forget_header();
        tags
    }

    /// Makes the packet header, which is fresh, that of another mbuf, which has none afterwards.
    #[inline]
    pub(in crate::raw) fn take_header_of(&mut self, from: &mut Mbuf) {
        debug_assert!(self.has(flag::PKTHDR) && self.has(flag::FRESH));
        self.flags.set(self.flags.get() | from.packet_flags());
        if !from.has(flag::FRESH) {
            // SAFETY: initialised by invariant 6, and never read again there; our own mbuf has room for it.
            unsafe { self.header_place().copy_from_nonoverlapping(from.header_place(), 1) };
            self.flags.set(self.flags.get() & !flag::FRESH);
            if self.header().tags.is_some() {
                self.head.mark();
            }
        }
        from.forget_header();
    }

    /// After the packet header was taken out.
    #[inline]
    fn forget_header(&mut self) {
        self.flags.set(self.flags.get() & !(flag::PKTHDR | flag::PACKET_MASK) | flag::FRESH);
        if self.kind() == StorageKind::Inline {
            // SAFETY: the larger area of a headerless mbuf, of our own.
            self.buf.set(unsafe { self.0.cast::<u8>().as_ptr().add(PLAIN_OFFSET) });
            self.cap.set(MLEN as u32);
        }
    }

    /// Writes a packet header, which the mbuf has room for (`add_header`).
    #[inline(always)]
    pub(crate) fn set_header(&mut self, header: PacketHeader) {
        debug_assert!(self.has(flag::PKTHDR));
        self.flags.set(self.flags.get() | header.flags);
        if header.tags.is_some() {
            self.head.mark();
        }
        let place = self.header_place();
        // Two ways, so that the usual one writes field by field and nothing goes by way of the stack.
        if self.has(flag::FRESH) {
            // SAFETY: the header's place in our own mbuf.
            unsafe { place.write(header) };
        } else {
            // SAFETY: as above; initialised by invariant 6.
            unsafe { *place = header };
        }
        self.flags.set(self.flags.get() & !flag::FRESH);
    }

    /// Lets go of the storage: an empty, headerless mbuf with inline storage remains. The storage is released when
    /// the returned value is dropped, which may run the user's code.
    pub(crate) fn strip(&mut self) -> Released {
        debug_assert!(!self.has_header());
        let released = Released(NonNull::new(self.storage.replace(ptr::null_mut())), self.kind());
        // SAFETY: the inline area of a headerless mbuf of our own.
        let buf = unsafe { self.0.cast::<u8>().as_ptr().add(PLAIN_OFFSET) };
        self.buf.set(buf);
        self.data.set(buf);
        self.cap.set(MLEN as u32);
        self.len.set(0);
        self.flags.set(self.flags.get() & !(flag::KIND_MASK | flag::READ_ONLY) | flag::TAIL_OWNER);
        if self.has(flag::PAIRED) {
            // It does not rest like this.
            self.head.mark();
        }
        released
    }

    /// Makes the header of this mbuf, which is a packet alone, a copy of another's.
    #[inline(always)]
    pub(in crate::raw) fn copy_header(&mut self, from: &RawMbuf) -> Result<(), OpError> {
        debug_assert!(self.has(flag::PKTHDR) && self.has(flag::FRESH));
        self.flags.set(self.flags.get() | from.packet_flags());
        if from.has(flag::FRESH) {
            return Ok(());
        }
        let source = from.header();
        let tags = if source.tags.is_some() { self.copied_tags(source)? } else { TagList::EMPTY };
        let place = self.header_place();
        // Field by field: a header that is made first and then moved goes by way of the stack, in pieces that do not
        // match, and each load has to wait for two stores.
        // SAFETY: the header's place in our own mbuf; what was there is not a header (`FRESH`), and all of it is written.
        unsafe {
            (&raw mut (*place).len).write(self.len.get());
            (&raw mut (*place).flags).write(0);
            (&raw mut (*place).tail).write(self.0.as_ptr());
            (&raw mut (*place).tags).write(tags);
            (&raw mut (*place).meta).copy_from_nonoverlapping(&source.meta, 1);
        }
        self.flags.set(self.flags.get() & !flag::FRESH);
        Ok(())
    }

    #[cold]
    fn copied_tags(&self, from: &PacketHeader) -> Result<TagList, OpError> {
        let tags = from.tags.copy().ok_or(OpError::Tag)?;
        self.head.mark();
        Ok(tags)
    }

    /// Puts the empty window `offset` bytes into the storage.
    ///
    /// # Panics
    /// If the window is not empty or the offset is outside.
    #[inline]
    pub(crate) fn place(&mut self, offset: usize) {
        assert!(self.len() == 0 && offset <= self.capacity() && self.is_unique());
        // SAFETY: inside of the storage.
        self.data.set(unsafe { self.buf.get().add(offset) });
    }
}
