//! What the model is made of, measured on two cores. Nanoseconds, best of many samples.

use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use mbuf::{Packet, Pool};
use mbuf_zone::raw::Mutex;
use mbuf_zone::{Slot, Zone};

use crate::sample::Samples;
use crate::system::{membarrier, pin, time};

pub struct Costs {
    /// A cache line goes from one core to the other.
    pub line: f64,
    /// A lock is taken and let go of, by the core that had it last.
    pub lock: f64,
    /// The same while another core does so, too: of one of them, on average.
    pub contended: f64,
    /// A packet with cluster is allocated and freed, on one core.
    pub pair: f64,
    /// A magazine is exchanged in the depot, while another core does so, too.
    pub exchange: f64,
    /// Every core that runs a thread of this process executes a fence; one other does.
    pub barrier: Samples,
    /// An object goes to another thread, which frees it, by the room of magazines: the time of one of both threads.
    pub passed: Vec<(usize, f64)>,
}

const N: usize = 1 << 14;

/// Runs `f` on this core while another thread runs `other` again and again.
fn beside<R>(other: impl Fn() + Send, f: impl FnOnce() -> R) -> R {
    let (started, done) = (AtomicBool::new(false), AtomicBool::new(false));
    let (started, done) = (&started, &done);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            pin(1);
            started.store(true, Ordering::Release);
            while !done.load(Ordering::Acquire) {
                other();
            }
        });
        while !started.load(Ordering::Acquire) {
            spin_loop();
        }
        let result = f();
        done.store(true, Ordering::Release);
        result
    })
}

fn best(n: usize, f: impl FnMut()) -> f64 {
    let mut f = f;
    Samples::of(n, || time(&mut f) / N as f64).best()
}

fn line(rounds: usize) -> f64 {
    // Even: our turn.
    let turn = AtomicUsize::new(0);
    let answer = || {
        if turn.load(Ordering::Acquire) % 2 == 1 {
            turn.fetch_add(1, Ordering::Release);
        }
    };
    beside(answer, || {
        let ask = || {
            for _ in 0..N {
                turn.fetch_add(1, Ordering::Release);
                while turn.load(Ordering::Acquire) % 2 == 1 {
                    spin_loop();
                }
            }
        };
        best(rounds, ask) / 2.0
    })
}

fn passed(room: usize, rounds: usize) -> f64 {
    let zone = Zone::<[u64; 28]>::builder().magazine(room).build();
    let queue: Arc<ArrayQueue<Slot<[u64; 28]>>> = Arc::new(ArrayQueue::new(1024));
    let free = || match queue.pop() {
        Some(slot) => drop(slot),
        None => spin_loop(),
    };
    beside(free, || {
        let allocate = || {
            for _ in 0..N {
                let mut slot = zone.get_with(|| [0; 28]).expect("there is memory");
                while let Err(back) = queue.push(slot) {
                    slot = back;
                    spin_loop();
                }
            }
        };
        best(rounds, allocate)
    })
}

pub fn measure(rounds: usize) -> Costs {
    pin(0);
    let n = rounds * 8;
    let mutex = Mutex::new(0_usize);
    let lock = || *mutex.lock() += 1;
    let alone = best(n, || (0..N).for_each(|_| lock()));
    let contended = beside(lock, || {
        // The other is as fast: of both together it is half of that.
        Samples::of(n, || {
            let before = *mutex.lock();
            let took = time(|| (0..N).for_each(|_| lock()));
            took / (*mutex.lock() - before) as f64
        })
        .median()
    });
    let pool = Pool::new();
    let pair = best(n, || (0..N).for_each(|_| drop(Packet::with_cluster(&pool).expect("there is memory"))));
    // Apart from each other: for some of them the other thread may not be running.
    let apart = || {
        std::thread::sleep(Duration::from_millis(1));
        time(|| assert!(membarrier()))
    };
    let barrier = beside(spin_loop, || Samples::of(n * 4, apart));
    let passed: Vec<_> = [1, 4, 16, 64].map(|room| (room, passed(room, n))).into();
    // With magazines of one, each object is exchanged twice, and one lock is all there is to it.
    let exchange = passed[0].1 / 2.0;
    Costs { line: line(n), lock: alone, contended, pair, exchange, barrier, passed }
}
