//! Threads that allocate, share, hand over and free at the limit: nobody is refused a buffer that is free, none is lost,
//! and the memory goes back.
//!
//! `MBUF_STRESS_SECONDS` (default: 2) is how long each of the two tests runs.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use mbuf::{Packet, Pool};
use mbuf_testkit::{Rng, assert_empty};

const MBUFS: usize = 3000;
const CLUSTERS: usize = 2000;
const THREADS: usize = 8;

/// Permits for a kind of buffer: who has one must get one.
#[derive(Default)]
struct Permits(AtomicUsize);

impl Permits {
    fn take(&self, n: usize) -> bool {
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(n)).is_ok()
    }

    fn give(&self, n: usize) {
        self.0.fetch_add(n, Ordering::AcqRel);
    }
}

struct World {
    pool: Pool,
    mbufs: Permits,
    clusters: Permits,
    /// Packets on their way to whoever takes them first.
    post: Mutex<Vec<Held>>,
    over: AtomicBool,
    /// Allocations, those refused although they were permitted, hand-overs.
    gets: AtomicUsize,
    refused: AtomicUsize,
    posted: AtomicUsize,
    /// Times there was no permit: the limit was reached.
    full: AtomicUsize,
}

/// The permit of a cluster, given back when the last packet that shows it is gone.
struct Cluster(Arc<World>);

impl Drop for Cluster {
    fn drop(&mut self) {
        self.0.clusters.give(1);
    }
}

/// A packet of one segment and its permits.
struct Held {
    // The order matters: the packet goes before its permits do.
    packet: Option<Packet>,
    _cluster: Option<Arc<Cluster>>,
    stamp: u64,
    world: Arc<World>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let packet = self.packet.take().expect("it is taken here alone");
        assert_eq!(
            packet.read_array::<8>(0).map(u64::from_le_bytes),
            Ok(self.stamp),
            "somebody else wrote here"
        );
        drop(packet);
        self.world.mbufs.give(1);
    }
}

impl World {
    fn new(pool: Pool) -> Arc<Self> {
        Arc::new(World {
            pool,
            mbufs: Permits(AtomicUsize::new(MBUFS)),
            clusters: Permits(AtomicUsize::new(CLUSTERS)),
            post: Mutex::default(),
            over: AtomicBool::new(false),
            gets: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            posted: AtomicUsize::new(0),
            full: AtomicUsize::new(0),
        })
    }

    fn take(self: &Arc<Self>, with_cluster: bool, stamp: u64) -> Option<Held> {
        if !self.mbufs.take(1) {
            self.full.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let cluster = if with_cluster {
            if !self.clusters.take(1) {
                self.full.fetch_add(1, Ordering::Relaxed);
                self.mbufs.give(1);
                return None;
            }
            Some(Arc::new(Cluster(self.clone())))
        } else {
            None
        };
        self.gets.fetch_add(1, Ordering::Relaxed);
        let got = if with_cluster { Packet::with_cluster(&self.pool) } else { Packet::new(&self.pool) };
        let Ok(mut packet) = got else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            self.mbufs.give(1);
            return None;
        };
        packet.extend_from_slice(&stamp.to_le_bytes()).expect("there is room");
        Some(Held { packet: Some(packet), _cluster: cluster, stamp, world: self.clone() })
    }

    fn share(self: &Arc<Self>, of: &Held) -> Option<Held> {
        if !self.mbufs.take(1) {
            self.full.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.gets.fetch_add(1, Ordering::Relaxed);
        let Ok(copy) = of.packet.as_ref().expect("it is there").share() else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            self.mbufs.give(1);
            return None;
        };
        Some(Held { packet: Some(copy), _cluster: of._cluster.clone(), stamp: of.stamp, world: self.clone() })
    }

    /// A thread's life: some thousand steps. Returns, or dies, with what it had in its caches.
    fn live(self: &Arc<Self>, rng: &mut Rng) {
        let mut held: Vec<Held> = Vec::new();
        for _ in 0..rng.between(100, 20_000) {
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            match rng.below(16) {
                0..5 => held.extend(self.take(true, rng.word())),
                5..7 => held.extend(self.take(false, rng.word())),
                7..10 if !held.is_empty() => {
                    let copy = self.share(&held[rng.below(held.len())]);
                    held.extend(copy);
                }
                10 if !held.is_empty() => {
                    let gone = held.swap_remove(rng.below(held.len()));
                    self.post.lock().unwrap().push(gone);
                    self.posted.fetch_add(1, Ordering::Relaxed);
                }
                11 => {
                    let came = self.post.lock().unwrap().pop();
                    held.extend(came);
                }
                12 if rng.below(200) == 0 => thread::sleep(Duration::from_millis(1)),
                _ => {
                    // Now and then many at once, so that caches overflow into the depot.
                    let n = if rng.below(600) == 0 { held.len() } else { rng.below(4).min(held.len()) };
                    for _ in 0..n {
                        drop(held.swap_remove(rng.below(held.len())));
                    }
                }
            }
        }
    }
}

fn seconds() -> Duration {
    let text = std::env::var("MBUF_STRESS_SECONDS").ok();
    Duration::from_secs(text.and_then(|text| text.parse().ok()).unwrap_or(2))
}

fn run(pool: Pool) {
    let world = World::new(pool);
    // Fill every class once, so that all there is was made and rests in this thread's caches, which sees no more use.
    let all: Vec<Held> = (0..CLUSTERS).map(|i| world.take(true, i as u64).expect("all are free")).collect();
    drop(all);
    let end = Instant::now() + seconds();
    let lives: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|seed| {
                let world = &world;
                scope.spawn(move || {
                    let mut rng = Rng::new(seed as u64);
                    let mut lives = 0;
                    while Instant::now() < end {
                        // Each life on a thread of its own; every fourth ends in a panic.
                        let (mut own, panics) = (Rng::new(rng.word()), rng.below(4) == 0);
                        let life = world.clone();
                        let ended = thread::spawn(move || {
                            life.live(&mut own);
                            if panics {
                                std::panic::resume_unwind(Box::new("on purpose"));
                            }
                        });
                        assert_eq!(ended.join().is_err(), panics, "a life ended otherwise than it should");
                        lives += 1;
                    }
                    lives
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    world.post.lock().unwrap().clear();
    let count = |n: &AtomicUsize| n.load(Ordering::Relaxed);
    println!(
        "{} allocations in {lives} lives, {} handed over, {} times at the limit",
        count(&world.gets),
        count(&world.posted),
        count(&world.full)
    );
    assert_eq!(count(&world.refused), 0, "refused although fewer were in use than the limit");
    assert!(count(&world.full) > 0, "the limit was never reached: this tested nothing");
    assert_eq!((count(&world.mbufs.0), count(&world.clusters.0)), (MBUFS, CLUSTERS), "permits were lost");
    let stats = world.pool.stats();
    assert_eq!((stats.mbufs.current, stats.clusters.current), (0, 0), "buffers were lost");
    // Quiet: exactly as many as the limit can be had.
    let all: Vec<_> = (0..CLUSTERS).map(|_| Packet::with_cluster(&world.pool).unwrap()).collect();
    assert!(Packet::with_cluster(&world.pool).is_err());
    let rest: Vec<_> = (CLUSTERS..MBUFS).map(|_| Packet::new(&world.pool).unwrap()).collect();
    assert!(Packet::new(&world.pool).is_err());
    drop((all, rest));
    assert_empty(&world.pool);
}

#[cfg_attr(miri, ignore = "runs for a time, not for a number of steps")]
#[test]
fn nobody_is_refused_a_free_buffer_and_none_is_lost() {
    run(Pool::builder().mbufs(MBUFS).clusters(CLUSTERS).build().unwrap());
}

#[cfg_attr(miri, ignore = "runs for a time, not for a number of steps")]
#[test]
fn nor_without_barriers() {
    run(Pool::builder().mbufs(MBUFS).clusters(CLUSTERS).locked(true).build().unwrap());
}

/// A packet whose cluster stays with another one is freed without it: that must not take a cluster that is free from
/// those who may have it.
#[cfg_attr(miri, ignore = "runs for a time, not for a number of steps")]
#[test]
fn a_packet_that_loses_its_cluster_takes_none_from_others() {
    const MBUFS: usize = 9;
    const CLUSTERS: usize = 4;
    let pool = Pool::builder().mbufs(MBUFS).clusters(CLUSTERS).build().unwrap();
    let (mbufs, clusters) = (Permits(AtomicUsize::new(MBUFS)), Permits(AtomicUsize::new(CLUSTERS)));
    let (served, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let end = Instant::now() + seconds() / 4;
    thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| {
                while Instant::now() < end {
                    if !mbufs.take(2) {
                        continue;
                    }
                    if clusters.take(1) {
                        let one_and_another = || {
                            let mut packet = Packet::with_cluster(&pool)?;
                            packet.extend(10)?;
                            let copy = packet.share()?;
                            drop(packet);
                            Ok::<_, mbuf::OpError>(copy)
                        };
                        match one_and_another() {
                            Ok(_) => served.fetch_add(1, Ordering::Relaxed),
                            Err(_) => refused.fetch_add(1, Ordering::Relaxed),
                        };
                        clusters.give(1);
                    }
                    mbufs.give(2);
                }
            });
        }
    });
    assert!(served.into_inner() > 100);
    assert_eq!(refused.into_inner(), 0, "refused although fewer were in use than the limit");
    assert_empty(&pool);
}
