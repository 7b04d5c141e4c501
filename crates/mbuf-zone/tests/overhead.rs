//! What a zone costs beyond its objects, by a global allocator that counts. One test, so that it counts nothing else.
#![allow(unsafe_code)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use common::{Tallied, Tally};
use mbuf_zone::flush_thread;
use mbuf_zone::raw::{Group, RawZone, Settings, Shape, put};

static LIVE: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Relaxed);
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Relaxed);
        // SAFETY: passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
#[cfg_attr(miri, ignore = "sizes are the same, and it takes long")]
fn ten_thousand_objects_cost_less_than_two_percent_more_than_their_bytes() {
    let count = 10_000;
    let layout = |size, align| Layout::from_size_align(size, align).unwrap();
    let shapes = [
        ("256-byte slots", Shape::new(layout(256, 64))),
        ("32-byte slots with 2048-byte blocks", Shape::new(layout(32, 32)).with_block(layout(2048, 2048))),
    ];
    for (name, shape) in shapes {
        let mut held = Vec::with_capacity(count);
        let tally = Arc::new(Tally::default());
        let before = LIVE.load(Relaxed);
        let settings = Settings { limit: Some(count), ..Settings::default() };
        let zone = RawZone::new(shape, &settings, Box::new(Tallied(tally.clone())));
        held.extend((0..count).map(|_| zone.get::<0>().unwrap()));
        let all_used = LIVE.load(Relaxed) - before;
        // SAFETY: ours.
        held.drain(..).for_each(|object| unsafe { put::<0>(object) });
        let all_free = LIVE.load(Relaxed) - before;
        let net = count * zone.stats().object_bytes;
        for (state, bytes) in [("in use", all_used), ("free", all_free)] {
            let percent = (bytes as f64 / net as f64 - 1.0) * 100.0;
            println!("{name}, all {state}: {percent:.2} % overhead");
            // Free objects are named in magazines, eight bytes each.
            let allowed = if state == "free" { net / 50 + count * 10 } else { net / 50 };
            assert!(bytes < net + allowed, "{name}, all {state}: {percent:.2} % overhead");
        }
        assert_eq!(zone.stats().in_use, 0);
        zone.trim();
        let trimmed = LIVE.load(Relaxed) - before;
        assert!(trimmed < 20 << 10, "{name}: {trimmed} bytes are left of what was free");
        drop(zone);
        flush_thread();
        tally.assert_over();
        let left = LIVE.load(Relaxed).saturating_sub(before);
        assert!(left < 2 << 10, "{name}: {left} bytes are left of the zone");
    }
    // Zones that come and go leave nothing in their group, and little with a thread that used them.
    let settings = Settings { group: Some(Group::new()), magazine: 4, ..Settings::default() };
    for (used, most) in [(false, 2 << 10), (true, 64 << 10)] {
        let come_and_go = |_| {
            let zone = RawZone::new(shapes[0].1, &settings, Box::new(Tallied(Arc::default())));
            if used {
                // SAFETY: just got.
                unsafe { put::<0>(zone.get::<0>().unwrap()) };
            }
            drop(zone);
            LIVE.load(Relaxed)
        };
        let after_one = come_and_go(0);
        let after_many = (0..300).map(come_and_go).fold(0, usize::max);
        assert!(after_many < after_one + most, "{used}: {} bytes", after_many - after_one);
        flush_thread();
    }
}
