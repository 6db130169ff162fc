//! Checkpoints: found by name, read strictly, written in the form that `transformers` reads.

mod model;
mod open_clip;
mod save;
mod source;
mod weights;

pub use model::CheckpointModel;
pub use save::{save_clip, save_weights};
pub use source::load_model;
