//! Limits that are exact: the last look of a zone that starves, limits that change, reserves, and those who wait.
//!
//! # The last look
//!
//! Allocation fails only if there was a moment, while it ran, when every object that could have served it was in
//! use. Who starves collects the caches of its zone and of those that could help it, which are [held](Depot::hold)
//! meanwhile, so that they stay shut; then it looks into the depots of all these zones and into the keg, with all
//! their locks at once. What it finds in its own depot or in the keg it takes. If only the others have free objects,
//! it gives a batch of them back to their kegs and looks again. If nobody has, every object is in use.
//!
//! While objects are between a cache and a depot, or a depot and a keg, whoever moves them has `Kin::moving`, and who
//! starves has it too: nobody overlooks what is on its way. Hooks that are not quiet run without it, as
//! `Hooks::is_quiet` says; then what they have in hand counts as in use.
//!
//! # Limits that were lowered
//!
//! Where more is in use than a new limit allows, the zones are **braked**: held, and every object that is freed goes
//! back to the keg, so that nothing is handed out until the limit holds, but for what a reserve keeps. The first free,
//! or look into the keg, after that lets go.
//!
//! # Watchers
//!
//! Who waits for an object **watches** the zones that could give one: they are held, so that every free comes through
//! the depot, and says so. The waiter first watches, then looks, then sleeps: an object is found by the look, or its
//! return is told.
//!
//! # Observers
//!
//! A zone of which **everything** is observed is held, too, so that every object that is handed out or comes back goes past the
//! caches, where the hooks are shown it. A zone that is not has no instruction for that on its fast paths; of **samples** they
//! are shown what goes past open caches anyway.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ptr::NonNull;

use crate::back::{Finish, Later};
use crate::depot::Stock;
use crate::group::Kin;
use crate::head::Object;
use crate::keg::Cause;
use crate::sync::{Guard, Ordering};
use crate::zone::{Core, Observed};

/// What a look came upon.
pub(crate) enum Found {
    /// An object.
    Ready(Object),
    /// A slot that was taken from the keg and counts as out, and its block.
    Slot(Object, Option<NonNull<u8>>),
}

/// How a look takes what it finds: anything, or only from the keg.
type Take = fn(&Arc<Core>, &mut Stock) -> Result<Found, Cause>;

/// Most objects of other zones that are taken apart at a time.
const RAID: usize = 32;

/// Several zones held.
struct HeldAll<'a>(&'a [Arc<Core>]);

impl<'a> HeldAll<'a> {
    fn new(zones: &'a [Arc<Core>]) -> Self {
        zones.iter().for_each(|zone| core::mem::forget(zone.depot.hold()));
        HeldAll(zones)
    }
}

impl Drop for HeldAll<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|zone| zone.depot.release());
    }
}

impl Core {
    /// Whether this zone has slots for objects of that one, in its objects or instead of them.
    pub(crate) fn has_slots_for(&self, other: &Core) -> bool {
        Arc::ptr_eq(self.keg(), other.keg())
            || self.parts.as_ref().is_some_and(|parts| Arc::ptr_eq(parts, other.keg()))
    }

    /// Depot and keg have nothing. Looks for free objects of this zone in all caches, then with others.
    #[cold]
    pub(crate) fn starve(self: &Arc<Self>, cause: Cause) -> Result<Object, Cause> {
        let found = self.search(cause, Core::take).and_then(|found| self.make(found));
        match found {
            Ok(_) => _ = self.rescued.fetch_add(1, Ordering::Relaxed),
            Err(_) => self.deny(),
        }
        found
    }

    fn search(self: &Arc<Self>, mut cause: Cause, take: Take) -> Result<Found, Cause> {
        loop {
            // Declared first, let go of last: with it may go the last handle of a zone.
            let kin;
            let moving = self.kin.moving();
            kin = self.kin.helpers(self, cause);
            let _held = (self.depot.hold(), HeldAll::new(&kin));
            for zone in kin.iter().chain([self]) {
                zone.collect(&moving);
            }
            let mut spoils = Finish::default();
            {
                let mut stock = self.depot.stock.lock();
                let mut stocks: Vec<Guard<'_, Stock>> =
                    kin.iter().map(|zone| zone.depot.stock.lock()).collect();
                let stopped = cause;
                match take(self, &mut stock) {
                    Ok(found) => return Ok(found),
                    Err(now) => cause = now,
                }
                if cause == Cause::Budget && stopped != Cause::Budget {
                    // More zones can help with that.
                    continue;
                }
                let enough = self.batch().min(RAID) * self.keg().shape().bytes();
                let mut bytes = 0;
                for (zone, stock) in kin.iter().zip(&mut stocks) {
                    while bytes < enough
                        && spoils.has_room_for(zone)
                        && let Some(spare) = stock.part_with(zone.floor())
                    {
                        bytes += zone.keg().shape().bytes();
                        spoils.add(zone, spare);
                    }
                }
            }
            if spoils.len() == 0 {
                return Err(cause);
            }
            spoils.finish(moving);
        }
    }

    /// Changes the keg's limit and gives back free objects beyond it.
    pub(crate) fn set_limit(self: &Arc<Self>, limit: Option<usize>) {
        self.keg().set_limit(limit);
        self.kin.enforce(|zone| zone.has_slots_for(self));
    }

    /// How many objects would have to go back for the limits on them, and on their parts, to hold.
    fn beyond(&self) -> usize {
        self.keg().beyond().max(self.parts.as_ref().map_or(0, |parts| parts.beyond()))
    }

    /// Lets go of the zone if it was braked and its limits hold by now.
    pub(crate) fn ease(&self, stock: &mut Stock) {
        if stock.braked && self.beyond() == 0 {
            stock.braked = false;
            self.depot.release();
        }
    }

    fn brake(&self) {
        let mut stock = self.depot.stock.lock();
        if !stock.braked && !stock.closed {
            stock.braked = true;
            core::mem::forget(self.depot.hold());
        }
    }

    /// Keeps `n` objects of this zone out of the keg, whoever else runs short of them.
    pub(crate) fn reserve(self: &Arc<Self>, n: usize) -> Result<(), Cause> {
        self.can_have(n)?;
        let before = self.floor.swap(n, Ordering::Relaxed);
        let filled = loop {
            let (out, closed) = {
                let stock = self.depot.stock.lock();
                (stock.out, stock.closed)
            };
            if out >= n {
                break Ok(());
            }
            if closed {
                // It keeps nothing any more.
                break Err(Cause::Limit);
            }
            // Each goes to the depot at once: nobody overlooks it, and nobody takes it below the floor.
            match self.search(Cause::Limit, Core::take_new).and_then(|found| self.make(found)) {
                Ok(object) => self.settle(object, &mut Later::default()),
                Err(cause) => break Err(cause),
            }
        };
        if filled.is_err() {
            self.floor.store(before, Ordering::Relaxed);
        }
        // Of what is kept no longer, or was taken in vain, others may have some now.
        if filled.is_err() || n < before {
            self.tell();
        }
        filled
    }

    /// Whether, as things are, `n` objects of this zone could be out of the keg.
    fn can_have(self: &Arc<Self>, n: usize) -> Result<(), Cause> {
        let kin;
        let moving = self.kin.moving();
        // All: the budget may be what stops it.
        kin = self.kin.helpers(self, Cause::Budget);
        let _held = (self.depot.hold(), HeldAll::new(&kin));
        for zone in kin.iter().chain([self]) {
            zone.collect(&moving);
        }
        let stock = self.depot.stock.lock();
        let stocks: Vec<Guard<'_, Stock>> = kin.iter().map(|zone| zone.depot.stock.lock()).collect();
        let (mut slots, mut bytes) = (self.keg().room(), self.kin.budget.room());
        for (zone, stock) in kin.iter().zip(&stocks) {
            let spare = (stock.len() + stock.bare.len()).min(stock.out.saturating_sub(zone.floor()));
            bytes = bytes.saturating_add(spare * zone.keg().shape().bytes());
            if zone.has_slots_for(self) {
                slots = slots.saturating_add(spare);
            }
        }
        let missing = n.saturating_sub(stock.out);
        if missing > slots {
            return Err(Cause::Limit);
        }
        if missing.saturating_mul(self.keg().shape().bytes()) > bytes {
            return Err(Cause::Budget);
        }
        Ok(())
    }

    pub(crate) fn floor(&self) -> usize {
        self.floor.load(Ordering::Relaxed)
    }

    /// From here on, until [`unwatch`](Self::unwatch), every object that comes back is told.
    pub(crate) fn watch(&self) {
        let moving = self.kin.moving();
        core::mem::forget(self.depot.hold());
        self.depot.stock.lock().watched += 1;
        // What is freed into an open cache would not be told.
        self.collect(&moving);
    }

    pub(crate) fn unwatch(&self) {
        self.depot.stock.lock().watched -= 1;
        self.depot.release();
    }

    /// Relaxed: that a zone is observed is a matter of time. Who comes here after the caches were collected took their
    /// locks, or the depot's, after the collector.
    pub(crate) fn observed(&self) -> Observed {
        match self.observed.load(Ordering::Relaxed) {
            0 => Observed::Nothing,
            1 => Observed::Samples,
            _ => Observed::Everything,
        }
    }

    /// Shows what comes and goes to the hooks.
    pub(crate) fn observe(&self, what: Observed) {
        let moving = self.kin.moving();
        let before = self.observed();
        self.observed.store(what as usize, Ordering::Relaxed);
        match (before == Observed::Everything, what == Observed::Everything) {
            (false, true) => {
                core::mem::forget(self.depot.hold());
                // What goes through an open cache is not seen.
                self.collect(&moving);
            }
            (true, false) => self.depot.release(),
            _ => {}
        }
    }
}

impl Kin {
    pub(crate) fn set_budget(&self, bytes: Option<usize>) {
        self.budget.set_limit(bytes);
        self.enforce(|_| true);
    }

    /// Gives free objects back until the limits of these members hold, and brakes those whose limits do not, because
    /// too many objects are in use.
    fn enforce(&self, of: impl Fn(&Core) -> bool) {
        let mut zones;
        loop {
            let moving = self.moving();
            zones = self.members(&of);
            if zones.iter().all(|zone| zone.beyond() == 0) {
                break;
            }
            for zone in &zones {
                zone.brake();
            }
            let mut excess = Finish::default();
            for zone in &zones {
                zone.collect(&moving);
                let mut stock = zone.depot.stock.lock();
                for _ in 0..zone.beyond() {
                    let Some(spare) = stock.part_with(zone.floor()) else { break };
                    excess.add(zone, spare);
                }
            }
            if excess.len() == 0 {
                break;
            }
            excess.finish(moving);
        }
        for zone in &zones {
            let watched = {
                let mut stock = zone.depot.stock.lock();
                zone.ease(&mut stock);
                stock.watched > 0
            };
            if watched {
                zone.tell();
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::check::tests::{Plain, give, take, zone};
    use crate::raw::{Group, Settings};
    use alloc::boxed::Box;

    /// A zone that is held for ever works, but without its caches.
    #[test]
    fn nobody_is_held_when_what_held_them_is_over() {
        let group = Group::new();
        let settings = Settings { limit: Some(8), group: Some(group.clone()), ..Settings::default() };
        let first = zone(&settings);
        let zones = [first.secondary(&settings, Box::new(Plain)), zone(&settings), first];
        let held = || [0, 1, 2].map(|n: usize| zones[n].core().depot.is_held());
        // A last look that finds something, and one that does not.
        give(take(&zones[0], 8));
        let all = take(&zones[2], 8);
        assert_eq!((zones[2].get::<0>(), held()), (Err(Cause::Limit), [false; 3]));
        // Limits below what is in use, again and again.
        for limit in [7, 5, 4] {
            zones[2].set_limit(Some(limit));
            assert_eq!(held(), [true, false, true]);
        }
        give(all);
        assert_eq!(zones[0].get::<0>().map(|object| give([object])), Ok(()));
        assert_eq!(zones[2].get::<0>().map(|object| give([object])), Ok(()));
        assert_eq!(held(), [false; 3]);
        // Watchers and observers, more than one.
        for watchers in [1, 2] {
            (0..watchers).for_each(|_| zones[1].watch());
            zones[1].observe(Observed::Everything);
            zones[1].observe(Observed::Everything);
            assert_eq!(held(), [false, true, false]);
            (0..watchers).for_each(|_| zones[1].unwatch());
            assert_eq!(held(), [false, true, false]);
            zones[1].observe(Observed::Samples);
            assert_eq!(held(), [false; 3]);
            zones[1].observe(Observed::Nothing);
            assert_eq!(held(), [false; 3]);
        }
        assert_eq!(zones[0].reserve(100), Err(Cause::Limit));
        assert_eq!((zones[0].check(), held()), (Ok(()), [false; 3]));
        drop(zones);
        crate::flush_thread();
        assert_eq!(group.charged(), 0);
    }
}
