//! Image and text towers, built from a checkpoint's own configuration, for inference and for training.
//!
//! A tower is built through a [`candle_nn::VarBuilder`] under the keys of Hugging Face checkpoints. The builder is the
//! source of the parameters: [`params::StrictTensors`] (a checkpoint; missing or unused tensors are errors) or
//! [`params::SeededVars`] (a [`candle_nn::VarMap`] for training, initialised by a seed).

pub mod clip;
pub mod config;
pub mod encoder;
pub mod params;
pub mod siglip;
pub mod text;
pub mod vision;

pub use clip::{Clip, unit_rows};
pub use config::{ClipConfig, TextConfig, VisionConfig};
pub use siglip::{Siglip, SiglipConfig};
pub use text::TokenBatch;
