//! Injected faults: which allocations fail, what is said, what is counted.

use std::panic::Location;

use mbuf::{
    AllocCause, AllocError, Chain, Class, Fault, FaultPoint, OpError, Packet, Pool, Resource, SettingError,
    Value, Wait,
};
use mbuf_testkit::{Shape, Storage, assert_empty, scaled};

const CLUSTER: Resource = Resource::Storage(Class::Cluster);

/// Which of `n` packets with a cluster could be had.
fn outcomes(pool: &Pool, n: usize) -> Vec<bool> {
    (0..n).map(|_| Packet::with_cluster(pool).is_ok()).collect()
}

#[test]
fn the_nth_allocation_fails_and_no_other() {
    let pool = Pool::new();
    for n in 0..4 {
        pool.inject([Fault::nth(n).of(Resource::Mbuf)]);
        let expected: Vec<bool> = (0..6).map(|i| i != n).collect();
        assert_eq!(outcomes(&pool, 6), expected);
    }
    assert_eq!(pool.stats().faults, 4);
    assert_eq!((pool.stats().packets.denied, pool.stats().packets.allocations), (4, 20));
    pool.inject([]);
    assert_eq!(outcomes(&pool, 6), [true; 6]);
    assert_eq!(pool.stats().faults, 4);
    assert_empty(&pool);
}

#[test]
fn a_pair_is_an_mbuf_and_then_a_cluster() {
    let pool = Pool::new();
    pool.inject([Fault::after(3)]);
    let _first = Packet::with_cluster(&pool).unwrap();
    let error = Packet::with_cluster(&pool).unwrap_err();
    assert_eq!((error.resource, error.cause), (CLUSTER, AllocCause::Fault));
    assert_eq!(error.to_string(), "no 2 KiB clusters: a fault was injected");
    let error = Packet::with_cluster(&pool).unwrap_err();
    assert_eq!((error.resource, error.cause), (Resource::Mbuf, AllocCause::Fault));
    assert_eq!(pool.stats().clusters.denied, 1);
}

#[test]
fn faults_of_one_kind_leave_the_others_alone() {
    for class in Class::ALL {
        let pool = Pool::new();
        pool.inject([Fault::after(0).of(class)]);
        for other in Class::ALL {
            let got = Packet::with_class(&pool, other);
            assert_eq!(got.map_err(|error| error.resource).err(), (other == class).then_some(class.into()));
        }
        assert!(Packet::new(&pool).is_ok() && Packet::from_owner(&pool, vec![1]).is_ok());
        assert_empty(&pool);
    }
    let pool = Pool::new();
    pool.inject([Fault::after(0).of(Resource::External)]);
    let refused = Packet::from_owner(&pool, vec![1]).unwrap_err();
    assert!(matches!(refused.error, OpError::Alloc(AllocError { resource: Resource::External, .. })));
    assert_eq!(refused.input, [1]);
    assert!(Packet::with_cluster(&pool).is_ok());
}

#[test]
fn a_seed_gives_the_same_faults_again_and_another_one_others() {
    let pool = Pool::new();
    let rounds = scaled(1000, 60);
    let run = |seed| {
        pool.inject([Fault::one_in(4, seed).of(Resource::Mbuf)]);
        outcomes(&pool, rounds)
    };
    let (first, second, other) = (run(7), run(7), run(8));
    assert_eq!(first, second);
    assert_ne!(first, other);
    let failed = first.iter().filter(|ok| !**ok).count();
    assert!((rounds / 8..=rounds * 3 / 8).contains(&failed), "{failed} of {rounds}");
    assert_empty(&pool);
}

#[track_caller]
fn line(offset: u32) -> String {
    format!("tests/faults.rs:{}", Location::caller().line() + offset)
}

#[test]
fn a_place_in_the_program_fails_whatever_it_calls() {
    let pool = Pool::new();
    pool.inject([Fault::after(0).at(&line(2)).unwrap()]);
    let before = Packet::with_cluster(&pool);
    let here = Packet::with_cluster(&pool);
    let after = Packet::with_cluster(&pool);
    assert_eq!((before.is_ok(), here.is_ok(), after.is_ok()), (true, false, true));

    pool.inject([Fault::after(0).at("tests/faults.rs").unwrap()]);
    assert!(Chain::new(&pool).is_err());
    // The testkit's calls are elsewhere.
    let built = Shape::single(700, Storage::Shared(Class::Cluster)).build::<mbuf::Header>(&pool);
    assert!(built.chain.share().is_err());
    pool.inject([Fault::after(0).at("mbuf/src/").unwrap()]);
    assert!(built.chain.share().is_ok(), "the library is not the caller");
    drop((built, before, after));
    assert_empty(&pool);
}

#[test]
fn a_place_has_a_name_that_can_be_one() {
    for bad in ["", "a b", "a,b", &"x".repeat(64)] {
        assert!(Fault::nth(0).at(bad).is_err(), "{bad:?}");
    }
    assert!(Fault::nth(0).at(&"x".repeat(63)).is_ok());
}

#[test]
fn several_faults_stand_side_by_side() {
    let pool = Pool::builder().build().unwrap();
    pool.sysctl().set("kern.ipc.mbuf.fault", "nth:1,of:mbufs").unwrap();
    pool.sysctl().set("kern.ipc.m_defragrandomfailures", "1").unwrap();
    pool.inject([Fault::nth(2).of(Resource::Mbuf), Fault::nth(3).of(CLUSTER)]);
    // The second mbuf, the third, and of those that follow the fourth cluster, which is the sixth packet's.
    assert_eq!(outcomes(&pool, 7), [true, false, false, true, true, false, true]);
    assert_eq!(pool.stats().faults, 3);
    let mut packet = Packet::from_slice(&pool, &[1; 400]).unwrap();
    packet.shatter([10; 40]).unwrap();
    assert!(packet.defragment().is_err());
    assert_eq!(pool.stats().faults, 4);
    pool.inject([]);
    assert!(packet.defragment().is_err(), "settings stay");
    assert_eq!(pool.sysctl().read("kern.ipc.m_defragrandomfailures"), Ok(Value::Number(1)));
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn a_fault_can_be_set_by_name() {
    let read = |pool: &Pool| pool.sysctl().read("kern.ipc.mbuf.fault").unwrap();
    let mut tunables = mbuf::Tunables::new();
    tunables.read_text("pool.conf", "kern.ipc.mbuf.fault=after:1,of:jumbo9").unwrap();
    let pool = Pool::builder().tunables(&tunables).unwrap().build().unwrap();
    assert_eq!(read(&pool), Value::Fault(Some(Fault::after(1).of(Class::Jumbo9))));
    let got = || Packet::with_class(&pool, Class::Jumbo9).is_ok();
    assert_eq!((got(), got(), got()), (true, false, false));
    assert_eq!(pool.sysctl().read("kern.ipc.mbuf.faults"), Ok(Value::Number(2)));
    let error: SettingError = pool.sysctl().set("kern.ipc.mbuf.fault", "sometimes").unwrap_err();
    assert!(error.to_string().contains("one-in:N"), "{error}");
    assert_eq!(pool.sysctl().set("kern.ipc.mbuf.fault", "none").unwrap(), Value::Fault(None));
    assert!(got());
    // A child has its own, which begin as its parent's settings.
    pool.sysctl().set("kern.ipc.mbuf.fault", "after:0").unwrap();
    let child = pool.reservation("child").build().unwrap();
    assert!(Packet::new(&child).is_err());
    child.sysctl().set("kern.ipc.mbuf.fault", "none").unwrap();
    assert!(Packet::new(&child).is_ok() && Packet::new(&pool).is_err());
    assert_eq!(read(&pool).to_string(), "after:0");
}

#[test]
fn explicit_caches_and_bulk_fail_too_and_what_was_taken_goes_back() {
    let pool = Pool::new();
    let mut cache = pool.cache();
    drop(cache.with_cluster().unwrap());
    pool.inject([Fault::nth(1).of(CLUSTER), Fault::nth(40).of(Resource::Mbuf)]);
    assert!(cache.with_cluster().is_ok() && cache.with_cluster().is_err() && cache.new_packet().is_ok());
    let mut burst = Vec::new();
    assert!(Packet::with_cluster_bulk(&pool, 60, &mut burst).is_err());
    assert!(burst.is_empty());
    drop(cache);
    assert_empty(&pool);
}

#[test]
fn who_waits_because_of_a_fault_is_woken_when_it_is_gone() {
    let pool = Pool::new();
    let _other = Packet::with_cluster(&pool).unwrap();
    pool.inject([Fault::after(0)]);
    std::thread::scope(|s| {
        let waiter = s.spawn(|| pool.wait(Wait::Forever, || Packet::with_cluster(&pool)).is_ok());
        while pool.stats().mbufs.waited == Some(0) {
            std::thread::yield_now();
        }
        pool.inject([]);
        assert!(waiter.join().unwrap());
    });
}

#[test]
fn defragmentations_fail_only_if_they_are_meant() {
    let pool = Pool::new();
    let mut packet = Packet::from_slice(&pool, &[1; 400]).unwrap();
    packet.shatter([10; 40]).unwrap();
    pool.inject([Fault::nth(0).of(FaultPoint::Defragment)]);
    assert!(packet.defragment().is_err());
    assert_eq!(packet.segment_count(), 40);
    packet.defragment().unwrap();
    assert_eq!((packet.segment_count(), pool.stats().ops.defrag_failures), (1, 1));
}
