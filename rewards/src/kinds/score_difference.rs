//! The change of a frame's score over a number of control steps.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::kinds::VlmRmModel;
use crate::kinds::vlm_rm::{OverFrames, bundled, check_alpha};
use crate::registry::{Resources, RewardOptions};
use crate::reward_model::{FrameSelection, RewardModel, Windows};
use crate::{Result, load_model};

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

impl ScoreDifference {
    fn frames(&self) -> FrameSelection {
        FrameSelection::Pair { lag: self.lag }
    }
}

impl RewardOptions for ScoreDifference {
    fn validate(&self) -> Result<()> {
        check_alpha(self.alpha)?;
        self.frames().validate()
    }

    fn model_name(&self) -> Option<&str> {
        Some(&self.model)
    }

    fn needs_baseline(&self) -> bool {
        0.0 < self.alpha
    }

    fn load(&self, resources: &Resources<'_>) -> Result<Arc<dyn RewardModel>> {
        let model = load_model(&self.model, resources.bundled, resources.device)?;
        let frame = VlmRmModel::new(Arc::new(model), self.alpha);
        Ok(Arc::new(OverFrames { frame, frames: self.frames(), score }))
    }
}

pub(super) fn score(model: &VlmRmModel, windows: &Windows<'_>, out: &mut [f32]) {
    for (row, score) in out.iter_mut().enumerate() {
        let prompts = windows.text_features(row);
        *score = match windows.views(row, 0) {
            Some(before) => model.reward(windows.latest_views(row), prompts) - model.reward(before, prompts),
            None => 0.0,
        };
    }
}
