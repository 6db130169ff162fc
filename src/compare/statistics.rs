//! Aggregates over runs that differ in their seed: interquartile means with stratified bootstrap intervals, as Agarwal et al.,
//! "Deep reinforcement learning at the edge of the statistical precipice" (2021), recommend for few runs.

use rand::{Rng as _, SeedableRng as _};
use rand_pcg::Pcg64;
use serde::Serialize;

/// Number of resamples of an interval.
const N_RESAMPLES: usize = 2_000;

/// Of one value of several runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Aggregate {
    /// Interquartile mean.
    pub iqm: f64,
    /// Its 95% interval; `None` if no stratum has two runs.
    pub interval: Option<(f64, f64)>,
    /// Median.
    pub median: f64,
    /// Least value.
    pub min: f64,
    /// Greatest value.
    pub max: f64,
}

impl Aggregate {
    /// Of values by stratum, such as the seeds of each instruction; `None` without values.
    pub fn new(strata: &[Vec<f64>]) -> Option<Self> {
        let mut values = strata.concat();
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        Some(Self {
            iqm: interquartile_mean(&values),
            interval: interval(strata),
            median: quantile(&values, 0.5),
            min,
            max,
        })
    }
}

/// Mean of sorted values without a quarter of them, rounded down, at each end.
fn interquartile_mean(sorted: &[f64]) -> f64 {
    let n_cut = sorted.len() / 4;
    let kept = &sorted[n_cut..sorted.len() - n_cut];
    kept.iter().sum::<f64>() / kept.len() as f64
}

/// The 95% percentile interval of the interquartile mean: runs are sampled with replacement within each stratum.
fn interval(strata: &[Vec<f64>]) -> Option<(f64, f64)> {
    if strata.iter().all(|stratum| stratum.len() < 2) {
        return None;
    }
    // The interval of the same values is always the same.
    let mut rng = Pcg64::seed_from_u64(0);
    let mut sample = Vec::new();
    let mut means: Vec<f64> = (0..N_RESAMPLES)
        .map(|_| {
            sample.clear();
            for stratum in strata {
                sample.extend((0..stratum.len()).map(|_| stratum[rng.random_range(0..stratum.len())]));
            }
            sample.sort_by(f64::total_cmp);
            interquartile_mean(&sample)
        })
        .collect();
    means.sort_by(f64::total_cmp);
    Some((quantile(&means, 0.025), quantile(&means, 0.975)))
}

/// A quantile of sorted values, interpolated linearly.
fn quantile(sorted: &[f64], fraction: f64) -> f64 {
    let position = fraction * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[position.floor() as usize], sorted[position.ceil() as usize]);
    below + (above - below) * position.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values are those of `scipy.stats.trim_mean(x, 0.25)` and `numpy.quantile`.
    #[test]
    fn means_and_quantiles_are_those_of_scipy_and_numpy() {
        let sorted = [0.0, 0.5, 0.6, 0.8, 0.9, 1.0, 1.0, 1.0, 1.0];
        assert!((interquartile_mean(&sorted) - 0.86).abs() < 1e-12);
        assert!((interquartile_mean(&[0.2, 0.4, 0.9]) - 0.5).abs() < 1e-12);
        assert!((quantile(&sorted, 0.025) - 0.1).abs() < 1e-12);
        assert!((quantile(&sorted, 0.5) - 0.9).abs() < 1e-12);
    }

    #[test]
    fn an_interval_needs_two_runs_and_stays_within_their_values() {
        assert_eq!(Aggregate::new(&[]), None);
        assert_eq!(Aggregate::new(&[vec![0.5], vec![0.7]]).and_then(|it| it.interval), None);
        let runs = Aggregate::new(&[vec![0.5, 0.6, 0.9], vec![0.7, 0.8]]).expect("values");
        let (low, high) = runs.interval.expect("an interval");
        assert!(0.5 <= low && low < runs.iqm && runs.iqm < high && high <= 0.9, "{runs:?}");
    }

    #[test]
    fn strata_are_resampled_apart() {
        // Runs of a stratum are equal, so that every resample is the same.
        let runs = Aggregate::new(&[vec![0.0; 3], vec![1.0; 3]]).expect("values");
        assert_eq!((runs.iqm, runs.interval), (0.5, Some((0.5, 0.5))));
    }
}
