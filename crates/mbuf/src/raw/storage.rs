//! Memory that mbufs hold beside their inline area: clusters, and external buffers with their owners.
//!
//! ```text
//! mbuf ──▶ Storage { head, refs, size, buf } ──▶ ┌───────────────── size ─────────────────┐
//! mbuf ──▶    ▲  32 bytes, a slot of its zone    │ the bytes; a cluster's are a block of   │
//! mbuf ──▶    │                                  │ their own run, with nothing of ours in  │
//!             └ External adds the owner          └─────────────────────────────────────────┘
//! ```
#![allow(unsafe_code)]

use alloc::boxed::Box;
use core::any::TypeId;
use core::mem::{MaybeUninit, align_of, size_of};
use core::ptr::NonNull;

use mbuf_zone::raw::{self, Head, Object};

use super::count::ShareCount;
use super::{in_lane, lane};
use crate::config::Class;

/// A buffer that several mbufs may share.
///
/// # Invariants
/// 1. `buf..buf + size` is initialised memory that lives while the storage is out of its zone.
/// 2. `refs` counts the mbufs that hold the storage (see [`ShareCount`]).
/// 3. Bytes are written only through an mbuf that is the only holder, or that owns the unused tail (see
///    [`Mbuf`](super::Mbuf)), and never if it is marked read-only.
#[repr(C)]
pub(crate) struct Storage {
    head: Head,
    pub(super) refs: ShareCount,
    pub(super) size: u32,
    pub(super) buf: *mut u8,
}

#[cfg(all(target_pointer_width = "64", not(loom)))]
const _: () = assert!(size_of::<Storage>() == 32);

/// What kind of storage an mbuf holds; kept in the mbuf's flags, so that freeing branches on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StorageKind {
    /// Within the mbuf itself.
    Inline,
    /// A buffer of the pool.
    Cluster(Class),
    /// Memory of the user's, with an owner that is dropped when the last sharer goes.
    External,
}

impl StorageKind {
    pub(super) const fn bits(self) -> u32 {
        match self {
            StorageKind::Inline => 0,
            StorageKind::Cluster(class) => class as u32,
            StorageKind::External => 5,
        }
    }

    pub(super) const fn from_bits(bits: u32) -> Self {
        match bits {
            1 => StorageKind::Cluster(Class::Cluster),
            2 => StorageKind::Cluster(Class::Page),
            3 => StorageKind::Cluster(Class::Jumbo9),
            4 => StorageKind::Cluster(Class::Jumbo16),
            5 => StorageKind::External,
            _ => StorageKind::Inline,
        }
    }
}

impl Storage {
    /// Makes a cluster of a slot and its block.
    ///
    /// # Safety
    /// The slot is out of its keg and nobody else's; `block` is its block of `size` initialised bytes.
    pub(super) unsafe fn init_cluster(object: Object, block: NonNull<u8>, size: u32) {
        let storage = object.as_ptr::<Storage>().as_ptr();
        // SAFETY: the slot is ours, zeroed or a former storage, and large enough.
        unsafe {
            (*storage).refs.reset();
            (&raw mut (*storage).size).write(size);
            (&raw mut (*storage).buf).write(block.as_ptr());
        }
    }
}

/// Lets go of storage; the last one, on true, gives it back to its zone and drops the owner of external storage.
///
/// # Safety
/// The caller is one holder of `storage`, of that kind, and never uses it again.
#[inline]
pub(super) unsafe fn release(storage: NonNull<Storage>, kind: StorageKind) -> bool {
    // SAFETY: a holder keeps the storage live; the last one gives it away.
    unsafe {
        let last = storage.as_ref().refs.release();
        if last {
            give_away(storage, kind);
        }
        last
    }
}

/// # Safety
/// The caller was the last holder of `storage`, of that kind.
unsafe fn give_away(storage: NonNull<Storage>, kind: StorageKind) {
    let object = Object::new(storage.cast());
    // SAFETY: nobody else has it.
    unsafe {
        match kind {
            StorageKind::Inline => {}
            StorageKind::Cluster(class) => put_cluster(object, class),
            StorageKind::External => {
                let record = storage.cast::<External>();
                // The slot goes back even if the owner's destructor panics.
                let _slot = Home(object);
                ((*record.as_ptr()).operations.drop)(record);
            }
        }
    }
}

struct Home(Object);

impl Drop for Home {
    fn drop(&mut self) {
        // SAFETY: made only for a record whose last holder gives it away.
        unsafe { put_in::<{ lane::EXTERNAL }>(self.0) };
    }
}

/// Gives a free cluster back to its zone.
///
/// # Safety
/// `object` is a cluster of that class that nobody holds, with its count at one.
pub(super) unsafe fn put_cluster(object: Object, class: Class) {
    // SAFETY: by this function's contract.
    unsafe { in_lane!(CLUSTERS[class], put_in::<LANE>(object)) }
}

/// Gives an object back by the shortest path that there is.
///
/// # Safety
/// As for [`raw::put`].
#[inline]
pub(super) unsafe fn put_in<const LANE: usize>(object: Object) {
    // SAFETY: by this function's contract.
    unsafe {
        if !raw::try_put::<LANE>(object, object.as_ptr::<Head>().as_ref()) {
            raw::put::<LANE>(object);
        }
    }
}

/// Words of an owner that fit into the record; larger owners are boxed.
const OWNER_WORDS: usize = 8;

/// A storage with the owner of its memory.
///
/// # Invariants
/// 1. `owner` holds a value that `operations` were made for, by value or boxed, while the record is out of its zone.
/// 2. The record does not move, and the owner is not touched until it is dropped or taken back, so what its
///    `as_ref` or `as_mut` returned once stays valid.
#[repr(C)]
pub(super) struct External {
    pub(super) storage: Storage,
    operations: &'static Operations,
    owner: MaybeUninit<[usize; OWNER_WORDS]>,
}

struct Operations {
    type_id: fn() -> TypeId,
    /// Drops the owner in place.
    drop: unsafe fn(NonNull<External>),
    /// The bytes must not be written, whatever C made of the mbufs' flags.
    #[cfg(feature = "ffi")]
    read_only: bool,
}

struct OperationsOf<O>(core::marker::PhantomData<O>);

impl<O: Send + 'static> OperationsOf<O> {
    const INLINE: bool =
        size_of::<O>() <= size_of::<[usize; OWNER_WORDS]>() && align_of::<O>() <= align_of::<usize>();

    const fn operations(read_only: bool) -> Operations {
        #[cfg(not(feature = "ffi"))]
        let _ = read_only;
        Operations {
            type_id: TypeId::of::<O>,
            drop: Self::drop,
            #[cfg(feature = "ffi")]
            read_only,
        }
    }

    unsafe fn drop(record: NonNull<External>) {
        // SAFETY: the caller gives up the record, whose owner is an `O` (invariant 1).
        drop(unsafe { Self::take(record) });
    }

    /// # Safety
    /// The record's owner is an `O`, which is given up with the record.
    unsafe fn take(record: NonNull<External>) -> O {
        // SAFETY: initialised by invariant 1, and not read again.
        unsafe {
            let place = (&raw mut (*record.as_ptr()).owner).cast::<u8>();
            if Self::INLINE {
                place.cast::<O>().read()
            } else {
                *Box::from_raw(place.cast::<*mut O>().read())
            }
        }
    }
}

/// Takes back what was done to a record when the owner's own code panics.
///
/// # Invariants
/// 1. The record holds an `O` and is nobody else's.
struct Abandon<O: Send + 'static>(NonNull<External>, core::marker::PhantomData<O>);

impl<O: Send + 'static> Drop for Abandon<O> {
    fn drop(&mut self) {
        let _slot = Home(Object::new(self.0.cast()));
        // SAFETY: by invariant 1.
        drop(unsafe { OperationsOf::<O>::take(self.0) });
    }
}

/// Makes external storage of a fresh record. `find` gives the owner's bytes, from where the owner will rest.
///
/// # Safety
/// `object` is a slot of the external zone that is nobody else's. The bytes `find` returns live as long as the owner
/// is neither touched nor dropped, whatever becomes of the lifetime in its type; see [`External`], invariant 2.
pub(super) unsafe fn init_external<O: Send + 'static>(
    object: Object,
    owner: O,
    read_only: bool,
    find: impl FnOnce(&mut O) -> (*mut u8, usize),
) -> Result<NonNull<Storage>, (O, usize)> {
    let record = object.as_ptr::<External>();
    let this = record.as_ptr();
    // SAFETY: the slot is ours and large enough for a record, whose head is the zone's and stays; the owner is put
    // where it will rest before its bytes are looked up.
    unsafe {
        let operations: &'static Operations = if read_only {
            &const { OperationsOf::<O>::operations(true) }
        } else {
            &const { OperationsOf::<O>::operations(false) }
        };
        (&raw mut (*this).operations).write(operations);
        let place = (&raw mut (*this).owner).cast::<u8>();
        let owner: *mut O = if OperationsOf::<O>::INLINE {
            place.cast::<O>().write(owner);
            place.cast()
        } else {
            let boxed = Box::into_raw(Box::new(owner));
            place.cast::<*mut O>().write(boxed);
            boxed
        };
        let abandon = Abandon::<O>(record, core::marker::PhantomData);
        let (buf, len) = find(&mut *owner);
        core::mem::forget(abandon);
        let Ok(size) = u32::try_from(len) else {
            return Err((OperationsOf::<O>::take(record), len));
        };
        (*this).storage.refs.reset();
        (&raw mut (*this).storage.size).write(size);
        (&raw mut (*this).storage.buf).write(buf);
    }
    Ok(record.cast())
}

/// Takes the owner out of external storage of which the caller is the only holder. The record goes back to its zone.
///
/// # Safety
/// The caller holds `storage`, which is external, and on `Some` never uses it again.
pub(super) unsafe fn take_owner<O: Send + 'static>(storage: NonNull<Storage>) -> Option<O> {
    let record = storage.cast::<External>();
    // SAFETY: live while the caller holds it.
    unsafe {
        if !owner_is::<O>(storage) || !storage.as_ref().refs.is_unique() {
            return None;
        }
        let owner = OperationsOf::<O>::take(record);
        drop(Home(Object::new(storage.cast())));
        Some(owner)
    }
}

/// Whether the owner of external storage is an `O`.
///
/// # Safety
/// The caller holds `storage`, which is external.
pub(super) unsafe fn owner_is<O: 'static>(storage: NonNull<Storage>) -> bool {
    // SAFETY: live while the caller holds it.
    unsafe { ((*storage.cast::<External>().as_ptr()).operations.type_id)() == TypeId::of::<O>() }
}

/// Whether the bytes of storage must not be written, whoever holds it.
///
/// # Safety
/// The caller holds `storage`, which is of that kind.
#[cfg(feature = "ffi")]
pub(super) unsafe fn is_read_only(storage: NonNull<Storage>, kind: StorageKind) -> bool {
    // SAFETY: live while the caller holds it.
    kind == StorageKind::External && unsafe { (*storage.cast::<External>().as_ptr()).operations.read_only }
}

/// The owner of external storage, if it is an `O`.
///
/// # Safety
/// The caller holds `storage`, which is external, while the reference lives. The owner is only borrowed shared.
#[cfg(any(feature = "bytes", feature = "ffi"))]
pub(super) unsafe fn owner_ref<'a, O: Send + Sync + 'static>(storage: NonNull<Storage>) -> Option<&'a O> {
    // SAFETY: live while the caller holds it; borrowed by this function's contract.
    unsafe {
        if !owner_is::<O>(storage) {
            return None;
        }
        let place = (&raw const (*storage.cast::<External>().as_ptr()).owner).cast::<u8>();
        Some(if OperationsOf::<O>::INLINE { &*place.cast::<O>() } else { &**place.cast::<*const O>() })
    }
}
