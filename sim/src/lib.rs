//! Physics worlds, cameras and the ray caster of Sayso, in a windowless Bevy app.
//!
//! ```text
//! SceneSpec ─► SimWorld (rapier) ─► RenderScene + View ─► Backend (CPU or GPU) ─► Frames, or DeviceFrames
//! ```

pub mod app;
pub mod atomic_write;
pub mod error;
pub mod frame_batch;
pub mod frames;
pub mod image_file;
pub mod index;
pub mod math;
pub mod memory;
pub mod names;
pub mod physics;
pub mod registry;
pub mod render;
pub mod scene;
pub mod sealed;
pub mod seed;
pub mod sensor;

pub use atomic_write::atomic_write;
pub use error::{Result, SimError};
pub use frame_batch::{FrameBatch, FramePart, FrameRequest};
pub use frames::{Frames, ImageSpec};
pub use image_file::read_image;
pub use index::{BodyIdx, CameraIdx, EnvIdx, JointIdx, MaterialIdx};
pub use physics::{PreparedScene, SimWorld, TOUCH_GAP, WorldState};
