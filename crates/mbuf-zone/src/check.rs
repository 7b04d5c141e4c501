//! One function that knows what has to be true of free objects.
#![allow(unsafe_code)]

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use core::fmt;

use crate::zone::Core;

/// What is wrong with a zone. Finding one is a bug of this crate's, or of code that writes where it should not, or frees
/// what it does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ZoneFault {
    /// The free slots of a slab are not as many as it says, or it is not listed as having any.
    FreeSet {
        /// Which slab.
        slab: usize,
        /// Free slots that there are.
        free: usize,
        /// Free slots as the slab says.
        said: usize,
    },
    /// The slabs together have other numbers than the keg says.
    Totals {
        /// Slots that are out.
        used: usize,
        /// Slots.
        total: usize,
        /// Both, as the keg says.
        said: (usize, usize),
    },
    /// A free object is no slot of the zone's slabs that is out of them, or has lost its place or its home, or is marked.
    Stray {
        /// Its address.
        object: usize,
    },
    /// A free object is there twice.
    Twice {
        /// Its address.
        object: usize,
    },
    /// More objects are free than are out of the slabs.
    Count {
        /// Objects in caches and in the depot.
        free: usize,
        /// Objects that are out.
        out: usize,
    },
    /// The zones over these slabs have more out than the slabs.
    Out {
        /// What the zones say together.
        zones: usize,
        /// What the slabs say.
        slabs: usize,
    },
}

impl fmt::Display for ZoneFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ZoneFault::FreeSet { slab, free, said } => {
                write!(f, "slab {slab} has {free} free slots and says {said}, or is in the wrong list")
            }
            ZoneFault::Totals { used, total, said } => {
                write!(f, "{used} of {total} slots are out, the keg says {} of {}", said.0, said.1)
            }
            ZoneFault::Stray { object } => write!(f, "the free object at {object:#x} is none of the zone's"),
            ZoneFault::Twice { object } => write!(f, "the object at {object:#x} is free twice"),
            ZoneFault::Count { free, out } => write!(f, "{free} objects are free, of {out} that are out"),
            ZoneFault::Out { zones, slabs } => {
                write!(f, "{zones} objects are out of the slabs as the zones say, {slabs} as the slabs do")
            }
        }
    }
}

impl core::error::Error for ZoneFault {}

impl Core {
    /// Checks the slabs and every free object of the zones that have them in common.
    pub(crate) fn check(self: &Arc<Self>) -> Result<(), ZoneFault> {
        // Declared first, let go of last: with it may go the last handle of a zone.
        let zones;
        let moving = self.kin.moving();
        zones = self.kin.members(|member| Arc::ptr_eq(member.keg(), self.keg()));
        for zone in &zones {
            zone.collect(&moving);
        }
        // All at once: nothing leaves a keg without one of these locks.
        let stocks: alloc::vec::Vec<_> = zones.iter().map(|zone| zone.depot.stock.lock()).collect();
        let slabs = self.keg().check()?;
        let (mut seen, mut out) = (BTreeSet::new(), 0);
        for (zone, stock) in zones.iter().zip(&stocks) {
            for object in stock.objects() {
                let at = object.as_ptr::<u8>().as_ptr().addr();
                let is_ours = self.keg().is_out(object)
                    // SAFETY: a slot that is out of the keg has a live head.
                    && core::ptr::eq(unsafe { object.head() }.home_marked(), Arc::as_ptr(zone));
                if !is_ours {
                    return Err(ZoneFault::Stray { object: at });
                }
                if !seen.insert(at) {
                    return Err(ZoneFault::Twice { object: at });
                }
            }
            let free = stock.len() + stock.bare.len();
            if free > stock.out {
                return Err(ZoneFault::Count { free, out: stock.out });
            }
            out += stock.out;
        }
        // Objects of closed zones, and those on their way back, are out of the slabs and of no zone here.
        if out > slabs { Err(ZoneFault::Out { zones: out, slabs }) } else { Ok(()) }
    }
}

#[cfg(all(test, not(loom)))]
pub(crate) mod tests {
    use super::*;
    use crate::raw::{Cause, Object, RawZone, Settings, Shape, discard_bare, put};
    use alloc::boxed::Box;
    use alloc::vec::Vec;
    use core::alloc::Layout;
    use core::ptr::NonNull;

    /// Hooks of objects that are bare slots.
    pub(crate) struct Plain;

    // SAFETY: objects are bare slots.
    unsafe impl crate::raw::Hooks for Plain {
        unsafe fn init(&self, _: Object, _: Option<NonNull<u8>>) -> bool {
            true
        }

        unsafe fn fini(&self, _: Object) -> Option<Object> {
            None
        }
    }

    /// A zone of them.
    pub(crate) fn zone(settings: &Settings) -> RawZone {
        RawZone::new(Shape::new(Layout::from_size_align(64, 16).unwrap()), settings, Box::new(Plain))
    }

    pub(crate) fn take(zone: &RawZone, n: usize) -> Vec<Object> {
        (0..n).map(|_| zone.get::<0>().unwrap()).collect()
    }

    /// Gives back what was taken.
    pub(crate) fn give(objects: impl IntoIterator<Item = Object>) {
        // SAFETY: callers own them.
        objects.into_iter().for_each(|object| unsafe { put::<0>(object) });
    }

    #[test]
    fn what_is_wrong_is_said_with_its_numbers() {
        let texts = [
            (
                ZoneFault::FreeSet { slab: 1, free: 2, said: 3 },
                "slab 1 has 2 free slots and says 3, or is in the wrong list",
            ),
            (
                ZoneFault::Totals { used: 1, total: 2, said: (3, 4) },
                "1 of 2 slots are out, the keg says 3 of 4",
            ),
            (ZoneFault::Stray { object: 16 }, "the free object at 0x10 is none of the zone's"),
            (ZoneFault::Twice { object: 16 }, "the object at 0x10 is free twice"),
            (ZoneFault::Count { free: 2, out: 1 }, "2 objects are free, of 1 that are out"),
            (
                ZoneFault::Out { zones: 2, slabs: 1 },
                "2 objects are out of the slabs as the zones say, 1 as the slabs do",
            ),
        ];
        for (fault, text) in texts {
            assert_eq!(fault.to_string(), text);
        }
    }

    #[test]
    fn a_slot_without_an_object_counts_as_free() {
        let settings = Settings { limit: Some(1), ..Settings::default() };
        let zone = self::zone(&settings);
        zone.reserve(1).unwrap();
        let object = zone.get::<0>().unwrap();
        // SAFETY: ours; nothing was in it.
        unsafe { discard_bare(object) };
        assert_eq!((zone.stats().bare, zone.stats().cached, zone.check()), (1, 1, Ok(())));
        let out = core::mem::replace(&mut zone.core().depot.stock.lock().out, 0);
        assert_eq!(zone.check(), Err(ZoneFault::Count { free: 1, out: 0 }));
        zone.core().depot.stock.lock().out = out;
        // It is made an object again.
        let again = zone.get::<0>().unwrap();
        assert_eq!((again, zone.stats().bare, zone.check()), (object, 0, Ok(())));
        // SAFETY: ours.
        unsafe { discard_bare(again) };
        // Given back as it is, to who reserves one of another zone over the same slabs.
        let other = zone.secondary(&settings, Box::new(Plain));
        assert_eq!(other.reserve(1), Err(Cause::Limit));
        zone.reserve(0).unwrap();
        other.reserve(1).unwrap();
        assert_eq!((zone.stats().bare, zone.stats().cached, other.stats().cached), (0, 0, 1));
        drop((zone, other));
        crate::flush_thread();
    }

    #[test]
    fn what_is_free_twice_or_nobodys_or_too_much_is_found() {
        let zone = self::zone(&Settings::default());
        let other = zone.secondary(&Settings::default(), Box::new(Plain));
        let core = zone.core().clone();
        let (a, b, c) = (zone.get::<0>().unwrap(), zone.get::<0>().unwrap(), other.get::<1>().unwrap());
        let at = |object: Object| object.as_ptr::<u8>().as_ptr().addr();
        // SAFETY: ours.
        unsafe { put::<0>(a) };
        assert_eq!(zone.check(), Ok(()));
        // What holds a stray object, for a moment.
        let with = |stray: Object| {
            core.depot.stock.lock().loose.push(stray);
            let found = zone.check();
            core.depot.stock.lock().loose.retain(|&object| object != stray);
            found
        };
        let twice = with(a);
        assert_eq!(twice, Err(ZoneFault::Twice { object: at(a) }));
        // That took it out altogether.
        core.depot.stock.lock().loose.push(a);
        assert_eq!(with(c), Err(ZoneFault::Stray { object: at(c) }), "of another zone");
        let mut elsewhere = [0u128; 4];
        let stray = Object::new(NonNull::from(&mut elsewhere).cast());
        assert_eq!(with(stray), Err(ZoneFault::Stray { object: elsewhere.as_ptr().addr() }));
        let out = core::mem::replace(&mut core.depot.stock.lock().out, 0);
        assert!(matches!(zone.check(), Err(ZoneFault::Count { out: 0, .. })));
        core.depot.stock.lock().out = out + 10;
        assert!(matches!(zone.check(), Err(ZoneFault::Out { .. })));
        core.depot.stock.lock().out = out;
        assert_eq!(zone.check(), Ok(()));
        // SAFETY: ours.
        unsafe {
            put::<0>(b);
            put::<1>(c);
        }
        assert_eq!((zone.check(), other.check()), (Ok(()), Ok(())));
        drop((zone, other, core));
        crate::flush_thread();
    }
}
