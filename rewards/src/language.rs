//! Rewards of a batch of envs from their frames and text prompts.

use std::sync::Arc;

use sayso_sim::{FrameBatch, FrameRequest, ImageSpec};

use crate::{Embeddings, FrameReward, GoalBaseline, GoalBaselineConfig, ImageTextModel, Result, RewardError};

/// A reward model: an image-text model with embedded goal and baseline prompts.
///
/// Embedding and scoring are separate, so that stored embeddings can be scored against other prompts without rendering
/// again.
#[derive(Clone)]
pub struct LanguageReward {
    model: Arc<dyn ImageTextModel>,
    goal: GoalBaseline,
}

impl LanguageReward {
    /// Embeds the prompts.
    ///
    /// # Errors
    /// If the config is out of range, or the model cannot encode a prompt.
    pub fn new(model: Arc<dyn ImageTextModel>, config: &GoalBaselineConfig) -> Result<Self> {
        Ok(Self { goal: GoalBaseline::new(model.as_ref(), config)?, model })
    }

    /// The model.
    pub fn model(&self) -> &Arc<dyn ImageTextModel> {
        &self.model
    }

    /// Embeds frames in env-major order: the views of an env are adjacent.
    ///
    /// # Errors
    /// If the frame size differs from the model's image size, or a device fails.
    pub fn embed(&self, frames: &FrameBatch) -> Result<Embeddings> {
        self.model.embed_batch(frames)
    }

    /// Replaces the content of `out` with one reward per env, the mean over its views. `views` are embeddings in the order
    /// of [`Self::embed`].
    ///
    /// # Errors
    /// If the width of the embeddings differs from the model's, or their number is not a multiple of `n_views_per_env`.
    pub fn score_embeddings(
        &self,
        views: &Embeddings,
        n_views_per_env: usize,
        out: &mut Vec<f32>,
    ) -> Result<()> {
        if n_views_per_env == 0 || !views.n_rows().is_multiple_of(n_views_per_env) {
            return Err(RewardError::OutOfRange {
                field: "n_views_per_env".into(),
                got: n_views_per_env.to_string(),
                expected: format!("a divisor of the {} views", views.n_rows()),
            });
        }
        self.goal.score(views, out)?;
        let n_envs = out.len() / n_views_per_env;
        for env_idx in 0..n_envs {
            let rewards = &out[env_idx * n_views_per_env..][..n_views_per_env];
            out[env_idx] = rewards.iter().sum::<f32>() / n_views_per_env as f32;
        }
        out.truncate(n_envs);
        Ok(())
    }
}

impl FrameReward for LanguageReward {
    fn image_spec(&self) -> &ImageSpec {
        self.model.image_spec()
    }

    fn frame_request(&self) -> FrameRequest {
        self.model.frame_request()
    }

    fn score(&self, frames: &FrameBatch, n_views_per_env: usize, out: &mut Vec<f32>) -> Result<()> {
        self.score_embeddings(&self.embed(frames)?, n_views_per_env, out)
    }
}

#[cfg(test)]
mod tests {
    use sayso_sim::Frames;

    use super::*;

    /// Embeds a frame by the red value of its first pixel, and every prompt as the first axis.
    struct FirstPixel(ImageSpec);

    impl ImageTextModel for FirstPixel {
        fn image_spec(&self) -> &ImageSpec {
            &self.0
        }

        fn embed_dim(&self) -> usize {
            2
        }

        fn embed_frames(&self, frames: &Frames) -> Result<Embeddings> {
            let red = (0..frames.n_views()).map(|i| f32::from(frames.view(i)[0]) / 255.0);
            Ok(Embeddings::from_values(2, red.flat_map(|r| [r, (1.0 - r * r).sqrt()]).collect()))
        }

        fn embed_prompts(&self, prompts: &[String]) -> Result<Embeddings> {
            Ok(Embeddings::from_values(2, prompts.iter().flat_map(|_| [1.0, 0.0]).collect()))
        }
    }

    #[test]
    fn the_views_of_an_env_are_averaged() -> Result<()> {
        let spec = ImageSpec { height: 1, width: 1, mean: [0.0; 3], std: [1.0; 3] };
        let config =
            GoalBaselineConfig { goal_prompts: vec!["right".into()], baseline_prompts: vec![], alpha: 0.0 };
        let reward = LanguageReward::new(Arc::new(FirstPixel(spec)), &config)?;
        let pixels = [255, 0, 51, 51].iter().flat_map(|&r| [r, 0, 0]).collect();
        let frames = FrameBatch::from(Frames::from_pixels(4, 1, 1, pixels).unwrap_or_default());
        let mut out = Vec::new();
        reward.score(&frames, 2, &mut out)?;
        assert_eq!(out.len(), 2);
        assert!((out[0] - 0.5).abs() < 1e-6 && (out[1] - 0.2).abs() < 1e-6);
        let error = reward.score(&frames, 3, &mut out).err().map(|e| e.to_string());
        assert!(error.is_some_and(|e| e.contains("n_views_per_env = 3")));
        Ok(())
    }
}
