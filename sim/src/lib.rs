//! Physics worlds, cameras and the ray caster of Sayso, in a windowless Bevy app.

pub mod error;
pub mod frames;
pub mod math;
pub mod render;

pub use error::{Result, SimError};
pub use frames::{Frames, ImageSpec};
