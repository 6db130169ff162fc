//! The change of a frame's score over a number of control steps.

use serde::{Deserialize, Serialize};

use crate::kinds::VlmRmModel;
use crate::kinds::of_frames::{OfFrames, bundled};
use crate::reward_model::{FrameSelection, Windows};

/// Options of the kind `score_difference`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreDifference {
    /// The encoder, as [`crate::kinds::VlmRm::model`].
    #[serde(default = "bundled")]
    pub model: String,
    /// Strength of goal-baseline regularisation, in [0, 1].
    #[serde(default)]
    pub alpha: f32,
    /// Control steps between the two frames. Before step `lag` of an episode the score is 0.
    pub lag: u32,
}

impl OfFrames for ScoreDifference {
    fn encoder(&self) -> (&str, f32) {
        (&self.model, self.alpha)
    }

    fn frames(&self) -> FrameSelection {
        FrameSelection::Pair { lag: self.lag }
    }

    fn score(model: &VlmRmModel, windows: &Windows<'_>, out: &mut [f32]) {
        for (row, score) in out.iter_mut().enumerate() {
            let prompts = windows.text_features(row);
            *score = match windows.views(row, 0) {
                Some(before) => {
                    model.reward(windows.latest_views(row), prompts) - model.reward(before, prompts)
                }
                None => 0.0,
            };
        }
    }
}
