//! A process that does the trip with one kind of buffer: it says what memory that takes, then takes the time of as
//! many laps as it is told to.

use std::io::{BufRead, Write, stdin, stdout};
use std::time::Instant;

use bytes::BytesMut;

use crate::capture;
use crate::flat::FrontRoom;
use crate::frame::Frame;
use crate::ours::{Copied, Linked};
use crate::trip::{Stage, Trip, Watch};

/// The kinds of buffers: what the report calls them, and what does the work.
pub const COLUMNS: [(&str, fn()); 6] = [
    ("mbuf, linked", serve::<Linked>),
    ("mbuf, copied", serve::<Copied>),
    ("Vec, front room", serve::<FrontRoom<Vec<u8>>>),
    ("Vec", serve::<Vec<u8>>),
    ("BytesMut, front room", serve::<FrontRoom<BytesMut>>),
    ("BytesMut", serve::<BytesMut>),
];

/// Nanoseconds per stage.
pub struct Clock {
    pub nanos: [u64; Stage::ALL.len()],
    last: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        Self { nanos: Default::default(), last: Instant::now() }
    }
}

impl<F: Frame> Watch<F> for Clock {
    fn begin(&mut self) {
        self.last = Instant::now();
    }

    fn done(&mut self, stage: Stage, _: &[F], _: &[F::Sent]) {
        let now = Instant::now();
        self.nanos[stage as usize] += (now - self.last).as_nanos() as u64;
        self.last = now;
    }
}

/// The most memory that the process had.
#[derive(Default)]
struct Memory {
    peak: u64,
}

impl<F: Frame> Watch<F> for Memory {
    fn done(&mut self, _: Stage, _: &[F], _: &[F::Sent]) {
        self.peak = self.peak.max(resident());
    }
}

/// KiB of the process that are in memory.
fn resident() -> u64 {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn serve<F: Frame>() {
    let frames = capture::frames();
    // What looking takes is there before it is looked at.
    let _ = resident();
    let before = resident();
    let mut trip = Trip::<F>::default();
    let mut memory = Memory::default();
    trip.lap(&frames, &mut memory);
    println!("{}", memory.peak.saturating_sub(before));
    for line in stdin().lock().lines().map_while(Result::ok) {
        let laps: u32 = line.parse().expect("a number of laps");
        let mut clock = Clock::default();
        (0..laps).for_each(|_| trip.lap(&frames, &mut clock));
        let nanos: Vec<_> = clock.nanos.iter().map(u64::to_string).collect();
        // Who asked may have gone.
        let _ = writeln!(stdout(), "{}", nanos.join(" "));
    }
}
