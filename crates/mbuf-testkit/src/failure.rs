//! Failing every allocation in turn.

use std::fmt::Debug;

use mbuf::{Class, Pool, Resource};

use crate::{FailingPages, Hold, InUse, Observe, assert_empty, in_use};

/// How often an operation failed before it had all it needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Failures {
    /// For want of mbufs.
    pub mbufs: usize,
    /// For want of storage of any class.
    pub storage: usize,
    /// For want of pages.
    pub pages: usize,
}

impl Failures {
    /// All of them.
    pub fn total(self) -> usize {
        self.mbufs + self.storage + self.pages
    }
}

const CLUSTER: Resource = Resource::Storage(Class::Cluster);
const PAGE: Resource = Resource::Storage(Class::Page);
const JUMBO9: Resource = Resource::Storage(Class::Jumbo9);
const JUMBO16: Resource = Resource::Storage(Class::Jumbo16);

/// What is counted up from nothing, and what there is none of meanwhile.
const PLANS: [(Resource, &[Resource]); 8] = [
    (Resource::Mbuf, &[]),
    (CLUSTER, &[]),
    (PAGE, &[]),
    // Without pages, clusters may have to do.
    (CLUSTER, &[PAGE]),
    (PAGE, &[CLUSTER]),
    (Resource::Mbuf, &[PAGE]),
    (JUMBO9, &[]),
    (JUMBO16, &[]),
];

/// Runs `op` on what `setup` made with 0, 1, 2 … buffers of each kind left in the pool until it succeeds.
///
/// After each failure: what `setup` made is as it was, to the address of every byte; as many buffers are in use as
/// before; and the same operation succeeds when the pool is not short any more. In the end the pool is empty.
///
/// # Panics
/// If any of that is not so, or the operation wants more than the pool of this test has.
pub fn for_every_failure<S: Observe, R, E: Debug>(
    setup: impl Fn(&Pool) -> S,
    mut op: impl FnMut(&Pool, &mut S) -> Result<R, E>,
) -> Failures {
    let mut failures = Failures::default();
    for (resource, without) in PLANS.into_iter().take(if cfg!(miri) { 3 } else { usize::MAX }) {
        for left in 0.. {
            let pool = limited();
            let state = setup(&pool);
            // Holding storage takes mbufs, too: those must not be the ones that are counted, so they come first.
            let mut hold = Hold::default();
            for &other in without {
                hold = hold.and(Hold::all_but(&pool, other, 0));
            }
            hold = hold.and(Hold::all_but(&pool, resource, left));
            let what = format!("{left} {resource} left, no {without:?}");
            if run(&pool, state, hold, &mut op, &what) {
                break;
            }
            match resource {
                Resource::Mbuf => failures.mbufs += 1,
                _ => failures.storage += 1,
            }
            // For want of what there is none of at all it fails for ever.
            if left >= MOST {
                assert!(!without.is_empty(), "{what} are not enough");
                break;
            }
        }
    }
    failures.pages = fail_pages(&setup, &mut op);
    failures
}

/// Buffers of any kind that an operation may need at most.
const MOST: usize = if cfg!(miri) { 7 } else { 12 };

/// A pool with enough for one operation.
fn limited() -> Pool {
    let builder = Pool::builder().name("limited").mbufs(if cfg!(miri) { 50 } else { 160 });
    let builder = builder.clusters(MOST * 2).jumbo_pages(MOST * 2).jumbo_9k(MOST * 2).jumbo_16k(MOST * 2);
    builder.build().expect("good settings")
}

/// Whether the operation succeeded.
fn run<S: Observe, R, E: Debug>(
    pool: &Pool,
    mut state: S,
    hold: Hold,
    op: &mut impl FnMut(&Pool, &mut S) -> Result<R, E>,
    what: &str,
) -> bool {
    let before: (Vec<_>, InUse) = (state.observe(), in_use(pool));
    let succeeded = match op(pool, &mut state) {
        Ok(made) => {
            state.observe();
            drop((made, hold));
            true
        }
        Err(error) => {
            let after = (state.observe(), in_use(pool));
            assert_eq!(before, after, "{error:?} with {what}, but something changed");
            drop(hold);
            let again = op(pool, &mut state).unwrap_or_else(|error| panic!("{error:?} after {what}"));
            state.observe();
            drop(again);
            false
        }
    };
    drop(state);
    assert_empty(pool);
    succeeded
}

/// Fails page runs in turn; returns how often the operation failed.
fn fail_pages<S: Observe, R, E: Debug>(
    setup: &impl Fn(&Pool) -> S,
    op: &mut impl FnMut(&Pool, &mut S) -> Result<R, E>,
) -> usize {
    let mut failed = 0;
    for left in 0..=MOST {
        let pages = FailingPages::new(usize::MAX);
        let budget = pages.budget();
        let pool = Pool::builder().name("few pages").pages(pages).build().expect("good settings");
        let mut state = setup(&pool);
        budget.set(0);
        // What slabs still have room for.
        let mut hold = Hold::default();
        for resource in [JUMBO16, JUMBO9, PAGE, CLUSTER, Resource::Mbuf, Resource::External] {
            hold = hold.and(Hold::all_but(&pool, resource, 0));
        }
        let before = (state.observe(), in_use(&pool));
        budget.set(left);
        match op(&pool, &mut state) {
            Ok(made) => {
                state.observe();
                drop((made, hold, state));
                assert_empty(&pool);
                return failed;
            }
            Err(error) => {
                failed += 1;
                let after = (state.observe(), in_use(&pool));
                assert_eq!(before, after, "{error:?} with {left} page runs left, but something changed");
                budget.set(usize::MAX);
                drop(op(&pool, &mut state).expect("there is memory"));
                drop((hold, state));
                assert_empty(&pool);
                drop(pool);
                assert_eq!(budget.out(), 0, "page runs did not come back");
            }
        }
    }
    panic!("{MOST} page runs are not enough");
}
