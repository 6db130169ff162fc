//! Vision-language reward models: frames and sentences in, rewards out.

pub mod error;
pub mod model;
pub mod ops;
pub mod towers;

pub use error::{Result, RewardError};
pub use model::{Embeddings, FrameReward, ImageTextModel};
pub use towers::{Clip, ClipConfig};

/// Linked for its feature `x86-v4`, which gives candle's matrix products AVX-512 where the processor has it.
use gemm as _;
