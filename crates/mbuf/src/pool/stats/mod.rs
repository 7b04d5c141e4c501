//! What a pool counts.
//!
//! ```text
//!   zones: what each thread counts beside its magazines ──────┐
//!   counters: slow paths, types, tags; a set per thread ──────┴─▶ snapshot ─▶ netstat
//!        └ operations: the list of slow paths                  (or prometheus, serde)
//! ```

mod counters;
mod netstat;
mod operations;
#[cfg(feature = "prometheus")]
mod prometheus;

use alloc::string::String;
use alloc::vec::Vec;

use mbuf_zone::ZoneStats;
use mbuf_zone::raw::RawZone;

use super::Shared;
use crate::config::{Class, MSIZE};
use crate::meta::MbufType;
use counters::sum;
pub(crate) use counters::{CountedTag, Counter, Counters};
pub use operations::OpStats;
#[cfg(feature = "prometheus")]
pub use prometheus::Exposition;

/// One kind of buffer. What a kind does not have is `None`, and left out where it is serialized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
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
    /// Most buffers that were out of the slabs at once, in use or cached. Packets have none of their own: they come and go
    /// as mbufs.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub peak: Option<usize>,
    /// Allocations since the pool was made.
    pub allocations: u64,
    /// Allocations that failed. See [`PoolStats::denied`] for those of all kinds together.
    pub denied: u64,
    /// Operations that had to wait because the limit was reached. Who waits for a packet waits for an mbuf or a cluster;
    /// who waits for external storage is among [`PoolStats::memory_waited`].
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub waited: Option<u64>,
    /// Allocations that did not fail only because free buffers were collected from the caches of all threads, or taken
    /// apart.
    pub reclaimed: u64,
}

impl ClassStats {
    fn since(&self, earlier: &ClassStats) -> ClassStats {
        ClassStats {
            allocations: self.allocations.saturating_sub(earlier.allocations),
            denied: self.denied.saturating_sub(earlier.denied),
            waited: self.waited.map(|waited| waited.saturating_sub(earlier.waited.unwrap_or(0))),
            ..*self
        }
    }
}

/// Mbufs in use by type: what `set_type` said they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct TypeStats {
    /// [`MbufType::Data`].
    pub data: usize,
    /// [`MbufType::Header`].
    pub header: usize,
    /// [`MbufType::SocketName`].
    pub socket_name: usize,
    /// [`MbufType::Control`].
    pub control: usize,
    /// [`MbufType::OutOfBand`].
    pub out_of_band: usize,
}

impl TypeStats {
    fn of(counters: &[&Counters], mbufs: usize) -> Self {
        let count = |kind| sum(counters, |set| set.of_type(kind));
        let mut types = TypeStats {
            data: 0,
            header: count(MbufType::Header),
            socket_name: count(MbufType::SocketName),
            control: count(MbufType::Control),
            out_of_band: count(MbufType::OutOfBand),
        };
        let others = types.iter().map(|(_, count)| count).sum();
        types.data = mbufs.saturating_sub(others);
        types
    }

    /// Mbufs of each type.
    pub fn iter(&self) -> impl Iterator<Item = (MbufType, usize)> {
        let TypeStats { data, header, socket_name, control, out_of_band } = *self;
        MbufType::ALL.into_iter().zip([data, header, socket_name, control, out_of_band])
    }
}

/// Tags. One counts for the pool of the packet that it, or what it is a copy of, was attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct TagStats {
    /// Tags attached.
    pub current: usize,
    /// Tags attached since the pool was made.
    pub allocations: u64,
}

/// A snapshot of a pool. Exact when no thread is in the middle of an operation.
///
/// `Display` prints the table of FreeBSD's `netstat -m`, `{:#}` everything else as well. With the feature `serde` it
/// can be written in any format and read again, also by another version: what is missing reads as nothing, what is not
/// known is passed over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct PoolStats {
    /// The pool's name.
    pub name: String,
    /// All mbufs, those that are parked with a cluster among the cached ones.
    pub mbufs: ClassStats,
    /// Mbufs with a 2 KiB cluster from the packet zone. Memory is taken for the halves, and limits are theirs: `total` is
    /// the pairs that there are, `limit` the lower one.
    pub packets: ClassStats,
    /// 2 KiB clusters, those of parked pairs among the cached ones.
    pub clusters: ClassStats,
    /// 4 KiB clusters, parked ones among the cached, as those of the other classes.
    pub jumbo_page: ClassStats,
    /// 9 KiB clusters.
    pub jumbo_9k: ClassStats,
    /// 16 KiB clusters.
    pub jumbo_16k: ClassStats,
    /// Buffers of external storage, whoever owns their memory.
    pub external: ClassStats,
    /// Mbufs in use by type.
    pub types: TypeStats,
    /// Tags.
    pub tags: TagStats,
    /// Slow paths.
    pub ops: OpStats,
    /// Bytes that mbufs and buffers may take together.
    pub budget: Option<usize>,
    /// Bytes charged to the budget: of mbufs and buffers that are in use or cached, with their descriptors.
    pub budget_charged: usize,
    /// Operations that had to wait because the budget, memory or external storage was short.
    pub memory_waited: u64,
    /// Times the reclaim hooks were run (`m_drain`).
    pub reclaims: u64,
    /// Reclaim hooks that panicked.
    pub reclaim_panics: u64,
    /// Injected faults that struck ([`Pool::inject`](crate::Pool::inject)).
    pub faults: u64,
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

    /// All kinds of buffers, by the names of their fields. Packets are among the mbufs and the clusters, too.
    pub fn classes(&self) -> impl Iterator<Item = (&'static str, &ClassStats)> {
        let PoolStats { mbufs, packets, clusters, jumbo_page, jumbo_9k, jumbo_16k, external, .. } = self;
        [
            ("mbufs", mbufs),
            ("packets", packets),
            ("clusters", clusters),
            ("jumbo_page", jumbo_page),
            ("jumbo_9k", jumbo_9k),
            ("jumbo_16k", jumbo_16k),
            ("external", external),
        ]
        .into_iter()
    }

    /// What happened since an earlier snapshot of the same pool: everything that is counted since the pool was made is
    /// counted from there; levels, limits and peaks are as they are now.
    pub fn since(&self, earlier: &PoolStats) -> PoolStats {
        let counted = |of: fn(&PoolStats) -> u64| of(self).saturating_sub(of(earlier));
        PoolStats {
            mbufs: self.mbufs.since(&earlier.mbufs),
            packets: self.packets.since(&earlier.packets),
            clusters: self.clusters.since(&earlier.clusters),
            jumbo_page: self.jumbo_page.since(&earlier.jumbo_page),
            jumbo_9k: self.jumbo_9k.since(&earlier.jumbo_9k),
            jumbo_16k: self.jumbo_16k.since(&earlier.jumbo_16k),
            external: self.external.since(&earlier.external),
            tags: TagStats { allocations: counted(|stats| stats.tags.allocations), ..self.tags },
            ops: self.ops.since(&earlier.ops),
            memory_waited: counted(|stats| stats.memory_waited),
            reclaims: counted(|stats| stats.reclaims),
            reclaim_panics: counted(|stats| stats.reclaim_panics),
            faults: counted(|stats| stats.faults),
            ..self.clone()
        }
    }

    /// Requests for buffers of any kind that failed, each counted once. One for a 2 KiB cluster is one for a pair: that
    /// the cluster was missing is counted in [`clusters`](Self::clusters), too.
    pub fn denied(&self) -> u64 {
        let PoolStats { mbufs, packets, jumbo_page, jumbo_9k, jumbo_16k, external, .. } = self;
        let classes = [mbufs, packets, jumbo_page, jumbo_9k, jumbo_16k, external];
        classes.iter().fold(0, |sum, class| sum.saturating_add(class.denied))
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
        let bytes = classes.chain([&self.mbufs]).map(|class| of(class).saturating_mul(class.size));
        // A snapshot may come from elsewhere and say anything.
        bytes.fold(0, usize::saturating_add)
    }
}

/// The figures of a kind of buffer over the zones of a pool and its reservations, which lie over one keg.
fn class(size: usize, family: &[&Shared], zone: impl Fn(&Shared) -> &RawZone) -> ClassStats {
    let mut sum = ClassStats { size, ..ClassStats::default() };
    for shared in family {
        let ZoneStats { in_use, cached, total, limit, peak, gets, denied, rescued, reserve, .. } =
            zone(shared).stats();
        sum.current += in_use;
        sum.cached += cached;
        sum.reserved += reserve;
        sum.allocations += gets as u64;
        sum.denied += denied as u64;
        sum.reclaimed += rescued as u64;
        // The keg's.
        (sum.total, sum.limit, sum.peak) = (total, limit, Some(peak));
    }
    sum
}

/// The pairs of a class, and its clusters; the mbufs get their share.
fn pairs(c: Class, family: &[&Shared], mbufs: &mut ClassStats) -> (ClassStats, ClassStats) {
    let mut pairs = class(MSIZE + c.size(), family, |shared| &shared.packets[c.index()]);
    let mut clusters = class(c.size(), family, |shared| &shared.clusters[c.index()]);
    // Slots that wait for a cluster are free mbufs, and no pairs.
    mbufs.cached += pairs.cached;
    pairs.cached = family.iter().map(|shared| shared.parked(c)).sum();
    mbufs.current += pairs.current;
    mbufs.reserved += pairs.reserved;
    mbufs.allocations += pairs.allocations;
    // To the cluster zone a parked cluster is in use; to us it is free.
    clusters.current = clusters.current.saturating_sub(pairs.cached);
    clusters.cached += pairs.cached;
    // They are handed out in pairs only; the cluster zone counts those that pairs were made of.
    clusters.allocations = pairs.allocations;
    clusters.waited = family.first().map(|shared| shared.family.waiting.waited_buffers(c));
    // The keg of the pairs is the mbufs'.
    pairs.total = pairs.current + pairs.cached;
    pairs.limit = mbufs.limit.into_iter().chain(clusters.limit).min();
    pairs.peak = None;
    (pairs, clusters)
}

pub(super) fn snapshot(shared: &Shared) -> PoolStats {
    // Those of a pool include those of its reservations.
    let members = if shared.is_root { shared.family.members() } else { Vec::new() };
    let others = members.iter().map(|member| &**member).filter(|member| !core::ptr::eq(*member, shared));
    let family: Vec<&Shared> = [shared].into_iter().chain(others).collect();
    let waiting = &shared.family.waiting;
    let mut mbufs = class(MSIZE, &family, |shared| &shared.mbufs);
    mbufs.waited = Some(waiting.waited_mbufs());
    let [(packets, clusters), (pages, jumbo_page), (nines, jumbo_9k), (sixteens, jumbo_16k)] =
        Class::ALL.map(|c| pairs(c, &family, &mut mbufs));
    // Packets of 2 KiB have figures of their own; what the others lacked is what they are counted with.
    for (pairs, clusters) in [(pages, jumbo_page), (nines, jumbo_9k), (sixteens, jumbo_16k)] {
        mbufs.denied += pairs.denied.saturating_sub(clusters.denied);
        mbufs.reclaimed += pairs.reclaimed;
    }
    let counters: Vec<&Counters> = family.iter().map(|shared| &shared.ops).collect();
    PoolStats {
        name: shared.name.clone(),
        mbufs,
        packets,
        clusters,
        jumbo_page,
        jumbo_9k,
        jumbo_16k,
        external: class(0, &family, |shared| &shared.external),
        types: TypeStats::of(&counters, mbufs.current),
        tags: TagStats {
            current: sum(&counters, |set| Some(&set.tags)),
            allocations: sum(&counters, |set| Some(&set.tags_made)) as u64,
        },
        ops: OpStats::of(&counters),
        budget: shared.family.group.budget(),
        budget_charged: shared.family.group.charged(),
        memory_waited: shared.family.waiting.waited_memory(),
        reclaims: shared.family.reclaim.runs.get(),
        reclaim_panics: shared.family.reclaim.panics.get(),
        faults: family.iter().map(|shared| shared.inspector.faults.struck.get()).sum(),
    }
}
