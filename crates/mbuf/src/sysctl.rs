//! Every setting and counter of a pool by its name.

use alloc::vec::Vec;
use core::fmt;

use crate::config::{MCLBYTES, MHLEN, MINCLSIZE, MLEN, MSIZE};
use crate::pool::{OpStats, Pool, PoolStats};
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
        self.unsorted().find(|(node, _)| node.name == name)
    }

    fn entries(&self) -> impl Iterator<Item = (Node, Source)> {
        let mut all: Vec<_> = self.unsorted().collect();
        all.sort_by_key(|(node, _)| node.name);
        all.into_iter()
    }

    fn unsorted(&self) -> impl Iterator<Item = (Node, Source)> {
        let settings = Tunable::ALL.into_iter().flat_map(|tunable| {
            let access = if self.0.can_set(tunable) { Access::ReadWrite } else { Access::Boot };
            let (about, unit) = (tunable.about(), unit(tunable));
            tunable.names().map(move |name| (Node { name, about, unit, access }, Source::Tunable(tunable)))
        });
        let counters = COUNTERS.iter().copied().flatten().map(|counter| {
            let &Counter { name, unit, about, read } = counter;
            (Node { name, about, unit, access: Access::ReadOnly }, Source::Counter(read))
        });
        let operations = OpStats::NODES.iter().map(|&(name, about, read)| {
            let about = about.trim_ascii().trim_end_matches('.');
            let unit = if name.ends_with("_bytes") { Unit::Bytes } else { Unit::Events };
            (Node { name, about, unit, access: Access::ReadOnly }, Source::Operation(read))
        });
        let missing = MISSING.iter().map(|&(name, about, why)| {
            let node = Node { name, about, unit: Unit::Table, access: Access::ReadOnly };
            (node, Source::Missing(why))
        });
        settings.chain(counters).chain(operations).chain(missing)
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
            (Source::Counter(read), Some(stats)) => Ok(read(stats)),
            (Source::Counter(read), None) => Ok(read(&self.0.stats())),
            (Source::Operation(read), Some(stats)) => Ok(read(stats).into()),
            (Source::Operation(read), None) => Ok(read(&self.0.stats()).into()),
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
    Counter(fn(&PoolStats) -> Value),
    Operation(fn(&PoolStats) -> u64),
    Missing(&'static str),
}

fn unit(tunable: Tunable) -> Unit {
    match tunable {
        Tunable::Preset | Tunable::Policy | Tunable::Fault => Unit::Word,
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
    read: fn(&PoolStats) -> Value,
}

const fn counter(
    name: &'static str,
    unit: Unit,
    about: &'static str,
    read: fn(&PoolStats) -> Value,
) -> Counter {
    Counter { name, unit, about, read }
}

/// What is counted of a kind of buffers: name, unit, text around the kind's name, value. What is in brackets it has only if
/// it is named so.
macro_rules! class {
    ($name:literal, $field:ident, $what:literal $(, $only:ident)*) => {
        &[
            class!(@ $name, $what, "size", Bytes, "bytes of one of the ", "", |s| s.$field.size.into()),
            class!(@ $name, $what, "current", Buffers, "", " in use", |s| s.$field.current.into()),
            class!(@ $name, $what, "cached", Buffers, "", " that are free, in caches", |s| s.$field.cached.into()),
            class!(@ $name, $what, "total", Buffers, "", " that memory was taken for", |s| s.$field.total.into()),
            class!(@ $name, $what, "limit", Buffers, "", " that may be in use", |s| s.$field.limit.into()),
            class!(@ $name, $what, "reserved", Buffers, "", " that are kept for one use", |s| s.$field.reserved.into()),
            class!(@ $name, $what, "allocations", Events, "requests for ", " that were met", |s| s
                .$field
                .allocations
                .into()),
            class!(@ $name, $what, "denied", Events, "requests for ", " that failed", |s| s.$field.denied.into()),
            class!(
                @ $name, $what, "reclaimed", Events, "requests for ", " that were met only by collecting them everywhere",
                |s| s.$field.reclaimed.into()
            ),
            $(class!(@$only $name, $field, $what),)*
        ]
    };
    (@peak $name:literal, $field:ident, $what:literal) => {
        class!(@ $name, $what, "peak", Buffers, "most ", " in use or cached at once", |s| s
            .$field
            .peak
            .unwrap_or(0)
            .into())
    };
    (@waited $name:literal, $field:ident, $what:literal) => {
        class!(@ $name, $what, "waited", Events, "requests that waited for ", "", |s| s
            .$field
            .waited
            .unwrap_or(0)
            .into())
    };
    (@ $name:literal, $what:literal, $figure:literal, $unit:ident, $before:literal, $after:literal, $read:expr) => {
        counter(
            concat!("kern.ipc.mbuf.", $name, ".", $figure),
            Unit::$unit,
            concat!($before, $what, $after),
            $read,
        )
    };
}

/// Mbufs of a type.
macro_rules! of_type {
    ($field:ident, $what:literal) => {
        counter(
            concat!("kern.ipc.mbtypes.", stringify!($field)),
            Unit::Buffers,
            concat!("mbufs in use that hold ", $what),
            |s| s.types.$field.into(),
        )
    };
}

/// A number that does not change.
macro_rules! constant {
    ($name:literal, $about:literal, $value:expr) => {
        counter($name, Unit::Bytes, $about, |_| ($value as u64).into())
    };
}

static COUNTERS: &[&[Counter]] = &[
    class!("mbuf", mbufs, "mbufs", peak, waited),
    class!("packet", packets, "mbufs with a cluster of the packet zone"),
    class!("cluster", clusters, "2 KiB clusters", peak, waited),
    class!("jumbop", jumbo_page, "4 KiB clusters", peak, waited),
    class!("jumbo9", jumbo_9k, "9 KiB clusters", peak, waited),
    class!("jumbo16", jumbo_16k, "16 KiB clusters", peak, waited),
    class!("external", external, "buffers of external storage", peak),
    &[
        of_type!(data, "data"),
        of_type!(header, "packet headers"),
        of_type!(socket_name, "socket names and addresses"),
        of_type!(control, "ancillary data"),
        of_type!(out_of_band, "out-of-band data"),
        counter("kern.ipc.mbuf.tags.current", Unit::Number, "tags attached to packets", |s| {
            s.tags.current.into()
        }),
        counter("kern.ipc.mbuf.tags.allocations", Unit::Events, "tags that were attached", |s| {
            s.tags.allocations.into()
        }),
        counter("kern.ipc.mbstat.m_mbufs", Unit::Buffers, "mbufs in use, all of them", |s| {
            s.mbufs.current.into()
        }),
        counter("kern.ipc.mbstat.m_clusters", Unit::Buffers, "2 KiB clusters in use", |s| {
            s.clusters.current.into()
        }),
        counter("kern.ipc.mbstat.m_mclusts", Unit::Buffers, "the same, by FreeBSD's name", |s| {
            s.clusters.current.into()
        }),
        counter("kern.ipc.mbstat.m_clfree", Unit::Buffers, "2 KiB clusters that are free, in caches", |s| {
            s.clusters.cached.into()
        }),
        counter(
            "kern.ipc.mbstat.m_drops",
            Unit::Events,
            "requests for buffers of any kind that failed",
            |s| s.denied().into(),
        ),
        counter(
            "kern.ipc.mbstat.m_wait",
            Unit::Events,
            "requests for buffers of any kind that waited",
            |s| waited(s).into(),
        ),
        counter("kern.ipc.mbstat.m_drain", Unit::Events, "runs of the reclaim hooks", |s| s.reclaims.into()),
        counter("kern.ipc.mbuf.faults", Unit::Events, "faults that were injected and struck", |s| {
            s.faults.into()
        }),
        counter("kern.ipc.mbuf.reclaim_panics", Unit::Events, "reclaim hooks that panicked", |s| {
            s.reclaim_panics.into()
        }),
        counter(
            "kern.ipc.mbuf.memory_waited",
            Unit::Events,
            "requests that waited for memory, or external storage",
            |s| s.memory_waited.into(),
        ),
        counter("kern.ipc.mbuf.bytes.charged", Unit::Bytes, "bytes charged to kern.ipc.maxmbufmem", |s| {
            s.budget_charged.into()
        }),
        counter("kern.ipc.mbstat.m_mcfail", Unit::Events, "copies that failed, shared or deep", |s| {
            s.ops.copy_failures.saturating_add(s.ops.duplicate_failures).into()
        }),
        counter("kern.ipc.mbstat.m_mpfail", Unit::Events, "ranges that could not be made contiguous", |s| {
            s.ops.pullup_failures.into()
        }),
        constant!("kern.ipc.mbstat.m_msize", "bytes of an mbuf", MSIZE),
        constant!("kern.ipc.mbstat.m_mclbytes", "bytes of a cluster", MCLBYTES),
        constant!("kern.ipc.mbstat.m_minclsize", "fewest bytes that get a cluster", MINCLSIZE),
        constant!("kern.ipc.mbstat.m_mlen", "data bytes of an mbuf without packet header", MLEN),
        constant!("kern.ipc.mbstat.m_mhlen", "data bytes of an mbuf with packet header", MHLEN),
        constant!("kern.mbuf.msize", "bytes of an mbuf", MSIZE),
        constant!("kern.mbuf.mclbytes", "bytes of a cluster", MCLBYTES),
        counter("kern.ipc.m_defragpackets", Unit::Events, "packets defragmented", |s| {
            s.ops.defrag_packets.into()
        }),
        counter("kern.ipc.m_defragbytes", Unit::Bytes, "bytes copied to defragment packets", |s| {
            s.ops.defrag_bytes.into()
        }),
        counter("kern.ipc.m_defraguseless", Unit::Events, "packets that needed no defragmentation", |s| {
            s.ops.defrag_useless.into()
        }),
        counter("kern.ipc.m_defragfailure", Unit::Events, "defragmentations that failed", |s| {
            s.ops.defrag_failures.into()
        }),
        counter("kern.ipc.mbuf.bytes.current", Unit::Bytes, "bytes of all buffers in use", |s| {
            s.bytes_in_use().into()
        }),
        counter("kern.ipc.mbuf.bytes.cached", Unit::Bytes, "bytes of all free buffers in caches", |s| {
            s.bytes_cached().into()
        }),
        counter("kern.ipc.mbuf.bytes.total", Unit::Bytes, "bytes that memory was taken for", |s| {
            s.bytes_total().into()
        }),
    ],
];

fn waited(stats: &PoolStats) -> u64 {
    let PoolStats { mbufs, clusters, jumbo_page, jumbo_9k, jumbo_16k, memory_waited, .. } = stats;
    [mbufs, clusters, jumbo_page, jumbo_9k, jumbo_16k]
        .iter()
        .fold(*memory_waited, |sum, class| sum + class.waited.unwrap_or(0))
}

/// Names that the BSDs have, and that have no value here: name, what it is there, why not here.
static MISSING: &[(&str, &str, &str)] = &[(
    "kern.ipc.showmbufs",
    "every live mbuf, with its owner",
    "it is no single value: Pool::audit_report has it",
)];

#[cfg(all(test, feature = "serde"))]
mod tests {
    use alloc::collections::BTreeSet;
    use alloc::format;
    use alloc::string::String;

    use serde_json::{Value as Json, from_value, json, to_value};

    use super::*;

    /// Gives every number, and every limit, a value of its own.
    fn number(json: &mut Json, path: String, next: &mut u64, numbered: &mut Vec<(String, u64)>) {
        match json {
            Json::Object(fields) => {
                for (name, field) in fields {
                    number(field, format!("{path}.{name}"), next, numbered);
                }
            }
            Json::Number(_) | Json::Null => {
                *next += 1;
                *json = json!(*next);
                numbered.push((path, *next));
            }
            _ => {}
        }
    }

    #[test]
    fn every_figure_of_a_snapshot_has_a_name_and_stands_in_the_long_form() {
        let pool = Pool::new();
        let (mut json, mut numbered) = (to_value(pool.stats()).unwrap(), Vec::new());
        number(&mut json, String::new(), &mut 1_000_000, &mut numbered);
        assert!(numbered.len() > 80, "{numbered:?}");
        let stats: PoolStats = from_value(json).unwrap();
        let sysctl = pool.sysctl();
        let values: BTreeSet<u64> = sysctl
            .entries()
            .filter(|(_, source)| !matches!(source, Source::Tunable(_) | Source::Missing(_)))
            .filter_map(|(node, source)| match sysctl.value(&node, source, Some(&stats)).unwrap() {
                Value::Number(n) => Some(n),
                _ => None,
            })
            .collect();
        let long = format!("{stats:#}");
        let words: BTreeSet<&str> = long.split(|c: char| !c.is_ascii_digit()).collect();
        for (path, n) in numbered {
            // The budget is a setting.
            assert!(values.contains(&n) || path == ".budget", "{path} has no name");
            assert!(words.contains(&*format!("{n}")), "{path} is not in\n{long}");
        }
    }
}
