//! Sums in vectors that not every x86-64 has: the processor is asked, once. Without `std` nobody can ask it, and what
//! the compiler was told decides.
//!
//! # Invariants
//! 1. `BEST` holds the number of an [`Extension`] that the processor has, or `UNASKED`.
#![allow(unsafe_code)]

use core::arch::x86_64::*;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

use super::words;

/// What the processor has beyond the least of its kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Extension {
    None,
    Avx2,
    /// AVX-512 with byte masks and VNNI.
    Vnni,
}

const UNASKED: u8 = u8::MAX;

static BEST: AtomicU8 = AtomicU8::new(UNASKED);

#[cfg(feature = "std")]
use std::arch::is_x86_feature_detected as has;

#[cfg(not(feature = "std"))]
macro_rules! has {
    ($feature:tt) => {
        cfg!(target_feature = $feature)
    };
}

macro_rules! has_vnni {
    () => {
        has!("avx512f") && has!("avx512bw") && has!("avx512vnni")
    };
}

impl Extension {
    #[inline]
    fn best() -> Self {
        if cfg!(all(target_feature = "avx512f", target_feature = "avx512bw", target_feature = "avx512vnni")) {
            return Self::Vnni;
        }
        // Relaxed: the number is all there is to know.
        match BEST.load(Relaxed) {
            n if n == Self::Vnni as u8 => Self::Vnni,
            n if n == Self::Avx2 as u8 => Self::Avx2,
            n if n == Self::None as u8 => Self::None,
            _ => Self::ask(),
        }
    }

    #[cold]
    fn ask() -> Self {
        let best = if has_vnni!() {
            Self::Vnni
        } else if has!("avx2") {
            Self::Avx2
        } else {
            Self::None
        };
        BEST.store(best as u8, Relaxed);
        best
    }
}

/// The sum of bytes.
#[inline]
pub(super) fn sum(bytes: &[u8]) -> u64 {
    match Extension::best() {
        // SAFETY: the processor has it (invariant 1).
        Extension::Vnni => unsafe { vnni(bytes) },
        // SAFETY: as above.
        Extension::Avx2 => unsafe { avx2(bytes) },
        Extension::None => words::sum(bytes),
    }
}

/// The sum of pieces put together, or `None`: then they are to be summed one by one.
#[inline]
pub(super) fn sum_pieces<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Option<u64> {
    // SAFETY: the processor has it (invariant 1).
    (Extension::best() == Extension::Vnni).then(|| unsafe { vnni_pieces(pieces) })
}

/// The sum of the same bytes behind an odd number of others.
#[inline(always)]
const fn turned(sum: u64) -> u64 {
    sum.rotate_left(8)
}

/// What the compiler makes of words if it may use vectors of 32 bytes.
#[target_feature(enable = "avx2")]
fn avx2(bytes: &[u8]) -> u64 {
    words::sum(bytes)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn vnni(bytes: &[u8]) -> u64 {
    match bytes.len() {
        0..=64 => Lanes::of_line(bytes).total(),
        65..=MOST => Lanes::of(bytes).total(),
        _ => vnni_pieces(core::iter::once(bytes)),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn vnni_pieces<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> u64 {
    let (mut at_even, mut at_odd) = (Lanes::none(), Lanes::none());
    let (mut sum, mut odd, mut room) = (0, false, MOST);
    for piece in pieces {
        for block in piece.chunks(MOST) {
            if room < block.len() {
                sum += at_even.total() + turned(at_odd.total());
                (at_even, at_odd, room) = (Lanes::none(), Lanes::none(), MOST);
            }
            room -= block.len();
            let lanes = Lanes::of(block);
            if odd {
                at_odd = at_odd.plus(lanes);
            } else {
                at_even = at_even.plus(lanes);
            }
        }
        odd ^= piece.len() % 2 == 1;
    }
    sum + at_even.total() + turned(at_odd.total())
}

/// So few bytes that the sum of their 16-bit words does not leave 32 bits.
const MOST: usize = 1 << 17;

/// Sums of 16-bit words under way.
#[derive(Clone, Copy)]
struct Lanes {
    /// Each modulo 2^32, and too low by 0x8000 for each word.
    sums: __m512i,
    /// How many times 32 words were added.
    lines: u32,
}

impl Lanes {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn none() -> Self {
        Lanes { sums: _mm512_setzero_si512(), lines: 0 }
    }

    /// The first 64 bytes.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn of_line(bytes: &[u8]) -> Self {
        Lanes { sums: add(_mm512_setzero_si512(), load_up_to_64(bytes)), lines: 1 }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn of(bytes: &[u8]) -> Self {
        let (lines, rest) = bytes.as_chunks::<64>();
        let (blocks, few) = lines.as_chunks::<4>();
        // Four, so that an addition need not wait for the one before.
        let mut sums = [_mm512_setzero_si512(); 4];
        for block in blocks {
            for (sum, line) in sums.iter_mut().zip(block) {
                *sum = add(*sum, load(line));
            }
        }
        let [mut a, mut b, mut c, d] = sums;
        if let [first, second, ..] = few {
            a = add(a, load(first));
            b = add(b, load(second));
        }
        if let [last] | [_, _, last] = few {
            c = add(c, load(last));
        }
        let sums = _mm512_add_epi32(_mm512_add_epi32(a, b), _mm512_add_epi32(c, d));
        Self { sums: add(sums, load_up_to_64(rest)), lines: lines.len() as u32 + 1 }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn plus(self, other: Self) -> Self {
        Lanes { sums: _mm512_add_epi32(self.sums, other.sums), lines: self.lines + other.lines }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn total(self) -> u64 {
        // 32 times 0x8000 for each line. All modulo 2^32, which the sum of at most `MOST` bytes does not reach.
        u64::from((_mm512_reduce_add_epi32(self.sums) as u32).wrapping_add(self.lines << 20))
    }
}

/// Adds pairs of 16-bit words to sums of 32 bits. The instruction takes words as signed: 0x8000 less, they are.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn add(sums: __m512i, line: __m512i) -> __m512i {
    let signed = _mm512_xor_si512(line, _mm512_set1_epi16(i16::MIN));
    _mm512_dpwssd_epi32(sums, signed, _mm512_set1_epi16(1))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(line: &[u8; 64]) -> __m512i {
    // SAFETY: reads 64 bytes, which are there; any alignment will do.
    unsafe { _mm512_loadu_si512(line.as_ptr().cast()) }
}

/// The first 64 bytes; if there are fewer, zeros behind them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load_up_to_64(bytes: &[u8]) -> __m512i {
    let mask = !u64::MAX.unbounded_shl(bytes.len() as u32);
    // SAFETY: reads the bytes for which the mask has a bit, none beyond the last one; any alignment will do.
    unsafe { _mm512_maskz_loadu_epi8(mask, bytes.as_ptr().cast()) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::checksum::tests::Way;

    /// All ways to sum that this processor has, each with a name.
    pub(in super::super) fn ways() -> impl Iterator<Item = Way> {
        let mut ways: [Option<Way>; 3] = [None; 3];
        if has!("avx2") {
            // SAFETY: the processor has it, as just seen.
            ways[0] = Some(("avx2", |bytes| unsafe { avx2(bytes) }));
        }
        if has_vnni!() {
            // SAFETY: as above.
            ways[1] = Some(("vnni", |bytes| unsafe { vnni(bytes) }));
            // Cut in three, at offsets that are odd for some lengths.
            ways[2] = Some(("vnni, in pieces", |bytes| {
                let (a, rest) = bytes.split_at(bytes.len() / 3);
                let (b, c) = rest.split_at(rest.len() / 2);
                // SAFETY: as above.
                unsafe { vnni_pieces([a, b, c].into_iter()) }
            }));
        }
        ways.into_iter().flatten()
    }

    #[test]
    fn the_best_extension_is_found_once() {
        let found = Extension::best();
        assert_eq!(found, Extension::best());
        assert_eq!(found == Extension::Vnni, has_vnni!());
        assert_eq!(found != Extension::None, has!("avx2"));
    }
}
