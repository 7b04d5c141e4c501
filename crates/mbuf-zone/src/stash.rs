//! What a cache keeps from the depot.
//!
//! A thread that takes back what it gave, in bursts larger than its magazines, would otherwise exchange with others
//! through the depot, and headers would wander between the cores' caches. Each full magazine that comes back from the
//! depot earns a place for one that need not go there the next time.

use alloc::vec::Vec;
use core::mem;

use crate::depot::{Depot, Magazine, Stock};

/// Magazines that a cache keeps from the depot.
#[derive(Default)]
pub(crate) struct Stash {
    full: Vec<Magazine>,
    empty: Vec<Magazine>,
    /// Full magazines it may hold.
    room: usize,
    /// Magazines given to the depot and not yet taken back.
    given: usize,
}

/// Objects in a stash at most.
pub(crate) const LARGEST_STASH: usize = 4096;

impl Stash {
    /// Magazines of this size in a stash at most.
    fn most(magazine: &Magazine) -> usize {
        LARGEST_STASH / magazine.capacity()
    }

    /// Exchanges an empty magazine for what the depot has.
    pub(crate) fn full_for(&mut self, magazine: &mut Magazine, stock: &mut Stock) {
        stock.full_for(magazine);
        if magazine.is_full() && self.given > 0 {
            self.given -= 1;
            self.room = (self.room + 1).min(Self::most(magazine));
        }
    }

    /// Exchanges an empty magazine for a full one, if there is one.
    pub(crate) fn take(&mut self, magazine: &mut Magazine) {
        if let Some(full) = self.full.pop() {
            self.empty.push(mem::replace(magazine, full));
        }
    }

    /// Exchanges a full magazine for an empty one, here or in the depot.
    pub(crate) fn empty_for(&mut self, magazine: &mut Magazine, depot: &Depot) {
        if self.full.len() == self.room {
            // More could not be earned back.
            self.given = (self.given + 1).min(Self::most(magazine));
            return depot.stock.lock().empty_for(magazine);
        }
        let empty = self.empty.pop().unwrap_or_else(|| Magazine::new(magazine.capacity()));
        self.full.push(mem::replace(magazine, empty));
    }

    /// Takes everything out; the next ones have to earn their place again.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Magazine> + use<> {
        mem::take(self).full.into_iter()
    }

    /// Full magazines in it.
    pub(crate) fn len(&self) -> usize {
        self.full.len()
    }
}
