//! The user's code: owners, tags, destructors and page sources that panic, or use the pool they are called from.

use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use mbuf::{Heap, Packet, PacketQueue, PageSource, Pool, Tag, TagCopy};

use crate::{OnDrop, Sure, bomb, in_use, panics, plain};

#[test]
fn a_destructor_that_panics_keeps_nothing_of_its_chain_from_the_pool() {
    let pool = Pool::new();
    let mut packet = Packet::from_owner(&pool, bomb(&[1; 300])).unwrap();
    packet.append(plain(&pool, 2)).unwrap();
    assert!(panics(|| drop(packet)));
    assert_eq!(in_use(&pool), [0, 0, 0]);

    let mut packet = plain(&pool, 2);
    packet.append(Packet::from_owner(&pool, bomb(&[1; 300])).unwrap()).unwrap();
    packet.append(plain(&pool, 3)).unwrap();
    let kept = packet.share_range(..10).unwrap();
    assert!(panics(|| packet.trim_front(1000).unwrap()));
    assert_eq!(packet.check(), Ok(()));
    assert_eq!(packet, [3; 500]);
    assert_eq!(kept, [2; 10]);
    drop((packet, kept));
    assert_eq!(in_use(&pool), [0, 0, 0]);
}

#[test]
fn a_destructor_that_panics_keeps_nothing_of_its_queue_from_the_pool() {
    let pool = Pool::new();
    let mut queue = PacketQueue::new();
    let mut packet = plain(&pool, 1);
    packet.set_tag(bomb(&[]));
    queue.push_back(packet).unwrap();
    queue.extend((0..3).map(|n| plain(&pool, n)));
    assert!(panics(|| queue.clear()));
    assert_eq!((queue.len(), queue.bytes(), queue.check()), (0, 0, Ok(())));
    assert_eq!(in_use(&pool), [0, 0, 0]);
}

#[test]
fn a_destructor_that_panics_in_remove_range_or_insert_loses_no_byte_behind() {
    let pool = Pool::new();
    let mut packet = plain(&pool, 1);
    packet.append(Packet::from_owner(&pool, bomb(&[2; 300])).unwrap()).unwrap();
    packet.append(plain(&pool, 3)).unwrap();
    assert!(panics(|| packet.remove_range(600..900).unwrap()));
    assert_eq!(packet.check(), Ok(()));
    assert_eq!(packet, [[1; 600], [3; 600]].concat());

    for len in [2, 600] {
        let mut other = plain(&pool, 5);
        other.truncate(len);
        other.set_tag(bomb(&[]));
        let mut packet = plain(&pool, 4);
        assert!(panics(|| packet.insert(7, other).unwrap()));
        assert_eq!(packet.check(), Ok(()));
        assert_eq!(packet, [vec![4; 7], vec![5; len], vec![4; 593]].concat());
    }
    drop(packet);
    assert_eq!(in_use(&pool), [0, 0, 0]);
}

struct Undecided;
impl Tag for Undecided {
    fn copy(&self) -> TagCopy {
        panic!("no copy")
    }
    fn is_persistent(&self) -> bool {
        panic!("no answer")
    }
}

#[test]
fn a_tag_that_panics_loses_no_other_tag_and_no_byte() {
    let pool = Pool::new();
    let mut packet = plain(&pool, 1);
    packet.set_tag(Sure(1));
    packet.set_tag(Undecided);
    assert!(panics(|| packet.clear_tags()));
    assert_eq!(packet.tags().count(), 2);
    let before = in_use(&pool);
    let mut other = plain(&pool, 2);
    let tail = other.split_off(300).unwrap();
    drop(tail);
    assert!(panics(|| drop(packet.share())));
    assert!(panics(|| drop(packet.share_range(..2))));
    assert!(panics(|| drop(packet.split_off(2))));
    assert!(panics(|| drop(packet.duplicate())));
    assert!(panics(|| other.copy_header_from(&packet).unwrap()));
    assert!(panics(|| other.copy_tags(&packet).unwrap()));
    drop(other);
    assert_eq!(in_use(&pool), before);
    assert_eq!(packet.share_count(), 1);
    assert_eq!(packet.check(), Ok(()));
    assert_eq!(packet, [1; 600]);
    assert_eq!(packet.tag(), Some(&Sure(1)));
}

#[test]
fn a_header_is_replaced_whole_though_an_old_tag_panics() {
    let pool = Pool::new();
    let mut from = plain(&pool, 1);
    from.meta_mut().interface = 5;
    from.set_flags(mbuf::Flags::BROADCAST);
    from.set_tag(Sure(4));
    for take in [false, true] {
        let mut to = plain(&pool, 2);
        to.set_tag(bomb(&[]));
        assert!(panics(|| if take {
            to.take_header_from(&mut from)
        } else {
            to.copy_header_from(&from).unwrap()
        }));
        assert_eq!((to.meta().interface, to.flags()), (5, mbuf::Flags::BROADCAST));
        assert_eq!((to.tags().count(), to.tag()), (1, Some(&Sure(4))));
        assert_eq!(to.check(), Ok(()));
    }
    assert_eq!(from.tags().count(), 0);
}

#[test]
fn callbacks_that_panic_leave_nothing_behind() {
    let pool = Pool::new();
    assert!(panics(|| drop(Packet::copy_with(&pool, 8000, 3, |at, _| assert!(at < 4000)))));
    let mut packet = plain(&pool, 1);
    let before = in_use(&pool);
    let sizes = (0..).map(|n| if n < 3 { 50 } else { panic!("no more sizes") });
    assert!(panics(|| packet.shatter(sizes).unwrap()));
    assert_eq!(packet.check(), Ok(()));
    assert_eq!((packet.segment_count(), packet.len()), (2, 600));
    assert_eq!(in_use(&pool), before);
    packet.shatter(std::iter::repeat(7)).unwrap();
    assert_eq!(packet.segment_count(), 86);
}

/// Panics instead of giving pages, when told to.
struct Moody(Arc<AtomicBool>);

#[allow(unsafe_code)]
// SAFETY: the heap's pages or none.
unsafe impl PageSource for Moody {
    fn acquire(&self, layout: Layout) -> Option<NonNull<u8>> {
        assert!(!self.0.load(Ordering::Relaxed), "no pages");
        Heap.acquire(layout)
    }

    unsafe fn release(&self, run: NonNull<u8>, layout: Layout) {
        // SAFETY: by the contract of this function.
        unsafe { Heap.release(run, layout) }
    }
}

#[test]
fn a_page_source_that_panics_leaves_no_choice_behind() {
    let moody = Arc::new(AtomicBool::new(false));
    let pool = Pool::builder().pages(Moody(moody.clone())).build().unwrap();
    let mut packet = Packet::from_owner(&pool, vec![1; 3000]).unwrap();
    packet.prepend_slice(&[2; 10]).unwrap();
    for write in [false, true] {
        moody.store(true, Ordering::Relaxed);
        assert!(panics(
            || if write { packet.write_at(20, &[9; 9000]) } else { packet.make_unique() }.unwrap()
        ));
        moody.store(false, Ordering::Relaxed);
        assert_eq!((packet.check(), packet.len()), (Ok(()), 3010));
    }
}

#[test]
fn a_page_source_that_panics_amid_a_bulk_keeps_none_of_it() {
    let moody = Arc::new(AtomicBool::new(false));
    let pool = Pool::builder().pages(Moody(moody.clone())).build().unwrap();
    let mut packets = vec![Packet::with_cluster(&pool).unwrap()];
    moody.store(true, Ordering::Relaxed);
    // More batches than one, and more than the slab that is there has.
    assert!(panics(|| Packet::with_cluster_bulk(&pool, 2000, &mut packets).unwrap()));
    assert_eq!((packets.len(), pool.stats().mbufs.current), (1, 1));
    moody.store(false, Ordering::Relaxed);
    packets.clear();
    assert_eq!(in_use(&pool), [0, 0, 0]);
}

#[test]
fn a_tag_that_panics_amid_a_bulk_keeps_none_of_it() {
    let pool = Pool::new();
    let mut packets = Vec::new();
    Packet::with_cluster_bulk(&pool, 100, &mut packets).unwrap();
    packets[50].set_tag(bomb(&[]));
    assert!(panics(|| Packet::free_bulk(&mut packets)));
    assert_eq!((packets.len(), in_use(&pool)), (0, [0, 0, 0]));
}

#[test]
fn a_page_source_that_panics_does_not_keep_a_pair_that_loses_its_cluster() {
    let moody = Arc::new(AtomicBool::new(false));
    let pool = Pool::builder().pages(Moody(moody.clone())).build().unwrap();
    let mut packets = vec![Packet::with_cluster(&pool).unwrap()];
    while pool.stats().clusters.current < pool.stats().clusters.total {
        packets.push(Packet::with_cluster(&pool).unwrap());
    }
    let mut packet = packets.pop().unwrap();
    packet.extend_from_slice(&[1; 300]).unwrap();
    let shared = packet.share().unwrap();
    moody.store(true, Ordering::Relaxed);
    assert!(panics(|| drop(packet)));
    moody.store(false, Ordering::Relaxed);
    assert_eq!((shared.share_count(), shared == [1; 300]), (1, true));
    drop((shared, packets));
    assert_eq!(in_use(&pool), [0, 0, 0]);
}

// Owners.

struct Zst;
impl AsRef<[u8]> for Zst {
    fn as_ref(&self) -> &[u8] {
        b"static"
    }
}

#[derive(Debug)]
#[repr(align(64))]
struct Aligned([u8; 100]);
impl AsRef<[u8]> for Aligned {
    fn as_ref(&self) -> &[u8] {
        assert_eq!(std::ptr::from_ref(self).addr() % 64, 0);
        &self.0
    }
}
impl AsMut<[u8]> for Aligned {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

struct Shy(Arc<AtomicUsize>);
impl AsRef<[u8]> for Shy {
    fn as_ref(&self) -> &[u8] {
        panic!("no bytes for you")
    }
}
impl Drop for Shy {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn owners_of_every_shape_come_back_as_they_went() {
    let pool = Pool::new();
    let packet = Packet::from_owner(&pool, Zst).unwrap();
    assert_eq!(packet, b"static");
    let packet = packet.try_into_owner::<Vec<u8>>().unwrap_err();
    assert!(packet.try_into_owner::<Zst>().is_ok());

    let mut packet = Packet::from_owner_mut(&pool, Aligned([3; 100])).unwrap();
    packet.trim_back(99).unwrap();
    packet.extend_from_slice(&[4; 99]).unwrap();
    let shared = packet.share().unwrap();
    let packet = packet.try_into_owner::<Aligned>().unwrap_err();
    drop(shared);
    assert_eq!(packet.try_into_owner::<Aligned>().ok().unwrap().0[98..], [4, 4]);
    drop(Packet::from_owner(&pool, Aligned([3; 100])).unwrap());

    // Bytes within the record itself.
    let mut packet = Packet::from_owner_mut(&pool, [1u8; 64]).unwrap();
    packet.write_at(63, &[2, 3]).unwrap();
    let mut second = packet.split_off(64).unwrap();
    assert!(second.prepend(64).is_ok());
    assert_eq!(packet.try_into_owner::<[u8; 64]>().unwrap()[62..], [1, 2]);

    let packet = Packet::from_owner(&pool, Vec::new()).unwrap();
    assert!(packet.is_empty() && packet.check().is_ok());
    let mut shared = packet.share().unwrap();
    shared.extend_from_slice(b"more").unwrap();
    shared.prepend_slice(b"and ").unwrap();
    assert_eq!(shared, b"and more");
    assert!(packet.try_into_owner::<Vec<u8>>().is_ok());

    let drops = Arc::new(AtomicUsize::new(0));
    assert!(panics(|| drop(Packet::from_owner(&pool, Shy(drops.clone())))));
    assert_eq!(drops.load(Ordering::Relaxed), 1);
    drop((second, shared));
    assert_eq!(in_use(&pool), [0, 0, 0]);
    assert_eq!(pool.stats().external.current, 0);
}

// Destructors that use the pool they are called from.

#[test]
fn destructors_may_use_the_pool_and_end_it() {
    for as_tag in [false, true] {
        for op in 0..6 {
            let pool = Pool::new();
            let (outside, inside) = (pool.clone(), Mutex::new(Some(pool)));
            let held = Mutex::new(Some(plain(&outside, 8)));
            let hostile = OnDrop::new(&[1; 300], move || {
                let pool = inside.lock().unwrap().take().unwrap();
                let held = held.lock().unwrap().take().unwrap();
                let mut fresh = plain(&pool, 9);
                fresh.append(held.share().unwrap()).unwrap();
                pool.trim();
                drop(pool);
                fresh.append(held).unwrap();
                fresh.make_contiguous(1500).unwrap();
                let mut tagged = fresh.share().unwrap();
                tagged.set_tag(Sure(1));
            });
            let mut packet = plain(&outside, 1);
            if as_tag {
                packet.set_tag(hostile);
            } else {
                packet.append(Packet::from_owner(&outside, hostile).unwrap()).unwrap();
            }
            let mut host = plain(&outside, 2);
            // The hostile value drops the last handle.
            drop(outside);
            match op {
                0 => drop(packet),
                1 => packet.shatter([7, 300]).unwrap(),
                2 => host.append(packet).unwrap(),
                3 => packet.take_header_from(&mut host),
                4 => packet.remove_range(100..packet.len() - 100).unwrap(),
                _ => host = packet.into_chain().into_packet().unwrap(),
            }
            assert_eq!(host.check(), Ok(()));
            host.share().unwrap().make_unique().unwrap();
        }
    }
}
