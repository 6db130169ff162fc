//! The report of a run: one HTML file with everything in it, readable from disk, without a server or a script.

mod charts;
mod page;

pub use charts::{Chart, Series};
pub use page::render;

use sayso_agents::evaluate::SuccessRate;

use crate::metrics::MetricsRow;

/// Everything that the page shows.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The sentence that was learnt from.
    pub prompt: String,
    /// Whether rewards came from the sentence; else from ground truth.
    pub is_from_language: bool,
    /// Id of the env.
    pub env_id: String,
    /// Short facts under the title: label and value.
    pub facts: Vec<(String, String)>,
    /// Ground truth of the untrained and the trained policy, a row for each goal of the task.
    pub goals: Vec<GoalRow>,
    /// The metrics log.
    pub rows: Vec<MetricsRow>,
    /// Videos, in pairs of before and after.
    pub videos: Vec<Clip>,
    /// Single frames with their scores.
    pub frames: Vec<ScoredFrame>,
    /// The resolved configuration, TOML.
    pub config_toml: String,
    /// Commands that run it again, go on with it, and measure it.
    pub commands: Vec<String>,
    /// Machine and versions: label and value.
    pub machine: Vec<(String, String)>,
}

/// Ground-truth success on one goal.
#[derive(Clone, Debug, PartialEq)]
pub struct GoalRow {
    /// Name of the goal.
    pub goal: String,
    /// Whether the prompt names it.
    pub is_target: bool,
    /// Of the untrained policy.
    pub before: Option<SuccessRate>,
    /// Of the trained policy.
    pub after: Option<SuccessRate>,
}

/// A video in the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clip {
    /// What it shows.
    pub title: String,
    /// A line below.
    pub note: String,
    /// The MP4 file.
    pub mp4: Vec<u8>,
}

/// A frame as the judge saw it, with what it said.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredFrame {
    /// The PNG file: the frame alone, nothing drawn in it.
    pub png: Vec<u8>,
    /// The reward model's score.
    pub score: f64,
    /// What else is known about the instant.
    pub note: String,
    /// Ground truth: whether the goal was met.
    pub success: bool,
}
