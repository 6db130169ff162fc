//! Pretraining of a small CLIP on images and captions that the tasks make.
//!
//! ```text
//! tasks ─► Catalogue (captions)                   ─► text tower ──┐
//!      └─► ImageSource (sampled states, rendered) ─► image tower ─┴─► losses ─► Adam
//! ```
//!
//! Ground truth is the training signal: the degree of truth of every caption, and the positions that the auxiliary heads
//! regress. The exported model has no heads; it reads pixels and words.

pub mod config;
pub mod error;

pub mod catalogue;
pub mod images;
pub mod objective;
mod saved;
pub mod trainer;

pub mod card;
pub mod evaluation;

pub use card::model_card;
pub use catalogue::Catalogue;
pub use config::{PretrainConfig, TaskShare};
pub use error::{PretrainError, Result};
pub use evaluation::{ModelEvalConfig, ModelEvalReport, evaluate_model};
pub use saved::CHECKPOINT;
pub use trainer::{PretrainReport, Pretraining};
