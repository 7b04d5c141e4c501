//! Reservations: a share of a pool for one use.

use alloc::string::String;
use core::fmt;

use mbuf_zone::raw::{Cause, RawZone};

use super::{Pool, Shared};
use crate::config::Class;
use crate::error::{AllocError, Resource};

/// What a reservation keeps: see [`Pool::reservation`].
pub struct ReservationBuilder<'p> {
    parent: &'p Pool,
    name: String,
    mbufs: usize,
    buffers: [usize; Class::ALL.len()],
}

impl Pool {
    /// A pool for one use (receive, transmit, control), with buffers that nobody else can take.
    ///
    /// It draws on this pool: its limits, its budget, its memory. What it keeps is out of the reach of this pool and of
    /// other reservations, in use or free; beyond that it competes like anyone. Buffers go home to the pool that
    /// they came from, so a use gets its own share back, whoever frees it. When the last handle of the reservation is gone,
    /// what is free of it goes back, and the rest as it is freed.
    ///
    /// [`stats`](Pool::stats) of this pool include those of its reservations, as long as they are there; those who
    /// [wait](Pool::wait), and reclaim hooks, are common to them all.
    ///
    /// ```
    /// use mbuf::{Packet, Pool};
    /// let pool = Pool::builder().clusters(100).build()?;
    /// let control = pool.reservation("control").clusters(10).build()?;
    /// let rest: Vec<_> = (0..90).map(|_| Packet::with_cluster(&pool)).collect::<Result<_, _>>()?;
    /// assert!(Packet::with_cluster(&pool).is_err());
    /// assert!(Packet::with_cluster(&control).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Cost
    /// Nothing before [`build`](ReservationBuilder::build), which takes all that is to be kept, memory too.
    /// # BSD
    /// `uma_zone_reserve` and `uma_prealloc` come near. Differs: the share is a pool, with caches and statistics of its own.
    pub fn reservation(&self, name: impl Into<String>) -> ReservationBuilder<'_> {
        ReservationBuilder { parent: self, name: name.into(), mbufs: 0, buffers: [0; Class::ALL.len()] }
    }
}

impl ReservationBuilder<'_> {
    /// Keeps mbufs without a buffer: packets of up to 104 bytes, and those that share.
    pub fn mbufs(mut self, n: usize) -> Self {
        self.mbufs = n;
        self
    }

    /// Keeps 2 KiB clusters, each with its mbuf.
    pub fn clusters(self, n: usize) -> Self {
        self.buffers(Class::Cluster, n)
    }

    /// Keeps buffers of a class, each with an mbuf to hold it.
    pub fn buffers(mut self, class: Class, n: usize) -> Self {
        self.buffers[class.index()] = n;
        self
    }

    /// Takes what is to be kept.
    ///
    /// # Errors
    /// [`AllocError`], when the pool has not so much left. Nothing is kept then.
    pub fn build(self) -> Result<Pool, AllocError> {
        let pool = Pool::over(self.parent, self.name);
        let shared = pool.shared();
        let keep = |zone: &RawZone, n: usize, missing: &dyn Fn(&Shared, Cause) -> AllocError| {
            zone.reserve(n).map_err(|cause| missing(shared, cause))
        };
        for (class, n) in Class::ALL.into_iter().zip(self.buffers) {
            let clusters = Resource::Storage(class);
            // First: the pairs are made of them.
            keep(shared.zone(clusters), n, &|shared, cause| shared.dry(clusters, cause))?;
            let pairs = &shared.packets[class.index()];
            keep(pairs, n, &|shared, cause| shared.pair_missing(class, cause))?;
        }
        keep(&shared.mbufs, self.mbufs, &|shared, cause| shared.dry(Resource::Mbuf, cause))?;
        Ok(pool)
    }
}

impl fmt::Debug for ReservationBuilder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReservationBuilder")
            .field("parent", &self.parent.name())
            .field("name", &self.name)
            .field("mbufs", &self.mbufs)
            .field("buffers", &self.buffers)
            .finish()
    }
}
