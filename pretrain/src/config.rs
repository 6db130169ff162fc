//! What a pretraining is made of.

use sayso_envs::EnvConfig;
use serde::{Deserialize, Serialize};

use crate::error::{Result, check};

/// Size of the towers, amount of pictures, and the optimiser's course.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PretrainConfig {
    /// Seed of the weights and of all pictures.
    pub seed: u64,
    /// Pictures to learn from, each drawn once.
    pub n_images: u64,
    /// Pictures a step.
    pub batch_size: usize,
    /// Highest learning rate; it rises over the first twentieth and falls to 0 along a cosine.
    pub learning_rate: f64,
    /// Weight of the losses on what only training sees: positions on axes, and where things are in the picture.
    pub auxiliary_weight: f64,
    /// Rows and columns of a picture.
    pub image_size: usize,
    /// Rows and columns of a patch.
    pub patch_size: usize,
    /// Width of the image tower.
    pub width: usize,
    /// Layers of the image tower.
    pub n_layers: usize,
    /// Width of the text tower.
    pub text_width: usize,
    /// Layers of the text tower.
    pub n_text_layers: usize,
    /// Width of the shared space.
    pub embed_dim: usize,
    /// Whose pictures and sentences to learn, and how often each.
    pub tasks: Vec<TaskShare>,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
}

/// One task's share of the pictures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskShare {
    /// Id of the environment.
    pub id: String,
    /// Options of the task.
    #[serde(default)]
    pub options: toml::Table,
    /// Part of every batch, relative to the other tasks'.
    pub share: f64,
}

impl Default for PretrainConfig {
    fn default() -> Self {
        let task = |id: &str, share: f64| TaskShare { id: id.to_owned(), options: toml::Table::new(), share };
        Self {
            seed: 0,
            n_images: 600_000,
            batch_size: 128,
            learning_rate: 1e-3,
            auxiliary_weight: 1.0,
            image_size: 64,
            patch_size: 8,
            width: 96,
            n_layers: 4,
            text_width: 96,
            n_text_layers: 2,
            embed_dim: 128,
            tasks: vec![
                task(&EnvConfig::default().id, 0.62),
                task("CartPole-v1", 0.16),
                task("GoTo-v0", 0.22),
            ],
            checkpoint_every: 200,
        }
    }
}

impl PretrainConfig {
    /// Steps in all.
    pub fn n_steps(&self) -> u64 {
        self.n_images.div_ceil(self.batch_size as u64)
    }

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of its range.
    pub fn validate(&self) -> Result<()> {
        check((8..=8192).contains(&self.batch_size), "batch_size", self.batch_size, "8 to 8192")?;
        check(self.n_images > 0, "n_images", self.n_images, "1 or more")?;
        check(
            self.learning_rate > 0.0 && self.learning_rate < 1.0,
            "learning_rate",
            self.learning_rate,
            "0 to 1",
        )?;
        check(self.auxiliary_weight >= 0.0, "auxiliary_weight", self.auxiliary_weight, "0 or more")?;
        check(
            self.patch_size > 0
                && self.image_size >= self.patch_size
                && self.image_size.is_multiple_of(self.patch_size),
            "image_size",
            self.image_size,
            "a multiple of patch_size",
        )?;
        check(self.checkpoint_every > 0, "checkpoint_every", self.checkpoint_every, "1 or more")?;
        let has_share =
            !self.tasks.is_empty() && self.tasks.iter().all(|t| t.share > 0.0 && t.share.is_finite());
        check(has_share, "tasks", self.tasks.len(), "at least one task, each with a share above 0")
    }

    /// Learning rate of a step: linear warm-up, then half a cosine.
    pub fn learning_rate_at(&self, step: u64) -> f64 {
        let (step, n_steps) = (step as f64, self.n_steps() as f64);
        let n_warmup = (n_steps * 0.05).max(1.0);
        if step < n_warmup {
            return self.learning_rate * (step + 1.0) / n_warmup;
        }
        let progress = (step - n_warmup) / (n_steps - n_warmup).max(1.0);
        self.learning_rate * 0.5 * (1.0 + (std::f64::consts::PI * progress.min(1.0)).cos())
    }
}
