//! The warning that a limit was reached: at most once a minute for each pool and resource.
//!
//! All of it happens where an allocation has already failed and no lock of the pool is held.

use alloc::sync::Arc;
use core::fmt;

use crate::config::Class;
use crate::error::{AllocCause, AllocError, Resource};

/// An allocation was denied because everything that a limit or the budget allows is in use. `Display` says it, and how
/// to allow more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitWarning<'a> {
    /// The pool's name.
    pub pool: &'a str,
    /// What the allocation was answered.
    pub error: AllocError,
}

impl LimitWarning<'_> {
    /// What raises the limit: a method of `PoolBuilder`, and the name under which BSD hands know it.
    fn remedy(&self) -> Option<(&'static str, &'static str)> {
        Some(match (self.error.cause, self.error.resource) {
            (AllocCause::Budget(_), _) => ("budget", "maxmbufmem"),
            (_, Resource::Mbuf) => ("mbufs", "nmbufs"),
            (_, Resource::Storage(Class::Cluster)) => ("clusters", "nmbclusters"),
            (_, Resource::Storage(Class::Page)) => ("jumbo_pages", "nmbjumbop"),
            (_, Resource::Storage(Class::Jumbo9)) => ("jumbo_9k", "nmbjumbo9"),
            (_, Resource::Storage(Class::Jumbo16)) => ("jumbo_16k", "nmbjumbo16"),
            (_, Resource::External) => return None,
        })
    }
}

impl fmt::Display for LimitWarning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pool {}: {}", self.pool, self.error)?;
        match self.remedy() {
            Some((method, name)) => write!(f, "; for more, raise PoolBuilder::{method} (kern.ipc.{name})"),
            None => Ok(()),
        }
    }
}

/// What is done with a warning.
pub(crate) type Warn = dyn Fn(&LimitWarning<'_>) + Send + Sync;

/// Warns, and remembers when.
pub(crate) struct Warner {
    warn: Option<Arc<Warn>>,
    #[cfg(feature = "std")]
    quiet: quiet::Quiet,
}

impl Warner {
    pub(super) fn new(warn: Option<Arc<Warn>>) -> Self {
        Warner {
            warn,
            #[cfg(feature = "std")]
            quiet: quiet::Quiet::new(),
        }
    }

    /// Warns of a denial, if it was by a limit and there was no such warning within the last minute.
    pub(crate) fn warn(&self, pool: &str, error: AllocError) {
        let Some(say) = self.warn.as_deref().or(LOG) else { return };
        if !matches!(error.cause, AllocCause::Limit(_) | AllocCause::Budget(_)) {
            return;
        }
        let warning = LimitWarning { pool, error };
        #[cfg(feature = "std")]
        self.quiet.unless(index(error), || say(&warning));
        #[cfg(not(feature = "std"))]
        say(&warning);
    }
}

#[cfg(feature = "log")]
const LOG: Option<&Warn> = Some(&|warning| log::warn!(target: "mbuf", "{warning}"));
#[cfg(not(feature = "log"))]
const LOG: Option<&Warn> = None;

/// Kinds of warning that are given apart.
#[cfg(feature = "std")]
const KINDS: usize = Class::ALL.len() + 3;

#[cfg(feature = "std")]
fn index(error: AllocError) -> usize {
    match (error.cause, error.resource) {
        (AllocCause::Budget(_), _) => Class::ALL.len() + 2,
        (_, Resource::External) => Class::ALL.len() + 1,
        (_, Resource::Mbuf) => Class::ALL.len(),
        (_, Resource::Storage(class)) => class.index(),
    }
}

/// The minute between two warnings.
#[cfg(feature = "std")]
mod quiet {
    use core::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    use super::KINDS;
    use crate::pool::hooks::survives;

    const SECONDS: usize = 60;

    pub(super) struct Quiet {
        made: Instant,
        /// For each kind of warning, when it was last given: seconds since the pool was made, plus one; zero is never.
        last: [AtomicUsize; KINDS],
    }

    impl Quiet {
        pub(super) fn new() -> Self {
            Quiet { made: Instant::now(), last: Default::default() }
        }

        /// Calls `say` if there was no warning of this index within the last minute. It may panic.
        pub(super) fn unless(&self, index: usize, say: impl FnOnce()) {
            let now = usize::try_from(self.made.elapsed().as_secs()).unwrap_or(usize::MAX - 1) + 1;
            // Noted before it is said: who says it may run into the limit, too.
            if due(&self.last[index], now) {
                survives(say);
            }
        }
    }

    /// Whether to warn at `now`, and if so, not again for a while.
    fn due(last: &AtomicUsize, now: usize) -> bool {
        let then = last.load(Ordering::Relaxed);
        (then == 0 || now.saturating_sub(then) >= SECONDS)
            && last.compare_exchange(then, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_warning_is_due_once_a_minute() {
            let last = AtomicUsize::new(0);
            let due: std::vec::Vec<usize> =
                (1..=200).filter(|&now| due(&last, now) || due(&last, now)).collect();
            assert_eq!(due, [1, 61, 121, 181]);
            // Clocks that are late do not make it due.
            assert!(!super::due(&last, 3));
        }
    }
}
