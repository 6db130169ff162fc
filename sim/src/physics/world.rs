//! The world of one env.

use std::sync::Arc;

use bevy::ecs::component::Component;
use rapier3d::dynamics::RigidBodyHandle;
use rapier3d::pipeline::PhysicsWorld;

use super::build::{self, JointLink};
use super::render_scene::{MountedCamera, RenderedPart};
use crate::index::{BodyIdx, CameraIdx, JointIdx, MaterialIdx};
use crate::math::{Pose, Vec3};
use crate::render::{Light, Material, RenderScene};
use crate::scene::SceneSpec;
use crate::{Result, SimError};

/// The world of one env: rapier's state and what is drawn of it.
#[derive(Component)]
pub struct SimWorld {
    pub(super) spec: Arc<SceneSpec>,
    pub(super) physics: PhysicsWorld,
    pub(super) bodies: Vec<RigidBodyHandle>,
    pub(super) joints: Vec<JointLink>,
    pub(super) render_scene: RenderScene,
    pub(super) parts: Vec<RenderedPart>,
    pub(super) cameras: Vec<MountedCamera>,
    is_faulty: bool,
}

impl SimWorld {
    /// Builds the world that a scene describes.
    ///
    /// # Errors
    /// If the scene is impossible ([`SceneSpec::check`]), one of its pictures cannot be read, or a moving body has no
    /// mass.
    pub fn new(spec: Arc<SceneSpec>) -> Result<Self> {
        spec.check()?;
        let (physics, bodies, joints) = build::physics(&spec)?;
        let (render_scene, parts, cameras) = super::render_scene::build(&spec)?;
        let mut world =
            Self { spec, physics, bodies, joints, render_scene, parts, cameras, is_faulty: false };
        world.sync_render_scene();
        world.render_scene.check()?;
        Ok(world)
    }

    /// Goes back to the scene as it was built, forgetting everything that the last episode left behind: contacts,
    /// velocities, motor targets, changed surfaces, light and cameras.
    ///
    /// Equal scenes give bit-identical worlds, so an episode does not depend on those before it.
    pub fn reset(&mut self) {
        // The scene was built once without an error, and building reads nothing else.
        if let Ok((physics, bodies, joints)) = build::physics(&self.spec) {
            (self.physics, self.bodies, self.joints) = (physics, bodies, joints);
        }
        super::render_scene::reset_looks(&self.spec, &mut self.render_scene, &mut self.cameras);
        self.is_faulty = false;
        self.sync_render_scene();
    }

    /// The scene that this world was built from.
    pub fn spec(&self) -> &SceneSpec {
        &self.spec
    }

    /// Advances by one control step, [`crate::scene::PhysicsSpec::n_substeps`] substeps.
    ///
    /// A world whose state has become non-finite stands still; see [`Self::is_faulty`].
    pub fn step(&mut self) {
        for _ in 0..self.spec.physics.n_substeps {
            if self.is_faulty {
                return;
            }
            self.physics.step();
            self.is_faulty = !self.physics.quarantine().is_empty() || !self.is_finite();
        }
    }

    /// Whether the state has become non-finite. The world stands still until it is reset or restored.
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

    /// Looks a body up.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn body(&self, name: &str) -> Result<BodyIdx> {
        find("body", name, self.spec.bodies.iter().map(|b| b.name.as_str())).map(BodyIdx)
    }

    /// Looks a joint up.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn joint(&self, name: &str) -> Result<JointIdx> {
        find("joint", name, self.spec.joints.iter().map(|j| j.name.as_str())).map(JointIdx)
    }

    /// Looks a camera up.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn camera(&self, name: &str) -> Result<CameraIdx> {
        find("camera", name, self.spec.cameras.iter().map(|c| c.name.as_str())).map(CameraIdx)
    }

    /// Looks a material up.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn material_idx(&self, name: &str) -> Result<MaterialIdx> {
        find("material", name, self.spec.materials.iter().map(|m| m.name.as_str())).map(MaterialIdx)
    }

    /// `world_from_body`.
    pub fn body_pose(&self, body: BodyIdx) -> Pose {
        *self.physics.bodies[self.bodies[body.0]].position()
    }

    /// Linear velocity of the centre of mass (m/s) and angular velocity (rad/s), world frame.
    pub fn body_velocity(&self, body: BodyIdx) -> (Vec3, Vec3) {
        let body = &self.physics.bodies[self.bodies[body.0]];
        (body.linvel(), body.angvel())
    }

    /// Places a body and stops it. Bodies that hang on a joint are placed with [`Self::set_joint_positions`]; for
    /// the root of an articulation, what hangs on it follows.
    pub fn set_body_pose(&mut self, body: BodyIdx, world_from_body: Pose) {
        let handle = self.bodies[body.0];
        let rigid_body = &mut self.physics.bodies[handle];
        rigid_body.set_position(world_from_body, true);
        rigid_body.set_linvel(Vec3::ZERO, true);
        rigid_body.set_angvel(Vec3::ZERO, true);
        self.update_articulation(handle);
    }

    /// Pushes a body at its centre of mass during the next control step, newtons, world frame.
    pub fn set_force(&mut self, body: BodyIdx, force: Vec3) {
        let body = &mut self.physics.bodies[self.bodies[body.0]];
        body.reset_forces(true);
        body.add_force(force, true);
    }

    /// Whether two bodies touch, as of the last substep.
    pub fn are_touching(&self, a: BodyIdx, b: BodyIdx) -> bool {
        let (a, b) = (&self.physics.bodies[self.bodies[a.0]], &self.physics.bodies[self.bodies[b.0]]);
        a.colliders().iter().any(|&ca| {
            b.colliders().iter().any(|&cb| {
                self.physics.contact_pair(ca, cb).is_some_and(|pair| pair.has_any_active_contact())
            })
        })
    }

    /// What there is to see, with poses as of the last [`Self::sync_render_scene`].
    pub fn render_scene(&self) -> &RenderScene {
        &self.render_scene
    }

    /// A surface, to read or to randomise; [`Self::reset`] restores it.
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
