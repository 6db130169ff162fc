//! One rapier world per env: built from a scene, stepped, moved, measured, saved.
//!
//! Data flows `SceneSpec → build → SimWorld`; [`SimWorld::step`] advances it, [`SimWorld::sync_drawing`] copies poses
//! out for the ray caster. rapier alone owns dynamic state.

mod build;
mod drawing;
mod joints;
mod kinematics;
mod snapshot;
mod world;

pub use world::SimWorld;
