//! From frames to rewards: which frames are encoded and scored, the history that scores depend on, and the rewards of steps.
//!
//! ```text
//! frames of a step ─► History (embeddings per env) ─► Windows ─► RewardModel::score ─► scores ─► RewardSchedule ─► rewards
//! ```

mod calls;
mod frame_scorer;
mod history;
mod plan;
mod schedule;
mod scorer;
mod worker;

pub use calls::{FailureConfig, OnFailure};
pub use frame_scorer::FrameScorer;
pub use history::EnvHistory;
pub use plan::{FrameRow, ScoringPlan};
pub use schedule::{LatestScore, RewardSchedule, ScoredStep};
pub use scorer::{RewardFrames, Score, Scorer, check_text};
pub use worker::RewardWorker;
