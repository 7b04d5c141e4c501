//! Memory that runs out.
#![allow(unsafe_code)]

use std::alloc::Layout;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use mbuf::{Heap, PageSource};

/// How many page runs [`FailingPages`] still gives, and how many are out.
#[derive(Debug, Default)]
pub struct PageBudget {
    left: AtomicUsize,
    out: AtomicUsize,
    bytes: AtomicUsize,
}

impl PageBudget {
    /// Sets how many more runs there are.
    pub fn set(&self, left: usize) {
        self.left.store(left, Ordering::Relaxed);
    }

    /// Runs that have not come back.
    pub fn out(&self) -> usize {
        self.out.load(Ordering::Relaxed)
    }

    /// Bytes of the runs that have not come back.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// The heap, as long as its budget lasts.
#[derive(Debug, Clone)]
pub struct FailingPages(Arc<PageBudget>);

impl FailingPages {
    /// A source that gives `left` runs.
    pub fn new(left: usize) -> Self {
        let budget = PageBudget::default();
        budget.set(left);
        FailingPages(Arc::new(budget))
    }

    /// The budget, to be changed while the source is in use.
    pub fn budget(&self) -> Arc<PageBudget> {
        self.0.clone()
    }
}

// SAFETY: every run is one of `Heap`'s, which keeps the contract.
unsafe impl PageSource for FailingPages {
    fn acquire(&self, layout: Layout) -> Option<NonNull<u8>> {
        let budget = &self.0;
        budget.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).ok()?;
        let run = Heap.acquire(layout)?;
        budget.out.fetch_add(1, Ordering::Relaxed);
        budget.bytes.fetch_add(layout.size(), Ordering::Relaxed);
        Some(run)
    }

    unsafe fn release(&self, run: NonNull<u8>, layout: Layout) {
        self.0.out.fetch_sub(1, Ordering::Relaxed);
        self.0.bytes.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: by this function's contract the run came from `acquire`, so from `Heap`.
        unsafe { Heap.release(run, layout) };
    }
}

/// Memory that is never given back. A static knows of it, so that neither Miri nor a sanitizer takes it for lost.
pub fn for_ever(bytes: usize) -> &'static mut [MaybeUninit<u8>] {
    static ALL: Mutex<Vec<AtomicPtr<MaybeUninit<u8>>>> = Mutex::new(Vec::new());
    let memory = Vec::leak(vec![MaybeUninit::uninit(); bytes]);
    ALL.lock().expect("nothing panics here").push(AtomicPtr::new(memory.as_mut_ptr()));
    memory
}
