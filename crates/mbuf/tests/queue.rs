//! Packets in a row.

use std::panic::{AssertUnwindSafe, catch_unwind};

use mbuf::{Packet, PacketQueue, Pool};
use mbuf_testkit::{Counted, Drops, PanicOnDrop, Rng, assert_empty, scaled};

fn packet(pool: &Pool, n: u8) -> Packet {
    Packet::from_slice(pool, &vec![n; usize::from(n)]).unwrap()
}

#[test]
fn packets_come_out_as_they_went_in() {
    let pool = Pool::new();
    let mut queue = PacketQueue::new();
    assert!(
        queue.is_empty() && queue.front().is_none() && queue.back().is_none() && queue.pop_front().is_none()
    );
    for n in 1..=100 {
        queue.push_back(packet(&pool, n)).unwrap();
        assert_eq!(queue.back().unwrap().len(), usize::from(n));
    }
    queue.push_front(packet(&pool, 200));
    assert_eq!((queue.len(), queue.bytes(), queue.is_empty()), (101, 5050 + 200, false));
    assert_eq!(queue.check(), Ok(()));
    assert_eq!(queue.front().unwrap(), &vec![200; 200]);
    assert_eq!(queue.iter().map(Packet::len).sum::<usize>(), 5250);
    assert_eq!(queue.pop_front().unwrap(), vec![200; 200]);
    for n in 1..=100 {
        let packet = queue.pop_front().unwrap();
        assert_eq!(packet, vec![n; usize::from(n)]);
        assert_eq!(packet.check(), Ok(()));
    }
    assert!(queue.is_empty() && queue.back().is_none() && queue.bytes() == 0);
    assert_empty(&pool);
}

#[test]
fn a_full_queue_gives_the_packet_back() {
    let pool = Pool::new();
    let mut queue = PacketQueue::with_limit(2);
    queue.push_back(packet(&pool, 1)).unwrap();
    queue.push_back(packet(&pool, 2)).unwrap();
    assert!(queue.is_full() && queue.limit() == 2);
    let refused = queue.push_back(packet(&pool, 3)).unwrap_err();
    assert_eq!(refused.0, [3; 3]);
    assert!(refused.to_string().contains("3 bytes"));
    queue.push_front(refused.0);
    assert_eq!(queue.len(), 3);
    assert!(queue.is_full(), "more than full");
    let mut other: PacketQueue = [packet(&pool, 4), packet(&pool, 5)].into_iter().collect();
    queue.append(&mut other);
    assert!(other.is_empty() && other.bytes() == 0);
    assert_eq!((queue.len(), queue.bytes()), (5, 15));
    assert!(format!("{queue:?}").contains("len: 5, bytes: 15, limit: 2"));
    let mut all = queue.into_iter();
    assert_eq!((all.next().map(|packet| packet.len()), all.len()), (Some(3), 4));
    assert_eq!(all.map(|packet| packet.len()).collect::<Vec<_>>(), [1, 2, 4, 5]);
    assert_eq!(PacketQueue::with_limit(0).push_back(packet(&pool, 1)).unwrap_err().0.len(), 1);
    assert_empty(&pool);
}

#[test]
fn queues_do_what_double_ended_queues_do() {
    let pool = Pool::new();
    let mut rng = Rng::new(5);
    let mut queues = [PacketQueue::new(), PacketQueue::new()];
    let mut models = [std::collections::VecDeque::new(), std::collections::VecDeque::new()];
    for _ in 0..scaled(5000, 200) {
        let which = rng.below(2);
        let n = rng.below(256) as u8;
        match rng.below(5) {
            0 | 1 => {
                queues[which].push_back(packet(&pool, n)).unwrap();
                models[which].push_back(n);
            }
            2 => {
                queues[which].push_front(packet(&pool, n));
                models[which].push_front(n);
            }
            3 => {
                let popped = queues[which].pop_front().map(|packet| packet.len());
                assert_eq!(popped, models[which].pop_front().map(usize::from));
            }
            _ if n.is_multiple_of(8) => {
                let [a, b] = &mut queues;
                a.append(b);
                let [a, b] = &mut models;
                a.append(b);
            }
            _ => {}
        }
        for (queue, model) in queues.iter().zip(&models) {
            assert_eq!(queue.len(), model.len());
            assert_eq!(queue.bytes(), model.iter().map(|&n| u64::from(n)).sum::<u64>());
            assert!(queue.back().map(Packet::len) == model.back().map(|&n| usize::from(n)));
            assert!(queue.front().map(Packet::len) == model.front().map(|&n| usize::from(n)));
        }
    }
    assert!(queues.iter().all(|queue| queue.check() == Ok(())));
    queues[0].clear();
    drop(queues);
    assert_empty(&pool);
}

#[test]
fn a_queue_that_is_taken_apart_knows_how_many_packets_are_left() {
    let pool = Pool::new();
    let mut packets = (1..=3).map(|n| packet(&pool, n)).collect::<PacketQueue>().into_iter();
    for left in (0..3).rev() {
        assert_eq!(packets.next().unwrap().len(), 3 - left);
        assert_eq!((packets.len(), packets.size_hint()), (left, (left, Some(left))));
    }
    assert!(packets.next().is_none());
    drop(packets);
    assert_empty(&pool);
}

#[test]
fn dropping_a_queue_frees_every_packet_even_if_one_panics() {
    let pool = Pool::new();
    let drops = Drops::new();
    let mut queue = PacketQueue::new();
    for i in 0..20 {
        let owner = Counted::new(vec![i], &drops);
        let packet = if i == 7 {
            Packet::from_owner(&pool, PanicOnDrop(owner)).unwrap()
        } else {
            Packet::from_owner(&pool, owner).unwrap()
        };
        queue.push_back(packet).unwrap();
    }
    assert!(catch_unwind(AssertUnwindSafe(|| drop(queue))).is_err());
    assert_eq!(drops.count(), 20);
    assert_empty(&pool);
}

#[test]
fn a_queue_goes_to_another_thread_with_its_packets() {
    let pool = Pool::new();
    let mut queue = PacketQueue::default();
    assert!(queue.is_empty() && !queue.is_full());
    queue.extend((1..=50).map(|n| packet(&pool, n)));
    assert!(!queue.is_empty());
    let bytes = std::thread::spawn(move || queue.into_iter().map(|packet| packet.len()).sum::<usize>());
    assert_eq!(bytes.join().unwrap(), 1275);
    assert_empty(&pool);
}
