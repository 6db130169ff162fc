//! Distributions over actions: log-densities, samples and entropies, computed on the host.

use rand::Rng;
use sayso_envs::Actions;
use sayso_rewards::nn::init::standard_normal;

use crate::error::{AgentError, Result};

/// `ln(2π) / 2`.
const HALF_LN_TAU: f32 = 0.918_938_5;

/// One distribution for each of a batch of observations.
#[derive(Clone, Debug, PartialEq)]
pub enum ActionDistribution {
    /// Independent normal distributions.
    Gaussian {
        /// `[n_rows, dim]`.
        means: Vec<f32>,
        /// `[dim]`: logarithms of the standard deviations, the same in every row.
        log_std: Vec<f32>,
    },
    /// One of `n` choices.
    Categorical {
        /// `[n_rows, n]`: logarithms of the probabilities, up to a constant for each row.
        logits: Vec<f32>,
        /// Number of choices.
        n: usize,
    },
}

impl ActionDistribution {
    /// Samples one action from each.
    pub fn sample<R: Rng>(&self, rng: &mut R) -> Actions {
        match self {
            Self::Gaussian { means, log_std } => {
                let deviations: Vec<f32> = log_std.iter().map(|log_std| log_std.exp()).collect();
                let sample = |(mean, std): (&f32, &f32)| mean + std * standard_normal(rng);
                Actions::Continuous(means.iter().zip(deviations.iter().cycle()).map(sample).collect())
            }
            Self::Categorical { logits, n } => {
                let sample = |row: &[f32]| {
                    let mut rest = rng.random::<f32>();
                    let chosen = log_softmax(row).into_iter().position(|log_prob| {
                        rest -= log_prob.exp();
                        rest < 0.0
                    });
                    // Rounding may make the probabilities sum to slightly less than 1.
                    chosen.unwrap_or(n - 1) as u32
                };
                Actions::Discrete(logits.chunks_exact(*n).map(sample).collect())
            }
        }
    }

    /// The most likely action of each.
    pub fn mode(&self) -> Actions {
        match self {
            Self::Gaussian { means, .. } => Actions::Continuous(means.clone()),
            Self::Categorical { logits, n } => {
                let best = |row: &[f32]| {
                    (0..row.len()).fold(0, |best, i| if row[best] < row[i] { i } else { best }) as u32
                };
                Actions::Discrete(logits.chunks_exact(*n).map(best).collect())
            }
        }
    }

    /// Logarithm of the density of each action, `[n_rows]`.
    ///
    /// # Errors
    /// If the actions are of the other kind or of another number.
    pub fn log_probs(&self, actions: &Actions) -> Result<Vec<f32>> {
        match (self, actions) {
            (Self::Gaussian { means, log_std }, Actions::Continuous(values))
                if values.len() == means.len() =>
            {
                let dim = log_std.len();
                let rows = means.chunks_exact(dim).zip(values.chunks_exact(dim));
                Ok(rows.map(|(mean, action)| gaussian_log_prob(mean, log_std, action)).collect())
            }
            (Self::Categorical { logits, n }, Actions::Discrete(choices))
                if choices.len() * n == logits.len() =>
            {
                let rows = logits.chunks_exact(*n).zip(choices);
                Ok(rows.map(|(row, &choice)| log_softmax(row)[choice as usize]).collect())
            }
            _ => Err(AgentError::Mismatch {
                what: "actions",
                expected: "those of the policy's distribution".to_owned(),
                got: "another kind or number".to_owned(),
            }),
        }
    }
}

/// Log-density of `action` under independent normal distributions; all are `[dim]`.
pub fn gaussian_log_prob(mean: &[f32], log_std: &[f32], action: &[f32]) -> f32 {
    let terms = mean.iter().zip(log_std).zip(action).map(|((mean, log_std), action)| {
        let scaled = (action - mean) / log_std.exp();
        -0.5 * scaled * scaled - log_std - HALF_LN_TAU
    });
    terms.sum()
}

/// Entropy of independent normal distributions in nats; `log_std` is `[dim]`.
pub fn gaussian_entropy(log_std: &[f32]) -> f32 {
    log_std.iter().map(|log_std| log_std + 0.5 + HALF_LN_TAU).sum()
}

/// Log-probabilities of logits.
pub fn log_softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let log_sum = logits.iter().map(|logit| (logit - largest).exp()).sum::<f32>().ln() + largest;
    logits.iter().map(|logit| logit - log_sum).collect()
}

/// Entropy in nats of a categorical distribution with these log-probabilities.
pub fn categorical_entropy(log_probs: &[f32]) -> f32 {
    -log_probs.iter().map(|log_prob| log_prob.exp() * log_prob).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_pcg::Pcg64;

    use super::*;

    // torch.distributions.Normal([0.5, -1], exp([-0.5, 0.2])).log_prob([1, 1]).sum(), .entropy().sum();
    // checked by hand: z = 0.8243606, 1.6374615; -0.5 (0.6795705 + 2.6812801) + 0.3 - 1.8378771.
    #[test]
    fn gaussian_density_and_entropy() {
        let log_prob = gaussian_log_prob(&[0.5, -1.0], &[-0.5, 0.2], &[1.0, 1.0]);
        assert!((log_prob - -3.218_302_3).abs() < 1e-5, "{log_prob}");
        let entropy = gaussian_entropy(&[-0.5, 0.2]);
        assert!((entropy - 2.537_877).abs() < 1e-5, "{entropy}");
    }

    // Probabilities 1/6, 2/6, 3/6.
    #[test]
    fn categorical_density_and_entropy() {
        let logits: Vec<f32> = [1.0_f32, 2.0, 3.0].iter().map(|p| p.ln() + 100.0).collect();
        let log_probs = log_softmax(&logits);
        for (log_prob, p) in log_probs.iter().zip([1.0 / 6.0, 2.0 / 6.0, 0.5_f32]) {
            assert!((log_prob.exp() - p).abs() < 1e-5);
        }
        assert!((categorical_entropy(&log_probs) - 1.011_404).abs() < 1e-4);
        let distribution = ActionDistribution::Categorical { logits, n: 3 };
        assert_eq!(distribution.mode(), Actions::Discrete(vec![2]));
        assert!(distribution.log_probs(&Actions::Discrete(vec![0, 1])).is_err());
        assert!(distribution.log_probs(&Actions::Continuous(vec![0.0])).is_err());
    }

    #[test]
    fn samples_follow_the_distribution() {
        let rng = &mut Pcg64::seed_from_u64(7);
        let n = 20_000;
        let logits = [0.2_f32, 0.3, 0.5].map(f32::ln).repeat(n);
        let Actions::Discrete(choices) = (ActionDistribution::Categorical { logits, n: 3 }).sample(rng)
        else {
            panic!("a categorical distribution has discrete actions");
        };
        for (choice, p) in [0.2, 0.3, 0.5].into_iter().enumerate() {
            let share = choices.iter().filter(|c| **c == choice as u32).count() as f64 / n as f64;
            assert!((share - p).abs() < 0.015, "choice {choice}: {share} for {p}");
        }
        let gaussian = ActionDistribution::Gaussian { means: vec![3.0; n], log_std: vec![0.5_f32.ln()] };
        let Actions::Continuous(values) = gaussian.sample(rng) else {
            panic!("a Gaussian has continuous actions")
        };
        let mean = values.iter().sum::<f32>() / n as f32;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / n as f32;
        assert!(
            (mean - 3.0).abs() < 0.02 && (variance - 0.25).abs() < 0.01,
            "mean {mean}, variance {variance}"
        );
    }
}
