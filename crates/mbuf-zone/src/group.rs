//! What zones have in common: a byte budget, and the order in which free objects are moved between them.
//!
//! ```text
//!            ┌ keg ◀─ zone          same keg: each has slots that the other could use
//!  group ────┤     ◀─ zone of pairs ──made of──▶ keg ◀─ zone of parts
//!            └ budget in bytes, charged by every keg
//! ```
//!
//! A zone that starves looks at the free objects of those that could help it: zones over the same keg, zones whose
//! objects contain one of its own, and, if the budget is what stops it, all. See `limit.rs`.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use crate::keg::Cause;
use crate::sync::{AtomicUsize, Guard, Mutex, Ordering};
use crate::zone::Core;

/// Zones that share a budget, and help each other before an allocation fails.
///
/// A zone that is made without one has a group of its own, which its secondary zones join.
#[derive(Clone)]
pub struct Group(pub(crate) Arc<Kin>);

/// The shared part of a group.
pub(crate) struct Kin {
    /// Held by whoever collects caches or moves free objects from one zone to another. Who has it knows that every
    /// free object is in a cache, a depot or a keg.
    moving: Mutex<()>,
    members: Mutex<Vec<Weak<Core>>>,
    pub(crate) budget: Arc<Budget>,
}

/// Proof that free objects are not moved by anyone else.
pub(crate) struct Moving<'a>(#[expect(dead_code, reason = "held, not used")] Guard<'a, ()>);

impl Group {
    /// A group without members, and without a budget.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Group(Arc::new(Kin {
            moving: Mutex::new(()),
            members: Mutex::new(Vec::new()),
            budget: Arc::new(Budget { limit: AtomicUsize::new(usize::MAX), charged: AtomicUsize::new(0) }),
        }))
    }

    /// Changes the bytes that the members' objects may take together, cached or in use; `None` is no limit.
    ///
    /// As with [`RawZone::set_limit`](crate::raw::RawZone::set_limit), a lower budget than what is in use stops
    /// allocation until less is.
    pub fn set_budget(&self, bytes: Option<usize>) {
        self.0.set_budget(bytes);
    }

    /// The budget in bytes, if there is one.
    pub fn budget(&self) -> Option<usize> {
        self.0.budget.limit()
    }

    /// Bytes of all objects that are out of the kegs: in use, and cached.
    pub fn charged(&self) -> usize {
        self.0.budget.charged.load(Ordering::Relaxed)
    }
}

impl core::fmt::Debug for Group {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Group").field("budget", &self.budget()).field("charged", &self.charged()).finish()
    }
}

impl Kin {
    pub(crate) fn moving(&self) -> Moving<'_> {
        Moving(self.moving.lock())
    }

    pub(crate) fn join(&self, core: &Arc<Core>) {
        // Who has `moving` knows all zones that may have objects.
        let _moving = self.moving();
        self.members.lock().push(Arc::downgrade(core));
    }

    pub(crate) fn leave(&self, core: &Core) {
        self.members.lock().retain(|member| !core::ptr::eq(member.as_ptr(), core));
    }

    /// The members that this is true of.
    pub(crate) fn members(&self, of: impl Fn(&Core) -> bool) -> Vec<Arc<Core>> {
        self.members.lock().iter().filter_map(Weak::upgrade).filter(|member| of(member)).collect()
    }

    /// The members whose free objects could help a zone that lacks something.
    pub(crate) fn helpers(&self, core: &Core, cause: Cause) -> Vec<Arc<Core>> {
        self.members(|member| {
            !core::ptr::eq(member, core) && (cause == Cause::Budget || member.has_slots_for(core))
        })
    }
}

/// Bytes that kegs take slots for.
pub(crate) struct Budget {
    /// `usize::MAX` is no limit.
    limit: AtomicUsize,
    charged: AtomicUsize,
}

impl Budget {
    pub(crate) fn limit(&self) -> Option<usize> {
        Some(self.limit.load(Ordering::Relaxed)).filter(|&limit| limit != usize::MAX)
    }

    pub(crate) fn set_limit(&self, limit: Option<usize>) {
        self.limit.store(limit.unwrap_or(usize::MAX), Ordering::Relaxed);
    }

    /// Bytes beyond the limit.
    pub(crate) fn beyond(&self) -> usize {
        self.charged.load(Ordering::Relaxed).saturating_sub(self.limit.load(Ordering::Relaxed))
    }

    /// Bytes left.
    pub(crate) fn room(&self) -> usize {
        self.limit.load(Ordering::Relaxed).saturating_sub(self.charged.load(Ordering::Relaxed))
    }

    /// Whether there is so much left.
    pub(crate) fn has(&self, bytes: usize) -> bool {
        let charged = self.charged.load(Ordering::Relaxed);
        charged.checked_add(bytes).is_some_and(|sum| sum <= self.limit.load(Ordering::Relaxed))
    }

    /// Relaxed throughout: the number guards nothing but itself.
    pub(crate) fn charge(&self, bytes: usize) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        self.charged
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |charged| {
                charged.checked_add(bytes).filter(|&sum| sum <= limit)
            })
            .is_ok()
    }

    pub(crate) fn refund(&self, bytes: usize) {
        self.charged.fetch_sub(bytes, Ordering::Relaxed);
    }
}
