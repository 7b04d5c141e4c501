//! `mbufctl stat` and `mbufctl top`: the pools of running processes.
//!
//! ```text
//!   Directory ─▶ look: every page ─▶ stat: text, JSON, Prometheus
//!                                 └▶ top: rates, history ─▶ screen
//! ```

pub(crate) mod stat;
pub(crate) mod top;

use std::io::ErrorKind;
use std::path::Path;
use std::time::SystemTime;

use mbuf::PoolStats;
use mbuf::publish::{Directory, ProcessStats, PublishError};

/// What processes publish at one time.
#[derive(Default)]
struct Look {
    /// When that was, in milliseconds since 1970.
    at_ms: u64,
    processes: Vec<ProcessStats>,
    /// Pages that cannot be read.
    damaged: Vec<PublishError>,
    /// Processes that ended and left their page.
    ended: Vec<PublishError>,
}

/// The directory that is named, or that of the user, if any process has published there yet.
fn directory(path: Option<&Path>) -> Result<Option<Directory>, PublishError> {
    match path {
        Some(path) => Directory::open(path).map(Some),
        None => match Directory::of_user() {
            Err(PublishError::System { error, .. }) if error.kind() == ErrorKind::NotFound => Ok(None),
            found => found.map(Some),
        },
    }
}

impl Look {
    /// How long a process has written nothing, if it should have, as `stale 12 s`: it hangs, or is stopped.
    fn stale(&self, process: &ProcessStats) -> Option<String> {
        // A machine under load may be late by a few intervals.
        let late = process.interval_ms.saturating_mul(4).max(2000);
        let age = self.at_ms.saturating_sub(process.written_ms);
        (age > late).then(|| match age / 1000 {
            s @ 0..120 => format!("stale {s} s"),
            s @ 120..7200 => format!("stale {} min", s / 60),
            s => format!("stale {} h", s / 3600),
        })
    }
}

fn now_ms() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as u64)
}

/// Reads the pages of all processes.
fn look(path: Option<&Path>) -> Result<Look, PublishError> {
    let mut look = Look { at_ms: now_ms(), ..Look::default() };
    let Some(directory) = directory(path)? else { return Ok(look) };
    for pid in directory.processes()? {
        match directory.read(pid) {
            Ok(stats) => look.processes.push(stats),
            Err(error @ PublishError::Ended { .. }) => look.ended.push(error),
            // It went away meanwhile.
            Err(PublishError::Absent { .. }) => {}
            Err(error) => look.damaged.push(error),
        }
    }
    Ok(look)
}

/// What happens per second between two snapshots of a pool.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Rates {
    /// Mbufs handed out.
    allocations: f64,
    /// Requests for buffers of any kind that failed.
    denied: f64,
}

impl Rates {
    fn between(before: &PoolStats, now: &PoolStats, seconds: f64) -> Self {
        if seconds <= 0.0 {
            return Self::default();
        }
        let since = now.since(before);
        Rates {
            allocations: since.mbufs.allocations as f64 / seconds,
            denied: since.denied() as f64 / seconds,
        }
    }
}

/// A number of bytes as people read it.
fn bytes(n: usize) -> String {
    match n {
        0..0x400 => format!("{n}B"),
        0x400..0xa0_0000 => format!("{}K", n >> 10),
        _ => format!("{}M", n >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_per_second_and_never_below_none() {
        let pool = |allocations: u64, denied: u64| -> PoolStats {
            serde_json::from_value(serde_json::json!({
                "mbufs": { "allocations": allocations, "denied": denied },
                "jumbo_9k": { "denied": denied },
            }))
            .unwrap()
        };
        let rates = Rates::between(&pool(100, 1), &pool(300, 2), 0.5);
        assert_eq!(rates, Rates { allocations: 400.0, denied: 4.0 });
        // Another process under the same number began anew.
        assert_eq!(Rates::between(&pool(300, 2), &pool(100, 1), 0.5), Rates::default());
        assert_eq!(Rates::between(&pool(100, 1), &pool(300, 2), 0.0), Rates::default());
    }

    #[test]
    fn a_packet_that_is_denied_its_cluster_is_denied_once() {
        let pool = mbuf::Pool::builder().clusters(1).build().unwrap();
        let held = mbuf::Packet::with_cluster(&pool).unwrap();
        let before = pool.stats();
        assert!(mbuf::Packet::with_cluster(&pool).is_err());
        assert_eq!(Rates::between(&before, &pool.stats(), 1.0).denied, 1.0);
        drop(held);
    }

    #[test]
    fn a_process_is_stale_when_it_is_late_by_more_than_chance() {
        let stale = |at_ms: u64, written_ms: u64, interval_ms: u64| {
            let mut process = ProcessStats::default();
            (process.written_ms, process.interval_ms) = (written_ms, interval_ms);
            Look { at_ms, ..Look::default() }.stale(&process)
        };
        assert_eq!(
            [stale(3000, 1000, 250), stale(41_000, 1000, 10_000), stale(0, 5000, 1)],
            [None, None, None]
        );
        assert_eq!(stale(3001, 1000, 250).as_deref(), Some("stale 2 s"));
        assert_eq!(stale(41_001, 1000, 10_000).as_deref(), Some("stale 40 s"));
        assert_eq!(stale(181_000, 1000, 250).as_deref(), Some("stale 3 min"));
        assert_eq!(stale(u64::MAX, 0, 0).as_deref(), Some("stale 5124095576030 h"));
        assert_eq!(stale(u64::MAX, 0, u64::MAX), None);
    }

    #[test]
    fn bytes_are_short() {
        assert_eq!([0, 1023, 1024, 10 << 20, 3 << 30].map(bytes), ["0B", "1023B", "1K", "10M", "3072M"]);
    }
}
