//! What any bytes make the library do: one driver per kind of input, for fuzzers and for the tests that replay what
//! they found.
//!
//! A driver never panics, whatever the bytes are, unless the library has a defect.

mod arguments;
mod captures;
// `mbuf.h` describes mbufs of 64-bit machines.
#[cfg(target_pointer_width = "64")]
mod chains;
mod ops;
mod settings;

pub use arguments::arguments;
pub use captures::captures;
#[cfg(target_pointer_width = "64")]
pub use chains::chains;
pub use ops::ops;
pub use settings::settings;

/// A driver by its name, which is also that of its fuzz target and of the folder of its corpus.
pub type Driver = (&'static str, fn(&[u8]));

/// All drivers.
pub const DRIVERS: &[Driver] = &[
    ("ops", ops),
    ("arguments", arguments),
    ("captures", captures),
    #[cfg(target_pointer_width = "64")]
    ("chains", chains),
    ("settings", settings),
];

/// Takes values off the front of bytes; when they are used up, everything is zero.
struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            None => 0,
            Some((&byte, rest)) => {
                self.0 = rest;
                byte
            }
        }
    }

    fn word(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// At most `n` bytes.
    fn bytes(&mut self, n: usize) -> &'a [u8] {
        let (now, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        now
    }

    /// An offset or a length as an attacker would choose it, where `len` bytes are there: around both ends, anywhere
    /// between, or where sums overflow in 32 or in 64 bits.
    fn wild(&mut self, len: usize) -> usize {
        let (how, n) = (self.byte(), usize::from(self.byte()));
        match how % 8 {
            0 => n % 4,
            1 => len.saturating_sub(n % 4),
            2 => len.saturating_add(n % 4),
            3 => usize::MAX - n % 4,
            4 => (u32::MAX as usize).wrapping_add(n).wrapping_sub(2),
            5 => (i32::MAX as usize).wrapping_add(n).wrapping_sub(2),
            _ => (n << 8 | usize::from(how)) % (len + 1),
        }
    }
}
