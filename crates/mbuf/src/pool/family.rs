//! What a pool and its reservations have in common: kegs and budget (by way of their zones), those who wait, reclaim,
//! warnings.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use mbuf_zone::raw::{Group, Mutex, RawZone};

use super::{Reclaim, Shared, Waiting, Want, Warner};
use crate::config::Class;
use crate::error::{PoolId, Resource};

/// See the module.
pub(crate) struct Family {
    pub(crate) id: PoolId,
    pub(crate) group: Group,
    pub(crate) waiting: Waiting,
    pub(crate) reclaim: Reclaim,
    pub(crate) warner: Warner,
    /// Whether caches are locked, in all of them.
    pub(crate) locked: bool,
    members: Mutex<Members>,
}

struct Members {
    all: Vec<Weak<Shared>>,
    /// How many watch for each want: a new member is watched by them, too.
    watching: [usize; Want::COUNT],
}

impl Family {
    pub(crate) fn new(locked: bool, warner: Warner) -> Arc<Self> {
        Arc::new(Family {
            id: PoolId::fresh(),
            group: Group::new(),
            waiting: Waiting::new(),
            reclaim: Reclaim::new(),
            warner,
            locked,
            members: Mutex::new(Members { all: Vec::new(), watching: [0; Want::COUNT] }),
        })
    }

    pub(crate) fn join(&self, shared: &Arc<Shared>) {
        let mut members = self.members.lock();
        members.all.retain(|member| member.strong_count() > 0);
        members.all.push(Arc::downgrade(shared));
        for want in Want::all() {
            for _ in 0..members.watching[want.index()] {
                want.zones(shared).for_each(RawZone::watch);
            }
        }
    }

    /// The pool and its reservations, as far as any of their buffers or handles are left.
    pub(crate) fn members(&self) -> Vec<Arc<Shared>> {
        self.members.lock().all.iter().filter_map(Weak::upgrade).collect()
    }

    /// From here on, every object that comes back to a zone that helps calls the queue.
    pub(crate) fn watch(&self, want: Want) {
        self.change_watch(want, |n| n + 1, RawZone::watch);
    }

    pub(crate) fn unwatch(&self, want: Want) {
        self.change_watch(want, |n| n - 1, RawZone::unwatch);
    }

    fn change_watch(&self, want: Want, count: fn(usize) -> usize, change: fn(&RawZone)) {
        // Let go of after the lock: with it may go the last of a member.
        let all: Vec<Arc<Shared>>;
        let mut members = self.members.lock();
        let n = &mut members.watching[want.index()];
        *n = count(*n);
        all = members.all.iter().filter_map(Weak::upgrade).collect();
        for shared in &all {
            want.zones(shared).for_each(change);
        }
    }

    /// Buffers that reservations keep.
    pub(crate) fn reserved(&self, resource: Resource) -> usize {
        let reserve = |zone: &RawZone| zone.stats().reserve;
        let of = |shared: &Shared| {
            let pairs = if resource == Resource::Mbuf { &shared.packets[..] } else { &[] };
            pairs.iter().chain([shared.zone(resource)]).map(reserve).sum::<usize>()
        };
        self.members().iter().map(|shared| of(shared)).sum()
    }

    /// What they are charged for, in bytes.
    pub(crate) fn reserved_bytes(&self) -> usize {
        let resources = Class::ALL.map(Resource::Storage).into_iter().chain([Resource::Mbuf]);
        let each = |shared: &Shared, resource| shared.zone(resource).stats().object_bytes;
        let members = self.members();
        let Some(any) = members.first() else { return 0 };
        resources.map(|resource| self.reserved(resource) * each(any, resource)).sum()
    }

    /// Objects that help, and have users.
    pub(crate) fn in_use(&self, want: Want) -> usize {
        self.members().iter().map(|shared| want.in_use(shared)).sum()
    }
}
