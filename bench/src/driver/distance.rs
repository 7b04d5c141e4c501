//! How far apart two cores are. A virtual machine's may share a cache or not, and be moved every few seconds.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use crate::worker::pin;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distance {
    /// They share a cache.
    Near,
    Far,
}

/// The longest time for a cache line to go to the other core and back, in nanoseconds, if both share a cache. Within a
/// package it takes some 100 to 150, between packages, or parts of one that share nothing, 300 to 600.
const LONGEST: f64 = 250.0;

const TURNS: u32 = 1_000;

#[repr(align(128))]
struct Line(AtomicU32);

impl Line {
    /// Waits until it says so.
    fn wait(&self, turn: u32) {
        // Nothing but the number itself is handed over.
        while self.0.load(Ordering::Relaxed) != turn {
            spin_loop();
        }
    }

    fn say(&self, turn: u32) {
        self.0.store(turn, Ordering::Relaxed);
    }
}

/// How far apart they are now.
pub fn of(cores: [usize; 2]) -> Distance {
    let (there, back) = (Line(AtomicU32::new(0)), Line(AtomicU32::new(0)));
    let nanoseconds = std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(cores[1]);
            (1..=2 * TURNS).for_each(|turn| {
                there.wait(turn);
                back.say(turn);
            });
        });
        let first = scope.spawn(|| {
            pin(cores[0]);
            let mut start = Instant::now();
            for turn in 1..=2 * TURNS {
                there.say(turn);
                back.wait(turn);
                if turn == TURNS {
                    // So long the other thread may have taken to begin.
                    start = Instant::now();
                }
            }
            start.elapsed().as_nanos() as f64
        });
        first.join().expect("it only counts")
    });
    if nanoseconds / f64::from(TURNS) <= LONGEST { Distance::Near } else { Distance::Far }
}
