//! The built-in kinds of reward models: one file each.

mod mean_pooled;
mod of_frames;
mod score_difference;
mod vlm_rm;

pub use mean_pooled::MeanPooled;
pub use score_difference::ScoreDifference;
pub use vlm_rm::{VlmRm, VlmRmModel};
