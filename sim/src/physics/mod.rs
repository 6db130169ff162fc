//! One rapier world per env: built from a scene, stepped, moved, measured, saved.
//!
//! Data flows `SceneSpec → build → SimWorld`; [`SimWorld::step`] advances it, [`SimWorld::sync_render_scene`] copies poses
//! out for the ray caster. rapier alone owns dynamic state.

mod build;
mod joints;
mod kinematics;
mod render_scene;
mod snapshot;
mod world;

pub use world::SimWorld;
