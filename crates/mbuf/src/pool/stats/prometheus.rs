//! Snapshots as Prometheus text.

use core::fmt;
use std::boxed::Box;
use std::collections::BTreeMap;
use std::string::String;
use std::vec::Vec;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::{ClassStats, OpStats, PoolStats};
use crate::meta::MbufType;

/// Snapshots of pools that `Display` prints as Prometheus text (OpenMetrics), under names that begin with `mbuf_`.
///
/// Labels are `pool` and, where it applies, `class` (a field of [`PoolStats`]) or `type`. What was counted since a pool
/// was made is a counter, everything else a gauge; what is not there, such as a limit, has no line. Of several pools with one
/// name and the same labels, the second is called `name#2`, the third `name#3`.
///
/// ```
/// use mbuf::{Exposition, Pool};
/// let pool = Pool::builder().name("rx").clusters(1024).build()?;
/// let mut page = Exposition::new();
/// page.add(&pool.stats());
/// assert!(page.to_string().contains("mbuf_limit{pool=\"rx\",class=\"clusters\"} 1024"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Exposition(Vec<Row>);

#[derive(Debug, Clone)]
struct Row {
    labels: Vec<(String, String)>,
    stats: PoolStats,
}

impl Exposition {
    /// One without pools.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a pool.
    pub fn add(&mut self, stats: &PoolStats) {
        self.add_with(&[], stats);
    }

    /// Adds a pool with labels in front of the usual ones, such as that of its process. They must be valid names of
    /// labels, and not `pool`, `class` or `type`.
    pub fn add_with(&mut self, labels: &[(&str, &str)], stats: &PoolStats) {
        let mut labels: Vec<(String, String)> =
            labels.iter().map(|&(key, value)| (key.into(), value.into())).collect();
        labels.push(("pool".into(), stats.name.clone()));
        self.0.push(Row { labels, stats: stats.clone() });
    }
}

impl fmt::Display for Exposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = self.0.clone();
        let mut seen: BTreeMap<Vec<(String, String)>, usize> = BTreeMap::new();
        for row in &mut rows {
            let times = seen.entry(row.labels.clone()).or_default();
            *times += 1;
            if let Some((_, name)) = row.labels.last_mut().filter(|_| *times > 1) {
                *name = std::format!("{name}#{times}");
            }
        }
        let mut registry = Registry::with_prefix("mbuf");
        registry.register_collector(Box::new(Rows(rows)));
        let mut text = String::new();
        encode(&mut text, &registry)?;
        f.write_str(&text)
    }
}

#[derive(Debug)]
struct Rows(Vec<Row>);

/// A gauge of each class: name, help, value.
type ClassGauge = (&'static str, &'static str, fn(&ClassStats) -> Option<usize>);
/// A counter of each class.
type ClassCounter = (&'static str, &'static str, fn(&ClassStats) -> Option<u64>);

const GAUGES: [ClassGauge; 7] = [
    ("in_use", "Buffers in use", |class| Some(class.current)),
    ("cached", "Free buffers in caches", |class| Some(class.cached)),
    ("backed", "Buffers that memory was taken for", |class| Some(class.total)),
    ("peak", "Most buffers that were in use or cached at once", |class| class.peak),
    ("reserved", "Buffers kept for reservations", |class| Some(class.reserved)),
    ("limit", "Buffers that may be in use", |class| class.limit),
    ("buffer_bytes", "Bytes of one buffer", |class| Some(class.size)),
];

const COUNTERS: [ClassCounter; 4] = [
    ("allocations", "Buffers handed out", |class| Some(class.allocations)),
    ("denied", "Allocations that failed", |class| Some(class.denied)),
    ("reclaimed", "Allocations served only by collecting free buffers everywhere", |class| {
        Some(class.reclaimed)
    }),
    ("waited", "Operations that had to wait because the limit was reached", |class| class.waited),
];

/// A gauge of the pool.
type PoolGauge = (&'static str, &'static str, fn(&PoolStats) -> usize);
/// A counter of the pool.
type PoolCounter = (&'static str, &'static str, fn(&PoolStats) -> u64);

const POOL_GAUGES: [PoolGauge; 2] = [
    ("tags", "Tags attached to packets", |stats| stats.tags.current),
    ("budget_charged_bytes", "Bytes charged to the budget", |stats| stats.budget_charged),
];

const POOL_COUNTERS: [PoolCounter; 5] = [
    ("tags_attached", "Tags attached since the pool was made", |stats| stats.tags.allocations),
    ("memory_waited", "Operations that had to wait for memory or the budget", |stats| stats.memory_waited),
    ("reclaims", "Runs of the reclaim hooks", |stats| stats.reclaims),
    ("reclaim_panics", "Reclaim hooks that panicked", |stats| stats.reclaim_panics),
    ("faults", "Injected faults that struck", |stats| stats.faults),
];

impl Collector for Rows {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        use MetricType::{Counter, Gauge};
        let mut family = |kind, name, help, values: &dyn Fn(&PoolStats) -> Values| {
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for row in &self.0 {
                for (label, value) in values(&row.stats) {
                    let mut labels: Vec<(&str, &str)> =
                        row.labels.iter().map(|(k, v)| (&**k, &**v)).collect();
                    labels.extend(label);
                    let metric = family.encode_family(&labels)?;
                    match kind {
                        Counter => ConstCounter::new(value).encode(metric)?,
                        _ => ConstGauge::new(value).encode(metric)?,
                    }
                }
            }
            Ok(())
        };
        for (name, help, of) in GAUGES {
            family(Gauge, name, help, &|stats| {
                let values = stats.classes().map(|(class, figures)| (class, of(figures)));
                values.filter_map(|(class, n)| Some((Some(("class", class)), n? as u64))).collect()
            })?;
        }
        for (name, help, of) in COUNTERS {
            family(Counter, name, help, &|stats| {
                let values = stats.classes().map(|(class, figures)| (class, of(figures)));
                values.filter_map(|(class, n)| Some((Some(("class", class)), n?))).collect()
            })?;
        }
        family(Gauge, "mbufs_by_type", "Mbufs in use by type", &|stats| {
            stats.types.iter().map(|(kind, n)| (Some(("type", type_label(kind))), n as u64)).collect()
        })?;
        family(Gauge, "budget_bytes", "Bytes that mbufs and buffers may take together", &|stats| {
            stats.budget.into_iter().map(|bytes| (None, bytes as u64)).collect()
        })?;
        for (name, help, of) in POOL_GAUGES {
            family(Gauge, name, help, &|stats| [(None, of(stats) as u64)].into())?;
        }
        for (name, help, of) in POOL_COUNTERS {
            family(Counter, name, help, &|stats| [(None, of(stats))].into())?;
        }
        for (name, help, _) in OpStats::default().iter() {
            family(Counter, name, help.trim_end_matches('.'), &|stats| {
                let found = stats.ops.iter().filter(|(found, _, _)| *found == name);
                found.map(|(_, _, n)| (None, n)).collect()
            })?;
        }
        Ok(())
    }
}

/// A label beside the pool's, and a figure.
type Values = Vec<(Option<(&'static str, &'static str)>, u64)>;

fn type_label(kind: MbufType) -> &'static str {
    match kind {
        MbufType::Data => "data",
        MbufType::Header => "header",
        MbufType::SocketName => "socket_name",
        MbufType::Control => "control",
        MbufType::OutOfBand => "out_of_band",
    }
}
