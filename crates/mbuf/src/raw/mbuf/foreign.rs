//! What C sees of an mbuf beside its links and its window, and how much is believed of what it left there.
//!
//! C reads and writes `m_next`, `m_nextpkt`, `m_data`, `m_len`, `m_type`, `m_flags`, the packet header, and behind it
//! `m_ext`, a copy of what the library itself keeps of the storage. Everything else has no name in C, and is believed:
//! where the bytes really are, whose they are, and how the mbuf comes to rest (design note 0009).
#![allow(unsafe_code)]

use core::fmt;
use core::mem::{offset_of, size_of};
use core::ptr::NonNull;

use super::lent::{Ext, adopt};
use super::{Edit, PacketHeader, RawMbuf, TYPE_DATA, flag};
use crate::config::{HEADER_OFFSET, MSIZE, PLAIN_OFFSET};
use crate::error::OpError;
use crate::meta::{MbufType, Meta};
use crate::pool::Shared;
use crate::raw::storage;

/// An mbuf as C names it.
#[repr(transparent)]
pub struct CMbuf(pub(in crate::raw) RawMbuf);

/// Where C looks: `mbuf.h` of the crate `mbuf-ffi`, and its test `layout.c`.
#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(offset_of!(RawMbuf, next) == 16 && offset_of!(RawMbuf, next_packet) == 24);
    assert!(
        offset_of!(RawMbuf, data) == 32 && offset_of!(RawMbuf, len) == 40 && offset_of!(RawMbuf, flags) == 44
    );
    assert!(offset_of!(RawMbuf, storage) == 48 && offset_of!(RawMbuf, buf) == 56);
    assert!(offset_of!(RawMbuf, cap) == 64 && offset_of!(RawMbuf, track) == 68);
    assert!(PLAIN_OFFSET == 72 && HEADER_OFFSET == 152 && size_of::<Ext>() == 48);
    assert!(offset_of!(PacketHeader, len) == 0 && offset_of!(PacketHeader, tail) == 8);
    assert!(offset_of!(PacketHeader, tags) == 16 && offset_of!(PacketHeader, meta) == 24);
    assert!(offset_of!(Meta, interface) == 0 && offset_of!(Meta, checksum_flags) == 4);
    assert!(offset_of!(Meta, checksum_data) == 8 && offset_of!(Meta, tso_segment) == 12);
    assert!(offset_of!(Meta, vlan_tag) == 14 && offset_of!(Meta, flow_id) == 16);
    assert!(offset_of!(Meta, hash_type) == 20 && offset_of!(Meta, timestamp_kind) == 21);
    assert!(
        offset_of!(Meta, l2_len) == 22 && offset_of!(Meta, l4_len) == 24 && offset_of!(Meta, l3_len) == 26
    );
    assert!(offset_of!(Meta, priority) == 28 && offset_of!(Meta, timestamp) == 32);
    assert!(offset_of!(Meta, user) == 40 && offset_of!(Meta, scratch) == 48);
    assert!(flag::EXT == 1 << 12 && flag::PKTHDR == 1 << 13 && flag::END == 1 << 14);
    assert!(flag::FRESH == 1 << 5 && flag::FREE == 1 << 8);
    assert!(flag::READ_ONLY == 1 << 30 && flag::COUNTED == 1 << 31 && flag::TYPE_MASK == 0xf);
};

/// What is wrong with an mbuf that C gave us.
#[derive(Clone, Copy)]
pub struct Fault {
    /// The mbuf that is wrong, or where one should be.
    pub mbuf: *const CMbuf,
    /// The field that says so.
    pub field: &'static str,
    /// What is wrong with it.
    pub wrong: Wrong,
}

/// What can be wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// The address is none that an mbuf can have.
    Misaligned,
    /// There is no mbuf of ours.
    Unknown,
    /// The mbuf was freed.
    Freed,
    /// The chain comes back to this mbuf.
    Loop,
    /// The other chain given comes to this mbuf, too.
    Common,
    /// The window begins outside of the storage: so many bytes behind its start (or in front of it), of so many.
    Start(isize, usize),
    /// The window ends outside of the storage: length, and most it could be.
    End(i32, usize),
    /// The flag was cleared, but the storage is still there.
    Ext,
    /// What is in `m_ext`, or is to be attached, is no storage.
    NoStorage,
    /// There is storage already.
    Storage,
    /// A buffer of a pool's, by a copy of another mbuf's `m_ext` that nobody counted.
    Uncounted,
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mbuf {:p}: {}: ", self.mbuf, self.field)?;
        match self.wrong {
            Wrong::Misaligned => f.write_str("not the address of an mbuf"),
            Wrong::Unknown => f.write_str("not an mbuf of this library"),
            Wrong::Freed => f.write_str("the mbuf is free"),
            Wrong::Loop => f.write_str("the chain comes back to this mbuf"),
            Wrong::Common => f.write_str("both chains given have this mbuf"),
            Wrong::Start(offset, size) => {
                write!(f, "{offset} bytes behind the start of storage of {size} bytes")
            }
            Wrong::End(len, most) => write!(f, "{len} bytes, but there are {most} to the end of the storage"),
            Wrong::Ext => f.write_str("M_EXT was cleared, but the mbuf still has storage"),
            Wrong::NoStorage => f.write_str("no storage: a null pointer, or more than INT_MAX bytes"),
            Wrong::Storage => f.write_str("the mbuf has storage already"),
            Wrong::Uncounted => {
                f.write_str("a copy of what another mbuf holds: m_copym and its like share a pool's buffer")
            }
        }
    }
}

impl RawMbuf {
    pub(in crate::raw) fn head(&self) -> &mbuf_zone::raw::Head {
        &self.head
    }

    /// Zeroes the inline area of a headerless mbuf.
    ///
    /// # Safety
    /// The caller's alone.
    pub(in crate::raw) unsafe fn clear(&self) {
        // SAFETY: the inline area of an mbuf that nobody else uses.
        unsafe { self.area.get().write_bytes(0, 1) };
    }

    pub(in crate::raw) fn data_address(&self) -> *mut u8 {
        self.data.get()
    }

    /// Where the bytes may be, and how many, whatever C did to the flags.
    fn bounds(&self) -> (NonNull<u8>, usize) {
        if let Some(buf) = NonNull::new(self.buf.get()).filter(|_| self.has_storage()) {
            return (buf, self.cap.get() as usize);
        }
        let offset = if self.has(flag::PKTHDR) { HEADER_OFFSET } else { PLAIN_OFFSET };
        // SAFETY: within this mbuf; the area may be changed through a shared reference.
        let buf = unsafe { self.area.get().cast::<u8>().add(offset - PLAIN_OFFSET) };
        (NonNull::new(buf).expect("within an mbuf"), MSIZE - offset)
    }

    /// Whether C gave the mbuf storage or a header by hand.
    pub(in crate::raw) fn is_made_by_hand(&self) -> bool {
        self.is_by_hand() || self.flags.get() & (flag::PKTHDR | flag::FRESH) == flag::PKTHDR | flag::FRESH
    }

    pub(super) fn is_by_hand(&self) -> bool {
        self.has(flag::EXT) && !self.has_storage()
    }

    /// Whether the mbuf is in use, its window within its storage, and header and storage are as the library made them: most are.
    /// Then nothing is wrong with it.
    #[inline(always)]
    pub(super) fn is_sound(&self) -> bool {
        const HEADER: u32 = flag::PKTHDR | flag::FRESH;
        let flags = self.flags.get();
        let header = flags & (HEADER | flag::FREE);
        (header == flag::PKTHDR || header == flag::FRESH)
            && (flags & flag::EXT != 0) == self.has_storage()
            && self.look_at(self.buf.get().addr(), self.capacity()).is_none()
    }

    /// Whether there is nothing to [`settle`], either: it is as it rests, but for its window and its header.
    #[inline(always)]
    fn is_settled(&self) -> bool {
        self.is_sound() && !self.head.is_marked() && self.is_data() && !self.has_tags()
    }

    pub(super) fn is_data(&self) -> bool {
        self.flags.get() & flag::TYPE_MASK == TYPE_DATA
    }

    pub(super) fn has_tags(&self) -> bool {
        self.has(flag::PKTHDR) && self.header().tags.is_some()
    }

    /// What is wrong with the fields that C may write. Storage that it attached by hand is looked at when it is adopted.
    fn look(&self) -> Option<(&'static str, Wrong)> {
        if self.has(flag::FREE) {
            return Some(("m_type", Wrong::Freed));
        }
        if self.is_by_hand() {
            return None;
        }
        if self.has_storage() && !self.has(flag::EXT) {
            return Some(("m_flags", Wrong::Ext));
        }
        let (buf, cap) = self.bounds();
        self.look_at(buf.addr().get(), cap)
    }

    #[inline(always)]
    pub(super) fn look_at(&self, buf: usize, cap: usize) -> Option<(&'static str, Wrong)> {
        let start = self.data.get().addr().wrapping_sub(buf);
        if start > cap {
            return Some(("m_data", Wrong::Start(start as isize, cap)));
        }
        if self.len() > cap - start {
            return Some(("m_len", Wrong::End(self.len.get() as i32, cap - start)));
        }
        None
    }
}

/// The mbuf that C names, if it is one of ours and in use and its window is within its storage. Nothing is changed.
///
/// # Safety
/// The pointer is to memory that may be read, if it is aligned as an mbuf is, and nobody else changes it meanwhile.
#[inline]
pub(in crate::raw) unsafe fn look(
    pool: &Shared,
    mbuf: *mut RawMbuf,
    field: &'static str,
) -> Result<NonNull<RawMbuf>, Fault> {
    // SAFETY: by this function's contract.
    unsafe {
        match known(pool, mbuf) {
            Some(place) if place.as_ref().is_sound() => Ok(place),
            _ => look_closely(pool, mbuf, field),
        }
    }
}

/// The mbuf that C names, if it is one of ours.
///
/// # Safety
/// As for [`look`].
#[inline(always)]
unsafe fn known(pool: &Shared, mbuf: *mut RawMbuf) -> Option<NonNull<RawMbuf>> {
    let place = NonNull::new(mbuf).filter(|place| place.is_aligned())?;
    // SAFETY: by this function's contract; all of its fields are plain numbers.
    pool.knows(unsafe { &(*place.as_ptr()).head }).then_some(place)
}

/// The mbuf that C names, if there is nothing wrong with it and nothing made by hand.
///
/// # Safety
/// As for [`look`].
#[inline]
pub(in crate::raw) unsafe fn look_sound(pool: &Shared, mbuf: *mut RawMbuf) -> Option<NonNull<RawMbuf>> {
    // SAFETY: by this function's contract.
    unsafe { known(pool, mbuf).filter(|place| place.as_ref().is_sound()) }
}

/// The same, and none behind it.
///
/// # Safety
/// As for [`look`].
#[inline]
pub(in crate::raw) unsafe fn look_single(pool: &Shared, mbuf: *mut RawMbuf) -> Option<NonNull<RawMbuf>> {
    // SAFETY: by this function's contract.
    unsafe { look_sound(pool, mbuf).filter(|place| place.as_ref().next.get().is_null()) }
}

/// The mbuf that C names, if there is nothing wrong with it, and nothing to [`settle`].
///
/// # Safety
/// As for [`look`].
#[inline]
pub(in crate::raw) unsafe fn look_settled(pool: &Shared, mbuf: *mut RawMbuf) -> Option<NonNull<RawMbuf>> {
    // SAFETY: by this function's contract.
    unsafe { known(pool, mbuf).filter(|place| place.as_ref().is_settled()) }
}

/// # Safety
/// As for [`look`].
#[cold]
unsafe fn look_closely(
    pool: &Shared,
    mbuf: *mut RawMbuf,
    field: &'static str,
) -> Result<NonNull<RawMbuf>, Fault> {
    let fault = |field, wrong| Fault { mbuf: mbuf.cast(), field, wrong };
    if !NonNull::new(mbuf).is_some_and(NonNull::is_aligned) {
        return Err(fault(field, Wrong::Misaligned));
    }
    // SAFETY: by this function's contract.
    let Some(place) = (unsafe { known(pool, mbuf) }) else { return Err(fault(field, Wrong::Unknown)) };
    // SAFETY: as above.
    match unsafe { place.as_ref() }.look() {
        Some((field, wrong)) => Err(fault(field, wrong)),
        None => Ok(place),
    }
}

/// The same for an mbuf that is to be freed: whatever its window is, and whether or not it is said to have storage.
///
/// # Safety
/// As for [`look`], and it is the caller's if it is one of ours.
pub(in crate::raw) unsafe fn look_to_free(
    pool: &Shared,
    mbuf: *mut RawMbuf,
) -> Result<NonNull<RawMbuf>, Fault> {
    // SAFETY: by this function's contract.
    match unsafe { look(pool, mbuf, "the mbuf given") } {
        Err(Fault { wrong: Wrong::Start(..) | Wrong::End(..) | Wrong::Ext, .. }) => {
            // SAFETY: one of ours, as these were found.
            Ok(unsafe { NonNull::new_unchecked(mbuf) })
        }
        other => other,
    }
}

/// The mbuf that C names, if there is nothing wrong with it, and no more to do before it is freed than to mark it if it has
/// tags, which is done.
///
/// # Safety
/// As for [`look_to_free`].
#[inline]
pub(in crate::raw) unsafe fn look_simple_to_free(
    pool: &Shared,
    mbuf: *mut RawMbuf,
) -> Option<NonNull<RawMbuf>> {
    // SAFETY: by this function's contract.
    unsafe { known(pool, mbuf) }.filter(|place| {
        // SAFETY: as above.
        let raw = unsafe { place.as_ref() };
        // A type that C wrote is counted first, or freeing would take it off a count where it is not.
        let simple = raw.is_sound() && (raw.is_data() || raw.head.is_marked());
        if simple && raw.has_tags() {
            raw.head.mark();
        }
        simple
    })
}

/// Brings an mbuf that C had back to what the library expects of one, after [`look`].
///
/// # Safety
/// The mbuf is the caller's alone, and was just looked at.
pub(in crate::raw) unsafe fn settle(pool: &Shared, place: NonNull<RawMbuf>) -> Result<(), Settle> {
    // SAFETY: ours.
    let raw = unsafe { place.as_ref() };
    if raw.is_by_hand() {
        // SAFETY: ours.
        unsafe { adopt(pool, place) }?;
    }
    if let Some(storage) = NonNull::new(raw.storage.get()) {
        if raw.head.is_marked() && !raw.is_unique() {
            // Where the window ended before is not known.
            raw.flags.set(raw.flags.get() & !flag::TAIL_OWNER);
        }
        // SAFETY: held by the mbuf, of the kind that its bits without a name say.
        if unsafe { storage::is_read_only(storage, raw.kind()) } {
            raw.flags.set(raw.flags.get() | flag::READ_ONLY);
        }
    } else {
        let (buf, cap) = raw.bounds();
        raw.buf.set(buf.as_ptr());
        raw.cap.set(cap as u32);
    }
    settle_header(raw);
    let bits = raw.type_bits();
    if bits != MbufType::Data as u8 && !raw.head.is_marked() {
        // Not counted yet (invariant 5).
        raw.flags.set(raw.flags.get() & !flag::TYPE_MASK | TYPE_DATA);
        // SAFETY: ours.
        unsafe { Edit::new(place) }.set_type(bits);
    }
    Ok(())
}

/// Makes the header what the flags say.
fn settle_header(raw: &RawMbuf) {
    if !raw.has(flag::PKTHDR) {
        return raw.flags.set(raw.flags.get() | flag::FRESH);
    }
    let header = raw.header_place();
    if raw.has(flag::FRESH) {
        // Set by hand: what C wrote there counts, and it has no tags, whatever is where they would be.
        // SAFETY: the header's place in an mbuf of ours; all its fields but this are numbers.
        unsafe { (&raw mut (*header).tags).write(crate::tag::TagList::EMPTY) };
        raw.flags.set(raw.flags.get() & !flag::FRESH);
    }
    // SAFETY: initialised, as it is not fresh.
    if unsafe { (*header).tags.is_some() } {
        raw.head.mark();
    }
}

/// Why an mbuf of C's could not be settled.
pub(in crate::raw) enum Settle {
    Fault(Fault),
    Dry(OpError),
}
