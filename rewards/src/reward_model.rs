//! The contract of reward models: which frames they look at, and how they score windows of them.

use sayso_sim::{FrameBatch, FrameRequest};
use serde::{Deserialize, Serialize};

use crate::{Embeddings, Result, RewardError};

/// A stateless reward model: its input is frames and text, neither physics state nor the task.
///
/// Whoever steps the envs keeps the history ([`crate::Scorer`]): each frame is embedded once, and windows of embeddings are
/// scored. The result of a call must not depend on earlier calls, nor a row's score on the other rows.
pub trait RewardModel: Send + Sync {
    /// Size, normalisation and memory layout of the frames that the model reads.
    fn frame_request(&self) -> FrameRequest;

    /// What is kept of each frame.
    fn feature(&self) -> Feature;

    /// Which frames of an episode a score depends on.
    fn frames(&self) -> FrameSelection {
        FrameSelection::Last
    }

    /// Number of calls of [`Self::score`] that are worth making at the same time, for each group of envs. With more than 1,
    /// each row is scored by a call of its own, on threads; for models that wait for a server.
    fn n_parallel_calls(&self) -> usize {
        1
    }

    /// Embeds every frame: `[n_views, dim]`, the `dim` of [`Self::feature`]. Not called for [`Feature::Pixels`].
    ///
    /// # Errors
    /// If the frames have another size, or a device fails.
    fn embed_frames(&self, frames: &FrameBatch) -> Result<Embeddings> {
        let _ = frames;
        Ok(Embeddings::default())
    }

    /// The values that the model computes from a text. Called once for each distinct text of a group of envs;
    /// [`Windows::text_features`] returns them for every row. A model that reads the text itself needs none.
    ///
    /// # Errors
    /// If the model cannot read the text.
    fn embed_text(&self, text: &RewardText) -> Result<Vec<f32>> {
        let _ = text;
        Ok(Vec::new())
    }

    /// Writes the score of every row of `windows` to `out`, `[n_rows]`.
    ///
    /// # Errors
    /// If a device or a server fails.
    fn score(&self, windows: &Windows<'_>, out: &mut [f32]) -> Result<()>;
}

/// What is kept of each frame until it is scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// An embedding of this width, f32.
    Embedding(usize),
    /// The pixels, `[height, width, 3]` u8, sRGB, of the size of [`RewardModel::frame_request`].
    Pixels,
}

/// Which frames of an episode a score depends on. Frames are counted in control steps since the start of the episode, whose
/// first frame, before any action, has the number 0; a window that begins before it is masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FrameSelection {
    /// The frame of the step.
    Last,
    /// The last `n_frames` frames that are `stride` steps apart; the last one is that of the step.
    Window {
        /// Number of frames.
        n_frames: u32,
        /// Control steps between them.
        stride: u32,
    },
    /// The frame of the step, and the one `lag` steps before it.
    Pair {
        /// Control steps between them.
        lag: u32,
    },
    /// The whole episode so far, at most `n_frames` frames: the frame of the step, and the multiples of the least power of two
    /// at which they fit.
    Episode {
        /// Maximum number of frames.
        n_frames: u32,
    },
}

/// Largest number of frames in a window, and of control steps that it spans.
const MAX_WINDOW: u32 = 1 << 20;

impl FrameSelection {
    /// Number of frames of a window.
    pub fn n_frames(self) -> usize {
        match self {
            Self::Last => 1,
            Self::Pair { .. } => 2,
            Self::Window { n_frames, .. } | Self::Episode { n_frames } => n_frames as usize,
        }
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// Names the one that is out of range.
    pub fn validate(self) -> Result<()> {
        let check = |field: &str, got: u32, least: u32, most: u32| {
            if (least..=most).contains(&got) {
                return Ok(());
            }
            let (field, got) = (format!("reward.{field}"), got.to_string());
            Err(RewardError::OutOfRange { field, got, expected: format!("a number in [{least}, {most}]") })
        };
        match self {
            Self::Last => Ok(()),
            Self::Pair { lag } => check("lag", lag, 1, MAX_WINDOW),
            Self::Episode { n_frames } => check("n_frames", n_frames, 2, MAX_WINDOW),
            Self::Window { n_frames, stride } => {
                check("n_frames", n_frames, 1, MAX_WINDOW)?;
                check("stride", stride, 1, MAX_WINDOW / n_frames)
            }
        }
    }
}

/// The text of an episode that a reward model reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewardText {
    /// What the agent is to do.
    pub instruction: String,
    /// Descriptions of states in which it is done.
    pub goal_prompts: Vec<String>,
    /// Descriptions of the scene in which it is not done: none, or one for each goal prompt.
    pub baseline_prompts: Vec<String>,
}

/// Windows of frames to score, each with the text of its env: views into the history, which are not copied.
#[derive(Clone, Copy, Debug)]
pub struct Windows<'a> {
    pub(crate) values: Values<'a>,
    /// Values per frame, all views.
    pub(crate) frame_len: usize,
    pub(crate) n_views: usize,
    pub(crate) n_frames: usize,
    /// `[n_rows, n_frames]`: index of each frame in `values`; [`Self::ABSENT`] where the episode has no such frame.
    pub(crate) frame_indices: &'a [u32],
    /// `[n_rows]`.
    pub(crate) text_indices: &'a [u32],
    pub(crate) texts: &'a [EmbeddedText],
}

/// The values of frames.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Values<'a> {
    Embeddings(&'a [f32]),
    Pixels(&'a [u8]),
}

/// A text, and what the model computed from it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EmbeddedText {
    pub text: RewardText,
    pub features: Vec<f32>,
}

impl<'a> Windows<'a> {
    pub(crate) const ABSENT: u32 = u32::MAX;

    /// Number of rows, one per env that is scored.
    pub fn n_rows(&self) -> usize {
        self.text_indices.len()
    }

    /// Number of frames of a row, the absent ones included.
    pub fn n_frames(&self) -> usize {
        self.n_frames
    }

    /// Number of views of a frame, one per reward camera.
    pub fn n_views(&self) -> usize {
        self.n_views
    }

    /// Whether the episode has this frame; frames count from the oldest one, and the last one is always there.
    pub fn is_present(&self, row: usize, frame: usize) -> bool {
        self.frame_idx(row, frame) != Self::ABSENT
    }

    /// The embeddings of a frame, `[n_views, dim]`; `None` if the episode has no such frame, or the model keeps pixels.
    pub fn embeddings(&self, row: usize, frame: usize) -> Option<&'a [f32]> {
        let first = self.first_value(row, frame)?;
        match self.values {
            Values::Embeddings(values) => Some(&values[first..first + self.frame_len]),
            Values::Pixels(_) => None,
        }
    }

    /// The pixels of a frame, `[n_views, height, width, 3]`; `None` if the episode has no such frame, or the model keeps
    /// embeddings.
    pub fn pixels(&self, row: usize, frame: usize) -> Option<&'a [u8]> {
        let first = self.first_value(row, frame)?;
        match self.values {
            Values::Pixels(values) => Some(&values[first..first + self.frame_len]),
            Values::Embeddings(_) => None,
        }
    }

    /// The embedding of each view of a frame, `[dim]` each; `None` if the episode has no such frame, or the model keeps pixels.
    pub fn views(
        &self,
        row: usize,
        frame: usize,
    ) -> Option<impl ExactSizeIterator<Item = &'a [f32]> + use<'a>> {
        Some(self.embeddings(row, frame)?.chunks_exact((self.frame_len / self.n_views).max(1)))
    }

    /// The embedding of each view of a row's last frame, that of the step, `[dim]` each; none if the model keeps pixels.
    pub fn latest_views(&self, row: usize) -> impl ExactSizeIterator<Item = &'a [f32]> + use<'a> {
        let frame = self.embeddings(row, self.n_frames - 1).unwrap_or_default();
        frame.chunks_exact((self.frame_len / self.n_views).max(1))
    }

    /// The text of a row.
    pub fn text(&self, row: usize) -> &'a RewardText {
        &self.texts[self.text_indices[row] as usize].text
    }

    /// What [`RewardModel::embed_text`] returned for the text of a row.
    pub fn text_features(&self, row: usize) -> &'a [f32] {
        &self.texts[self.text_indices[row] as usize].features
    }

    fn frame_idx(&self, row: usize, frame: usize) -> u32 {
        self.frame_indices[row * self.n_frames + frame]
    }

    fn first_value(&self, row: usize, frame: usize) -> Option<usize> {
        let idx = self.frame_idx(row, frame);
        (idx != Self::ABSENT).then(|| idx as usize * self.frame_len)
    }
}
