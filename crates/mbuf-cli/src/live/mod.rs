//! `mbufctl stat` and `mbufctl top`: the pools of running processes.
//!
//! ```text
//!   Directory ─▶ look: every page ─▶ stat: text, JSON, Prometheus
//!                                 └▶ top: rates, history ─▶ screen
//! ```

pub(crate) mod stat;
pub(crate) mod top;

use std::path::Path;

use mbuf::PoolStats;
use mbuf::publish::{Directory, ProcessStats, PublishError};

/// What processes publish at one time.
#[derive(Default)]
struct Look {
    processes: Vec<ProcessStats>,
    /// Pages that cannot be read.
    damaged: Vec<PublishError>,
    /// Processes that ended and left their page.
    ended: Vec<PublishError>,
}

fn directory(path: Option<&Path>) -> Result<Directory, PublishError> {
    path.map_or_else(Directory::of_user, Directory::open)
}

/// Reads the pages of all processes.
fn look(directory: &Directory) -> Result<Look, PublishError> {
    let mut look = Look::default();
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
    /// Allocations of anything that failed.
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
            denied: denied(&since) as f64 / seconds,
        }
    }
}

/// Allocations of anything that failed.
fn denied(stats: &PoolStats) -> u64 {
    stats.classes().fold(0, |sum, (_, class)| sum.saturating_add(class.denied))
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
                "clusters": { "denied": denied },
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
    fn bytes_are_short() {
        assert_eq!([0, 1023, 1024, 10 << 20, 3 << 30].map(bytes), ["0B", "1023B", "1K", "10M", "3072M"]);
    }
}
