//! Scenes as data: bodies, joints, materials, cameras and light.
//!
//! A [`SceneSpec`] is built by a task in code or read from a TOML file, checked once by [`SceneSpec::check`], and
//! turned into a [`crate::SimWorld`]. Bodies, joints, materials and cameras are referred to by name; the world resolves
//! names to indices.

mod check;
mod load;
mod spec;

pub use spec::{
    BodyKind, BodySpec, CameraSpec, CouplingSpec, JointKind, JointSpec, MaterialSpec, MotorSpec, PartSpec,
    PhysicsSpec, PoseSpec, SceneSpec, ShapeSpec, TextureSpec,
};
