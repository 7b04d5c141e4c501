//! Failing every allocation in turn.

use std::fmt::Debug;

use mbuf::{Class, Fault, Pool, Resource};

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

/// Any of them.
const ALL: Option<Resource> = None;
const CLUSTER: Resource = Resource::Storage(Class::Cluster);
const PAGE: Resource = Resource::Storage(Class::Page);
const JUMBO9: Resource = Resource::Storage(Class::Jumbo9);
const JUMBO16: Resource = Resource::Storage(Class::Jumbo16);

/// What is counted up from nothing, and what there is none of meanwhile.
const PLANS: [(Option<Resource>, &[Resource]); 9] = [
    (Some(Resource::Mbuf), &[]),
    (Some(CLUSTER), &[]),
    (Some(PAGE), &[]),
    (ALL, &[]),
    // Without pages, clusters may have to do.
    (Some(CLUSTER), &[PAGE]),
    (Some(PAGE), &[CLUSTER]),
    (Some(Resource::Mbuf), &[PAGE]),
    (Some(JUMBO9), &[]),
    (Some(JUMBO16), &[]),
];

/// Runs `op` on what `setup` made with all allocations of a kind failing after 0, 1, 2 … of them, for each kind and for
/// all together; and then with no page, one, two … to be had from the page source, until it succeeds.
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
    for (resource, without) in PLANS.into_iter().take(if cfg!(miri) { 2 } else { usize::MAX }) {
        let pool = Pool::builder().name("failing").build().expect("good settings");
        let mut state = setup(&pool);
        let inject = |left: u32| {
            let counted = resource.map_or(Fault::after(left), |resource| Fault::after(left).of(resource));
            let none = without.iter().map(|&other| Fault::after(0).of(other));
            pool.inject([counted].into_iter().chain(none));
        };
        inject(0);
        let failed = until_it_succeeds(&pool, &mut state, &mut op, |left| {
            if left < MOST {
                inject(left + 1);
                return true;
            }
            // For want of what there is none of at all it fails for ever.
            assert!(!without.is_empty(), "{left} allocations of {resource:?} are not enough");
            pool.inject([]);
            left == MOST
        });
        pool.inject([]);
        drop(state);
        assert_empty(&pool);
        match resource {
            Some(Resource::Mbuf) => failures.mbufs += failed,
            Some(_) => failures.storage += failed,
            None => {}
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
    mut more: impl FnMut(u32) -> bool,
) -> usize {
    let before = state.observe();
    for failed in 0u32.. {
        let used = in_use(pool);
        match op(pool, state) {
            Ok(made) => {
                state.observe();
                drop(made);
                return failed as usize;
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
const MOST: u32 = 24;

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
        budget.set(failed as usize + 1);
        failed < MOST
    });
    drop((state, hold));
    assert_empty(&pool);
    drop(pool);
    assert_eq!(budget.out(), 0, "page runs did not come back");
    failed
}
