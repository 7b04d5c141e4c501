//! Reclaim: asking those who hold buffers for later to let go of some.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

use super::hooks::{Registry, survives};
use super::stats::Counter;
use super::{HookGuard, Pool, Shared};

/// Who holds what a reclaim hook lets go of. Hooks run in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ReclaimKind {
    /// A protocol: reassembly queues, reordering buffers (`pr_drain`).
    #[doc(alias = "pr_drain")]
    Protocol,
    /// An interface: transmit queues (`if_drain`).
    #[doc(alias = "if_drain")]
    Interface,
    /// Caches that are let go of only when the system as a whole is short of memory (`vm_lowmem`): on
    /// [`low_memory`](Pool::low_memory), not when a limit of the pool is reached.
    #[doc(alias = "vm_lowmem")]
    Memory,
}

type Hook = dyn Fn() + Send + Sync;

/// The reclaim hooks of a pool.
pub(crate) struct Reclaim {
    hooks: Arc<Registry<Hook, (ReclaimKind, i32)>>,
    /// A thread is at it.
    running: AtomicBool,
    pub(crate) runs: Counter,
    pub(crate) panics: Counter,
}

impl Reclaim {
    pub(crate) fn new() -> Self {
        Reclaim {
            hooks: Registry::new(),
            running: AtomicBool::new(false),
            runs: Counter::default(),
            panics: Counter::default(),
        }
    }

    /// Runs the hooks up to a kind. Returns false, and does nothing, if they are running already.
    fn run(&self, last: ReclaimKind) -> bool {
        struct Done<'a>(&'a AtomicBool);
        impl Drop for Done<'_> {
            fn drop(&mut self) {
                // Release pairs with the Acquire below.
                self.0.store(false, Ordering::Release);
            }
        }
        // Acquire pairs with the Release above.
        if self.running.swap(true, Ordering::Acquire) {
            return false;
        }
        let _done = Done(&self.running);
        self.runs.add(1);
        for hook in self.hooks.all(|&(kind, _)| kind <= last) {
            if !survives(&*hook) {
                self.panics.add(1);
            }
        }
        true
    }
}

impl Pool {
    /// Registers a hook that lets go of buffers when the pool runs short, until the guard is dropped.
    ///
    /// Hooks run in the order of their kinds, then of their priorities, lowest first, then of registration; in the
    /// thread that ran short, with no lock held: they may allocate, free, register and unregister. They are never
    /// re-entered: who runs short while they run, in them or on another thread, does without. One that panics harms
    /// nothing but is counted ([`PoolStats::reclaim_panics`](crate::PoolStats::reclaim_panics)).
    ///
    /// ```
    /// # use mbuf::{Packet, Pool, ReclaimKind, Wait};
    /// # use std::sync::{Arc, Mutex};
    /// let pool = Pool::builder().clusters(1).build()?;
    /// let fragments = Arc::new(Mutex::new(vec![Packet::with_cluster(&pool)?]));
    /// let kept = fragments.clone();
    /// let _guard = pool.on_reclaim(ReclaimKind::Protocol, 0, move || kept.lock().unwrap().clear());
    /// assert!(Packet::with_cluster(&pool).is_err());
    /// let packet = pool.wait(Wait::Reclaim, || Packet::with_cluster(&pool))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Cost
    /// O(hooks), here and when the guard is dropped; nothing for allocations that succeed.
    /// # BSD
    /// `pr_drain`, `if_drain`, the event `vm_lowmem`. Differs: an order; hooks may allocate and free; one that panics harms
    /// nothing.
    pub fn on_reclaim(
        &self,
        kind: ReclaimKind,
        priority: i32,
        hook: impl Fn() + Send + Sync + 'static,
    ) -> HookGuard {
        self.shared().family.reclaim.hooks.register((kind, priority), Arc::new(hook))
    }

    /// Runs the hooks of protocols and interfaces, as an operation does that [waits](Pool::wait). Returns whether it
    /// did: they may be running already.
    ///
    /// # Cost
    /// The hooks'.
    /// # BSD
    /// `m_reclaim`, `mb_reclaim`. Differs: never re-entered; runs are counted
    /// ([`PoolStats::reclaims`](crate::PoolStats::reclaims)).
    #[doc(alias = "m_reclaim")]
    #[doc(alias = "mb_reclaim")]
    #[doc(alias = "m_drain")]
    pub fn reclaim(&self) -> bool {
        self.shared().family.reclaim.run(ReclaimKind::Interface)
    }

    /// Tells the pool that the system is short of memory: runs all reclaim hooks, then [trims](Pool::trim) the pool. Returns
    /// the bytes given back to the system.
    ///
    /// # Cost
    /// The hooks', and that of [`trim`](Pool::trim), also if the hooks are running already.
    /// # BSD
    /// The event `vm_lowmem`, to which `mb_reclaim` listens. Differs: caches are given back, too.
    pub fn low_memory(&self) -> usize {
        low_memory(self.shared())
    }
}

pub(super) fn low_memory(shared: &Shared) -> usize {
    shared.family.reclaim.run(ReclaimKind::Memory);
    shared.trim()
}
