//! A queue of those who wait for something that they then try to take.
//!
//! Only the first in the queue tries; it stays first until it has what it wants or gives up. Whoever frees something
//! [calls](WaitQueue::call) the first, and whoever leaves calls the one behind. So one free wakes one waiter, a free
//! that another needed wakes nobody else, and a call is never lost with a waiter that gives up.
//!
//! ```text
//! waiter   join; watch;  try ── fails ──▶ poll: called since? ── no ──▶ sleep until woken ──▶ try …
//! free     give back;  call the first                                    leave: call the next
//! ```
//!
//! An attempt that fails gives back what it had taken so far. That must not call the one who tries, or it would try for
//! ever: [`Ticket::attempt`] keeps such calls apart.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::task::{Context, Poll, Waker};

use crate::sync::{AtomicUsize, Mutex, Ordering};

/// A first-come, first-served queue.
pub struct WaitQueue {
    line: Mutex<Line>,
    /// Length of the line: to be read without the lock.
    len: AtomicUsize,
}

struct Line {
    waiters: VecDeque<Waiter>,
    next: u64,
}

struct Waiter {
    id: u64,
    /// It may try: it was called, or became the first, since it last asked.
    called: bool,
    waker: Option<Waker>,
}

impl Line {
    /// Where a waiter stands: the line is in the order of their numbers.
    fn place(&self, id: u64) -> Option<usize> {
        self.waiters.binary_search_by_key(&id, |waiter| waiter.id).ok()
    }

    /// Tells the first that it may try. Returns whom to wake, once the lock is gone.
    fn call(&mut self) -> Option<Waker> {
        let first = self.waiters.front_mut()?;
        first.called = true;
        first.waker.take()
    }
}

impl WaitQueue {
    /// A queue with nobody in it.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        WaitQueue { line: Mutex::new(Line { waiters: VecDeque::new(), next: 0 }), len: AtomicUsize::new(0) }
    }

    /// Whether nobody waits. A hint, unless it is known that nobody joins or leaves.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        // Relaxed: who needs to be seen calls or is called under the lock.
        self.len.load(Ordering::Relaxed)
    }

    /// Takes a place at the end.
    pub fn join(self: &Arc<Self>) -> Ticket {
        let mut line = self.line.lock();
        let id = line.next;
        line.next += 1;
        let called = line.waiters.is_empty();
        line.waiters.push_back(Waiter { id, called, waker: None });
        self.len.store(line.waiters.len(), Ordering::Relaxed);
        Ticket { queue: self.clone(), id }
    }

    /// Wakes the first, if there is one: it is worth trying.
    pub fn call(&self) {
        if trying::note_call(self) {
            return;
        }
        let waker = self.line.lock().call();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl core::fmt::Debug for WaitQueue {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("WaitQueue").field("len", &self.len()).finish()
    }
}

/// A place in a [`WaitQueue`]. Dropping it leaves the queue and calls the one behind.
#[derive(Debug)]
pub struct Ticket {
    queue: Arc<WaitQueue>,
    id: u64,
}

impl Ticket {
    /// Ready when the holder may try: it is the first, and was called since it last tried. Otherwise the context's
    /// waker is kept, and woken when that is so.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // Wakers are the user's: they are cloned and dropped without the lock.
        let waker = context.waker().clone();
        let old;
        {
            let mut line = self.queue.line.lock();
            // It is there: a ticket's waiter leaves with the ticket.
            let Some(at) = line.place(self.id) else { return Poll::Ready(()) };
            let waiter = &mut line.waiters[at];
            if core::mem::take(&mut waiter.called) {
                return Poll::Ready(());
            }
            old = waiter.waker.replace(waker);
        }
        drop(old);
        Poll::Pending
    }
}

impl Ticket {
    /// Runs an attempt of the holder, and says whether what this thread freed meanwhile would have called the holder. It
    /// was not: see [`call`](Self::call). Without thread-locals it was.
    pub fn attempt<R>(&self, attempt: impl FnOnce() -> R) -> (R, bool) {
        trying::attempt(&self.queue, attempt)
    }

    /// Lets the holder try once more.
    pub fn call(&self) {
        let mut line = self.queue.line.lock();
        if let Some(at) = line.place(self.id) {
            line.waiters[at].called = true;
        }
    }
}

#[cfg(all(feature = "std", not(loom)))]
mod trying {
    use super::WaitQueue;
    use core::cell::Cell;
    use core::ptr;

    /// Whose first waiter this thread tries for, and whether it was called by this thread.
    type Trying = (*const WaitQueue, bool);

    std::thread_local! {
        static TRYING: Cell<Trying> = const { Cell::new((ptr::null(), false)) };
    }

    /// Whether the call is of one who tries for this queue; then it is noted and no more.
    pub(super) fn note_call(queue: &WaitQueue) -> bool {
        let (trying, _) = TRYING.get();
        let own = ptr::eq(trying, queue);
        if own {
            TRYING.set((trying, true));
        }
        own
    }

    pub(super) fn attempt<R>(queue: &WaitQueue, attempt: impl FnOnce() -> R) -> (R, bool) {
        struct Back(Trying);
        impl Drop for Back {
            fn drop(&mut self) {
                TRYING.set(self.0);
            }
        }
        let _back = Back(TRYING.replace((queue, false)));
        let result = attempt();
        let (_, called) = TRYING.get();
        (result, called)
    }
}

#[cfg(any(not(feature = "std"), loom))]
mod trying {
    use super::WaitQueue;

    pub(super) fn note_call(_: &WaitQueue) -> bool {
        false
    }

    pub(super) fn attempt<R>(_: &WaitQueue, attempt: impl FnOnce() -> R) -> (R, bool) {
        (attempt(), false)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let (gone, next) = {
            let mut line = self.queue.line.lock();
            let at = line.place(self.id);
            let gone = at.and_then(|at| line.waiters.remove(at));
            self.queue.len.store(line.waiters.len(), Ordering::Relaxed);
            (gone, if at == Some(0) { line.call() } else { None })
        };
        drop(gone);
        if let Some(next) = next {
            next.wake();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use alloc::task::Wake;
    use alloc::vec::Vec;

    #[derive(Default)]
    struct Woken(core::sync::atomic::AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
        }
    }

    struct One {
        ticket: Option<Ticket>,
        woken: Arc<Woken>,
    }

    impl One {
        fn join(queue: &Arc<WaitQueue>) -> Self {
            One { ticket: Some(queue.join()), woken: Arc::default() }
        }

        fn may_try(&mut self) -> bool {
            let waker = Waker::from(self.woken.clone());
            self.ticket.as_mut().unwrap().poll(&mut Context::from_waker(&waker)).is_ready()
        }

        fn wakes(&self) -> usize {
            self.woken.0.load(core::sync::atomic::Ordering::Relaxed)
        }
    }

    #[test]
    fn a_queue_says_how_many_wait() {
        let queue = Arc::new(WaitQueue::new());
        assert_eq!((queue.len(), queue.is_empty()), (0, true));
        let waiters = [queue.join(), queue.join()];
        assert_eq!((queue.len(), queue.is_empty()), (2, false));
        assert_eq!(alloc::format!("{queue:?}"), "WaitQueue { len: 2 }");
        drop(waiters);
        assert_eq!((queue.len(), queue.is_empty()), (0, true));
    }

    #[test]
    fn the_first_alone_is_called_and_calls_the_next_when_it_leaves() {
        let queue = Arc::new(WaitQueue::new());
        queue.call();
        let mut all: Vec<One> = (0..4).map(|_| One::join(&queue)).collect();
        assert_eq!(queue.len(), 4);
        // The first may try at once, the others wait for their turn.
        let may: Vec<bool> = all.iter_mut().map(One::may_try).collect();
        assert_eq!(may, [true, false, false, false]);
        assert!(!all[0].may_try());
        queue.call();
        queue.call();
        let wakes: Vec<usize> = all.iter().map(One::wakes).collect();
        assert_eq!(wakes, [1, 0, 0, 0]);
        assert!(all[0].may_try() && !all[0].may_try());
        // One in the middle gives up: nobody's business.
        all[2].ticket = None;
        assert_eq!(all.iter().map(One::wakes).sum::<usize>(), 1);
        all[0].ticket = None;
        assert_eq!((all[1].wakes(), all[3].wakes()), (1, 0));
        assert!(all[1].may_try());
        // Called, and gone before it tried: the call goes on to the next.
        queue.call();
        all[1].ticket = None;
        assert_eq!(all[3].wakes(), 1);
        assert!(all[3].may_try());
        all[3].ticket = None;
        assert!(queue.is_empty());
    }

    #[test]
    #[cfg(feature = "std")]
    fn who_tries_does_not_call_itself_but_is_told() {
        let (queue, other) = (Arc::new(WaitQueue::new()), Arc::new(WaitQueue::new()));
        let (mut one, mut two) = (One::join(&queue), One::join(&other));
        assert!(one.may_try() && two.may_try() && !two.may_try());
        let (result, called) = one.ticket.as_ref().unwrap().attempt(|| {
            queue.call();
            other.call();
            7
        });
        assert_eq!((result, called, one.may_try(), two.wakes()), (7, true, false, 1));
        one.ticket.as_ref().unwrap().call();
        assert!(one.may_try());
        let (_, called) = one.ticket.as_ref().unwrap().attempt(|| {
            let queue = queue.clone();
            std::thread::spawn(move || queue.call()).join().unwrap();
        });
        assert!(!called && one.may_try(), "others do");
    }

    #[test]
    fn a_waker_that_was_replaced_is_not_woken() {
        let queue = Arc::new(WaitQueue::new());
        let mut one = One::join(&queue);
        assert!(one.may_try() && !one.may_try());
        let old = core::mem::take(&mut one.woken);
        assert!(!one.may_try());
        queue.call();
        assert_eq!((one.wakes(), old.0.load(core::sync::atomic::Ordering::Relaxed)), (1, 0));
    }
}
