//! Where memory comes from: the only file that asks the system, or the caller, for pages.
#![allow(unsafe_code)]

use alloc::alloc::{alloc_zeroed, dealloc};
use alloc::vec::Vec;
use core::alloc::Layout;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use crate::sync::Mutex;

/// A source of zeroed page runs for the slabs of a zone.
///
/// Called on the slow path only, when a zone grows or gives slabs back; never with a lock of the zone's caches
/// held.
///
/// # Safety
/// `acquire` returns a run that is zeroed, at least `layout.size()` bytes long, aligned to `layout.align()`,
/// overlaps no other run that is out, and stays valid until `release` is called with the same layout.
pub unsafe trait PageSource: Send + Sync {
    /// A zeroed run of pages, or `None` when the source is dry.
    fn acquire(&self, layout: Layout) -> Option<NonNull<u8>>;

    /// Takes a run back.
    ///
    /// # Safety
    /// `run` came from `acquire` of this source with the same `layout`, and nothing refers to it any more.
    unsafe fn release(&self, run: NonNull<u8>, layout: Layout);
}

/// The global allocator.
#[derive(Debug, Default, Clone, Copy)]
pub struct Heap;

// SAFETY: `alloc_zeroed` gives zeroed memory of the layout asked for, live until `dealloc`.
unsafe impl PageSource for Heap {
    fn acquire(&self, layout: Layout) -> Option<NonNull<u8>> {
        if layout.size() == 0 {
            return None;
        }
        // SAFETY: the size is not zero.
        NonNull::new(unsafe { alloc_zeroed(layout) })
    }

    unsafe fn release(&self, run: NonNull<u8>, layout: Layout) {
        // SAFETY: by this function's contract the run came from `alloc_zeroed` with this layout.
        unsafe { dealloc(run.as_ptr(), layout) }
    }
}

/// Private anonymous mappings, returned to the system when a slab is given back.
#[cfg(all(unix, feature = "std"))]
#[derive(Debug, Default, Clone, Copy)]
pub struct Mmap {
    huge: bool,
}

#[cfg(all(unix, feature = "std"))]
impl Mmap {
    /// Ordinary pages.
    pub const fn new() -> Self {
        Mmap { huge: false }
    }

    /// Asks the kernel for transparent huge pages where a run is large enough (`MADV_HUGEPAGE`).
    pub const fn huge() -> Self {
        Mmap { huge: true }
    }

    /// Bytes to map so that an aligned run of the layout lies inside, and the alignment of the run.
    fn span(self, layout: Layout) -> Option<(usize, usize)> {
        const PAGE: usize = 4096;
        const HUGE: usize = 2 << 20;
        let size = layout.size().checked_next_multiple_of(PAGE)?;
        let align =
            if self.huge && size >= HUGE { layout.align().max(HUGE) } else { layout.align().max(PAGE) };
        Some((size, align))
    }
}

#[cfg(all(unix, feature = "std"))]
// SAFETY: anonymous mappings are zeroed, private to us, page-aligned and live until `munmap`; runs with a larger
// alignment are cut out of a mapping that is larger by that alignment.
unsafe impl PageSource for Mmap {
    fn acquire(&self, layout: Layout) -> Option<NonNull<u8>> {
        let (size, align) = self.span(layout)?;
        if size == 0 {
            return None;
        }
        let padded = size.checked_add(align)?;
        // SAFETY: an anonymous private mapping at an address of the kernel's choice touches nothing of ours.
        let base = unsafe {
            libc::mmap(
                core::ptr::null_mut(),
                padded,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return None;
        }
        let base = base.cast::<u8>();
        let head = base.align_offset(align);
        let tail = padded - head - size;
        // SAFETY: `head + size + tail == padded`, all inside the fresh mapping; the two ends are unused.
        let run = unsafe {
            let run = base.add(head);
            if head > 0 {
                libc::munmap(base.cast(), head);
            }
            if tail > 0 {
                libc::munmap(run.add(size).cast(), tail);
            }
            run
        };
        #[cfg(target_os = "linux")]
        if self.huge {
            // SAFETY: the range is our mapping; the call is advice and its failure is harmless.
            let _ = unsafe { libc::madvise(run.cast(), size, libc::MADV_HUGEPAGE) };
        }
        NonNull::new(run)
    }

    unsafe fn release(&self, run: NonNull<u8>, layout: Layout) {
        let Some((size, _)) = self.span(layout) else { return };
        // SAFETY: by contract the run is `size` mapped bytes from `acquire` that nothing refers to.
        let _ = unsafe { libc::munmap(run.as_ptr().cast(), size) };
    }
}

/// Memory that the caller owns: a `static`, a DMA area, a registered region. For `no_std` and for tests.
///
/// Runs are carved off the front; a run that comes back is kept and handed out again for the same layout.
///
/// ```
/// use mbuf_zone::{Arena, Zone};
/// let memory = Vec::leak(vec![core::mem::MaybeUninit::<u8>::uninit(); 64 << 10]);
/// let zone = Zone::<[u32; 4]>::builder().pages(Arena::new(memory)).limit(100).build();
/// assert!(zone.get([7; 4]).is_ok());
/// ```
pub struct Arena {
    state: Mutex<ArenaState>,
}

/// # Invariants
/// 1. `next..end` is memory that belongs to the arena alone and is not out as a run.
/// 2. `returned` holds runs that were released and are not out.
struct ArenaState {
    next: NonNull<u8>,
    left: usize,
    returned: Vec<(NonNull<u8>, Layout)>,
}

// SAFETY: the pointers are to memory given for ever to this arena; it may be used from any thread.
unsafe impl Send for ArenaState {}

impl core::fmt::Debug for Arena {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Arena").field("left", &self.state.lock().left).finish_non_exhaustive()
    }
}

impl Arena {
    /// An arena over memory that lives for ever.
    pub fn new(memory: &'static mut [MaybeUninit<u8>]) -> Self {
        let left = memory.len();
        let next = NonNull::from(memory).cast();
        Arena { state: Mutex::new(ArenaState { next, left, returned: Vec::new() }) }
    }
}

// SAFETY: runs are carved from memory the arena owns (invariant 1), each handed out once until it comes back
// (invariant 2), aligned, and zeroed before they are handed out.
unsafe impl PageSource for Arena {
    fn acquire(&self, layout: Layout) -> Option<NonNull<u8>> {
        let mut state = self.state.lock();
        let run = if let Some(at) = state.returned.iter().position(|(_, l)| *l == layout) {
            state.returned.swap_remove(at).0
        } else {
            let skip = state.next.align_offset(layout.align());
            let taken = skip.checked_add(layout.size())?;
            if taken > state.left {
                return None;
            }
            // SAFETY: `taken <= left`, so both stay inside the arena's memory (invariant 1).
            let (run, next) = unsafe { (state.next.add(skip), state.next.add(taken)) };
            state.next = next;
            state.left -= taken;
            run
        };
        // SAFETY: the run is `layout.size()` bytes that only this call holds.
        unsafe { run.write_bytes(0, layout.size()) };
        Some(run)
    }

    unsafe fn release(&self, run: NonNull<u8>, layout: Layout) {
        self.state.lock().returned.push((run, layout));
    }
}
