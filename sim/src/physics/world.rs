//! The world of one env.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bevy::ecs::component::Component;
use rapier3d::dynamics::RigidBodyHandle;
use rapier3d::pipeline::PhysicsWorld;

use super::build::{self, JointLink};
use super::prepared::PreparedScene;
use super::render_scene::{MountedCamera, RenderedPart};
use crate::index::{BodyIdx, CameraIdx, JointIdx, MaterialIdx};
use crate::math::{Pose, Vec3};
use crate::render::{Light, Material, RenderScene};
use crate::scene::SceneSpec;
use crate::{Result, SimError};

/// The world of one env: rapier's state and the render scene.
#[derive(Component)]
pub struct SimWorld {
    pub(super) scene: PreparedScene,
    pub(super) physics: PhysicsWorld,
    pub(super) bodies: Vec<RigidBodyHandle>,
    pub(super) joints: Vec<JointLink>,
    pub(super) render_scene: RenderScene,
    pub(super) parts: Vec<RenderedPart>,
    pub(super) cameras: Vec<MountedCamera>,
    is_faulty: bool,
}

impl SimWorld {
    /// Builds a world from a scene. For several worlds of one scene, see [`PreparedScene`].
    ///
    /// # Errors
    /// As [`PreparedScene::new`] and [`PreparedScene::world`].
    pub fn new(spec: Arc<SceneSpec>) -> Result<Self> {
        Self::from_prepared(PreparedScene::new(spec)?)
    }

    pub(super) fn from_prepared(scene: PreparedScene) -> Result<Self> {
        let (physics, bodies, joints) = build::physics(&scene)?;
        let (render_scene, parts, cameras) = scene.rendering();
        let mut world =
            Self { scene, physics, bodies, joints, render_scene, parts, cameras, is_faulty: false };
        world.sync_render_scene();
        world.render_scene.check()?;
        Ok(world)
    }

    /// Restores the initial state of the scene: poses, velocities, contacts, motor targets, materials, light and cameras.
    ///
    /// Equal scenes give bit-identical worlds, so an episode does not depend on those before it.
    pub fn reset(&mut self) {
        // The scene was built once without an error, and building reads nothing else.
        if let Ok((physics, bodies, joints)) = build::physics(&self.scene) {
            (self.physics, self.bodies, self.joints) = (physics, bodies, joints);
        }
        super::render_scene::reset_appearance(self.scene.spec(), &mut self.render_scene, &mut self.cameras);
        self.is_faulty = false;
        self.sync_render_scene();
    }

    /// The scene that this world was built from.
    pub fn spec(&self) -> &SceneSpec {
        self.scene.spec()
    }

    /// Advances by one control step, [`crate::scene::PhysicsSpec::n_substeps`] substeps.
    ///
    /// A world whose state is NaN or infinite does not advance; see [`Self::is_faulty`].
    pub fn step(&mut self) {
        for _ in 0..self.spec().physics.n_substeps {
            if self.is_faulty {
                return;
            }
            // rapier panics where the coordinate of a joint becomes NaN within a step. The world does not advance any more
            // until it is reset or restored, which replaces rapier's state.
            let has_panicked = catch_unwind(AssertUnwindSafe(|| self.physics.step())).is_err();
            self.is_faulty = has_panicked || !self.physics.quarantine().is_empty() || !self.is_finite();
        }
        for &handle in &self.bodies {
            self.physics.bodies[handle].reset_forces(false);
        }
    }

    /// Whether the state is NaN or infinite. The world does not advance until it is reset or restored.
    pub fn is_faulty(&self) -> bool {
        self.is_faulty
    }

    pub(super) fn clear_fault(&mut self) {
        self.is_faulty = !self.is_finite();
    }

    fn is_finite(&self) -> bool {
        self.bodies.iter().all(|&handle| {
            let body = &self.physics.bodies[handle];
            body.position().is_finite() && body.linvel().is_finite() && body.angvel().is_finite()
        })
    }

    /// Index of a body, by name.
    ///
    /// # Errors
    /// If no body has that name.
    pub fn body(&self, name: &str) -> Result<BodyIdx> {
        find("body", name, self.spec().bodies.iter().map(|b| b.name.as_str())).map(BodyIdx)
    }

    /// Index of a joint, by name.
    ///
    /// # Errors
    /// If no joint has that name.
    pub fn joint(&self, name: &str) -> Result<JointIdx> {
        find("joint", name, self.spec().joints.iter().map(|j| j.name.as_str())).map(JointIdx)
    }

    /// Index of a camera, by name.
    ///
    /// # Errors
    /// If no camera has that name.
    pub fn camera(&self, name: &str) -> Result<CameraIdx> {
        find("camera", name, self.spec().cameras.iter().map(|c| c.name.as_str())).map(CameraIdx)
    }

    /// Index of a material, by name.
    ///
    /// # Errors
    /// If no material has that name.
    pub fn material_idx(&self, name: &str) -> Result<MaterialIdx> {
        find("material", name, self.spec().materials.iter().map(|m| m.name.as_str())).map(MaterialIdx)
    }

    /// Pose of a body, `world_from_body`.
    pub fn body_pose(&self, body: BodyIdx) -> Pose {
        *self.physics.bodies[self.bodies[body.0]].position()
    }

    /// Linear velocity of the centre of mass (m/s) and angular velocity (rad/s), world frame.
    pub fn body_velocity(&self, body: BodyIdx) -> (Vec3, Vec3) {
        let body = &self.physics.bodies[self.bodies[body.0]];
        (body.linvel(), body.angvel())
    }

    /// Sets the pose of a body, at zero velocity. The links of an articulation move with its root; bodies that are the
    /// child of a joint are moved with [`Self::set_joint_positions`].
    pub fn set_body_pose(&mut self, body: BodyIdx, world_from_body: Pose) {
        let handle = self.bodies[body.0];
        let rigid_body = &mut self.physics.bodies[handle];
        rigid_body.set_position(world_from_body, true);
        rigid_body.set_linvel(Vec3::ZERO, true);
        rigid_body.set_angvel(Vec3::ZERO, true);
        self.update_articulation(handle);
    }

    /// Sets the force on a body's centre of mass during the next control step, newtons, world frame.
    pub fn set_force(&mut self, body: BodyIdx, force: Vec3) {
        let body = &mut self.physics.bodies[self.bodies[body.0]];
        body.reset_forces(true);
        body.add_force(force, true);
    }

    /// The render scene, with poses as of the last [`Self::sync_render_scene`].
    pub fn render_scene(&self) -> &RenderScene {
        &self.render_scene
    }

    /// A material, to read or to randomise; [`Self::reset`] restores it.
    pub fn material_mut(&mut self, material: MaterialIdx) -> &mut Material {
        &mut self.render_scene.materials[material.0]
    }

    /// Sun, ambient light and sky, to read or to randomise; [`Self::reset`] restores them.
    pub fn light_mut(&mut self) -> &mut Light {
        &mut self.render_scene.light
    }
}

fn find<'a>(
    what: &'static str,
    name: &str,
    mut names: impl Iterator<Item = &'a str> + Clone,
) -> Result<usize> {
    let known = names.clone();
    names.position(|n| n == name).ok_or_else(|| SimError::UnknownName {
        what,
        name: name.to_owned(),
        known: known.map(str::to_owned).collect(),
    })
}
