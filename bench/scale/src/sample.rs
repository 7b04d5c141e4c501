//! What was measured: many short samples, of which the best and the median are told.

/// Samples of one thing.
#[derive(Default, Clone)]
pub struct Samples(Vec<f64>);

impl Samples {
    pub fn of(n: usize, sample: impl FnMut() -> f64) -> Self {
        let mut sample = sample;
        Samples((0..n).map(|_| sample()).collect())
    }

    pub fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    pub fn extend(&mut self, other: Samples) {
        self.0.extend(other.0);
    }

    /// The smallest value that this share of the samples does not exceed.
    pub fn at(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let place = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(place.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(f64::NAN)
    }

    pub fn best(&self) -> f64 {
        self.at(0.0)
    }

    pub fn median(&self) -> f64 {
        self.at(0.5)
    }

    pub fn max(&self) -> f64 {
        self.at(1.0)
    }
}

/// Random numbers, the same in every run (xorshift64*).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        ((high * n as u64) >> 32) as usize
    }

    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        for i in (1..values.len()).rev() {
            values.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_samples() {
        let mut samples = Samples::default();
        (1..=100).rev().for_each(|i| samples.add(f64::from(i)));
        let told = [samples.best(), samples.median(), samples.at(0.99), samples.max()];
        assert_eq!(told, [1.0, 50.0, 99.0, 100.0]);
        assert!(Samples::default().median().is_nan());
    }

    #[test]
    fn a_shuffle_keeps_everything() {
        let mut values: Vec<_> = (0..1000).collect();
        Random::new(1).shuffle(&mut values);
        assert!(values.windows(2).any(|pair| pair[0] > pair[1]));
        values.sort_unstable();
        assert!(values.into_iter().eq(0..1000));
    }
}
