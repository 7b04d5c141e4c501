//! Pools of many sizes: alloc and free, and what goes over the whole pool or over all caches.

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mbuf::{AllocError, Mmap, Packet, Pool};

use crate::Settings;
use crate::plot::{Line, Plot};
use crate::report::{Section, both, number, power};
use crate::sample::{Random, Samples};
use crate::system::{pin, time};

/// What a pool is made of.
#[derive(Clone, Copy)]
enum Kind {
    Mbufs,
    Packets,
}

impl Kind {
    fn pool(self, limit: Option<usize>) -> Pool {
        let builder = Pool::builder().pages(Mmap::new());
        let builder = match (self, limit) {
            (_, None) => builder,
            (Kind::Mbufs, Some(limit)) => builder.mbufs(limit),
            (Kind::Packets, Some(limit)) => builder.mbufs(limit).clusters(limit),
        };
        builder.build().expect("these settings fit")
    }

    #[inline(always)]
    fn get(self, pool: &Pool) -> Result<Packet, AllocError> {
        match self {
            Kind::Mbufs => Packet::new(pool),
            Kind::Packets => Packet::with_cluster(pool),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Mbufs => "mbufs",
            Kind::Packets => "packets with cluster",
        }
    }
}

const BURST: usize = 64;

/// A pool with a limit, all of whose buffers are in use but for a few.
struct Full {
    kind: Kind,
    pool: Pool,
    held: Vec<Option<Packet>>,
    random: Random,
}

impl Full {
    fn new(kind: Kind, n: usize, free: usize) -> Self {
        let pool = kind.pool(Some(n));
        let held = (0..n).map(|_| Some(kind.get(&pool).expect("within the limit"))).collect();
        let mut full = Full { kind, pool, held, random: Random::new(7) };
        // Of any age at any place.
        full.random.shuffle(&mut full.held);
        full.held.truncate(n - free);
        full
    }

    fn get(&self) -> Packet {
        self.kind.get(&self.pool).expect("one is free")
    }

    /// Bursts of the same packets again and again.
    fn hot(&mut self) -> f64 {
        const TIMES: usize = 256;
        let mut burst = Vec::with_capacity(BURST);
        let took = time(|| {
            for _ in 0..TIMES {
                burst.extend((0..BURST).map(|_| self.get()));
                burst.clear();
            }
        });
        took / (TIMES * BURST) as f64
    }

    /// One of any age is freed, one is allocated.
    fn random(&mut self) -> f64 {
        const TIMES: usize = 1 << 14;
        let took = time(|| {
            for _ in 0..TIMES {
                let i = self.random.below(self.held.len());
                self.held[i] = None;
                self.held[i] = Some(self.get());
            }
        });
        took / TIMES as f64
    }

    /// Some of any age are freed, as many allocated: more than the magazines hold.
    fn random_many(&mut self) -> f64 {
        const TIMES: usize = 32;
        const MANY: usize = 512;
        let took = time(|| {
            let mut places = [0; MANY];
            for _ in 0..TIMES {
                for place in &mut places {
                    *place = self.random.below(self.held.len());
                    self.held[*place] = None;
                }
                for place in places {
                    if self.held[place].is_none() {
                        self.held[place] = Some(self.get());
                    }
                }
            }
        });
        took / (TIMES * MANY) as f64
    }

    /// One of any age is looked at: what memory alone costs.
    fn visit(&mut self) -> f64 {
        const TIMES: usize = 1 << 14;
        let took = time(|| {
            for _ in 0..TIMES {
                let i = self.random.below(self.held.len());
                black_box(self.held[i].as_ref().is_some_and(Packet::is_writable));
            }
        });
        took / TIMES as f64
    }

    /// An allocation that is refused, in µs.
    fn refused(&mut self) -> f64 {
        const TIMES: usize = 256;
        let rest: Vec<_> = (0..BURST).map(|_| self.get()).collect();
        let took = time(|| {
            for _ in 0..TIMES {
                assert!(self.kind.get(&self.pool).is_err(), "everything is in use");
            }
        });
        drop(rest);
        took / TIMES as f64 / 1000.0
    }

    /// A trim with one burst free, in µs.
    fn trim(&mut self) -> f64 {
        drop((0..BURST).map(|_| self.get()).collect::<Vec<_>>());
        time(|| _ = black_box(self.pool.trim())) / 1000.0
    }

    fn stats(&self) -> f64 {
        time(|| _ = black_box(self.pool.stats())) / 1000.0
    }
}

/// An allocation at the limit while the caches of other threads hold all that is free, `each` of them so many, in µs. The
/// others spin, or sleep.
fn collections(full: &Full, threads: usize, each: usize, spin: bool, n: usize) -> Samples {
    let together = Barrier::new(threads + 1);
    let (go_on, end) = (AtomicBool::new(false), AtomicBool::new(false));
    let (together, go_on, end) = (&together, &go_on, &end);
    let mut left = n;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                pin(thread + 1);
                while !end.load(Ordering::Acquire) {
                    // All take, then all free: each has its part in its cache.
                    let part: Vec<_> = (0..each).map(|_| full.get()).collect();
                    together.wait();
                    drop(part);
                    together.wait();
                    while spin && !go_on.load(Ordering::Acquire) {
                        std::hint::spin_loop();
                    }
                    together.wait();
                }
            });
        }
        Samples::of(n, || {
            together.wait();
            together.wait();
            // By now the others do what they will do meanwhile.
            std::thread::sleep(Duration::from_micros(100));
            let mut packet = None;
            let took = time(|| packet = Some(full.get()));
            drop(packet);
            left -= 1;
            end.store(left == 0, Ordering::Release);
            go_on.store(true, Ordering::Release);
            together.wait();
            go_on.store(false, Ordering::Release);
            took / 1000.0
        })
    })
}

/// What was measured with a pool of one size.
struct Sized {
    exponent: u32,
    hot: Samples,
    random: Samples,
    random_many: Samples,
    visit: Samples,
    collection: Samples,
    refused: Samples,
    trim: Samples,
    stats: Samples,
    stats_free: Samples,
    trim_all: f64,
}

fn sized(kind: Kind, exponent: u32, rounds: usize) -> Sized {
    let n = 1 << exponent;
    let mut full = Full::new(kind, n, BURST);
    let many = rounds * 4;
    let hot = Samples::of(many, || full.hot());
    let random = Samples::of(many, || full.random());
    let random_many = Samples::of(many, || full.random_many());
    let visit = Samples::of(many, || full.visit());
    let collection = collections(&full, 1, BURST, true, many);
    let refused = Samples::of(many, || full.refused());
    let trim = Samples::of(many, || full.trim());
    let stats = Samples::of(many, || full.stats());
    full.held.truncate(n / 2);
    let stats_free = Samples::of(many, || full.stats());
    full.held.clear();
    let trim_all = time(|| assert!(full.pool.trim() > 0, "all slabs are empty")) / n as f64;
    Sized {
        exponent,
        hot,
        random,
        random_many,
        visit,
        collection,
        refused,
        trim,
        stats,
        stats_free,
        trim_all,
    }
}

pub fn measure(settings: &Settings) -> Section {
    pin(0);
    let mut section = Section::default();
    for kind in [Kind::Mbufs, Kind::Packets] {
        let rows: Vec<_> =
            (10..=settings.largest).step_by(2).map(|it| sized(kind, it, settings.rounds)).collect();
        section.say(format!("Pools of {}, all in use but for 64. First ns (best / median):", kind.name()));
        let head = [
            "buffers",
            "burst of 64, each",
            "free one of any age, allocate one",
            "512 of any age, each",
            "only look at one of any age",
            "trim of all when free, each",
        ];
        section.table(
            &head,
            rows.iter().map(|row| {
                let Sized { hot, random, random_many, visit, .. } = row;
                vec![
                    power(row.exponent),
                    both(hot),
                    both(random),
                    both(random_many),
                    both(visit),
                    number(row.trim_all),
                ]
            }),
        );
        section.say("Then µs (best / median):");
        let head = [
            "buffers",
            "allocation that collects 64 from a running thread's cache",
            "allocation refused",
            "trim, 64 free",
            "stats",
            "stats, half of it free",
        ];
        section.table(
            &head,
            rows.iter().map(|row| {
                let Sized { collection, refused, trim, stats, stats_free, .. } = row;
                vec![
                    power(row.exponent),
                    both(collection),
                    both(refused),
                    both(trim),
                    both(stats),
                    both(stats_free),
                ]
            }),
        );
        let line = |name: &str, of: fn(&Sized) -> &Samples| Line {
            name: name.into(),
            points: rows.iter().map(|row| (f64::from(1 << row.exponent), of(row).median())).collect(),
        };
        section.plots.push(Plot {
            name: match kind {
                Kind::Mbufs => "size-mbufs",
                Kind::Packets => "size-packets",
            },
            title: match kind {
                Kind::Mbufs => "mbufs: alloc and free by the size of the pool",
                Kind::Packets => "packets with cluster: alloc and free by the size of the pool",
            },
            x: "buffers in the pool",
            y: "ns, median",
            lines: vec![
                line("burst of 64", |row| &row.hot),
                line("free one of any age, allocate one", |row| &row.random),
                line("free 512 of any age, allocate 512", |row| &row.random_many),
                line("only look at one of any age", |row| &row.visit),
            ],
        });
    }
    collections_by_caches(&mut section, settings);
    section
}

fn collections_by_caches(section: &mut Section, settings: &Settings) {
    section.say("An allocation that collects, of 2^16 packets with cluster, by what there is to collect; µs (best / median):");
    let head = ["caches", "packets in each", "their threads sleep", "one of them runs"];
    let mut rows = Vec::new();
    for threads in [1, 4, 16, 64] {
        for each in [2, 32, 128] {
            let full = Full::new(Kind::Packets, 1 << 16, threads * each);
            let asleep = collections(&full, threads, each, false, settings.rounds * 4);
            let running = (threads == 1).then(|| collections(&full, 1, each, true, settings.rounds * 4));
            rows.push(vec![
                threads.to_string(),
                each.to_string(),
                both(&asleep),
                running.map_or("–".into(), |it| both(&it)),
            ]);
        }
    }
    section.table(&head, rows);
}
