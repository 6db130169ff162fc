//! What kinds have in common whose scores are made of VLM-RM's rewards of single frames.

use std::sync::Arc;

use sayso_sim::{FrameBatch, FrameRequest};

use crate::kinds::VlmRmModel;
use crate::registry::{Resources, RewardOptions};
use crate::reward_model::{Feature, FrameSelection, RewardModel, RewardText, Windows};
use crate::{Embeddings, Result, RewardError, load_model};

/// Options of such a kind.
pub trait OfFrames: Send + Sync {
    /// The encoder, and the strength of goal-baseline regularisation.
    fn encoder(&self) -> (&str, f32);

    /// Which frames a score depends on.
    fn frames(&self) -> FrameSelection;

    /// Writes the score of every row.
    fn score(model: &VlmRmModel, windows: &Windows<'_>, out: &mut [f32]);
}

impl<O: OfFrames> RewardOptions for O {
    fn validate(&self) -> Result<()> {
        let (_, alpha) = self.encoder();
        if !(0.0..=1.0).contains(&alpha) {
            let (field, expected) = ("reward.alpha".to_owned(), "a number in [0, 1]".to_owned());
            return Err(RewardError::OutOfRange { field, got: alpha.to_string(), expected });
        }
        self.frames().validate()
    }

    fn model_name(&self) -> Option<&str> {
        Some(self.encoder().0)
    }

    fn needs_baseline(&self) -> bool {
        0.0 < self.encoder().1
    }

    fn load(&self, resources: &Resources<'_>) -> Result<Arc<dyn RewardModel>> {
        let (name, alpha) = self.encoder();
        let model = load_model(name, resources.bundled, resources.device)?;
        let frame = VlmRmModel::new(Arc::new(model), alpha);
        Ok(Arc::new(OverFrames { frame, frames: self.frames(), score: O::score }))
    }
}

/// A reward that is computed from the frames of a window as [`VlmRmModel`] computes it from one.
pub(super) struct OverFrames {
    pub frame: VlmRmModel,
    pub frames: FrameSelection,
    pub score: fn(&VlmRmModel, &Windows<'_>, &mut [f32]),
}

impl RewardModel for OverFrames {
    fn frame_request(&self) -> FrameRequest {
        self.frame.frame_request()
    }

    fn feature(&self) -> Feature {
        self.frame.feature()
    }

    fn frames(&self) -> FrameSelection {
        self.frames
    }

    fn embed_frames(&self, frames: &FrameBatch) -> Result<Embeddings> {
        self.frame.embed_frames(frames)
    }

    fn embed_text(&self, text: &RewardText) -> Result<Vec<f32>> {
        self.frame.embed_text(text)
    }

    fn score(&self, windows: &Windows<'_>, out: &mut [f32]) -> Result<()> {
        (self.score)(&self.frame, windows, out);
        Ok(())
    }
}

/// The default of the option `model`.
pub(super) fn bundled() -> String {
    "bundled".to_owned()
}
