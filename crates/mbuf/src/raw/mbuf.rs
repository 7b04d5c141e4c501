//! One mbuf: 256 bytes of links, window, storage, and either inline data or a packet header and less of it.
//!
//! ```text
//!   0  head: zone (and mark), place in the keg      ┐
//!  16  next, next_packet                            │ first line: all that
//!  32  data, len, flags (type in the low bits)      │ allocation and free touch
//!  48  storage, buf                                 ┘
//!  64  cap, track
//!  72  ┌ inline data (184 bytes), or ┬ packet header (80 bytes)
//! 152  │                             ├ inline data (104 bytes)
//! 256  └                             ┴
//!
//! buf              data            data+len           buf+cap
//!  ├── headroom ────┼─── window ──────┼─── tailroom ─────┤     inline or in storage
//! ```
//!
//! # At rest
//!
//! A free mbuf keeps what the next user would otherwise have to set: links null, no mark; one of the mbuf zone has
//! no storage; one of the packet zone has a 2 KiB cluster that it alone holds, with `buf` and `cap` set for it.
//! The packet header is not cleared on allocation: the flag `FRESH` says that it reads as empty.
#![allow(unsafe_code)]

use core::cell::{Cell, UnsafeCell};
use core::marker::PhantomData;
use core::mem::{self, ManuallyDrop, offset_of, size_of};
use core::ops::{Deref, Range};
use core::ptr::{self, NonNull};
use core::slice;

use mbuf_zone::raw::{self, Head, Object};

use super::count::ShareCount;
use super::lane;
use super::storage::{self, Storage, StorageKind};
use super::zones::Shared;
use crate::config::{Class, HEADER_OFFSET, MHLEN, MLEN, MSIZE, PLAIN_OFFSET};
use crate::error::OpError;
use crate::meta::{MbufType, Meta};
use crate::tag::TagList;

/// What the first mbuf of a packet knows about the packet.
///
/// # Invariants
/// 1. There is no padding: the bytes are initialised when they become inline data.
#[repr(C)]
pub(crate) struct PacketHeader {
    pub(crate) len: u32,
    /// The packet's flags while the header is not in an mbuf; there they are the mbuf's.
    flags: u32,
    pub(crate) tail: *mut RawMbuf,
    pub(crate) tags: TagList,
    pub(crate) meta: Meta,
}

const _: () = assert!(size_of::<PacketHeader>() == 2 * 4 + 2 * size_of::<usize>() + size_of::<Meta>());

impl PacketHeader {
    pub(crate) const EMPTY: Self =
        PacketHeader { len: 0, flags: 0, tail: ptr::null_mut(), tags: TagList::EMPTY, meta: Meta::EMPTY };

    /// A copy for another packet, whose length and tail will be set: `None` if a tag refuses.
    #[inline]
    fn copy_of(mbuf: &RawMbuf) -> Option<Self> {
        let from = mbuf.header();
        let tags = from.tags.copy()?;
        Some(PacketHeader {
            len: 0,
            flags: mbuf.packet_flags(),
            tail: ptr::null_mut(),
            tags,
            meta: from.meta,
        })
    }
}

/// Bits of `flags` above the type.
pub(crate) mod flag {
    pub(crate) const TYPE_MASK: u32 = 0x3f;
    /// An operation that is being prepared will replace this segment. Never set between operations.
    pub(crate) const CHOSEN: u32 = 1 << 7;
    /// [`StorageKind`](super::StorageKind), three bits.
    pub(crate) const KIND_SHIFT: u32 = 8;
    pub(crate) const KIND_MASK: u32 = 7 << KIND_SHIFT;
    /// A packet header is there.
    pub(crate) const PKTHDR: u32 = 1 << 11;
    /// The packet header reads as empty, whatever its bytes are.
    pub(crate) const FRESH: u32 = 1 << 12;
    /// The storage must not be written.
    pub(crate) const READ_ONLY: u32 = 1 << 13;
    /// This holder may write behind its window even while the storage is shared.
    pub(crate) const TAIL_OWNER: u32 = 1 << 14;
    /// The mbuf belongs to the packet zone, for life.
    pub(crate) const PAIRED: u32 = 1 << 15;
    /// Flags that users see and set, from here up.
    pub(crate) const USER_SHIFT: u32 = 16;
    pub(crate) const USER_MASK: u32 = 0xffff << USER_SHIFT;
    /// The last byte of the window is the last of a record. Never set on an empty window.
    pub(crate) const END: u32 = 1 << USER_SHIFT;
    /// Those that, with a packet header, say something of the packet, and go where the header goes.
    pub(crate) const PACKET_MASK: u32 = 0xfffe << USER_SHIFT;
}

/// An mbuf in memory.
///
/// # Invariants
/// 1. `buf..buf + cap` is initialised memory that lives as long as the mbuf holds its storage: the inline area from
///    72 or (with a packet header) 152 if `storage` is null, otherwise the storage's bytes. Kind bits agree.
/// 2. The window `data..data + len` lies within `buf..buf + cap`.
/// 3. If `storage` is not null the mbuf is one of its `refs`.
/// 4. At most one holder of a storage has `TAIL_OWNER`, and then no other holder's window ends behind that one's.
/// 5. The mark is set if the storage is, or was, shared, is not the one the mbuf rests with, tags are attached, or the
///    type is another than data, which alone is not counted.
/// 6. With `PKTHDR` and without `FRESH`, the header is an initialised [`PacketHeader`].
/// 7. Through a shared reference nothing changes but the mark. Changes are made by whoever owns the mbuf, or borrows
///    it mutably ([`Edit`]).
#[repr(C, align(64))]
pub(crate) struct RawMbuf {
    head: Head,
    pub(super) next: Cell<*mut RawMbuf>,
    pub(crate) next_packet: Cell<*mut RawMbuf>,
    data: Cell<*mut u8>,
    len: Cell<u32>,
    flags: Cell<u32>,
    storage: Cell<*mut Storage>,
    buf: Cell<*mut u8>,
    cap: Cell<u32>,
    track: Cell<u32>,
    area: UnsafeCell<Area>,
}

#[repr(C, align(8))]
struct Area([u8; MLEN]);

const _: () = assert!(size_of::<RawMbuf>() == MSIZE);
const _: () = assert!(offset_of!(RawMbuf, area) == PLAIN_OFFSET);
const _: () = assert!(HEADER_OFFSET + MHLEN == MSIZE && HEADER_OFFSET.is_multiple_of(8));
#[cfg(target_pointer_width = "64")]
const _: () = assert!(offset_of!(RawMbuf, cap) == 64);

// SAFETY: through a shared reference nothing changes but the mark, which is atomic (invariant 7).
unsafe impl Sync for RawMbuf {}

impl RawMbuf {
    #[inline]
    fn has(&self, flag: u32) -> bool {
        self.flags.get() & flag != 0
    }

    /// Bytes of the window.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len.get() as usize
    }

    /// The window.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: initialised and live by invariants 1 and 2; not written while `self` is borrowed: by this handle
        // by invariant 7, by other holders by `Storage`'s invariant 3, as tail owners write behind our window.
        unsafe { slice::from_raw_parts(self.data.get(), self.len()) }
    }

    #[inline]
    pub(crate) fn kind(&self) -> StorageKind {
        StorageKind::from_bits((self.flags.get() & flag::KIND_MASK) >> flag::KIND_SHIFT)
    }

    /// Whether the bytes are in storage, not inline.
    #[inline]
    pub(crate) fn has_storage(&self) -> bool {
        !self.storage.get().is_null()
    }

    #[inline]
    fn storage(&self) -> Option<&Storage> {
        // SAFETY: null, or live by invariant 3.
        unsafe { self.storage.get().as_ref() }
    }

    /// Mbufs that share the storage; one for inline data.
    pub(crate) fn share_count(&self) -> u32 {
        self.storage().map_or(1, |s| s.refs.get())
    }

    #[inline]
    fn is_unique(&self) -> bool {
        // An unmarked mbuf's storage was never shared (invariant 5).
        !self.head.is_marked() || self.storage().is_none_or(|s| s.refs.is_unique())
    }

    /// Whether the window may be written.
    #[inline]
    pub(crate) fn is_writable(&self) -> bool {
        !self.has(flag::READ_ONLY) && self.is_unique()
    }

    #[inline]
    fn front(&self) -> usize {
        self.data.get().addr() - self.buf.get().addr()
    }

    #[inline]
    fn back(&self) -> usize {
        self.cap.get() as usize - self.front() - self.len()
    }

    /// Bytes in front of the window that may be written.
    #[inline]
    pub(crate) fn headroom(&self) -> usize {
        if self.is_writable() { self.front() } else { 0 }
    }

    #[inline]
    fn may_write_tail(&self) -> bool {
        // What follows the end of a record is in another segment.
        !self.has(flag::READ_ONLY | flag::END) && (self.has(flag::TAIL_OWNER) || self.is_unique())
    }

    /// Bytes behind the window that may be written.
    #[inline]
    pub(crate) fn tailroom(&self) -> usize {
        if self.may_write_tail() { self.back() } else { 0 }
    }

    /// Bytes of the storage or inline area.
    pub(crate) fn capacity(&self) -> usize {
        self.cap.get() as usize
    }

    /// Bytes the mbuf pins: itself and its storage.
    pub(crate) fn memory(&self) -> usize {
        MSIZE + self.storage().map_or(0, |s| s.size as usize)
    }

    pub(crate) fn type_bits(&self) -> u8 {
        (self.flags.get() & flag::TYPE_MASK) as u8
    }

    fn mbuf_type(&self) -> MbufType {
        MbufType::from_bits(self.type_bits())
    }

    pub(crate) fn user_flags(&self) -> u16 {
        (self.flags.get() >> flag::USER_SHIFT) as u16
    }

    /// The flags of another segment that shows bytes of this one up to `end`: not those of the packet; the end of a
    /// record only if the last byte is among them.
    #[inline]
    pub(crate) fn flags_up_to(&self, end: usize) -> u16 {
        (self.told_up_to(end) >> flag::USER_SHIFT) as u16
    }

    /// The same, where they stand.
    #[inline]
    fn told_up_to(&self, end: usize) -> u32 {
        let packet = if self.has(flag::PKTHDR) { flag::PACKET_MASK } else { 0 };
        let behind = if end < self.len() { flag::END } else { 0 };
        self.flags.get() & flag::USER_MASK & !packet & !behind
    }

    fn packet_flags(&self) -> u32 {
        self.flags.get() & flag::PACKET_MASK
    }

    /// A copy of the header for another packet: `None` if a tag refuses.
    #[inline]
    pub(super) fn copied_header(&self) -> Option<PacketHeader> {
        PacketHeader::copy_of(self)
    }

    #[inline]
    pub(crate) fn has_header(&self) -> bool {
        self.has(flag::PKTHDR)
    }

    /// Whether the storage must not be written, whoever holds it.
    pub(crate) fn is_read_only(&self) -> bool {
        self.has(flag::READ_ONLY)
    }

    /// Whether the mbuf can carry a packet header without another allocation.
    #[inline]
    pub(crate) fn can_carry_header(&self) -> bool {
        self.kind() != StorageKind::Inline || self.has(flag::PKTHDR) || self.len() <= MHLEN
    }

    /// Whether the operation that is being prepared chose this segment.
    pub(crate) fn is_chosen(&self) -> bool {
        self.has(flag::CHOSEN)
    }

    /// The pool the mbuf came from.
    #[inline]
    pub(crate) fn shared(&self) -> &Shared {
        // SAFETY: the zones of a pool have its `Shared` as user pointer, and an object that is out keeps it alive.
        unsafe { &*self.head.user().cast::<Shared>() }
    }

    fn header_place(&self) -> *mut PacketHeader {
        self.area.get().cast()
    }

    /// The packet header, empty if it is fresh.
    #[inline]
    pub(super) fn header(&self) -> &PacketHeader {
        debug_assert!(self.has(flag::PKTHDR));
        if self.has(flag::FRESH) {
            return const { &PacketHeader::EMPTY };
        }
        // SAFETY: initialised by invariant 6; not changed while borrowed (invariant 7).
        unsafe { &*self.header_place() }
    }

    pub(super) fn is_fresh(&self) -> bool {
        self.has(flag::FRESH)
    }

    /// The owner of external, read-only storage, if it is an `O`.
    #[cfg(feature = "bytes")]
    pub(crate) fn owner<O: Send + Sync + 'static>(&self) -> Option<&O> {
        if self.kind() != StorageKind::External || !self.has(flag::READ_ONLY) {
            return None;
        }
        // SAFETY: held by invariant 3, external and read-only as just checked, borrowed with `self`.
        unsafe { storage::owner_ref(NonNull::new(self.storage.get())?) }
    }

    /// Offset of the window in the storage.
    #[cfg(feature = "bytes")]
    pub(crate) fn offset(&self) -> usize {
        self.front()
    }

    /// What disagrees with the invariants that can be checked from here.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let (data, buf, cap) = (self.data.get().addr(), self.buf.get().addr(), self.capacity());
        if data < buf || data - buf > cap || self.len() > cap - (data - buf) {
            return Some("the window is outside of the storage");
        }
        match (self.kind(), self.storage()) {
            (StorageKind::Inline, None) => {
                let base = ptr::from_ref(self).addr();
                let start = base + if self.has(flag::PKTHDR) { HEADER_OFFSET } else { PLAIN_OFFSET };
                if buf != start || buf + cap != base + MSIZE {
                    return Some("the inline area is not where it should be");
                }
            }
            (StorageKind::Inline, Some(_)) | (_, None) => {
                return Some("the kind of storage and the storage disagree");
            }
            (kind, Some(storage)) => {
                if buf != storage.buf.addr() || cap != storage.size as usize {
                    return Some("the bounds are not the storage's");
                }
                if storage.refs.get() == 0 {
                    return Some("the storage is held and has no holders");
                }
                let rests_here = self.has(flag::PAIRED) && kind == StorageKind::Cluster(Class::Cluster);
                let at_rest = rests_here && storage.refs.get() == 1;
                if !at_rest && !self.head.is_marked() {
                    return Some("the mbuf would be freed as if its storage were its own");
                }
            }
        }
        if self.has(flag::END) && self.len() == 0 {
            return Some("a record ends with no bytes");
        }
        if self.has(flag::PKTHDR)
            && !self.has(flag::FRESH)
            && self.header().tags.is_some()
            && !self.head.is_marked()
        {
            return Some("the mbuf would be freed without its tags");
        }
        if self.mbuf_type() != MbufType::Data && !self.head.is_marked() {
            return Some("the mbuf would be freed and stay counted with its type");
        }
        None
    }
}

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
    fn drop(&mut self) {
        // SAFETY: ours alone by invariant 1, and gone after this.
        unsafe { free(self.0) };
    }
}

impl Mbuf {
    pub(super) fn into_raw(self) -> NonNull<RawMbuf> {
        ManuallyDrop::new(self).0
    }

    /// # Safety
    /// As invariant 1 says.
    pub(super) unsafe fn from_raw(mbuf: NonNull<RawMbuf>) -> Self {
        Mbuf(mbuf)
    }

    /// Leave to change the mbuf.
    #[inline]
    pub(crate) fn edit(&mut self) -> Edit<'_> {
        Edit { mbuf: self.0, _of: PhantomData }
    }

    /// An empty mbuf with inline storage of an object of the mbuf zone, `headroom` bytes in front.
    ///
    /// # Safety
    /// The object is one of the pool's mbuf zone, at rest, and nobody else's. `headroom` is at most [`MHLEN`].
    #[inline(always)]
    pub(super) unsafe fn plain(object: Object, header: bool, headroom: usize) -> Self {
        debug_assert!(headroom <= MHLEN);
        let mbuf = object.as_ptr::<RawMbuf>();
        let (offset, flags) = if header {
            (HEADER_OFFSET, flag::PKTHDR | flag::FRESH | flag::TAIL_OWNER | TYPE_DATA)
        } else {
            (PLAIN_OFFSET, flag::TAIL_OWNER | TYPE_DATA)
        };
        // SAFETY: ours, and at rest; the inline area is `MSIZE - offset` bytes from `offset`, at least `MHLEN`.
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

    /// An empty packet mbuf with its cluster, `headroom` bytes in front.
    ///
    /// # Safety
    /// The object is one of the pool's packet zone, at rest, and nobody else's. `headroom` is at most 2048.
    #[inline(always)]
    pub(super) unsafe fn paired(object: Object, headroom: usize) -> Self {
        const FLAGS: u32 =
            flag::PKTHDR | flag::FRESH | flag::TAIL_OWNER | flag::PAIRED | TYPE_DATA | CLUSTER_BITS;
        let mbuf = object.as_ptr::<RawMbuf>();
        // SAFETY: ours, and at rest, so `buf` is that of a 2 KiB cluster.
        unsafe {
            let raw = mbuf.as_ref();
            raw.data.set(raw.buf.get().add(headroom));
            raw.len.set(0);
            raw.flags.set(FLAGS);
        }
        Mbuf(mbuf)
    }

    /// Gives an mbuf with empty inline storage a cluster of its own.
    ///
    /// # Safety
    /// `cluster` is an object of the zone of that class, its count at one, that nobody else has.
    #[inline]
    pub(super) unsafe fn attach(&mut self, cluster: Object, class: Class) {
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
        self.flags.set(self.flags.get() & !flag::KIND_MASK | kind.bits() << flag::KIND_SHIFT);
        self.head.mark();
    }

    /// Gives an mbuf with empty inline storage external storage with an owner, all of it in the window.
    ///
    /// # Safety
    /// `record` is an object of the external zone that nobody else has. The bytes `find` returns live as long as the
    /// owner is neither touched nor dropped; they may be written unless `read_only`.
    pub(super) unsafe fn attach_external<O: Send + 'static>(
        &mut self,
        record: Object,
        owner: O,
        read_only: bool,
        find: impl FnOnce(&mut O) -> (*mut u8, usize),
    ) -> Result<(), (O, usize)> {
        // SAFETY: by this function's contract; the one count of the new storage goes to this mbuf.
        unsafe {
            let storage = storage::init_external(record, owner, find)?;
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
    /// copied, and has to fit. `acquire` counts the new holder.
    ///
    /// # Safety
    /// The object is one of the pool's mbuf zone, at rest, and nobody else's. When `acquire` returns true the count is
    /// larger by one.
    #[inline]
    pub(super) unsafe fn showing(
        object: Object,
        header: bool,
        from: &RawMbuf,
        part: Range<usize>,
        acquire: impl FnOnce(&ShareCount) -> bool,
    ) -> Result<Self, OpError> {
        debug_assert!(part.start < part.end && part.end <= from.len());
        let Some(storage) = from.storage() else {
            // SAFETY: by this function's contract.
            return unsafe { Self::plain(object, header, 0) }.copy_of(from, part);
        };
        if !acquire(&storage.refs) {
            // SAFETY: an object of the mbuf zone that was not used.
            unsafe { put(object, false) };
            return Err(OpError::TooManySharers);
        }
        from.head.mark();
        let mbuf = object.as_ptr::<RawMbuf>();
        // SAFETY: ours. The count just acquired is this mbuf's; the window is a part of the other's, so inside of the
        // storage. The pointer to it is not made of the reference: it has to reach all of the storage, for whoever frees
        // it.
        unsafe {
            let raw = mbuf.as_ref();
            raw.head.mark();
            raw.storage.set(from.storage.get());
            raw.buf.set(from.buf.get());
            raw.cap.set(from.cap.get());
            raw.data.set(from.data.get().add(part.start));
            raw.len.set((part.end - part.start) as u32);
            let header = if header { flag::PKTHDR | flag::FRESH } else { 0 };
            let same = from.flags.get() & (flag::KIND_MASK | flag::READ_ONLY);
            raw.flags.set(header | same | from.told_up_to(part.end) | TYPE_DATA);
        }
        let mut mbuf = Mbuf(mbuf);
        mbuf.edit().set_type(from.type_bits());
        Ok(mbuf)
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
    pub(super) fn add_header(&mut self) {
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
    pub(super) fn take_header(&mut self) -> PacketHeader {
        let mut header = if self.has(flag::FRESH) {
            PacketHeader::EMPTY
        } else {
            // SAFETY: initialised by invariant 6, and never read again.
            unsafe { self.header_place().read() }
        };
        header.flags = self.packet_flags();
        self.flags.set(self.flags.get() & !(flag::PKTHDR | flag::FRESH | flag::PACKET_MASK));
        if self.kind() == StorageKind::Inline {
            // SAFETY: the larger area of a headerless mbuf, of our own.
            self.buf.set(unsafe { self.0.cast::<u8>().as_ptr().add(PLAIN_OFFSET) });
            self.cap.set(MLEN as u32);
        }
        header
    }

    /// Writes a packet header, which the mbuf has room for (`add_header`).
    #[inline(always)]
    pub(super) fn set_header(&mut self, header: PacketHeader) {
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
    pub(super) fn copy_header(&mut self, from: &RawMbuf) -> Result<(), OpError> {
        debug_assert!(self.has(flag::PKTHDR | flag::FRESH));
        let source = from.header();
        let tags = if source.tags.is_some() { self.copied_tags(source)? } else { TagList::EMPTY };
        let header =
            PacketHeader { len: self.len.get(), flags: 0, tail: self.0.as_ptr(), tags, meta: source.meta };
        // SAFETY: the header's place in our own mbuf; what was there is not a header (`FRESH`).
        unsafe { self.header_place().write(header) };
        self.flags.set(self.flags.get() & !flag::FRESH | from.packet_flags());
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

/// A hold on storage, let go when this is dropped.
///
/// # Invariants
/// 1. One count of the storage, which is of that kind, belongs to this value.
pub(crate) struct Released(Option<NonNull<Storage>>, StorageKind);

impl Drop for Released {
    fn drop(&mut self) {
        if let Some(storage) = self.0 {
            // SAFETY: the count is ours (invariant 1) and gone with us.
            unsafe { storage::release(storage, self.1) };
        }
    }
}

const TYPE_DATA: u32 = MbufType::Data as u32;
const CLUSTER_BITS: u32 = StorageKind::Cluster(Class::Cluster).bits() << flag::KIND_SHIFT;

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
    pub(super) unsafe fn new(mbuf: NonNull<RawMbuf>) -> Self {
        Edit { mbuf, _of: PhantomData }
    }

    /// The window, if it may be written.
    #[inline]
    pub(crate) fn bytes_mut(self) -> Option<&'a mut [u8]> {
        if !self.is_writable() {
            return None;
        }
        // SAFETY: initialised and live (invariants 1, 2 of `RawMbuf`); the only holder of its storage, and this the
        // only use of the holder during `'a`.
        Some(unsafe { slice::from_raw_parts_mut(self.data.get(), self.len()) })
    }

    /// Extends the window to the front by `n` bytes of headroom and gives them. They hold old data.
    #[inline]
    pub(crate) fn grow_front(self, n: usize) -> Option<&'a mut [u8]> {
        if n > self.headroom() {
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
    pub(crate) fn grow_back(self, n: usize) -> Option<&'a mut [u8]> {
        if n > self.tailroom() {
            return None;
        }
        let len = self.len();
        self.len.set((len + n) as u32);
        if !self.has(flag::TAIL_OWNER) && self.head.is_marked() && self.is_unique() {
            // Alone again: what is behind the window is nobody else's.
            self.flags.set(self.flags.get() | flag::TAIL_OWNER);
        }
        // SAFETY: `n` bytes of tailroom lie behind, which other holders neither see nor write (invariant 4).
        Some(unsafe { slice::from_raw_parts_mut(self.data.get().add(len), n) })
    }

    /// The tailroom, to be written. It holds old data.
    #[cfg(feature = "bytes")]
    pub(crate) fn spare_mut(self) -> &'a mut [u8] {
        let room = self.tailroom();
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
        if self.head.is_marked() && !self.is_unique() {
            self.flags.set(self.flags.get() & !flag::TAIL_OWNER);
        }
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
            self.change_type(bits);
        }
    }

    #[cold]
    fn change_type(&mut self, bits: u8) {
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

    /// The packet header, made real if it was fresh.
    pub(super) fn header_mut(self) -> &'a mut PacketHeader {
        debug_assert!(self.has(flag::PKTHDR));
        if self.has(flag::FRESH) {
            let empty = PacketHeader { tail: self.mbuf.as_ptr(), ..PacketHeader::EMPTY };
            // SAFETY: the header's place in an mbuf that we may change.
            unsafe { self.header_place().write(empty) };
            self.flags.set(self.flags.get() & !flag::FRESH);
        }
        // SAFETY: initialised by invariant 6; this is the only use of the mbuf during `'a`.
        unsafe { &mut *self.header_place() }
    }

    /// Keeps the mbuf off the inlined free path.
    pub(super) fn mark(&self) {
        self.head.mark();
    }
}

/// Frees one mbuf and its hold on storage; drops its tags.
///
/// # Safety
/// The mbuf is nobody else's, linked to nothing, and never used again.
#[inline(always)]
pub(super) unsafe fn free(mbuf: NonNull<RawMbuf>) {
    // SAFETY: ours. Unmarked, it is at rest but for the window.
    unsafe {
        let raw = mbuf.as_ref();
        if raw.head.is_marked() {
            free_marked(mbuf);
        } else {
            put(Object::new(mbuf.cast()), raw.has(flag::PAIRED));
        }
    }
}

/// The zone's view of an mbuf.
///
/// # Safety
/// The mbuf is out of its zone while the reference lives.
#[inline(always)]
pub(super) unsafe fn as_object<'a>(mbuf: NonNull<RawMbuf>) -> (Object, &'a Head) {
    // SAFETY: live by this function's contract.
    (Object::new(mbuf.cast()), unsafe { &(*mbuf.as_ptr()).head })
}

/// Frees a single, simple mbuf by the shortest path, or returns false and has done nothing.
///
/// # Safety
/// On true the mbuf, which must be nobody else's, is gone.
#[inline(always)]
pub(super) unsafe fn try_free(mbuf: NonNull<RawMbuf>) -> bool {
    // SAFETY: ours; unmarked and unlinked it is at rest but for the window. A mark, or other zones than this thread's
    // last packet zone and last mbuf zone, match no lane.
    unsafe {
        let raw = mbuf.as_ref();
        let object = Object::new(mbuf.cast());
        raw.next.get().is_null()
            && (raw::try_put::<{ lane::PACKET }>(object, &raw.head)
                || raw::try_put::<{ lane::MBUF }>(object, &raw.head))
    }
}

/// # Safety
/// As for [`free`]; the mbuf is marked.
unsafe fn free_marked(mbuf: NonNull<RawMbuf>) {
    // SAFETY: ours.
    let raw = unsafe { mbuf.as_ref() };
    if raw.flags.get() & flag::TYPE_MASK != TYPE_DATA {
        // SAFETY: ours.
        unsafe { Edit::new(mbuf) }.set_type(MbufType::Data as u8);
    }
    if raw.flags.get() & (flag::PKTHDR | flag::FRESH) == flag::PKTHDR && raw.header().tags.is_some() {
        // SAFETY: ours.
        return unsafe { free_tagged(mbuf) };
    }
    // SAFETY: ours, untagged.
    unsafe { free_untagged(mbuf) };
}

/// # Safety
/// As for [`free`]; the mbuf has a header with tags.
#[cold]
unsafe fn free_tagged(mbuf: NonNull<RawMbuf>) {
    // SAFETY: ours; the header is initialised (invariant 6), and never read again: a free mbuf's is none. The tags are
    // dropped last: they may run the user's code.
    unsafe {
        let _tags = (&raw const (*mbuf.as_ref().header_place()).tags).read();
        free_untagged(mbuf);
    }
}

/// # Safety
/// As for [`free`]; the mbuf has no tags that were not taken, and its type is data.
#[inline(always)]
unsafe fn free_untagged(mbuf: NonNull<RawMbuf>) {
    // SAFETY: ours.
    let raw = unsafe { mbuf.as_ref() };
    let object = Object::new(mbuf.cast());
    let (storage, kind) = (NonNull::new(raw.storage.get()), raw.kind());
    if raw.has(flag::PAIRED) {
        // SAFETY: by this function's contract.
        return unsafe { free_paired(raw, object, storage, kind) };
    }
    raw.storage.set(ptr::null_mut());
    raw.head.unmark();
    // Let go of when the mbuf is home: the storage's owner may run the user's code.
    let _storage = Released(storage, kind);
    // SAFETY: at rest: without storage.
    unsafe { put(object, false) };
}

/// Frees a marked mbuf of the packet zone: with its cluster if it holds one alone, or with another one if there is one.
///
/// # Safety
/// As for [`free`]. The storage is the mbuf's, of that kind.
#[inline(never)]
unsafe fn free_paired(raw: &RawMbuf, object: Object, storage: Option<NonNull<Storage>>, kind: StorageKind) {
    if let Some(storage) = storage
        && kind == StorageKind::Cluster(Class::Cluster)
        // SAFETY: held by invariant 3.
        && unsafe { storage.as_ref() }.refs.is_unique()
    {
        raw.head.unmark();
        // SAFETY: at rest but for the window: it holds a 2 KiB cluster alone.
        return unsafe { put(object, true) };
    }
    raw.storage.set(ptr::null_mut());
    raw.head.unmark();
    let _storage = Released(storage, kind);
    let bare = Bare(object);
    // May panic, if the page source does.
    let Some(cluster) = raw.shared().spare_cluster() else { return };
    mem::forget(bare);
    // SAFETY: a cluster that is ours alone; with it the mbuf is at rest.
    unsafe {
        let storage = cluster.as_ptr::<Storage>();
        raw.storage.set(storage.as_ptr());
        raw.buf.set((*storage.as_ptr()).buf);
        raw.cap.set((*storage.as_ptr()).size);
        put(object, true);
    }
}

/// An mbuf of the packet zone that has no cluster, and so is no object of that zone: it goes back to the keg, where
/// the mbuf zone finds it.
struct Bare(Object);

impl Drop for Bare {
    fn drop(&mut self) {
        // SAFETY: made only for an mbuf that is given away, marked no more, without storage.
        unsafe { raw::discard(self.0) };
    }
}

/// # Safety
/// The mbuf is at rest but for its window, and given away.
#[inline]
unsafe fn put(object: Object, paired: bool) {
    // SAFETY: by this function's contract; the object's head is live until it is given away.
    unsafe {
        let head = object.as_ptr::<Head>().as_ref();
        if paired {
            if !raw::try_put::<{ lane::PACKET }>(object, head) {
                raw::put::<{ lane::PACKET }>(object);
            }
        } else if !raw::try_put::<{ lane::MBUF }>(object, head) {
            raw::put::<{ lane::MBUF }>(object);
        }
    }
}

/// Brings a slot of the mbuf keg to rest, for the mbuf zone or (with a cluster) for the packet zone.
///
/// # Safety
/// The slot is out of the keg and nobody else's; it is zeroed or was an mbuf. The cluster is given to it.
pub(super) unsafe fn init(object: Object, cluster: Option<Object>) {
    let raw = object.as_ptr::<RawMbuf>();
    // SAFETY: ours; all zero bytes are an mbuf without storage.
    unsafe {
        let raw = raw.as_ref();
        raw.next.set(ptr::null_mut());
        raw.next_packet.set(ptr::null_mut());
        raw.flags.set(0);
        raw.len.set(0);
        let storage = cluster.map_or(ptr::null_mut(), |c| c.as_ptr::<Storage>().as_ptr());
        raw.storage.set(storage);
        if let Some(storage) = storage.as_ref() {
            raw.buf.set(storage.buf);
            raw.cap.set(storage.size);
        }
    }
}

/// Takes the cluster of a free mbuf of the packet zone, if it has one.
///
/// # Safety
/// The mbuf is free and nobody else's.
pub(super) unsafe fn fini(object: Object) -> Option<Object> {
    // SAFETY: ours.
    let raw = unsafe { object.as_ptr::<RawMbuf>().as_ref() };
    let storage = NonNull::new(raw.storage.replace(ptr::null_mut()))?;
    Some(Object::new(storage.cast()))
}

/// Breaks mbufs on purpose, to see that `check` finds it.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Chain, Corruption, Packet, Pool};

    /// A packet of three segments: a cluster, a shared cluster, inline data.
    fn packet(pool: &Pool) -> Packet {
        let mut packet = Packet::from_slice(pool, &[1; 1900]).unwrap();
        packet.append(Packet::from_slice(pool, &[2; 1984]).unwrap().share().unwrap()).unwrap();
        packet.append(Chain::from_slice(pool, &[3; 100]).unwrap()).unwrap();
        assert_eq!((packet.segment_count(), packet.check()), (3, Ok(())));
        packet
    }

    /// Breaks segment `n`, says what `check` finds, and mends it.
    fn broken(n: usize, with: impl Fn(&RawMbuf) -> u32, set: impl Fn(&RawMbuf, u32)) -> Corruption {
        let pool = Pool::new();
        let packet = packet(&pool);
        let seg = packet.segs().nth(n).unwrap();
        let old = with(seg);
        let found = packet.check().expect_err("it was broken");
        set(seg, old);
        assert_eq!(packet.check(), Ok(()));
        found
    }

    fn fault(corruption: Corruption) -> (usize, &'static str) {
        match corruption {
            Corruption::Segment { segment, fault } => (segment, fault),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_window_beyond_its_storage_is_found() {
        for n in 0..3 {
            let found = broken(n, |seg| seg.len.replace(seg.cap.get() + 1), |seg, old| seg.len.set(old));
            assert_eq!(fault(found), (n, "the window is outside of the storage"));
        }
    }

    #[test]
    fn bounds_that_are_not_the_storages_are_found() {
        let found = broken(1, |seg| seg.cap.replace(2049), |seg, old| seg.cap.set(old));
        assert_eq!(fault(found), (1, "the bounds are not the storage's"));
        let found = broken(2, |seg| seg.cap.replace(183), |seg, old| seg.cap.set(old));
        assert_eq!(fault(found), (2, "the inline area is not where it should be"));
    }

    #[test]
    fn a_wrong_kind_of_storage_is_found() {
        let inline = |seg: &RawMbuf| seg.flags.replace(seg.flags.get() & !flag::KIND_MASK);
        let found = broken(1, inline, |seg, old| seg.flags.set(old));
        assert_eq!(fault(found), (1, "the kind of storage and the storage disagree"));
        let cluster = |seg: &RawMbuf| seg.flags.replace(seg.flags.get() | CLUSTER_BITS);
        let found = broken(2, cluster, |seg, old| seg.flags.set(old));
        assert_eq!(fault(found), (2, "the kind of storage and the storage disagree"));
    }

    #[test]
    fn a_lost_mark_and_a_lost_count_are_found() {
        let unmark = |seg: &RawMbuf| {
            seg.head.unmark();
            0
        };
        let found = broken(1, unmark, |seg, _| seg.head.mark());
        assert_eq!(fault(found), (1, "the mbuf would be freed as if its storage were its own"));
        let lose = |seg: &RawMbuf| {
            let count = seg.storage().unwrap().refs.get();
            seg.storage().unwrap().refs.set(0);
            count
        };
        let found = broken(1, lose, |seg, old| seg.storage().unwrap().refs.set(old));
        assert_eq!(fault(found), (1, "the storage is held and has no holders"));
    }

    #[test]
    fn a_type_that_would_stay_counted_is_found() {
        let retype = |seg: &RawMbuf| seg.flags.replace(seg.flags.get() + 1);
        let found = broken(2, retype, |seg, old| seg.flags.set(old));
        assert_eq!(fault(found), (2, "the mbuf would be freed and stay counted with its type"));
    }

    #[test]
    fn a_header_in_the_middle_an_empty_segment_and_a_forgotten_choice_are_found() {
        let header = |seg: &RawMbuf| seg.flags.replace(seg.flags.get() | flag::PKTHDR | flag::FRESH);
        let found = broken(1, header, |seg, old| seg.flags.set(old));
        assert_eq!(found, Corruption::Header { segment: 1, present: true });
        let found = broken(2, |seg| seg.len.replace(0), |seg, old| seg.len.set(old));
        assert_eq!(found, Corruption::Empty { segment: 2 });
        let chosen = |seg: &RawMbuf| seg.flags.replace(seg.flags.get() | flag::CHOSEN);
        let found = broken(0, chosen, |seg, old| seg.flags.set(old));
        assert_eq!(found, Corruption::Linked { segment: 0 });
    }

    #[test]
    fn a_wrong_total_a_wrong_tail_and_a_missing_header_are_found() {
        let pool = Pool::new();
        let mut packet = packet(&pool);
        packet.header_mut().len += 1;
        assert_eq!(packet.check(), Err(Corruption::Length { header: 3985, segments: 3984 }));
        packet.header_mut().len -= 1;
        let first = ptr::from_ref(packet.first()).cast_mut();
        let tail = core::mem::replace(&mut packet.header_mut().tail, first);
        assert_eq!(packet.check(), Err(Corruption::Tail));
        packet.header_mut().tail = tail;
        let flags = packet.first().flags.replace(packet.first().flags.get() & !flag::PKTHDR);
        assert_eq!(packet.check(), Err(Corruption::Header { segment: 0, present: false }));
        packet.first().flags.set(flags);
        assert_eq!(packet.check(), Ok(()));
    }

    #[test]
    fn storage_that_cannot_be_counted_refuses_another_sharer() {
        let pool = Pool::new();
        let packet = packet(&pool);
        let storage = packet.segs().nth(1).unwrap().storage().unwrap();
        storage.refs.set(1 << 31);
        assert_eq!(packet.share().map(drop), Err(OpError::TooManySharers));
        storage.refs.set(1);
        assert_eq!(packet.check(), Ok(()));
        drop(packet);
        assert_eq!(pool.stats().mbufs.current, 0);
    }
}
