//! The hot operations, each in a loop: time per operation, or (under callgrind) instructions.
//!
//! `mbuf-bench time` prints the median of several interleaved rounds for every row. `mbuf-bench run ROW N` runs one row
//! N times, for `instructions.sh` to count.

use std::hint::black_box;
use std::time::Instant;

use mbuf::{Class, Packet, Pool, PoolCache};

/// One row: a name, and what to do so many times.
struct Row {
    name: &'static str,
    run: fn(&mut State, usize),
}

struct State<'p> {
    pool: &'p Pool,
    cache: PoolCache,
    packet: Packet,
    /// 64 segments of 1000 bytes.
    long: Packet,
    burst: Vec<Packet>,
    heap: bytes::Bytes,
}

const BURST: usize = 4096;

const ROWS: &[Row] = &[
    Row {
        name: "alloc+free packet with cluster",
        run: |s, n| (0..n).for_each(|_| drop(black_box(Packet::with_cluster(s.pool).unwrap()))),
    },
    Row {
        name: "the same, explicit cache",
        run: |s, n| {
            (0..n).for_each(|_| {
                let packet = black_box(s.cache.with_cluster().unwrap());
                s.cache.free(packet);
            })
        },
    },
    Row {
        name: "alloc+free header mbuf",
        run: |s, n| (0..n).for_each(|_| drop(black_box(Packet::new(s.pool).unwrap()))),
    },
    Row {
        name: "alloc 4096, free 4096 (per packet)",
        run: |s, n| {
            for _ in 0..n.div_ceil(BURST) {
                (0..BURST).for_each(|_| s.burst.push(Packet::with_cluster(s.pool).unwrap()));
                s.burst.clear();
            }
        },
    },
    Row {
        name: "share 1500 B + free",
        run: |s, n| (0..n).for_each(|_| drop(black_box(s.packet.share().unwrap()))),
    },
    Row {
        name: "prepend 14 + trim",
        run: |s, n| {
            (0..n).for_each(|_| {
                black_box(s.packet.prepend(14).unwrap());
                s.packet.trim_front(14).unwrap();
            })
        },
    },
    Row {
        name: "from_slice 1500 B + free",
        run: |s, n| (0..n).for_each(|_| drop(black_box(Packet::from_slice(s.pool, &[1; 1500]).unwrap()))),
    },
    Row {
        name: "headroom for 20 of 8000 B + free",
        run: |s, n| {
            (0..n).for_each(|_| {
                let mut packet = Packet::with_class(s.pool, Class::Jumbo9).unwrap();
                packet.extend(8000).unwrap();
                black_box(packet.make_contiguous_with_headroom(20, 100).unwrap());
            })
        },
    },
    Row {
        name: "split and join in the middle of 64",
        run: |s, n| {
            (0..n).for_each(|_| {
                let tail = s.long.split_off(32_000).unwrap();
                s.long.append(black_box(tail)).unwrap();
            })
        },
    },
    Row {
        name: "find 4 B in the last 1500 of 64000 B",
        run: |s, n| (0..n).for_each(|_| assert_eq!(black_box(s.long.find_bytes(62_500, b"ab\0\0")), None)),
    },
    Row {
        name: "peer: Bytes clone + free",
        run: |s, n| (0..n).for_each(|_| drop(black_box(s.heap.clone()))),
    },
    Row {
        name: "peer: BytesMut 2048 alloc+free",
        run: |_, n| (0..n).for_each(|_| drop(black_box(bytes::BytesMut::with_capacity(2048)))),
    },
];

fn long(pool: &Pool) -> Packet {
    let bytes: Vec<u8> = (0..64_000).map(|i: u32| i.wrapping_mul(0x9e37_79b1).to_le_bytes()[3]).collect();
    let mut packet = Packet::from_slice(pool, &bytes).unwrap();
    packet.shatter([1000; 64]).unwrap();
    packet
}

fn main() {
    let pool = Pool::new();
    let mut state = State {
        pool: &pool,
        cache: pool.cache(),
        packet: Packet::from_slice(&pool, &[1; 1500]).unwrap(),
        long: long(&pool),
        burst: Vec::with_capacity(BURST),
        heap: bytes::Bytes::from(vec![1; 1500]).slice(..),
    };
    // Twice, so that each row finds its caches full.
    for row in ROWS.iter().chain(ROWS) {
        (row.run)(&mut state, BURST);
    }
    let args: Vec<String> = std::env::args().collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "time"] => time(&mut state),
        [_, "names"] => ROWS.iter().for_each(|row| println!("{}", row.name)),
        [_, "run", name, n] => {
            let n = n.parse().expect("a number of rounds");
            let row = ROWS.iter().find(|row| row.name == name).expect("a row's name");
            (row.run)(&mut state, n);
        }
        _ => {
            eprintln!("usage: mbuf-bench time | names | run ROW N");
            std::process::exit(2);
        }
    }
}

fn time(state: &mut State) {
    const ROUNDS: usize = 15;
    const N: usize = 1 << 17;
    let mut samples = vec![Vec::new(); ROWS.len()];
    for _ in 0..ROUNDS {
        for (row, samples) in ROWS.iter().zip(&mut samples) {
            let start = Instant::now();
            (row.run)(state, N);
            samples.push(start.elapsed().as_nanos() as f64 / N as f64);
        }
    }
    println!("| operation | ns, median of {ROUNDS} | ns, best |\n| --- | --- | --- |");
    for (row, samples) in ROWS.iter().zip(&mut samples) {
        samples.sort_by(f64::total_cmp);
        println!("| {} | {:.1} | {:.1} |", row.name, samples[ROUNDS / 2], samples[0]);
    }
}
