//! Configuration of DQN.

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::error::check;
use crate::off_policy::ExperienceOptions;
use crate::policy::NetworkConfig;

/// Configuration of DQN. The defaults are for 64 envs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DqnConfig {
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
    /// Learning rate of Adam, in (0, 1].
    pub learning_rate: f64,
    /// Whether the learning rate falls linearly to 0 over the training.
    pub linear_decay: bool,
    /// Discount factor, in [0, 1].
    pub discount: f64,
    /// Number of rewards in the target, in [1, 100].
    pub n_step_return: usize,
    /// Fraction by which the target network moves towards the network at each gradient step, in (0, 1].
    pub tau: f64,
    /// Final probability of a random action, in [0, 1].
    pub final_exploration: f64,
    /// Fraction of the training over which the probability of a random action falls from 1 to its final value, in (0, 1].
    pub exploration_fraction: f64,
    /// Global norm that gradients are clipped to; above 0.
    pub max_grad_norm: f64,
    /// Whether state observations are shifted and scaled by running statistics.
    pub normalize_observations: bool,
    /// Sizes of the network; `log_std_init` is not used.
    pub network: NetworkConfig,
}

impl Default for DqnConfig {
    fn default() -> Self {
        Self {
            n_steps: 4,
            n_gradient_steps: 32,
            minibatch_size: 128,
            replay_size: 100_000,
            n_random_steps: 1_000,
            learning_rate: 1e-3,
            linear_decay: false,
            discount: 0.98,
            n_step_return: 1,
            tau: 0.01,
            final_exploration: 0.04,
            exploration_fraction: 0.2,
            max_grad_norm: 10.0,
            normalize_observations: false,
            network: NetworkConfig::default(),
        }
    }
}

impl DqnConfig {
    pub(super) fn experience(&self) -> ExperienceOptions {
        ExperienceOptions {
            path: "train.dqn",
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
        let (exploration, fraction) = (self.final_exploration, self.exploration_fraction);
        let fits = (0.0..=1.0).contains(&exploration);
        check(fits, "train.dqn.final_exploration", exploration, "a number in [0, 1]")?;
        let fits = 0.0 < fraction && fraction <= 1.0;
        check(fits, "train.dqn.exploration_fraction", fraction, "a number in (0, 1]")?;
        let norm = self.max_grad_norm;
        check(0.0 < norm && norm.is_finite(), "train.dqn.max_grad_norm", norm, "a number above 0")?;
        self.network.validate("train.dqn.network")
    }
}
