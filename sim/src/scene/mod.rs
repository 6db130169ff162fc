//! Scenes as data: what there is, how it moves, who looks.
//!
//! A [`SceneSpec`] is built by a task in code or read from a TOML file, checked once by [`SceneSpec::check`], and
//! turned into a [`crate::SimWorld`]. Names connect its parts; the world resolves them to indices.

mod check;
mod load;
mod spec;

pub use spec::{
    BodyKind, BodySpec, CameraSpec, CouplingSpec, JointKind, JointSpec, MaterialSpec, MotorSpec, PartSpec,
    PhysicsSpec, PoseSpec, SceneSpec, ShapeSpec, TextureSpec,
};
