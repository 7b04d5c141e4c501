//! Ways to cut a length into segments.

use crate::Rng;

/// Lengths up to which all ways are tried.
const ALL: usize = if cfg!(miri) { 3 } else { 6 };

/// Ways to cut `len` bytes into segments, none of them empty: all of them for small lengths, otherwise one segment,
/// two with the cut near either end and in the middle, many of one byte at either end, and `random` more.
/// Zero bytes are one empty segment.
pub fn segmentations(len: usize, random: usize, rng: &mut Rng) -> Vec<Vec<usize>> {
    if len == 0 {
        return vec![vec![0]];
    }
    if len <= ALL {
        return (0..1usize << (len - 1)).map(|cuts| compose(len, |at| cuts >> (at - 1) & 1 == 1)).collect();
    }
    let mut ways = vec![vec![len]];
    for at in [1, 2, len / 2, len - 1] {
        ways.push(vec![at, len - at]);
    }
    let ends = 3.min(len - 1);
    ways.push(std::iter::repeat_n(1, ends).chain([len - ends]).collect());
    ways.push(std::iter::once(len - ends).chain(std::iter::repeat_n(1, ends)).collect());
    for _ in 0..random {
        let parts = rng.between(2, 9.min(len));
        let mut cuts: Vec<usize> = (1..parts).map(|_| rng.between(1, len - 1)).collect();
        cuts.sort_unstable();
        cuts.dedup();
        ways.push(compose(len, |at| cuts.binary_search(&at).is_ok()));
    }
    ways
}

fn compose(len: usize, cut: impl Fn(usize) -> bool) -> Vec<usize> {
    let mut parts = Vec::new();
    let mut start = 0;
    for at in (1..len).filter(|&at| cut(at)).chain([len]) {
        parts.push(at - start);
        start = at;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_is_there_once_and_covers_the_length() {
        for len in 0..=40 {
            let ways = segmentations(len, 10, &mut Rng::new(1));
            for way in &ways {
                assert_eq!(way.iter().sum::<usize>(), len);
                assert!(len == 0 || way.iter().all(|&n| n > 0));
            }
            if (1..=ALL).contains(&len) {
                let mut unique = ways.clone();
                unique.sort();
                unique.dedup();
                assert_eq!(unique.len(), 1 << (len - 1));
            }
        }
    }
}
