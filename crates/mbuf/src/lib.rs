//! Network memory buffers: packets in pooled, chained, shareable segments with room to grow at both ends.
//!
//! The mbufs of the BSD kernels, as a safe library in user space.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod blank;
mod check;
pub mod checksum;
mod config;
#[cfg(feature = "std")]
mod cursor;
mod error;
mod fmt;
#[cfg(feature = "bytes")]
mod interop;
mod meta;
mod ops;
mod packet;
mod pool;
mod queue;
mod raw;
mod reserve;
mod segment;
mod tag;

pub use check::Corruption;
pub use config::{Class, MCLBYTES, MHLEN, MINCLSIZE, MJUM9BYTES, MJUM16BYTES, MJUMPAGESIZE, MLEN, MSIZE};
#[cfg(feature = "std")]
pub use cursor::{Reader, Writer};
pub use error::{AllocError, BoundsError, BuildError, OpError, Resource};
#[cfg(feature = "bytes")]
pub use interop::Appender;
#[cfg(all(unix, feature = "std"))]
pub use mbuf_zone::Mmap;
pub use mbuf_zone::{Arena, Heap, PageSource};
pub use meta::{Flags, MbufType, Meta};
pub use pool::{ClassStats, OpStats, Pool, PoolBuilder, PoolCache, PoolStats};
pub use queue::{IntoIter, PacketQueue, QueueFull};
pub use raw::{Bare, Chain, Head, Header, MbufChain, Packet, StorageKind};
pub use reserve::Reserve;
pub use segment::{Segment, SegmentMut};
pub use tag::{Tag, TagCopy};
