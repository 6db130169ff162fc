//! Configuration of a training run.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::episodes::MAX_WINDOW;
use crate::error::check;
use crate::ppo::PpoConfig;

/// Configuration of a training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Seed of the envs' episodes, the policy's initial parameters, its sampled actions and the order of minibatches.
    pub seed: u64,
    /// Total number of env steps, summed over all envs; rounded up to whole rollouts.
    pub total_steps: u64,
    /// Number of latest finished episodes that reports average over; in [1, 1000000].
    pub n_report_episodes: usize,
    /// Number of updates between checkpoints; with 0, only the final one is written.
    pub checkpoint_every: u64,
    /// Number of newest checkpoints that are kept; with 0, all are.
    pub keep_newest: usize,
    /// Whether the checkpoint with the highest mean training reward of an episode is kept too. Ground truth is not compared.
    pub keep_best: bool,
    /// Folder of the checkpoints, `step-NNNNNNNNNNNN.safetensors`; created if missing. Not part of a saved
    /// configuration, so that a run folder can be moved.
    #[serde(skip)]
    pub checkpoint_folder: Option<PathBuf>,
    /// Settings of the algorithm and the networks.
    pub ppo: PpoConfig,
}

impl TrainConfig {
    /// A run of `total_steps` env steps, without checkpoints.
    pub fn new(ppo: PpoConfig, total_steps: u64, seed: u64) -> Self {
        Self {
            seed,
            total_steps,
            n_report_episodes: 100,
            checkpoint_every: 0,
            keep_newest: 3,
            keep_best: true,
            checkpoint_folder: None,
            ppo,
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// Names the field, its value and what is allowed.
    pub fn validate(&self) -> Result<()> {
        check(1 <= self.total_steps, "train.total_steps", self.total_steps, "at least 1")?;
        let n = self.n_report_episodes;
        check((1..=MAX_WINDOW).contains(&n), "train.n_report_episodes", n, "a number in [1, 1000000]")?;
        self.ppo.validate()
    }
}
