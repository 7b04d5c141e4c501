//! How mbufs come to rest: freed, and between keg and caches.
#![allow(unsafe_code)]

use core::mem;
use core::ptr::{self, NonNull};

use mbuf_zone::raw::{self, Head, Object};

#[cfg(feature = "ffi")]
use super::lent::release;
use super::{Edit, RawMbuf, TYPE_DATA, flag, kind_bits};
use crate::config::Class;
use crate::meta::MbufType;
#[cfg(not(feature = "ffi"))]
use crate::raw::storage::release;
use crate::raw::storage::{self, Storage, StorageKind};
use crate::raw::{in_lane, lane};

/// A hold on storage, let go when this is dropped.
///
/// # Invariants
/// 1. One count of the storage, which is of that kind, belongs to this value.
pub(crate) struct Released(pub(super) Option<NonNull<Storage>>, pub(super) StorageKind);

impl Drop for Released {
    #[inline]
    fn drop(&mut self) {
        if let Some(storage) = self.0 {
            // SAFETY: the count is ours (invariant 1) and gone with us.
            unsafe { release(storage, self.1) };
        }
    }
}

/// Frees one mbuf and its hold on storage; drops its tags.
///
/// # Safety
/// The mbuf is nobody else's, linked to nothing, and never used again.
#[inline(always)]
pub(in crate::raw) unsafe fn free(mbuf: NonNull<RawMbuf>) {
    // SAFETY: by this function's contract.
    unsafe {
        if !try_free(mbuf) {
            free_rarer(mbuf);
        }
    }
}

/// Frees a simple mbuf, or one with a 2 KiB cluster, by the shortest path, or returns false and has done nothing.
///
/// # Safety
/// As for [`free`]; on false the mbuf is still the caller's.
#[inline(always)]
pub(in crate::raw) unsafe fn try_free(mbuf: NonNull<RawMbuf>) -> bool {
    // SAFETY: ours. Unmarked, it is at rest but for the window. A mark, or other zones than those that this thread used
    // last, match no lane.
    unsafe {
        let raw = mbuf.as_ref();
        let object = Object::new(mbuf.cast());
        raw.note_free();
        let head = &raw.head;
        raw::try_put::<{ lane::PACKETS[Class::Cluster.index()] }>(object, head)
            || raw::try_put::<{ lane::MBUF }>(object, head)
    }
}

/// Frees what [`try_free`] does not.
///
/// # Safety
/// As for [`free`].
#[inline(never)]
pub(in crate::raw) unsafe fn free_rarer(mbuf: NonNull<RawMbuf>) {
    // SAFETY: ours. Unmarked, it is at rest but for the window.
    unsafe {
        let raw = mbuf.as_ref();
        let object = Object::new(mbuf.cast());
        raw.note_free();
        if raw.head.is_marked() {
            free_marked(mbuf);
        } else if raw::try_put::<{ lane::PACKETS[Class::Page.index()] }>(object, &raw.head)
            || raw::try_put::<{ lane::PACKETS[Class::Jumbo9.index()] }>(object, &raw.head)
            || raw::try_put::<{ lane::PACKETS[Class::Jumbo16.index()] }>(object, &raw.head)
        {
        } else if let StorageKind::Cluster(class) = raw.kind() {
            // What it holds is what it rests with.
            put_paired(object, class);
        } else {
            raw::put::<{ lane::MBUF }>(object);
        }
    }
}

/// The same, not inlined.
///
/// # Safety
/// As for [`free`].
#[inline(never)]
pub(super) unsafe fn free_unlinked(mbuf: NonNull<RawMbuf>) {
    // SAFETY: by this function's contract.
    unsafe { free(mbuf) };
}

/// The zone's view of an mbuf.
///
/// # Safety
/// The mbuf is out of its zone while the reference lives.
#[inline(always)]
pub(in crate::raw) unsafe fn as_object<'a>(mbuf: NonNull<RawMbuf>) -> (Object, &'a Head) {
    // SAFETY: live by this function's contract.
    (Object::new(mbuf.cast()), unsafe { &(*mbuf.as_ptr()).head })
}

/// # Safety
/// As for [`free`]; the mbuf is marked.
#[inline(never)]
unsafe fn free_marked(mbuf: NonNull<RawMbuf>) {
    // SAFETY: ours.
    let raw = unsafe { mbuf.as_ref() };
    if raw.track.get() != 0 {
        raw.end_record();
    }
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
    unsafe { put_plain(object) };
}

/// Frees a marked mbuf of a packet zone: with its cluster if it holds one alone, or with another one if there is one.
///
/// # Safety
/// As for [`free`]. The storage is the mbuf's, of that kind.
#[inline(never)]
unsafe fn free_paired(raw: &RawMbuf, object: Object, storage: Option<NonNull<Storage>>, kind: StorageKind) {
    raw.head.unmark();
    let shared = raw.shared();
    if let (Some(storage), StorageKind::Cluster(class)) = (storage, kind)
        // SAFETY: held by invariant 3.
        && unsafe { storage.as_ref() }.refs.is_unique()
        && shared.packets[class.index()].owns(&raw.head)
    {
        // SAFETY: at rest but for the window: it holds a cluster of its zone's class alone.
        return unsafe { put_paired(object, class) };
    }
    raw.storage.set(ptr::null_mut());
    let _storage = Released(storage, kind);
    let bare = Bare(object);
    let Some(class) = shared.home(&raw.head) else { return };
    if shared.is_limited(class) {
        // Between the cluster's cache and the pair's it would be in neither, and another thread's last look would miss it.
        return;
    }
    // May panic, if the page source does.
    let Some(cluster) = shared.spare_cluster(class) else { return };
    mem::forget(bare);
    // SAFETY: a cluster that is ours alone; with it the mbuf is at rest.
    unsafe {
        let storage = cluster.as_ptr::<Storage>();
        raw.storage.set(storage.as_ptr());
        raw.buf.set((*storage.as_ptr()).buf);
        raw.cap.set((*storage.as_ptr()).size);
        raw.flags.set(kind_bits(StorageKind::Cluster(class)));
        raw.publish();
        raw.note_free();
        put_paired(object, class);
    }
}

/// An mbuf of a packet zone that has no cluster, and so is no object of that zone: it goes back to the keg, where
/// the mbuf zone finds it.
struct Bare(Object);

impl Drop for Bare {
    fn drop(&mut self) {
        // SAFETY: made only for an mbuf that is given away, marked no more, without storage.
        unsafe { raw::discard(self.0) };
    }
}

/// # Safety
/// The mbuf is one of the mbuf zone, at rest but for its window, and given away.
#[inline]
unsafe fn put_plain(object: Object) {
    // SAFETY: by this function's contract.
    unsafe { storage::put_in::<{ lane::MBUF }>(object) };
}

/// # Safety
/// The mbuf is one of the packet zone of that class, at rest but for its window, and given away.
#[inline]
unsafe fn put_paired(object: Object, class: Class) {
    // SAFETY: by this function's contract.
    unsafe { in_lane!(PACKETS[class], storage::put_in::<LANE>(object)) };
}

/// Brings a slot of the mbuf keg to rest, for the mbuf zone or (with a cluster) for the packet zone of its class.
///
/// # Safety
/// The slot is out of the keg and nobody else's; it is zeroed or was an mbuf. The cluster, of that class, is given to it.
pub(in crate::raw) unsafe fn init(object: Object, cluster: Option<(Object, Class)>) {
    let raw = object.as_ptr::<RawMbuf>();
    // SAFETY: ours; all zero bytes are an mbuf without storage.
    unsafe {
        let raw = raw.as_ref();
        raw.next.set(ptr::null_mut());
        raw.next_packet.set(ptr::null_mut());
        raw.flags.set(0);
        raw.len.set(0);
        raw.storage.set(ptr::null_mut());
        if let Some((cluster, class)) = cluster {
            let storage = cluster.as_ptr::<Storage>();
            raw.storage.set(storage.as_ptr());
            raw.buf.set((*storage.as_ptr()).buf);
            raw.cap.set((*storage.as_ptr()).size);
            raw.flags.set(kind_bits(StorageKind::Cluster(class)));
            raw.publish();
        }
        raw.note_free();
    }
}

/// Takes the cluster of a free mbuf of a packet zone, if it has one.
///
/// # Safety
/// The mbuf is free and nobody else's.
pub(in crate::raw) unsafe fn fini(object: Object) -> Option<Object> {
    // SAFETY: ours.
    let raw = unsafe { object.as_ptr::<RawMbuf>().as_ref() };
    let storage = NonNull::new(raw.storage.replace(ptr::null_mut()))?;
    Some(Object::new(storage.cast()))
}
