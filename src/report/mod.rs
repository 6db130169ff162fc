//! The report of a run, and the comparison of several: HTML files without scripts or external resources.

mod charts;
mod comparison;
mod page;

pub use charts::{Chart, Series};
pub use comparison::render_comparison;
pub use page::render;

use sayso_agents::evaluate::SuccessRate;

use crate::metrics::MetricsRow;
use crate::results::InstructionSummary;

/// Content of the page.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What is asked of the policy: the first goal prompt, or how many instructions there are.
    pub title: String,
    /// Whether rewards are from a reward model, and not from ground truth.
    pub has_reward_model: bool,
    /// Whether the reward model is the bundled one.
    pub is_bundled_model: bool,
    /// Id of the env.
    pub env_id: String,
    /// Facts below the title: label and value.
    pub facts: Vec<(String, String)>,
    /// Ground-truth success of the untrained and the trained policy, one row per goal of the task.
    pub goals: Vec<GoalRow>,
    /// Ground-truth success of each instruction on its own goal.
    pub instructions: Vec<InstructionSummary>,
    /// Rows of the metrics log.
    pub rows: Vec<MetricsRow>,
    /// Videos of the untrained and the trained policy.
    pub videos: Vec<Clip>,
    /// Scored frames.
    pub frames: Vec<ScoredFrame>,
    /// The complete configuration, TOML.
    pub config_toml: String,
    /// Commands to reproduce and to evaluate the run.
    pub commands: Vec<String>,
    /// Machine and versions: label and value.
    pub machine: Vec<(String, String)>,
}

/// Ground-truth success on one goal.
#[derive(Clone, Debug, PartialEq)]
pub struct GoalRow {
    /// Name of the goal.
    pub goal: String,
    /// Whether an instruction is of this goal.
    pub is_target: bool,
    /// Success rate of the untrained policy.
    pub before: Option<SuccessRate>,
    /// Success rate of the trained policy.
    pub after: Option<SuccessRate>,
}

/// A video in the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clip {
    /// Its title.
    pub title: String,
    /// Text below the video, after the title.
    pub note: String,
    /// The MP4 file.
    pub mp4: Vec<u8>,
}

/// A frame of the reward model's input, with its score.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredFrame {
    /// The PNG file: the frame alone, without annotations.
    pub png: Vec<u8>,
    /// The reward model's score.
    pub score: f64,
    /// Episode and step.
    pub note: String,
    /// Ground truth: whether the goal was met; `None` if the goal prompt names no goal.
    pub success: Option<bool>,
}
