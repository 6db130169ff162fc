//! Configuration of SAC.

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::error::check;
use crate::off_policy::ExperienceOptions;
use crate::policy::NetworkConfig;

/// Configuration of SAC. The defaults are for 32 envs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SacConfig {
    /// Number of steps of each env between updates; at least 1. Frames of these steps are scored while the update runs.
    pub n_steps: usize,
    /// Number of gradient steps of an update; at least 1.
    pub n_gradient_steps: usize,
    /// Number of transitions in a minibatch; at least 1.
    pub minibatch_size: usize,
    /// Number of latest transitions that are kept; at least 1.
    pub replay_size: usize,
    /// Number of transitions with random actions before the first update.
    pub n_random_steps: usize,
    /// Learning rate of actor, critics and temperature, in (0, 1].
    pub learning_rate: f64,
    /// Whether the learning rate falls linearly to 0 over the training.
    pub linear_decay: bool,
    /// Discount factor, in [0, 1].
    pub discount: f64,
    /// Number of rewards in the target of the critics, in [1, 100].
    pub n_step_return: usize,
    /// Fraction by which the target critics move towards the critics at each gradient step, in (0, 1].
    pub tau: f64,
    /// Entropy that the temperature is tuned for, in nats; `-dim` of the actions if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_entropy: Option<f64>,
    /// Initial temperature; above 0.
    pub initial_temperature: f64,
    /// Whether state observations are shifted and scaled by running statistics.
    pub normalize_observations: bool,
    /// Sizes of the networks; `log_std_init` is not used.
    pub network: NetworkConfig,
}

impl Default for SacConfig {
    fn default() -> Self {
        Self {
            n_steps: 1,
            n_gradient_steps: 8,
            minibatch_size: 256,
            replay_size: 300_000,
            n_random_steps: 1_000,
            learning_rate: 1e-3,
            linear_decay: false,
            discount: 0.95,
            n_step_return: 1,
            tau: 0.005,
            target_entropy: None,
            initial_temperature: 1.0,
            normalize_observations: false,
            network: NetworkConfig::default(),
        }
    }
}

impl SacConfig {
    /// Stable-Baselines3's defaults, for one env.
    pub fn sb3() -> Self {
        let network = NetworkConfig { hidden_sizes: vec![256, 256], ..NetworkConfig::default() };
        Self {
            n_gradient_steps: 1,
            replay_size: 1_000_000,
            n_random_steps: 100,
            learning_rate: 3e-4,
            discount: 0.99,
            network,
            ..Self::default()
        }
    }

    pub(super) fn experience(&self) -> ExperienceOptions {
        ExperienceOptions {
            path: "train.sac",
            n_steps: self.n_steps,
            n_gradient_steps: self.n_gradient_steps,
            minibatch_size: self.minibatch_size,
            replay_size: self.replay_size,
            n_random_steps: self.n_random_steps,
            learning_rate: self.learning_rate,
            discount: self.discount,
            n_step_return: self.n_step_return,
            tau: self.tau,
            normalize_observations: self.normalize_observations,
        }
    }

    /// Checks every field.
    pub(super) fn check(&self) -> Result<()> {
        self.experience().check()?;
        let target = self.target_entropy;
        let target_fits = target.is_none_or(|target| target.abs() <= 1e3);
        check(target_fits, "train.sac.target_entropy", target, "a number in [-1000, 1000], or nothing")?;
        let temperature = self.initial_temperature;
        let fits = (1e-6..=1e3).contains(&temperature);
        check(fits, "train.sac.initial_temperature", temperature, "a number in [1e-6, 1000]")?;
        self.network.validate("train.sac.network")
    }
}
