//! Bursts: how many packets a thread can have out and back before the depot is in its way.

use std::hint::{black_box, spin_loop};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mbuf::{Packet, Pool, PoolCache};
use mbuf_zone::Zone;

use crate::Settings;
use crate::plot::{Line, Plot};
use crate::report::{Section, both};
use crate::sample::Samples;
use crate::system::{pin, time};

const BURSTS: [usize; 5] = [64, 256, 1024, 4096, 16384];
/// Packets in a sample, of each thread.
const PACKETS: usize = 1 << 16;

/// All threads are there.
fn meet(at: &AtomicUsize, threads: usize) {
    let goal = at.fetch_add(1, Ordering::AcqRel) / threads * threads + threads;
    while at.load(Ordering::Acquire) < goal {
        spin_loop();
    }
}

/// Samples of ns per packet, of each thread that does this for itself.
fn on_threads<S>(
    threads: usize,
    n: usize,
    open: impl Fn() -> S + Sync,
    burst: impl Fn(&mut S) + Sync,
    packets: usize,
) -> Samples {
    let at = AtomicUsize::new(0);
    let (at, open, burst) = (&at, &open, &burst);
    let mut all = Samples::default();
    std::thread::scope(|scope| {
        let spawn = |me| {
            scope.spawn(move || {
                pin(me);
                let mut state = open();
                let times = PACKETS / packets;
                (0..times).for_each(|_| burst(&mut state));
                Samples::of(n, || {
                    meet(at, threads);
                    time(|| (0..times).for_each(|_| burst(&mut state))) / (times * packets) as f64
                })
            })
        };
        let handles: Vec<_> = (0..threads).map(spawn).collect();
        handles.into_iter().for_each(|handle| all.extend(handle.join().expect("no thread panics")));
    });
    all
}

fn singles(threads: usize, packets: usize, n: usize) -> Samples {
    let pool = Pool::new();
    let open = || Vec::with_capacity(packets);
    let burst = |held: &mut Vec<Packet>| {
        held.extend((0..packets).map(|_| Packet::with_cluster(&pool).expect("there is memory")));
        // First in, first out.
        held.drain(..).for_each(drop);
    };
    on_threads(threads, n, open, burst, packets)
}

fn bulk(threads: usize, packets: usize, n: usize) -> Samples {
    let pool = Pool::new();
    let open = || Vec::with_capacity(packets);
    let burst = |held: &mut Vec<Packet>| {
        for _ in 0..packets / 32 {
            Packet::with_cluster_bulk(&pool, 32, held).expect("there is memory");
        }
        held.clear();
    };
    on_threads(threads, n, open, burst, packets)
}

fn explicit(threads: usize, packets: usize, n: usize) -> Samples {
    let pool = Pool::new();
    let open = || (pool.cache(), Vec::with_capacity(packets));
    let burst = |(cache, held): &mut (PoolCache, Vec<Packet>)| {
        held.extend((0..packets).map(|_| cache.with_cluster().expect("there is memory")));
        held.drain(..).for_each(|packet| cache.free(packet));
    };
    on_threads(threads, n, open, burst, packets)
}

/// Objects of 256 bytes in a zone whose magazines have so much room.
fn magazines(room: usize, packets: usize, n: usize) -> Samples {
    let zone = Arc::new(Zone::<[u64; 28]>::builder().magazine(room).build());
    let open = || Vec::with_capacity(packets);
    let burst = |held: &mut Vec<_>| {
        // The object is not written to but for one word.
        held.extend((0..packets).map(|_| zone.get([0; 28]).ok()));
        held.drain(..).for_each(|it| drop(black_box(it)));
    };
    on_threads(2, n, open, burst, packets)
}

pub fn measure(settings: &Settings) -> Section {
    let mut section = Section::default();
    let n = settings.rounds * 4;
    section.say(
        "A burst is allocated, then freed in the same order; ns per packet with cluster (best / median):",
    );
    let head = [
        "burst",
        "1 thread",
        "2 threads",
        "by 32, 1 thread",
        "by 32, 2 threads",
        "explicit cache, 1 thread",
        "explicit cache, 2 threads",
    ];
    let mut rows = Vec::new();
    let mut lines = ["1 thread", "2 threads", "2 threads, by 32"]
        .map(|name| Line { name: name.into(), points: Vec::new() });
    for packets in BURSTS {
        let one = singles(1, packets, n);
        let two = singles(2, packets, n);
        let bulk = [1, 2].map(|threads| bulk(threads, packets, n));
        for (line, samples) in lines.iter_mut().zip([&one, &two, &bulk[1]]) {
            line.points.push((packets as f64, samples.median()));
        }
        rows.push(vec![
            packets.to_string(),
            both(&one),
            both(&two),
            both(&bulk[0]),
            both(&bulk[1]),
            both(&explicit(1, packets, n)),
            both(&explicit(2, packets, n)),
        ]);
    }
    section.table(&head, rows);
    section.plots.push(Plot {
        name: "bursts",
        title: "a burst is allocated, then freed",
        x: "packets in a burst, per thread",
        y: "ns per packet, median",
        lines: lines.into(),
    });
    section.say("The same with objects of 256 bytes in a `Zone`, 2 threads, by the room of its magazines:");
    let rooms = [8, 16, 64, 256, 1024];
    let head: Vec<String> =
        std::iter::once("burst".into()).chain(rooms.map(|room| format!("magazines of {room}"))).collect();
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    section.table(
        &head,
        BURSTS.map(|packets| {
            let cells = rooms.iter().map(|&room| both(&magazines(room, packets, n)));
            std::iter::once(packets.to_string()).chain(cells).collect()
        }),
    );
    section
}
