//! Scores of single frames that belong to no episode.

use std::sync::Arc;

use sayso_sim::FrameBatch;

use crate::Result;
use crate::reward_model::{EmbeddedText, RewardModel, RewardText, Windows};
use crate::scoring::calls::attempt;
use crate::scoring::history::Frames;
use crate::scoring::scorer::{embed_text, read_frames, values_per_view};

/// A reward model with one text, for frames of any origin. Each frame is scored as the first one of an episode.
pub struct FrameScorer {
    model: Arc<dyn RewardModel>,
    text: EmbeddedText,
}

impl FrameScorer {
    /// Embeds the text.
    ///
    /// # Errors
    /// If the model cannot read it.
    pub fn new(model: Arc<dyn RewardModel>, text: &RewardText) -> Result<Self> {
        Ok(Self { text: embed_text(&*model, text)?, model })
    }

    /// The scores of frames, `[n_views]`.
    ///
    /// # Errors
    /// If the frames have another size, or the model fails.
    pub fn score(&self, frames: &FrameBatch) -> Result<Vec<f32>> {
        let model = &*self.model;
        let mut values = Frames::new(model.feature(), 0);
        read_frames(model, frames, &mut values)?;
        let n_rows = frames.n_views();
        let n_frames = model.frames().n_frames();
        let absent = || std::iter::repeat_n(Windows::ABSENT, n_frames - 1);
        let frame_indices: Vec<u32> = (0..n_rows as u32).flat_map(|idx| absent().chain([idx])).collect();
        let windows = Windows {
            values: values.values(),
            frame_len: values_per_view(model),
            n_views: 1,
            n_frames,
            frame_indices: &frame_indices,
            text_indices: &vec![0; n_rows],
            texts: std::slice::from_ref(&self.text),
        };
        let mut scores = vec![0.0; n_rows];
        attempt(model, &windows, &mut scores)?;
        Ok(scores)
    }
}
