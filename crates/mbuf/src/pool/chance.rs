//! Chance that is the same in every run.

/// Whether the `count`-th of many is among the `share` in `n` that are chosen, without a pattern. None if `n` is zero.
pub(super) fn strikes(count: usize, seed: u32, share: usize, n: u32) -> bool {
    let draw = u64::from(mix((count as u32).wrapping_add(mix(seed))));
    n > 0 && (draw * u64::from(n)) >> 32 < share as u64
}

/// The last steps of MurmurHash3: each input another output, neighbours far apart.
fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x85eb_ca6b);
    x ^= x >> 13;
    x = x.wrapping_mul(0xc2b2_ae35);
    x ^ x >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg_attr(miri, ignore = "arithmetic, and much of it")]
    #[test]
    fn one_in_n_is_about_that() {
        for (share, n) in
            [(1, 0), (1, 1), (1, 2), (1, 10), (1, 256), (3, 10), (128, 128), (200, 128), (16, 1000)]
        {
            let struck = (0..65_536).filter(|&count| strikes(count, 0, share, n)).count();
            let expected = (65_536 * share).checked_div(n as usize).unwrap_or(0).min(65_536);
            assert!(struck.abs_diff(expected) <= expected / 5, "{struck} of {expected}");
            let certain = n == 0 || share >= n as usize;
            assert!(!certain || struck == expected, "never and always are exact");
        }
    }
}
