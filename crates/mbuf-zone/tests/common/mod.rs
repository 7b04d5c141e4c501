//! Sources and hooks that count, so that a test can ask whether all came home.
#![allow(unsafe_code, dead_code, unreachable_pub)]

use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use mbuf_zone::raw::{Hooks, Object, RawZone, Settings, Shape};
use mbuf_zone::{Heap, PageSource};

/// The heap, counted; may fail now and then.
#[derive(Default)]
pub struct Counted {
    pub runs: AtomicUsize,
    pub bytes: AtomicUsize,
    pub calls: AtomicUsize,
    /// The n-th call fails, and the 2n-th, and so on. Zero: none.
    pub fail_every: AtomicUsize,
}

/// A handle of [`Counted`].
#[derive(Clone, Default)]
pub struct Pages(pub Arc<Counted>);

impl Pages {
    pub fn bytes(&self) -> usize {
        self.0.bytes.load(Relaxed)
    }

    #[track_caller]
    pub fn assert_all_home(&self) {
        assert_eq!(
            (self.0.runs.load(Relaxed), self.bytes()),
            (0, 0),
            "runs and bytes that did not come home"
        );
    }
}

// SAFETY: passes everything on to the heap.
unsafe impl PageSource for Pages {
    fn acquire(&self, layout: Layout) -> Option<NonNull<u8>> {
        let call = self.0.calls.fetch_add(1, Relaxed) + 1;
        let every = self.0.fail_every.load(Relaxed);
        if every != 0 && call.is_multiple_of(every) {
            return None;
        }
        let run = Heap.acquire(layout)?;
        self.0.runs.fetch_add(1, Relaxed);
        self.0.bytes.fetch_add(layout.size(), Relaxed);
        Some(run)
    }

    unsafe fn release(&self, run: NonNull<u8>, layout: Layout) {
        self.0.runs.fetch_sub(1, Relaxed);
        self.0.bytes.fetch_sub(layout.size(), Relaxed);
        // SAFETY: by this function's contract.
        unsafe { Heap.release(run, layout) }
    }
}

/// What hooks were asked to do.
#[derive(Default)]
pub struct Tally {
    pub made: AtomicUsize,
    pub finished: AtomicUsize,
    pub freed: AtomicUsize,
    pub retained: AtomicUsize,
    pub released: AtomicUsize,
    pub dropped: AtomicUsize,
}

impl Tally {
    /// The zone is gone, and nothing of it is left.
    #[track_caller]
    pub fn assert_over(&self) {
        assert_eq!(self.made.load(Relaxed), self.finished.load(Relaxed), "made and finished");
        assert_eq!(self.retained.load(Relaxed), self.released.load(Relaxed), "retained and released");
        assert_eq!(self.dropped.load(Relaxed), 1, "the zone's hooks live on");
    }
}

/// Hooks that count.
pub struct Tallied(pub Arc<Tally>);

// SAFETY: objects are bare slots.
unsafe impl Hooks for Tallied {
    unsafe fn init(&self, _: Object, _: Option<NonNull<u8>>) -> bool {
        self.0.made.fetch_add(1, Relaxed);
        true
    }

    unsafe fn fini(&self, _: Object) -> Option<Object> {
        self.0.finished.fetch_add(1, Relaxed);
        None
    }

    fn is_quiet(&self) -> bool {
        true
    }

    fn freed(&self) {
        self.0.freed.fetch_add(1, Relaxed);
    }

    fn retain(&self, objects: usize) {
        self.0.retained.fetch_add(objects, Relaxed);
    }

    fn release(&self) {
        self.0.released.fetch_add(1, Relaxed);
    }
}

impl Drop for Tallied {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, Relaxed);
    }
}

/// Slots of 64 bytes.
pub fn shape() -> Shape {
    Shape::new(Layout::from_size_align(64, 16).unwrap())
}

/// A counted zone over counted pages.
pub fn raw_zone(limit: Option<usize>, magazine: usize) -> (RawZone, Arc<Tally>, Pages) {
    let (tally, pages) = (Arc::new(Tally::default()), Pages::default());
    let settings = Settings { limit, magazine, source: Arc::new(pages.clone()), ..Settings::default() };
    (RawZone::new(shape(), &settings, Box::new(Tallied(tally.clone()))), tally, pages)
}

/// `native` steps, or a few under Miri.
pub fn steps(native: usize, miri: usize) -> usize {
    if cfg!(miri) { miri } else { native }
}

/// A small generator: the tests want no randomness, only variety.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: usize) -> Self {
        Dice((seed as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % n
    }
}
