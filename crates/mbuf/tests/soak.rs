//! A long life in one process, at the limit and with allocations that fail on purpose: nothing is lost, and the process
//! does not grow.
//!
//! `MBUF_SOAK_SECONDS` (default: 3) is how long it runs.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mbuf::{Fault, OpError, Packet, Pool};
use mbuf_testkit::{Op, Rng, World, assert_empty, pattern};

const MBUFS: usize = 600;
const CLUSTERS: usize = 200;
/// Packets that wait for another thread, at most.
const POST: usize = 100;

fn ops(rng: &mut Rng, n: usize) -> Vec<Op> {
    (0..n)
        .map(|_| {
            let word = rng.word().to_le_bytes();
            Op::from_words([0, 2, 4, 6].map(|i| u16::from_le_bytes([word[i], word[i + 1]])))
        })
        .collect()
}

/// Worlds one after the other; each compares everything with plain vectors, and ends with empty pools.
fn worlds(mut rng: Rng, end: Instant) -> usize {
    let mut n = 0;
    while Instant::now() < end {
        let mut world = World::with_fault(Fault::one_in(rng.between(2, 200) as u32, rng.word() as u32));
        world.play(ops(&mut rng, 300));
        n += 300;
    }
    n
}

/// Traffic of several threads on one pool: packets are made, changed, handed over, freed by whoever has them.
fn traffic(pool: &Pool, post: &Mutex<Vec<(Packet, Vec<u8>)>>, mut rng: Rng, end: Instant) -> (usize, usize) {
    let (mut done, mut failed) = (0, 0);
    while Instant::now() < end {
        for _ in 0..500 {
            let taken = if rng.below(3) == 0 { post.lock().unwrap().pop() } else { None };
            let made = || {
                let bytes: Vec<u8> = (0..rng.below(3000)).map(pattern).collect();
                Ok((Packet::from_slice(pool, &bytes)?, bytes))
            };
            let step = taken.map_or_else(made, Ok).and_then(|(mut packet, mut bytes)| {
                assert_eq!(packet, bytes, "somebody else wrote here");
                let result = change(&mut packet, &mut bytes, &mut rng);
                assert_eq!(packet, bytes, "an operation that failed changed something: {result:?}");
                let mut post = post.lock().unwrap();
                if post.len() < POST {
                    post.push((packet, bytes));
                }
                result
            });
            match step {
                Ok(()) => done += 1,
                Err(_) => failed += 1,
            }
        }
    }
    (done, failed)
}

fn change(packet: &mut Packet, bytes: &mut Vec<u8>, rng: &mut Rng) -> Result<(), OpError> {
    let at = rng.below(bytes.len() + 1);
    match rng.below(6) {
        0 => {
            let copy = packet.share_range(at..)?;
            packet.append(copy).map_err(|refused| refused.error)?;
            bytes.extend_from_within(at..);
            packet.truncate(9000);
            bytes.truncate(9000);
        }
        1 => {
            let tail = packet.split_off(at)?;
            assert_eq!(tail, bytes[at..]);
            bytes.truncate(at);
        }
        2 => {
            packet.write_at(at, &[0x77; 300])?;
            bytes.resize(bytes.len().max(at + 300), 0);
            bytes[at..at + 300].fill(0x77);
        }
        3 => {
            packet.prepend_slice(&[0x33; 60])?;
            bytes.splice(..0, [0x33; 60]);
        }
        4 => *packet = packet.duplicate()?,
        _ => packet.defragment()?,
    }
    Ok(())
}

/// Bytes of memory that the process has, where the system tells.
fn resident() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(text.split(' ').nth(1)?.parse::<usize>().ok()? * 4096)
}

#[cfg_attr(miri, ignore = "runs for a time, not for a number of steps")]
#[test]
fn a_long_life_at_the_limit_with_faults_loses_nothing_and_does_not_grow() {
    let seconds = std::env::var("MBUF_SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let length = Duration::from_secs(seconds);
    let pool = Pool::builder().name("soak").mbufs(MBUFS).clusters(CLUSTERS).jumbo_pages(20).build().unwrap();
    pool.inject([Fault::one_in(40, 9)]);
    let post = Mutex::default();
    let start = Instant::now();
    let end = start + length;
    let (modelled, warm) = (AtomicUsize::new(0), Mutex::new(None));
    let (done, failed) = thread::scope(|scope| {
        scope.spawn(|| modelled.fetch_add(worlds(Rng::new(1), end), Ordering::Relaxed));
        scope.spawn(|| {
            thread::sleep(length / 3);
            *warm.lock().unwrap() = resident();
        });
        let (pool, post) = (&pool, &post);
        let threads: Vec<_> =
            (2..5).map(|seed| scope.spawn(move || traffic(pool, post, Rng::new(seed), end))).collect();
        let all = threads.into_iter().map(|thread| thread.join().unwrap());
        all.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    });
    let faults = pool.stats().faults;
    drop(post);
    assert_empty(&pool);
    assert!(done > failed && faults > 0 && failed > 0, "{done} done, {failed} failed, {faults} faults");
    if let (Some(warm), Some(now)) = (warm.into_inner().unwrap(), resident()) {
        println!(
            "{done} operations on a shared pool, {failed} failed, {faults} faults; {} in worlds of their own; {} KiB \
             resident after a third of {seconds} s, {} KiB in the end",
            modelled.into_inner(),
            warm >> 10,
            now >> 10
        );
        // What the allocator of the system keeps for itself moves by some. AddressSanitizer keeps what is freed.
        assert!(cfg!(mbuf_asan) || now <= warm + (16 << 20), "grew from {warm} to {now} bytes");
    }
}
