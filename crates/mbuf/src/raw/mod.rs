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
mod mbuf;
mod queue;
mod run;
mod storage;
pub(crate) mod zones;

pub use chain::{Bare, Chain, Head, Header, MbufChain, Packet};
pub(crate) use mbuf::{Edit, Hold, Mbuf, PacketHeader, RawMbuf};
pub(crate) use queue::PacketList;
pub(crate) use run::{Run, Segs, Trash};
pub use storage::StorageKind;

/// The zone lanes of a pool's objects (`mbuf_zone::raw::LANES`).
pub(crate) mod lane {
    pub(crate) const PACKET: usize = 0;
    pub(crate) const MBUF: usize = 1;
    pub(crate) const CLUSTER: usize = 2;
    pub(crate) const PAGE: usize = 3;
    pub(crate) const JUMBO9: usize = 4;
    pub(crate) const JUMBO16: usize = 5;
    pub(crate) const EXTERNAL: usize = 6;
}
