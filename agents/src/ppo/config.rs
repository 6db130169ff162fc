//! Configuration of PPO.

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::error::check;
use crate::policy::NetworkConfig;

/// Configuration of PPO. The defaults are for 64 envs; the presets of the environments, in `assets/presets/`, change what
/// differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PpoConfig {
    /// Number of steps of each env in a rollout; at least 1.
    pub n_steps: usize,
    /// Number of rows in a minibatch; at least 1. The last one of an epoch may be smaller.
    pub minibatch_size: usize,
    /// Number of epochs: passes over each rollout; at least 1.
    pub n_epochs: usize,
    /// Learning rate of Adam, in (0, 1].
    pub learning_rate: f64,
    /// Whether the learning rate falls linearly to 0 over the training.
    pub linear_decay: bool,
    /// Discount factor, in [0, 1].
    pub discount: f64,
    /// Lambda of generalised advantage estimation, in [0, 1].
    pub gae_lambda: f64,
    /// Probability ratios are clipped to `1 ± clip_range`; in (0, 1].
    pub clip_range: f64,
    /// Weight of the entropy bonus; at least 0.
    pub entropy_coef: f64,
    /// Weight of the value error; at least 0.
    pub value_coef: f64,
    /// Global norm that gradients are clipped to; above 0.
    pub max_grad_norm: f64,
    /// An update stops early once its KL divergence passes 1.5 times this; above 0 if given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_kl: Option<f64>,
    /// Whether state observations are shifted and scaled by running statistics.
    pub normalize_observations: bool,
    /// Whether rewards are scaled by the running deviation of the return.
    pub normalize_rewards: bool,
    /// Whether the advantages of each minibatch are shifted and scaled.
    pub normalize_advantages: bool,
    /// Sizes of the networks.
    pub network: NetworkConfig,
}

impl Default for PpoConfig {
    fn default() -> Self {
        Self {
            n_steps: 32,
            minibatch_size: 512,
            n_epochs: 5,
            learning_rate: 1e-3,
            linear_decay: true,
            discount: 0.97,
            normalize_observations: true,
            normalize_rewards: true,
            network: NetworkConfig::default(),
            ..Self::sb3()
        }
    }
}

impl PpoConfig {
    /// Stable-Baselines3's defaults for `MlpPolicy`. Its 2048 steps are those of one env: divide them by the number of
    /// envs for rollouts of the same size.
    pub fn sb3() -> Self {
        Self {
            n_steps: 2048,
            minibatch_size: 64,
            n_epochs: 10,
            learning_rate: 3e-4,
            linear_decay: false,
            discount: 0.99,
            gae_lambda: 0.95,
            clip_range: 0.2,
            entropy_coef: 0.0,
            value_coef: 0.5,
            max_grad_norm: 0.5,
            target_kl: None,
            normalize_observations: false,
            normalize_rewards: false,
            normalize_advantages: true,
            network: NetworkConfig::sb3(),
        }
    }

    /// Checks every field.
    pub(super) fn check(&self) -> Result<()> {
        let at_least_1 = [
            ("train.ppo.n_steps", self.n_steps),
            ("train.ppo.minibatch_size", self.minibatch_size),
            ("train.ppo.n_epochs", self.n_epochs),
        ];
        for (field, value) in at_least_1 {
            check(1 <= value, field, value, "at least 1")?;
        }
        let from_0_to_1 = [("train.ppo.discount", self.discount), ("train.ppo.gae_lambda", self.gae_lambda)];
        for (field, value) in from_0_to_1 {
            check((0.0..=1.0).contains(&value), field, value, "a number in [0, 1]")?;
        }
        for (field, value) in
            [("train.ppo.learning_rate", self.learning_rate), ("train.ppo.clip_range", self.clip_range)]
        {
            check(0.0 < value && value <= 1.0, field, value, "a number in (0, 1]")?;
        }
        for (field, value) in
            [("train.ppo.entropy_coef", self.entropy_coef), ("train.ppo.value_coef", self.value_coef)]
        {
            check((0.0..=1e3).contains(&value), field, value, "a number in [0, 1000]")?;
        }
        let (norm, target) = (self.max_grad_norm, self.target_kl);
        check(0.0 < norm && norm.is_finite(), "train.ppo.max_grad_norm", norm, "a number above 0")?;
        let target_fits = target.is_none_or(|target| 0.0 < target && target.is_finite());
        check(target_fits, "train.ppo.target_kl", target, "a number above 0, or nothing")?;
        self.network.validate("train.ppo.network")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_valid_and_errors_name_the_field() {
        PpoConfig::sb3().check().expect("sb3");
        PpoConfig::default().check().expect("defaults");
        let wrong = PpoConfig { discount: 1.5, ..PpoConfig::sb3() };
        let message = wrong.check().expect_err("out of range").to_string();
        assert_eq!(message, "train.ppo.discount = 1.5 is out of range; expected a number in [0, 1]");
        let nan = PpoConfig { learning_rate: f64::NAN, ..PpoConfig::sb3() };
        assert!(nan.check().is_err());
    }
}
