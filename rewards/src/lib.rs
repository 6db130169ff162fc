//! Vision-language reward models: rewards from rendered frames and text prompts.

pub mod error;

pub mod registry;
pub mod reward_model;
pub mod scoring;

pub mod goal_baseline;
pub mod kinds;
pub mod model;
mod sentences;

mod cuda_import;
pub mod model_device;
pub mod reader;

pub mod checkpoint;
pub mod files;
mod hub;
mod padding;
pub mod preprocess;
pub mod resize;
pub mod tokens;

pub mod nn;
pub mod ops;
pub mod towers;

pub use candle_core::{DType, Device, Tensor};
pub use checkpoint::{CheckpointModel, load_model, save_clip};
pub use error::{Result, RewardError, tensor_message};
pub use files::ModelFiles;
pub use goal_baseline::{GoalBaseline, GoalBaselineConfig};
pub use kinds::VlmRmModel;
pub use model::{Embeddings, ImageTextModel};
pub use model_device::{ModelDevice, Route};
pub use preprocess::{Fit, Preprocess};
pub use reader::FrameReader;
pub use registry::{Resources, RewardOptions, register};
pub use reward_model::{Feature, FrameSelection, RewardModel, RewardText, Windows};
pub use scoring::{
    EnvHistory, FailureConfig, FrameRow, FrameScorer, LatestScore, OnFailure, RewardFrames, RewardSchedule,
    RewardWorker, Score, ScoredStep, Scorer, ScoringPlan, check_text,
};
pub use sentences::SentenceEmbeddings;
pub use tokens::PromptTokenizer;
pub use towers::{Clip, ClipConfig};

/// Linked only to enable its feature `x86-v4`: candle's matrix products then use AVX-512 on CPUs that support it.
use gemm as _;
