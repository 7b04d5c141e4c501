//! Once a pool has what it needs, no operation but those on tags touches the heap.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use mbuf::{Chain, Class, Packet, PacketQueue, Pool, Reserve};
use mbuf_testkit::{assert_empty, scaled};

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting this thread's allocations.
struct Counting;

// SAFETY: all calls go to `System`, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: by this function's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: by this function's contract.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Runs `op` until it is warm, then counts what it asks of the heap.
fn quiet<R>(what: &str, mut op: impl FnMut() -> R) {
    for _ in 0..3 {
        op();
    }
    let before = COUNT.get();
    let rounds = scaled(50, 3);
    for _ in 0..rounds {
        op();
    }
    let count = COUNT.get() - before;
    assert_eq!(count, 0, "{what}: the heap was used {count} times in {rounds} rounds");
}

#[test]
fn the_counter_counts() {
    let before = COUNT.get();
    drop(std::hint::black_box(vec![1u8; 100]));
    assert_eq!(COUNT.get() - before, 2);
}

#[test]
fn no_operation_uses_the_heap_in_steady_state() {
    let pool = Pool::new();
    let (small, large) = ([1u8; 40], [2u8; 12_000]);
    let make = || {
        let mut packet = Packet::from_slice(&pool, &large).unwrap();
        packet.shatter([10, 100, 150, 2000, 3000, 500]).unwrap();
        packet
    };
    quiet("new", || Packet::new(&pool).unwrap());
    quiet("a headerless chain", || Chain::new(&pool).unwrap());
    quiet("with_cluster", || Packet::with_cluster(&pool).unwrap());
    for class in Class::ALL {
        quiet("with_class", || Packet::with_class(&pool, class).unwrap());
    }
    quiet("with_capacity", || Packet::with_capacity(&pool, 3000).unwrap());
    quiet("with_headroom", || Packet::with_headroom(&pool, 3000, 3000).unwrap());
    quiet("from_slice", || Packet::from_slice(&pool, &large).unwrap());
    quiet("from_slices", || Packet::from_slices(&pool, [&small[..], &large[..]]).unwrap());
    quiet("copy_with", || Packet::copy_with(&pool, 9000, 40, |_, place| place.fill(1)).unwrap());
    quiet("from_trailer", || Packet::from_trailer(&pool, &large, 50).unwrap());
    // The largest owners that need no memory of their own.
    const OWNED: usize = size_of::<[usize; 8]>();
    quiet("from_owner", || {
        Packet::from_owner(&pool, [1u8; OWNED]).unwrap().try_into_owner::<[u8; OWNED]>().unwrap()
    });
    quiet("from_owner_mut", || Packet::from_owner_mut(&pool, [1u8; OWNED]).unwrap());
    quiet("a reserve", || Reserve::new(&pool, 9000).unwrap().into_packet(100).unwrap());
    quiet("an explicit cache", {
        let mut cache = pool.cache();
        move || {
            let packet = cache.with_cluster().unwrap();
            cache.free(packet);
            let packet = cache.new_packet().unwrap();
            cache.free(packet);
        }
    });
    quiet("shatter", make);
    quiet("prepend", || {
        let mut packet = make();
        packet.prepend_slice(&small).unwrap();
        packet.prepend(3000).unwrap();
    });
    quiet("extend", || {
        let mut packet = make();
        packet.extend_from_slice(&large).unwrap();
        packet.extend(3000).unwrap();
        packet.extend_zeroed(3000).unwrap();
        packet.pad_to(40_000).unwrap();
    });
    quiet("append", || {
        let mut packet = make();
        packet.append(make()).unwrap();
        packet.insert(500, make()).unwrap();
        packet.append(Chain::from_slice(&pool, &small).unwrap()).unwrap();
    });
    quiet("trim", || {
        let mut packet = make();
        packet.trim_front(105).unwrap();
        packet.trim_back(5000).unwrap();
        packet.remove_range(50..300).unwrap();
        packet.truncate(10);
    });
    quiet("contiguous", || {
        let mut packet = make();
        packet.make_contiguous(300).unwrap();
        packet.make_contiguous_at(2000..4000).unwrap();
        packet.make_contiguous_with_headroom(400, 100).unwrap();
    });
    quiet("split", || {
        let mut packet = make();
        let tail = packet.split_off(1000).unwrap();
        packet.append(tail).unwrap();
    });
    quiet("share", || {
        let packet = make();
        (packet.share().unwrap(), packet.share_range(5..6000).unwrap())
    });
    quiet("duplicate", || {
        let packet = make();
        (packet.duplicate().unwrap(), packet.duplicate_with_headroom(2000).unwrap())
    });
    quiet("write", || {
        let mut packet = make();
        let copy = packet.share().unwrap();
        packet.write_at(50, &small).unwrap();
        packet.write_at(11_990, &small).unwrap();
        packet.make_unique_range(3000..3500).unwrap();
        packet.make_unique().unwrap();
        copy
    });
    quiet("defragment", || {
        let mut packet = make();
        packet.defragment().unwrap();
        packet.collapse(1).unwrap();
    });
    quiet("reading", {
        let packet = make();
        let mut out = [0; 500];
        move || {
            packet.read_at(5, &mut out).unwrap();
            packet.sum(3..9000).unwrap();
            assert!(packet.range_eq(5..505, &out).unwrap());
            assert!(packet.find_bytes(0, &[2, 2, 2]).is_some());
            packet.check().unwrap();
            packet.slices(..).unwrap().count() + packet.io_slices().count()
        }
    });
    quiet("headers", || make().into_chain().into_packet().unwrap());
    quiet("a queue", || {
        let mut queue: PacketQueue = (0..5).map(|_| Packet::with_cluster(&pool).unwrap()).collect();
        let first = queue.pop_front().unwrap();
        queue.push_back(first).unwrap();
        queue.clear();
    });
    assert_empty(&pool);
}

#[test]
fn a_dry_pool_asks_little_of_the_heap() {
    let pool = Pool::builder().mbufs(20).clusters(5).build().unwrap();
    let held: Vec<Packet> = (0..20).map(|_| Packet::new(&pool).unwrap()).collect();
    let before = COUNT.get();
    for _ in 0..10 {
        assert!(Packet::new(&pool).is_err());
        assert!(held[0].share().is_err());
    }
    let count = COUNT.get() - before;
    // Collecting what other threads have cached takes two small lists a time.
    assert!(count <= 20 * 4, "the heap was used {count} times");
    drop(held);
    assert_empty(&pool);
}
