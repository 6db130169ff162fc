//! Running statistics that keep observations and rewards at unit scale.
//!
//! Both follow Stable-Baselines3's `VecNormalize`: means and variances of all data so far (Chan, Golub and LeVeque's
//! parallel update), clipping at ±10, and rewards divided by the deviation of the discounted return.

use crate::checkpoint::SavedState;
use crate::{AgentError, Result};

/// Values beyond this many deviations are clipped.
const CLIP: f64 = 10.0;
/// Name of the saved statistics of observations.
const OBSERVATION_MOMENTS: &str = "observations.moments";
/// Added to a variance before its root is taken.
const EPSILON: f64 = 1e-8;

/// Mean and variance of every column of a stream of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct RunningMoments {
    /// `[dim]`.
    pub mean: Vec<f64>,
    /// `[dim]`: population variance.
    pub variance: Vec<f64>,
    /// Number of rows so far; starts at 1e-4, so that the first batch outweighs the initial values.
    pub count: f64,
}

impl RunningMoments {
    /// Mean 0 and variance 1 for each of `dim` columns.
    pub fn new(dim: usize) -> Self {
        Self { mean: vec![0.0; dim], variance: vec![1.0; dim], count: 1e-4 }
    }

    /// Adds rows, `[n_rows, dim]` row-major, summed in this order.
    pub fn update(&mut self, rows: impl Iterator<Item = f64> + Clone, n_rows: usize) {
        let dim = self.mean.len();
        if n_rows == 0 || dim == 0 {
            return;
        }
        let n = n_rows as f64;
        let mut batch_mean = vec![0.0; dim];
        for (value_idx, value) in rows.clone().enumerate() {
            batch_mean[value_idx % dim] += value / n;
        }
        let mut batch_variance = vec![0.0; dim];
        for (value_idx, value) in rows.enumerate() {
            batch_variance[value_idx % dim] += (value - batch_mean[value_idx % dim]).powi(2) / n;
        }
        let total = self.count + n;
        for column in 0..dim {
            let delta = batch_mean[column] - self.mean[column];
            let squares = self.variance[column] * self.count
                + batch_variance[column] * n
                + delta * delta * self.count * n / total;
            self.mean[column] += delta * n / total;
            self.variance[column] = squares / total;
        }
        self.count = total;
    }

    /// Count, means and variances in one vector of `1 + 2 dim` values; for checkpoints.
    pub fn to_values(&self) -> Vec<f64> {
        std::iter::once(self.count)
            .chain(self.mean.iter().copied())
            .chain(self.variance.iter().copied())
            .collect()
    }

    /// The inverse of [`Self::to_values`].
    ///
    /// # Errors
    /// If there are not `1 + 2 dim` values.
    pub fn from_values(dim: usize, values: &[f64]) -> Result<Self> {
        if values.len() != 1 + 2 * dim {
            return Err(AgentError::Mismatch {
                what: "running moments",
                expected: format!("{} values", 1 + 2 * dim),
                got: format!("{}", values.len()),
            });
        }
        let (mean, variance) = values[1..].split_at(dim);
        Ok(Self { mean: mean.to_vec(), variance: variance.to_vec(), count: values[0] })
    }
}

/// Shifts and scales state observations to mean 0 and variance 1. Pixels are not normalised here: they have a known range.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservationNormalizer {
    /// Statistics of all observations so far, one column per value of the state.
    pub moments: RunningMoments,
}

impl ObservationNormalizer {
    /// Initial statistics for states of `dim` values.
    pub fn new(dim: usize) -> Self {
        Self { moments: RunningMoments::new(dim) }
    }

    /// Adds the statistics to a checkpoint.
    pub fn save(&self, state: &mut SavedState) {
        state.add_f64(OBSERVATION_MOMENTS, &self.moments.to_values());
    }

    /// Whether a checkpoint has statistics of observations.
    pub fn is_in(state: &SavedState) -> bool {
        state.has_tensor(OBSERVATION_MOMENTS)
    }

    /// The statistics of a checkpoint, for states of `dim` values.
    ///
    /// # Errors
    /// If they are missing or of another size.
    pub fn load(dim: usize, state: &SavedState) -> Result<Self> {
        let moments = RunningMoments::from_values(dim, &state.f64_values(OBSERVATION_MOMENTS)?)
            .map_err(|error| state.error(format!("tensor '{OBSERVATION_MOMENTS}': {error}")))?;
        Ok(Self { moments })
    }

    /// Adds a batch of states, `[n_rows, dim]`, to the statistics.
    pub fn update(&mut self, states: &[f32]) {
        let n_rows = states.len() / self.moments.mean.len().max(1);
        self.moments.update(states.iter().map(|&value| f64::from(value)), n_rows);
    }

    /// Normalises a batch of states, `[n_rows, dim]`, in place.
    pub fn normalize(&self, states: &mut [f32]) {
        let RunningMoments { mean, variance, .. } = &self.moments;
        for row in states.chunks_exact_mut(mean.len().max(1)) {
            for ((value, mean), variance) in row.iter_mut().zip(mean).zip(variance) {
                let scaled = (f64::from(*value) - mean) / (variance + EPSILON).sqrt();
                *value = scaled.clamp(-CLIP, CLIP) as f32;
            }
        }
    }
}

/// Scales rewards by the deviation of the discounted return, without shifting them.
#[derive(Clone, Debug, PartialEq)]
pub struct RewardNormalizer {
    /// Statistics of the returns: one column.
    pub moments: RunningMoments,
    /// `[n_envs]`: discounted return of each env's episode so far.
    pub returns: Vec<f64>,
}

impl RewardNormalizer {
    /// Initial statistics for envs at the start of their episodes.
    pub fn new(n_envs: usize) -> Self {
        Self { moments: RunningMoments::new(1), returns: vec![0.0; n_envs] }
    }

    /// Adds one step of every env to the statistics and normalises its rewards in place. `valid` is true for envs that
    /// made a transition, `done` for those whose episode ended with it; all are `[n_envs]`.
    pub fn normalize(&mut self, rewards: &mut [f32], valid: &[bool], done: &[bool], discount: f64) {
        for ((total, &reward), &valid) in self.returns.iter_mut().zip(&*rewards).zip(valid) {
            if valid {
                *total = *total * discount + f64::from(reward);
            }
        }
        let moved = self.returns.iter().zip(valid).filter(|(_, valid)| **valid).map(|(total, _)| *total);
        self.moments.update(moved, valid.iter().filter(|valid| **valid).count());
        let scale = 1.0 / (self.moments.variance[0] + EPSILON).sqrt();
        for reward in rewards {
            *reward = (f64::from(*reward) * scale).clamp(-CLIP, CLIP) as f32;
        }
        for (total, &done) in self.returns.iter_mut().zip(done) {
            if done {
                *total = 0.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_batches_equal_moments_of_everything() {
        let values: Vec<f64> = (0..60).map(|i| (f64::from(i) * 0.7).sin() * 3.0 + f64::from(i % 2)).collect();
        let mut moments = RunningMoments::new(2);
        for batch in values.chunks(10) {
            moments.update(batch.iter().copied(), 5);
        }
        for column in 0..2 {
            let column_values: Vec<f64> = values.iter().skip(column).step_by(2).copied().collect();
            let mean = column_values.iter().sum::<f64>() / 30.0;
            let variance = column_values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 30.0;
            // The prior weighs 1e-4 of a row.
            assert!((moments.mean[column] - mean).abs() < 1e-4);
            assert!((moments.variance[column] - variance).abs() < 1e-3);
        }
        assert_eq!(RunningMoments::from_values(2, &moments.to_values()).expect("own values"), moments);
        assert!(RunningMoments::from_values(3, &moments.to_values()).is_err());
    }

    #[test]
    fn normalized_observations_have_unit_scale_and_are_clipped() {
        let mut normalizer = ObservationNormalizer::new(1);
        let states: Vec<f32> = (0..1000).map(|i| 50.0 + (i % 10) as f32).collect();
        normalizer.update(&states);
        let mut out = states.clone();
        normalizer.normalize(&mut out);
        let mean = out.iter().sum::<f32>() / 1000.0;
        let variance = out.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / 1000.0;
        assert!(mean.abs() < 1e-3 && (variance - 1.0).abs() < 1e-2, "mean {mean}, variance {variance}");
        let mut far = [1e9];
        normalizer.normalize(&mut far);
        assert_eq!(far, [10.0]);
    }

    #[test]
    fn rewards_are_scaled_by_the_deviation_of_the_return() {
        let mut normalizer = RewardNormalizer::new(2);
        let mut rewards = [1.0, 3.0];
        normalizer.normalize(&mut rewards, &[true, true], &[false, true], 0.5);
        // Returns 1 and 3: population variance 1, so the rewards are unchanged.
        assert!((rewards[0] - 1.0).abs() < 1e-3 && (rewards[1] - 3.0).abs() < 1e-3, "{rewards:?}");
        assert_eq!(normalizer.returns, [1.0, 0.0], "the return is reset at the end of an episode");
        let before = normalizer.clone();
        normalizer.normalize(&mut [0.0, 0.0], &[false, false], &[false, false], 0.5);
        assert_eq!(normalizer, before, "rows that are not transitions change nothing");
    }
}
