//! Where memory comes from, where it lies, and where it goes.
#![allow(unsafe_code)]

mod common;

use std::alloc::Layout;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};

use common::{Pages, Tallied, Tally, steps};
use mbuf_zone::raw::{Hooks, Object, RawZone, Settings, Shape, put};
use mbuf_zone::{Arena, Cause, Heap, PageSource, Zone, flush_thread};

#[test]
fn trim_gives_back_every_page_that_holds_no_object_in_use() {
    let pages = Pages::default();
    let zone = Zone::<[u8; 200]>::builder().pages(pages.clone()).build();
    let mut slots: Vec<_> = (0..steps(5_000, 400)).map(|_| zone.get([1; 200]).unwrap()).collect();
    let all = pages.bytes();
    assert_eq!(zone.trim(), 0, "every object is in use");
    // One object that stays keeps one slab.
    let stays = slots.pop().unwrap();
    drop(slots);
    assert_eq!(pages.bytes(), all, "free objects wait in caches");
    assert_eq!(zone.trim(), all - pages.bytes());
    assert!(pages.bytes() > 0 && pages.bytes() < all);
    assert_eq!((zone.stats().in_use, zone.stats().cached), (1, 0));
    assert!(stays.iter().all(|&byte| byte == 1));
    drop(stays);
    zone.trim();
    pages.assert_all_home();
    // And it grows again.
    drop(zone.get([2; 200]).unwrap());
    assert_eq!(zone.stats().in_use, 0);
    drop(zone);
    pages.assert_all_home();
}

/// Notes the blocks that come with slots.
struct Blocks(Tallied);

/// Where an object keeps its block.
fn block_of(object: Object) -> NonNull<Option<NonNull<u8>>> {
    // SAFETY: slots are 24 bytes long or longer; the head takes the first sixteen at most.
    unsafe { object.as_ptr::<u8>().add(16).cast() }
}

// SAFETY: `init` leaves an object with its block's address.
unsafe impl Hooks for Blocks {
    unsafe fn init(&self, object: Object, block: Option<NonNull<u8>>) -> bool {
        // SAFETY: the slot is ours.
        unsafe {
            block_of(object).write(block);
            self.0.init(object, block)
        }
    }

    unsafe fn fini(&self, object: Object) -> Option<Object> {
        // SAFETY: passed on.
        unsafe { self.0.fini(object) }
    }
}

fn zone_with_blocks(slot: Layout, block: Layout, limit: usize, pages: &Pages) -> (RawZone, Arc<Tally>) {
    let tally = Arc::new(Tally::default());
    let settings =
        Settings { limit: Some(limit), source: Arc::new(pages.clone()), magazine: 16, ..Settings::default() };
    let shape = Shape::new(slot).with_block(block);
    (RawZone::new(shape, &settings, Box::new(Blocks(Tallied(tally.clone())))), tally)
}

#[test]
fn a_source_that_fails_every_nth_time_loses_and_leaks_nothing() {
    let layout = |size, align| Layout::from_size_align(size, align).unwrap();
    let count = steps(600, 40);
    for every in 1..=steps(8, 4) {
        let pages = Pages::default();
        let (zone, tally) = zone_with_blocks(layout(32, 16), layout(2048, 1024), count, &pages);
        pages.0.fail_every.store(every, Relaxed);
        let (mut held, mut failures) = (Vec::new(), 0);
        while held.len() < count && failures < 100 {
            match zone.get::<0>() {
                Ok(object) => held.push(object),
                Err(cause) => {
                    assert_eq!(cause, Cause::Memory);
                    failures += 1;
                }
            }
        }
        // With every call failing there is nothing; with every second, never a slot run and a block run together.
        assert_eq!(held.len(), if every <= 2 { 0 } else { count });
        assert_eq!(zone.stats().in_use, held.len());
        pages.0.fail_every.store(0, Relaxed);
        held.extend((held.len()..count).map(|_| zone.get::<0>().unwrap()));
        assert_eq!(zone.get::<0>(), Err(Cause::Limit));
        // SAFETY: ours.
        held.into_iter().for_each(|object| unsafe { put::<0>(object) });
        assert_eq!(zone.stats().in_use, 0);
        drop(zone);
        flush_thread();
        tally.assert_over();
        pages.assert_all_home();
    }
}

#[test]
fn slots_and_blocks_are_aligned_apart_and_zeroed() {
    let cases =
        [(32, 16, 2048, 2048), (24, 8, 100, 4), (64, 64, 4096, 4096), (48, 16, 1, 1), (256, 256, 9216, 1024)];
    for (size, align, block_size, block_align) in cases {
        let (slot, block) = (
            Layout::from_size_align(size, align).unwrap(),
            Layout::from_size_align(block_size, block_align).unwrap(),
        );
        let (count, pages) = (steps(300, 20), Pages::default());
        let (zone, tally) = zone_with_blocks(slot, block, count, &pages);
        assert_eq!(zone.stats().object_bytes, size + block_size);
        let held: Vec<_> = (0..count).map(|_| zone.get::<0>().unwrap()).collect();
        let mut ranges = Vec::new();
        for &object in &held {
            // SAFETY: ours, and made by `Blocks`; blocks are zeroed once and ours alone.
            let block = unsafe { block_of(object).read() }.unwrap();
            assert!(object.as_ptr::<u8>().addr().get().is_multiple_of(align));
            assert!(block.addr().get().is_multiple_of(block_align));
            // SAFETY: as above.
            let bytes = unsafe { std::slice::from_raw_parts_mut(block.as_ptr(), block_size) };
            assert!(bytes.iter().step_by(steps(1, 251)).all(|&byte| byte == 0));
            bytes.fill(0xff);
            let slot = object.as_ptr::<u8>().addr().get();
            ranges.extend([slot..slot + size, block.addr().get()..block.addr().get() + block_size]);
        }
        ranges.sort_unstable_by_key(|range| range.start);
        assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start), "two objects overlap");
        // SAFETY: ours.
        held.into_iter().for_each(|object| unsafe { put::<0>(object) });
        assert_eq!(zone.stats().in_use, 0);
        drop(zone);
        flush_thread();
        tally.assert_over();
        pages.assert_all_home();
    }
}

#[test]
fn values_of_any_alignment_lie_right() {
    #[repr(align(512))]
    struct Wide(u8);
    let pages = Pages::default();
    let wide = Zone::<Wide>::builder().pages(pages.clone()).build();
    let empty = Zone::<()>::builder().pages(pages.clone()).build();
    let large = Zone::<[u64; 1 << 10]>::builder().pages(pages.clone()).build();
    let (a, b): (Vec<_>, Vec<_>) =
        (0..steps(100, 10)).map(|i| (wide.get(Wide(i as u8)).ok().unwrap(), empty.get(()).unwrap())).unzip();
    for (i, slot) in a.iter().enumerate() {
        assert_eq!((slot.0, (&raw const **slot).addr() % 512), (i as u8, 0));
    }
    assert_eq!(large.get_with(|| [3; 1 << 10]).unwrap()[1023], 3);
    drop((a, b));
    assert_eq!((wide.stats().in_use, empty.stats().in_use, large.stats().in_use), (0, 0, 0));
    drop((wide, empty, large));
    pages.assert_all_home();
}

#[test]
fn an_arena_takes_back_what_it_gave_and_joins_it() {
    static ARENA: OnceLock<Arena> = OnceLock::new();
    let size = steps(256 << 10, 96 << 10);
    let arena = ARENA.get_or_init(|| Arena::new(Vec::leak(vec![MaybeUninit::<u8>::new(0xaa); size])));
    struct Borrowed(&'static Arena);
    // SAFETY: passes everything on.
    unsafe impl PageSource for Borrowed {
        fn acquire(&self, layout: Layout) -> Option<NonNull<u8>> {
            self.0.acquire(layout)
        }
        unsafe fn release(&self, run: NonNull<u8>, layout: Layout) {
            // SAFETY: by this function's contract.
            unsafe { self.0.release(run, layout) }
        }
    }
    // Zones of different sizes, one after the other: no size is left with another's cuttings.
    for _ in 0..steps(3, 2) {
        let small = Zone::<[u64; 30]>::builder().pages(Borrowed(arena)).build();
        let mut held = Vec::new();
        while let Ok(slot) = small.get([1; 30]) {
            held.push(slot);
        }
        let bytes = held.len() * small.stats().object_bytes;
        assert!(bytes > size * 9 / 10, "{bytes} of {size} bytes used");
        held.truncate(1);
        small.trim();
        let large = Zone::<[u8; 1000]>::builder().pages(Borrowed(arena)).build();
        let slot = large.get([0; 1000]).unwrap();
        assert_eq!(small.get([2; 30]).unwrap()[29], 2);
        drop((slot, held));
        assert_eq!((small.stats().in_use, large.stats().in_use), (0, 0));
        drop((small, large));
        assert_eq!(arena.left(), size);
    }
    // Runs of odd sizes, given back in odd order.
    let layouts = [(100, 1), (7, 64), (4096, 4096), (1, 1), (20_000, 8)]
        .map(|(size, align)| Layout::from_size_align(size, align).unwrap());
    let mut runs: Vec<_> = layouts.iter().map(|&layout| (arena.acquire(layout).unwrap(), layout)).collect();
    for &(run, layout) in &runs {
        assert!(run.addr().get().is_multiple_of(layout.align()));
        // SAFETY: the run is ours, and zeroed.
        unsafe {
            assert!(
                std::slice::from_raw_parts(run.as_ptr(), layout.size())
                    .iter()
                    .step_by(steps(1, 7))
                    .all(|&byte| byte == 0)
            );
            run.write_bytes(0x55, layout.size());
        }
    }
    assert!(arena.acquire(Layout::from_size_align(size, 1).unwrap()).is_none());
    while !runs.is_empty() {
        let (run, layout) = runs.swap_remove(runs.len() / 2);
        // SAFETY: acquired above with this layout.
        unsafe { arena.release(run, layout) };
    }
    assert_eq!(arena.left(), size);
    assert!(Arena::new(&mut []).acquire(layouts[0]).is_none());
    assert_eq!(format!("{:?}", Arena::new(&mut [])), "Arena { left: 0, .. }");
    let nothing = Layout::from_size_align(0, 64).unwrap();
    assert!(Arena::acquire(arena, nothing).is_none() && Heap.acquire(nothing).is_none());
}

#[cfg(all(unix, feature = "std"))]
#[test]
#[cfg_attr(miri, ignore = "Miri does not unmap part of a mapping")]
fn mapped_pages_are_aligned_zeroed_and_may_be_huge() {
    use mbuf_zone::Mmap;
    for source in [Mmap::new(), Mmap::huge()] {
        for (size, align) in
            [(1, 1), (5000, 64), (4096, 1 << 16), (2 << 20, 64), (5 << 20, 4096), (3, 4 << 20)]
        {
            let layout = Layout::from_size_align(size, align).unwrap();
            let run = source.acquire(layout).unwrap();
            assert!(run.addr().get().is_multiple_of(align));
            // SAFETY: the run is ours and zeroed until it is released.
            unsafe {
                assert!(std::slice::from_raw_parts(run.as_ptr(), size).iter().all(|&byte| byte == 0));
                run.write_bytes(1, size);
                source.release(run, layout);
            }
        }
        for size in [0, isize::MAX as usize - 4095] {
            assert!(source.acquire(Layout::from_size_align(size, 1).unwrap()).is_none(), "{size} bytes");
        }
        let zone = Zone::<[u8; 2000]>::builder().pages(source).build();
        let slots: Vec<_> = (0..3_000).map(|i| zone.get([i as u8; 2000]).unwrap()).collect();
        assert!(slots.iter().enumerate().all(|(i, slot)| slot[1999] == i as u8));
        drop(slots);
        assert!(zone.trim() > 6_000_000);
        assert_eq!((zone.stats().in_use, zone.stats().total), (0, 0));
    }
}
