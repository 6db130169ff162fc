//! Vision-language reward models: frames and sentences in, rewards out.

pub mod error;
pub mod model;

pub use error::{Result, RewardError};
pub use model::{Embeddings, FrameReward, ImageTextModel};
