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
//! no storage; one of a packet zone has a cluster of that zone's class, which it alone holds, with `buf` and `cap` set
//! for it.
//! The packet header is not cleared on allocation, nor written as long as the packet is one mbuf that says nothing but its
//! bytes: the flag `FRESH` stands for it.
#![allow(unsafe_code)]

mod edit;
#[cfg(feature = "ffi")]
#[allow(clippy::expect_used, reason = "an address within an mbuf is not null")]
pub(in crate::raw) mod foreign;
mod free;
mod hold;
#[cfg(feature = "ffi")]
pub(in crate::raw) mod lent;
mod owned;
#[cfg(feature = "ffi")]
pub(in crate::raw) mod short;
#[cfg(test)]
mod tests;

use core::cell::{Cell, UnsafeCell};
use core::mem::{offset_of, size_of};
use core::ptr;
use core::slice;

use mbuf_zone::raw::Head;

use super::storage::{Storage, StorageKind};
use super::zones::Shared;
use crate::check::ChainFault;
use crate::config::{HEADER_OFFSET, MHLEN, MLEN, MSIZE, PLAIN_OFFSET};
use crate::meta::{MbufType, Meta};
use crate::pool::LifeEvent;
use crate::tag::TagList;

pub(crate) use edit::Edit;
pub(crate) use free::Released;
pub(super) use free::{as_object, fini, free, free_rarer, init, try_free};
pub(crate) use hold::{Hold, Sole};
pub(crate) use owned::Mbuf;

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

/// Bits of `flags` above the type. Those from [`EXT`](flag::EXT) up are what C calls `m_flags`, which it may overwrite;
/// those below are the library's, and C has no name for them.
pub(crate) mod flag {
    pub(crate) const TYPE_MASK: u32 = 0xf;
    /// An operation that is being prepared will replace this segment. Never set between operations.
    pub(crate) const CHOSEN: u32 = 1 << 4;
    /// Whatever the bytes of the packet header are, it reads as that of a packet of this one mbuf without metadata and
    /// tags. Set where there is none, too: so reads one that is put there.
    pub(crate) const FRESH: u32 = 1 << 5;
    /// This holder may write behind its window even while the storage is shared.
    pub(crate) const TAIL_OWNER: u32 = 1 << 6;
    /// The mbuf belongs to a packet zone, for life.
    pub(crate) const PAIRED: u32 = 1 << 7;
    /// The mbuf is free. Kept for C, which may name it all the same.
    #[cfg(feature = "ffi")]
    pub(crate) const FREE: u32 = 1 << 8;
    /// [`StorageKind`](super::StorageKind), three bits; and once more for C, whether there is storage.
    pub(crate) const KIND_SHIFT: u32 = 9;
    pub(crate) const EXT: u32 = 1 << 12;
    pub(crate) const KIND_MASK: u32 = 7 << KIND_SHIFT | EXT;
    /// A packet header is there.
    pub(crate) const PKTHDR: u32 = 1 << 13;
    /// Flags that users see and set, sixteen bits.
    pub(crate) const USER_SHIFT: u32 = 14;
    pub(crate) const USER_MASK: u32 = 0xffff << USER_SHIFT;
    /// The last byte of the window is the last of a record. Never set on an empty window.
    pub(crate) const END: u32 = 1 << USER_SHIFT;
    /// Those that, with a packet header, say something of the packet, and go where the header goes.
    pub(crate) const PACKET_MASK: u32 = 0xfffe << USER_SHIFT;
    /// The storage must not be written.
    pub(crate) const READ_ONLY: u32 = 1 << 30;
    /// Storage that C attached by hand is that of an owner who counts the holders.
    #[cfg(feature = "ffi")]
    pub(crate) const COUNTED: u32 = 1 << 31;
}

/// An mbuf in memory.
///
/// # Invariants
/// 1. `buf..buf + cap` is initialised memory that lives as long as the mbuf holds its storage: the inline area from
///    72 or (with a packet header) 152 if `storage` is null, otherwise the storage's bytes. Kind bits agree.
/// 2. The window `data..data + len` lies within `buf..buf + cap`.
/// 3. If `storage` is not null the mbuf is one of its `refs`.
/// 4. At most one holder of a storage has `TAIL_OWNER`, and then no other holder's window ends behind that one's.
/// 5. The mark is set if the storage is shared, is not the one the mbuf rests with, tags are attached, the type is
///    another than data, which alone is not counted, or the audit has a record of it. It stays when that is over, until
///    somebody looks who may change the mbuf.
/// 6. Without `FRESH` there is `PKTHDR`, and the header is an initialised [`PacketHeader`].
/// 7. Through a shared reference nothing changes but the mark. Changes are made by whoever owns the mbuf, or borrows
///    it mutably ([`Edit`]).
#[repr(C, align(64))]
pub(crate) struct RawMbuf {
    pub(in crate::raw) head: Head,
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
        StorageKind::from_bits(self.flags.get() >> flag::KIND_SHIFT & 7)
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
        // An unmarked mbuf's storage is not shared (invariant 5).
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

    /// Says that the mbuf is free, before it is, if C may ask.
    #[inline(always)]
    pub(in crate::raw) fn note_free(&self) {
        #[cfg(feature = "ffi")]
        self.flags.set(self.flags.get() | flag::FREE);
    }

    pub(crate) fn type_bits(&self) -> u8 {
        (self.flags.get() & flag::TYPE_MASK) as u8
    }

    /// Whether the mbuf is of the type and with the kind of storage that it rests with, and has no tags and no record: then
    /// it needs a mark only while its storage is shared.
    fn is_plain(&self) -> bool {
        let rests = match self.kind() {
            StorageKind::Inline => !self.has(flag::PAIRED),
            StorageKind::Cluster(class) => self.shared().home(&self.head) == Some(class),
            StorageKind::External => false,
        } && self.flags.get() & flag::TYPE_MASK == TYPE_DATA;
        rests && self.track.get() == 0 && !(self.has(flag::PKTHDR) && self.header().tags.is_some())
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

    /// The address, by which others know the mbuf.
    pub(crate) fn address(&self) -> usize {
        ptr::from_ref(self).addr()
    }

    /// The storage that a free mbuf keeps.
    pub(super) fn resting_storage(&self) -> Option<ptr::NonNull<Storage>> {
        ptr::NonNull::new(self.storage.get())
    }

    /// The data area of a free mbuf, as far as nothing rests there: with storage, the place of the packet header alone, for
    /// behind that may be what C sees of the storage.
    ///
    /// # Safety
    /// The mbuf is free and nobody else's while the slice is in use.
    pub(super) unsafe fn resting_area<'a>(mbuf: ptr::NonNull<Self>) -> &'a mut [u8] {
        // SAFETY: ours by this function's contract; bytes all of which are initialised, for slabs are zeroed once, and a
        // header has no padding.
        unsafe {
            let has_storage = mbuf.as_ref().has_storage();
            let area = &mut (*(*mbuf.as_ptr()).area.get()).0;
            if has_storage { &mut area[..HEADER_OFFSET - PLAIN_OFFSET] } else { area }
        }
    }

    /// Says of an mbuf that is about to be handed out, or came back, whether the audit has a record of it. One that has is
    /// marked, so that it is not freed by the short way.
    ///
    /// # Safety
    /// The mbuf is nobody else's.
    pub(super) unsafe fn set_track(mbuf: ptr::NonNull<Self>, recorded: bool) {
        // SAFETY: ours by this function's contract.
        let raw = unsafe { mbuf.as_ref() };
        raw.track.set(recorded.into());
        if recorded {
            raw.head.mark();
        }
    }

    /// Tells the audit that the mbuf, which has a record, is about to be freed.
    #[cold]
    fn end_record(&self) {
        self.track.set(0);
        self.shared().inspector.auditor.freed(self.address());
    }

    /// Tells the audit what happens, if the mbuf has a record.
    #[inline]
    pub(crate) fn note(&self, event: LifeEvent) {
        if self.track.get() != 0 {
            self.note_record(event);
        }
    }

    /// Tells the audit who has the mbuf, if it has a record.
    pub(crate) fn claim(&self, owner: &'static str, id: u32) {
        if self.track.get() != 0 {
            self.shared().inspector.auditor.claim(self.address(), owner, id);
        }
    }

    #[cold]
    fn note_record(&self, event: LifeEvent) {
        self.shared().inspector.auditor.note(self.address(), event);
    }

    fn header_place(&self) -> *mut PacketHeader {
        self.area.get().cast()
    }

    /// The packet header, empty if it is fresh; its `len` is not to be relied on then.
    #[inline]
    pub(crate) fn header(&self) -> &PacketHeader {
        debug_assert!(self.has(flag::PKTHDR));
        if self.has(flag::FRESH) {
            return const { &PacketHeader::EMPTY };
        }
        // SAFETY: initialised by invariant 6; not changed while borrowed (invariant 7).
        unsafe { &*self.header_place() }
    }

    /// Bytes of the packet, if the header says it: otherwise they are the window's.
    #[inline]
    pub(super) fn packet_len(&self) -> Option<usize> {
        if self.has(flag::FRESH) { None } else { Some(self.header().len as usize) }
    }

    #[inline]
    pub(crate) fn is_fresh(&self) -> bool {
        self.has(flag::FRESH)
    }

    /// The owner of external, read-only storage, if it is an `O`.
    #[cfg(feature = "bytes")]
    pub(crate) fn owner<O: Send + Sync + 'static>(&self) -> Option<&O> {
        if self.kind() != StorageKind::External || !self.has(flag::READ_ONLY) {
            return None;
        }
        // SAFETY: held by invariant 3 and external, borrowed with `self`; a read-only owner is only ever borrowed shared
        // (`from_owner`).
        unsafe { super::storage::owner_ref(ptr::NonNull::new(self.storage.get())?) }
    }

    /// Offset of the window in the storage.
    #[cfg(feature = "bytes")]
    pub(crate) fn offset(&self) -> usize {
        self.front()
    }

    /// What disagrees with the invariants that can be checked from here.
    pub(crate) fn fault(&self) -> Option<ChainFault> {
        let (data, buf, capacity, len) =
            (self.data.get().addr(), self.buf.get().addr(), self.capacity(), self.len());
        if data < buf || data - buf > capacity || len > capacity - (data - buf) {
            return Some(ChainFault::Window { data, len, buf, capacity });
        }
        let (storage, size) = match (self.kind(), self.storage()) {
            (StorageKind::Inline, None) => {
                let offset = if self.has(flag::PKTHDR) { HEADER_OFFSET } else { PLAIN_OFFSET };
                (self.address() + offset, MSIZE - offset)
            }
            (flags @ StorageKind::Inline, Some(_)) => return Some(ChainFault::Kind { flags, storage: true }),
            (flags, None) => return Some(ChainFault::Kind { flags, storage: false }),
            (_, Some(storage)) => (storage.buf.addr(), storage.size as usize),
        };
        if (buf, capacity) != (storage, size) {
            return Some(ChainFault::Bounds { buf, capacity, storage, size });
        }
        if self.share_count() == 0 {
            return Some(ChainFault::NoHolders);
        }
        if self.has(flag::END) && len == 0 {
            return Some(ChainFault::EmptyRecord);
        }
        if self.head.is_marked() {
            return None;
        }
        let (kind, sharers) = (self.kind(), self.share_count());
        // An unmarked one is of the packet zone whose class it shows, if it has storage.
        let rests_here = || self.shared().home(&self.head).map(StorageKind::Cluster) == Some(kind);
        if self.has_storage() && !(sharers == 1 && rests_here()) {
            return Some(ChainFault::UnmarkedStorage { kind, sharers });
        }
        if self.has(flag::PKTHDR) && !self.has(flag::FRESH) && self.header().tags.is_some() {
            return Some(ChainFault::UnmarkedTags);
        }
        let bits = self.type_bits();
        (bits != TYPE_DATA as u8).then_some(ChainFault::UnmarkedType { bits })
    }
}

/// Nobody looks.
#[cfg(not(feature = "ffi"))]
impl RawMbuf {
    fn publish(&self) {}
    fn publish_as(&self, _: &RawMbuf) {}
}

const TYPE_DATA: u32 = MbufType::Data as u32;

/// A kind in `flags`.
const fn kind_bits(kind: StorageKind) -> u32 {
    let ext = if matches!(kind, StorageKind::Inline) { 0 } else { flag::EXT };
    kind.bits() << flag::KIND_SHIFT | ext
}
