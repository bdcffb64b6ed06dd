//! Numbers of one kind, and what is said about them.

use std::time::Duration;

/// Measured values, in the order of measuring. The unit is whatever was put in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    /// Adds a value.
    pub(crate) fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    /// Adds a duration, in milliseconds.
    pub(crate) fn push(&mut self, time: Duration) {
        self.add(time.as_secs_f64() * 1e3);
    }

    /// All of them.
    pub(crate) fn values(&self) -> impl Iterator<Item = f64> {
        self.0.iter().copied()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The one that was measured last; 0 where there is none.
    pub(crate) fn last(&self) -> f64 {
        self.0.last().copied().unwrap_or(0.0)
    }

    /// The middle one, or the mean of the two in the middle; 0 where there is none.
    pub(crate) fn median(&self) -> f64 {
        let sorted = self.sorted();
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => 0.0,
            odd if odd % 2 == 1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        }
    }

    /// The smallest value that at least `percent` of all do not exceed; 0 where there is none.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.len() * percent).div_ceil(100).max(1);
        self.sorted().get(rank - 1).copied().unwrap_or(0.0)
    }

    /// The smallest one.
    pub(crate) fn min(&self) -> f64 {
        self.percentile(0)
    }

    /// The greatest one.
    pub(crate) fn max(&self) -> f64 {
        self.percentile(100)
    }

    /// Each value by its counterpart: what was measured in the same round is comparable, even on
    /// a machine that was busy with something else in another round.
    pub(crate) fn by(&self, other: &Self) -> Self {
        self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect()
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: impl IntoIterator<Item = u32>) -> Samples {
        values.into_iter().map(f64::from).collect()
    }

    #[test]
    fn a_median_does_not_follow_an_outlier() {
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(close(samples([9000, 3, 1]).median(), 3.0));
        assert!(close(samples([9000, 3, 1, 2]).median(), 2.5));
        assert!(close(samples([]).median(), 0.0));
    }

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let hundred = samples((1..=100).rev());
        for (percent, expected) in [(0, 1.0), (1, 1.0), (50, 50.0), (99, 99.0), (100, 100.0)] {
            let found = hundred.percentile(percent);
            assert!((found - expected).abs() < 1e-9, "p{percent} is {found}");
        }
        // With fewer than a hundred values the 99th percentile is the worst.
        assert!((samples([5, 1, 3]).percentile(99) - 5.0).abs() < 1e-9);
    }

    #[test]
    fn ratios_compare_what_was_measured_in_the_same_round() {
        // A machine twice as slow from the second round on changes no ratio.
        let ratios = samples([10, 20, 20]).by(&samples([20, 40, 40]));
        assert!((ratios.min() - 0.5).abs() < 1e-9 && (ratios.max() - 0.5).abs() < 1e-9);
    }
}
