//! VLM-RM: the similarity of frames to goal prompts (Rocamonde et al., ICLR 2024).

use std::sync::Arc;

use sayso_sim::{FrameBatch, FrameRequest};
use serde::{Deserialize, Serialize};

use crate::kinds::of_frames::{OfFrames, bundled};
use crate::reward_model::{Feature, FrameSelection, RewardModel, RewardText, Windows};
use crate::{Embeddings, GoalBaselineConfig, ImageTextModel, Result, SentenceEmbeddings, goal_baseline};

/// Options of the kind `vlm_rm`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VlmRm {
    /// The encoder: `bundled`, a folder, or a name on the Hugging Face hub, `owner/name` or `owner/name@revision`.
    #[serde(default = "bundled")]
    pub model: String,
    /// Strength of goal-baseline regularisation, in [0, 1]; see [`GoalBaselineConfig::alpha`].
    #[serde(default)]
    pub alpha: f32,
}

impl OfFrames for VlmRm {
    fn encoder(&self) -> (&str, f32) {
        (&self.model, self.alpha)
    }

    fn frames(&self) -> FrameSelection {
        FrameSelection::Last
    }

    fn score(model: &VlmRmModel, windows: &Windows<'_>, out: &mut [f32]) {
        for (row, score) in out.iter_mut().enumerate() {
            *score = model.reward(windows.latest_views(row), windows.text_features(row));
        }
    }
}

/// The reward of VLM-RM, with any image-text model: that of the step's frame, the mean over its views.
#[derive(Clone)]
pub struct VlmRmModel {
    model: Arc<dyn ImageTextModel>,
    sentences: Arc<SentenceEmbeddings>,
    alpha: f32,
}

impl VlmRmModel {
    /// With goal-baseline regularisation of strength `alpha`, see [`GoalBaselineConfig::alpha`].
    pub fn new(model: Arc<dyn ImageTextModel>, alpha: f32) -> Self {
        Self { sentences: Arc::new(SentenceEmbeddings::new(Arc::clone(&model))), model, alpha }
    }

    /// The reward of one frame, the mean over its views; `prompts` are those of [`goal_baseline::embed_prompts`].
    pub(super) fn reward<'a>(&self, views: impl ExactSizeIterator<Item = &'a [f32]>, prompts: &[f32]) -> f32 {
        let n_views = views.len();
        views.map(|view| goal_baseline::reward(view, prompts, self.alpha)).sum::<f32>() / n_views as f32
    }
}

impl RewardModel for VlmRmModel {
    fn frame_request(&self) -> FrameRequest {
        self.model.frame_request()
    }

    fn feature(&self) -> Feature {
        Feature::Embedding(self.model.embed_dim())
    }

    fn embed_frames(&self, frames: &FrameBatch) -> Result<Embeddings> {
        self.model.embed_batch(frames)
    }

    fn embed_text(&self, text: &RewardText) -> Result<Vec<f32>> {
        let prompts = GoalBaselineConfig {
            goal_prompts: text.goal_prompts.clone(),
            baseline_prompts: text.baseline_prompts.clone(),
            alpha: self.alpha,
        };
        goal_baseline::embed_prompts(&|prompts: &[String]| self.sentences.embed(prompts), &prompts)
    }

    fn score(&self, windows: &Windows<'_>, out: &mut [f32]) -> Result<()> {
        VlmRm::score(self, windows, out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sayso_sim::{Frames, ImageSpec};

    use super::*;
    use crate::kinds::of_frames::OverFrames;
    use crate::kinds::{MeanPooled, ScoreDifference};
    use crate::scoring::{FrameRow, RewardFrames, RewardSchedule, Scorer, ScoringPlan};
    use crate::{FailureConfig, FrameScorer};

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

    fn frames(red: &[u8]) -> FrameBatch {
        let pixels = red.iter().flat_map(|&r| [r, 0, 0]).collect();
        Frames::from_pixels(red.len(), 1, 1, pixels).unwrap_or_default().into()
    }

    /// Scores of the windows of two frames that end in steps 0 and 1; step 0 has none, as `hold_last` does not score it.
    fn scores_of_windows(score: fn(&VlmRmModel, &Windows<'_>, &mut [f32])) -> Vec<f32> {
        let image = ImageSpec { height: 1, width: 1, mean: [0.0; 3], std: [1.0; 3] };
        let frame = VlmRmModel::new(Arc::new(FirstPixel(image)), 0.0);
        let model = OverFrames { frame, frames: FrameSelection::Window { n_frames: 2, stride: 1 }, score };
        let plan = ScoringPlan::new(model.frames(), RewardSchedule::HoldLast, 1).expect("a plan");
        let text = RewardText { goal_prompts: vec!["right".into()], ..RewardText::default() };
        let failures = FailureConfig::default();
        let mut scorer = Scorer::new(Arc::new(model), plan, failures, 1, 2, &[text]).expect("a scorer");
        let mut scores = Vec::new();
        let mut all = Vec::new();
        for (n_steps, red) in [(0, [255, 51]), (1, [51, 0])] {
            let rows = vec![FrameRow { n_steps, ..FrameRow::default() }];
            let step = RewardFrames { frames: frames(&red), rows, ..RewardFrames::default() };
            scorer.score(&step, &mut scores).expect("scores");
            all.extend(scores.iter().map(|score| score.score));
        }
        all
    }

    #[test]
    fn rewards_of_windows_are_the_mean_and_the_difference_of_the_scores_of_frames() {
        // The frames have the mean scores 0.6 and 0.1.
        let close = |got: &[f32], expected: f32| (got[0] - expected).abs() < 1e-6;
        let mean = scores_of_windows(MeanPooled::score);
        assert!(mean.len() == 1 && close(&mean, 0.35), "{mean:?}");
        let difference = scores_of_windows(ScoreDifference::score);
        assert!(difference.len() == 1 && close(&difference, -0.5), "{difference:?}");
    }

    #[test]
    fn the_views_of_an_env_are_averaged() -> Result<()> {
        let image = ImageSpec { height: 1, width: 1, mean: [0.0; 3], std: [1.0; 3] };
        let model: Arc<dyn RewardModel> = Arc::new(VlmRmModel::new(Arc::new(FirstPixel(image)), 0.0));
        let text = RewardText { goal_prompts: vec!["right".into()], ..RewardText::default() };
        let plan = ScoringPlan::new(FrameSelection::Last, RewardSchedule::HoldLast, 1)?;
        let failures = FailureConfig::default();
        let mut scorer = Scorer::new(model.clone(), plan, failures, 2, 2, std::slice::from_ref(&text))?;
        let row = |env_idx| FrameRow { env_idx, n_steps: 1, ..FrameRow::default() };
        let rows = vec![row(0), row(1)];
        let mut step = RewardFrames { frames: frames(&[255, 0, 51, 51]), rows, ..RewardFrames::default() };
        let mut scores = Vec::new();
        scorer.score(&step, &mut scores)?;
        assert_eq!(scores.iter().map(|score| score.row).collect::<Vec<_>>(), step.rows);
        assert!((scores[0].score - 0.5).abs() < 1e-6 && (scores[1].score - 0.2).abs() < 1e-6);
        step.rows.push(row(2));
        let error = scorer.score(&step, &mut scores).err().map(|error| error.to_string());
        assert!(error.is_some_and(|error| error.contains("4 views")));
        let alone = FrameScorer::new(model, &text)?.score(&frames(&[255, 51]))?;
        assert!((alone[0] - 1.0).abs() < 1e-6 && (alone[1] - 0.2).abs() < 1e-6);
        Ok(())
    }
}
