//! The Internet checksum: sums of parts, put together, and changed without summing again.
//!
//! ```
//! use mbuf::checksum::{self, Sum};
//! let whole = checksum::sum(&[1, 2, 3, 4, 5]);
//! let (a, b) = (checksum::sum(&[1, 2, 3]), checksum::sum(&[4, 5]));
//! assert_eq!(a + b.swapped(), whole); // the second part begins at an odd offset
//! ```

#[cfg(target_arch = "x86_64")]
mod vectors;
mod words;

use core::ops::{Add, AddAssign, Sub};

use words::fold;

#[cfg(not(target_arch = "x86_64"))]
use words as vectors;

/// A one's complement sum of 16-bit big-endian words, folded to 16 bits.
///
/// Two sums that differ only in the representation of zero (0 and 0xffff) are equal.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum(u16);

impl Sum {
    /// The sum of nothing.
    pub const ZERO: Sum = Sum(0);

    /// The sum of one word.
    pub const fn of_word(word: u16) -> Sum {
        Sum(word)
    }

    /// The sum of two words: addresses, lengths.
    pub const fn of_u32(word: u32) -> Sum {
        Sum(fold((word >> 16) as u64 + (word & 0xffff) as u64))
    }

    /// The folded sum, not complemented.
    pub const fn value(self) -> u16 {
        self.0
    }

    /// What goes into a checksum field: the complement.
    pub const fn finish(self) -> u16 {
        !self.0
    }

    /// What goes into the checksum field of UDP, where zero says that there is none.
    pub const fn finish_udp(self) -> u16 {
        match !self.0 {
            0 => 0xffff,
            checksum => checksum,
        }
    }

    /// The sum of the same bytes if they began at an odd offset.
    pub const fn swapped(self) -> Sum {
        Sum(self.0.swap_bytes())
    }

    /// Whether data that includes its checksum field is intact: the sum is all ones.
    pub const fn is_valid(self) -> bool {
        self.0 == 0xffff
    }
}

impl PartialEq for Sum {
    fn eq(&self, other: &Self) -> bool {
        let zero = |sum: u16| if sum == 0xffff { 0 } else { sum };
        zero(self.0) == zero(other.0)
    }
}

impl Eq for Sum {}

impl Add for Sum {
    type Output = Sum;

    fn add(self, other: Sum) -> Sum {
        let (sum, carry) = self.0.overflowing_add(other.0);
        Sum(sum + u16::from(carry))
    }
}

impl AddAssign for Sum {
    fn add_assign(&mut self, other: Sum) {
        *self = *self + other;
    }
}

/// Takes a part out of a sum.
impl Sub for Sum {
    type Output = Sum;

    fn sub(self, other: Sum) -> Sum {
        self + Sum(!other.0)
    }
}

/// The sum of bytes; an odd last byte counts as the high half of a word.
///
/// # Cost
/// Reads the bytes once, in the widest vectors that are known how to use and that the processor has: AVX-512 with VNNI,
/// AVX2 (both asked for at run time, which takes `std`), or whatever the compiler makes of 64-bit words.
#[inline]
pub fn sum(bytes: &[u8]) -> Sum {
    Sum(u16::from_be(fold(vectors::sum(bytes))))
}

/// The sum of pieces put together.
#[inline]
pub(crate) fn sum_pieces<'a>(pieces: impl Iterator<Item = &'a [u8]> + Clone) -> Sum {
    #[cfg(target_arch = "x86_64")]
    if let Some(sum) = vectors::sum_pieces(pieces.clone()) {
        return Sum(u16::from_be(fold(sum)));
    }
    sum_one_by_one(pieces)
}

/// As [`sum_pieces`], with any vectors.
#[inline]
fn sum_one_by_one<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Sum {
    let mut total = Sum::ZERO;
    let mut odd = false;
    for piece in pieces {
        let sum = sum(piece);
        total += if odd { sum.swapped() } else { sum };
        odd ^= piece.len() % 2 == 1;
    }
    total
}

/// A checksum field after one word that it covers changed from `old` to `new` (RFC 1624).
///
/// ```
/// use mbuf::checksum;
/// let mut header = [0x45, 0, 0, 20, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
/// let before = checksum::sum(&header).finish();
/// header[8] = 63;
/// let after = checksum::sum(&header).finish();
/// assert_eq!(checksum::update(before, 0x4011, 0x3f11), after);
/// ```
pub const fn update(checksum: u16, old: u16, new: u16) -> u16 {
    !fold((!checksum) as u64 + (!old) as u64 + new as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// The definition, word by word.
    fn naive(bytes: &[u8]) -> Sum {
        let mut sum = 0u64;
        for pair in bytes.chunks(2) {
            sum += u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0));
        }
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        Sum(sum as u16)
    }

    /// A name, and a way to sum.
    pub(super) type Way = (&'static str, fn(&[u8]) -> u64);

    /// All ways to sum that this machine has; the first takes the best of the others.
    fn ways() -> impl Iterator<Item = Way> {
        let ways: [Way; 4] =
            [("sum", vectors::sum), ("words", words::sum), ("short", words::short), ("long", words::long)];
        #[cfg(target_arch = "x86_64")]
        return ways.into_iter().chain(vectors::tests::ways());
        #[cfg(not(target_arch = "x86_64"))]
        ways.into_iter()
    }

    /// Compares all ways with the definition.
    fn compare(bytes: &[u8], what: impl core::fmt::Debug) {
        for (name, way) in ways() {
            assert_eq!(u16::from_be(fold(way(bytes))), naive(bytes).0, "{name}: {what:?}");
        }
    }

    #[test]
    fn sums_of_all_lengths_and_alignments_are_those_of_the_definition() {
        let bytes: Vec<u8> = (0..900u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for start in (0..65).step_by(if cfg!(miri) { 13 } else { 1 }) {
            for end in (start..bytes.len()).step_by(if cfg!(miri) { 31 } else { 1 }) {
                compare(&bytes[start..end], start..end);
            }
        }
    }

    #[test]
    fn words_of_all_ones_do_not_overflow() {
        let bytes = alloc::vec![0xff; if cfg!(miri) { 3_000 } else { 600_000 }];
        for len in (0..if cfg!(miri) { 140 } else { 400 })
            .chain((0..9).flat_map(|n| [-1, 0, 1].map(|d| (1 << 17) * n / 2 + d)))
        {
            if let Some(bytes) = usize::try_from(len).ok().and_then(|len| bytes.get(..len)) {
                compare(bytes, len);
            }
        }
    }

    #[test]
    fn a_carry_out_of_any_word_comes_back_in() {
        for (all, but) in [(0xff, 0x01), (0, 0x80)] {
            let mut bytes = [all; 300];
            for at in (0..bytes.len()).step_by(if cfg!(miri) { 29 } else { 1 }) {
                bytes[at] = but;
                compare(&bytes, at);
                bytes[at] = all;
            }
        }
    }

    #[test]
    fn pieces_of_any_lengths_have_the_sum_of_the_whole() {
        let bytes: Vec<u8> =
            (0..if cfg!(miri) { 900 } else { 400_000u32 }).map(|i| (i ^ i >> 7) as u8 | 0xc0).collect();
        for lengths in [[1, 1, 1], [1, 2, 3], [63, 64, 65], [0, 375, 129], [7, 70_001, 131_073]] {
            let mut pieces = Vec::new();
            let mut rest = &bytes[..];
            for len in lengths.into_iter().cycle() {
                let (piece, left) = rest.split_at(len.min(rest.len()));
                pieces.push(piece);
                rest = left;
                if rest.is_empty() {
                    break;
                }
            }
            let pieces = pieces.into_iter();
            assert_eq!(sum_pieces(pieces.clone()).0, naive(&bytes).0, "{lengths:?}");
            assert_eq!(sum_one_by_one(pieces).0, naive(&bytes).0, "{lengths:?}");
        }
    }

    #[test]
    fn sums_of_zero_are_equal_and_others_only_to_themselves() {
        assert_eq!(Sum::ZERO, Sum::of_word(0xffff));
        assert!(Sum::of_word(1) != Sum::of_word(0xffff) && Sum::of_word(1) != Sum::of_word(2));
    }

    #[test]
    fn an_update_is_the_sum_of_the_changed_data() {
        let mut bytes = [0x12, 0x34, 0xab, 0xcd, 0, 0xff, 0xff, 1];
        for old in [0u16, 1, 0x7fff, 0xfffe, 0xffff] {
            for new in [0u16, 1, 0x8000, 0xfffe, 0xffff] {
                bytes[2..4].copy_from_slice(&old.to_be_bytes());
                let before = sum(&bytes).finish();
                bytes[2..4].copy_from_slice(&new.to_be_bytes());
                let after = sum(&bytes);
                assert_eq!(Sum(!update(before, old, new)), after, "{old:#x} to {new:#x}");
            }
        }
    }

    #[test]
    fn parts_at_odd_offsets_add_up_swapped() {
        let bytes: Vec<u8> = (0..101).collect();
        for at in 0..101 {
            let (a, b) = bytes.split_at(at);
            let b = if at % 2 == 1 { sum(b).swapped() } else { sum(b) };
            assert_eq!(sum(a) + b, naive(&bytes));
            assert_eq!(naive(&bytes) - b, sum(a));
        }
    }
}
