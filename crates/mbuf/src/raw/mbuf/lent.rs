//! Memory of C's: what it attaches and shows as `m_ext`, and how it hears that nobody uses it any more.
#![allow(unsafe_code)]

use core::ffi::c_void;
use core::mem::{ManuallyDrop, MaybeUninit, align_of, offset_of, size_of};
use core::ptr::{self, NonNull};

use super::foreign::{CMbuf, Fault, Settle, Wrong};
use super::{Mbuf, RawMbuf, TYPE_DATA, flag, kind_bits};
use crate::config::{Class, HEADER_OFFSET, MSIZE};
use crate::pool::Shared;
use crate::raw::lane;
use crate::raw::storage::{self, Storage, StorageKind, owner_ref};

/// `m_ext`, as C sees it: a copy, but for storage that C attaches by hand.
///
/// # Invariants
/// 1. It lies where an mbuf with storage has nothing else: behind the place of the packet header.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Ext {
    buf: *mut u8,
    size: u32,
    kind: u32,
    free: *const (),
    arg1: *mut c_void,
    arg2: *mut c_void,
    reference: *const (),
}

const _: () =
    assert!(size_of::<Ext>() <= MSIZE - HEADER_OFFSET && HEADER_OFFSET.is_multiple_of(align_of::<Ext>()));

/// How C wants to hear that nobody uses its memory any more.
#[derive(Clone, Copy)]
pub enum Release {
    /// It does not.
    Never,
    /// `free(m)`, with an mbuf of which only `m_ext` means something (FreeBSD).
    Mbuf(unsafe extern "C" fn(*mut CMbuf)),
    /// `free(arg1, arg2)` (FreeBSD, before).
    Args(unsafe extern "C" fn(*mut c_void, *mut c_void)),
    /// `free(arg1)` for every mbuf that lets go, and `reference(arg1)` for every one that joins (DragonFly).
    Counted(Counting),
    /// `free(buf, size, arg1)` (NetBSD).
    Buffer(unsafe extern "C" fn(*mut u8, u32, *mut c_void)),
}

/// What an owner wants to hear who counts the mbufs on its memory itself; the first one is counted.
#[derive(Clone, Copy)]
pub struct Counting {
    /// There is one more.
    pub reference: Option<unsafe extern "C" fn(*mut c_void)>,
    /// There is one less.
    pub free: unsafe extern "C" fn(*mut c_void),
}

/// Memory of C's.
pub struct Lent {
    /// Where it begins.
    pub buf: *mut u8,
    /// How long it is, in bytes.
    pub size: u32,
    /// What C calls its kind.
    pub kind: u32,
    /// Whom to tell when nobody uses it any more.
    pub release: Release,
    /// The first argument of the callback.
    pub arg1: *mut c_void,
    /// The second.
    pub arg2: *mut c_void,
}

// SAFETY: who lends memory takes it back on whatever thread lets go of it last.
unsafe impl Send for Lent {}
// SAFETY: shared, it is addresses to be read, and callbacks for whatever thread.
unsafe impl Sync for Lent {}

impl Lent {
    /// Whether an address and a length can be those of memory: as many bytes as C can say.
    fn is_possible(buf: *mut u8, size: u32) -> bool {
        !buf.is_null() && i32::try_from(size).is_ok()
    }

    fn ext(&self) -> Ext {
        let free = match self.release {
            Release::Never => ptr::null(),
            Release::Mbuf(free) => free as *const (),
            Release::Args(free) => free as *const (),
            Release::Counted(Counting { free, .. }) => free as *const (),
            Release::Buffer(free) => free as *const (),
        };
        let reference = match self.release {
            Release::Counted(Counting { reference: Some(reference), .. }) => reference as *const (),
            _ => ptr::null(),
        };
        let &Lent { buf, size, kind, arg1, arg2, .. } = self;
        Ext { buf, size, kind, free, arg1, arg2, reference }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let &mut Lent { buf, size, release, arg1, arg2, .. } = self;
        // SAFETY: who lent the memory gave the callback and its arguments for this one call.
        unsafe {
            match release {
                Release::Never => {}
                Release::Args(free) => free(arg1, arg2),
                Release::Counted(Counting { free, .. }) => free(arg1),
                Release::Buffer(free) => free(buf, size, arg1),
                Release::Mbuf(free) => {
                    // The mbuf is home already, and may be somebody else's.
                    let mut stand_in = MaybeUninit::<RawMbuf>::zeroed();
                    let raw = stand_in.assume_init_mut();
                    raw.data.set(buf);
                    raw.flags.set(kind_bits(StorageKind::External) | TYPE_DATA);
                    raw.ext_place().write(self.ext());
                    free(stand_in.as_mut_ptr().cast());
                }
            }
        }
    }
}

/// The callbacks of an owner who counts the mbufs on its memory, and their argument.
///
/// # Safety
/// The caller holds `storage`, which is of that kind.
#[inline]
unsafe fn counting(storage: NonNull<Storage>, kind: StorageKind) -> Option<(Counting, *mut c_void)> {
    if kind != StorageKind::External {
        return None;
    }
    // SAFETY: by this function's contract; a `Lent` is never borrowed mutably.
    match unsafe { owner_ref::<Lent>(storage) } {
        Some(&Lent { release: Release::Counted(counting), arg1, .. }) => Some((counting, arg1)),
        _ => None,
    }
}

/// Lets go of storage; an owner of C's who counts hears of it.
///
/// # Safety
/// As for [`storage::release`].
#[inline]
pub(super) unsafe fn release(storage: NonNull<Storage>, kind: StorageKind) {
    // SAFETY: by this function's contract. Whoever is not the last may not look at the storage any more.
    unsafe {
        let counting = counting(storage, kind);
        if !storage::release(storage, kind)
            && let Some((Counting { free, .. }, arg)) = counting
        {
            free(arg);
        }
    }
}

impl RawMbuf {
    pub(super) fn ext_place(&self) -> *mut Ext {
        const OFFSET: usize = HEADER_OFFSET - offset_of!(RawMbuf, area);
        // SAFETY: within the area of this mbuf.
        unsafe { self.area.get().cast::<u8>().add(OFFSET).cast() }
    }

    /// Shows C the storage that the mbuf has.
    pub(super) fn publish(&self) {
        let kind = ext_type(self.kind());
        let ext = Ext {
            buf: self.buf.get(),
            size: self.cap.get(),
            kind,
            free: ptr::null(),
            arg1: ptr::null_mut(),
            arg2: ptr::null_mut(),
            reference: ptr::null(),
        };
        // SAFETY: the mbuf is its maker's, and has storage (invariant 1 of `Ext`).
        unsafe { self.ext_place().write(ext) };
    }

    /// The same, for a new holder of another mbuf's storage.
    pub(super) fn publish_as(&self, from: &RawMbuf) {
        if let Some(storage) = NonNull::new(self.storage.get()) {
            // SAFETY: as above; both have storage.
            unsafe { self.ext_place().write(from.ext_place().read()) };
            // SAFETY: the mbuf holds the storage.
            let counting = unsafe { counting(storage, self.kind()) };
            if let Some((Counting { reference: Some(reference), .. }, arg)) = counting {
                // SAFETY: who lent the memory gave the callback for this.
                unsafe { reference(arg) };
            }
        }
    }

    /// What keeps memory of C's from being attached.
    pub(crate) fn refuses(&self, lent: &Lent) -> Option<Fault> {
        let fault = |field, wrong| Some(Fault { mbuf: ptr::from_ref(self).cast(), field, wrong });
        match lent {
            _ if self.has_storage() => fault("m_flags", Wrong::Storage),
            Lent { buf, size, .. } if !Lent::is_possible(*buf, *size) => fault("m_ext", Wrong::NoStorage),
            _ => None,
        }
    }
}

/// What C calls a kind of storage.
const fn ext_type(kind: StorageKind) -> u32 {
    match kind {
        StorageKind::Inline => 0,
        StorageKind::Cluster(Class::Cluster) => 1,
        StorageKind::Cluster(Class::Page) => 3,
        StorageKind::Cluster(Class::Jumbo9) => 4,
        StorageKind::Cluster(Class::Jumbo16) => 5,
        StorageKind::External => 255,
    }
}

/// Whether this is how `publish` shows storage of the library's own.
fn is_ours(ext: &Ext) -> bool {
    let ours = |kind| ext.kind & 0xff == ext_type(kind);
    ext.free.is_null()
        && (ours(StorageKind::External)
            || Class::ALL.into_iter().any(|class| ours(StorageKind::Cluster(class))))
}

/// What C says of storage that it attached by hand, still C's.
///
/// # Safety
/// The mbuf is the caller's alone, and storage was attached to it by hand.
unsafe fn by_hand(place: NonNull<RawMbuf>) -> Result<ManuallyDrop<Lent>, Fault> {
    // SAFETY: ours, and C says that this is there.
    let (raw, ext) = unsafe { (place.as_ref(), place.as_ref().ext_place().read()) };
    let is_ours = is_ours(&ext);
    let Ext { buf, size, kind, free, arg1, arg2, reference } = ext;
    let fault = |wrong| Err(Fault { mbuf: place.as_ptr().cast(), field: "m_ext", wrong });
    if !Lent::is_possible(buf, size) {
        return fault(Wrong::NoStorage);
    }
    if is_ours {
        return fault(Wrong::Uncounted);
    }
    // SAFETY: C put functions of these types there, or null pointers.
    let release = unsafe {
        type Callback = Option<unsafe extern "C" fn(*mut c_void)>;
        type OnMbuf = unsafe extern "C" fn(*mut CMbuf);
        match (core::mem::transmute::<*const (), Callback>(free), raw.has(flag::COUNTED)) {
            (None, _) => Release::Never,
            (Some(free), true) => {
                let reference = core::mem::transmute::<*const (), Callback>(reference);
                Release::Counted(Counting { reference, free })
            }
            (Some(free), false) => {
                Release::Mbuf(core::mem::transmute::<unsafe extern "C" fn(*mut c_void), OnMbuf>(free))
            }
        }
    };
    Ok(ManuallyDrop::new(Lent { buf, size, kind, release, arg1, arg2 }))
}

/// Takes storage that C attached by hand off an mbuf that is to be freed, whatever its window is.
///
/// # Safety
/// The mbuf is the caller's alone.
pub(in crate::raw) unsafe fn detach(place: NonNull<RawMbuf>) -> Result<Option<Lent>, Fault> {
    // SAFETY: ours.
    let raw = unsafe { place.as_ref() };
    if !raw.is_by_hand() {
        return Ok(None);
    }
    // SAFETY: ours, and attached by hand.
    let lent = unsafe { by_hand(place) }?;
    raw.flags.set(raw.flags.get() & !(flag::EXT | flag::COUNTED));
    Ok(Some(ManuallyDrop::into_inner(lent)))
}

/// Takes over storage that C attached by hand.
///
/// # Safety
/// The mbuf is the caller's alone and has no storage.
#[cold]
pub(super) unsafe fn adopt(pool: &Shared, place: NonNull<RawMbuf>) -> Result<(), Settle> {
    // SAFETY: ours.
    let raw = unsafe { place.as_ref() };
    // SAFETY: by this function's contract.
    let lent = unsafe { by_hand(place) }.map_err(Settle::Fault)?;
    if let Some((field, wrong)) = raw.look_at(lent.buf.addr(), lent.size as usize) {
        return Err(Settle::Fault(Fault { mbuf: place.as_ptr().cast(), field, wrong }));
    }
    let counted = raw.flags.get() & flag::COUNTED;
    let (data, len) = (raw.data.get(), raw.len.replace(0));
    raw.flags.set(raw.flags.get() & !(flag::EXT | flag::COUNTED));
    // SAFETY: ours.
    let mut mbuf = ManuallyDrop::new(unsafe { Mbuf::from_raw(place) });
    // SAFETY: C lends the memory until the callback.
    let lent = unsafe { mbuf.lend(pool, ManuallyDrop::into_inner(lent), raw.has(flag::READ_ONLY)) };
    if let Err(refused) = lent {
        core::mem::forget(refused.input);
        raw.flags.set(raw.flags.get() | flag::EXT | counted);
        raw.len.set(len);
        return Err(Settle::Dry(refused.error));
    }
    raw.data.set(data);
    raw.len.set(len);
    Ok(())
}

impl Mbuf {
    /// Attaches memory of C's, which it does not [refuse](RawMbuf::refuses), with an empty window at its start.
    ///
    /// # Safety
    /// The memory may be read, and unless `read_only` written, until the callback is called.
    pub(crate) unsafe fn lend(
        &mut self,
        pool: &Shared,
        lent: Lent,
        read_only: bool,
    ) -> Result<(), crate::error::Refused<Lent>> {
        use crate::error::{Refused, Resource};
        let ext = lent.ext();
        // Its owner may have let others have it, too.
        let read_only = read_only || matches!(lent.release, Release::Counted(_));
        let record = match pool.external.get::<{ lane::EXTERNAL }>() {
            Ok(record) => record,
            Err(cause) => return Err(Refused::new(pool.dry(Resource::External, cause), lent)),
        };
        self.len.set(0);
        // SAFETY: a record just handed out; the rest by this function's contract. A `u32` of bytes is never too much.
        let attached =
            unsafe { self.attach_external(record, lent, read_only, |lent| (lent.buf, lent.size as usize)) };
        debug_assert!(attached.is_ok());
        self.len.set(0);
        // SAFETY: the mbuf has storage.
        unsafe { self.ext_place().write(ext) };
        Ok(())
    }

    /// Exchanges the storage, and the windows on it, of two mbufs that both have some.
    pub(crate) fn swap_storage(&mut self, other: &mut Mbuf) {
        assert!(self.has_storage() && other.has_storage());
        self.storage.swap(&other.storage);
        self.buf.swap(&other.buf);
        self.cap.swap(&other.cap);
        self.data.swap(&other.data);
        self.len.swap(&other.len);
        const GOES: u32 = flag::KIND_MASK | flag::READ_ONLY | flag::TAIL_OWNER;
        let (mine, theirs) = (self.flags.get(), other.flags.get());
        self.flags.set(mine & !GOES | theirs & GOES);
        other.flags.set(theirs & !GOES | mine & GOES);
        for mbuf in [&**self, &**other] {
            // It does not rest with this storage.
            mbuf.head.mark();
        }
        // SAFETY: both have storage.
        unsafe { ptr::swap(self.ext_place(), other.ext_place()) };
    }
}
