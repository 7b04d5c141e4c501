//! Limits that zones share: the keg of mbufs, the byte budget, and limits that are lowered while buffers are in use.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use mbuf::{AllocCause, Class, OpError, Packet, Pool};
use mbuf_testkit::{Rng, assert_empty, scaled};

/// What a buffer of a class is charged with, its mbuf and its record included.
fn charge(class: Option<Class>) -> usize {
    256 + class.map_or(0, |class| class.size() + 16 + 2 * size_of::<usize>())
}

#[test]
fn the_budget_counts_every_mbuf_and_buffer_and_goes_back_to_nothing() {
    let pool = Pool::builder().budget(1 << 20).build().unwrap();
    let inline = Packet::new(&pool).unwrap();
    let jumbo = Packet::with_class(&pool, Class::Jumbo9).unwrap();
    let stats = pool.stats();
    assert_eq!(stats.budget, Some(1 << 20));
    let in_use = charge(None) + charge(Some(Class::Jumbo9));
    assert!(stats.budget_charged >= in_use, "{} of {in_use}", stats.budget_charged);
    pool.trim();
    assert_eq!(pool.stats().budget_charged, in_use);
    drop((inline, jumbo));
    pool.trim();
    assert_eq!(pool.stats().budget_charged, 0);
}

#[test]
fn the_budget_is_exact_whatever_class_the_free_buffers_are_of() {
    let each = charge(Some(Class::Jumbo16));
    let pool = Pool::builder().budget(3 * each).build().unwrap();
    for class in [Class::Cluster, Class::Page, Class::Jumbo9, Class::Jumbo16] {
        let fit = 3 * each / charge(Some(class));
        for _ in 0..3 {
            let all: Vec<_> = (0..fit).map(|_| Packet::with_class(&pool, class).unwrap()).collect();
            // What is left may do for an mbuf, but not for a buffer.
            let error = Packet::with_class(&pool, class).unwrap_err();
            assert_eq!(error.cause, AllocCause::Budget(3 * each), "{class:?}");
            assert!(error.to_string().contains("budget of"), "{error}");
            drop(all);
            // All of it rests in caches now; other classes get it all the same.
            let jumbos: Vec<_> = (0..3).map(|_| Packet::with_class(&pool, Class::Jumbo16).unwrap()).collect();
            drop(jumbos);
        }
    }
    assert_empty(&pool);
}

#[test]
fn a_budget_below_what_is_in_use_stops_allocation_until_less_is() {
    let each = charge(Some(Class::Cluster));
    let pool = Pool::new();
    let mut held: Vec<_> = (0..10).map(|_| Packet::with_cluster(&pool).unwrap()).collect();
    drop(Packet::with_class(&pool, Class::Jumbo16).unwrap());
    assert_eq!(pool.set_budget(4 * each), Ok(Some(4 * each)));
    assert_eq!(pool.stats().budget_charged, 10 * each, "what was free went back at once");
    for in_use in (4..10).rev() {
        assert!(Packet::new(&pool).is_err());
        held.pop();
        assert_eq!(pool.stats().budget_charged, in_use * each);
    }
    assert!(Packet::new(&pool).is_err());
    held.pop();
    held.push(Packet::with_cluster(&pool).unwrap());
    assert!(Packet::with_cluster(&pool).is_err());
    assert_eq!(pool.set_budget(None), Ok(None));
    drop(Packet::with_cluster(&pool).unwrap());
    drop(held);
    assert!(pool.stats().clusters.cached >= 5, "caches work again");
    assert_empty(&pool);
}

/// Bytes of permits: who has them must get a buffer.
fn contend(pool: &Pool, permits: &AtomicUsize, classes: &[Option<Class>], cost: fn(Option<Class>) -> usize) {
    thread::scope(|scope| {
        for seed in 0..scaled(4, 3) {
            scope.spawn(move || {
                let mut rng = Rng::new(seed as u64);
                let mut held: Vec<(Packet, usize)> = Vec::new();
                for _ in 0..scaled(20_000, 40) {
                    let class = rng.pick(classes);
                    let cost = cost(class);
                    let paid = rng.below(5) < 3
                        && permits
                            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(cost))
                            .is_ok();
                    if paid {
                        let packet = match class {
                            None => Packet::new(pool),
                            Some(class) => Packet::with_class(pool, class),
                        };
                        held.push((packet.expect("less is in use than the limit"), cost));
                    } else {
                        for _ in 0..rng.below(6).min(held.len()) {
                            let (packet, cost) = held.swap_remove(rng.below(held.len()));
                            drop(packet);
                            permits.fetch_add(cost, Ordering::AcqRel);
                        }
                    }
                }
                for (packet, cost) in held {
                    drop(packet);
                    permits.fetch_add(cost, Ordering::AcqRel);
                }
            });
        }
    });
    assert_eq!(pool.stats().mbufs.denied + pool.stats().clusters.denied + pool.stats().packets.denied, 0);
    assert_empty(pool);
}

#[test]
fn mbufs_are_found_in_parked_pairs_though_threads_come_and_go_with_both() {
    for locked in [false, true] {
        let pool = Pool::builder().mbufs(20).locked(locked).build().unwrap();
        contend(&pool, &AtomicUsize::new(20), &[None, Some(Class::Cluster)], |_| 1);
    }
}

#[test]
fn clusters_are_found_in_parked_pairs_while_mbufs_are_not_short() {
    let pool = Pool::builder().clusters(10).build().unwrap();
    contend(&pool, &AtomicUsize::new(10), &[Some(Class::Cluster)], |_| 1);
}

#[test]
fn threads_that_mix_classes_get_all_that_the_budget_allows() {
    for locked in [false, true] {
        let budget = 200 << 10;
        let pool = Pool::builder().budget(budget).locked(locked).build().unwrap();
        let classes = [None, Some(Class::Cluster), Some(Class::Page), Some(Class::Jumbo16)];
        contend(&pool, &AtomicUsize::new(budget), &classes, charge);
    }
}

#[test]
fn an_operation_refused_by_the_budget_has_changed_nothing() {
    let pool = Pool::builder().budget(2 * charge(Some(Class::Cluster))).build().unwrap();
    let mut packet = Packet::from_slice(&pool, &[7; 3000]).unwrap();
    let before = packet.segment_count();
    let error = packet.extend_from_slice(&[8; 3000]).unwrap_err();
    assert!(
        matches!(error, OpError::Alloc(error) if matches!(error.cause, AllocCause::Budget(_))),
        "{error}"
    );
    assert_eq!(packet, [7; 3000][..]);
    assert_eq!(packet.segment_count(), before);
    packet.check().unwrap();
    drop(packet);
    assert_empty(&pool);
}
