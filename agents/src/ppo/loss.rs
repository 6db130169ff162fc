//! PPO's loss as one op: clipped surrogate, value error and entropy bonus, with their gradients.
//!
//! `loss = policy_loss + value_coef * value_loss - entropy_coef * entropy` (Schulman et al. 2017, eq. 9; the value is not
//! clipped, as in Stable-Baselines3's defaults).

use candle_core::{CpuStorage, CustomOp3, D, Layout, Result, Shape, Tensor};
use sayso_envs::Actions;
use sayso_rewards::ops::{f32_values, with_values};

use crate::policy::distribution::{categorical_entropy, gaussian_entropy, gaussian_log_prob, log_softmax};

/// The columns of a minibatch that the loss needs beside the networks' outputs; `[n_rows]` unless stated otherwise.
#[derive(Clone, Debug)]
pub struct LossBatch {
    /// Actions that were taken, `[n_rows, dim]` or `[n_rows]`.
    pub actions: Actions,
    /// Their log-densities when they were taken.
    pub old_log_probs: Vec<f32>,
    /// Advantages, already normalised if configured.
    pub advantages: Vec<f32>,
    /// Returns that the values should predict.
    pub returns: Vec<f32>,
}

/// Weights of the loss.
#[derive(Clone, Copy, Debug)]
pub struct LossCoefs {
    /// Probability ratios are clipped to `1 ± clip_range`.
    pub clip_range: f32,
    /// Weight of the value error.
    pub value_coef: f32,
    /// Weight of the entropy bonus.
    pub entropy_coef: f32,
}

/// Means over a minibatch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LossTerms {
    /// The total loss.
    pub loss: f32,
    /// The clipped surrogate, negated.
    pub policy_loss: f32,
    /// Squared error of the values.
    pub value_loss: f32,
    /// Entropy of the policy, in nats.
    pub entropy: f32,
    /// Estimate of KL(old ‖ new), `ratio - 1 - ln(ratio)` (Schulman 2020).
    pub approx_kl: f32,
    /// Fraction of ratios beyond the clip range.
    pub clip_fraction: f32,
}

impl LossTerms {
    fn to_array(self) -> [f32; 6] {
        [self.loss, self.policy_loss, self.value_loss, self.entropy, self.approx_kl, self.clip_fraction]
    }

    fn from_array([loss, policy_loss, value_loss, entropy, approx_kl, clip_fraction]: [f32; 6]) -> Self {
        Self { loss, policy_loss, value_loss, entropy, approx_kl, clip_fraction }
    }
}

/// The loss of a minibatch, to call `backward` on, and its terms.
///
/// `head` is `[n_rows, n]` (means or logits), `values` `[n_rows, 1]`, `log_std` `[n]` for continuous actions.
///
/// # Errors
/// If the shapes do not fit each other.
pub fn ppo_loss(
    head: &Tensor,
    values: &Tensor,
    log_std: Option<&Tensor>,
    batch: LossBatch,
    coefs: LossCoefs,
) -> Result<(Tensor, LossTerms)> {
    if !head.device().is_cpu() {
        return composed_loss(head, values, log_std, &batch, coefs);
    }
    let none = Tensor::zeros(0, head.dtype(), head.device())?;
    let terms = head.apply_op3(values, log_std.unwrap_or(&none), FusedLoss { batch, coefs })?;
    let numbers = with_values(&terms, |terms| match terms.try_into() {
        Ok(numbers) => Ok(LossTerms::from_array(numbers)),
        Err(_) => candle_core::bail!("the loss has {} terms", terms.len()),
    })?;
    Ok((terms.get(0)?, numbers))
}

struct FusedLoss {
    batch: LossBatch,
    coefs: LossCoefs,
}

struct Gradients {
    head: Vec<f32>,
    values: Vec<f32>,
    log_std: Vec<f32>,
}

impl FusedLoss {
    /// Computes the terms and their gradients in one pass, as they share most intermediate values.
    fn evaluate(&self, head: &[f32], values: &[f32], log_std: &[f32]) -> Result<(LossTerms, Gradients)> {
        let LossBatch { actions, old_log_probs, advantages, returns } = &self.batch;
        let LossCoefs { clip_range, value_coef, entropy_coef } = self.coefs;
        let n_rows = values.len();
        let dim = head.len() / n_rows.max(1);
        let n_actions = match actions {
            Actions::Continuous(actions) => actions.len() / dim.max(1),
            Actions::Discrete(choices) => choices.len(),
        };
        for (what, got) in [
            ("actions", n_actions),
            ("old_log_probs", old_log_probs.len()),
            ("advantages", advantages.len()),
            ("returns", returns.len()),
        ] {
            if got != n_rows {
                candle_core::bail!("PPO's loss: expected {n_rows} {what}, got {got}");
            }
        }
        let scale = 1.0 / n_rows as f32;
        let mut terms = LossTerms::default();
        let mut grads = Gradients {
            head: vec![0.0; head.len()],
            values: vec![0.0; n_rows],
            log_std: vec![0.0; log_std.len()],
        };
        for row in 0..n_rows {
            let row_head = &head[row * dim..][..dim];
            let row_grad = &mut grads.head[row * dim..][..dim];
            let surrogate = |log_prob: f32, terms: &mut LossTerms| {
                let log_ratio = log_prob - old_log_probs[row];
                let ratio = log_ratio.exp();
                let free = ratio * advantages[row];
                let clipped = ratio.clamp(1.0 - clip_range, 1.0 + clip_range) * advantages[row];
                terms.policy_loss -= free.min(clipped) * scale;
                terms.approx_kl += (ratio - 1.0 - log_ratio) * scale;
                terms.clip_fraction += if clip_range < (ratio - 1.0).abs() { scale } else { 0.0 };
                // The clipped branch has no gradient.
                if free <= clipped { -free * scale } else { 0.0 }
            };
            match actions {
                Actions::Continuous(actions) => {
                    let action = &actions[row * dim..][..dim];
                    let log_prob_grad = surrogate(gaussian_log_prob(row_head, log_std, action), &mut terms);
                    for i in 0..dim {
                        let inverse_std = (-log_std[i]).exp();
                        let scaled = (action[i] - row_head[i]) * inverse_std;
                        row_grad[i] = log_prob_grad * scaled * inverse_std;
                        grads.log_std[i] += log_prob_grad * (scaled * scaled - 1.0);
                    }
                }
                Actions::Discrete(choices) => {
                    let log_probs = log_softmax(row_head);
                    let choice = choices[row] as usize;
                    if dim <= choice {
                        candle_core::bail!("PPO's loss: action {choice} of {dim}");
                    }
                    let log_prob_grad = surrogate(log_probs[choice], &mut terms);
                    let entropy = categorical_entropy(&log_probs);
                    terms.entropy += entropy * scale;
                    for i in 0..dim {
                        let p = log_probs[i].exp();
                        let chosen = f32::from(u8::from(i == choice));
                        row_grad[i] = log_prob_grad * (chosen - p)
                            + entropy_coef * scale * p * (log_probs[i] + entropy);
                    }
                }
            }
            let error = values[row] - returns[row];
            terms.value_loss += error * error * scale;
            grads.values[row] = 2.0 * value_coef * error * scale;
        }
        if matches!(actions, Actions::Continuous(_)) {
            terms.entropy = gaussian_entropy(log_std);
            grads.log_std.iter_mut().for_each(|grad| *grad -= entropy_coef);
        }
        terms.loss = terms.policy_loss + value_coef * terms.value_loss - entropy_coef * terms.entropy;
        Ok((terms, grads))
    }
}

impl CustomOp3 for FusedLoss {
    fn name(&self) -> &'static str {
        "ppo-loss"
    }

    /// `[6]`: the terms in [`LossTerms`]'s order. Gradients flow through the first one only.
    fn cpu_fwd(
        &self,
        head: &CpuStorage,
        head_layout: &Layout,
        values: &CpuStorage,
        values_layout: &Layout,
        log_std: &CpuStorage,
        log_std_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (terms, _) = self.evaluate(
            f32_values(head, head_layout)?,
            f32_values(values, values_layout)?,
            f32_values(log_std, log_std_layout)?,
        )?;
        Ok((CpuStorage::F32(terms.to_array().to_vec()), 6.into()))
    }

    fn bwd(
        &self,
        head: &Tensor,
        values: &Tensor,
        log_std: &Tensor,
        _terms: &Tensor,
        terms_grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let scale = with_values(terms_grad, |grad| Ok(grad[0]))?;
        let (_, mut grads) = with_values(head, |head| {
            with_values(values, |values| with_values(log_std, |log_std| self.evaluate(head, values, log_std)))
        })?;
        for grad in [&mut grads.head, &mut grads.values, &mut grads.log_std] {
            grad.iter_mut().for_each(|grad| *grad *= scale);
        }
        let tensor = |grad: Vec<f32>, like: &Tensor| Tensor::from_vec(grad, like.shape(), like.device());
        let log_std_grad =
            if log_std.elem_count() == 0 { None } else { Some(tensor(grads.log_std, log_std)?) };
        Ok((Some(tensor(grads.head, head)?), Some(tensor(grads.values, values)?), log_std_grad))
    }
}

/// The same loss from candle's own ops, for devices without the fused op.
fn composed_loss(
    head: &Tensor,
    values: &Tensor,
    log_std: Option<&Tensor>,
    batch: &LossBatch,
    coefs: LossCoefs,
) -> Result<(Tensor, LossTerms)> {
    let (n_rows, dim) = head.dims2()?;
    let column = |values: &[f32]| Tensor::from_slice(values, n_rows, head.device());
    let (advantages, returns) = (column(&batch.advantages)?, column(&batch.returns)?);
    let (log_probs, entropy) = match (&batch.actions, log_std) {
        (Actions::Continuous(actions), Some(log_std)) => {
            let actions = Tensor::from_slice(actions, (n_rows, dim), head.device())?;
            let scaled = (actions - head)?.broadcast_div(&log_std.exp()?)?;
            let half_ln_tau = 0.5 * std::f64::consts::TAU.ln();
            let log_probs =
                ((scaled.sqr()? * -0.5)?.broadcast_sub(log_std)? - half_ln_tau)?.sum(D::Minus1)?;
            (log_probs, (log_std + (0.5 + half_ln_tau))?.sum_all()?)
        }
        (Actions::Discrete(choices), None) => {
            let choices = Tensor::from_slice(choices, (n_rows, 1), head.device())?;
            let shifted = head.broadcast_sub(&head.max_keepdim(D::Minus1)?.detach())?;
            let log_sum = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
            let all = shifted.broadcast_sub(&log_sum)?;
            let entropy = (all.exp()? * &all)?.sum(D::Minus1)?.mean_all()?.neg()?;
            (all.gather(&choices, 1)?.squeeze(1)?, entropy)
        }
        _ => candle_core::bail!("PPO's loss: actions and distribution are of different kinds"),
    };
    let log_ratio = (log_probs - column(&batch.old_log_probs)?)?;
    let ratio = log_ratio.exp()?;
    let (low, high) = (1.0 - coefs.clip_range, 1.0 + coefs.clip_range);
    let clipped = (ratio.clamp(low, high)? * &advantages)?;
    let policy_loss = (&ratio * &advantages)?.minimum(&clipped)?.mean_all()?.neg()?;
    let value_loss = (values.squeeze(1)? - returns)?.sqr()?.mean_all()?;
    let loss = ((&policy_loss + (&value_loss * f64::from(coefs.value_coef))?)?
        - (&entropy * f64::from(coefs.entropy_coef))?)?;
    let number = |tensor: &Tensor| tensor.to_scalar::<f32>();
    let ratios = ratio.to_vec1::<f32>()?;
    let n_clipped = ratios.iter().filter(|ratio| coefs.clip_range < (**ratio - 1.0).abs()).count();
    let terms = LossTerms {
        loss: number(&loss)?,
        policy_loss: number(&policy_loss)?,
        value_loss: number(&value_loss)?,
        entropy: number(&entropy)?,
        approx_kl: number(&((ratio - 1.0)? - log_ratio)?.mean_all()?)?,
        clip_fraction: n_clipped as f32 / n_rows as f32,
    };
    Ok((loss, terms))
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    const COEFS: LossCoefs = LossCoefs { clip_range: 0.2, value_coef: 0.5, entropy_coef: 0.01 };

    fn wave(n: usize, frequency: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * frequency + 0.3).sin()).collect()
    }

    fn compare(actions: Actions, log_std: Option<Var>) {
        let device = &Device::Cpu;
        let head = Var::from_vec(wave(24, 0.7), (8, 3), device).expect("head");
        let values = Var::from_vec(wave(8, 1.1), (8, 1), device).expect("values");
        let old_log_probs = if log_std.is_some() { -3.2 } else { -1.1 };
        let batch = LossBatch {
            actions,
            old_log_probs: wave(8, 2.0).iter().map(|x| old_log_probs + 0.3 * x).collect(),
            advantages: wave(8, 0.4),
            returns: wave(8, 0.9),
        };
        let log_std_tensor = log_std.as_ref().map(|var| var.as_tensor());
        let (fused, fused_terms) =
            ppo_loss(&head, &values, log_std_tensor, batch.clone(), COEFS).expect("fused");
        let (composed, composed_terms) =
            composed_loss(&head, &values, log_std_tensor, &batch, COEFS).expect("composed");
        for (fused, composed) in fused_terms.to_array().into_iter().zip(composed_terms.to_array()) {
            assert!((fused - composed).abs() < 1e-5, "{fused_terms:?} for {composed_terms:?}");
        }
        assert!(
            0.0 < fused_terms.clip_fraction && fused_terms.clip_fraction < 1.0,
            "both branches are taken"
        );
        let (fused, composed) = (fused.backward().expect("backward"), composed.backward().expect("backward"));
        for var in [Some(&head), Some(&values), log_std.as_ref()].into_iter().flatten() {
            let error = (fused.get(var).expect("gradient") - composed.get(var).expect("gradient"))
                .and_then(|d| d.abs()?.max_all()?.to_scalar::<f32>())
                .expect("error");
            assert!(error < 1e-5, "{error}");
        }
    }

    #[test]
    fn gaussian_loss_and_gradients_equal_autograd() {
        let log_std = Var::from_vec(vec![0.1_f32, -0.3, 0.2], 3, &Device::Cpu).expect("log_std");
        compare(Actions::Continuous(wave(24, 1.9)), Some(log_std));
    }

    #[test]
    fn categorical_loss_and_gradients_equal_autograd() {
        compare(Actions::Discrete(vec![0, 1, 2, 2, 1, 0, 1, 2]), None);
    }
}
