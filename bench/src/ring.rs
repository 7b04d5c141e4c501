//! The ring between two threads, the same for every column: `c/bench.h` has it in C.

use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Values that a ring holds.
pub const SLOTS: usize = 1024;

#[repr(align(128))]
struct Line<T>(T);

/// One thread pushes, one pops. Both spin when they have to wait.
///
/// # Invariants
/// 1. Slots from `tail` to `head` are initialised. Only the producer writes `head` and the slots beyond; only the
///    consumer writes `tail`, and moves out of the slots before `head`.
pub struct Ring<T> {
    head: Line<AtomicUsize>,
    tail: Line<AtomicUsize>,
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
}

// SAFETY: values go from thread to thread, and nothing else is shared (invariant 1).
unsafe impl<T: Send> Sync for Ring<T> {}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        let slots = (0..SLOTS).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect();
        Ring { head: Line(AtomicUsize::new(0)), tail: Line(AtomicUsize::new(0)), slots }
    }
}

/// The end that pushes, and what it knows of the other.
pub struct Producer<T: 'static> {
    ring: &'static Ring<T>,
    head: usize,
    tail: usize,
}

/// The end that pops, and what it knows of the other.
pub struct Consumer<T: 'static> {
    ring: &'static Ring<T>,
    head: usize,
    tail: usize,
}

impl<T> Producer<T> {
    /// # Safety
    /// Only one producer of a ring is used from now on.
    pub unsafe fn new(ring: &'static Ring<T>) -> Self {
        // Relaxed: whoever used the ring before has handed it over.
        Producer {
            ring,
            head: ring.head.0.load(Ordering::Relaxed),
            tail: ring.tail.0.load(Ordering::Relaxed),
        }
    }

    /// Pushes all, then tells. At most the ring's size at once.
    #[inline(always)]
    pub fn push(&mut self, values: impl ExactSizeIterator<Item = T>) {
        let n = values.len();
        assert!(n <= SLOTS);
        while self.head + n - self.tail > SLOTS {
            // Pairs with the release in `pop`: the slots are empty.
            self.tail = self.ring.tail.0.load(Ordering::Acquire);
            if self.head + n - self.tail > SLOTS {
                spin_loop();
            }
        }
        for value in values.take(n) {
            // SAFETY: invariant 1: the slot is beyond `head`, and there is room up to `tail`.
            unsafe { (*self.ring.slots[self.head % SLOTS].get()).write(value) };
            self.head += 1;
        }
        // Pairs with the acquire in `pop`.
        self.ring.head.0.store(self.head, Ordering::Release);
    }
}

impl<T> Consumer<T> {
    /// # Safety
    /// Only one consumer of a ring is used from now on.
    pub unsafe fn new(ring: &'static Ring<T>) -> Self {
        // Relaxed: whoever used the ring before has handed it over.
        Consumer {
            ring,
            head: ring.head.0.load(Ordering::Relaxed),
            tail: ring.tail.0.load(Ordering::Relaxed),
        }
    }

    /// Pops `n`, and gives them to `take` one by one. Their slots are free afterwards.
    #[inline(always)]
    pub fn pop(&mut self, n: usize, mut take: impl FnMut(T)) {
        while self.head - self.tail < n {
            // Pairs with the release in `push`: the slots are full.
            self.head = self.ring.head.0.load(Ordering::Acquire);
            if self.head - self.tail < n {
                spin_loop();
            }
        }
        for _ in 0..n {
            // SAFETY: invariant 1: the slot is before `head`; it is read once, as `tail` moves on.
            take(unsafe { (*self.ring.slots[self.tail % SLOTS].get()).assume_init_read() });
            self.tail += 1;
        }
        // Pairs with the acquire in `push`.
        self.ring.tail.0.store(self.tail, Ordering::Release);
    }
}

/// Both ends, as a thread has them: it uses one of them, but for the look before the second thread is there.
pub struct Ends<T: 'static> {
    pub out: Producer<T>,
    pub into: Consumer<T>,
}

impl<T> Ends<T> {
    /// # Safety
    /// The first thread only pushes from when the second thread opens its ends, and the second only pops.
    pub unsafe fn new(ring: &'static Ring<T>) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Ends { out: Producer::new(ring), into: Consumer::new(ring) } }
    }
}
