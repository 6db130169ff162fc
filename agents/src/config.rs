//! The configuration of a training.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::error::check;
use crate::ppo::PpoConfig;

/// How to train.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Decides the envs' episodes, the policy's start, its actions and the order of minibatches.
    pub seed: u64,
    /// Env steps in all, over all envs; rounded up to whole rollouts.
    pub total_steps: u64,
    /// Reports cover at most this many finished episodes; at least 1.
    pub n_report_episodes: usize,
    /// A checkpoint is written after every so many updates; 0: only at the end.
    pub checkpoint_every: u64,
    /// Where checkpoints go, as `step-NNNNNNNNNNNN.safetensors`; the folder is made. Not part of a saved
    /// configuration, so that a run folder can be moved.
    #[serde(skip)]
    pub checkpoint_folder: Option<PathBuf>,
    /// Settings of the algorithm and the networks.
    pub ppo: PpoConfig,
}

impl TrainConfig {
    /// A training of `total_steps` env steps, without checkpoints.
    pub fn new(ppo: PpoConfig, total_steps: u64, seed: u64) -> Self {
        Self { seed, total_steps, n_report_episodes: 100, checkpoint_every: 0, checkpoint_folder: None, ppo }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// Names the field, its value and what is allowed.
    pub fn validate(&self) -> Result<()> {
        check(1 <= self.total_steps, "total_steps", self.total_steps, "at least 1")?;
        let n = self.n_report_episodes;
        check((1..=1_000_000).contains(&n), "n_report_episodes", n, "a number in [1, 1000000]")?;
        self.ppo.validate()
    }
}
