//! Every counter moves when what it counts happens, and at no other time.

use std::collections::BTreeMap;
use std::thread;

use mbuf::{Chain, Class, ClassStats, MbufType, OpStats, Packet, Pool, Resource, Value};
use mbuf_testkit::{Hold, Label, Shape, Storage, assert_empty};

/// The counters of slow paths that are not zero.
fn moved(ops: &OpStats) -> BTreeMap<&'static str, u64> {
    ops.iter().filter(|(_, _, n)| *n > 0).map(|(name, _, n)| (name, n)).collect()
}

/// Three segments of a hundred bytes, inline.
fn pieces(pool: &Pool) -> Packet {
    let mut packet = Packet::from_slice(pool, &[1; 300]).unwrap();
    packet.shatter([100, 100, 100]).unwrap();
    packet
}

/// What `act` moves, with `pool` dry or not while it runs.
fn moves(dry: bool, act: impl FnOnce(&mut Packet)) -> BTreeMap<&'static str, u64> {
    let pool = Pool::builder().mbufs(16).build().unwrap();
    let mut packet = pieces(&pool);
    let hold = dry.then(|| Hold::all_but(&pool, Resource::Mbuf, 0));
    let before = pool.stats();
    act(&mut packet);
    let moved = moved(&pool.stats().since(&before).ops);
    drop((packet, hold));
    assert_empty(&pool);
    moved
}

#[test]
fn each_slow_path_and_each_failure_moves_its_own_counter_by_one() {
    let mut seen = BTreeMap::new();
    let mut row = |dry, name, also: &[(&'static str, u64)], act: &dyn Fn(&mut Packet) -> bool| {
        let mut expected: BTreeMap<_, _> = also.iter().copied().collect();
        expected.insert(name, 1);
        assert_eq!(moves(dry, |packet| assert!(act(packet), "{name}")), expected);
        seen.extend(expected);
    };
    row(true, "copy_failures", &[], &|packet| packet.share().is_err());
    row(true, "duplicate_failures", &[], &|packet| packet.duplicate().is_err());
    row(false, "pullups", &[], &|packet| packet.make_contiguous(250).is_ok());
    row(true, "pullup_failures", &[], &|packet| packet.make_contiguous(250).is_err());
    row(false, "prepends", &[], &|packet| packet.prepend(300).is_ok());
    row(true, "prepend_failures", &[], &|packet| packet.prepend(300).is_err());
    let defragmented = [("defrag_packets", 1), ("defrag_bytes", 300)];
    row(false, "defrag_packets", &defragmented, &|packet| packet.defragment().is_ok());
    row(true, "defrag_failures", &[], &|packet| packet.defragment().is_err());
    row(false, "defrag_useless", &defragmented, &|packet| {
        packet.defragment().is_ok() && packet.defragment().is_ok()
    });
    row(false, "copies_on_write", &defragmented, &|packet| {
        packet.defragment().unwrap();
        let _other = packet.share().unwrap();
        packet.write_at(0, b"x").is_ok()
    });
    let all: Vec<_> = OpStats::default().iter().map(|(name, _, _)| name).collect();
    assert!(all.iter().all(|name| seen.contains_key(name)), "{all:?} against {seen:?}");
    // What takes no slow path moves nothing.
    assert_eq!(
        moves(false, |packet| drop((packet.share().unwrap(), packet.duplicate().unwrap()))),
        [].into()
    );
}

#[test]
fn each_class_counts_what_is_in_use_cached_handed_out_denied_and_its_peak() {
    let figures = |c: &ClassStats| (c.current, c.cached, c.allocations, c.denied);
    for class in Class::ALL {
        let pool = Pool::builder().limit(class, 2).build().unwrap();
        let held = [(); 2].map(|()| Packet::with_class(&pool, class).unwrap());
        Packet::with_class(&pool, class).unwrap_err();
        let stats = pool.stats();
        assert_eq!(figures(stats.class(class)), (2, 0, 2, 1), "{class:?}");
        assert_eq!((stats.class(class).peak, stats.class(class).limit), (Some(2), Some(2)));
        assert!(stats.class(class).total >= 2);
        drop(held);
        assert_eq!(figures(pool.stats().class(class)), (0, 2, 2, 1), "{class:?}");
        assert_empty(&pool);
    }
    let pool = Pool::builder().mbufs(2).build().unwrap();
    let held = [Packet::from_owner(&pool, [1u8; 9]).unwrap(), Packet::new(&pool).unwrap()];
    Packet::new(&pool).unwrap_err();
    Packet::with_cluster(&pool).unwrap_err();
    let stats = pool.stats();
    assert_eq!((stats.mbufs.current, stats.mbufs.denied, stats.packets.denied), (2, 1, 1));
    assert_eq!(stats.clusters.denied, 0);
    assert_eq!((stats.external.current, stats.external.allocations), (1, 1));
    assert_eq!(stats.external.peak, Some(1 + stats.external.cached));
    drop(held);
    assert_eq!(pool.stats().external.current, 0);
    assert_empty(&pool);
}

#[test]
fn each_request_that_is_denied_counts_once_whatever_it_lacked() {
    let limits = |mbufs, buffers| {
        let pool = Pool::builder().mbufs(mbufs);
        Class::ALL.into_iter().fold(pool, |pool, class| pool.limit(class, buffers)).build().unwrap()
    };
    // Without mbufs, and without buffers.
    for pool in [limits(0, 8), limits(8, 0)] {
        let mut denied = 0;
        for class in [Class::Cluster, Class::Page, Class::Jumbo9, Class::Jumbo16] {
            for _ in 0..10 {
                denied += u64::from(Packet::with_class(&pool, class).is_err());
                assert_eq!(pool.stats().denied(), denied, "{class:?}");
            }
        }
        denied += u64::from(Packet::new(&pool).is_err());
        assert_eq!(pool.stats().denied(), denied);
        assert!(denied >= 40);
        assert_eq!(pool.sysctl().read("kern.ipc.mbstat.m_drops").unwrap(), Value::Number(denied));
        let before = pool.stats();
        Packet::with_cluster(&pool).unwrap_err();
        assert_eq!((pool.stats().since(&before).denied(), before.since(&before).denied()), (1, 0));
        assert_empty(&pool);
    }
}

#[test]
fn what_is_counted_of_pairs_is_theirs() {
    // Mbufs that are no pairs move nothing.
    let pool = Pool::builder().mbufs(8).build().unwrap();
    drop([Packet::new(&pool).unwrap(), Packet::new(&pool).unwrap()]);
    let pairs = pool.stats().packets;
    assert!(pool.stats().mbufs.total > 0 && pool.stats().mbufs.peak > Some(0));
    assert_eq!((pairs.current, pairs.cached, pairs.total), (0, 0, 0));
    assert_eq!((pairs.limit, pairs.peak, pairs.waited), (Some(8), None, None));
    pool.set_limit(Class::Cluster, 3).unwrap();
    let held = [(); 2].map(|()| Packet::with_cluster(&pool).unwrap());
    assert_eq!((pool.stats().packets.total, pool.stats().packets.limit), (2, Some(3)));
    assert_eq!(pool.stats().external.waited, None);
    assert!(pool.sysctl().read("kern.ipc.mbuf.packet.peak").is_err());
    drop(held);
    assert_eq!(pool.stats().packets.total, 2);
    assert_empty(&pool);
}

fn by_type(pool: &Pool) -> [usize; 5] {
    let mut counts = [0; 5];
    for (at, (_, count)) in pool.stats().types.iter().enumerate() {
        counts[at] = count;
    }
    counts
}

#[test]
fn mbufs_are_counted_by_type_from_when_it_is_set_until_they_are_freed() {
    let pool = Pool::new();
    let mut control = pieces(&pool);
    control.set_type(MbufType::Control);
    let mut name = Packet::from_slice(&pool, &[1; 10]).unwrap();
    name.set_type(MbufType::SocketName);
    let plain = Chain::from_slice(&pool, &[1; 10]).unwrap();
    assert_eq!(by_type(&pool), [1, 0, 1, 3, 0]);
    // Set again, and to another.
    name.set_type(MbufType::SocketName);
    name.set_type(MbufType::OutOfBand);
    assert_eq!(by_type(&pool), [1, 0, 0, 3, 1]);
    // Shared, copied, cut, prepended to: the new mbufs are of the type, too.
    let copies = (control.share().unwrap(), control.duplicate().unwrap(), control.split_off(150).unwrap());
    control.prepend(200).unwrap();
    let counted = by_type(&pool);
    assert_eq!(counted.iter().sum::<usize>(), pool.stats().mbufs.current);
    assert_eq!((counted[0], counted[4]), (1, 1));
    drop(copies);
    // One segment alone, and back to what it was.
    control.segments_mut().next().unwrap().set_type(MbufType::Header);
    assert_eq!(by_type(&pool)[1], 1);
    control.set_type(MbufType::Data);
    assert_eq!(by_type(&pool), [1 + control.segment_count(), 0, 0, 0, 1]);
    drop((control, name, plain));
    assert_eq!(by_type(&pool), [0; 5]);
    assert_empty(&pool);
}

#[test]
fn a_type_does_not_outlive_its_mbuf_however_and_wherever_it_is_freed() {
    let pool = Pool::new();
    let typed = |storage| {
        let mut chain = Shape::of([(60, storage), (60, storage)]).build::<mbuf::Header>(&pool).chain;
        chain.set_type(MbufType::Control);
        chain
    };
    let class = Class::Cluster;
    let storages = [
        Storage::Inline,
        Storage::Own(class),
        Storage::Shared(class),
        Storage::Copy(class),
        Storage::ReadOnly,
    ];
    for storage in storages {
        drop(typed(storage));
        assert_eq!(by_type(&pool), [0; 5], "{storage:?}");
        let mut cache = pool.cache();
        cache.free(typed(storage));
        drop(cache);
        let packet = typed(storage);
        thread::scope(|scope| {
            scope.spawn(|| drop(packet));
        });
        assert_eq!(by_type(&pool), [0; 5], "{storage:?}");
    }
    // The mbuf is data again for its next user.
    let held: Vec<_> = (0..8).map(|_| Packet::with_cluster(&pool).unwrap()).collect();
    assert_eq!(by_type(&pool), [8, 0, 0, 0, 0]);
    drop(held);
    assert_empty(&pool);
}

#[test]
fn tags_are_counted_from_when_they_are_attached_until_they_are_dropped() {
    let pool = Pool::new();
    let tags = || (pool.stats().tags.current, pool.stats().tags.allocations);
    let mut packet = Packet::from_slice(&pool, &[1; 300]).unwrap();
    packet.push_tag(Label(1));
    packet.push_tag(Label(2));
    assert_eq!(tags(), (2, 2));
    packet.set_tag(Label(3)).unwrap();
    assert_eq!(tags(), (2, 3));
    let copy = packet.share().unwrap();
    assert_eq!(tags(), (4, 5));
    packet.remove_tag::<Label>().unwrap();
    assert_eq!(tags(), (3, 5));
    thread::scope(|scope| {
        scope.spawn(|| drop(copy));
    });
    assert_eq!(tags(), (1, 5));
    packet.clear_tags();
    assert_eq!(tags(), (0, 5));
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn many_threads_count_exactly() {
    let pool = Pool::new();
    let (threads, rounds) = (12, mbuf_testkit::scaled(200, 10));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..rounds {
                    let mut packet = Packet::from_slice(&pool, &[1; 80]).unwrap();
                    packet.set_type(MbufType::OutOfBand);
                    packet.set_tag(Label(1));
                    packet.prepend(200).unwrap();
                }
            });
        }
    });
    let (stats, n) = (pool.stats(), threads * rounds as u64);
    assert_eq!((stats.ops.prepends, stats.tags.allocations), (n, n));
    assert_eq!((stats.tags.current, by_type(&pool)), (0, [0; 5]));
    assert_empty(&pool);
}

#[test]
fn since_is_what_happened_between_two_snapshots() {
    let pool = Pool::builder().clusters(3).build().unwrap();
    let work = || {
        let held = [(); 3].map(|()| Packet::with_cluster(&pool).unwrap());
        Packet::with_cluster(&pool).unwrap_err();
        let mut packet = Packet::from_slice(&pool, b"abc").unwrap();
        packet.set_tag(Label(1));
        packet.prepend(300).unwrap_err();
        drop(held);
    };
    work();
    let before = pool.stats();
    work();
    let kept = Packet::with_cluster(&pool).unwrap();
    let after = pool.stats();
    let since = after.since(&before);
    assert_eq!((since.packets.allocations, since.clusters.current, since.clusters.limit), (4, 1, Some(3)));
    assert_eq!(
        (since.clusters.denied, after.clusters.denied),
        (after.clusters.denied - before.clusters.denied, 2 * before.clusters.denied)
    );
    assert_eq!((since.tags.allocations, since.ops.prepend_failures), (1, 1));
    let none = after.since(&after);
    assert_eq!((none.ops, none.clusters.current), (OpStats::default(), after.clusters.current));
    // Nothing is less than nothing.
    assert_eq!(before.since(&after).packets.allocations, 0);
    drop(kept);
    assert_empty(&pool);
}

#[test]
fn the_long_form_says_everything_the_short_form_only_the_table() {
    let pool = Pool::builder().name("said").mbufs(8).build().unwrap();
    let mut packet = pieces(&pool);
    packet.set_type(MbufType::Control);
    packet.set_tag(Label(1));
    packet.prepend(200).unwrap();
    let external = Packet::from_owner(&pool, [0u8; 4]).unwrap();
    let stats = pool.stats();
    let (short, long) = (format!("{stats}"), format!("{stats:#}"));
    assert_eq!(short.lines().count(), 9);
    assert!(long.starts_with("pool said\n") && long.contains(&short), "{long}");
    for line in [
        "8/8/unlimited/unlimited/unlimited/unlimited/unlimited most that may be in use \
         (mbufs/mbuf+clusters/clusters/4k/9k/16k/external)",
        &format!("1/{} external buffers in use (current/cache)", stats.external.cached),
        "1/1 tags in use (current/since start)",
        "1 mbufs allocated to data",
        "4 mbufs allocated to ancillary data",
        "prepends: 1",
        "copies on write: 0",
    ] {
        assert!(long.lines().any(|found| found == line), "{line} is not in\n{long}");
    }
    assert!(!long.contains("oob") && !long.ends_with('\n'), "{long}");
    drop((packet, external));
    assert_empty(&pool);
}
