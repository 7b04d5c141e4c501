//! What a contestant is.
//!
//! A row of a column is one function, written once and compiled twice: with `SEE`, one round that shows what it made to
//! [`Seen`]; without, a batch of `n` rounds and nothing else. So what is timed is what was looked at.

use std::arch::asm;

use crate::seen::Seen;

/// A batch of rounds.
pub type Batch<S> = Box<dyn Fn(&mut S, u64) + Send + Sync>;

/// One unit of a row, looked at.
pub type Look<S> = Box<dyn Fn(&mut S, &mut Seen) + Send + Sync>;

/// How a column does a row.
pub struct Cell<S> {
    pub row: &'static str,
    pub run: Batch<S>,
    /// What the second thread does meanwhile: in rows of two threads.
    pub second: Option<Batch<S>>,
    pub see: Look<S>,
}

/// A contestant, as one thread has it.
pub trait Column: Sized + 'static {
    /// For the first thread or the second: 0 or 1. The first is opened before the second.
    fn open(thread: usize) -> Result<Self, String>;

    fn cells() -> Vec<Cell<Self>>;

    /// How it was set up, once it is open, where that is not always the same.
    fn note() -> String {
        String::new()
    }
}

/// A cell from a function `f::<SEE>(state, n, seen)`.
macro_rules! cell {
    ($row:literal, $unit:expr, $f:ident) => {
        $crate::column::Cell {
            row: $row,
            run: Box::new(|state, n| $f::<false>(state, n, &mut $crate::seen::Seen::default())),
            second: None,
            see: Box::new(|state, seen| $f::<true>(state, $unit, seen)),
        }
    };
    ($row:literal, $f:ident) => {
        cell!($row, 1, $f)
    };
}

/// A cell of two threads: both do the same, or the second another.
macro_rules! pair {
    ($row:literal, $unit:expr, $f:ident) => {
        $crate::column::Cell {
            second: Some(Box::new(|state, n| $f::<false>(state, n, &mut $crate::seen::Seen::default()))),
            ..cell!($row, $unit, $f)
        }
    };
    ($row:literal, $unit:expr, $f:ident, $second:ident) => {
        $crate::column::Cell {
            second: Some(Box::new(|state, n| $second::<false>(state, n, &mut $crate::seen::Seen::default()))),
            see: Box::new(|state, seen| {
                $f::<true>(state, $unit, seen);
                $second::<true>(state, $unit, seen);
            }),
            ..cell!($row, $unit, $f)
        }
    };
}

/// The compiler has to assume that somebody looked at what is behind the pointer, and changed it. Costs no instruction:
/// what C peers do with an empty `asm`, where `black_box` would store the value and load it again.
#[inline(always)]
pub fn keep<T: ?Sized>(pointer: *const T) {
    // SAFETY: no instruction; nothing is changed in truth.
    unsafe { asm!("/* {0} */", in(reg) pointer.cast::<()>(), options(nostack, preserves_flags)) }
}

/// The same for a number.
#[inline(always)]
pub fn keep_number(number: u64) {
    // SAFETY: no instruction; nothing is changed in truth.
    unsafe { asm!("/* {0} */", in(reg) number, options(nostack, preserves_flags)) }
}
