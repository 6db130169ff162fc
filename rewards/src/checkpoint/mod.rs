//! Checkpoints: resolved by name, loaded strictly, saved in the format of `transformers`.

mod model;
mod open_clip;
mod pickle;
mod save;
mod source;
mod torch_file;
mod weights;

pub use model::CheckpointModel;
pub use save::{save_clip, save_weights};
pub use source::load_model;
