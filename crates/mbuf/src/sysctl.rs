//! Every setting and counter of a pool by its name.

use alloc::vec::Vec;
use core::fmt;

use crate::config::{MCLBYTES, MHLEN, MINCLSIZE, MLEN, MSIZE};
use crate::pool::{Pool, PoolStats};
use crate::tune::{Origin, Rule, SettingError, Tunable, Value, nearest, value_of};

/// Every setting and counter of a [`Pool`] by the name that BSD's `sysctl` has for it; our own are under
/// `kern.ipc.mbuf`. See [`Pool::sysctl`].
#[derive(Debug, Clone, Copy)]
pub struct Sysctl<'p>(&'p Pool);

impl Pool {
    /// The pool's settings and counters by name.
    ///
    /// ```
    /// use mbuf::{Packet, Pool, Value};
    /// let pool = Pool::builder().clusters(1024).build()?;
    /// let _packet = Packet::with_cluster(&pool)?;
    /// assert_eq!(pool.sysctl().read("kern.ipc.mbstat.m_clusters")?, Value::Number(1));
    /// assert_eq!(pool.sysctl().set("kern.ipc.nmbclusters", "2048")?, Value::Number(2048));
    /// for reading in pool.sysctl().find("kern.ipc.mbstat")? {
    ///     println!("{reading}"); // kern.ipc.mbstat.m_clusters: 1
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # BSD
    /// `sysctl(3)`. Differs: what is listed is real, or says that it is not.
    pub fn sysctl(&self) -> Sysctl<'_> {
        Sysctl(self)
    }
}

/// Something that has a name in a [`Sysctl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Node {
    /// Its name.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// What it is counted in.
    pub unit: Unit,
    /// Whether it can be set.
    pub access: Access,
}

/// What a value is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unit {
    /// Mbufs, clusters, or both.
    Buffers,
    /// Bytes.
    Bytes,
    /// Events since the pool was made.
    Events,
    /// Milliseconds.
    Milliseconds,
    /// Just a number.
    Number,
    /// A word.
    Word,
    /// A table of several values.
    Table,
}

/// Whether a value can be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// No.
    ReadOnly,
    /// When the pool is made.
    Boot,
    /// When the pool is made, and while it is in use.
    ReadWrite,
}

/// A [`Node`] and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reading {
    /// What was read.
    pub node: Node,
    /// Its value, or why there is none.
    pub value: Result<Value, SettingError>,
}

/// As `sysctl(8)` prints it: `name: value`.
impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Ok(value) => write!(f, "{}: {value}", self.node.name),
            Err(error) => error.fmt(f),
        }
    }
}

impl Sysctl<'_> {
    /// All there is, in the order of names.
    pub fn nodes(&self) -> Vec<Node> {
        self.entries().map(|(node, _)| node).collect()
    }

    /// Everything with its value, in the order of names: the counters of one moment.
    pub fn list(&self) -> Vec<Reading> {
        self.readings(self.entries())
    }

    /// What has this name, or a name under it: `kern.ipc.mbstat` is all of its fields.
    ///
    /// # Errors
    /// [`Rule::Unknown`].
    pub fn find(&self, name: &str) -> Result<Vec<Reading>, SettingError> {
        let under = |node: &Node| {
            node.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let found = self.readings(self.entries().filter(|(node, _)| under(node)));
        if found.is_empty() { Err(self.unknown(name, "")) } else { Ok(found) }
    }

    /// A value.
    ///
    /// # Errors
    /// [`Rule::Unknown`], also for a name under which there are others only; [`Rule::Unavailable`].
    pub fn read(&self, name: &str) -> Result<Value, SettingError> {
        let (node, source) = self.entry(name).ok_or_else(|| self.unknown(name, ""))?;
        self.value(&node, source, None)
    }

    /// Sets a value, which is written as in a file of [`Tunables`](crate::Tunables). Returns the value in force.
    ///
    /// # Errors
    /// [`Rule::Unknown`], [`Rule::ReadOnly`], [`Rule::Fixed`], or the rule that the value breaks. Nothing changed.
    pub fn set(&self, name: &str, value: &str) -> Result<Value, SettingError> {
        let refuse = |rule| SettingError::new(Origin::Code, name, value, rule);
        match self.entry(name) {
            None => Err(self.unknown(name, value)),
            Some((_, Source::Tunable(tunable))) => {
                let value = value_of(tunable, value).map_err(refuse)?;
                self.0.set_tunable(tunable, value)
            }
            Some(_) => Err(refuse(Rule::ReadOnly)),
        }
    }

    fn unknown(&self, name: &str, value: &str) -> SettingError {
        let nodes = self.nodes();
        let near = nearest(name, nodes.iter().map(|node| node.name));
        SettingError::new(Origin::Code, name, value, Rule::Unknown { near })
    }

    fn entry(&self, name: &str) -> Option<(Node, Source)> {
        self.entries().find(|(node, _)| node.name == name)
    }

    fn entries(&self) -> impl Iterator<Item = (Node, Source)> {
        let settings = Tunable::ALL.into_iter().flat_map(|tunable| {
            let access = if self.0.can_set(tunable) { Access::ReadWrite } else { Access::Boot };
            let (about, unit) = (tunable.about(), unit(tunable));
            tunable.names().map(move |name| (Node { name, about, unit, access }, Source::Tunable(tunable)))
        });
        let counters = COUNTERS.iter().copied().flatten().map(|counter| {
            let &Counter { name, unit, about, .. } = counter;
            (Node { name, about, unit, access: Access::ReadOnly }, Source::Counter(counter))
        });
        let missing = MISSING.iter().map(|&(name, about, why)| {
            let node = Node { name, about, unit: Unit::Table, access: Access::ReadOnly };
            (node, Source::Missing(why))
        });
        let mut all: Vec<_> = settings.chain(counters).chain(missing).collect();
        all.sort_by_key(|(node, _)| node.name);
        all.into_iter()
    }

    fn readings(&self, entries: impl Iterator<Item = (Node, Source)>) -> Vec<Reading> {
        let stats = self.0.stats();
        entries
            .map(|(node, source)| Reading { node, value: self.value(&node, source, Some(&stats)) })
            .collect()
    }

    fn value(&self, node: &Node, source: Source, stats: Option<&PoolStats>) -> Result<Value, SettingError> {
        match (source, stats) {
            (Source::Tunable(tunable), _) => Ok(self.0.tunable(tunable)),
            (Source::Counter(counter), Some(stats)) => Ok(Value::Number((counter.read)(stats))),
            (Source::Counter(counter), None) => Ok(Value::Number((counter.read)(&self.0.stats()))),
            (Source::Missing(why), _) => {
                Err(SettingError::new(Origin::Code, node.name, "", Rule::Unavailable(why)))
            }
        }
    }
}

/// Where a value comes from.
#[derive(Clone, Copy)]
enum Source {
    Tunable(Tunable),
    Counter(&'static Counter),
    Missing(&'static str),
}

fn unit(tunable: Tunable) -> Unit {
    match tunable {
        Tunable::Preset | Tunable::Policy => Unit::Word,
        Tunable::Wait => Unit::Milliseconds,
        Tunable::Memory
        | Tunable::LinkHeader
        | Tunable::ProtocolHeader
        | Tunable::Header
        | Tunable::DataLen => Unit::Bytes,
        _ if tunable.resource().is_some() => Unit::Buffers,
        _ => Unit::Number,
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Unit::Buffers => "buffers",
            Unit::Bytes => "bytes",
            Unit::Events => "events",
            Unit::Milliseconds => "milliseconds",
            Unit::Number => "number",
            Unit::Word => "word",
            Unit::Table => "table",
        })
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Access::ReadOnly => "read-only",
            Access::Boot => "boot",
            Access::ReadWrite => "read-write",
        })
    }
}

struct Counter {
    name: &'static str,
    unit: Unit,
    about: &'static str,
    read: fn(&PoolStats) -> u64,
}

const fn counter(
    name: &'static str,
    unit: Unit,
    about: &'static str,
    read: fn(&PoolStats) -> u64,
) -> Counter {
    Counter { name, unit, about, read }
}

/// The counters of a kind of buffers.
macro_rules! class {
    ($name:literal, $field:ident, $what:literal) => {
        [
            counter(
                concat!("kern.ipc.mbuf.", $name, ".current"),
                Unit::Buffers,
                concat!($what, " in use"),
                |stats| stats.$field.current as u64,
            ),
            counter(
                concat!("kern.ipc.mbuf.", $name, ".cached"),
                Unit::Buffers,
                concat!($what, " that are free, in caches"),
                |stats| stats.$field.cached as u64,
            ),
            counter(
                concat!("kern.ipc.mbuf.", $name, ".total"),
                Unit::Buffers,
                concat!($what, " that memory was taken for"),
                |stats| stats.$field.total as u64,
            ),
            counter(
                concat!("kern.ipc.mbuf.", $name, ".peak"),
                Unit::Buffers,
                concat!("most ", $what, " in use or cached at once"),
                |stats| stats.$field.peak as u64,
            ),
            counter(
                concat!("kern.ipc.mbuf.", $name, ".allocations"),
                Unit::Events,
                concat!("requests for ", $what, " that were met"),
                |stats| stats.$field.allocations,
            ),
            counter(
                concat!("kern.ipc.mbuf.", $name, ".denied"),
                Unit::Events,
                concat!("requests for ", $what, " that failed"),
                |stats| stats.$field.denied,
            ),
            counter(
                concat!("kern.ipc.mbuf.", $name, ".reserved"),
                Unit::Buffers,
                concat!($what, " that are kept for one use"),
                |stats| stats.$field.reserved as u64,
            ),
        ]
    };
}

/// A counter of those that waited for a kind of buffers.
macro_rules! waited {
    ($name:literal, $field:ident, $what:literal) => {
        counter(
            concat!("kern.ipc.mbuf.", $name, ".waited"),
            Unit::Events,
            concat!("requests that waited for ", $what),
            |stats| stats.$field.waited,
        )
    };
}

/// A number that does not change.
macro_rules! constant {
    ($name:literal, $about:literal, $value:expr) => {
        counter($name, Unit::Bytes, $about, |_| $value as u64)
    };
}

static COUNTERS: &[&[Counter]] = &[
    &class!("mbuf", mbufs, "mbufs"),
    &class!("packet", packets, "mbufs with a cluster of the packet zone"),
    &class!("cluster", clusters, "2 KiB clusters"),
    &class!("jumbop", jumbo_page, "4 KiB clusters"),
    &class!("jumbo9", jumbo_9k, "9 KiB clusters"),
    &class!("jumbo16", jumbo_16k, "16 KiB clusters"),
    &class!("external", external, "buffers of external storage"),
    &[
        waited!("mbuf", mbufs, "mbufs"),
        waited!("cluster", clusters, "2 KiB clusters"),
        waited!("jumbop", jumbo_page, "4 KiB clusters"),
        waited!("jumbo9", jumbo_9k, "9 KiB clusters"),
        waited!("jumbo16", jumbo_16k, "16 KiB clusters"),
        counter("kern.ipc.mbstat.m_mbufs", Unit::Buffers, "mbufs in use, all of them", |s| {
            s.mbufs.current as u64
        }),
        counter("kern.ipc.mbstat.m_clusters", Unit::Buffers, "2 KiB clusters in use", |s| {
            s.clusters.current as u64
        }),
        counter("kern.ipc.mbstat.m_mclusts", Unit::Buffers, "the same, by FreeBSD's name", |s| {
            s.clusters.current as u64
        }),
        counter("kern.ipc.mbstat.m_clfree", Unit::Buffers, "2 KiB clusters that are free, in caches", |s| {
            s.clusters.cached as u64
        }),
        counter(
            "kern.ipc.mbstat.m_drops",
            Unit::Events,
            "requests for buffers of any kind that failed",
            PoolStats::denied,
        ),
        counter(
            "kern.ipc.mbstat.m_wait",
            Unit::Events,
            "requests for buffers of any kind that waited",
            waited,
        ),
        counter("kern.ipc.mbstat.m_drain", Unit::Events, "runs of the reclaim hooks", |s| s.reclaims),
        counter("kern.ipc.mbuf.reclaim_panics", Unit::Events, "reclaim hooks that panicked", |s| {
            s.reclaim_panics
        }),
        counter(
            "kern.ipc.mbuf.memory_waited",
            Unit::Events,
            "requests that waited for bytes, not buffers",
            |s| s.memory_waited,
        ),
        counter("kern.ipc.mbuf.bytes.charged", Unit::Bytes, "bytes charged to kern.ipc.maxmbufmem", |s| {
            s.budget_charged as u64
        }),
        counter("kern.ipc.mbstat.m_mcfail", Unit::Events, "copies that failed, shared or deep", |s| {
            s.ops.copy_failures.saturating_add(s.ops.duplicate_failures)
        }),
        counter("kern.ipc.mbstat.m_mpfail", Unit::Events, "ranges that could not be made contiguous", |s| {
            s.ops.pullup_failures
        }),
        constant!("kern.ipc.mbstat.m_msize", "bytes of an mbuf", MSIZE),
        constant!("kern.ipc.mbstat.m_mclbytes", "bytes of a cluster", MCLBYTES),
        constant!("kern.ipc.mbstat.m_minclsize", "fewest bytes that get a cluster", MINCLSIZE),
        constant!("kern.ipc.mbstat.m_mlen", "data bytes of an mbuf without packet header", MLEN),
        constant!("kern.ipc.mbstat.m_mhlen", "data bytes of an mbuf with packet header", MHLEN),
        constant!("kern.mbuf.msize", "bytes of an mbuf", MSIZE),
        constant!("kern.mbuf.mclbytes", "bytes of a cluster", MCLBYTES),
        counter("kern.ipc.m_defragpackets", Unit::Events, "packets defragmented", |s| s.ops.defrag_packets),
        counter("kern.ipc.m_defragbytes", Unit::Bytes, "bytes copied to defragment packets", |s| {
            s.ops.defrag_bytes
        }),
        counter("kern.ipc.m_defraguseless", Unit::Events, "packets that needed no defragmentation", |s| {
            s.ops.defrag_useless
        }),
        counter("kern.ipc.m_defragfailure", Unit::Events, "defragmentations that failed", |s| {
            s.ops.defrag_failures
        }),
        counter(
            "kern.ipc.mbuf.ops.pullups",
            Unit::Events,
            "ranges made contiguous in a fresh segment",
            |s| s.ops.pullups,
        ),
        counter("kern.ipc.mbuf.ops.prepends", Unit::Events, "prepends that found no headroom", |s| {
            s.ops.prepends
        }),
        counter("kern.ipc.mbuf.ops.prepend_failures", Unit::Events, "prepends that failed", |s| {
            s.ops.prepend_failures
        }),
        counter("kern.ipc.mbuf.ops.copies_on_write", Unit::Events, "segments copied to be written", |s| {
            s.ops.copies_on_write
        }),
        counter("kern.ipc.mbuf.bytes.current", Unit::Bytes, "bytes of all buffers in use", |s| {
            s.bytes_in_use() as u64
        }),
        counter("kern.ipc.mbuf.bytes.cached", Unit::Bytes, "bytes of all free buffers in caches", |s| {
            s.bytes_cached() as u64
        }),
        counter("kern.ipc.mbuf.bytes.total", Unit::Bytes, "bytes that memory was taken for", |s| {
            s.bytes_total() as u64
        }),
    ],
];

fn waited(stats: &PoolStats) -> u64 {
    let PoolStats { mbufs, clusters, jumbo_page, jumbo_9k, jumbo_16k, memory_waited, .. } = stats;
    [mbufs, clusters, jumbo_page, jumbo_9k, jumbo_16k].map(|class| class.waited).iter().sum::<u64>()
        + memory_waited
}

/// Names that the BSDs have, and that have no value here: name, what it is there, why not here.
static MISSING: &[(&str, &str, &str)] = &[
    ("kern.ipc.mbtypes", "mbufs in use by type", "mbufs are not counted by type"),
    ("kern.ipc.showmbufs", "every live mbuf, with its owner", "live mbufs are not tracked"),
];
