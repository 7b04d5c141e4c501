//! The audit: who has which buffer, what was left, and what was written that nobody has.

use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mbuf::{
    Audit, AuditEvent, AuditReport, Buffer, Chain, Class, LifeEvent, Packet, PacketQueue, Pool, Reserve,
};
use mbuf_testkit::{assert_empty, in_use, scaled};

fn audited() -> Pool {
    Pool::builder().audit(Audit::every()).build().unwrap()
}

/// Kinds and lines of what is in use, in the order of allocation.
fn live(pool: &Pool) -> Vec<(Buffer, u32)> {
    pool.audit_report().live.iter().map(|live| (live.what, live.site.line())).collect()
}

#[test]
fn a_report_says_who_asked_for_what_and_when() {
    let pool = audited();
    let packet = Packet::with_cluster(&pool).unwrap();
    let page = std::thread::scope(|s| {
        let named = std::thread::Builder::new().name("worker".into());
        named.spawn_scoped(s, || Chain::with_class(&pool, Class::Page).unwrap()).unwrap().join().unwrap()
    });
    let external = Packet::from_owner(&pool, vec![1, 2, 3]).unwrap();
    let start = line!() - 6;
    assert_eq!(
        live(&pool),
        [
            (Buffer::Pair(Class::Cluster), start),
            (Buffer::Pair(Class::Page), start + 3),
            (Buffer::Mbuf, start + 5),
            (Buffer::External, start + 5),
        ]
    );
    let report = pool.audit_report();
    assert!(report.live.iter().all(|live| live.site.file().ends_with("tests/audit.rs")));
    assert!(report.live.iter().all(|live| live.age.is_some_and(|age| age < Duration::from_secs(600))));
    assert_eq!(&*report.live[1].thread, "worker");
    assert_ne!(&*report.live[0].thread, "worker");
    assert_eq!((report.live[0].owner, report.live[0].id), (None, 0));
    let text = report.to_string();
    let group = format!("4352 bytes from {}: 1 × mbuf with a 4 KiB cluster", report.live[1].site);
    assert!(text.contains(&group) && text.contains("oldest: thread worker"), "{text}");
    drop(packet);
    assert_eq!(live(&pool).len(), 3);
    // Freed by another thread than the one that asked.
    drop((page, external));
    assert_eq!(live(&pool), []);
    assert!(pool.audit_report().findings.is_empty());
    assert_empty(&pool);
}

/// Runs an operation on an audited pool; returns the places that asked for what it allocated.
fn sites<R>(pool: &Pool, op: impl FnOnce() -> R) -> Vec<&'static Location<'static>> {
    let before = pool.audit_report().live.last().map_or(0, |live| live.serial);
    let made = op();
    let report = pool.audit_report();
    drop(made);
    report.live.iter().filter(|live| live.serial > before).map(|live| live.site).collect()
}

/// Each operation's buffers were asked for by the line that called the operation: by one line each, further down than that
/// of the operation before.
macro_rules! names_the_caller {
    ($pool:ident: $($e:expr;)*) => {
        let mut above = line!();
        $(
            let sites = crate::sites(&$pool, || $e);
            assert!(!sites.is_empty(), "{} allocates nothing", stringify!($e));
            for site in &sites {
                assert!(site.file().ends_with("tests/audit.rs"), "{} is called at {site}", stringify!($e));
                assert!(site.line() > above && site.line() == sites[0].line(), "{} at {sites:?}", stringify!($e));
            }
            above = sites[0].line();
        )*
        assert!(above > 0);
    };
}

/// A packet of four small segments that share their storage.
fn shared_segments(pool: &Pool) -> (Packet, Packet) {
    let mut packet = Packet::from_slice(pool, &[7; 2000]).unwrap();
    packet.shatter([500; 4]).unwrap();
    let other = packet.share().unwrap();
    (packet, other)
}

#[test]
fn every_operation_that_allocates_names_its_caller() {
    let pool = audited();
    let mut cache = pool.cache();
    let mut burst = Vec::new();
    let (mut a, _b) = shared_segments(&pool);
    let (mut c, _d) = shared_segments(&pool);
    let (mut e, _f) = shared_segments(&pool);
    let (mut g, _h) = shared_segments(&pool);
    let (mut i, _j) = shared_segments(&pool);
    let (mut k, _l) = shared_segments(&pool);
    let (mut m, _n) = shared_segments(&pool);
    let (mut full, _p) = shared_segments(&pool);
    let other = Packet::from_slice(&pool, &[7; 300]).unwrap();
    let mut whole = Packet::from_slice(&pool, &[7; 2000]).unwrap();
    let mut cut = Packet::from_slice(&pool, &[7; 100]).unwrap();
    let mut hole = Packet::from_slice(&pool, &[7; 2000]).unwrap();
    let mut empty = Packet::from_owner(&pool, [0u8; 0]).unwrap();
    let long = Chain::from_slice_with_headroom(&pool, &[7; 180], 0).unwrap();
    names_the_caller! { pool:
        Packet::new(&pool);
        Chain::new(&pool);
        Packet::with_cluster(&pool);
        Packet::with_cluster_bulk(&pool, 40, &mut burst);
        Packet::with_class(&pool, Class::Jumbo9);
        Chain::with_capacity(&pool, 5000);
        Packet::with_headroom(&pool, 100, 50);
        Packet::from_slice(&pool, &[0; 9000]);
        Packet::from_slices(&pool, [&[0u8; 9][..], &[0; 700]]);
        Packet::from_slice_with_headroom(&pool, &[0; 700], 300);
        Packet::copy_with(&pool, 5000, 0, |_, place| place.fill(1));
        Packet::from_trailer(&pool, &[0; 700], 100);
        Packet::from_owner(&pool, [0u8; 5]);
        Packet::from_owner_mut(&pool, [0u8; 5]);
        Reserve::new(&pool, 5000);
        cache.with_cluster();
        cache.new_packet();
        whole.share();
        whole.share_mut();
        whole.share_range(1..1500);
        whole.share_range_mut(1..1500);
        a.share();
        a.share_mut();
        a.share_range(3..3);
        a.duplicate();
        whole.duplicate();
        a.duplicate_with_headroom(3000);
        whole.split_off(1000);
        cut.split_to(50);
        hole.remove_range(10..20);
        full.insert(700, other);
        a.prepend(300).map(drop);
        i.prepend_slice(&[0; 90]);
        a.extend(3000).map(drop);
        a.extend_from_slice(&[1; 3000]);
        a.extend_zeroed(3000);
        { let len = a.len(); a.pad_to(len + 5000) };
        c.make_contiguous(1200).map(drop);
        e.make_contiguous_with_headroom(700, 30).map(drop);
        g.make_contiguous_at(100..900).map(drop);
        i.write_at(100, &[2; 700]);
        empty.make_unique();
        k.make_unique();
        m.defragment();
        c.collapse(1);
        c.shatter([100; 3]);
        long.into_packet();
    }
    drop((burst, cache, a, c, e, g, i, k, m));
    drop((_b, _d, _f, _h, _j, _l, _n, _p, full, whole, cut, hole, empty));
    assert_empty(&pool);
    assert_eq!(live(&pool), []);
}

#[test]
fn a_claim_says_who_has_a_packet_and_is_over_with_it() {
    let pool = audited();
    let mut packet = Packet::from_slice(&pool, &[1; 5000]).unwrap();
    packet.claim("driver", 3);
    let mut queue = PacketQueue::new();
    queue.push_back(Packet::new(&pool).unwrap()).unwrap();
    queue.push_back(Packet::new(&pool).unwrap()).unwrap();
    queue.claim("queue", 9);
    let claims = |report: AuditReport| -> Vec<_> {
        report
            .live
            .iter()
            .filter(|live| live.what != Buffer::Cluster(Class::Page))
            .map(|l| (l.owner, l.id))
            .collect()
    };
    let of_packet = claims(pool.audit_report());
    assert_eq!(of_packet, [(Some("driver"), 3), (Some("driver"), 3), (Some("queue"), 9), (Some("queue"), 9)]);
    packet.truncate(10);
    packet.claim("stack", 4);
    assert_eq!(claims(pool.audit_report())[0], (Some("stack"), 4));
    assert!(pool.audit_report().to_string().contains("claimed by stack with 4"));
    drop((packet, queue));
    let _fresh = [Packet::new(&pool).unwrap(), Packet::with_class(&pool, Class::Page).unwrap()];
    assert!(claims(pool.audit_report()).iter().all(|claim| *claim == (None, 0)));
    // Not audited: nothing to say, and nothing happens.
    let other = Pool::new();
    Packet::new(&other).unwrap().claim("nobody", 1);
    assert_eq!(other.audit_report().to_string(), "pool mbuf: not audited");
}

#[test]
fn a_history_tells_what_happened_in_this_life_and_the_last() {
    use LifeEvent::{Allocated, Claimed, Copied, Freed, Shared, Split};
    let pool = audited();
    let first = |pool: &Pool| -> Vec<LifeEvent> { pool.audit_report().live[0].history.events().collect() };
    let mut packet = Packet::with_cluster(&pool).unwrap();
    packet.extend(1500).unwrap().fill(1);
    assert_eq!(first(&pool), [Allocated]);
    let tail = packet.split_off(1000).unwrap();
    packet.claim("me", 1);
    assert_eq!(first(&pool), [Allocated, Shared, Split, Claimed]);
    packet.write_at(0, &[9]).unwrap();
    assert_eq!(live(&pool).len(), 3);
    drop(tail);
    drop(packet);
    // The address is that of another mbuf now, or of the same one.
    let again: Vec<_> = (0..8).map(|_| Packet::with_cluster(&pool).unwrap()).collect();
    let report = pool.audit_report();
    let old = report
        .live
        .iter()
        .find(|live| live.history.events().count() > 1)
        .expect("one of them was used before");
    let events: Vec<_> = old.history.events().collect();
    // What is behind the written part was shown by another mbuf, and the part was copied.
    assert_eq!(events, [Allocated, Shared, Split, Claimed, Shared, Copied, Freed, Allocated]);
    assert_eq!(
        old.history.to_string(),
        "allocated, shared, split, claimed, shared, copied, freed, allocated"
    );
    assert_eq!(old.history.last_life().to_string(), "allocated");
    // Sixteen at most.
    for i in 0..20 {
        again.iter().for_each(|packet| packet.claim("again", i));
    }
    assert_eq!(first(&pool), [Claimed; 16]);
    assert_eq!(pool.audit_report().live[0].history.last_life().events().count(), 16);
}

#[test]
fn an_audit_begins_and_ends_while_buffers_are_in_use() {
    let pool = Pool::new();
    assert_eq!((pool.audit(), pool.audit_report().audit), (None, None));
    let before = Packet::with_cluster(&pool).unwrap();
    pool.set_audit(Some(Audit::every()));
    assert_eq!(live(&pool), [], "nobody knows who asked for that");
    let during = Packet::with_cluster(&pool).unwrap();
    drop(before);
    assert_eq!(live(&pool).len(), 1);
    // Another frequency keeps what is known.
    pool.set_audit(Some(Audit::one_in(1 << 30).without_poison()));
    drop(Packet::with_cluster(&pool).unwrap());
    assert_eq!(live(&pool).len(), 1);
    pool.set_audit(None);
    let mirror = during.share().unwrap();
    during.claim("somebody", 1);
    let after = Packet::with_cluster(&pool).unwrap();
    assert!(pool.audit_report().live.is_empty());
    pool.set_audit(Some(Audit::every()));
    drop((during, mirror));
    assert_eq!(live(&pool), []);
    assert_eq!(pool.sysctl().read("kern.ipc.mbuf.audit").unwrap().to_string(), "1");
    pool.sysctl().set("kern.ipc.mbuf.audit", "128").unwrap();
    assert_eq!(pool.audit(), Some(Audit::one_in(128)));
    pool.sysctl().set("kern.ipc.mbuf.audit", "0").unwrap();
    assert_eq!(pool.audit(), None);
    drop(after);
    assert_empty(&pool);
}

#[test]
fn b40_who_prints_a_report_may_allocate_and_take_its_time() {
    struct Slow<'a>(&'a Pool, usize);
    impl std::fmt::Write for Slow<'_> {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            let packet = Packet::with_cluster(self.0).map_err(|_| std::fmt::Error)?;
            std::thread::scope(|s| s.spawn(|| drop(packet)).join()).map_err(|_| std::fmt::Error)?;
            self.1 += text.len();
            Ok(())
        }
    }
    let pool = audited();
    let _held = [Packet::new(&pool).unwrap(), Packet::with_cluster(&pool).unwrap()];
    let mut slow = Slow(&pool, 0);
    std::fmt::write(&mut slow, format_args!("{}", pool.audit_report())).unwrap();
    assert!(slow.1 > 100);
    assert_eq!(live(&pool).len(), 2);
}

#[test]
fn a_sample_is_about_as_large_as_asked_for() {
    let pool = Pool::builder().audit(Audit::one_in(8)).build().unwrap();
    let n = scaled(4000, 100);
    let all: Vec<_> = (0..n).map(|_| Packet::with_cluster(&pool).unwrap()).collect();
    let recorded = live(&pool).len();
    assert!((n / 16..=n / 5).contains(&recorded), "{recorded} of {n}");
    assert!(pool.audit_report().to_string().contains("of one allocation in 8 that is recorded"));
    drop(all);
    assert_eq!(live(&pool), []);
    assert_empty(&pool);
}

#[cfg_attr(mbuf_tsan, ignore = "what goes through caches that are locked is looked at each time")]
#[test]
fn what_comes_and_goes_is_no_sample() {
    let pool = Pool::builder().audit(Audit::one_in(128)).build().unwrap();
    // The serial number of the last of many, which are held at once: some of them are recorded.
    let next = |pool: &Pool| {
        let held: Vec<_> = (0..scaled(1280, 640)).map(|_| Packet::with_cluster(pool).unwrap()).collect();
        let serial = pool.audit_report().live.iter().map(|live| live.serial).max().unwrap();
        drop(held);
        serial
    };
    let (first, second) = (next(&pool), next(&pool));
    for _ in 0..scaled(10_000, 1_000) {
        drop(Packet::with_cluster(&pool).unwrap());
    }
    let third = next(&pool);
    assert!(third - second <= second - first + 1, "{first}, {second}, {third}");
    assert_eq!(live(&pool), []);
    assert_empty(&pool);
}

/// Whatever the buffers are, and however they are cached.
#[cfg_attr(miri, ignore = "statistics of many")]
#[test]
fn samples_for_production_are_one_in_n() {
    let most = 8192;
    let check = |n: u32, locked: bool, what: &str, allocate: &dyn Fn(&Pool) -> Packet| {
        let pool = Pool::builder().audit(Audit::one_in(n)).locked(locked).build().unwrap();
        let all: Vec<_> = (0..most).map(|_| allocate(&pool)).collect();
        let (recorded, expected) = (live(&pool).len(), most / n as usize);
        // Three deviations of what chance may do.
        let off = 3 * expected.isqrt();
        assert!(
            recorded.abs_diff(expected) <= off,
            "{recorded} of {most} {what}, one in {n}, locked: {locked}"
        );
        drop(all);
        assert_eq!(live(&pool), []);
        assert_empty(&pool);
    };
    for (n, locked) in [(128, false), (300, false), (128, true)] {
        check(n, locked, "mbufs", &|pool| Packet::new(pool).unwrap());
        for class in Class::ALL {
            check(n, locked, "pairs", &|pool| Packet::with_class(pool, class).unwrap());
        }
    }
}

#[test]
fn samples_for_production_are_of_what_grows_and_end_when_it_is_freed() {
    let pool = Pool::builder().audit(Audit::one_in(128)).build().unwrap();
    let n = scaled(6400, 1280);
    let mut all: Vec<_> = (0..n).map(|_| Packet::with_cluster(&pool).unwrap()).collect();
    let line = line!() - 1;
    let report = pool.audit_report();
    assert!(report.live.iter().all(|live| live.site.line() == line));
    // On another thread, shared, split, and by way of a queue: each record ends with its mbuf.
    let half = all.split_off(n / 2);
    std::thread::spawn(move || drop(half)).join().unwrap();
    for packet in &mut all {
        packet.extend(100).unwrap().fill(1);
        let copy = packet.share().unwrap();
        drop(packet.split_off(50).unwrap());
        drop(copy);
        packet.write_at(0, &[2]).unwrap();
    }
    assert!(!live(&pool).is_empty());
    drop(all);
    assert_eq!(live(&pool), []);
    assert_empty(&pool);
}

#[test]
fn who_changes_from_everything_to_samples_and_back_is_told_of_no_leaks() {
    let pool = Pool::builder().audit(Audit::every()).build().unwrap();
    let many = if cfg!(miri) { 10 } else { 200 };
    let take = || -> Vec<_> { (0..many).map(|_| Packet::from_slice(&pool, &[1; 3000]).unwrap()).collect() };
    let first = take();
    pool.set_audit(Some(Audit::one_in(128)));
    let second = take();
    pool.set_audit(Some(Audit::every()));
    let third = take();
    drop(second);
    pool.set_audit(Some(Audit::one_in(128)));
    drop((first, third));
    assert_eq!(live(&pool), []);
    pool.set_audit(Some(Audit::every()));
    drop((take(), take()));
    assert_eq!((live(&pool).len(), pool.audit_report().findings.len()), (0, 0));
    assert_empty(&pool);
}

#[test]
fn who_changes_while_threads_work_is_told_of_no_leaks() {
    let pool = Pool::new();
    let (every, samples) = (Some(Audit::every()), Some(Audit::one_in(128)));
    for (before, after) in [(None, every), (samples, every), (every, samples)] {
        for _ in 0..scaled(100, 2) {
            pool.set_audit(before);
            let (working, done) = (AtomicBool::new(false), AtomicBool::new(false));
            std::thread::scope(|s| {
                for _ in 0..2 {
                    s.spawn(|| {
                        while !done.load(Relaxed) {
                            let packet = Packet::with_cluster(&pool).unwrap();
                            drop((packet.share(), packet.duplicate(), Packet::from_owner(&pool, [1; 10])));
                            working.store(true, Relaxed);
                        }
                    });
                }
                while !working.load(Relaxed) {
                    std::thread::yield_now();
                }
                pool.set_audit(after);
                done.store(true, Relaxed);
            });
            assert_eq!(live(&pool), [], "from {before:?} to {after:?}");
        }
    }
    assert_empty(&pool);
}

/// To have a zone wait in the middle takes a page source, and that takes unsafe code.
#[allow(unsafe_code)]
mod gate {
    use std::alloc::Layout;
    use std::ptr::NonNull;

    use mbuf::{Heap, PageSource};

    use super::*;

    /// The heap, which gives 2 KiB clusters only when it is open.
    #[derive(Debug, Default)]
    struct Gate {
        reached: AtomicBool,
        open: AtomicBool,
    }

    #[derive(Debug)]
    struct Gated(Arc<Gate>);

    fn wait_until(what: impl Fn() -> bool) {
        while !what() {
            std::thread::yield_now();
        }
    }

    // SAFETY: the heap is one.
    unsafe impl PageSource for Gated {
        fn acquire(&self, layout: Layout) -> Option<NonNull<u8>> {
            if layout.align() == Class::Cluster.size() {
                self.0.reached.store(true, Relaxed);
                wait_until(|| self.0.open.load(Relaxed));
            }
            Heap.acquire(layout)
        }

        unsafe fn release(&self, run: NonNull<u8>, layout: Layout) {
            // SAFETY: by the contract of this function.
            unsafe { Heap.release(run, layout) };
        }
    }

    #[test]
    fn an_audit_of_everything_begins_when_all_is_shown() {
        let gate = Arc::new(Gate::default());
        let samples = Audit::one_in(128);
        let pool = Pool::builder().pages(Gated(gate.clone())).audit(samples).build().unwrap();
        let external = || Packet::from_owner(&pool, [1; 10]).unwrap();
        std::thread::scope(|s| {
            s.spawn(|| drop(Packet::with_cluster(&pool).unwrap()));
            wait_until(|| gate.reached.load(Relaxed));
            // The zone of 2 KiB clusters is locked.
            s.spawn(|| pool.set_audit(Some(Audit::every())));
            wait_until(|| pool.audit() != Some(samples));
            std::thread::sleep(Duration::from_millis(50));
            // The zone of its record does not know yet that it is to show what comes back.
            drop(external());
            gate.open.store(true, Relaxed);
        });
        assert_eq!(live(&pool), []);
        let packet = external();
        assert!(live(&pool).iter().any(|(what, _)| *what == Buffer::External));
        drop(packet);
        assert_empty(&pool);
    }
}

/// A pool whose audit writes down what it tells.
fn telling(build: impl FnOnce(mbuf::PoolBuilder) -> mbuf::PoolBuilder) -> (Pool, Arc<Mutex<Vec<String>>>) {
    let said = Arc::new(Mutex::new(Vec::new()));
    let sink = said.clone();
    let tell = move |event: &AuditEvent<'_>| sink.lock().unwrap().push(event.to_string());
    let builder = Pool::builder().name("rx").audit(Audit::every()).on_audit(tell);
    (build(builder).build().unwrap(), said)
}

#[test]
fn what_is_left_when_the_last_handle_goes_is_told() {
    let (pool, said) = telling(|builder| builder);
    let left = Packet::with_cluster(&pool).unwrap();
    let site = format!("audit.rs:{}:", line!() - 1);
    let second = pool.clone();
    drop(pool);
    assert!(said.lock().unwrap().is_empty(), "there is another handle");
    drop(second);
    let told = said.lock().unwrap().clone();
    assert_eq!(told.len(), 1);
    assert!(
        told[0].starts_with("the pool is closed and has buffers out; pool rx: in use: 1, 2304 bytes"),
        "{told:?}"
    );
    assert!(told[0].contains(&site), "{told:?} should name {site}");
    drop(left);
    let (pool, said) = telling(|builder| builder);
    drop(Packet::with_cluster(&pool).unwrap());
    drop(pool);
    assert!(said.lock().unwrap().is_empty(), "nothing is left");
}

#[test]
fn a_hook_that_panics_or_allocates_harms_nobody() {
    let (held, calls) = (Arc::new(Mutex::new(None::<Pool>)), Arc::new(AtomicUsize::new(0)));
    let (pool, called) = (held.clone(), calls.clone());
    let tell = move |_: &AuditEvent<'_>| {
        called.fetch_add(1, Relaxed);
        if let Some(pool) = &*pool.lock().unwrap() {
            drop(Packet::with_cluster(pool).unwrap());
            pool.audit_report();
        }
        std::panic::resume_unwind(Box::new("on purpose"));
    };
    let pool = Pool::builder().audit(Audit::every()).on_audit(tell).build().unwrap();
    *held.lock().unwrap() = Some(Pool::new());
    let left = Packet::with_cluster(&pool).unwrap();
    drop(pool);
    assert_eq!(calls.load(Relaxed), 1);
    drop(left);
}

/// To write what is freed takes unsafe code, and is undefined: not for Miri, and other tools that find it first.
#[cfg(not(any(miri, mbuf_asan)))]
#[allow(unsafe_code)]
mod damage {
    use super::*;
    use mbuf::Damage;

    /// Writes where a packet's data area was, `offset` bytes from its first byte of data.
    fn poke(data: *mut u8, offset: usize) {
        // SAFETY: none. The pool still has the memory, and no other thread uses it; the test looks whether it is found.
        unsafe { data.add(offset).write_volatile(0x41) };
    }

    #[test]
    fn a_write_to_a_freed_cluster_is_found_when_it_is_handed_out() {
        let (pool, said) = telling(|builder| builder.headroom(0));
        let mut packet = Packet::with_cluster(&pool).unwrap();
        let site = format!("audit.rs:{}:", line!() - 1);
        let data = packet.extend(100).unwrap().as_mut_ptr();
        drop(packet);
        poke(data, 17);
        assert!(said.lock().unwrap().is_empty(), "nobody looked yet");
        let all: Vec<_> = (0..100).map(|_| Packet::with_cluster(&pool).unwrap()).collect();
        let findings = pool.audit_report().findings;
        assert_eq!(findings.len(), 1);
        let found = &findings[0];
        assert_eq!((found.what, found.damage), (Buffer::Cluster(Class::Cluster), Damage::WrittenAfterFree));
        assert_eq!((found.offset, found.found, found.expected), (17, 0x41, 0xde));
        assert!(found.site.unwrap().to_string().contains(&site));
        assert_eq!(&*found.thread, std::thread::current().name().unwrap());
        let text = "2 KiB cluster was written after it was freed: byte 17 is 0x41 and was 0xde; allocated at";
        assert!(found.to_string().starts_with(text), "{found}");
        assert!(found.to_string().ends_with("(allocated, freed)"), "{found}");
        assert_eq!(*said.lock().unwrap(), [found.to_string()]);
        drop(all);
        assert_eq!(pool.audit_report().findings.len(), 1, "once");
    }

    #[test]
    fn a_write_to_a_freed_mbuf_is_found_too_and_when_memory_goes_back() {
        let (pool, said) = telling(|builder| builder);
        let mut packet = Packet::new(&pool).unwrap();
        let data = packet.extend(10).unwrap().as_mut_ptr();
        drop(packet);
        poke(data, 3);
        pool.trim();
        let findings = pool.audit_report().findings;
        assert_eq!(findings.len(), 1);
        assert_eq!((findings[0].what, findings[0].found), (Buffer::Mbuf, 0x41));
        assert_eq!(*said.lock().unwrap(), [findings[0].to_string()]);
    }

    #[test]
    fn a_write_to_a_freed_buffer_is_told_when_its_pool_is_closed() {
        let (pool, said) = telling(|builder| builder);
        let mut packet = Packet::with_cluster(&pool).unwrap();
        let data = packet.extend(10).unwrap().as_mut_ptr();
        drop(packet);
        poke(data, 3);
        assert!(said.lock().unwrap().is_empty());
        drop(pool);
        let said = said.lock().unwrap();
        assert!(said.len() == 1 && said[0].contains("was written after it was freed"), "{said:?}");
    }

    #[test]
    fn without_poison_nothing_is_filled_and_nothing_found() {
        let pool = Pool::builder().audit(Audit::every().without_poison()).build().unwrap();
        let mut packet = Packet::new(&pool).unwrap();
        let data = packet.extend(10).unwrap().as_mut_ptr();
        drop(packet);
        poke(data, 0);
        pool.trim();
        assert!(pool.audit_report().findings.is_empty());
    }

    #[test]
    fn a_write_behind_a_cluster_is_found_when_it_comes_back() {
        for (class, offset) in
            [(Class::Cluster, 0), (Class::Cluster, 63), (Class::Page, 1), (Class::Jumbo9, 40)]
        {
            let (pool, said) = telling(|builder| builder.headroom(0).guards(true));
            let mut packet = Packet::with_class(&pool, class).unwrap();
            assert_eq!(packet.tailroom(), class.size());
            let data = packet.extend(class.size()).unwrap().as_mut_ptr();
            poke(data, class.size() + offset);
            assert!(pool.audit_report().findings.is_empty());
            drop(packet);
            let findings = pool.audit_report().findings;
            assert_eq!(findings.len(), 1);
            let found = &findings[0];
            assert_eq!((found.what, found.damage), (Buffer::Cluster(class), Damage::Overrun));
            assert_eq!((found.offset, found.found, found.expected), (class.size() + offset, 0x41, 0xfd));
            assert!(said.lock().unwrap()[0].contains("was written beyond its end"));
            drop(Packet::with_class(&pool, class).unwrap());
            assert_eq!(pool.audit_report().findings.len(), 1, "it was mended");
        }
    }

    #[test]
    fn findings_are_counted_beyond_those_kept() {
        let pool = Pool::builder().audit(Audit::every()).build().unwrap();
        for _ in 0..70 {
            let mut packet = Packet::new(&pool).unwrap();
            let data = packet.extend(10).unwrap().as_mut_ptr();
            drop(packet);
            poke(data, 0);
        }
        pool.trim();
        let report = pool.audit_report();
        assert_eq!((report.findings.len(), report.more_findings), (64, 6));
        assert!(report.to_string().ends_with("and 6 more of the kind"));
    }
}

#[test]
fn a_scope_that_ends_empty_is_fine_and_one_that_does_not_names_the_line() {
    let pool = Pool::new();
    let before = Packet::new(&pool).unwrap();
    let scope = pool.leak_scope();
    let outer = Packet::new(&pool).unwrap();
    let inner = pool.leak_scope();
    drop(Packet::with_cluster(&pool).unwrap());
    assert!(inner.end().is_ok());
    let report = scope.end().unwrap_err();
    assert_eq!(report.live.len(), 1);
    assert_eq!(report.live[0].site.line(), line!() - 6);
    assert_eq!(pool.audit(), None);
    assert!(pool.audit_report().audit.is_none(), "nobody audits any more");

    let scope = pool.leak_scope();
    let kept = Mutex::new(None);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _scope = scope;
        std::thread::scope(|s| {
            s.spawn(|| kept.lock().unwrap().replace(Packet::new(&pool).unwrap())).join().unwrap()
        });
    }));
    let message = *caught.unwrap_err().downcast::<String>().unwrap();
    assert!(message.starts_with("not everything that was allocated is back"), "{message}");
    assert!(message.contains(&format!("audit.rs:{}:", line!() - 5)), "{message}");
    drop((before, outer));
    assert_eq!(in_use(&pool).mbufs, 1);
}

#[test]
fn threads_and_switches_lose_nothing_and_find_nothing() {
    let pool = Pool::builder().guards(true).mbufs(400).clusters(200).build().unwrap();
    let rounds = scaled(3000, 20);
    std::thread::scope(|s| {
        for seed in 0..3 {
            let pool = &pool;
            s.spawn(move || {
                let mut rng = mbuf_testkit::Rng::new(seed);
                let mut held: Vec<Packet> = Vec::new();
                for _ in 0..rounds {
                    match rng.word() % 6 {
                        0 | 1 => held.extend(Packet::with_cluster(pool)),
                        2 => held.extend(Packet::from_slice(pool, &[7; 3000])),
                        3 => held.extend(held.first().and_then(|packet| packet.share().ok())),
                        4 => held.truncate(held.len() / 2),
                        _ => held.iter().for_each(|packet| packet.claim("thread", seed as u32)),
                    }
                    if held.len() > 40 {
                        held.drain(..20);
                    }
                }
            });
        }
        for i in 0..scaled(200, 6) {
            pool.set_audit(
                [None, Some(Audit::every()), Some(Audit::one_in(5)), Some(Audit::one_in(128))][i % 4],
            );
            if i % 7 == 0 {
                pool.trim();
            }
            let report = pool.audit_report();
            assert!(report.findings.is_empty(), "{report}");
            std::thread::yield_now();
        }
    });
    assert!(pool.audit_report().findings.is_empty(), "{}", pool.audit_report());
    assert_empty(&pool);
    pool.set_audit(Some(Audit::every()));
    drop(Packet::with_cluster(&pool).unwrap());
    pool.trim();
    assert_eq!((live(&pool), pool.audit_report().findings.len()), (vec![], 0));
}
