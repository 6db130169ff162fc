//! Pretraining of a small CLIP on pictures and sentences that the tasks make.
//!
//! ```text
//! tasks ─► Catalogue (what can be said)          ─► text tower ──┐
//!      └─► PictureSource (scattered states, drawn) ─► image tower ─┴─► losses ─► Adam
//! ```
//!
//! The auxiliary head learns quantities about pictures; it is a training signal and is not shipped. The shipped model
//! sees pixels and words.

pub mod card;
pub mod catalogue;
pub mod config;
pub mod exam;
pub mod objective;
pub mod pictures;
mod saved;
pub mod trainer;

pub use card::model_card;
pub use catalogue::Catalogue;
pub use config::{PretrainConfig, TaskShare};
pub use exam::{ExamConfig, ExamReport, examine};
pub use saved::CHECKPOINT;
pub use trainer::{PretrainReport, Pretraining};
