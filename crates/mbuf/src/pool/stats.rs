//! Counters, and their form as `netstat -m` prints it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};

use mbuf_zone::ZoneStats;
use mbuf_zone::raw::RawZone;

use super::Shared;
use crate::config::{Class, MSIZE};

/// One kind of buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ClassStats {
    /// Bytes of one buffer.
    pub size: usize,
    /// Buffers in use.
    pub current: usize,
    /// Free buffers in caches.
    pub cached: usize,
    /// Buffers that memory was taken for.
    pub total: usize,
    /// Buffers that may be in use.
    pub limit: Option<usize>,
    /// Buffers kept for [reservations](crate::Pool::reservation), in use or not.
    pub reserved: usize,
    /// Most buffers that were out of the slabs at once, in use or cached.
    pub peak: usize,
    /// Allocations since the pool was made.
    pub allocations: u64,
    /// Allocations that failed.
    pub denied: u64,
    /// Operations that had to wait because the limit was reached.
    pub waited: u64,
}

/// How often operations took a slow path, and failed. Not a count of all copies: constructors, duplicates, `shatter`,
/// `collapse` and short appends are not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct OpStats {
    /// Copies (shared or deep) that failed (`m_mcfail`).
    pub copy_failures: u64,
    /// Ranges that were made contiguous in a fresh segment (`m_pullup`, `m_pulldown`).
    pub pullups: u64,
    /// Ranges that could not be made contiguous (`m_mpfail`).
    pub pullup_failures: u64,
    /// Prepends that found no headroom and allocated.
    pub prepends: u64,
    /// Prepends that failed.
    pub prepend_failures: u64,
    /// Packets defragmented (`m_defragpackets`).
    pub defrag_packets: u64,
    /// Bytes copied to defragment (`m_defragbytes`).
    pub defrag_bytes: u64,
    /// Defragmentations that had nothing to do (`m_defraguseless`).
    pub defrag_useless: u64,
    /// Defragmentations that failed (`m_defragfailure`).
    pub defrag_failures: u64,
    /// Segments copied because they had to be written and were shared or read-only.
    pub copies_on_write: u64,
}

/// The live counters behind [`OpStats`], on cache lines of their own: threads that count do not slow down those that
/// read what is beside.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct OpCounters {
    pub(crate) copy_failures: Counter,
    pub(crate) pullups: Counter,
    pub(crate) pullup_failures: Counter,
    pub(crate) prepends: Counter,
    pub(crate) prepend_failures: Counter,
    pub(crate) defrag_packets: Counter,
    pub(crate) defrag_bytes: Counter,
    pub(crate) defrag_useless: Counter,
    pub(crate) defrag_failures: Counter,
    pub(crate) copies_on_write: Counter,
}

#[derive(Default)]
pub(crate) struct Counter(AtomicUsize);

impl Counter {
    pub(crate) fn add(&self, n: usize) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed) as u64
    }
}

/// A snapshot of a pool. Exact when no thread is in the middle of an operation.
///
/// `Display` prints the table of FreeBSD's `netstat -m`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// The pool's name.
    pub name: String,
    /// All mbufs, those of parked pairs among the cached ones.
    pub mbufs: ClassStats,
    /// Mbufs with a 2 KiB cluster from the packet zone.
    pub packets: ClassStats,
    /// 2 KiB clusters, those of parked pairs among the cached ones.
    pub clusters: ClassStats,
    /// 4 KiB clusters.
    pub jumbo_page: ClassStats,
    /// 9 KiB clusters.
    pub jumbo_9k: ClassStats,
    /// 16 KiB clusters.
    pub jumbo_16k: ClassStats,
    /// Buffers of external storage, whoever owns their memory.
    pub external: ClassStats,
    /// Slow paths.
    pub ops: OpStats,
    /// Bytes that mbufs and buffers may take together.
    pub budget: Option<usize>,
    /// Bytes charged to the budget: of mbufs and buffers that are in use or cached, with their descriptors.
    pub budget_charged: usize,
    /// Operations that had to wait because the budget or memory was short.
    pub memory_waited: u64,
    /// Times the reclaim hooks were run (`m_drain`).
    pub reclaims: u64,
    /// Reclaim hooks that panicked.
    pub reclaim_panics: u64,
}

impl PoolStats {
    /// The figures of a size class.
    pub fn class(&self, class: Class) -> &ClassStats {
        match class {
            Class::Cluster => &self.clusters,
            Class::Page => &self.jumbo_page,
            Class::Jumbo9 => &self.jumbo_9k,
            Class::Jumbo16 => &self.jumbo_16k,
        }
    }

    /// Bytes of all buffers in use, without external memory.
    pub fn bytes_in_use(&self) -> usize {
        self.sum(|class| class.current)
    }

    /// Bytes of all free buffers in caches.
    pub fn bytes_cached(&self) -> usize {
        self.sum(|class| class.cached)
    }

    /// Bytes of all buffers that memory was taken for.
    pub fn bytes_total(&self) -> usize {
        self.sum(|class| class.total)
    }

    fn sum(&self, of: impl Fn(&ClassStats) -> usize) -> usize {
        let classes = Class::ALL.iter().map(|&class| self.class(class));
        classes.chain([&self.mbufs]).map(|class| of(class) * class.size).sum()
    }
}

/// The figures of a kind of buffer over the zones of a pool and its reservations, which lie over one keg.
fn class(size: usize, family: &[&Shared], zone: impl Fn(&Shared) -> &RawZone) -> ClassStats {
    let mut sum = ClassStats { size, ..ClassStats::default() };
    for shared in family {
        let ZoneStats { in_use, cached, total, limit, peak, gets, denied, reserve, .. } =
            zone(shared).stats();
        sum.current += in_use;
        sum.cached += cached;
        sum.reserved += reserve;
        sum.allocations += gets as u64;
        sum.denied += denied as u64;
        // The keg's.
        (sum.total, sum.limit, sum.peak) = (total, limit, peak);
    }
    sum
}

pub(super) fn snapshot(shared: &Shared) -> PoolStats {
    // Those of a pool include those of its reservations.
    let members = if shared.is_root { shared.family.members() } else { Vec::new() };
    let others = members.iter().map(|member| &**member).filter(|member| !core::ptr::eq(*member, shared));
    let family: Vec<&Shared> = [shared].into_iter().chain(others).collect();
    let waiting = &shared.family.waiting;
    let packets = class(MSIZE + Class::Cluster.size(), &family, |shared| &shared.packets);
    let mut mbufs = class(MSIZE, &family, |shared| &shared.mbufs);
    mbufs.current += packets.current;
    mbufs.cached += packets.cached;
    mbufs.reserved += packets.reserved;
    mbufs.allocations += packets.allocations;
    mbufs.waited = waiting.waited_mbufs();
    let cluster = |c: Class| ClassStats {
        waited: waiting.waited_buffers(c),
        ..class(c.size(), &family, |shared| &shared.clusters[c.index()])
    };
    let mut clusters = cluster(Class::Cluster);
    // To the cluster zone a parked cluster is in use; to us it is free.
    clusters.current = clusters.current.saturating_sub(packets.cached);
    clusters.cached += packets.cached;
    clusters.reserved += packets.reserved;
    // They are handed out in pairs only; the cluster zone counts those that pairs were made of.
    clusters.allocations = packets.allocations;
    let ops = &shared.ops;
    PoolStats {
        name: shared.name.clone(),
        mbufs,
        packets,
        clusters,
        jumbo_page: cluster(Class::Page),
        jumbo_9k: cluster(Class::Jumbo9),
        jumbo_16k: cluster(Class::Jumbo16),
        external: class(0, &family, |shared| &shared.external),
        ops: OpStats {
            copy_failures: ops.copy_failures.get(),
            pullups: ops.pullups.get(),
            pullup_failures: ops.pullup_failures.get(),
            prepends: ops.prepends.get(),
            prepend_failures: ops.prepend_failures.get(),
            defrag_packets: ops.defrag_packets.get(),
            defrag_bytes: ops.defrag_bytes.get(),
            defrag_useless: ops.defrag_useless.get(),
            defrag_failures: ops.defrag_failures.get(),
            copies_on_write: ops.copies_on_write.get(),
        },
        budget: shared.family.group.budget(),
        budget_charged: shared.family.group.charged(),
        memory_waited: shared.family.waiting.waited_memory(),
        reclaims: shared.family.reclaim.runs.get(),
        reclaim_panics: shared.family.reclaim.panics.get(),
    }
}

struct Limit(Option<usize>);

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(limit) => limit.fmt(f),
            None => f.write_str("unlimited"),
        }
    }
}

impl fmt::Display for PoolStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let m = &self.mbufs;
        writeln!(
            f,
            "{}/{}/{} mbufs in use (current/cache/total)",
            m.current,
            m.cached,
            m.current + m.cached
        )?;
        let mut line = |c: &ClassStats, what: &str| {
            let total = c.current + c.cached;
            let limit = Limit(c.limit);
            writeln!(f, "{}/{}/{total}/{limit} {what} in use (current/cache/total/max)", c.current, c.cached)
        };
        line(&self.clusters, "mbuf clusters")?;
        writeln!(
            f,
            "{}/{} mbuf+clusters out of packet secondary zone in use (current/cache)",
            self.packets.current, self.packets.cached
        )?;
        let mut line = |c: &ClassStats, what: &str| {
            let total = c.current + c.cached;
            let limit = Limit(c.limit);
            writeln!(f, "{}/{}/{total}/{limit} {what} in use (current/cache/total/max)", c.current, c.cached)
        };
        line(&self.jumbo_page, "4k (page size) jumbo clusters")?;
        line(&self.jumbo_9k, "9k jumbo clusters")?;
        line(&self.jumbo_16k, "16k jumbo clusters")?;
        let kib = |bytes: usize| bytes / 1024;
        let (used, cached) = (kib(self.bytes_in_use()), kib(self.bytes_cached()));
        writeln!(f, "{used}K/{cached}K/{}K bytes allocated to network (current/cache/total)", used + cached)?;
        writeln!(
            f,
            "{}/{}/{} requests for mbufs denied (mbufs/clusters/mbuf+clusters)",
            m.denied, self.clusters.denied, self.packets.denied
        )?;
        write!(
            f,
            "{}/{}/{} requests for jumbo clusters denied (4k/9k/16k)",
            self.jumbo_page.denied, self.jumbo_9k.denied, self.jumbo_16k.denied
        )
    }
}
