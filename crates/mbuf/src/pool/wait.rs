//! Waiting for buffers: one combinator around any operation that failed because the pool was dry.
//!
//! Operations are atomic, so "wait, then try again" needs no help from them. Who waits stands in a queue for the kind
//! of buffer that its last attempt lacked, watches the zones that could give one (see `mbuf_zone::raw`), and tries
//! whenever it is the first and something came back.

use alloc::sync::Arc;
use core::array;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use mbuf_zone::raw::{RawZone, politely};
use mbuf_zone::{Ticket, WaitQueue};

use super::stats::Counter;
use super::{Pool, Shared};
use crate::config::Class;
use crate::error::{AllocCause, AllocError, Resource, Shortage};

/// How long an operation waits for buffers (`M_NOWAIT`, `M_WAITOK`): see [`Pool::wait`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wait {
    /// Not at all.
    #[doc(alias = "M_NOWAIT")]
    #[doc(alias = "M_DONTWAIT")]
    No,
    /// Not, but the [reclaim hooks](Pool::on_reclaim) are run, and it is tried once more.
    Reclaim,
    /// As `Reclaim`, then until the deadline.
    #[cfg(feature = "std")]
    Until(std::time::Instant),
    /// As `Reclaim`, then as long as it takes.
    #[cfg(feature = "std")]
    #[doc(alias = "M_WAITOK")]
    #[doc(alias = "M_WAIT")]
    Forever,
}

/// What a waiter waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    Mbufs,
    Buffers(Class),
    /// Memory, or bytes of the budget.
    Anything,
}

impl Want {
    pub(crate) const COUNT: usize = Class::ALL.len() + 2;

    pub(crate) fn all() -> impl Iterator<Item = Want> {
        [Want::Mbufs, Want::Anything].into_iter().chain(Class::ALL.map(Want::Buffers))
    }

    fn of(error: &AllocError) -> Self {
        match (error.cause, error.resource) {
            (AllocCause::Limit(_) | AllocCause::Fault, Resource::Mbuf) => Want::Mbufs,
            (AllocCause::Limit(_) | AllocCause::Fault, Resource::Storage(class)) => Want::Buffers(class),
            _ => Want::Anything,
        }
    }

    /// What those want who stand in the way of a polite attempt.
    fn of_waiters(error: &AllocError, waiting: &Waiting) -> Option<Self> {
        let own = match error.resource {
            Resource::Mbuf => [Want::Mbufs; 2],
            // Or the mbuf that goes with it: the zone of pairs does not know what it is watched for.
            Resource::Storage(class) => [Want::Mbufs, Want::Buffers(class)],
            Resource::External => [Want::Anything; 2],
        };
        own.into_iter().chain([Want::Anything]).find(|&want| !waiting.queue(want).is_empty())
    }

    pub(crate) fn index(self) -> usize {
        match self {
            Want::Mbufs => 0,
            Want::Anything => 1,
            Want::Buffers(class) => 2 + class.index(),
        }
    }

    /// The zones whose objects help.
    pub(crate) fn zones(self, shared: &Shared) -> impl Iterator<Item = &RawZone> {
        let all = [(&shared.mbufs, self == Want::Mbufs), (&shared.external, false)];
        let by_class = Class::ALL.into_iter().flat_map(move |class| {
            let buffers = self == Want::Buffers(class);
            let [packets, clusters] = [&shared.packets, &shared.clusters].map(|zones| &zones[class.index()]);
            [(packets, buffers || self == Want::Mbufs), (clusters, buffers)]
        });
        let helps = all.into_iter().chain(by_class);
        helps.filter(move |&(_, helps)| helps || self == Want::Anything).map(|(zone, _)| zone)
    }

    /// Objects of these zones that have users.
    pub(crate) fn in_use(self, shared: &Shared) -> usize {
        let in_use: usize = self.zones(shared).map(|zone| zone.stats().in_use).sum();
        // To the cluster zone a parked cluster is in use.
        let buffers = |class: &Class| self == Want::Anything || self == Want::Buffers(*class);
        let parked = Class::ALL.into_iter().filter(buffers).map(|class| shared.parked(class)).sum();
        in_use.saturating_sub(parked)
    }
}

/// The waiters of a pool.
pub(crate) struct Waiting {
    queues: [Arc<WaitQueue>; Want::COUNT],
    /// Operations that had to wait, by what they lacked first.
    pub(crate) waited: [Counter; Want::COUNT],
}

impl Waiting {
    pub(crate) fn new() -> Self {
        Waiting {
            queues: array::from_fn(|_| Arc::new(WaitQueue::new())),
            waited: array::from_fn(|_| Counter::default()),
        }
    }

    fn queue(&self, want: Want) -> &Arc<WaitQueue> {
        &self.queues[want.index()]
    }

    fn is_empty(&self) -> bool {
        self.queues.iter().all(|queue| queue.is_empty())
    }

    /// An mbuf came back.
    pub(crate) fn mbuf_freed(&self) {
        self.queue(Want::Mbufs).call();
        self.queue(Want::Anything).call();
    }

    /// A buffer came back.
    pub(crate) fn buffer_freed(&self, class: Class) {
        self.queue(Want::Buffers(class)).call();
        self.queue(Want::Anything).call();
    }

    /// Anything may be had now that could not.
    pub(crate) fn all_freed(&self) {
        Want::all().for_each(|want| self.queue(want).call());
    }

    /// A record came back, or memory.
    pub(crate) fn anything_freed(&self) {
        self.queue(Want::Anything).call();
    }

    pub(crate) fn waited_mbufs(&self) -> u64 {
        self.waited[Want::Mbufs.index()].get()
    }

    pub(crate) fn waited_buffers(&self, class: Class) -> u64 {
        self.waited[Want::Buffers(class).index()].get()
    }

    pub(crate) fn waited_memory(&self) -> u64 {
        self.waited[Want::Anything.index()].get()
    }
}

/// A place in a queue of a pool, with the zones watched.
struct Place {
    ticket: Ticket,
    want: Want,
    pool: Pool,
}

impl Place {
    fn take(pool: &Pool, want: Want) -> Self {
        let family = &pool.shared().family;
        let ticket = family.waiting.queue(want).join();
        // The order matters: what comes back after this calls the queue, and whatever came back before is found by the
        // attempt that follows.
        family.watch(want);
        Place { ticket, want, pool: pool.clone() }
    }

    fn in_use(&self) -> usize {
        self.pool.shared().family.in_use(self.want)
    }

    /// Runs the operation. It gives back what it took if it fails, which is no reason to try again; but if it gave back
    /// more than it took, that is.
    fn attempt<T, E>(&self, mut operation: impl FnMut() -> Result<T, E>) -> Result<T, E> {
        let before = self.in_use();
        // It is its turn, even within an operation that must not overtake.
        let (result, called) = self.ticket.attempt(|| politely(None, &mut operation));
        if called && result.is_err() && self.in_use() < before {
            self.ticket.call();
        }
        result
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pool.shared().family.unwatch(self.want);
    }
}

/// So many attempts in a row fail with nothing in use before an operation is held to be impossible: in a single one,
/// others might have had everything for just that moment.
const HOPELESS: u32 = 8;

/// Most attempts in one poll.
const TRIES: u32 = 32;

/// An operation that is tried until the pool has what it needs.
struct Attempts<F, E> {
    pool: Pool,
    operation: F,
    place: Option<Place>,
    reclaimed: bool,
    /// It will wait, and does not overtake those who do already.
    polite: bool,
    /// Why the last attempt failed.
    last: Option<E>,
}

impl<T, E: Shortage, F: FnMut() -> Result<T, E>> Attempts<F, E> {
    fn new(pool: &Pool, operation: F, polite: bool) -> Self {
        Attempts { pool: pool.clone(), operation, place: None, reclaimed: false, polite, last: None }
    }

    /// What the pool lacks, if that is why the operation failed.
    fn lacks(&self, error: &E) -> Option<AllocError> {
        error.shortage().filter(|lack| lack.pool == self.pool.shared().family.id)
    }

    /// An attempt without a place in a queue.
    fn first(&mut self) -> Result<T, E> {
        if self.polite && !self.pool.shared().family.waiting.is_empty() {
            politely(Some(&self.pool.shared().family.group), &mut self.operation)
        } else {
            (self.operation)()
        }
    }

    /// The first attempt, and one after reclaim.
    fn reclaiming(&mut self) -> Result<T, E> {
        self.reclaimed = true;
        let result = self.first();
        match &result {
            Err(error) if self.lacks(error).is_some() => {
                self.pool.reclaim();
                self.first()
            }
            _ => result,
        }
    }

    /// Whether no buffer will ever come back that would help: nobody has one.
    fn is_hopeless(&self, lack: &AllocError) -> bool {
        self.pool.shared().family.in_use(Want::of(lack)) == 0
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<T, E>> {
        // Attempts in a row that failed with nothing in use.
        let (mut hopeless, mut tries) = (0, 0);
        loop {
            let result = match &mut self.place {
                Some(place) => {
                    if hopeless == 0 && place.ticket.poll(context).is_pending() {
                        return Poll::Pending;
                    }
                    if tries == TRIES {
                        // Give others a turn.
                        place.ticket.call();
                        context.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    tries += 1;
                    place.attempt(&mut self.operation)
                }
                None if self.reclaimed => self.first(),
                None => self.reclaiming(),
            };
            let lack = match &result {
                Err(error) => self.lacks(error),
                Ok(_) => None,
            };
            let Some(lack) = lack.filter(|_| hopeless < HOPELESS) else {
                self.place = None;
                return Poll::Ready(result);
            };
            let want = if lack.cause == AllocCause::Waiters {
                // They may be gone by now.
                let Some(want) = Want::of_waiters(&lack, &self.pool.shared().family.waiting) else {
                    continue;
                };
                want
            } else {
                Want::of(&lack)
            };
            match &self.place {
                Some(place) if place.want == want => {
                    hopeless = if self.is_hopeless(&lack) { hopeless + 1 } else { 0 };
                }
                old => {
                    if old.is_none() {
                        self.pool.shared().family.waiting.waited[want.index()].add(1);
                    }
                    // The old place is left first: who is behind it is called.
                    self.place = None;
                    self.place = Some(Place::take(&self.pool, want));
                }
            }
            self.last = result.err();
        }
    }
}

impl Pool {
    /// Runs an operation; if it fails because this pool is dry, waits as told and runs it again.
    ///
    /// Operations are atomic, so a failed attempt has changed nothing. The closure may do several of them, as long
    /// as it can be run again after the last failed. An error that says nothing of a [shortage](Shortage), or of one
    /// in another pool, is returned at once.
    ///
    /// Who waits for the same kind of buffer is served in order of arrival: a buffer that is freed, on any thread,
    /// wakes the first, and newcomers stand behind. Only calls that do not wait may take a buffer in between, for a
    /// limit is exact. While anyone waits, the zones concerned work without caches. If the operation fails again and
    /// again although nobody has a buffer of the kind that it lacks, so that none can come back, the error is returned:
    /// that a limit is raised is not waited for.
    ///
    /// # Errors
    /// The last attempt's.
    ///
    /// # Cost
    /// That of the operation, if it succeeds.
    ///
    /// ```
    /// use mbuf::{Packet, Pool, Wait};
    /// use std::time::{Duration, Instant};
    /// let pool = Pool::builder().clusters(1).build()?;
    /// let packet = pool.wait(Wait::Forever, || Packet::with_cluster(&pool))?;
    /// let soon = Instant::now() + Duration::from_millis(5);
    /// assert!(pool.wait(Wait::Until(soon), || Packet::with_cluster(&pool)).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "m_retry")]
    #[doc(alias = "m_retryhdr")]
    #[doc(alias = "mbuf_wait")]
    #[inline]
    pub fn wait<T, E: Shortage>(
        &self,
        wait: Wait,
        mut operation: impl FnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        if matches!(wait, Wait::No) { operation() } else { self.insist(wait, operation) }
    }

    #[inline(never)]
    fn insist<T, E: Shortage>(&self, wait: Wait, operation: impl FnMut() -> Result<T, E>) -> Result<T, E> {
        let mut attempts = Attempts::new(self, operation, !matches!(wait, Wait::No | Wait::Reclaim));
        match wait {
            Wait::No => (attempts.operation)(),
            Wait::Reclaim => attempts.reclaiming(),
            #[cfg(feature = "std")]
            Wait::Until(deadline) => park(&mut attempts, Some(deadline)),
            #[cfg(feature = "std")]
            Wait::Forever => park(&mut attempts, None),
        }
    }

    /// How long to wait where the program does not say: from now, the milliseconds of `kern.ipc.mbuf_wait`; for ever, if
    /// these are unlimited. Zero is [`Wait::Reclaim`]. Without the feature `std` there is no clock, and it is always that.
    ///
    /// ```
    /// use mbuf::{Packet, Pool};
    /// let pool = Pool::from_env()?; // MBUF_MBUF_WAIT=100
    /// let packet = pool.wait(pool.default_wait(), || Packet::with_cluster(&pool))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn default_wait(&self) -> Wait {
        #[cfg(feature = "std")]
        match self.shared().tuning.wait.get() {
            Some(0) => {}
            None => return Wait::Forever,
            Some(milliseconds) => {
                let time = std::time::Duration::from_millis(milliseconds as u64);
                return std::time::Instant::now().checked_add(time).map_or(Wait::Forever, Wait::Until);
            }
        }
        Wait::Reclaim
    }

    /// As [`wait`](Self::wait) with `Wait::Forever`, for any executor. Dropping the future leaves the queue, and loses
    /// nothing: if it was its turn, it is the next one's.
    ///
    /// ```
    /// # use mbuf::{Packet, Pool};
    /// # async fn receive(pool: &Pool) -> Result<(), mbuf::AllocError> {
    /// let packet = pool.wait_async(|| Packet::with_cluster(pool)).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The last attempt's, as for `wait`.
    /// # Cost
    /// That of the operation, if it succeeds; at most 32 attempts in a poll.
    /// # BSD
    /// None has it.
    pub fn wait_async<T, E: Shortage, F: FnMut() -> Result<T, E>>(&self, operation: F) -> WaitFuture<F, E> {
        WaitFuture(Attempts::new(self, operation, true))
    }
}

/// See [`Pool::wait_async`].
#[must_use = "futures do nothing unless they are polled"]
pub struct WaitFuture<F, E>(Attempts<F, E>);

// Nothing here is pinned: the operation is called through `&mut`.
impl<F, E> Unpin for WaitFuture<F, E> {}

impl<T, E: Shortage, F: FnMut() -> Result<T, E>> Future for WaitFuture<F, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(context)
    }
}

impl<F, E> fmt::Debug for WaitFuture<F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waits_for = self.0.place.as_ref().map(|place| place.want);
        f.debug_struct("WaitFuture").field("waits_for", &waits_for).finish_non_exhaustive()
    }
}

/// Polls until it is ready, or until the deadline.
#[cfg(feature = "std")]
fn park<T, E: Shortage, F: FnMut() -> Result<T, E>>(
    attempts: &mut Attempts<F, E>,
    deadline: Option<std::time::Instant>,
) -> Result<T, E> {
    use std::thread::{self, Thread};
    use std::time::Instant;

    struct Unpark(Thread);

    impl alloc::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Arc::new(Unpark(thread::current())).into();
    loop {
        if let Poll::Ready(result) = attempts.poll(&mut Context::from_waker(&waker)) {
            return result;
        }
        match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
            None => thread::park(),
            Some(left) if !left.is_zero() => thread::park_timeout(left),
            Some(_) => {
                attempts.place = None;
                // There is one: who is pending has tried and failed.
                if let Some(error) = attempts.last.take() {
                    return Err(error);
                }
            }
        }
    }
}
