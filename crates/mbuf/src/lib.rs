//! Network memory buffers: packets in pooled, chained, shareable segments with room to grow at both ends.
//!
//! These are the mbufs of the BSD kernels as a safe library in user space. A [`Packet`] is one pointer. It owns a
//! chain of 256-byte mbufs from a [`Pool`], each of which shows a window on its own inline bytes, on a cluster of the
//! pool (2, 4, 9 or 16 KiB), or on memory of yours. Headers go in front without moving the payload, a copy shares the
//! payload instead of copying it, and dropping the packet, on any thread, gives everything back.
//!
//! ```
//! use mbuf::{Packet, Pool};
//!
//! let pool = Pool::builder().clusters(1024).build()?;
//!
//! // Receive: a 2 KiB cluster with headroom, filled in place.
//! let mut packet = Packet::with_cluster(&pool)?;
//! packet.extend(1000)?.fill(0x5a);
//!
//! // Encapsulate: into the headroom, no payload byte moves.
//! packet.prepend_slice(&[0x08, 0, 0, 0, 0, 0, 42, 0])?;
//!
//! // Send twice: the storage is shared, and read-only until one of the two is dropped.
//! let mirror = packet.share()?;
//! assert!(packet.segments_mut().next().unwrap().bytes_mut().is_none());
//!
//! // Write all the same: what has to be written is copied first, and the mirror keeps what it has.
//! packet.write_at(8, &[1, 2, 3])?;
//! assert_eq!(mirror.read_array(8)?, [0x5a; 3]);
//!
//! // Cut: the parts share the cluster.
//! let tail = packet.split_off(500)?;
//! assert_eq!((packet.len(), tail.len()), (500, 508));
//!
//! drop((packet, tail, mirror));
//! assert_eq!(pool.stats().mbufs.current, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The types
//!
//! | type | what it is | BSD |
//! | --- | --- | --- |
//! | [`Pool`] | where buffers come from: a value, with limits that are exact | UMA zones, object caches, `pool(9)` |
//! | [`Packet`] | a chain whose first mbuf has a packet header | mbuf chain with `M_PKTHDR` |
//! | [`Chain`] | a chain without one | mbuf chain without |
//! | [`PacketQueue`] | packets in a row | `mbufq`, `m_nextpkt` |
//! | [`Segment`] | a view of one mbuf | `struct mbuf` |
//! | [`Reserve`] | memory for bytes that are still to come | result of `m_getm2` |
//! | [`Meta`], [`Tag`] | what a packet carries beside its bytes | `m_pkthdr`, `m_tag(9)` |
//! | [`Tunables`], [`Preset`] | a pool's settings by name, from code, environment or file | `loader.conf(5)`, `maxusers` |
//! | [`Sysctl`] | all settings and counters of a pool by name | `sysctl(3)` |
//! | [`Audit`], [`LeakScope`] | who has which buffer, and a test's claim that nobody has | `MBUFTRACE` |
//! | [`Fault`] | an allocation that fails on purpose | `fail(9)` |
//!
//! Packets and chains are one generic type, [`MbufChain`], with one set of operations.
//!
//! # Promises
//!
//! - An operation that returns an error has changed nothing and lost nothing. It takes all the memory it needs before
//!   it touches the packet.
//! - `&mut [u8]` exists only for storage that nobody else holds. What is shared or read-only is copied before it is
//!   written, by operations whose documentation says so, or not written.
//! - No operation copies, shares or allocates more than its documentation says. Nothing reallocates silently.
//! - A limit is exact: an allocation fails when every buffer is in use, not when free ones are in another thread's
//!   cache.
//! - Buffers may outlive their pool's handles and be freed on any thread, also while it ends.
//! - Segments are never empty, the total is always the sum, the views borrow the packet: what a pull-up moved cannot
//!   be looked at through an old reference.
//!
//! What does not compile:
//!
//! ```compile_fail,E0308
//! # use mbuf::{Chain, Packet, PacketQueue, Pool};
//! # let pool = Pool::new();
//! let mut queue = PacketQueue::new();
//! queue.push_back(Chain::new(&pool).unwrap()); // a chain has no packet header
//! ```
//!
//! ```compile_fail,E0599
//! # use mbuf::{Chain, Pool};
//! # let pool = Pool::new();
//! Chain::new(&pool).unwrap().meta(); // nor metadata
//! ```
//!
//! ```compile_fail,E0596
//! # use mbuf::{Packet, Pool};
//! # let packet = Packet::from_slice(&Pool::new(), b"abc").unwrap();
//! packet.first_segment()[0] = 1; // a view cannot be written
//! ```
//!
//! # Features
//!
//! - `std` (default): caches per thread, cursors with `std::io` traits, `mmap` pages. Without it the crate is
//!   `no_std` and needs `alloc`; use [`Pool::cache`] for speed.
//! - `pressure` (Linux): [`Pool::watch_pressure`], to give memory back when the system is short of it.
//! - `bytes`: `Buf` for packets, `BufMut`, and conversions from and to `Bytes` without copying.
//! - `serde`: [`PoolStats`] in any format, and back.
//! - `log`: a warning, at most once a minute, when allocations are denied because of a limit.
//! - `publish`: live statistics for other processes (module `publish`; Unix).
//! - `prometheus`: statistics as Prometheus text (`Exposition`).
//!
//! # What it does not have
//!
//! Protocols, sockets, drivers. It carries their bytes.

#![cfg_attr(not(feature = "std"), no_std)]
// Nothing that a caller passes may make these panic. What can, in the modules below, says why it does not; that no
// sum overflows is up to the fuzzers, which are built with checks.
#![cfg_attr(
    not(test),
    warn(
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::todo,
        clippy::unimplemented,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

extern crate alloc;

#[allow(
    clippy::indexing_slicing,
    reason = "ranges come from `Parts` or were checked by `bounds`: they lie within their windows"
)]
mod blank;
#[cfg(feature = "ffi")]
#[allow(
    clippy::indexing_slicing,
    reason = "ranges come from `Parts` or were checked by `bounds`: they lie within their windows"
)]
mod bsd;
mod check;
pub mod checksum;
mod config;
#[allow(clippy::indexing_slicing, reason = "as many bytes as the shorter slice has")]
mod copy;
#[cfg(feature = "std")]
#[allow(clippy::indexing_slicing, reason = "as many bytes as the shorter slice has")]
mod cursor;
mod error;
#[allow(clippy::indexing_slicing, reason = "the text was measured when it was taken")]
mod fault;
#[allow(clippy::indexing_slicing, reason = "columns of a line of sixteen")]
mod fmt;
#[cfg(feature = "bytes")]
#[allow(clippy::panic, reason = "`Buf` and `BufMut` have no errors: their contract is to panic")]
mod interop;
mod meta;
#[allow(
    clippy::indexing_slicing,
    reason = "ranges come from `Parts` or were checked by `bounds`: they lie within their windows"
)]
mod ops;
#[allow(
    clippy::indexing_slicing,
    reason = "ranges come from `Parts` or were checked by `bounds`: they lie within their windows"
)]
mod packet;
#[allow(
    clippy::indexing_slicing,
    reason = "indexes are classes, kinds or settings, which tables have one place each for"
)]
mod pool;
#[cfg(all(unix, feature = "publish"))]
#[allow(clippy::indexing_slicing, reason = "places in a header of fixed size; as many bytes as were read")]
pub mod publish;
mod queue;
#[allow(
    clippy::indexing_slicing,
    reason = "indexes are classes, kinds or settings, which tables have one place each for"
)]
mod raw;
mod reserve;
mod segment;
mod sysctl;
mod tag;
#[allow(
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "indexes are settings; a suffix that was seen is one byte long"
)]
mod tune;

/// What the C library is made of. No part of this crate's interface.
#[cfg(feature = "ffi")]
#[doc(hidden)]
pub mod ffi {
    pub use crate::bsd::*;
    pub use crate::raw::foreign::*;
    pub use crate::raw::short::*;
}

pub use check::{ChainFault, Corruption, PoolCorruption, QueueCorruption};
pub use config::{Class, MCLBYTES, MHLEN, MINCLSIZE, MJUM9BYTES, MJUM16BYTES, MJUMPAGESIZE, MLEN, MSIZE};
#[cfg(feature = "std")]
pub use cursor::{Reader, Writer};
pub use error::{AllocCause, AllocError, BoundsError, BuildError, OpError, Refused, Resource, Shortage};
pub use fault::{Fault, FaultError, FaultPoint};
#[cfg(feature = "bytes")]
pub use interop::Appender;
#[cfg(all(unix, feature = "std"))]
pub use mbuf_zone::Mmap;
pub use mbuf_zone::raw::ZoneFault;
pub use mbuf_zone::{Arena, Heap, PageSource};
pub use meta::{Flags, MbufType, Meta};
#[cfg(feature = "prometheus")]
pub use pool::Exposition;
pub use pool::{
    Audit, AuditEvent, AuditReport, Buffer, ClassStats, Damage, Finding, History, HookGuard, LeakScope,
    LifeEvent, LimitChange, LimitWarning, LiveBuffer, LiveGroup, OpStats, Pool, PoolBuilder, PoolCache,
    PoolStats, TagStats, TypeStats,
};
#[cfg(all(target_os = "linux", feature = "pressure"))]
pub use pool::{PressureTrigger, PressureWatch};
pub use pool::{ReclaimKind, ReservationBuilder, Wait, WaitFuture};
pub use queue::{IntoIter, PacketQueue, QueueFull};
pub use raw::{Bare, Chain, Head, Header, MbufChain, Packet, StorageKind};
pub use reserve::Reserve;
pub use segment::{Segment, SegmentMut};
pub use sysctl::{Access, Node, Reading, Sysctl, Unit};
pub use tag::{Tag, TagCopy};
pub use tune::{
    Adjustment, LimitPolicy, Origin, Preset, Resolved, Rule, SettingError, SettingErrors, Tunable, Tunables,
    Value,
};
