//! The unsafe core: what an mbuf is in memory, who owns it, and how mbufs are linked.
//!
//! Everything that dereferences a pointer is in this folder. What it exports is safe: an owned segment
//! ([`Mbuf`]), a view of one ([`RawMbuf`], only ever behind a shared reference), leave to change one ([`Edit`]), an
//! owned list of segments ([`Run`]), and [`Chain`], on which the rest of the crate builds.

mod bulk;
mod chain;
mod count;
#[cfg(feature = "ffi")]
pub(crate) mod foreign;
mod hidden;
mod mbuf;
mod plot;
mod queue;
mod run;
#[cfg(feature = "ffi")]
pub(crate) mod short;
mod storage;
pub(crate) mod zones;

pub(crate) use bulk::free_bulk;
pub use chain::{Bare, Chain, Head, Header, MbufChain, Packet};
pub(crate) use hidden::Hidden;
pub(crate) use mbuf::{Edit, Hold, Mbuf, PacketHeader, RawMbuf};
pub(crate) use plot::{GUARD, Plot, Plots};
pub(crate) use queue::PacketList;
pub(crate) use run::{Run, Segs, Trash};
pub use storage::StorageKind;

/// The zone lanes of a pool's objects (`mbuf_zone::raw::LANES`).
pub(crate) mod lane {
    pub(crate) const MBUF: usize = 0;
    pub(crate) const EXTERNAL: usize = 1;
    /// By class.
    pub(crate) const PACKETS: [usize; 4] = [2, 3, 4, 5];
    /// By class.
    pub(crate) const CLUSTERS: [usize; 4] = [6, 7, 8, 9];
}

/// Evaluates an expression with `LANE` what a table of [`lane`] says of a class: a constant in each arm, so that the
/// class becomes control flow.
macro_rules! in_lane {
    ($lanes:ident[$class:expr], $do:expr) => {
        in_lane!($lanes[$class], $do, Cluster, Page, Jumbo9, Jumbo16)
    };
    ($lanes:ident[$class:expr], $do:expr, $($name:ident),+) => {
        match $class {
            $(crate::config::Class::$name => {
                const LANE: usize = crate::raw::lane::$lanes[crate::config::Class::$name.index()];
                $do
            })+
        }
    };
}

use in_lane;
