//! The contestants.

#[cfg(feature = "arc-slice")]
mod arc_slice;
#[cfg(feature = "bytes")]
mod bytes;
#[cfg(any(feature = "c-peers", feature = "libmbuf"))]
mod c;
mod floor;
mod memcpy;
mod ours;
mod ours_cache;

use crate::worker::{Bench, Runs};

/// The columns that are built in, by name, and how to open each.
pub type Open = fn() -> Result<Box<dyn Runs>, String>;

pub const COLUMNS: &[(&str, Open)] = &[
    ("ours", Bench::<ours::Ours>::open),
    ("ours, cache", Bench::<ours_cache::Cached>::open),
    #[cfg(with_libmbuf)]
    ("ours, C", Bench::<c::Peer<c::Libmbuf>>::open),
    ("floor", Bench::<floor::Floor>::open),
    ("memcpy", Bench::<memcpy::Memcpy>::open),
    #[cfg(peer_dpdk)]
    ("dpdk", Bench::<c::Peer<c::Dpdk>>::open),
    #[cfg(peer_usrsctp)]
    ("usrsctp", Bench::<c::Peer<c::Usrsctp>>::open),
    #[cfg(peer_lwip)]
    ("lwip", Bench::<c::Peer<c::Lwip>>::open),
    // Named after the allocator by who starts the worker.
    #[cfg(feature = "bytes")]
    ("bytes", Bench::<bytes::Buffers>::open),
    #[cfg(feature = "arc-slice")]
    ("arc-slice", Bench::<arc_slice::Slices>::open),
];

/// Why a column is not built in, where the build script found out.
pub fn why_not(column: &str) -> &'static str {
    let why = match column {
        "dpdk" => option_env!("BENCH_WITHOUT_DPDK"),
        "usrsctp" => option_env!("BENCH_WITHOUT_USRSCTP"),
        "lwip" => option_env!("BENCH_WITHOUT_LWIP"),
        _ => None,
    };
    why.unwrap_or("not built in")
}
