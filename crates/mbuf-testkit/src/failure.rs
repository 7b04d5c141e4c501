//! Failing every allocation in turn.

use std::fmt::Debug;

use mbuf::{Class, Pool, Resource};

use crate::{FailingPages, Hold, Observe, assert_empty, in_use};

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

/// Runs `op` on what `setup` made with 0, 1, 2 … buffers of each kind left in the pool, and then with no page, one, two …
/// to be had, until it succeeds.
///
/// After each failure: what `setup` made is as it was, to the address of every byte, and as many buffers are in use as
/// before. The next try is made on the very same state, so the operation succeeds after all these failures. In the end
/// the pool is empty.
///
/// # Panics
/// If any of that is not so, or the operation wants more than the pool of this test has.
pub fn for_every_failure<S: Observe, R, E: Debug>(
    setup: impl Fn(&Pool) -> S,
    mut op: impl FnMut(&Pool, &mut S) -> Result<R, E>,
) -> Failures {
    let mut failures = Failures::default();
    for (resource, without) in PLANS.into_iter().take(if cfg!(miri) { 3 } else { usize::MAX }) {
        let pool = limited();
        let mut state = setup(&pool);
        // Holding storage takes mbufs, too: those must not be the ones that are counted, so they come first.
        let mut hold = Hold::default();
        for &other in without {
            hold = hold.and(Hold::all_but(&pool, other, 0));
        }
        hold = hold.and(Hold::all_but(&pool, resource, 0));
        let failed = until_it_succeeds(&pool, &mut state, &mut op, |left| {
            if left < MOST {
                hold.relieve()
            } else {
                // For want of what there is none of at all it fails for ever.
                assert!(!without.is_empty(), "{left} {resource} are not enough");
                !std::mem::take(&mut hold).is_empty()
            }
        });
        drop((state, hold));
        assert_empty(&pool);
        match resource {
            Resource::Mbuf => failures.mbufs += failed,
            _ => failures.storage += failed,
        }
    }
    failures.pages = fail_pages(&setup, &mut op);
    failures
}

/// Tries until the operation succeeds; `more` lets it have a little more each time. Returns how often it failed.
fn until_it_succeeds<S: Observe, R, E: Debug>(
    pool: &Pool,
    state: &mut S,
    op: &mut impl FnMut(&Pool, &mut S) -> Result<R, E>,
    mut more: impl FnMut(usize) -> bool,
) -> usize {
    let before = state.observe();
    for failed in 0.. {
        let used = in_use(pool);
        match op(pool, state) {
            Ok(made) => {
                state.observe();
                drop(made);
                return failed;
            }
            Err(error) => {
                let after = (state.observe(), in_use(pool));
                assert_eq!(
                    (&before, used),
                    (&after.0, after.1),
                    "{error:?} at try {failed}, but something changed"
                );
                assert!(more(failed), "{error:?} although there is no shortage any more");
            }
        }
    }
    unreachable!("numbers end later")
}

/// Buffers of any kind that an operation may need at most.
const MOST: usize = if cfg!(miri) { 7 } else { 12 };

/// A pool with enough for one operation.
fn limited() -> Pool {
    let builder = Pool::builder().name("limited").mbufs(if cfg!(miri) { 50 } else { 160 });
    let builder = builder.clusters(MOST * 2).jumbo_pages(MOST * 2).jumbo_9k(MOST * 2).jumbo_16k(MOST * 2);
    builder.build().expect("good settings")
}

/// Fails page runs in turn; returns how often the operation failed.
fn fail_pages<S: Observe, R, E: Debug>(
    setup: &impl Fn(&Pool) -> S,
    op: &mut impl FnMut(&Pool, &mut S) -> Result<R, E>,
) -> usize {
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
    // A pool that runs out gives what it has free back, runs that the operation got before it failed among it.
    let failed = until_it_succeeds(&pool, &mut state, op, |failed| {
        budget.set(failed + 1);
        failed < MOST
    });
    drop((state, hold));
    assert_empty(&pool);
    drop(pool);
    assert_eq!(budget.out(), 0, "page runs did not come back");
    failed
}
