//! Reservations: what is kept for a use can be had by it, whatever others do, and goes back at the end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use mbuf::{AllocCause, Class, Packet, Pool, ReclaimKind, Resource, Wait};
use mbuf_testkit::{assert_empty, scaled};

fn clusters(pool: &Pool, n: usize) -> Vec<Packet> {
    (0..n).map(|i| Packet::with_cluster(pool).unwrap_or_else(|error| panic!("{i} of {n}: {error}"))).collect()
}

#[test]
fn what_is_reserved_can_be_had_when_the_pool_is_dry() {
    for locked in [false, true] {
        let pool = Pool::builder().clusters(20).mbufs(40).jumbo_9k(6).locked(locked).build().unwrap();
        // All of it free, in caches of the pool.
        drop(clusters(&pool, 20));
        let control =
            pool.reservation("control").clusters(5).mbufs(3).buffers(Class::Jumbo9, 2).build().unwrap();
        assert_eq!((control.name(), control.headroom()), ("control", pool.headroom()));
        let stats = pool.stats();
        assert_eq!((stats.clusters.reserved, stats.mbufs.reserved, stats.jumbo_9k.reserved), (5, 10, 2));
        for _ in 0..3 {
            let rest = clusters(&pool, 15);
            assert!(Packet::with_cluster(&pool).is_err());
            let jumbos: Vec<_> = (0..4).map(|_| Packet::with_class(&pool, Class::Jumbo9).unwrap()).collect();
            assert!(Packet::with_class(&pool, Class::Jumbo9).is_err());
            let plain: Vec<_> = (0..11).map(|_| Packet::new(&pool).unwrap()).collect();
            assert!(Packet::new(&pool).is_err());
            assert_eq!(pool.trim() % 64, 0);

            let own = clusters(&control, 5);
            assert!(Packet::with_cluster(&control).is_err());
            let own_jumbos = [0, 1].map(|_| Packet::with_class(&control, Class::Jumbo9).unwrap());
            let own_plain = [0, 1, 2].map(|_| Packet::new(&control).unwrap());
            assert_eq!(Packet::new(&control).unwrap_err().resource, Resource::Mbuf);
            let stats = (pool.stats(), control.stats());
            assert_eq!((stats.0.clusters.current, stats.1.clusters.current), (20, 5));
            assert_eq!((stats.0.mbufs.current, stats.1.mbufs.current), (40, 10));

            // Freed by whom it may be, it is its own again.
            thread::scope(|scope| {
                scope.spawn(move || drop((own, own_jumbos, own_plain)));
            });
            assert!(Packet::with_cluster(&pool).is_err());
            drop((rest, jumbos, plain));
        }
        assert_empty(&control);
        assert_empty(&pool);
        // Beyond its own share it competes.
        let all = clusters(&control, 20);
        assert!(Packet::with_cluster(&pool).is_err());
        drop(all);
        drop(clusters(&pool, 15));
        drop(control);
        drop(clusters(&pool, 20));
        assert_eq!(pool.stats().clusters.reserved, 0);
        assert_empty(&pool);
    }
}

#[test]
fn a_reservation_that_cannot_be_met_takes_nothing() {
    let pool = Pool::builder().clusters(10).mbufs(12).build().unwrap();
    let held = clusters(&pool, 6);
    let error = pool.reservation("rx").clusters(5).build().unwrap_err();
    assert_eq!((error.resource, error.cause), (Resource::Storage(Class::Cluster), AllocCause::Limit(10)));
    let error = pool.reservation("rx").clusters(4).mbufs(3).build().unwrap_err();
    assert_eq!((error.resource, error.cause), (Resource::Mbuf, AllocCause::Limit(12)));
    drop(clusters(&pool, 4));
    let rx = pool.reservation("rx").clusters(4).mbufs(2).build().unwrap();
    assert!(Packet::new(&pool).is_err());
    let error = pool.reservation("tx").mbufs(1).build().unwrap_err();
    assert_eq!(error.resource, Resource::Mbuf);
    drop((held, rx));
    assert_empty(&pool);
}

#[test]
fn a_reservation_outlives_its_pool_and_its_buffers_outlive_both() {
    let pool = Pool::builder().clusters(10).build().unwrap();
    let rx = pool.reservation("rx").clusters(4).build().unwrap();
    let (mut a, b) =
        (Packet::from_slice(&rx, &[1; 1500]).unwrap(), Packet::from_slice(&pool, &[2; 1500]).unwrap());
    drop(pool);
    a.append(b).unwrap();
    drop(clusters(&rx, 9 - 1));
    drop(rx);
    assert_eq!(a.len(), 3000);
    a.check().unwrap();
    let copy = a.share().unwrap();
    drop(a);
    assert_eq!(copy.len(), 3000);
}

#[test]
fn waiters_of_a_pool_and_of_its_reservations_hear_of_each_others_frees() {
    let pool = Pool::builder().clusters(4).build().unwrap();
    let rx = pool.reservation("rx").clusters(1).build().unwrap();
    for (holder, waiter) in [(&pool, &rx), (&rx, &pool)] {
        // All four, so that whoever waits needs what the other frees.
        let (n, m) = if holder.name() == "rx" { (4, 0) } else { (3, 1) };
        let (held, own) = (clusters(holder, n), clusters(waiter, m));
        thread::scope(|scope| {
            let waiting =
                scope.spawn(|| waiter.wait(Wait::Forever, || Packet::with_cluster(waiter)).unwrap());
            // A third, made while somebody waits.
            while pool.stats().clusters.waited == Some(0) {
                thread::yield_now();
            }
            let late = pool.reservation("late").build().unwrap();
            drop(held);
            drop(waiting.join().unwrap());
            drop(late);
        });
        drop(own);
    }
    assert_empty(&rx);
    assert_empty(&pool);
}

#[test]
fn a_waiter_hears_of_what_a_younger_reservation_frees() {
    let pool = Pool::builder().clusters(2).build().unwrap();
    let held = clusters(&pool, 2);
    let turn = AtomicUsize::new(0);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            // Wants two: one that the pool frees, one that the younger frees.
            pool.wait(Wait::Forever, || {
                turn.fetch_add(1, Ordering::Relaxed);
                (0..2).map(|_| Packet::with_cluster(&pool)).collect::<Result<Vec<_>, _>>()
            })
        });
        while pool.stats().clusters.waited == Some(0) {
            thread::yield_now();
        }
        let late = pool.reservation("late").build().unwrap();
        let [one, two] = <[Packet; 2]>::try_from(held).unwrap();
        drop(one);
        // It has to be the younger's, so take what was freed through it, as fast as the waiter gives it back.
        let through = loop {
            if let Ok(packet) = Packet::with_cluster(&late) {
                break packet;
            }
        };
        drop(two);
        drop(through);
        assert_eq!(waiting.join().unwrap().unwrap().len(), 2);
    });
    assert_empty(&pool);
}

#[test]
fn reclaim_hooks_are_common() {
    let pool = Pool::builder().clusters(1).build().unwrap();
    let rx = pool.reservation("rx").build().unwrap();
    let runs = std::sync::Arc::new(AtomicUsize::new(0));
    let count = runs.clone();
    let _guard = rx.on_reclaim(ReclaimKind::Interface, 0, move || {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let held = clusters(&pool, 1);
    assert!(rx.wait(Wait::Reclaim, || Packet::with_cluster(&rx)).is_err());
    assert!(pool.wait(Wait::Reclaim, || Packet::with_cluster(&pool)).is_err());
    assert_eq!(runs.load(Ordering::Relaxed), 2);
    drop(held);
    assert_empty(&pool);
}

/// Two uses of one pool at its limit: neither is ever refused its share.
#[test]
fn no_use_is_refused_its_share_in_a_crowd() {
    let pool = Pool::builder().clusters(24).build().unwrap();
    let (rx, tx) = (
        pool.reservation("rx").clusters(8).build().unwrap(),
        pool.reservation("tx").clusters(8).build().unwrap(),
    );
    thread::scope(|scope| {
        for (own, share) in [(Some(&rx), 8), (Some(&tx), 8), (None, 0)] {
            let pool = &pool;
            scope.spawn(move || {
                for round in 0..scaled(2000, 10) {
                    let held = own.map(|own| clusters(own, share));
                    // And as much of the rest as there is.
                    let mut greedy = Vec::new();
                    while let Ok(packet) = Packet::with_cluster(own.unwrap_or(pool)) {
                        greedy.push(packet);
                        if greedy.len() > round % 7 {
                            break;
                        }
                    }
                    assert!(greedy.len() <= 8);
                    drop((greedy, held));
                }
            });
        }
    });
    assert_empty(&rx);
    assert_empty(&tx);
    assert_empty(&pool);
}
