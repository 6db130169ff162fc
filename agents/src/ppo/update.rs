//! The update of the policy from one rollout.

use rand::seq::SliceRandom;
use rand_pcg::Pcg64;
use sayso_rewards::nn::Adam;

use super::PpoConfig;
use super::loss::{LossBatch, LossCoefs, LossTerms, ppo_loss};
use super::rollout::Rollout;
use crate::Result;
use crate::policy::ActorCritic;

/// Statistics of an update; means over its minibatches.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PpoStats {
    /// The clipped surrogate, negated.
    pub policy_loss: f64,
    /// Mean squared error of the values.
    pub value_loss: f64,
    /// Entropy of the policy, in nats.
    pub entropy: f64,
    /// Estimate of KL(old ‖ new).
    pub approx_kl: f64,
    /// Fraction of probability ratios beyond the clip range.
    pub clip_fraction: f64,
    /// Global norm of the gradient before clipping.
    pub grad_norm: f64,
    /// `1 - Var(returns - values) / Var(returns)`: 1 if the values were perfect before the update.
    pub explained_variance: f64,
    /// Learning rate that was used.
    pub learning_rate: f64,
    /// Gradient steps taken; fewer than planned if the KL divergence passed its target.
    pub n_gradient_steps: usize,
}

/// Updates the policy from a rollout whose `advantages` and `returns` are `[n_rows]`; `rows` are those of transitions.
///
/// Returns the statistics; if one of them is NaN or infinite, training has diverged.
///
/// # Errors
/// If candle fails.
#[expect(clippy::too_many_arguments, reason = "all inputs and state of an update are explicit")]
pub fn update(
    policy: &ActorCritic,
    adam: &mut Adam,
    rollout: &Rollout,
    advantages: &[f32],
    returns: &[f32],
    mut rows: Vec<usize>,
    config: &PpoConfig,
    learning_rate: f64,
    rng: &mut Pcg64,
) -> Result<PpoStats> {
    let coefs = LossCoefs {
        clip_range: config.clip_range as f32,
        value_coef: config.value_coef as f32,
        entropy_coef: config.entropy_coef as f32,
    };
    let log_std = policy.log_std().map(|var| var.as_tensor());
    let explained_variance = explained_variance(rollout, returns, &rows);
    let mut sums = Sums::default();

    'epochs: for _ in 0..config.n_epochs {
        rows.shuffle(rng);
        for rows in rows.chunks(config.minibatch_size) {
            let pick = |column: &[f32]| rows.iter().map(|&row| column[row]).collect::<Vec<f32>>();
            let (inputs, actions) = rollout.gather(rows);
            let mut advantages = pick(advantages);
            if config.normalize_advantages {
                standardize(&mut advantages);
            }
            let batch = LossBatch {
                actions,
                old_log_probs: pick(&rollout.log_probs),
                advantages,
                returns: pick(returns),
            };

            let outputs = policy.forward(&policy.inputs(&inputs)?)?;
            let (loss, terms) = ppo_loss(&outputs.head, &outputs.values, log_std, batch, coefs)?;
            sums.add_terms(&terms);
            if config.target_kl.is_some_and(|target| 1.5 * target < f64::from(terms.approx_kl)) {
                break 'epochs;
            }
            let norm = adam.step(&loss.backward()?, learning_rate, config.max_grad_norm)?;
            sums.add_step(norm);
            if !norm.is_finite() {
                break 'epochs;
            }
        }
    }
    Ok(sums.stats(explained_variance, learning_rate))
}

/// Shifts to mean 0 and scales to (sample) deviation 1; a single value is left unchanged.
fn standardize(values: &mut [f32]) {
    if values.len() < 2 {
        return;
    }
    let n = values.len() as f32;
    let mean = values.iter().sum::<f32>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / (n - 1.0);
    let scale = 1.0 / (variance.sqrt() + 1e-8);
    values.iter_mut().for_each(|value| *value = (*value - mean) * scale);
}

fn explained_variance(rollout: &Rollout, returns: &[f32], rows: &[usize]) -> f64 {
    let variance = |value: &dyn Fn(usize) -> f64| {
        let n = rows.len().max(1) as f64;
        let mean = rows.iter().map(|&row| value(row)).sum::<f64>() / n;
        rows.iter().map(|&row| (value(row) - mean).powi(2)).sum::<f64>() / n
    };
    let of_returns = variance(&|row| f64::from(returns[row]));
    let of_errors = variance(&|row| f64::from(returns[row] - rollout.values[row]));
    // Constant returns have no variance to explain.
    if of_returns == 0.0 { 0.0 } else { 1.0 - of_errors / of_returns }
}

#[derive(Default)]
struct Sums {
    n_minibatches: usize,
    n_steps: usize,
    policy_loss: f64,
    value_loss: f64,
    entropy: f64,
    approx_kl: f64,
    clip_fraction: f64,
    grad_norm: f64,
}

impl Sums {
    fn add_terms(&mut self, terms: &LossTerms) {
        self.n_minibatches += 1;
        self.policy_loss += f64::from(terms.policy_loss);
        self.value_loss += f64::from(terms.value_loss);
        self.entropy += f64::from(terms.entropy);
        self.approx_kl += f64::from(terms.approx_kl);
        self.clip_fraction += f64::from(terms.clip_fraction);
    }

    fn add_step(&mut self, grad_norm: f64) {
        self.n_steps += 1;
        self.grad_norm += grad_norm;
    }

    fn stats(&self, explained_variance: f64, learning_rate: f64) -> PpoStats {
        let n = self.n_minibatches.max(1) as f64;
        PpoStats {
            policy_loss: self.policy_loss / n,
            value_loss: self.value_loss / n,
            entropy: self.entropy / n,
            approx_kl: self.approx_kl / n,
            clip_fraction: self.clip_fraction / n,
            grad_norm: self.grad_norm / self.n_steps.max(1) as f64,
            explained_variance,
            learning_rate,
            n_gradient_steps: self.n_steps,
        }
    }
}
