//! Allocations that fail although there is memory: the faults of a pool, and when each strikes.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use mbuf_zone::raw::{Mutex, Site};

use super::stats::Counter;
use super::{Pool, Shared, chance};
use crate::fault::{Fault, FaultPoint, When};
use crate::tune::Tunable;

/// Who set a fault. Each has its own, and all of them stand side by side.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Program,
    /// One of the tunables.
    Setting(Tunable),
}

struct Armed {
    by: By,
    fault: Fault,
    /// Of those that it is about, how many there were.
    seen: AtomicUsize,
}

impl Armed {
    fn new(by: By, fault: Fault) -> Self {
        Armed { by, fault, seen: AtomicUsize::new(0) }
    }

    fn strikes(&self, point: FaultPoint, site: Site) -> bool {
        if !self.fault.covers(point, site) {
            return false;
        }
        let seen = self.seen.fetch_add(1, Ordering::Relaxed);
        match self.fault.when {
            When::Nth(n) => seen == n as usize,
            When::After(n) => seen >= n as usize,
            When::OneIn { n, seed } => chance::strikes(seen, seed, 1, n),
        }
    }
}

/// The faults of a pool.
pub(crate) struct Faults {
    armed: Mutex<Vec<Armed>>,
    /// How many are armed: zero is the usual case, and found without the lock.
    count: AtomicUsize,
    /// How often one struck.
    pub(super) struck: Counter,
}

impl Default for Faults {
    fn default() -> Self {
        Faults { armed: Mutex::new(Vec::new()), count: 0.into(), struck: Counter::default() }
    }
}

impl Faults {
    /// The settings among them, for another pool.
    pub(crate) fn again(&self) -> Self {
        let again = Faults::default();
        for armed in &*self.armed.lock() {
            if armed.by != By::Program {
                again.replace(armed.by, [armed.fault]);
            }
        }
        again
    }

    fn replace(&self, by: By, faults: impl IntoIterator<Item = Fault>) {
        let mut armed = self.armed.lock();
        armed.retain(|armed| armed.by != by);
        armed.extend(faults.into_iter().map(|fault| Armed::new(by, fault)));
        self.count.store(armed.len(), Ordering::Relaxed);
    }

    fn setting(&self, tunable: Tunable) -> Option<Fault> {
        self.armed.lock().iter().find(|armed| armed.by == By::Setting(tunable)).map(|armed| armed.fault)
    }

    /// Whether any may strike where something is allocated.
    pub(crate) fn watch_allocations(&self) -> bool {
        self.armed.lock().iter().any(|armed| armed.fault.point != Some(FaultPoint::Defragment))
    }

    /// Whether a fault strikes here and now. All count, whichever of them strikes.
    #[inline]
    pub(crate) fn strikes(&self, point: FaultPoint, site: Site) -> bool {
        self.count.load(Ordering::Relaxed) > 0 && self.any_strikes(point, site)
    }

    #[cold]
    fn any_strikes(&self, point: FaultPoint, site: Site) -> bool {
        let strikes = self.armed.lock().iter().filter(|armed| armed.strikes(point, site)).count() > 0;
        if strikes {
            self.struck.add(1);
        }
        strikes
    }
}

impl Shared {
    /// The fault that a tunable stands for.
    pub(crate) fn fault(&self, tunable: Tunable) -> Option<Fault> {
        self.inspector.faults.setting(tunable)
    }

    /// What [`Tunable::DefragFailures`] says: one in so many, zero for none.
    pub(crate) fn defrag_failures(&self) -> u32 {
        match self.fault(Tunable::DefragFailures) {
            Some(Fault { when: When::OneIn { n, .. }, .. }) => n,
            _ => 0,
        }
    }

    pub(crate) fn set_defrag_failures(&self, n: u32) {
        let fault = Fault::one_in(n, 0).of(FaultPoint::Defragment);
        self.set_fault(Tunable::DefragFailures, Some(fault).filter(|_| n > 0));
    }

    pub(crate) fn set_fault(&self, tunable: Tunable, fault: Option<Fault>) {
        self.inject(By::Setting(tunable), fault);
    }

    fn inject(&self, by: By, faults: impl IntoIterator<Item = Fault>) {
        self.inspector.faults.replace(by, faults);
        self.observe();
        // Who waits because of one that is gone has nobody else to call it.
        self.family.waiting.all_freed();
    }
}

impl Pool {
    /// Makes allocations fail that would succeed, to see what the program does then. Replaces the faults that were
    /// injected before; none are injected with `[]`. Each counts from here, and each failure is counted in
    /// [`PoolStats::faults`](crate::PoolStats::faults), and as denied.
    ///
    /// The error says [`AllocCause::Fault`](crate::AllocCause::Fault). Faults are the pool's own: its reservations have
    /// theirs. By name, one can be set as `kern.ipc.mbuf.fault` ([`Tunable::Fault`]).
    ///
    /// ```
    /// use mbuf::{Class, Fault, Packet, Pool};
    /// let pool = Pool::new();
    /// pool.inject([Fault::nth(1).of(Class::Cluster)]);
    /// let first = Packet::with_cluster(&pool)?;
    /// assert_eq!(
    ///     Packet::with_cluster(&pool).unwrap_err().to_string(),
    ///     "no 2 KiB clusters: a fault was injected"
    /// );
    /// let third = Packet::with_cluster(&pool)?;
    /// # Ok::<(), mbuf::AllocError>(())
    /// ```
    ///
    /// # Cost
    /// None while there are no faults, and none afterwards. While there are some that may strike allocations, the pool works
    /// without caches.
    /// # BSD
    /// DragonFly's `m_defragrandomfailures`, for every allocation.
    #[doc(alias = "m_defragrandomfailures")]
    pub fn inject(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared().inject(By::Program, faults);
    }
}
