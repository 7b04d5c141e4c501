//! Sums of words in any processor's registers.
//!
//! A one's complement sum does not mind how wide the words are that it adds, nor the order of bytes within them, as
//! long as carries come back in at the low end and the result is put in order once. So words are as wide as registers,
//! and in native order.

/// Up to so many bytes the general registers are faster than getting vectors to work.
const SHORT: usize = 64;

/// The sum of bytes.
#[inline(always)]
pub(super) fn sum(bytes: &[u8]) -> u64 {
    if bytes.len() <= SHORT { short(bytes) } else { long(bytes) }
}

/// `sum + word`, its carry added at the low end.
#[inline(always)]
const fn add(sum: u64, word: u64) -> u64 {
    let (sum, carry) = sum.overflowing_add(word);
    // A sum that overflowed is not all ones.
    sum + carry as u64
}

/// A sum of 64-bit words, folded to 16 bits.
#[inline(always)]
pub(super) const fn fold(sum: u64) -> u16 {
    // A word plus itself turned by half: the high half is the sum of both, carry included.
    let sum = (sum.wrapping_add(sum.rotate_left(32)) >> 32) as u32;
    (sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16
}

/// The last bytes of `bytes`, fewer than eight, as a word with zeros behind them.
#[inline(always)]
fn last_word(bytes: &[u8], rest: &[u8]) -> u64 {
    let word = match bytes.last_chunk::<8>() {
        // Shifts out what is no part of the rest: at least eight bits, at most all.
        Some(&eight) => (u64::from_le_bytes(eight) >> 8 >> (56 - 8 * rest.len() as u32)).to_le_bytes(),
        None => {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(rest) {
                *to = *from;
            }
            word
        }
    };
    u64::from_ne_bytes(word)
}

/// For few bytes.
#[inline(always)]
pub(super) fn short(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let (fours, words) = words.as_chunks::<4>();
    let mut sum = last_word(bytes, rest);
    for four in fours {
        let mut carry = false;
        for word in four {
            let (a, first) = sum.overflowing_add(u64::from_ne_bytes(*word));
            let (b, second) = a.overflowing_add(u64::from(carry));
            (sum, carry) = (b, first | second);
        }
        sum = add(sum, u64::from(carry));
    }
    for word in words {
        sum = add(sum, u64::from_ne_bytes(*word));
    }
    sum
}

/// For many: written so that the compiler puts the words into vectors.
#[inline(always)]
pub(super) fn long(bytes: &[u8]) -> u64 {
    let mut sum = 0;
    // So few that no sum of their halves overflows.
    for block in bytes.chunks(1 << 30) {
        let (words, rest) = block.as_chunks::<8>();
        let (mut low, mut high) = (0u64, 0u64);
        for word in words {
            let word = u64::from_ne_bytes(*word);
            low += word & 0xffff_ffff;
            high += word >> 32;
        }
        sum = add(add(sum, last_word(block, rest)), low + high);
    }
    sum
}
