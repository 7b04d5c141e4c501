//! The Internet checksum: sums of parts, put together, and changed without summing again.
//!
//! ```
//! use mbuf::checksum::{self, Sum};
//! let whole = checksum::sum(&[1, 2, 3, 4, 5]);
//! let (a, b) = (checksum::sum(&[1, 2, 3]), checksum::sum(&[4, 5]));
//! assert_eq!(a + b.swapped(), whole); // the second part begins at an odd offset
//! ```

use core::ops::{Add, AddAssign, Sub};

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
        Sum(fold(u64::from(self.0) + u64::from(other.0)))
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

const fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

/// The sum of bytes; an odd last byte counts as the high half of a word.
///
/// # Cost
/// Reads the bytes in words of 32 bits, several at a time where the compiler vectorises.
pub fn sum(bytes: &[u8]) -> Sum {
    let mut total: u64 = 0;
    // A block is small enough that its sum of 32-bit words cannot leave 64 bits.
    for block in bytes.chunks(1 << 16) {
        let (words, rest) = block.as_chunks::<16>();
        let mut lanes = [0u64; 4];
        for word in words {
            for (lane, four) in lanes.iter_mut().zip(word.as_chunks::<4>().0) {
                // Native order, put right once at the end: a one's complement sum does not mind.
                *lane += u64::from(u32::from_ne_bytes(*four));
            }
        }
        let mut tail = [0u8; 16];
        tail[..rest.len()].copy_from_slice(rest);
        for four in tail.as_chunks::<4>().0 {
            lanes[0] += u64::from(u32::from_ne_bytes(*four));
        }
        let partial: u64 = lanes.iter().map(|lane| (lane >> 32) + (lane & 0xffff_ffff)).sum();
        total += u64::from(fold(partial));
    }
    Sum(u16::from_be(fold(total)))
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
        Sum(fold(sum))
    }

    #[test]
    fn sums_of_all_lengths_and_alignments_are_those_of_the_definition() {
        let bytes: Vec<u8> = (0..700u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for start in 0..17 {
            for end in (start..bytes.len()).step_by(if cfg!(miri) { 61 } else { 1 }) {
                assert_eq!(sum(&bytes[start..end]).0, naive(&bytes[start..end]).0, "{start}..{end}");
            }
        }
    }

    #[test]
    fn words_of_all_ones_do_not_overflow() {
        let bytes = alloc::vec![0xff; if cfg!(miri) { 70_000 } else { 10_000_000 }];
        assert_eq!(sum(&bytes).0, 0xffff);
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
