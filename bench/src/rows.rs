//! The rows: what is done, counted by what, and what has to come out. `README.md` says it at length.

use crate::seen::{Expected, pattern};

/// One thing to be done.
pub struct Row {
    pub name: &'static str,
    /// So many are done at once: the number of rounds is a multiple of it, and the time is divided by all of them.
    pub unit: u64,
    pub threads: usize,
    pub expected: fn() -> Expected,
}

impl Row {
    pub fn find(name: &str) -> Option<&'static Row> {
        ROWS.iter().find(|row| row.name == name)
    }
}

const fn one(name: &'static str, expected: fn() -> Expected) -> Row {
    Row { name, unit: 1, threads: 1, expected }
}

/// What a 2 KiB buffer has behind the headroom at least; then a header's; then a jumbo's.
const CLUSTER: usize = 1920;
const HEADER: usize = 80;
const JUMBO: usize = 9000;

pub const BURST: u64 = 4096;
pub const BULK: u64 = 32;

pub const ROWS: &[Row] = &[
    one("alloc+free packet with cluster", || Expected::Rooms(1, CLUSTER)),
    one("alloc+free header mbuf", || Expected::Rooms(1, HEADER)),
    one("alloc+free packet with 9 KiB", || Expected::Rooms(1, JUMBO)),
    Row { unit: BULK, ..one("bulk of 32", || Expected::Rooms(BULK as usize, CLUSTER)) },
    Row { unit: BULK, ..one("burst of 32 singles", || Expected::Rooms(BULK as usize, CLUSTER)) },
    Row {
        unit: BURST,
        ..one("burst of 4096, first in first out", || Expected::Rooms(BURST as usize, CLUSTER))
    },
    Row {
        unit: BURST,
        ..one("burst of 4096, last in first out", || Expected::Rooms(BURST as usize, CLUSTER))
    },
    one("alloc, fill 1500 B, free", || packets([&[0x5a; 1500]])),
    one("share 1500 B + free", || packets([pattern(1500)])),
    one("share 1500 B by reference + free", || packets([pattern(1500)])),
    one("share a range + free", || packets([&pattern(1500)[100..1300]])),
    one("share 4 segments + free", || packets([pattern(1500)])),
    one("split at 500 + free both", || packets([&pattern(1500)[..500], &pattern(1500)[500..]])),
    one("prepend 14 + trim", || packets([&[&[0x5a; 14], pattern(1500)].concat(), pattern(1500)])),
    one("append 64 + trim", || packets([&[pattern(1500), &[0x5a; 64]].concat(), pattern(1500)])),
    one("prepend 20 beyond headroom", || packets([&[&[0x5a; 20], pattern(1000)].concat()])),
    one("pullup 40 over two mbufs", || packets([pattern(1020), pattern(40)])),
    one("build 4 segments + free", || packets([pattern(1500)])),
    one("build 4 segments, linearize + free", || packets([pattern(1500)])),
    one("40 contiguous bytes, present", || packets([&pattern(1500)[100..140]])),
    one("40 contiguous bytes, across a border", || packets([&pattern(1500)[355..395]])),
    one("duplicate 64 B", || packets([pattern(64)])),
    one("duplicate 1500 B", || packets([pattern(1500)])),
    one("duplicate 9000 B of 6 segments", || packets([pattern(9000)])),
    one("duplicate 9000 B of 1 segment", || packets([pattern(9000)])),
    one("copy out 1500 B", || packets([pattern(1500)])),
    one("copy in 1500 B", || packets([pattern(1500)])),
    one("copy out 9000 B of 6 segments", || packets([pattern(9000)])),
    one("checksum 64 B", || sum(64)),
    one("checksum 1500 B", || sum(1500)),
    one("checksum 9000 B", || sum(9000)),
    one("checksum 4 × 375 B", || sum(1500)),
    one("checksum 6 × 1500 B", || sum(9000)),
    two("alloc+free, two threads", 1, || Expected::Rooms(1, CLUSTER)),
    two("burst of 4096, two threads", BURST, || Expected::Rooms(BURST as usize, CLUSTER)),
    two("allocate here, free there", 1, || packets([&[7; 64]])),
    two("allocate 32 here, free there", BULK, || packets([[7u8; 64]; BULK as usize])),
];

const fn two(name: &'static str, unit: u64, expected: fn() -> Expected) -> Row {
    Row { name, unit, threads: 2, expected }
}

fn packets<P: AsRef<[u8]>>(packets: impl IntoIterator<Item = P>) -> Expected {
    Expected::Packets(packets.into_iter().map(|packet| packet.as_ref().to_vec()).collect())
}

/// The Internet checksum by its definition: big-endian words, carries added back.
fn sum(len: usize) -> Expected {
    let words = pattern(len)
        .chunks(2)
        .map(|word| u32::from(u16::from_be_bytes([word[0], *word.get(1).unwrap_or(&0)])));
    let sum = words.fold(0, |sum, word| ((sum + word) & 0xffff) + ((sum + word) >> 16));
    packets([(sum as u16).to_be_bytes()])
}
