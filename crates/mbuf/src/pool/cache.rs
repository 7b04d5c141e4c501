//! The explicit cache.

use core::fmt;

use super::Pool;
use crate::error::AllocError;
use crate::raw::zones::LocalZones;
use crate::raw::{MbufChain, Packet};

/// A cache of a pool's packets and mbufs that its holder owns.
///
/// For where there are no thread-locals, and for a loop that wants its buffers apart from the thread's other work. It
/// is a handle of the pool, too. Not `Send`. Packets from it are like any others: dropping one gives it to the thread's
/// cache, [`free`](Self::free) to this one. What is cached here still counts as free: allocations elsewhere that would
/// fail take it.
///
/// ```
/// let pool = mbuf::Pool::new();
/// let mut cache = pool.cache();
/// let packet = cache.with_cluster()?;
/// cache.free(packet);
/// # Ok::<(), mbuf::AllocError>(())
/// ```
///
/// ```compile_fail,E0277
/// let pool = mbuf::Pool::new();
/// let cache = pool.cache();
/// std::thread::scope(|s| { s.spawn(move || drop(cache)); });
/// ```
pub struct PoolCache {
    pool: Pool,
    zones: LocalZones,
}

impl PoolCache {
    pub(super) fn new(pool: &Pool) -> Self {
        PoolCache { pool: pool.clone(), zones: LocalZones::new(pool.shared()) }
    }

    /// The pool.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// As [`Packet::with_cluster`].
    ///
    /// # Errors
    /// [`AllocError`], when all mbufs or clusters are in use.
    #[inline]
    #[track_caller]
    pub fn with_cluster(&mut self) -> Result<Packet, AllocError> {
        self.zones.paired(self.pool.shared()).map(MbufChain::from_fresh)
    }

    /// As [`Packet::new`].
    ///
    /// # Errors
    /// [`AllocError`], when all mbufs are in use.
    #[inline]
    #[track_caller]
    pub fn new_packet(&mut self) -> Result<Packet, AllocError> {
        self.zones.plain(self.pool.shared()).map(MbufChain::from_fresh)
    }

    /// Frees a packet into this cache as far as it is simple and the pool's; otherwise as dropping it does.
    #[inline]
    pub fn free(&mut self, packet: Packet) {
        match packet.into_mbuf() {
            Ok(mbuf) => self.zones.put(mbuf),
            Err(packet) => drop(packet),
        }
    }

    /// Gives everything cached here to the pool, for others to use.
    pub fn flush(&mut self) {
        self.zones.flush();
    }
}

impl fmt::Debug for PoolCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolCache").field("pool", &self.pool).finish_non_exhaustive()
    }
}
