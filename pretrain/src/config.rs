//! Configuration of pretraining.

use sayso_envs::EnvConfig;
use serde::{Deserialize, Serialize};

use crate::error::{Result, check};

/// Width of an attention head.
pub(crate) const HEAD_WIDTH: usize = 32;
/// Maximum width of a tower, and maximum dimension of the embedding space.
const MAX_WIDTH: usize = 4096;
/// Maximum number of layers of a tower.
const MAX_LAYERS: usize = 48;
/// Maximum number of patches of an image.
const MAX_PATCHES: usize = 4096;
/// Maximum height and width of an image, pixels.
const MAX_IMAGE_SIZE: usize = 1024;

/// Images and tasks, sizes of the towers, and settings of the optimiser.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PretrainConfig {
    /// Seed of the weights and of all images.
    pub seed: u64,
    /// Number of training images, each rendered and used once.
    pub n_images: u64,
    /// Number of images per step.
    pub batch_size: usize,
    /// Peak learning rate: linear warm-up over the first 5% of the steps, then cosine decay to 0.
    pub learning_rate: f64,
    /// Weight of the losses of the auxiliary heads: positions on axes, and positions of landmarks in the image.
    pub auxiliary_weight: f64,
    /// Height and width of an image, pixels.
    pub image_size: usize,
    /// Height and width of a patch, pixels.
    pub patch_size: usize,
    /// Width of the image tower.
    pub width: usize,
    /// Number of layers of the image tower.
    pub n_layers: usize,
    /// Width of the text tower.
    pub text_width: usize,
    /// Number of layers of the text tower.
    pub n_text_layers: usize,
    /// Dimensions of the shared embedding space.
    pub embed_dim: usize,
    /// Tasks whose images and captions are trained on, with the share of each.
    pub tasks: Vec<TaskShare>,
    /// Number of steps between checkpoints.
    pub checkpoint_every: u64,
}

/// One task's share of the images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskShare {
    /// Id of the environment.
    pub id: String,
    /// Options of the task.
    #[serde(default)]
    pub options: toml::Table,
    /// Share of every batch, relative to the other tasks.
    pub share: f64,
}

impl Default for PretrainConfig {
    fn default() -> Self {
        let task = |id: &str, share: f64| TaskShare { id: id.to_owned(), options: toml::Table::new(), share };
        Self {
            seed: 0,
            n_images: 1_600_000,
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
                task(&EnvConfig::default().id, 0.68),
                task("CartPole-v1", 0.12),
                task("GoTo-v1", 0.20),
            ],
            checkpoint_every: 200,
        }
    }
}

impl PretrainConfig {
    /// Total number of steps.
    pub fn n_steps(&self) -> u64 {
        self.n_images.div_ceil(self.batch_size as u64)
    }

    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field that is out of its range, its value and what is allowed.
    pub fn validate(&self) -> Result<()> {
        check((8..=8192).contains(&self.batch_size), "batch_size", self.batch_size, "8 to 8192")?;
        check(self.n_images > 0, "n_images", self.n_images, "1 or more")?;
        check(
            self.learning_rate > 0.0 && self.learning_rate < 1.0,
            "learning_rate",
            self.learning_rate,
            "0 to 1",
        )?;
        let is_weight = (0.0..f64::INFINITY).contains(&self.auxiliary_weight);
        check(is_weight, "auxiliary_weight", self.auxiliary_weight, "0 or more, finite")?;
        check(self.patch_size > 0, "patch_size", self.patch_size, "1 or more")?;
        let is_tiled = self.image_size.is_multiple_of(self.patch_size);
        let is_image = is_tiled && (self.patch_size..=MAX_IMAGE_SIZE).contains(&self.image_size);
        let expected = format!("a multiple of patch_size = {}, at most {MAX_IMAGE_SIZE}", self.patch_size);
        check(is_image, "image_size", self.image_size, expected)?;
        let n_patches = (self.image_size / self.patch_size).pow(2);
        check(
            n_patches <= MAX_PATCHES,
            "patch_size",
            self.patch_size,
            format!("at most {MAX_PATCHES} patches"),
        )?;
        for (field, width) in [("width", self.width), ("text_width", self.text_width)] {
            let is_width = width.is_multiple_of(HEAD_WIDTH) && (HEAD_WIDTH..=MAX_WIDTH).contains(&width);
            check(is_width, field, width, format!("a multiple of {HEAD_WIDTH}, at most {MAX_WIDTH}"))?;
        }
        check(
            (1..=MAX_WIDTH).contains(&self.embed_dim),
            "embed_dim",
            self.embed_dim,
            format!("1 to {MAX_WIDTH}"),
        )?;
        for (field, n) in [("n_layers", self.n_layers), ("n_text_layers", self.n_text_layers)] {
            check((1..=MAX_LAYERS).contains(&n), field, n, format!("1 to {MAX_LAYERS}"))?;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_no_tower_can_have_are_refused() {
        assert!(PretrainConfig::default().validate().is_ok());
        let refused = |change: fn(&mut PretrainConfig)| {
            let mut config = PretrainConfig::default();
            change(&mut config);
            config.validate().expect_err("out of range").to_string()
        };
        assert!(refused(|c| c.width = 0).contains("width = 0"));
        assert!(refused(|c| c.width = 100).contains("a multiple of 32"));
        assert!(refused(|c| c.text_width = 1 << 40).contains("text_width"));
        assert!(refused(|c| c.embed_dim = 0).contains("embed_dim"));
        assert!(refused(|c| c.n_layers = usize::MAX).contains("n_layers"));
        assert!(refused(|c| c.image_size = 8 << 40).contains("image_size"));
        assert!(refused(|c| c.patch_size = 0).contains("patch_size = 0"));
        assert!(refused(|c| (c.patch_size, c.image_size) = (1, 1024)).contains("4096 patches"));
        assert!(refused(|c| c.auxiliary_weight = f64::NAN).contains("auxiliary_weight"));
    }
}
