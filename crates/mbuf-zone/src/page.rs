//! Where memory comes from: the only file that asks the system, or the caller, for pages.
#![allow(unsafe_code)]

use alloc::alloc::{alloc_zeroed, dealloc};
use alloc::vec::Vec;
use core::alloc::Layout;
use core::mem::MaybeUninit;
use core::ops::Range;
use core::ptr::NonNull;

use crate::sync::Mutex;

/// A source of zeroed page runs for the slabs of a zone.
///
/// Called on the slow path only, when a zone grows or gives slabs back; `acquire` with locks of the zone held, so
/// it does not use the zone. A panic in either reaches who allocates or trims; the run in question may be lost.
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

    /// Bytes and alignment of the run to map for a layout, and the size of a page.
    fn span(self, layout: Layout) -> Option<(usize, usize, usize)> {
        const HUGE: usize = 2 << 20;
        // SAFETY: a query without pointers.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
        let size = layout.size().checked_next_multiple_of(page)?;
        let align =
            if self.huge && size >= HUGE { layout.align().max(HUGE) } else { layout.align().max(page) };
        Some((size, align, page))
    }
}

#[cfg(all(unix, feature = "std"))]
// SAFETY: anonymous mappings are zeroed, private to us, page-aligned and live until `munmap`; runs with a larger
// alignment are cut out of a mapping that is larger by that alignment.
unsafe impl PageSource for Mmap {
    fn acquire(&self, layout: Layout) -> Option<NonNull<u8>> {
        let (size, align, page) = self.span(layout)?;
        if size == 0 {
            return None;
        }
        let padded = size.checked_add(align - page)?;
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
        let head = base.addr().next_multiple_of(align) - base.addr();
        let tail = padded - head - size;
        // SAFETY: `head + size + tail == padded`, all whole pages of the fresh mapping; the two ends are unused.
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
        let Some((size, ..)) = self.span(layout) else { return };
        // SAFETY: by contract the run is `size` mapped bytes from `acquire` that nothing refers to.
        let _ = unsafe { libc::munmap(run.as_ptr().cast(), size) };
    }
}

/// Memory that the caller owns: a `static`, a DMA area, a registered region. For `no_std` and for tests.
///
/// Runs are cut from the first gap that is large enough; a run that comes back is joined with the gaps beside it.
///
/// ```
/// use mbuf_zone::{Arena, Zone};
/// let memory = Vec::leak(vec![core::mem::MaybeUninit::<u8>::uninit(); 64 << 10]);
/// let zone = Zone::<[u32; 4]>::builder().pages(Arena::new(memory)).limit(100).build();
/// assert!(zone.get([7; 4]).is_ok());
/// ```
///
/// # Invariants
/// 1. `base` is the start of memory that belongs to the arena alone, for ever.
/// 2. `gaps` are ranges of offsets into it that are not out as runs, in order, not empty, and none touches another.
pub struct Arena {
    base: NonNull<u8>,
    gaps: Mutex<Vec<Range<usize>>>,
}

// SAFETY: the memory was given to the arena for ever (invariant 1); it may be used from any thread.
unsafe impl Send for Arena {}
// SAFETY: as above; the gaps are behind a lock.
unsafe impl Sync for Arena {}

impl core::fmt::Debug for Arena {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Arena").field("left", &self.left()).finish_non_exhaustive()
    }
}

impl Arena {
    /// An arena over memory that lives for ever.
    pub fn new(memory: &'static mut [MaybeUninit<u8>]) -> Self {
        let whole = 0..memory.len();
        let gaps = if whole.is_empty() { Vec::new() } else { alloc::vec![whole] };
        Arena { base: NonNull::from(memory).cast(), gaps: Mutex::new(gaps) }
    }

    /// Bytes that are not out as runs.
    pub fn left(&self) -> usize {
        self.gaps.lock().iter().map(Range::len).sum()
    }
}

// SAFETY: runs are cut from memory the arena owns (invariant 1), are in no gap until they come back (invariant 2),
// aligned, and zeroed before they are handed out.
unsafe impl PageSource for Arena {
    fn acquire(&self, layout: Layout) -> Option<NonNull<u8>> {
        if layout.size() == 0 {
            return None;
        }
        let base = self.base.addr().get();
        let run = {
            let mut gaps = self.gaps.lock();
            let (at, run) = gaps.iter().enumerate().find_map(|(at, gap)| {
                let start = (base + gap.start).checked_next_multiple_of(layout.align())? - base;
                let end = start.checked_add(layout.size())?;
                (end <= gap.end).then_some((at, start..end))
            })?;
            let gap = gaps[at].clone();
            let rest = [gap.start..run.start, run.end..gap.end].into_iter().filter(|rest| !rest.is_empty());
            gaps.splice(at..=at, rest);
            run
        };
        // SAFETY: the run is inside the arena's memory, and only this call holds it (invariants 1 and 2).
        unsafe {
            let start = self.base.add(run.start);
            start.write_bytes(0, layout.size());
            Some(start)
        }
    }

    unsafe fn release(&self, run: NonNull<u8>, layout: Layout) {
        let start = run.addr().get() - self.base.addr().get();
        let mut joined = start..start + layout.size();
        let mut gaps = self.gaps.lock();
        let at = gaps.partition_point(|gap| gap.end < joined.start);
        if gaps.get(at).is_some_and(|gap| gap.end == joined.start) {
            joined.start = gaps.remove(at).start;
        }
        if gaps.get(at).is_some_and(|gap| gap.start == joined.end) {
            joined.end = gaps.remove(at).end;
        }
        gaps.insert(at, joined);
    }
}
