//! Programs that try to break the library from safe code: hostile owners, tags and iterators, sharers that write in
//! every order, threads. Small enough to run under Miri, which sees what the assertions cannot.

use std::alloc::Layout;
use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use mbuf::{
    Chain, Class, Heap, OpError, Packet, PacketQueue, PageSource, Pool, Reserve, Resource, Tag, TagCopy,
};

fn in_use(pool: &Pool) -> [usize; 3] {
    let stats = pool.stats();
    [stats.mbufs.current, stats.clusters.current, stats.jumbo_page.current]
}

fn panics(f: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(f)).is_err()
}

/// Does something when it is dropped: as the owner of bytes, and as a tag.
struct OnDrop<F: FnMut() + Send + 'static>(Vec<u8>, Mutex<F>);

impl<F: FnMut() + Send> OnDrop<F> {
    fn new(bytes: &[u8], f: F) -> Self {
        OnDrop(bytes.to_vec(), Mutex::new(f))
    }
}

impl<F: FnMut() + Send> AsRef<[u8]> for OnDrop<F> {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl<F: FnMut() + Send> Tag for OnDrop<F> {}

impl<F: FnMut() + Send> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.1.get_mut().unwrap())();
    }
}

fn bomb(bytes: &[u8]) -> OnDrop<impl FnMut() + Send + 'static> {
    OnDrop::new(bytes, || panic!("a bomb"))
}

/// 600 bytes in two segments, in clusters of the pool.
fn plain(pool: &Pool, byte: u8) -> Packet {
    let mut packet = Packet::from_slice(pool, &[byte; 300]).unwrap();
    packet.append(Packet::from_slice(pool, &[byte; 300]).unwrap()).unwrap();
    packet
}

// Uninitialised memory, and pointers that reach too little.

#[test]
fn where_a_header_was_there_is_initialised_memory() {
    let pool = Pool::new();
    for _ in 0..2 {
        let mut packet = Packet::new(&pool).unwrap();
        *packet.meta_mut() = mbuf::Meta { interface: 3, ..mbuf::Meta::EMPTY };
        let mut chain = packet.into_chain();
        let room = chain.headroom();
        assert!(room >= 80, "the header's bytes are headroom");
        assert!(chain.prepend(room).unwrap().iter().map(|&b| u64::from(b)).sum::<u64>() > 0);
        let packet = Packet::new(&pool).unwrap();
        drop(chain);
        drop(packet);
        // An mbuf that was freed with its header in place.
        let mut chain = Chain::with_headroom(&pool, 184, 0).unwrap();
        assert!(chain.extend(184).unwrap().iter().all(|&b| u64::from(b) < 256));
    }
}

#[test]
fn the_last_sharer_frees_storage_that_another_attached() {
    let pool = Pool::new();
    for round in 0..3 {
        let packet = Packet::from_owner(&pool, vec![round; 10]).unwrap();
        let shared = packet.share().unwrap().share().unwrap();
        drop(packet);
        assert_eq!(shared, [round; 10]);
        assert_eq!(shared.try_into_owner::<Vec<u8>>().unwrap(), [round; 10]);
        let packet = Packet::from_owner_mut(&pool, vec![round; 10]).unwrap();
        let mut tail = packet.share().unwrap().split_off(5).unwrap();
        drop(packet);
        tail.write_at(0, &[9]).unwrap();
        assert_eq!(tail, [9, round, round, round, round]);
    }
    for class in [Class::Cluster, Class::Page] {
        for _ in 0..2 {
            let mut packet = Packet::with_class(&pool, class).unwrap();
            packet.extend_from_slice(&[7; 20]).unwrap();
            let shared = packet.share().unwrap();
            drop(packet);
            drop(shared);
            pool.trim();
        }
    }
    assert_eq!(in_use(&pool), [0, 0, 0]);
}

// Panics in the user's code.

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

#[derive(Debug, PartialEq)]
struct Sure(u8);
impl Tag for Sure {
    fn copy(&self) -> TagCopy {
        TagCopy::With(Box::new(Sure(self.0)))
    }
    fn is_persistent(&self) -> bool {
        true
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
    assert!(panics(|| drop(Packet::copy_with(&pool, 9000, 3, |at, _| assert!(at < 4000)))));
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

// Sharers: whoever writes, in whatever order, no other holder sees it.

const HOLDERS: usize = 3;
type Holders = [Option<(Packet, Vec<u8>)>; HOLDERS];

/// Does one operation to a holder and to its model. False if it does not apply.
fn step(pool: &Pool, all: &mut Holders, op: usize, at: usize, byte: u8) -> bool {
    let free = all.iter().position(Option::is_none);
    let other = (1..HOLDERS).map(|d| (at + d) % HOLDERS).find(|&i| all[i].is_some());
    let Some((mut packet, mut model)) = all[at].take() else { return false };
    let len = model.len();
    match (op, free, other) {
        (0, Some(free), _) => all[free] = Some((packet.share().unwrap(), model.clone())),
        (1, Some(free), _) if len >= 2 => {
            let part = packet.share_range(1..len - 1).unwrap();
            all[free] = Some((part, model[1..len - 1].to_vec()));
        }
        (2, Some(free), _) => {
            all[free] = Some((packet.split_off(len / 2).unwrap(), model.split_off(len / 2)));
        }
        (3, ..) if len > 0 => {
            packet.trim_back(1).unwrap();
            model.pop();
        }
        (4, ..) if len > 0 => {
            packet.trim_front(1).unwrap();
            model.remove(0);
        }
        (5, ..) if len >= 2 => {
            packet.remove_range(len / 2 - 1..len / 2).unwrap();
            model.remove(len / 2 - 1);
        }
        (6, ..) => {
            packet.insert(len / 2, Chain::from_slice(pool, &[byte, 1]).unwrap()).unwrap();
            model.splice(len / 2..len / 2, [byte, 1]);
        }
        (7, _, Some(other)) => {
            let (packet2, model2) = all[other].take().unwrap();
            packet.append(packet2).unwrap();
            model.extend(model2);
        }
        (8, ..) => {
            packet.extend_from_slice(&[byte, 2]).unwrap();
            model.extend([byte, 2]);
        }
        (9, ..) => {
            packet.prepend_slice(&[byte]).unwrap();
            model.insert(0, byte);
        }
        (10, ..) => {
            drop(packet);
            return true;
        }
        (11, ..) => {
            let end = len.saturating_sub(1);
            packet.write_at(end, &[byte, 3]).unwrap();
            model.truncate(end);
            model.extend([byte, 3]);
        }
        (12, ..) => packet.make_unique().unwrap(),
        (13, ..) if len > 0 => {
            packet.make_unique_range(len / 2..=len / 2).unwrap();
            packet.slices_mut(len / 2..=len / 2).unwrap().unwrap().for_each(|slice| slice.fill(byte));
            model[len / 2] = byte;
        }
        (14, ..) => drop(packet.make_contiguous(len).unwrap()),
        (15, ..) => {
            // All at once, and then used.
            let segments: Vec<_> = packet.segments_mut().collect();
            let mut done = 0;
            for segment in segments {
                let n = segment.bytes().len();
                if let Some(bytes) = segment.bytes_mut() {
                    bytes.fill(byte);
                    model[done..done + n].fill(byte);
                }
                done += n;
            }
        }
        (16, ..) => {
            // All the room there is at either end.
            let (front, back) = (packet.headroom(), packet.tailroom());
            packet.prepend(front).unwrap().fill(byte);
            packet.extend(back).unwrap().fill(byte);
            model.splice(0..0, vec![byte; front]);
            model.extend(vec![byte; back]);
        }
        _ => {
            all[at] = Some((packet, model));
            return false;
        }
    }
    all[at] = Some((packet, model));
    true
}

#[test]
fn no_holder_sees_what_another_writes_in_any_order_of_operations() {
    const STEPS: usize = if cfg!(miri) { 2 } else { 3 };
    const CHOICES: usize = 17 * HOLDERS;
    let pool = Pool::new();
    let mut count = 0;
    for start in 0..3 {
        let mut choice = [0; STEPS];
        'sequences: loop {
            let mut last = STEPS - 1;
            count += 1;
            // Under Miri, a few of them.
            if !cfg!(miri) || count % 97 == 0 {
                let mut packet = match start {
                    0 => Packet::with_headroom(&pool, 10, 2034).unwrap(),
                    1 => Packet::from_owner_mut(&pool, vec![0u8; 14]).unwrap(),
                    _ => Packet::new(&pool).unwrap(),
                };
                packet.truncate(6);
                packet.write_at(0, &[1, 2, 3, 4, 5, 6]).unwrap();
                let model = packet.to_vec();
                let mut all = [Some((packet, model)), None, None];
                for (k, &c) in choice.iter().enumerate() {
                    if !step(&pool, &mut all, c / HOLDERS, c % HOLDERS, 100 + k as u8) {
                        last = k;
                        break;
                    }
                    for (packet, model) in all.iter().flatten() {
                        assert_eq!(packet.check(), Ok(()), "{choice:?}");
                        assert_eq!(packet, model, "{choice:?} from {start}");
                    }
                }
                drop(all);
                assert_eq!(in_use(&pool), [0, 0, 0], "{choice:?}");
            }
            choice[last + 1..].fill(0);
            loop {
                choice[last] += 1;
                if choice[last] < CHOICES {
                    break;
                }
                choice[last] = 0;
                if last == 0 {
                    break 'sequences;
                }
                last -= 1;
            }
        }
    }
}

#[test]
fn sharers_on_other_threads_do_not_race() {
    let pool = Pool::new();
    for round in 0..3 {
        let mut packet = match round {
            0 => Packet::with_cluster(&pool).unwrap(),
            1 => Packet::from_owner_mut(&pool, vec![7; 100]).unwrap(),
            _ => Packet::with_class(&pool, Class::Page).unwrap(),
        };
        packet.truncate(20);
        packet.write_at(0, &[7; 20]).unwrap();
        let shared = packet.share().unwrap();
        let mut part = packet.share_range(5..15).unwrap();
        thread::scope(|scope| {
            // The owner of the tail writes behind what the others read.
            scope.spawn(|| {
                packet.extend_from_slice(&[1; 10]).unwrap();
                let tail = packet.split_off(25).unwrap();
                drop(tail);
                packet.extend_from_slice(&[2; 5]).unwrap();
                assert_eq!(packet.read_array(22).unwrap(), [1, 1, 1, 2, 2]);
            });
            // Two threads share the same handle.
            let shared = &shared;
            scope.spawn(move || assert_eq!(shared.share().unwrap(), [7; 20]));
            scope.spawn(move || assert_eq!(shared.share().unwrap(), [7; 20]));
            scope.spawn(move || {
                part.extend_from_slice(&[3; 3]).unwrap();
                part.write_at(0, &[4]).unwrap();
                if let Ok(Some(slices)) = part.slices_mut(..) {
                    slices.for_each(|slice| slice.fill(5));
                }
            });
        });
        assert_eq!(shared, [7; 20]);
        // Alone on another thread, it writes what the others read before.
        drop(packet);
        let mut shared = shared;
        thread::spawn(move || {
            for segment in shared.segments_mut() {
                segment.bytes_mut().unwrap().fill(8);
            }
            drop(shared);
        })
        .join()
        .unwrap();
    }
    assert_eq!(in_use(&pool), [0, 0, 0]);
}

thread_local! {
    static KEPT: RefCell<Vec<Packet>> = const { RefCell::new(Vec::new()) };
}

#[test]
fn packets_outlive_their_pool_and_the_caches_of_their_thread() {
    for kept_first in [false, true] {
        let pool = Pool::new();
        let (outside, mut shared) = (pool.clone(), None);
        thread::scope(|scope| {
            scope.spawn(|| {
                // Thread-locals are dropped in an order that nobody promises.
                assert!(!kept_first || KEPT.with_borrow(Vec::is_empty));
                let mut packet = plain(&pool, 2);
                shared = Some(packet.share().unwrap());
                packet.set_tag(OnDrop::new(&[], move || drop(plain(&outside, 3).share())));
                KEPT.with_borrow_mut(|kept| kept.extend([packet, plain(&pool, 4)]));
            });
        });
        drop(pool);
        let mut shared = shared.unwrap();
        shared.make_unique().unwrap();
        assert_eq!(shared.share().unwrap(), [2; 600]);
    }
    let pool = Pool::new();
    let packet = plain(&pool, 5);
    let shared = packet.share().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || drop(packet.duplicate().unwrap().share().unwrap()));
        scope.spawn(move || drop(pool));
        scope.spawn(move || assert_eq!(shared.duplicate().unwrap(), [5; 600]));
    });
}

#[test]
fn segments_may_be_written_on_several_threads_at_once() {
    let pool = Pool::new();
    let mut packet = Packet::from_slice(&pool, &[1; 40]).unwrap();
    packet.shatter([10, 10, 10]).unwrap();
    thread::scope(|scope| {
        for (n, mut segment) in packet.segments_mut().enumerate() {
            scope.spawn(move || {
                segment.set_flags(mbuf::Flags::protocol(n as u32));
                segment.bytes_mut().unwrap().fill(n as u8);
            });
        }
    });
    assert_eq!(packet.to_vec(), [[0; 10], [1; 10], [2; 10], [3; 10]].concat());
    let reader = packet.reader();
    thread::scope(|scope| {
        let mut second = reader.clone();
        scope.spawn(move || assert_eq!(second.chunk(), [0; 10]));
        let mut reader = reader;
        assert_eq!(reader.chunk(), [0; 10]);
    });
}

// Numbers and iterators.

/// A slice of another length every time it is looked at.
#[derive(Clone)]
struct Fickle<'a>(&'a Cell<usize>, &'static [u8]);
impl Deref for Fickle<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.0.set(self.0.get().wrapping_mul(25).wrapping_add(13));
        &self.1[..self.0.get() % (self.1.len() + 1)]
    }
}

#[test]
fn slices_that_change_their_length_make_a_sound_packet_or_a_panic() {
    let pool = Pool::new();
    let seed = Cell::new(0);
    for n in 0..50 {
        seed.set(n);
        let slices = [Fickle(&seed, &[1; 200]), Fickle(&seed, &[2; 150]), Fickle(&seed, &[])];
        let made = catch_unwind(AssertUnwindSafe(|| Packet::from_slices(&pool, slices.iter().cloned())));
        if let Ok(packet) = made {
            assert_eq!(packet.unwrap().check(), Ok(()));
        }
    }
    assert_eq!(in_use(&pool), [0, 0, 0]);
}

#[test]
fn numbers_from_the_edge_are_refused_and_change_nothing() {
    use std::ops::Bound::{Excluded, Included, Unbounded};
    const MAX: usize = usize::MAX;
    let pool = Pool::new();
    let mut packet = plain(&pool, 1);
    let before = in_use(&pool);
    #[allow(clippy::reversed_empty_ranges)]
    let ranges = [
        (Excluded(MAX), Unbounded),
        (Included(MAX), Included(MAX)),
        (Included(0), Included(MAX)),
        (Included(1), Excluded(MAX)),
        (Included(MAX), Excluded(0)),
        (Included(5), Excluded(2)),
        (Excluded(600), Unbounded),
        (Included(601), Unbounded),
    ];
    for range in ranges {
        assert!(packet.share_range(range).is_err());
        assert!(packet.slices(range).is_err() && packet.slices_mut(range).is_err());
        assert!(packet.remove_range(range).is_err() && packet.make_unique_range(range).is_err());
        assert!(packet.make_contiguous_at(range).is_err() && packet.contiguous(range).is_none());
        assert!(packet.sum(range).is_err() && packet.range_eq(range, &[]).is_err());
    }
    for n in [MAX, MAX - 599, MAX / 2, u32::MAX as usize, u32::MAX as usize - 599] {
        assert!(packet.trim_front(n).is_err() && packet.trim_back(n).is_err());
        assert!(packet.prepend(n).is_err() && packet.extend(n).is_err());
        assert!(packet.extend_zeroed(n).is_err() || n + 600 <= u32::MAX as usize);
        assert!(packet.make_contiguous(n).is_err() && packet.make_contiguous_with_headroom(1, n).is_err());
        assert!(packet.split_off(n).is_err() && packet.read_at(n, &mut [0]).is_err());
        assert!(packet.write_at(n, &[0; 600]).is_err() && packet.locate(n).is_none());
        assert!(packet.find_bytes(n, b"\x01").is_none() && packet.duplicate_with_headroom(n).is_err());
        assert!(Packet::with_capacity(&pool, n).is_err() && Packet::with_headroom(&pool, 5, n).is_err());
        assert!(Packet::copy_with(&pool, 5, n, |_, _| ()).is_err());
        packet.truncate(n);
    }
    assert!(Packet::copy_with(&pool, MAX, 0, |_, _| ()).is_err());
    assert_eq!(packet.collapse(0).unwrap_err(), OpError::TooManySegments { needed: 1, max: 0 });
    assert_eq!(in_use(&pool), before);
    assert_eq!((packet.check(), packet == [1; 600]), (Ok(()), true));
}

#[test]
fn a_reader_seeks_anywhere() {
    use std::io::{Read, Seek, SeekFrom};
    let pool = Pool::new();
    let packet = plain(&pool, 1);
    let mut reader = packet.reader();
    let to = [
        SeekFrom::Start(u64::MAX),
        SeekFrom::Current(1),
        SeekFrom::Current(i64::MIN),
        SeekFrom::End(i64::MAX),
        SeekFrom::End(i64::MIN),
        SeekFrom::Start(300),
        SeekFrom::Current(-1),
        SeekFrom::Start(600),
        SeekFrom::Current(0),
        SeekFrom::End(-600),
    ];
    for (a, b) in to.iter().flat_map(|a| to.iter().map(move |b| (a, b))) {
        let _ = (reader.seek(*a), reader.seek(*b));
        let mut out = Vec::new();
        let left = reader.remaining();
        assert_eq!(reader.clone().read_to_end(&mut out).unwrap(), left);
        let _ = reader.read(&mut [0; 7]);
    }
}

#[test]
fn a_reserve_gives_what_it_has_and_no_more() {
    let pool = Pool::new();
    let mut reserve = Reserve::new(&pool, 5000).unwrap();
    let capacity = reserve.capacity();
    let slices: Vec<_> = reserve.slices_mut().collect();
    slices.into_iter().for_each(|slice| slice.fill(4));
    assert!(Reserve::new(&pool, 10).unwrap().into_packet(usize::MAX).is_err());
    let mut packet = plain(&pool, 1);
    let reserve = packet.append_reserve(reserve, capacity + 1).unwrap_err().input;
    packet.append_reserve(reserve, capacity).unwrap();
    assert_eq!((packet.check(), packet.len()), (Ok(()), 600 + capacity));
    packet.append_reserve(Reserve::new(&pool, 0).unwrap(), 0).unwrap();
    assert_eq!(Reserve::new(&pool, 300).unwrap().into_chain(0).unwrap().check(), Ok(()));
}

// Values that are moved about, and pools that are dry, gone, or not the right one.

#[test]
fn handles_may_be_swapped_and_forgotten_in_the_middle_of_things() {
    let pool = Pool::new();
    let (mut a, mut b) = (plain(&pool, 1), Packet::new(&pool).unwrap());
    std::mem::forget(a.segments_mut());
    std::mem::forget(a.slices_mut(..).unwrap());
    std::mem::swap(&mut a, &mut b);
    let chain = std::mem::replace(&mut b, Packet::from_owner(&pool, vec![1]).unwrap()).into_chain();
    let mut queue = PacketQueue::new();
    queue.push_back(a).unwrap();
    queue.push_back(chain.into_packet().unwrap()).unwrap();
    let mut other = PacketQueue::with_limit(0);
    std::mem::swap(&mut queue, &mut other);
    other.append(&mut queue);
    assert_eq!((other.len(), other.bytes(), other.check()), (2, 600, Ok(())));
    let shares: Vec<_> = other.iter().map(|packet| packet.share().unwrap()).collect();
    assert_eq!(other.back().unwrap(), &shares[1]);
    let mut rest = other.into_iter();
    assert!(rest.next().is_some());
    drop(pool);
    drop(rest);
    drop(shares);
    assert_eq!(b.share().unwrap().into_chain(), [1]);
}

#[test]
fn pools_of_one_and_of_none() {
    let none = Pool::builder().mbufs(0).clusters(0).build().unwrap();
    assert_eq!(Packet::new(&none).unwrap_err().resource, Resource::Mbuf);
    assert!(Packet::with_cluster(&none).is_err());
    let refused = Packet::from_owner(&none, vec![1, 2]).unwrap_err();
    assert_eq!(refused.input, [1, 2]);

    let one = Pool::builder().mbufs(2).clusters(1).jumbo_pages(0).build().unwrap();
    for _ in 0..3 {
        let mut packet = Packet::with_cluster(&one).unwrap();
        packet.extend_from_slice(&[3; 500]).unwrap();
        let mut shared = packet.share().unwrap();
        // The pair goes without its cluster, which is shared.
        drop(packet);
        assert!(Packet::with_cluster(&one).is_err());
        shared.prepend(10).unwrap();
        assert!(shared.shatter([400, 100]).is_err());
        let small = Packet::new(&one).unwrap();
        assert!(shared.split_off(100).is_err());
        assert_eq!((shared.check(), shared.len()), (Ok(()), 510));
        drop((small, shared));
        assert_eq!(in_use(&one), [0, 0, 0]);
    }
}

#[test]
fn a_cache_frees_packets_of_any_pool() {
    let (pool, other) = (Pool::new(), Pool::new());
    let mut cache = pool.cache();
    for packet in [plain(&other, 1), Packet::with_cluster(&other).unwrap(), Packet::new(&other).unwrap()] {
        cache.free(packet);
    }
    let mut tagged = cache.with_cluster().unwrap();
    tagged.set_tag(Sure(2));
    cache.free(tagged);
    let mut packet = cache.with_cluster().unwrap();
    assert_eq!((packet.tags().count(), packet.meta().interface), (0, 0));
    packet.extend_from_slice(&[1; 10]).unwrap();
    let shared = packet.share().unwrap();
    cache.free(packet);
    let mut fresh = cache.with_cluster().unwrap();
    fresh.extend(10).unwrap().fill(9);
    assert_eq!(shared, [1; 10]);
    cache.free(shared);
    cache.free(fresh);
    drop(cache);
    assert_eq!((in_use(&pool), in_use(&other)), ([0; 3], [0; 3]));
}

#[cfg(feature = "bytes")]
mod bytes_crate {
    use super::*;
    use bytes::{Buf, BufMut, Bytes, BytesMut};
    use mbuf::Appender;

    #[test]
    fn bytes_go_both_ways_while_others_write() {
        let pool = Pool::new();
        let mut packet = Packet::with_cluster(&pool).unwrap();
        packet.extend_from_slice(&[1; 300]).unwrap();
        let bytes = Bytes::from(packet.share().unwrap());
        packet.extend_from_slice(&[2; 10]).unwrap();
        packet.write_at(0, &[3]).unwrap();
        assert_eq!(bytes[..], [1; 300]);
        let (mut front, back) = (bytes.clone(), bytes.slice(250..));
        drop(bytes);
        front.truncate(2);
        let mut changed = front.try_into_mut().unwrap_or_else(|bytes| BytesMut::from(&bytes[..]));
        changed[0] = 9;
        assert_eq!(back[0], 1);
        let again = Packet::from_bytes(&pool, back.clone()).unwrap();
        let mut twice = Packet::from_bytes(&pool, Bytes::from(again.share().unwrap())).unwrap();
        drop((back, again, packet));
        twice.write_at(1, &[7]).unwrap();
        assert_eq!(twice.copy_to_bytes(3)[..], [1, 7, 1]);
        drop(twice);
        assert_eq!(in_use(&pool), [0, 0, 0]);
    }

    #[test]
    #[cfg_attr(miri, ignore = "4 GiB")]
    fn an_appender_has_no_room_beyond_the_longest_chain() {
        let pool = Pool::new();
        let piece = Packet::from_owner(&pool, vec![0; 1 << 24]).unwrap();
        let mut packet = piece.share().unwrap();
        for _ in 1..255 {
            packet.append(piece.share().unwrap()).unwrap();
        }
        packet.append(piece.share_range(..(1 << 24) - 600 - 4).unwrap()).unwrap();
        packet.append(plain(&pool, 1)).unwrap();
        assert!(packet.tailroom() > 3 && packet.len() == u32::MAX as usize - 3);
        assert!(packet.extend_from_slice(&[0; 4]).is_err());
        assert!(packet.append(Chain::from_slice(&pool, &[0; 4]).unwrap()).is_err());
        let mut appender = Appender::new(&mut packet);
        assert_eq!(appender.remaining_mut(), 3);
        appender.put_slice(b"end");
        assert!(panics(|| appender.put_u8(0)));
        assert_eq!((packet.len(), packet.check()), (u32::MAX as usize, Ok(())));
        assert!(packet.range_eq(u32::MAX as usize - 3.., b"end").unwrap());
        assert!(packet.share().unwrap().append(packet).is_err());
    }

    #[test]
    fn an_appender_keeps_to_its_room() {
        let pool = Pool::new();
        let mut packet = Packet::with_headroom(&pool, 8, 2040).unwrap();
        packet.extend_from_slice(b"abc").unwrap();
        let shared = packet.share().unwrap();
        let mut appender = Appender::new(&mut packet);
        assert_eq!((appender.remaining_mut(), appender.chunk_mut().len()), (5, 5));
        appender.put_slice(b"de");
        let _ = appender.chunk_mut();
        assert!(panics(|| appender.put_slice(b"fghi")));
        appender.put_u8(b'f');
        let mut shared2 = shared.share().unwrap();
        assert_eq!(Appender::new(&mut shared2).remaining_mut(), 0);
        assert_eq!((&packet, &shared), (&packet.duplicate().unwrap(), &shared2));
        assert_eq!((packet == b"abcdef", shared == b"abc"), (true, true));
    }
}
