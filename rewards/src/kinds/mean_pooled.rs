//! Mean-pooled frames: the mean score of the last frames.
//!
//! Without regularisation the score of a frame is the dot product of its embedding and the goal's, up to a constant, so that the
//! mean score is that of the mean embedding, which is not normalised again: mean-pooled CLIP as in ViSTa (arXiv 2411.13211).

use serde::{Deserialize, Serialize};

use crate::kinds::VlmRmModel;
use crate::kinds::of_frames::{OfFrames, bundled};
use crate::reward_model::{FrameSelection, Windows};

/// Options of the kind `mean_pooled`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeanPooled {
    /// The encoder, as [`crate::kinds::VlmRm::model`].
    #[serde(default = "bundled")]
    pub model: String,
    /// Strength of goal-baseline regularisation, in [0, 1].
    #[serde(default)]
    pub alpha: f32,
    /// Number of frames; fewer at the start of an episode.
    pub n_frames: u32,
    /// Control steps between them.
    #[serde(default = "one")]
    pub stride: u32,
}

fn one() -> u32 {
    1
}

impl OfFrames for MeanPooled {
    fn encoder(&self) -> (&str, f32) {
        (&self.model, self.alpha)
    }

    fn frames(&self) -> FrameSelection {
        FrameSelection::Window { n_frames: self.n_frames, stride: self.stride }
    }

    fn score(model: &VlmRmModel, windows: &Windows<'_>, out: &mut [f32]) {
        for (row, score) in out.iter_mut().enumerate() {
            let prompts = windows.text_features(row);
            let frames = (0..windows.n_frames()).filter_map(|frame| windows.views(row, frame));
            let (sum, n) =
                frames.fold((0.0, 0), |(sum, n), views| (sum + model.reward(views, prompts), n + 1));
            *score = sum / n as f32;
        }
    }
}
