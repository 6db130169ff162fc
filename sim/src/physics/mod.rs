//! One rapier world per env: construction from a scene, stepping, access to its state, snapshots.
//!
//! Data flows `SceneSpec → PreparedScene → build → SimWorld`; [`SimWorld::step`] advances it, [`SimWorld::sync_render_scene`] copies poses
//! to the render scene. rapier alone owns dynamic state.

mod build;
mod contact;
mod joints;
mod kinematics;
mod prepared;
mod render_scene;
mod snapshot;
mod world;

pub use contact::TOUCH_GAP;
pub use prepared::PreparedScene;
pub use snapshot::WorldState;
pub use world::SimWorld;
