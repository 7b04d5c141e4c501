//! What the tests, fuzz targets and soak runs of `mbuf` have in common.
//!
//! - [`Shape`], [`segmentations`]: the same bytes in every segmentation and storage; [`each_shape`],
//!   [`each_offset`] and [`each_range`] run a closure over them and check afterwards that sharers saw nothing and the pool is empty.
//! - [`Snapshot`], [`Observe`]: everything about a chain that a failed operation must not change.
//! - [`for_every_failure`]: runs an operation with every allocation failing in turn.
//! - [`World`], [`Op`]: random operations on many packets that share storage, beside plain vectors of what each byte
//!   is, is said to be, and ends.
//! - `drive` (feature `drive`): what any bytes make the library do, for fuzzers. Its `chains` plays C, and so has unsafe code.
//! - [`FailingPages`], [`Hold`], [`assert_empty`]: memory that runs out, and pools that have to be empty.
//! - Owners and tags that count their drops, refuse, or panic.
//!
//! Use it from `tests/`, `fuzz/` and `bench/`; inside `src/` of `mbuf` it would see a second copy of the crate.

mod change;
#[cfg(feature = "drive")]
pub mod drive;
mod failure;
mod op;
mod oracle;
mod owner;
mod pages;
mod pool;
mod rng;
mod runner;
mod segmentation;
mod shape;
mod snapshot;
mod tags;
mod world;

pub use failure::{Failures, for_every_failure};
pub use op::{Dial, Op};
pub use owner::{Counted, Drops, PanicOnDrop};
pub use pages::{FailingPages, PageBudget, for_ever};
pub use pool::{Hold, InUse, assert_empty, in_use};
pub use rng::Rng;
pub use runner::{each_offset, each_range, each_shape};
pub use segmentation::segmentations;
pub use shape::{Built, Kind, Shape, Storage, pattern, shapes};
pub use snapshot::{Observe, SegmentSnapshot, Snapshot};
pub use tags::{Label, PanicTag, Private, Refusing, Sticky};
pub use world::World;

/// `full` normally, `small` under Miri, multiplied by `MBUF_TEST_FACTOR` if that is set.
pub fn scaled(full: usize, small: usize) -> usize {
    if cfg!(miri) {
        return small;
    }
    let factor = std::env::var("MBUF_TEST_FACTOR").ok().and_then(|factor| factor.parse().ok()).unwrap_or(1);
    full.saturating_mul(factor)
}

/// Tests of packets and headerless chains alike: each becomes a `#[test]` that runs the body for both.
///
/// ```
/// mbuf_testkit::both_kinds! {
///     fn an_empty_chain_has_no_bytes<H>() {
///         let chain = mbuf::MbufChain::<H>::new(&mbuf::Pool::new()).unwrap();
///         assert!(chain.is_empty());
///     }
/// }
/// ```
#[macro_export]
macro_rules! both_kinds {
    ($($(#[$attribute:meta])* fn $name:ident<$kind:ident>() $body:block)*) => {$(
        $(#[$attribute])*
        #[test]
        fn $name() {
            fn run<$kind: $crate::Kind>() $body
            run::<::mbuf::Header>();
            run::<::mbuf::Bare>();
        }
    )*};
}
