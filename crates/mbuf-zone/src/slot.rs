//! The safe faces: [`Zone`] of values, [`ObjectZone`] of objects that rest constructed, and the [`Slot`] they give.
#![allow(unsafe_code)]

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::alloc::Layout;
use core::fmt;
use core::marker::PhantomData;
use core::mem::{self, ManuallyDrop};
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

use crate::page::PageSource;
use crate::raw::{self, Cause, Head, Hooks, Object, RawZone, Settings, Shape};
use crate::stats::ZoneStats;

/// The lane that all typed zones share. See [`raw::LANES`].
const LANE: usize = raw::LANES - 1;

/// Keeps handles from being used as handles of a sub- or supertype (see [`Slot`]).
type Invariant<T> = PhantomData<fn(T) -> T>;

/// # Invariants
/// 1. `value` is initialised while the item is with a user, and in an [`ObjectZone`] whenever it is out of the keg.
#[repr(C)]
struct Item<T> {
    head: Head,
    value: T,
}

/// What an [`ObjectZone`] does to its objects: UMA's `init`, `ctor`, `dtor`, `fini`.
///
/// Each may panic, and may use other zones; no object or slot is lost, and the panic reaches the caller. When a thread
/// ends, a panic in what runs then aborts the process, as everywhere in Rust.
pub trait Lifecycle<T>: Send + Sync + 'static {
    /// Makes an object that enters the caches. `None` if it cannot: the allocation fails with [`Cause::Part`].
    fn init(&self) -> Option<T>;

    /// Prepares an object for a new user. If this panics, the object is cleaned and goes back.
    fn ctor(&self, object: &mut T) {
        let _ = object;
    }

    /// Cleans an object that its user let go. It goes back to the cache even if this panics.
    fn dtor(&self, object: &mut T) {
        let _ = object;
    }

    /// Takes an object apart that leaves the caches. By default it is dropped.
    fn fini(&self, object: T) {
        drop(object);
    }
}

/// What a slot needs to know about its zone; `Head::user` points at it.
struct Kind<T> {
    life: Option<Box<dyn Lifecycle<T>>>,
}

struct TypedHooks<T>(Arc<Kind<T>>);

// SAFETY: `init` leaves an item as its invariant demands: constructed in an object zone, anything in a value zone.
unsafe impl<T: Send + 'static> Hooks for TypedHooks<T> {
    unsafe fn init(&self, object: Object, _: Option<NonNull<u8>>) -> bool {
        let Some(life) = &self.0.life else { return true };
        let Some(value) = life.init() else { return false };
        let item = object.as_ptr::<Item<T>>();
        // SAFETY: the slot is ours and large enough for an item.
        unsafe { (&raw mut (*item.as_ptr()).value).write(value) };
        true
    }

    fn is_plain(&self) -> bool {
        self.0.life.is_none()
    }

    unsafe fn fini(&self, object: Object) -> Option<Object> {
        let life = self.0.life.as_ref()?;
        let item = object.as_ptr::<Item<T>>();
        // SAFETY: a free item of an object zone is constructed (invariant 1), and is not used after this.
        life.fini(unsafe { (&raw const (*item.as_ptr()).value).read() });
        None
    }
}

/// No object is free: the limit of the zone, or memory, or a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted {
    /// What ran out.
    pub cause: Cause,
    /// The zone's limit, in objects.
    pub limit: Option<usize>,
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.cause, self.limit) {
            (Cause::Limit, Some(limit)) => write!(f, "all {limit} objects of the zone are in use"),
            (Cause::Part | Cause::PartRefused, _) => f.write_str("a part of the object could not be had"),
            (Cause::Refused, _) => f.write_str("the zone's hooks refused"),
            _ => f.write_str("the zone's page source is out of memory"),
        }
    }
}

impl core::error::Error for Exhausted {}

/// Settings of a [`Zone`] or an [`ObjectZone`].
pub struct Builder<T> {
    settings: Settings,
    _of: PhantomData<fn() -> T>,
}

impl<T: Send + 'static> Builder<T> {
    /// Objects that may exist at once, in use or free. Default: no limit.
    pub fn limit(mut self, objects: usize) -> Self {
        self.settings.limit = Some(objects);
        self
    }

    /// Objects per magazine; a thread caches two magazines and 256 objects on their way from thread to thread, and up to 4096
    /// more if it takes back what it gave.
    /// Default: 64.
    pub fn magazine(mut self, objects: usize) -> Self {
        self.settings.magazine = objects;
        self
    }

    /// Where pages come from. Default: the global allocator.
    pub fn pages(mut self, source: impl PageSource + 'static) -> Self {
        self.settings.source = Arc::new(source);
        self
    }

    /// Takes each cache's lock on every operation, as on a system without `membarrier(2)`.
    pub fn locked(mut self, locked: bool) -> Self {
        self.settings.locked = locked;
        self
    }

    fn raw(mut self, life: Option<Box<dyn Lifecycle<T>>>) -> Arc<RawZone> {
        let kind = Arc::new(Kind { life });
        self.settings.user = Arc::as_ptr(&kind).cast();
        let shape = Shape::new(Layout::new::<Item<T>>());
        Arc::new(RawZone::new(shape, &self.settings, Box::new(TypedHooks(kind))))
    }

    /// A zone of values.
    pub fn build(self) -> Zone<T> {
        Zone { raw: self.raw(None), _of: PhantomData }
    }

    /// A zone of objects that rest constructed.
    pub fn objects(self, life: impl Lifecycle<T>) -> ObjectZone<T> {
        ObjectZone { raw: self.raw(Some(Box::new(life))), _of: PhantomData }
    }
}

macro_rules! zone_methods {
    ($name:ident) => {
        impl<T: Send + 'static> $name<T> {
            /// Settings, to be changed and built.
            pub fn builder() -> Builder<T> {
                Builder { settings: Settings::default(), _of: PhantomData }
            }

            /// A snapshot of the counters.
            pub fn stats(&self) -> ZoneStats {
                self.raw.stats()
            }

            /// Gives free objects and empty slabs back to the page source. Returns the bytes given back.
            pub fn trim(&self) -> usize {
                self.raw.trim()
            }

            /// Changes the limit. A lower one stops growth at once and gives back free objects beyond it; slots in
            /// use stay ([`RawZone::set_limit`]).
            pub fn set_limit(&self, limit: Option<usize>) {
                self.raw.set_limit(limit);
            }

            fn exhausted(&self, cause: Cause) -> Exhausted {
                Exhausted { cause, limit: self.raw.limit() }
            }

            fn object(&self) -> Result<Object, Exhausted> {
                self.raw.get::<LANE>().map_err(|cause| self.exhausted(cause))
            }
        }

        impl<T> Clone for $name<T> {
            fn clone(&self) -> Self {
                $name { raw: self.raw.clone(), _of: PhantomData }
            }
        }

        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.raw.stats()).finish()
            }
        }
    };
}

/// A zone of values: an allocator for many boxes of one type.
///
/// A handle; clones name the same zone. Slots may outlive every handle and be dropped on any thread.
///
/// ```
/// use mbuf_zone::Zone;
/// let zone = Zone::<String>::builder().limit(2).build();
/// let a = zone.get("one".to_string()).unwrap();
/// let b = zone.get("two".to_string()).unwrap();
/// let (error, third) = zone.get("three".to_string()).unwrap_err();
/// assert_eq!(error.to_string(), "all 2 objects of the zone are in use");
/// drop(zone);
/// assert_eq!(format!("{}{}{third}", *a, *b), "onetwothree");
/// ```
pub struct Zone<T> {
    raw: Arc<RawZone>,
    _of: Invariant<T>,
}

zone_methods!(Zone);

impl<T: Send + 'static> Zone<T> {
    /// Moves a value into a slot.
    ///
    /// # Errors
    /// [`Exhausted`], and the value back.
    pub fn get(&self, value: T) -> Result<Slot<T>, (Exhausted, T)> {
        match self.object() {
            // SAFETY: an object of this zone, just handed out.
            Ok(object) => Ok(unsafe { Slot::new(object, value) }),
            Err(error) => Err((error, value)),
        }
    }

    /// Makes a value in a slot, or does not make it. If `make` panics, the slot is free again.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub fn get_with(&self, make: impl FnOnce() -> T) -> Result<Slot<T>, Exhausted> {
        /// Puts the slot back when `make` panics.
        struct Bare(Object);
        impl Drop for Bare {
            fn drop(&mut self) {
                // SAFETY: ours, given away, and without a value, as free slots of a value zone are.
                unsafe { raw::put::<LANE>(self.0) };
            }
        }
        let bare = Bare(self.object()?);
        let value = make();
        let object = bare.0;
        mem::forget(bare);
        // SAFETY: an object of this zone, just handed out.
        Ok(unsafe { Slot::new(object, value) })
    }

    /// This zone with a cache of its own, for a hot loop or a target without thread-locals.
    pub fn local(&self) -> LocalZone<T> {
        LocalZone { local: self.raw.local(), zone: self.clone() }
    }
}

/// A [`Zone`] and a cache of it that belongs to the holder: [`get`](Self::get) takes from there and
/// [`put`](Self::put) frees to there. A slot that is dropped goes to the thread's cache as always.
///
/// ```
/// use mbuf_zone::Zone;
/// let zone = Zone::<u64>::builder().build();
/// let mut local = zone.local();
/// let slot = local.get(7).unwrap();
/// local.put(slot);
/// assert_eq!(zone.stats().in_use, 0);
/// ```
pub struct LocalZone<T> {
    local: raw::Local,
    zone: Zone<T>,
}

impl<T: Send + 'static> LocalZone<T> {
    /// Moves a value into a slot.
    ///
    /// # Errors
    /// [`Exhausted`], and the value back.
    #[inline]
    pub fn get(&mut self, value: T) -> Result<Slot<T>, (Exhausted, T)> {
        match self.local.get() {
            // SAFETY: an object of this zone, just handed out.
            Ok(object) => Ok(unsafe { Slot::new(object, value) }),
            Err(cause) => Err((self.zone.exhausted(cause), value)),
        }
    }

    /// Drops the value of a slot and frees the slot to this cache, if it is one of this zone; otherwise drops it.
    #[inline]
    pub fn put(&mut self, slot: Slot<T>) {
        // SAFETY: live by the slot's invariant.
        if !self.local.owns(unsafe { &(*slot.item.as_ptr()).head }) {
            return;
        }
        let slot = ManuallyDrop::new(slot);
        // SAFETY: initialised by the slot's invariant; never read again.
        let value = unsafe { (&raw const (*slot.item.as_ptr()).value).read() };
        // SAFETY: a slot of this zone (its head says so), unmarked, without its value, given away.
        unsafe { self.local.put(Object::new(slot.item.cast())) };
        drop(value);
    }

    /// Gives every cached slot to the zone's depot.
    pub fn flush(&mut self) {
        self.local.flush();
    }
}

impl<T> fmt::Debug for LocalZone<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LocalZone").field(&self.zone).finish()
    }
}

/// A zone of objects that rest constructed, so that taking one costs a pop: UMA's model.
///
/// ```
/// use mbuf_zone::{Lifecycle, ObjectZone};
/// struct Buffers;
/// impl Lifecycle<Vec<u8>> for Buffers {
///     fn init(&self) -> Option<Vec<u8>> {
///         Some(Vec::with_capacity(4096))
///     }
///     fn dtor(&self, buffer: &mut Vec<u8>) {
///         buffer.clear();
///     }
/// }
/// let zone = ObjectZone::builder().objects(Buffers);
/// let mut buffer = zone.get().unwrap();
/// buffer.extend_from_slice(b"no allocation here");
/// ```
pub struct ObjectZone<T> {
    raw: Arc<RawZone>,
    _of: Invariant<T>,
}

zone_methods!(ObjectZone);

impl<T: Send + 'static> ObjectZone<T> {
    /// Takes an object.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub fn get(&self) -> Result<Slot<T>, Exhausted> {
        let object = self.object()?;
        let mut slot = Slot { item: object.as_ptr::<Item<T>>(), _of: (PhantomData, PhantomData) };
        if let Some(life) = &slot.kind().life {
            life.ctor(&mut slot);
        }
        Ok(slot)
    }
}

/// One object of a [`Zone`] or an [`ObjectZone`]: the `Box` of this crate. One pointer wide, as is its `Option`.
///
/// Unlike a box it is invariant in `T`, for the value goes back to a zone that knows it as a `T` and no other:
///
/// ```compile_fail,E0308
/// use mbuf_zone::Slot;
/// fn weaken(slot: Slot<for<'a> fn(&'a u8)>) -> Slot<fn(&'static u8)> {
///     slot
/// }
/// ```
///
/// # Invariants
/// 1. `item` is an object of a typed zone of `T`, out of its keg, that this slot alone owns; its value is initialised.
pub struct Slot<T: Send + 'static> {
    item: NonNull<Item<T>>,
    _of: (PhantomData<T>, Invariant<T>),
}

// SAFETY: a slot owns its value as a box does; zones may be used from any thread.
unsafe impl<T: Send + 'static> Send for Slot<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync + 'static> Sync for Slot<T> {}

impl<T: Send + 'static> Slot<T> {
    /// # Safety
    /// The object was just handed out by a value zone of `T`, to the caller.
    #[inline(always)]
    unsafe fn new(object: Object, value: T) -> Self {
        let item = object.as_ptr::<Item<T>>();
        // SAFETY: the slot is ours alone and large enough for an item; its value is not initialised.
        unsafe { (&raw mut (*item.as_ptr()).value).write(value) };
        Slot { item, _of: (PhantomData, PhantomData) }
    }

    /// The reference is good until the slot is put back.
    fn kind<'a>(&self) -> &'a Kind<T> {
        // SAFETY: live by invariant 1; the zone's hooks hold the kind, and the object holds the zone.
        unsafe { &*(*self.item.as_ptr()).head.user().cast::<Kind<T>>() }
    }

    /// Moves the value out and frees the slot. An [`ObjectZone`] makes a new object of the slot when it needs one.
    pub fn into_inner(self) -> T {
        let this = ManuallyDrop::new(self);
        // SAFETY: initialised by invariant 1; never read again.
        let value = unsafe { (&raw const (*this.item.as_ptr()).value).read() };
        if this.kind().life.is_none() {
            this.put_back();
        } else {
            // SAFETY: ours, given away, and without its value, as `fini` leaves an item.
            unsafe { raw::discard_bare(Object::new(this.item.cast())) };
        }
        value
    }

    fn put_back(&self) {
        let object = Object::new(self.item.cast());
        // SAFETY: live by invariant 1, and given away by the callers, which never use it again.
        unsafe {
            if !raw::try_put::<LANE>(object, &(*self.item.as_ptr()).head) {
                raw::put::<LANE>(object);
            }
        }
    }
}

impl<T: Send + 'static> Deref for Slot<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: live and initialised by invariant 1.
        unsafe { &(*self.item.as_ptr()).value }
    }
}

impl<T: Send + 'static> DerefMut for Slot<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: live, initialised and owned by this slot alone (invariant 1).
        unsafe { &mut (*self.item.as_ptr()).value }
    }
}

impl<T: Send + 'static> Drop for Slot<T> {
    fn drop(&mut self) {
        /// Puts the slot back even when a destructor panics.
        struct PutBack<'a, T: Send + 'static>(&'a Slot<T>);
        impl<T: Send + 'static> Drop for PutBack<'_, T> {
            fn drop(&mut self) {
                self.0.put_back();
            }
        }
        let value = {
            // SAFETY: in `drop` the slot is borrowed mutably and its value initialised (invariant 1).
            unsafe { &raw mut (*self.item.as_ptr()).value }
        };
        let kind = self.kind();
        let _put_back = PutBack(self);
        match &kind.life {
            // SAFETY: initialised; never used again, for a slot of a value zone that is free holds no value.
            None => unsafe { value.drop_in_place() },
            // SAFETY: initialised, and ours alone.
            Some(life) => life.dtor(unsafe { &mut *value }),
        }
    }
}

impl<T: Send + fmt::Debug + 'static> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
