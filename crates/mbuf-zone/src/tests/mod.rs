//! Loom models of the internals: the interleavings of a few steps of two or three threads, all of them or those of no more
//! preemptions than a model says, with every value that the memory model lets a load return. Run by `ci/loom.sh`.
//!
//! Objects of the cache's models are mere names. Those of the zone's models are real ones from a keg.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

mod loom_cache;
mod loom_wait;
mod loom_zone;

/// Runs a model and says how many executions it took. `preemptions` bounds how often a thread is interrupted where
/// it could go on; `LOOM_MAX_PREEMPTIONS`, if set, takes its place.
fn explore(name: &str, preemptions: impl Into<Option<usize>>, model: impl Fn() + Sync + Send + 'static) {
    let executions = Arc::new(AtomicUsize::new(0));
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(preemptions.into());
    let bound = builder.preemption_bound;
    let count = executions.clone();
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        model();
    });
    std::println!("{name}, {bound:?} preemptions: {} executions", executions.load(Ordering::Relaxed));
}
