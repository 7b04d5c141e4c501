//! Fixed-size object zones: what UMA, object caches and `pool(9)` are to the BSD kernels, in user space.
//!
//! ```text
//! thread cache: two magazines and more, a counter     no lock, no locked instruction
//!      │ a magazine at a time
//! depot: full and empty magazines, loose objects      one lock
//!      │ an object at a time, plain ones in batches; init / fini hooks
//! keg: slabs, free set outside the slots, the limit   one lock; shared with secondary zones
//!      │
//! page source: heap │ mmap │ caller's arena
//! ```
//!
//! - [`Zone`] hands out values, [`ObjectZone`] objects that rest constructed; both give a [`Slot`], one pointer
//!   wide, that may be dropped on any thread, after every zone handle, and while the thread ends.
//! - A limit is exact: an allocation fails only if, at one moment, every object was in use, for the free objects
//!   in *every* thread's cache were collected. The fast path pays for that with one load; the collector with a
//!   `membarrier(2)`. Where destructors may use zones ([`raw::Hooks::is_quiet`] is false, as in [`Zone`]), what a
//!   concurrent `trim` has in hand counts as in use.
//! - [`raw`] is for those who lay out their own slots, as the crate `mbuf` does: secondary zones over one keg,
//!   memory blocks apart from their descriptors, hooks, explicit caches, bulk operations.
//!
//! What it does not have: zones of mixed sizes, moving objects, a global registry. As with any allocator that has
//! locks, the child of a `fork` in a process of several threads may do no more than `exec`.
//!
//! Without the feature `std` there are no thread caches: use [`Zone::local`] or [`raw::RawZone::local`].
//!
//! # Layers, bottom-up
//!
//! `sync`, `fetch` → `page` → `head` → `keg` → `depot` → `stash` → `cache` → `group`, `zone`, `back`, `limit`, `check`
//! → `wait`, `lanes`, `thread`, `local` → `raw` → `slot`. Each may use those before it; `keg` has the faults of
//! `check`.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod back;
mod cache;
mod check;
mod depot;
mod fetch;
mod group;
mod head;
mod keg;
mod lanes;
mod limit;
mod local;
mod page;
pub mod raw;
mod slot;
mod stash;
mod stats;
mod sync;
mod thread;
mod wait;
mod zone;

#[cfg(all(unix, feature = "std"))]
pub use page::Mmap;
pub use page::{Arena, Heap, PageSource};
pub use raw::Cause;
pub use slot::{Builder, Exhausted, Lifecycle, LocalZone, ObjectZone, Slot, Zone};
pub use stats::ZoneStats;
pub use thread::flush as flush_thread;
pub use wait::{Ticket, WaitQueue};

#[cfg(all(test, loom))]
mod tests;
