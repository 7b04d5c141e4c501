//! The snapshot as `netstat -m` prints it.

use core::fmt::{self, Display};

use super::{ClassStats, PoolStats};
use crate::meta::MbufType;

struct Limit(Option<usize>);

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(limit) => limit.fmt(f),
            None => f.write_str("unlimited"),
        }
    }
}

/// The table of FreeBSD's `netstat -m`; with `{:#}` the pool's name above it, and below it what that table has no line
/// for: the other figures of each class, external storage, the budget, reclaim, tags, types that are in use, and slow
/// paths, in the manner of DragonFly's.
impl fmt::Display for PoolStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            writeln!(f, "pool {}", self.name)?;
        }
        self.table(f)?;
        if f.alternate() { self.more(f) } else { Ok(()) }
    }
}

fn line(f: &mut fmt::Formatter<'_>, class: &ClassStats, what: &str) -> fmt::Result {
    let ClassStats { current, cached, limit, .. } = class;
    let (total, limit) = (current.saturating_add(*cached), Limit(*limit));
    writeln!(f, "{current}/{cached}/{total}/{limit} {what} in use (current/cache/total/max)")
}

/// A figure of each class: what it is, and how it is printed.
type Figure = (&'static str, fn(&ClassStats, &mut fmt::Formatter<'_>) -> fmt::Result);

/// Those that the table has no line for, or not of every class.
const FIGURES: [Figure; 9] = [
    ("bytes each", |class, f| class.size.fmt(f)),
    ("backed by memory", |class, f| class.total.fmt(f)),
    ("most that may be in use", |class, f| Limit(class.limit).fmt(f)),
    ("reserved", |class, f| class.reserved.fmt(f)),
    ("peak, cached ones counted", |class, f| own(class.peak, f)),
    ("requests met", |class, f| class.allocations.fmt(f)),
    ("requests met only by collecting", |class, f| class.reclaimed.fmt(f)),
    ("requests denied", |class, f| class.denied.fmt(f)),
    ("requests delayed", |class, f| own(class.waited, f)),
];

/// What not every class has.
fn own(figure: Option<impl fmt::Display>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match figure {
        Some(figure) => figure.fmt(f),
        None => f.write_str("-"),
    }
}

impl PoolStats {
    fn table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PoolStats { mbufs, packets, clusters, jumbo_page, jumbo_9k, jumbo_16k, .. } = self;
        let total = mbufs.current.saturating_add(mbufs.cached);
        writeln!(f, "{}/{}/{total} mbufs in use (current/cache/total)", mbufs.current, mbufs.cached)?;
        line(f, clusters, "mbuf clusters")?;
        writeln!(
            f,
            "{}/{} mbuf+clusters out of packet secondary zone in use (current/cache)",
            packets.current, packets.cached
        )?;
        line(f, jumbo_page, "4k (page size) jumbo clusters")?;
        line(f, jumbo_9k, "9k jumbo clusters")?;
        line(f, jumbo_16k, "16k jumbo clusters")?;
        let kib = |bytes: usize| bytes / 1024;
        let (used, cached) = (kib(self.bytes_in_use()), kib(self.bytes_cached()));
        let total = used.saturating_add(cached);
        writeln!(f, "{used}K/{cached}K/{total}K bytes allocated to network (current/cache/total)")?;
        writeln!(
            f,
            "{}/{}/{} requests for mbufs denied (mbufs/clusters/mbuf+clusters)",
            mbufs.denied, clusters.denied, packets.denied
        )?;
        write!(
            f,
            "{}/{}/{} requests for jumbo clusters denied (4k/9k/16k)",
            jumbo_page.denied, jumbo_9k.denied, jumbo_16k.denied
        )
    }

    fn more(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, of) in FIGURES {
            for (n, (_, class)) in self.classes().enumerate() {
                f.write_str(if n == 0 { "\n" } else { "/" })?;
                of(class, f)?;
            }
            write!(f, " {what} (mbufs/mbuf+clusters/clusters/4k/9k/16k/external)")?;
        }
        let PoolStats { external, tags, .. } = self;
        write!(f, "\n{}/{} external buffers in use (current/cache)", external.current, external.cached)?;
        write!(f, "\n{} requests delayed for memory or external storage", self.memory_waited)?;
        let budget = Limit(self.budget);
        write!(f, "\n{}/{budget} bytes charged to the budget (current/max)", self.budget_charged)?;
        write!(f, "\n{}/{} reclaim (runs/hooks that panicked)", self.reclaims, self.reclaim_panics)?;
        write!(f, "\n{} injected faults that struck", self.faults)?;
        write!(f, "\n{}/{} tags in use (current/since start)", tags.current, tags.allocations)?;
        for (kind, count) in self.types.iter().filter(|(_, count)| *count > 0) {
            let what = match kind {
                MbufType::Data => "data",
                MbufType::Header => "packet headers",
                MbufType::SocketName => "socket names and addresses",
                MbufType::Control => "ancillary data",
                MbufType::OutOfBand => "oob data",
            };
            write!(f, "\n{count} mbufs allocated to {what}")?;
        }
        for (name, _, count) in self.ops.iter() {
            f.write_str("\n")?;
            for (n, word) in name.split('_').enumerate() {
                write!(f, "{}{word}", if n > 0 { " " } else { "" })?;
            }
            write!(f, ": {count}")?;
        }
        Ok(())
    }
}
