//! Settings that change while the pool is in use: limits, who is told, and all of them by name.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mbuf::{
    Access, AllocCause, AllocError, Class, LimitChange, LimitPolicy, MCLBYTES, MHLEN, MINCLSIZE, MLEN, MSIZE,
    MbufType, OpError, Packet, Pool, Preset, Resource, Rule, StorageKind, Tunable, Tunables, Unit, Value,
    Wait,
};
use mbuf_testkit::{Hold, assert_empty};

const ALL: [Resource; 6] = [
    Resource::Mbuf,
    Resource::Storage(Class::Cluster),
    Resource::Storage(Class::Page),
    Resource::Storage(Class::Jumbo9),
    Resource::Storage(Class::Jumbo16),
    Resource::External,
];

fn tuned(lines: &str) -> Pool {
    let mut tunables = Tunables::new();
    tunables.read_text("test", lines).unwrap();
    Pool::builder().tunables(&tunables).unwrap().build().unwrap()
}

fn rule(result: Result<Option<usize>, mbuf::SettingError>) -> Rule {
    result.unwrap_err().rule
}

#[test]
fn limits_grow_and_shrink_and_what_is_accepted_is_in_force() {
    let pool = Pool::new();
    for resource in ALL {
        for limit in [Some(5), Some(9), None, Some(2), Some(0), Some(3)] {
            assert_eq!(pool.set_limit(resource, limit), Ok(limit));
            assert_eq!(pool.limit(resource), limit);
        }
        assert_eq!(Hold::all_but(&pool, resource, 0).len(), 3, "{resource}");
        pool.set_limit(resource, None).unwrap();
    }
    assert_empty(&pool);
}

#[test]
fn a_limit_below_what_is_in_use_refuses_until_fewer_are() {
    for resource in Class::ALL.map(Resource::Storage).into_iter().chain([Resource::Mbuf]) {
        let pool = Pool::new();
        pool.set_limit(resource, 8).unwrap();
        let get = || match resource {
            Resource::Storage(class) => Packet::with_class(&pool, class),
            _ => Packet::new(&pool),
        };
        let mut held: Vec<Packet> = (0..8).map(|_| get().unwrap()).collect();
        assert_eq!(pool.set_limit(resource, 4), Ok(Some(4)));
        for in_use in (4..=8).rev() {
            held.truncate(in_use);
            let error = get().unwrap_err();
            assert_eq!((error.resource, error.cause), (resource, AllocCause::Limit(4)));
        }
        held.pop();
        held.extend((0..5).map_while(|_| get().ok()));
        assert_eq!(held.len(), 4);
        pool.set_limit(resource, 10).unwrap();
        held.extend((0..9).map_while(|_| get().ok()));
        assert_eq!(held.len(), 10);
        drop(held);
        assert_empty(&pool);
    }
}

#[test]
fn a_limit_below_what_reservations_keep_is_refused() {
    let pool = Pool::new();
    let rx = pool.reservation("rx").clusters(5).buffers(Class::Page, 2).mbufs(1).build().unwrap();
    for (resource, kept) in [(Resource::Mbuf, 8), (Class::Cluster.into(), 5), (Class::Page.into(), 2)] {
        assert_eq!(rule(pool.set_limit(resource, kept - 1)), Rule::Reserved { kept: kept as u64 });
        assert_eq!(pool.set_limit(resource, kept), Ok(Some(kept)));
    }
    let record = 16 + 2 * size_of::<usize>();
    let bytes = 8 * 256 + 5 * (2048 + record) + 2 * (4096 + record);
    assert_eq!(rule(rx.set_budget(bytes - 1)), Rule::Reserved { kept: bytes as u64 });
    pool.set_budget(bytes).unwrap();
    let all: Vec<_> = (0..5).map(|_| Packet::with_cluster(&rx).unwrap()).collect();
    assert!(Packet::with_cluster(&rx).is_err());
    drop((all, rx));
    pool.set_limit(Class::Cluster, 1).unwrap();
    assert_empty(&pool);
}

#[test]
fn limits_only_grow_under_the_rule_of_the_bsds() {
    let pool = tuned("kern.ipc.mbuf.policy=grow-only\nkern.ipc.nmbclusters=100");
    for bad in [0, 1, 99, 100] {
        let current = Some(100);
        assert_eq!(rule(pool.set_limit(Class::Cluster, bad)), Rule::GrowOnly { current });
    }
    assert_eq!(pool.set_limit(Class::Cluster, 101), Ok(Some(101)));
    assert_eq!(pool.set_limit(Class::Cluster, None), Ok(None), "no limit is the largest");
    assert_eq!(rule(pool.set_limit(Class::Cluster, None)), Rule::GrowOnly { current: None });
    assert_eq!(rule(pool.set_limit(Class::Cluster, 1000)), Rule::GrowOnly { current: None });

    let fixed = tuned("kern.ipc.mbuf.preset=dragonfly");
    for resource in ALL {
        assert_eq!(rule(fixed.set_limit(resource, 100_000)), Rule::Fixed);
    }
    // The policy of a preset may be replaced.
    let free = tuned("kern.ipc.mbuf.preset=dragonfly\nkern.ipc.mbuf.policy=free");
    assert_eq!(free.set_limit(Class::Cluster, 10), Ok(Some(10)));
}

#[test]
fn a_limit_larger_than_memory_is_refused() {
    let pool = Pool::new();
    for resource in ALL {
        assert!(matches!(rule(pool.set_limit(resource, usize::MAX)), Rule::TooLarge { .. }));
        assert_eq!(pool.limit(resource), None);
    }
    let error = pool.set_limit(Resource::External, usize::MAX).unwrap_err();
    let expected = format!("external storage records = {}: it is at most ", usize::MAX);
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[test]
fn hooks_are_told_of_every_limit_until_their_guard_is_dropped() {
    let pool = Pool::new();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let keep = heard.clone();
    let guard = pool.on_limit_change(move |pool, change| {
        let in_force = change.resource.map_or_else(|| pool.budget(), |resource| pool.limit(resource));
        assert_eq!(in_force, change.now, "it is in force already");
        keep.lock().unwrap().push(change);
    });
    let take = || std::mem::take(&mut *heard.lock().unwrap());
    for resource in ALL {
        for (before, now) in [(None, Some(7)), (Some(7), Some(3)), (Some(3), None)] {
            pool.set_limit(resource, now).unwrap();
            let heard: Vec<LimitChange> = take();
            assert_eq!(heard.len(), 1);
            assert_eq!((heard[0].resource, heard[0].before, heard[0].now), (Some(resource), before, now));
        }
        pool.set_limit(resource, None).unwrap();
        assert!(pool.set_limit(resource, usize::MAX).is_err());
        assert!(take().is_empty(), "nothing changed");
    }
    pool.sysctl().set("kern.ipc.nmbjumbo9", "5").unwrap();
    assert_eq!(take().len(), 1);
    assert_eq!(pool.set_budget(1 << 20), Ok(Some(1 << 20)));
    let heard_of_budget = take();
    assert_eq!((heard_of_budget.len(), heard_of_budget[0].resource), (1, None));
    assert_eq!((heard_of_budget[0].before, heard_of_budget[0].now), (None, Some(1 << 20)));
    // Of its own reservations, too: their limits are the pool's.
    let child = pool.reservation("child").build().unwrap();
    child.set_limit(Class::Page, 77).unwrap();
    assert_eq!((take().len(), pool.limit(Class::Page)), (1, Some(77)));
    drop(child);
    drop(guard);
    pool.set_limit(Class::Cluster, 1).unwrap();
    assert!(take().is_empty());
    assert_eq!(Arc::strong_count(&heard), 1, "the hook is gone");

    let keep = heard.clone();
    pool.on_limit_change(move |_, change| keep.lock().unwrap().push(change)).keep();
    pool.set_limit(Class::Cluster, 2).unwrap();
    assert_eq!(take().len(), 1);
    drop(pool);
    assert_eq!(Arc::strong_count(&heard), 1, "a kept hook goes with the pool");
}

#[test]
fn a_hook_may_do_what_it_likes() {
    let pool = Pool::builder().clusters(4).build().unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    // It takes the last buffers, changes another limit, and registers a hook of its own.
    let _guard = pool.on_limit_change(move |pool, change| {
        count.fetch_add(1, Ordering::Relaxed);
        drop(Packet::with_cluster(pool).unwrap());
        pool.on_limit_change(|_, _| ()).keep();
        if change.resource == Some(Class::Cluster.into()) {
            assert_eq!(
                pool.set_limit(Resource::Mbuf, change.now.map(|n| 2 * n)),
                Ok(change.now.map(|n| 2 * n))
            );
        }
    });
    pool.set_limit(Class::Cluster, 8).unwrap();
    assert_eq!((pool.limit(Class::Cluster), pool.limit(Resource::Mbuf)), (Some(8), Some(16)));
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    assert_empty(&pool);
}

#[test]
fn a_hook_that_panics_harms_nothing() {
    let pool = Pool::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let _guards: Vec<_> = (0..4)
        .map(|i| {
            let calls = calls.clone();
            pool.on_limit_change(move |_, _| {
                calls.fetch_add(1, Ordering::Relaxed);
                assert!(i % 2 == 0, "hook {i}");
            })
        })
        .collect();
    let panic = catch_unwind(AssertUnwindSafe(|| pool.set_limit(Class::Cluster, 5))).unwrap_err();
    assert_eq!(panic.downcast_ref::<String>().map(String::as_str), Some("hook 1"), "the first goes on");
    assert_eq!((pool.limit(Class::Cluster), calls.load(Ordering::Relaxed)), (Some(5), 4));
    assert!(catch_unwind(AssertUnwindSafe(|| pool.set_limit(Class::Cluster, 6))).is_err());
    assert_eq!((pool.limit(Class::Cluster), calls.load(Ordering::Relaxed)), (Some(6), 8));
    assert_eq!(Hold::all_but(&pool, Class::Cluster.into(), 0).len(), 6);
    assert_empty(&pool);
}

#[test]
fn the_guard_may_outlive_the_pool_and_be_dropped_by_its_hook() {
    let pool = Pool::new();
    let guard = pool.on_limit_change(|_, _| ());
    drop(pool);
    drop(guard);

    let pool = Pool::new();
    let own = Arc::new(Mutex::new(None));
    let (inside, calls) = (own.clone(), Arc::new(AtomicUsize::new(0)));
    let count = calls.clone();
    *own.lock().unwrap() = Some(pool.on_limit_change(move |_, _| {
        count.fetch_add(1, Ordering::Relaxed);
        drop(inside.lock().unwrap().take());
    }));
    pool.set_limit(Class::Cluster, 5).unwrap();
    pool.set_limit(Class::Cluster, 6).unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

/// The names of the sources' control surface, and NetBSD's.
const SURFACE: &[&str] = &[
    "kern.ipc.max_linkhdr",
    "kern.ipc.max_protohdr",
    "kern.ipc.max_hdr",
    "kern.ipc.max_datalen",
    "kern.ipc.mbuf_wait",
    "kern.ipc.mbstat",
    "kern.ipc.mbtypes",
    "kern.ipc.nmbclusters",
    "kern.ipc.nmbufs",
    "kern.ipc.m_defragpackets",
    "kern.ipc.m_defragbytes",
    "kern.ipc.m_defraguseless",
    "kern.ipc.m_defragfailure",
    "kern.ipc.m_defragrandomfailures",
    "kern.ipc.showmbufs",
    "kern.ipc.nmbjumbop",
    "kern.ipc.nmbjumbo9",
    "kern.ipc.nmbjumbo16",
    "kern.mbuf.nmbclusters",
    "kern.mbuf.msize",
    "kern.mbuf.mclbytes",
];

#[test]
fn every_name_of_the_sources_is_listed_with_a_description() {
    let pool = Pool::new();
    let sysctl = pool.sysctl();
    for name in SURFACE {
        assert!(!sysctl.find(name).unwrap().is_empty(), "{name}");
    }
    let nodes = sysctl.nodes();
    assert!(nodes.is_sorted_by(|a, b| a.name < b.name), "in order, and none twice");
    assert!(nodes.iter().all(|node| node.about.len() > 5 && node.name.starts_with("kern.")));
    let listed: Vec<_> = sysctl.list().into_iter().map(|reading| reading.node).collect();
    assert_eq!(listed, nodes);
    for reading in sysctl.list() {
        assert_eq!(sysctl.read(reading.node.name), reading.value, "{reading}");
        assert_eq!(reading.value.is_err(), reading.node.unit == Unit::Table, "{reading}");
        assert_eq!(reading.value.is_err(), reading.node.name == "kern.ipc.showmbufs", "{reading}");
    }
}

/// A number that a sysctl has, if it has one of that name.
fn sysctl_number(pool: &Pool, name: &str) -> Option<u64> {
    match pool.sysctl().read(name) {
        Ok(Value::Number(n)) => Some(n),
        _ => None,
    }
}

#[test]
fn mbufs_by_type_are_read_by_name() {
    let pool = Pool::new();
    let mut packets = [(); 3].map(|()| Packet::new(&pool).unwrap());
    packets[0].set_type(MbufType::Control);
    for (name, count) in [("data", 2), ("header", 0), ("socket_name", 0), ("control", 1), ("out_of_band", 0)]
    {
        assert_eq!(sysctl_number(&pool, &format!("kern.ipc.mbtypes.{name}")), Some(count), "{name}");
    }
    assert_eq!(pool.sysctl().find("kern.ipc.mbtypes").unwrap().len(), 5);
    drop(packets);
    assert_empty(&pool);
}

#[test]
fn counters_read_by_name_are_those_of_the_pool() {
    let pool = Pool::builder().clusters(2).build().unwrap();
    let read = |name: &str| match pool.sysctl().read(name).unwrap() {
        Value::Number(n) => n,
        other => panic!("{other:?}"),
    };
    let held = [Packet::with_cluster(&pool).unwrap(), Packet::with_cluster(&pool).unwrap()];
    drop(Packet::new(&pool).unwrap());
    for _ in 0..3 {
        Packet::with_cluster(&pool).unwrap_err();
    }
    for (name, value) in [
        ("m_mbufs", 2),
        ("m_clusters", 2),
        ("m_mclusts", 2),
        ("m_clfree", 0),
        ("m_drops", 3),
        ("m_wait", 0),
        ("m_drain", 0),
        ("m_mcfail", 0),
        ("m_mpfail", 0),
        ("m_msize", MSIZE),
        ("m_mclbytes", MCLBYTES),
        ("m_minclsize", MINCLSIZE),
        ("m_mlen", MLEN),
        ("m_mhlen", MHLEN),
    ] {
        assert_eq!(read(&format!("kern.ipc.mbstat.{name}")), value as u64, "{name}");
    }
    let stats = pool.stats();
    let classes = [
        ("mbuf", stats.mbufs),
        ("packet", stats.packets),
        ("cluster", stats.clusters),
        ("jumbop", stats.jumbo_page),
        ("jumbo9", stats.jumbo_9k),
        ("jumbo16", stats.jumbo_16k),
        ("external", stats.external),
    ];
    for (name, class) in classes {
        let fields = ["current", "cached", "total", "allocations", "denied", "reserved"];
        let found = fields.map(|field| read(&format!("kern.ipc.mbuf.{name}.{field}")));
        let (current, cached, total) = (class.current as u64, class.cached as u64, class.total as u64);
        let expected = [current, cached, total, class.allocations, class.denied, class.reserved as u64];
        assert_eq!(found, expected, "{name}");
        let peak = sysctl_number(&pool, &format!("kern.ipc.mbuf.{name}.peak"));
        assert_eq!(peak, class.peak.map(|peak| peak as u64), "{name}");
        let waited = sysctl_number(&pool, &format!("kern.ipc.mbuf.{name}.waited"));
        assert_eq!(waited, class.waited, "{name}");
    }
    assert_eq!(read("kern.ipc.mbuf.bytes.current"), stats.bytes_in_use() as u64);
    drop(held);
    assert_eq!(read("kern.ipc.mbstat.m_clfree"), 2);

    let mut packet = Packet::from_slice(&pool, &[1; 300]).unwrap();
    packet.defragment().unwrap();
    packet.shatter([100, 100, 100]).unwrap();
    packet.defragment().unwrap();
    for (name, value) in [("packets", 1), ("bytes", 300), ("useless", 1), ("failure", 0)] {
        assert_eq!(read(&format!("kern.ipc.m_defrag{name}")), value, "{name}");
    }
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn settings_are_read_and_set_by_name() {
    let pool = Pool::new();
    let sysctl = pool.sysctl();
    for (name, text, value) in [
        ("kern.ipc.nmbclusters", "100", Value::Number(100)),
        ("kern.mbuf.nmbclusters", "101", Value::Number(101)),
        ("kern.ipc.nmbufs", "500", Value::Number(500)),
        ("kern.ipc.nmbufs", "unlimited", Value::Unlimited),
        ("kern.ipc.max_linkhdr", "32", Value::Number(32)),
        ("kern.ipc.max_datalen", "40", Value::Number(40)),
        ("kern.ipc.m_defragrandomfailures", "256", Value::Number(256)),
        ("kern.ipc.maxmbufmem", "unlimited", Value::Unlimited),
        ("kern.ipc.maxmbufmem", "64M", Value::Number(64 << 20)),
        ("kern.ipc.mbuf_wait", "unlimited", Value::Unlimited),
        ("kern.ipc.mbuf_wait", "250", Value::Number(250)),
    ] {
        assert_eq!(sysctl.set(name, text), Ok(value), "{name}");
        assert_eq!(sysctl.read(name), Ok(value), "{name}");
    }
    assert_eq!(sysctl.read("kern.ipc.nmbclusters"), Ok(Value::Number(101)));
    // The sum stays: protocol headers have what link headers leave. What is kept inline gives way, too.
    assert_eq!(sysctl.read("kern.ipc.max_protohdr"), Ok(Value::Number(64 - 32)));
    sysctl.set("kern.ipc.max_datalen", "72").unwrap();
    sysctl.set("kern.ipc.max_linkhdr", "64").unwrap();
    assert_eq!(sysctl.read("kern.ipc.max_datalen"), Ok(Value::Number(MHLEN as u64 - 64)));
    let made = |len: usize| {
        let packet = Packet::from_slice(&pool, &vec![1; len]).unwrap();
        (packet.first_segment().storage_kind() == StorageKind::Inline, packet.headroom())
    };
    assert_eq!((made(MHLEN - 64), made(MHLEN - 63)), ((true, 64), (false, 64)));
    assert_eq!(Packet::new(&pool).unwrap().headroom(), 64);
    sysctl.set("kern.ipc.max_linkhdr", "0").unwrap();
    sysctl.set("kern.ipc.max_datalen", "19").unwrap();
    assert_eq!((made(19), made(20)), ((true, 0), (false, 64)));
    assert_empty(&pool);
}

#[test]
fn what_cannot_be_read_or_set_says_why_and_changes_nothing() {
    let pool = tuned("kern.ipc.mbuf.preset=dragonfly\nkern.ipc.nmbclusters=100");
    let sysctl = pool.sysctl();
    let before = sysctl.list();
    let set = |name, value: &str| sysctl.set(name, value).unwrap_err().to_string();
    assert_eq!(
        set("kern.ipc.nmbcluster", "5"),
        "kern.ipc.nmbcluster = 5: there is no such name; is `kern.ipc.nmbclusters` meant?"
    );
    assert_eq!(set("kern.ipc.mbstat.m_mbufs", "5"), "kern.ipc.mbstat.m_mbufs = 5: it can only be read");
    assert_eq!(
        set("kern.ipc.nmbclusters", "five").split(": ").nth(1),
        Some("a whole number or `unlimited` is expected")
    );
    assert_eq!(
        set("kern.ipc.nmbclusters", "5000"),
        "kern.ipc.nmbclusters = 5000: it cannot be changed while the pool is in use"
    );
    assert_eq!(set("kern.maxusers", "5"), "kern.maxusers = 5: it cannot be changed while the pool is in use");
    assert!(set("kern.ipc.max_hdr", "100").ends_with("it cannot be changed while the pool is in use"));
    assert!(
        set("kern.ipc.max_linkhdr", "77").ends_with("max_linkhdr is no more than max_hdr: 77 against 76")
    );
    assert!(
        set("kern.ipc.max_datalen", &(MHLEN - 4).to_string())
            .contains("max_datalen is no more than max_linkhdr leaves")
    );
    let read = |name| sysctl.read(name).unwrap_err();
    assert_eq!(read("kern.ipc.mbstat").rule, Rule::Unknown { near: None });
    assert_eq!(read("m_mbufs").rule, Rule::Unknown { near: Some("kern.ipc.mbstat.m_mbufs") });
    assert_eq!(sysctl.find("kern.ipc.mbsta").unwrap_err().rule, Rule::Unknown { near: None });
    assert_eq!(
        read("kern.ipc.showmbufs").to_string(),
        "kern.ipc.showmbufs: it cannot be read: it is no single value: Pool::audit_report has it"
    );
    assert_eq!(sysctl.list(), before);
    let access = |name| sysctl.nodes().into_iter().find(|node| node.name == name).unwrap().access;
    assert_eq!(
        (access("kern.ipc.nmbufs"), access("kern.ipc.max_datalen")),
        (Access::Boot, Access::ReadWrite)
    );
    assert_eq!(access("kern.ipc.m_defragbytes"), Access::ReadOnly);
}

#[test]
fn one_in_n_defragmentations_fails_as_if_memory_had_run_out() {
    let pool = tuned("kern.ipc.m_defragrandomfailures=4");
    let bytes: Vec<u8> = (0..3000).map(|i| i as u8).collect();
    let rounds = if cfg!(miri) { 40 } else { 400 };
    let mut failures = 0;
    for _ in 0..rounds {
        let mut packet = Packet::from_slice(&pool, &bytes).unwrap();
        packet.shatter([10; 20]).unwrap();
        match packet.defragment() {
            Ok(()) => assert_eq!(packet.segment_count(), 1),
            Err(error) => {
                assert!(matches!(
                    error,
                    OpError::Alloc(AllocError { resource: Resource::Mbuf, cause: AllocCause::Fault, .. })
                ));
                failures += 1;
                assert!(packet.segment_count() > 20 && packet == bytes, "nothing changed");
            }
        }
    }
    assert!((rounds / 8..=rounds * 3 / 8).contains(&failures), "{failures} of {rounds}");
    assert_eq!(pool.stats().ops.defrag_failures, failures);
    assert_eq!(pool.stats().faults, failures);
    assert_eq!(pool.stats().ops.defrag_packets, rounds - failures);
    pool.sysctl().set("kern.ipc.m_defragrandomfailures", "0").unwrap();
    let mut packet = Packet::from_slice(&pool, &bytes).unwrap();
    for _ in 0..rounds {
        packet.shatter([10; 20]).unwrap();
        packet.defragment().unwrap();
    }
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn a_preset_tells_how_its_limits_may_change() {
    for preset in Preset::ALL {
        let pool = Pool::builder().tunables(&preset.into()).unwrap().build().unwrap();
        let policy = pool.sysctl().read("kern.ipc.mbuf.policy").unwrap();
        assert_eq!(policy, Value::Policy(preset.policy()));
        assert_eq!(pool.sysctl().read("kern.ipc.mbuf.preset"), Ok(Value::Preset(preset)));
        let outcome = pool.set_limit(Class::Jumbo16, 1);
        assert_eq!(outcome.is_ok(), preset.policy() == LimitPolicy::Free);
        assert_eq!(Tunable::named("kern.ipc.mbuf.policy"), Some(Tunable::Policy));
    }
}

#[test]
fn the_default_wait_is_as_tuned() {
    let pool = tuned("kern.ipc.mbuf_wait=0\nkern.ipc.nmbclusters=1");
    assert!(matches!(pool.default_wait(), Wait::Reclaim));
    pool.sysctl().set("kern.ipc.mbuf_wait", "unlimited").unwrap();
    assert!(matches!(pool.default_wait(), Wait::Forever));
    pool.sysctl().set("kern.ipc.mbuf_wait", "20").unwrap();
    let held = Packet::with_cluster(&pool).unwrap();
    let begin = Instant::now();
    assert!(pool.wait(pool.default_wait(), || Packet::with_cluster(&pool)).is_err());
    assert!(begin.elapsed() >= Duration::from_millis(20));
    assert_eq!(pool.sysctl().read("kern.ipc.mbstat.m_wait"), Ok(Value::Number(1)));
    assert_eq!(pool.sysctl().read("kern.ipc.mbuf.cluster.waited"), Ok(Value::Number(1)));
    assert_eq!(pool.sysctl().read("kern.ipc.mbstat.m_drain"), Ok(Value::Number(1)));
    drop(held);
    assert_empty(&pool);
}

#[test]
fn a_budget_is_a_tunable_and_follows_the_policy() {
    let pool = tuned("kern.ipc.maxmbufmem=64k\nkern.ipc.mbuf.policy=grow-only");
    assert_eq!((pool.budget(), pool.stats().budget), (Some(64 << 10), Some(64 << 10)));
    let held: Vec<Packet> = (0..100).map_while(|_| Packet::with_class(&pool, Class::Jumbo16).ok()).collect();
    assert_eq!(held.len(), 3, "with descriptors and mbufs four are more than 64 KiB");
    assert!(matches!(rule(pool.set_budget(64 << 10)), Rule::GrowOnly { .. }));
    assert_eq!(pool.sysctl().set("kern.ipc.maxmbufmem", "128K"), Ok(Value::Number(128 << 10)));
    drop(Packet::with_class(&pool, Class::Jumbo16).unwrap());
    drop(held);
    assert_empty(&pool);
}

#[test]
fn settings_may_be_changed_by_many_threads() {
    let pool = Pool::builder().clusters(64).build().unwrap();
    thread::scope(|scope| {
        for i in 0..4 {
            let pool = &pool;
            scope.spawn(move || {
                for round in 0..if cfg!(miri) { 5 } else { 500 } {
                    let guard = pool.on_limit_change(|_, _| ());
                    pool.set_limit(Class::Cluster, 16 + (i + round) % 64).unwrap();
                    pool.sysctl().set("kern.ipc.max_linkhdr", if i % 2 == 0 { "8" } else { "60" }).unwrap();
                    pool.sysctl().set("kern.ipc.max_datalen", "40").unwrap();
                    if let Ok(packet) = Packet::from_slice(pool, &[1; 60]) {
                        assert_eq!(packet.check(), Ok(()));
                    }
                    drop(guard);
                }
            });
        }
    });
    assert_empty(&pool);
}
