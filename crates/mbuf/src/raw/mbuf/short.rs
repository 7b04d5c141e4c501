//! What the short ways of C do to one mbuf: it is made, shared or freed where everything is as it is most often.
#![allow(unsafe_code)]

use core::mem::size_of;
use core::ptr::{self, NonNull};

use mbuf_zone::raw::{Home, Object, put_or, take_or};

use super::foreign::CMbuf;
use super::lent::Ext;
use super::{Mbuf, PacketHeader, RawMbuf, flag};
use crate::config::{Class, HEADER_OFFSET, PLAIN_OFFSET};
use crate::raw::lane;
use crate::raw::short::Names;
use crate::raw::storage::{Storage, StorageKind};

const PAIRS: usize = lane::PACKETS[Class::Cluster.index()];

/// Ready for C: with a header that is real, and all zero, if it has one.
#[inline(always)]
pub(in crate::raw) fn show(mbuf: Mbuf) -> NonNull<RawMbuf> {
    if mbuf.has(flag::PKTHDR) {
        // SAFETY: the header's place in our own mbuf; all zero is an empty header.
        unsafe { mbuf.header_place().write_bytes(0, 1) };
        mbuf.flags.set(mbuf.flags.get() & !flag::FRESH);
    }
    mbuf.into_raw()
}

/// Frees an mbuf that C had by the shortest path: `done` is what comes next, with what was behind it. Or has done nothing, and it is
/// `otherwise`: the mbuf is not one that rests as it is, or not `LINKED` but there is another one behind it.
///
/// # Safety
/// The first line of an mbuf may be read there. If it is one of ours it is the caller's; a copy of one, which is believed, may be read
/// and written.
#[inline(always)]
pub(in crate::raw) unsafe fn free_or<const LINKED: bool, R>(
    place: NonNull<RawMbuf>,
    done: impl FnOnce(*mut RawMbuf) -> R + Copy,
    otherwise: impl FnOnce() -> R,
) -> R {
    if LINKED && !place.is_aligned() {
        return otherwise();
    }
    // SAFETY: by this function's contract, and aligned.
    let next = if LINKED { unsafe { next_of(place) } } else { ptr::null_mut() };
    let ready = |not: u32| {
        // SAFETY: ours, as it is in the lane.
        let raw = unsafe { place.as_ref() };
        let behind = if LINKED { 0 } else { raw.next.get().addr() };
        let links = behind | raw.next_packet.get().addr();
        let odd = raw.flags.get() & (flag::PKTHDR | flag::FREE | not);
        // SAFETY: as above.
        let tags = || unsafe { raw.tags_address() };
        // Of a free one, which may be hidden from tools that find such uses, no more is read than its first line.
        let ready = odd == flag::PKTHDR && links | tags() == 0 || odd as usize | links == 0;
        if ready {
            if LINKED {
                raw.next.set(ptr::null_mut());
            }
            // That it is free is all that is kept of the flags.
            raw.flags.set(flag::FREE);
        }
        ready
    };
    // SAFETY: by this function's contract. Who is in the lane is one of its zone, unmarked; in use, with no links and no tags, it is
    // at rest but for its window and for what C says of storage. One that rests without has none, unless C attached some by hand.
    unsafe {
        let (object, home) = (Object::new(place.cast()), Home::at(place.cast()));
        let done = move || done(next);
        let plain = || put_or::<{ lane::MBUF }, R>(object, home, || ready(flag::EXT), done, otherwise);
        put_or::<PAIRS, R>(object, home, || ready(0), done, plain)
    }
}

/// What an mbuf has for a link, if there is one: of memory that may be something else.
///
/// # Safety
/// The first line of an mbuf may be read there, which is aligned.
#[inline(always)]
pub(in crate::raw) unsafe fn next_of(place: NonNull<RawMbuf>) -> *mut RawMbuf {
    // SAFETY: by this function's contract. No reference is made to what may be no mbuf.
    unsafe { (&raw const (*place.as_ptr()).next).cast::<*mut RawMbuf>().read() }
}

/// The same for one of any class, and also if the mbuf rests when it has let go of a cluster that others
/// hold, too.
///
/// # Safety
/// As for [`free_or`].
#[inline(always)]
pub(in crate::raw) unsafe fn leave_or<const LINKED: bool, R>(
    place: NonNull<RawMbuf>,
    done: impl FnOnce(*mut RawMbuf) -> R + Copy,
    otherwise: impl FnOnce() -> R + Copy,
) -> R {
    const PAGES: usize = lane::PACKETS[Class::Page.index()];
    const JUMBO9: usize = lane::PACKETS[Class::Jumbo9.index()];
    const JUMBO16: usize = lane::PACKETS[Class::Jumbo16.index()];
    if !place.is_aligned() {
        return otherwise();
    }
    // SAFETY: by this function's contract, and aligned.
    let next = unsafe { next_of(place) };
    if !LINKED && !next.is_null() {
        return otherwise();
    }
    // SAFETY: as above. Ours if it is of the lane's zone, marked or not, and at rest when `ready` says so.
    unsafe {
        let (object, home) = (Object::new(place.cast()), Home::at(place.cast()));
        let zone = home.unmarked();
        let done = move || done(if LINKED { next } else { ptr::null_mut() });
        let paired = move |class| place.as_ref().rests_paired(home, class);
        let jumbo16 = move || put_or::<JUMBO16, R>(object, zone, || paired(Class::Jumbo16), done, otherwise);
        let jumbo9 = move || put_or::<JUMBO9, R>(object, zone, || paired(Class::Jumbo9), done, jumbo16);
        let pages = move || put_or::<PAGES, R>(object, zone, || paired(Class::Page), done, jumbo9);
        let plain = move || {
            put_or::<{ lane::MBUF }, R>(object, zone, || place.as_ref().rests_plain(home), done, pages)
        };
        put_or::<PAIRS, R>(object, zone, || paired(Class::Cluster), done, plain)
    }
}

/// A wish of C's to share a part of the bytes of an mbuf.
pub trait Share: Copy {
    /// The mbuf.
    fn from(self) -> *mut CMbuf;

    /// Which part, as offset and length, by how many bytes there are and whether there is a packet header.
    fn part(self, have: usize, has_header: bool) -> Option<(usize, usize)>;

    /// What is done if it is not to be had by the short way: a call of a function that takes the wish's fields one by one, so that
    /// they stay in registers.
    fn otherwise(self) -> *mut CMbuf;
}

/// Another mbuf that shares the cluster of one that C has, ready for C, if there is nothing odd about that one: see
/// [`share_or`](crate::ffi::share_or).
///
/// # Safety
/// As many bytes as a pointer has may be read there. If it is one of ours it is the caller's to read.
#[inline(always)]
pub(in crate::raw) unsafe fn share_or(names: &Names, wish: impl Share) -> *mut CMbuf {
    // SAFETY: by this function's contract.
    let Some(sharing) = (unsafe { Sharing::new(names, wish) }) else { return wish.otherwise() };
    // SAFETY: by this function's contract; objects of the mbuf zone, at rest, just handed out.
    unsafe {
        let late = move |object: Option<Object>| match object {
            // Had all the same while another thread emptied this one's cache. What was found would have to be kept for that, so it is
            // given back, and the usual way asks once more.
            Some(object) => in_vain(object, wish),
            None => wish.otherwise(),
        };
        take_or::<{ lane::MBUF }, _>(names.mbufs(), move |object| sharing.share_or(object, wish), late)
    }
}

/// # Safety
/// An object of the mbuf zone, at rest, that is the caller's.
#[cold]
#[inline(never)]
unsafe fn in_vain(object: Object, wish: impl Share) -> *mut CMbuf {
    // SAFETY: by this function's contract.
    drop(unsafe { Mbuf::plain(object, false, 0) });
    wish.otherwise()
}

/// What is to be shared: `len` bytes from `start` on of the `have` of an mbuf.
///
/// # Invariants
/// 1. The mbuf is ours and sound, has `storage`, a cluster, and neither tags nor another type than data; the bytes are some, and
///    within its window.
struct Sharing<'a> {
    from: &'a RawMbuf,
    storage: &'a Storage,
    start: usize,
    len: usize,
    have: usize,
    flags: u32,
}

impl Sharing<'_> {
    /// # Safety
    /// As for [`share_or`].
    #[inline(always)]
    unsafe fn new(names: &Names, wish: impl Share) -> Option<Self> {
        let place = NonNull::new(wish.from().cast::<RawMbuf>())?;
        if !place.is_aligned() {
            return None;
        }
        // SAFETY: by this function's contract; before it is known to be an mbuf no more than its head is looked at.
        if !names.know(unsafe { Home::at(place.cast()) }) {
            return None;
        }
        // SAFETY: one of ours.
        let from = unsafe { place.as_ref() };
        let (flags, have) = (from.flags.get(), from.len());
        let has_header = flags & flag::PKTHDR != 0;
        let simple = || {
            from.is_sound()
                && from.is_data()
                && from.next.get().is_null()
                && from.track.get() == 0
                && matches!(from.kind(), StorageKind::Cluster(_))
                // SAFETY: ours; a header that is there is one, as the mbuf is sound.
                && (!has_header || unsafe { from.tags_address() } == 0)
        };
        if !simple() {
            return None;
        }
        let (storage, (start, len)) = (from.storage()?, wish.part(have, has_header)?);
        if start >= have || len.wrapping_sub(1) >= have - start {
            return None;
        }
        Some(Sharing { from, storage, start, len, have, flags })
    }

    /// # Safety
    /// The object is one of the mbuf zone, at rest, and given to us.
    #[inline(always)]
    unsafe fn share_or(self, object: Object, wish: impl Share) -> *mut CMbuf {
        let Sharing { from, storage, start, len, have, flags } = self;
        if !storage.refs.acquire() {
            // SAFETY: by this function's contract.
            return unsafe { in_vain(object, wish) };
        }
        let end = start + len;
        // SAFETY: by this function's contract; the part is within the window, and the count ours. Both mbufs have storage, and
        // with a header all of `Shown`; one without tags may be copied. Where its list ends is not read of what C had.
        let copy = unsafe {
            if flags & flag::PKTHDR != 0 && start == 0 {
                let cut = if end < have { flag::END } else { 0 };
                let copy =
                    Mbuf::sharing(object, flags & (flag::PKTHDR | flag::USER_MASK) & !cut, from, start..end);
                copy.header_place().cast::<Shown>().copy_from_nonoverlapping(from.header_place().cast(), 1);
                (*copy.header_place()).len = len as u32;
                copy
            } else {
                let copy = Mbuf::sharing(object, flag::FRESH | from.told_up_to(end), from, start..end);
                copy.ext_place().write(from.ext_place().read());
                copy
            }
        };
        copy.into_raw().as_ptr().cast()
    }
}

/// What C sees behind the fields that every mbuf has: the packet header, and behind its place the storage.
#[repr(C)]
struct Shown(PacketHeader, Ext);

const _: () = assert!(size_of::<Shown>() == HEADER_OFFSET - PLAIN_OFFSET + size_of::<Ext>());

impl RawMbuf {
    /// Where a header has its tags, whatever is there: C may have said that there is one.
    ///
    /// # Safety
    /// One of ours.
    #[inline(always)]
    unsafe fn tags_address(&self) -> usize {
        // SAFETY: the header's place in an mbuf of ours. Whatever C left there, it is looked at as a number.
        unsafe { (&raw const (*self.header_place()).tags).cast::<usize>().read() }
    }

    /// Whether a used mbuf of the packet zone of that class, with its head like this, is at rest when its links, its mark and its flags
    /// are: it has no tags, and never lost its cluster or has it alone. Then they are.
    ///
    /// # Safety
    /// The mbuf is the caller's.
    #[inline(always)]
    unsafe fn rests_paired(&self, home: Home, class: Class) -> bool {
        let alone = || {
            self.kind() == StorageKind::Cluster(class) && self.storage().is_some_and(|s| s.refs.is_unique())
        };
        // SAFETY: by this function's contract.
        unsafe { self.is_simple(home) && (!home.is_marked() || alone()) && self.rest() }
    }

    /// The same for one of the mbuf zone, which is at rest without storage: of a cluster it lets go, if others hold it, too.
    ///
    /// # Safety
    /// As for [`rests_paired`](Self::rests_paired).
    #[inline(always)]
    unsafe fn rests_plain(&self, home: Home) -> bool {
        // SAFETY: by this function's contract.
        unsafe {
            self.is_simple(home)
                && match NonNull::new(self.storage.get()) {
                    // C may have attached some by hand.
                    None => !self.has(flag::EXT),
                    Some(storage) => self.leave(storage),
                }
                && self.rest()
        }
    }

    /// Whether an mbuf of ours is in use, linked to no other packet, has no tags, and if it is marked, that may be for its storage
    /// alone.
    ///
    /// # Safety
    /// As for [`rests_paired`](Self::rests_paired).
    #[inline(always)]
    unsafe fn is_simple(&self, home: Home) -> bool {
        let flags = self.flags.get();
        flags & flag::FREE == 0
            && self.next_packet.get().is_null()
            && (!home.is_marked() || self.is_data() && self.track.get() == 0)
            // SAFETY: ours.
            && (flags & flag::PKTHDR == 0 || unsafe { self.tags_address() } == 0)
    }

    #[inline(always)]
    fn rest(&self) -> bool {
        self.next.set(ptr::null_mut());
        self.head.unmark();
        // That it is free is all that is kept of the flags.
        self.flags.set(flag::FREE);
        true
    }

    /// Lets go of a cluster if others hold it, too: then the mbuf has no storage. False, and nothing was done, if it is the only
    /// holder, or its storage is no cluster.
    ///
    /// # Safety
    /// The mbuf is the caller's, and holds `storage`.
    #[inline(always)]
    unsafe fn leave(&self, storage: NonNull<Storage>) -> bool {
        // SAFETY: held by the mbuf. The last one to let go has it still: its count rests at one.
        if !matches!(self.kind(), StorageKind::Cluster(_)) || unsafe { storage.as_ref() }.refs.release() {
            return false;
        }
        self.storage.set(ptr::null_mut());
        true
    }
}
