//! The snapshot as `netstat -m` prints it.

use core::fmt;

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
/// for: peaks, external storage, tags, types that are in use, and slow paths, in the manner of DragonFly's.
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
        let PoolStats { mbufs, clusters, jumbo_page, jumbo_9k, jumbo_16k, external, tags, .. } = self;
        write!(
            f,
            "\n{}/{}/{}/{}/{} peak, cached ones counted (mbufs/clusters/4k/9k/16k)",
            mbufs.peak, clusters.peak, jumbo_page.peak, jumbo_9k.peak, jumbo_16k.peak
        )?;
        write!(
            f,
            "\n{}/{}/{}/{}/{} requests delayed (mbufs/clusters/4k/9k/16k)",
            mbufs.waited, clusters.waited, jumbo_page.waited, jumbo_9k.waited, jumbo_16k.waited
        )?;
        write!(f, "\n{} requests delayed for memory", self.memory_waited)?;
        let budget = Limit(self.budget);
        write!(f, "\n{}/{budget} bytes charged to the budget (current/max)", self.budget_charged)?;
        write!(
            f,
            "\n{}/{}/{}/{}/{} reserved (mbufs/clusters/4k/9k/16k)",
            mbufs.reserved, clusters.reserved, jumbo_page.reserved, jumbo_9k.reserved, jumbo_16k.reserved
        )?;
        write!(f, "\n{} reclaim runs, {} hooks panicked", self.reclaims, self.reclaim_panics)?;
        write!(
            f,
            "\n{}/{}/{} external buffers in use (current/peak/since start)",
            external.current, external.peak, external.allocations
        )?;
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
            write!(f, "\n{count} ")?;
            for (n, word) in name.split('_').enumerate() {
                write!(f, "{}{word}", if n > 0 { " " } else { "" })?;
            }
        }
        Ok(())
    }
}
