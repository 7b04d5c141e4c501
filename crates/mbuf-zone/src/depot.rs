//! What the caches of a zone share: magazines, and free objects in none.
#![allow(unsafe_code)]

use alloc::alloc::handle_alloc_error;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::alloc::Layout;
use core::ptr::NonNull;

use crate::back::Spare;
use crate::fetch::fetch;
use crate::head::Object;
use crate::sync::{AtomicUsize, Mutex, Ordering, Place};

/// Places behind those that a magazine has room for: see `cache.rs`.
const SPARE_PLACES: usize = 2;

/// The array of a magazine. Owned by address, so that moving a magazine leaves pointers into it good.
///
/// # Invariants
/// 1. The address is that of a boxed slice which this value owns.
pub(crate) struct Places(NonNull<[Place<Object>]>);

// SAFETY: owns what it points to, as a box does.
unsafe impl Send for Places {}
// SAFETY: a place is shared under the protocol of who uses it (see `cache.rs`).
unsafe impl Sync for Places {}

impl Places {
    fn new(size: usize) -> Option<Self> {
        let mut places = Vec::new();
        places.try_reserve_exact(size + SPARE_PLACES).ok()?;
        places.resize_with(size + SPARE_PLACES, Place::new);
        NonNull::new(Box::into_raw(places.into_boxed_slice())).map(Places)
    }

    pub(crate) fn base(&self) -> *mut Place<Object> {
        self.0.as_ptr().cast()
    }

    fn all(&self) -> &[Place<Object>] {
        // SAFETY: live by invariant 1.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        // SAFETY: invariant 1.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// A magazine: room for a fixed number of objects, the first `len` of which are there.
///
/// # Invariants
/// 1. The first `len` places are written, and each holds a free object of the zone that no other list holds.
/// 2. Nobody else uses the places.
pub(crate) struct Magazine {
    pub(crate) places: Places,
    pub(crate) len: usize,
}

impl Magazine {
    /// An empty one, if there is memory for it.
    pub(crate) fn new(size: usize) -> Option<Self> {
        Some(Magazine { places: Places::new(size)?, len: 0 })
    }

    /// An empty one of the same size. Without memory for it the process ends.
    pub(crate) fn empty_like(&self) -> Self {
        Self::new(self.capacity()).unwrap_or_else(|| handle_alloc_error(Layout::for_value(self.places.all())))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn capacity(&self) -> usize {
        self.places.0.len() - SPARE_PLACES
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len == self.capacity()
    }

    pub(crate) fn push(&mut self, object: Object) {
        // SAFETY: nobody else uses it (invariant 2).
        unsafe { self.places.all()[self.len].write(object) };
        self.len += 1;
    }

    fn objects(&self) -> impl Iterator<Item = Object> {
        // SAFETY: the first `len` are written, and nobody else uses the places (invariants 1 and 2).
        self.places.all().iter().take(self.len).map(|place| unsafe { place.read() })
    }

    /// Has the first line of each object brought to this processor, to be written: another one may have it. Nothing waits
    /// for that.
    pub(crate) fn fetch(&self) {
        self.objects().for_each(|object| fetch(object.as_ptr::<u8>()));
    }

    pub(crate) fn pop(&mut self) -> Option<Object> {
        self.len = self.len.checked_sub(1)?;
        // SAFETY: `len` was among the written places (invariant 1) and no longer is.
        Some(unsafe { self.places.all()[self.len].read() })
    }
}

/// The shared stock of a zone, and the brake on its caches.
pub(crate) struct Depot {
    pub(crate) stock: Mutex<Stock>,
    holds: AtomicUsize,
}

/// What the depot's lock protects.
///
/// # Invariants
/// 1. Magazines in `full` are full.
pub(crate) struct Stock {
    full: Vec<Magazine>,
    empty: Vec<Magazine>,
    /// Free objects in no magazine: collected, or freed without a cache.
    pub(crate) loose: Vec<Object>,
    /// Slots that are kept for the zone and hold no object, for want of a part.
    pub(crate) bare: Vec<Object>,
    /// Slots of this zone out of the keg: with users, in caches, and here.
    pub(crate) out: usize,
    /// More is out than a limit allows, or was: the zone is held, and what is freed goes to the keg.
    pub(crate) braked: bool,
    /// How many want to be told of every object that comes back, with the zone held.
    pub(crate) watched: usize,
    /// Closing is done: no object rests here any more.
    pub(crate) closed: bool,
}

/// While it lives, no collected cache opens again. See `cache.rs`.
pub(crate) struct Hold<'a>(&'a Depot);

impl Depot {
    pub(crate) fn new() -> Self {
        let stock = Stock {
            full: Vec::new(),
            empty: Vec::new(),
            loose: Vec::new(),
            bare: Vec::new(),
            out: 0,
            braked: false,
            watched: 0,
            closed: false,
        };
        Depot { stock: Mutex::new(stock), holds: AtomicUsize::new(0) }
    }

    /// Holds all caches that are collected from now on.
    pub(crate) fn hold(&self) -> Hold<'_> {
        // Relaxed: a collector takes each cache's lock after this, and an owner looks with that lock held. A cache
        // that the collector does not know yet is registered, under the registry's lock, after it looked there.
        self.holds.fetch_add(1, Ordering::Relaxed);
        Hold(self)
    }

    /// Ends a hold that was forgotten.
    pub(crate) fn release(&self) {
        self.holds.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn is_held(&self) -> bool {
        self.holds.load(Ordering::Relaxed) != 0
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}

impl Stock {
    /// Exchanges an empty magazine for a full one, or for itself with the loose objects that fit.
    pub(crate) fn full_for(&mut self, magazine: &mut Magazine) {
        debug_assert!(magazine.is_empty());
        if let Some(full) = self.full.pop() {
            self.empty.push(core::mem::replace(magazine, full));
            return;
        }
        while !magazine.is_full() {
            let Some(object) = self.loose.pop() else { break };
            magazine.push(object);
        }
    }

    /// Exchanges a full magazine for an empty one.
    pub(crate) fn empty_for(&mut self, magazine: &mut Magazine) {
        debug_assert!(magazine.is_full());
        let empty = self.empty.pop().unwrap_or_else(|| magazine.empty_like());
        self.full.push(core::mem::replace(magazine, empty));
    }

    /// Full magazines here.
    pub(crate) fn full_magazines(&self) -> usize {
        self.full.len()
    }

    /// Adds a full magazine.
    pub(crate) fn push_full(&mut self, magazine: Magazine) {
        debug_assert!(magazine.is_full());
        self.full.push(magazine);
    }

    pub(crate) fn pop(&mut self) -> Option<Object> {
        if let Some(object) = self.loose.pop() {
            return Some(object);
        }
        let mut magazine = self.full.pop()?;
        while let Some(object) = magazine.pop() {
            self.loose.push(object);
        }
        self.empty.push(magazine);
        self.loose.pop()
    }

    /// Takes a slot, with or without an object, for good, as long as `floor` stay out of the keg.
    pub(crate) fn part_with(&mut self, floor: usize) -> Option<Spare> {
        if self.out <= floor {
            return None;
        }
        let spare = match self.bare.pop() {
            Some(slot) => Spare::Bare(slot),
            None => Spare::Whole(self.pop()?),
        };
        self.out -= 1;
        Some(spare)
    }

    /// The free objects here.
    pub(crate) fn objects(&self) -> impl Iterator<Item = Object> {
        self.full.iter().flat_map(Magazine::objects).chain(self.loose.iter().copied())
    }

    /// Free objects here.
    pub(crate) fn len(&self) -> usize {
        // Those in `full` are of one size (invariant 1).
        self.loose.len() + self.full.len() * self.full.first().map_or(0, Magazine::capacity)
    }

    /// Lets go of the empty magazines, which are the depot's own memory.
    pub(crate) fn shrink(&mut self) {
        self.empty = Vec::new();
        self.loose.shrink_to_fit();
    }
}
