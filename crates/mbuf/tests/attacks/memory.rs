//! Uninitialised memory, pointers that reach too little, and sharers: whoever writes, in whatever order, no other holder
//! sees it.

use std::cell::RefCell;
use std::thread;

use mbuf::{Chain, Class, Packet, Pool};

use crate::{OnDrop, in_use, plain};

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
