//! The sixteen bytes at the front of every slot, and the pointer to it.
#![allow(unsafe_code)]

use core::cell::Cell;
use core::ptr::{self, NonNull};

use crate::sync::{AtomicPtr, Ordering};
use crate::zone::Core;

/// The line of code that asks for an object.
pub type Site = &'static core::panic::Location<'static>;

/// What a zone keeps in front of each object: the zone it belongs to, and its place in the keg.
///
/// The lowest bit of the zone's address is the **mark**. A marked object does not match any thread's cached zone,
/// so the inlined free path leaves it to the zone's owner, who looks why it was marked. One compare thus asks
/// both "is this the zone whose cache is at hand?" and "is this object as simple as it was born?".
#[repr(C)]
pub struct Head {
    /// Zone, marked or not. Atomic because a shared reference may mark it from several threads.
    home: AtomicPtr<Core>,
    slab: Cell<u32>,
    slot: Cell<u32>,
}

/// The zone an object belongs to, and whether it is marked: equal for objects that are equal in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Home(pub(crate) *const Core);

const MARK: usize = 1;

impl Home {
    /// What the head of an object would say, if there is one: of memory that may be something else.
    ///
    /// # Safety
    /// As many bytes as a pointer has may be read there, aligned or not, and nobody changes them meanwhile.
    #[inline(always)]
    pub unsafe fn at(place: NonNull<Head>) -> Self {
        // SAFETY: by this function's contract; a head begins with its zone.
        Home(unsafe { place.cast::<*const Core>().read_unaligned() })
    }

    /// Whether the object is marked.
    #[inline(always)]
    pub fn is_marked(self) -> bool {
        self.0.addr() & MARK != 0
    }

    /// Whether it is the zone of that name ([`RawZone::name`](crate::raw::RawZone::name)), marked or not; of null, that there is none.
    #[inline(always)]
    pub fn is_zone(self, name: *const ()) -> bool {
        ptr::eq(self.unmarked().0, name.cast())
    }

    /// The same zone, without a mark.
    #[inline(always)]
    pub fn unmarked(self) -> Self {
        Home(self.0.map_addr(|a| a & !MARK))
    }
}

const _: () = assert!(align_of::<Core>() > MARK && core::mem::offset_of!(Head, home) == 0);
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Head>() == 16);

impl Head {
    /// The zone the object goes back to.
    #[inline]
    pub(crate) fn home(&self) -> *const Core {
        self.home.load(Ordering::Relaxed).map_addr(|a| a & !MARK)
    }

    /// The zone's address with the mark, for the one compare of the free path.
    #[inline(always)]
    pub(crate) fn home_marked(&self) -> *const Core {
        self.home.load(Ordering::Relaxed)
    }

    /// Where the object goes back to, and whether anything is to be done before.
    #[inline(always)]
    pub fn whence(&self) -> Home {
        Home(self.home_marked())
    }

    #[inline]
    pub(crate) fn set_home(&self, home: *const Core) {
        self.home.store(home.cast_mut(), Ordering::Relaxed);
    }

    /// Keeps the object off the inlined free path. May be called through shared references.
    #[inline]
    pub fn mark(&self) {
        let home = self.home.load(Ordering::Relaxed);
        // Relaxed: the marker and the one who frees are ordered by whatever handed the object over.
        self.home.store(home.map_addr(|a| a | MARK), Ordering::Relaxed);
    }

    /// Takes the mark away, before the object goes back to its zone.
    #[inline]
    pub fn unmark(&self) {
        self.set_home(self.home());
    }

    /// Whether the object is marked.
    #[inline(always)]
    pub fn is_marked(&self) -> bool {
        self.home.load(Ordering::Relaxed).addr() & MARK != 0
    }

    /// The user pointer of the zone the object belongs to ([`Settings::user`](crate::raw::Settings::user)).
    #[inline]
    pub fn user(&self) -> *const () {
        let home = self.home();
        if home.is_null() {
            return ptr::null();
        }
        // SAFETY: an object that is out of its keg keeps its zone alive.
        unsafe { (*home).user() }
    }

    pub(crate) fn place(&self) -> (u32, u32) {
        (self.slab.get(), self.slot.get())
    }

    pub(crate) fn set_place(&self, slab: u32, slot: u32) {
        self.slab.set(slab);
        self.slot.set(slot);
    }
}

/// The address of one object of a zone: a token. Whoever holds it decides what it may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Object(NonNull<Head>);

// SAFETY: an address; using it is unsafe and says what is needed.
unsafe impl Send for Object {}
// SAFETY: as above.
unsafe impl Sync for Object {}

impl Object {
    /// Names the object whose slot begins at `head`.
    #[inline(always)]
    pub const fn new(head: NonNull<Head>) -> Self {
        Object(head)
    }

    /// The start of the slot, with leave to reach all of it.
    #[inline(always)]
    pub const fn as_ptr<T>(self) -> NonNull<T> {
        self.0.cast()
    }

    /// The slot's head.
    ///
    /// # Safety
    /// The object is out of its keg while the reference lives.
    #[inline(always)]
    pub(crate) unsafe fn head<'a>(self) -> &'a Head {
        // SAFETY: live by this function's contract.
        unsafe { self.0.as_ref() }
    }
}
