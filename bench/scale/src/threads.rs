//! Threads that allocate and free, where some packets are freed by another thread than the one that allocated them.
//!
//! Each thread has a window of packets. In each step it takes one of them, frees it or sends it to another thread, and
//! allocates another. What others sent to it, it frees.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_queue::ArrayQueue;
use mbuf::{Packet, Pool, PoolStats};

use crate::Settings;
use crate::plot::{Line, Plot};
use crate::report::{Section, both, number};
use crate::sample::{Random, Samples};
use crate::system::{cpu_time, pin};

/// Packets that a thread has.
const WINDOW: usize = 256;
/// Places in a thread's queue.
const QUEUE: usize = 64;
/// Packets that a limited pool has beyond the windows, for each thread: more than the queues have places for, so that
/// none is refused; less than the magazines.
const SLACK: usize = 96;
/// Steps of all threads in a sample.
const STEPS: usize = 400_000;

const THREADS: [usize; 5] = [1, 2, 4, 8, 16];
const SHARES: [usize; 4] = [0, 10, 50, 100];

/// What is allocated and freed.
trait Work: Sync {
    type Item: Send;
    fn get(&self) -> Option<Self::Item>;
    fn put(&self, item: Self::Item);
}

impl Work for Pool {
    type Item = Packet;

    #[inline(always)]
    fn get(&self) -> Option<Packet> {
        Packet::with_cluster(self).ok()
    }

    #[inline(always)]
    fn put(&self, packet: Packet) {
        drop(packet);
    }
}

/// The system's allocator.
struct Malloc;

impl Work for Malloc {
    type Item = Vec<u8>;

    #[inline(always)]
    fn get(&self) -> Option<Vec<u8>> {
        Some(black_box(Vec::with_capacity(2304)))
    }

    #[inline(always)]
    fn put(&self, item: Vec<u8>) {
        drop(item);
    }
}

/// Windows and queues alone.
struct Nothing;

impl Work for Nothing {
    type Item = usize;

    #[inline(always)]
    fn get(&self) -> Option<usize> {
        Some(black_box(1))
    }

    #[inline(always)]
    fn put(&self, item: usize) {
        black_box(item);
    }
}

/// Of all steps of a sample.
#[derive(Default)]
struct Took {
    wall: Duration,
    cpu: Duration,
    refused: usize,
}

/// What `look` is called for: once a millisecond, and at the end.
fn run<W: Work>(work: &W, threads: usize, share: usize, mut look: Option<&mut dyn FnMut()>) -> Took {
    let inboxes: Vec<ArrayQueue<W::Item>> = (0..threads).map(|_| ArrayQueue::new(QUEUE)).collect();
    let (ready, at_work) = (AtomicUsize::new(0), AtomicUsize::new(threads));
    let (inboxes, ready, at_work) = (&inboxes, &ready, &at_work);
    let ending = &AtomicBool::new(look.is_some());
    let took: Vec<(Instant, Instant, Duration, usize)> = std::thread::scope(|scope| {
        let spawn = |me| {
            scope.spawn(move || {
                pin(me);
                let mut thread = Thread {
                    work,
                    me,
                    inboxes,
                    share,
                    random: Random::new(me as u64 + 1),
                    window: (0..WINDOW).map(|_| None).collect(),
                    refused: 0,
                };
                thread.fill();
                thread.steps(STEPS / threads / 4);
                // Who is ready first frees what the others still send.
                ready.fetch_add(1, Ordering::SeqCst);
                while ready.load(Ordering::SeqCst) < threads {
                    thread.receive();
                    std::thread::yield_now();
                }
                let (start, cpu) = (Instant::now(), cpu_time());
                thread.refused = 0;
                thread.steps(STEPS / threads);
                let (end, cpu) = (Instant::now(), cpu_time() - cpu);
                at_work.fetch_sub(1, Ordering::SeqCst);
                // Others may wait for room in the queue, or for what is in it; the looker for what caches hold.
                while at_work.load(Ordering::SeqCst) > 0 || ending.load(Ordering::SeqCst) {
                    thread.receive();
                    std::thread::sleep(Duration::from_micros(50));
                }
                thread.receive();
                (start, end, cpu, thread.refused)
            })
        };
        let handles: Vec<_> = (0..threads).map(spawn).collect();
        if let Some(look) = &mut look {
            while at_work.load(Ordering::SeqCst) > 0 {
                look();
                std::thread::sleep(Duration::from_millis(1));
            }
            // All queues are empty by then.
            std::thread::sleep(Duration::from_millis(5));
            look();
            ending.store(false, Ordering::SeqCst);
        }
        handles.into_iter().map(|handle| handle.join().expect("no thread panics")).collect()
    });
    let start = took.iter().map(|it| it.0).min().expect("there is a thread");
    let end = took.iter().map(|it| it.1).max().expect("there is a thread");
    Took {
        wall: end - start,
        cpu: took.iter().map(|it| it.2).sum(),
        refused: took.iter().map(|it| it.3).sum(),
    }
}

struct Thread<'a, W: Work> {
    work: &'a W,
    me: usize,
    inboxes: &'a [ArrayQueue<W::Item>],
    share: usize,
    random: Random,
    window: Vec<Option<W::Item>>,
    refused: usize,
}

impl<W: Work> Thread<'_, W> {
    fn fill(&mut self) {
        for i in 0..WINDOW {
            self.window[i] = Some(self.get());
        }
    }

    fn get(&mut self) -> W::Item {
        loop {
            if let Some(item) = self.work.get() {
                return item;
            }
            self.refused += 1;
            self.receive();
            std::thread::yield_now();
        }
    }

    fn receive(&mut self) {
        while let Some(item) = self.inboxes[self.me].pop() {
            self.work.put(item);
        }
    }

    fn send(&mut self, mut item: W::Item) {
        let other = (self.me + 1 + self.random.below(self.inboxes.len() - 1)) % self.inboxes.len();
        while let Err(back) = self.inboxes[other].push(item) {
            item = back;
            self.receive();
            std::thread::yield_now();
        }
    }

    fn steps(&mut self, n: usize) {
        for step in 0..n {
            if step % 8 == 0 {
                self.receive();
            }
            let i = self.random.below(WINDOW);
            if let Some(item) = self.window[i].take() {
                if self.random.below(100) < self.share { self.send(item) } else { self.work.put(item) }
            }
            self.window[i] = Some(self.get());
        }
    }
}

fn pool(threads: usize, limited: bool) -> Pool {
    if !limited {
        return Pool::new();
    }
    Pool::builder().clusters(threads * (WINDOW + SLACK)).build().expect("these settings fit")
}

/// Samples of one thing, by thread time and by the clock on the wall.
#[derive(Default)]
struct Timed {
    cpu: Samples,
    wall: Samples,
}

impl Timed {
    fn add(&mut self, took: &Took, steps: usize) {
        self.cpu.add(took.cpu.as_nanos() as f64 / steps as f64);
        self.wall.add(took.wall.as_nanos() as f64 / steps as f64);
    }
}

#[derive(Default)]
struct Row {
    threads: usize,
    share: usize,
    nothing: Timed,
    malloc: Timed,
    unlimited: Timed,
    limited: Timed,
    /// Per 1000 steps, at the limit.
    refused: Samples,
    collections: Samples,
}

fn row_of(threads: usize, share: usize) -> Row {
    Row { threads, share, ..Row::default() }
}

pub fn measure(settings: &Settings) -> Section {
    let mut rows: Vec<Row> = THREADS
        .iter()
        .flat_map(|&threads| SHARES.iter().map(move |&share| row_of(threads, share)))
        .filter(|row| row.threads > 1 || row.share == 0)
        .collect();
    for _ in 0..settings.rounds {
        for row in &mut rows {
            let (threads, share) = (row.threads, row.share);
            let steps = STEPS / threads * threads;
            row.nothing.add(&run(&Nothing, threads, share, None), steps);
            row.malloc.add(&run(&Malloc, threads, share, None), steps);
            row.unlimited.add(&run(&pool(threads, false), threads, share, None), steps);
            let pool = pool(threads, true);
            let took = run(&pool, threads, share, None);
            row.limited.add(&took, steps);
            let per_thousand = |n: f64| n * 1000.0 / steps as f64;
            row.refused.add(per_thousand(took.refused as f64));
            let stats = pool.stats();
            row.collections.add(per_thousand((stats.packets.reclaimed + stats.clusters.reclaimed) as f64));
        }
    }
    let mut section = Section::default();
    section.say("Thread time per step, ns (best / median), and on the wall, median:");
    let head = [
        "threads",
        "freed by another",
        "window and queues alone",
        "malloc",
        "unlimited pool",
        "pool near its limit",
        "wall: malloc",
        "wall: unlimited",
        "wall: near its limit",
        "saved by a collection, of 1000",
        "refused, of 1000",
    ];
    section.table(
        &head,
        rows.iter().map(|row| {
            let wall = |timed: &Timed| number(timed.wall.median());
            vec![
                row.threads.to_string(),
                format!("{} %", row.share),
                both(&row.nothing.cpu),
                both(&row.malloc.cpu),
                both(&row.unlimited.cpu),
                both(&row.limited.cpu),
                wall(&row.malloc),
                wall(&row.unlimited),
                wall(&row.limited),
                number(row.collections.median()),
                number(row.refused.median()),
            ]
        }),
    );
    section
        .say("Memory, MiB: in use, and free in caches and depot; most of it during the run, and at the end.");
    let head =
        ["threads", "freed by another", "limit", "in use, end", "free, most", "free, end", "slabs, end"];
    let stranded: Vec<_> = rows
        .iter()
        .flat_map(|row| [false, true].map(|limited| stranded(row.threads, row.share, limited)))
        .collect();
    section.table(&head, stranded);
    section.plots = vec![
        plot(&rows, "threads-unlimited", "unlimited pool: thread time per alloc and free", |row| {
            &row.unlimited
        }),
        plot(&rows, "threads-limited", "pool near its limit: thread time per alloc and free", |row| {
            &row.limited
        }),
    ];
    section
}

fn stranded(threads: usize, share: usize, limited: bool) -> Vec<String> {
    let pool = pool(threads, limited);
    // A parked pair counts with its mbuf and its cluster; to the cluster's class it is free, too.
    let mib = |bytes: usize| number(bytes as f64 / (1 << 20) as f64);
    let free = |stats: &PoolStats| stats.bytes_cached();
    let (mut most, mut last) = (0, pool.stats());
    let mut look = || {
        last = pool.stats();
        most = most.max(free(&last));
    };
    run(&pool, threads, share, Some(&mut look));
    vec![
        threads.to_string(),
        format!("{share} %"),
        last.clusters.limit.map_or("–".into(), |limit| limit.to_string()),
        mib(last.bytes_in_use()),
        mib(most),
        mib(free(&last)),
        mib(last.bytes_total()),
    ]
}

fn plot(rows: &[Row], name: &'static str, title: &'static str, of: fn(&Row) -> &Timed) -> Plot {
    let lines = SHARES.map(|share| Line {
        name: format!("{share} % freed by another thread"),
        points: rows
            .iter()
            .filter(|row| row.share == share)
            .map(|row| (row.threads as f64, of(row).cpu.median()))
            .collect(),
    });
    Plot { name, title, x: "threads (on two cores)", y: "ns, median", lines: lines.into() }
}
