//! What we want to be true: our time, or our instructions, divided by somebody else's.

use serde::Serialize;

/// Against whom, in what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Against {
    Time(&'static str),
    Instructions(&'static str),
    /// Our own time in another row.
    OwnRow(&'static str),
}

use Against::{Instructions, OwnRow, Time};

pub struct Goal {
    pub row: &'static str,
    pub against: Against,
    /// The most that the ratio may be.
    pub most: f64,
}

const DPDK: Against = Time("dpdk");
const DPDK_INSTRUCTIONS: Against = Instructions("dpdk");
const JEMALLOC: Against = Time("bytes, jemalloc");
const SNMALLOC: Against = Time("bytes, snmalloc");
const USRSCTP: Against = Time("usrsctp");
const MEMCPY: Against = Time("memcpy");

const fn goal(row: &'static str, against: Against, most: f64) -> Goal {
    Goal { row, against, most }
}

pub const GOALS: &[Goal] = &[
    goal("alloc+free packet with cluster", DPDK, 0.48),
    goal("alloc+free packet with cluster", DPDK_INSTRUCTIONS, 0.33),
    goal("alloc+free packet with cluster", Time("floor"), 1.15),
    goal("alloc+free packet with cluster", JEMALLOC, 0.5),
    goal("alloc+free header mbuf", DPDK, 0.48),
    goal("alloc+free packet with 9 KiB", DPDK, 0.5),
    goal("bulk of 32", DPDK, 0.42),
    goal("bulk of 32", DPDK_INSTRUCTIONS, 0.45),
    goal("burst of 32 singles", DPDK, 0.45),
    goal("burst of 4096, first in first out", DPDK, 0.36),
    goal("burst of 4096, last in first out", DPDK, 0.40),
    goal("alloc, fill 1500 B, free", DPDK, 0.78),
    goal("alloc, fill 1500 B, free", JEMALLOC, 0.85),
    goal("share 1500 B + free", DPDK, 0.4),
    goal("share 1500 B + free", DPDK_INSTRUCTIONS, 0.36),
    goal("share 1500 B + free", Time("bytes, glibc"), 0.5),
    goal("share 1500 B + free", USRSCTP, 0.2),
    goal("share a range + free", DPDK, 0.4),
    goal("share 4 segments + free", DPDK, 0.4),
    goal("split at 500 + free both", JEMALLOC, 0.6),
    goal("prepend 14 + trim", DPDK, 0.55),
    goal("append 64 + trim", DPDK, 0.32),
    goal("prepend 20 beyond headroom", USRSCTP, 0.1),
    goal("pullup 40 over two mbufs", USRSCTP, 0.28),
    goal("build 4 segments + free", DPDK, 0.85),
    goal("build 4 segments, linearize + free", DPDK, 0.72),
    goal("40 contiguous bytes, present", DPDK, 1.7),
    goal("40 contiguous bytes, across a border", DPDK, 0.56),
    goal("duplicate 64 B", DPDK, 0.4),
    goal("duplicate 1500 B", DPDK, 0.48),
    goal("duplicate 1500 B", MEMCPY, 1.35),
    goal("duplicate 9000 B of 6 segments", DPDK, 0.35),
    goal("duplicate 9000 B of 6 segments", MEMCPY, 1.6),
    goal("copy out 1500 B", MEMCPY, 1.1),
    goal("copy in 1500 B", MEMCPY, 1.05),
    goal("copy out 9000 B of 6 segments", DPDK, 0.56),
    goal("checksum 64 B", DPDK, 0.88),
    goal("checksum 1500 B", DPDK, 0.32),
    goal("checksum 9000 B", DPDK, 0.4),
    goal("checksum 4 × 375 B", DPDK, 0.54),
    goal("checksum 6 × 1500 B", DPDK, 0.32),
    goal("alloc+free, two threads", DPDK, 0.48),
    goal("alloc+free, two threads", OwnRow("alloc+free packet with cluster"), 1.2),
    goal("burst of 4096, two threads", DPDK, 0.3),
    goal("burst of 4096, two threads", OwnRow("burst of 4096, first in first out"), 1.35),
    goal("allocate here, free there", DPDK, 0.35),
    goal("allocate here, free there", SNMALLOC, 0.3),
    goal("allocate 32 here, free there", DPDK, 1.0),
    goal("allocate 32 here, free there", SNMALLOC, 0.38),
];
