//! Snapshots and state hashes of a world.

use rapier3d::dynamics::{
    ImpulseJointSet, IntegrationParameters, IslandManager, MultibodyJointSet, RigidBodySet, SoftBodySet,
};
use rapier3d::geometry::{BroadPhaseBvh, ColliderSet, NarrowPhase};
use rapier3d::pipeline::PhysicsWorld;
use serde::{Deserialize, Serialize};

use super::SimWorld;
use crate::math::Vec3;
use crate::render::{Light, Material, RenderScene};
use crate::scene::CameraSpec;
use crate::sealed::{self, seal, unseal};
use crate::{Result, SimError};

/// The dynamic state of a world, read from a snapshot and checked.
pub struct WorldState {
    physics: PhysicsWorld,
    materials: Vec<Material>,
    light: Light,
    cameras: Vec<CameraSpec>,
}

/// What a snapshot holds of rapier's state, in the order of [`PhysicsState`].
#[derive(Serialize)]
struct PhysicsStateRef<'a> {
    gravity: &'a Vec3,
    integration_parameters: &'a IntegrationParameters,
    islands: &'a IslandManager,
    broad_phase: &'a BroadPhaseBvh,
    narrow_phase: &'a NarrowPhase,
    bodies: &'a RigidBodySet,
    colliders: &'a ColliderSet,
    impulse_joints: &'a ImpulseJointSet,
    soft_bodies: &'a SoftBodySet,
    multibody_joints: &'a [u8],
}

#[derive(Deserialize)]
struct PhysicsState<'a> {
    gravity: Vec3,
    integration_parameters: IntegrationParameters,
    islands: IslandManager,
    broad_phase: BroadPhaseBvh,
    narrow_phase: NarrowPhase,
    bodies: RigidBodySet,
    colliders: ColliderSet,
    impulse_joints: ImpulseJointSet,
    soft_bodies: SoftBodySet,
    /// Apart, because nalgebra multiplies the rows and columns of a matrix that it reads without a check for overflow.
    #[serde(borrow)]
    multibody_joints: &'a [u8],
}

impl PhysicsState<'_> {
    fn into_world(self) -> Result<PhysicsWorld> {
        let multibody_joints: MultibodyJointSet =
            sealed::from_bytes_of_small_integers(self.multibody_joints)?;
        Ok(PhysicsWorld {
            gravity: self.gravity,
            integration_parameters: self.integration_parameters,
            islands: self.islands,
            broad_phase: self.broad_phase,
            narrow_phase: self.narrow_phase,
            bodies: self.bodies,
            colliders: self.colliders,
            impulse_joints: self.impulse_joints,
            soft_bodies: self.soft_bodies,
            multibody_joints,
            ..PhysicsWorld::default()
        })
    }
}

impl SimWorld {
    /// The dynamic state, from which [`Self::restore`] continues bit-exactly. Materials, light and cameras are included,
    /// because a task may have randomised them.
    ///
    /// # Errors
    /// If rapier's state cannot be serialised.
    pub fn snapshot(&self) -> Result<Vec<u8>> {
        let cameras: Vec<_> = self.cameras.iter().map(|c| &c.spec).collect();
        let RenderScene { materials, light, .. } = &self.render_scene;
        let multibody_joints = sealed::to_bytes(&self.physics.multibody_joints)?;
        let physics = PhysicsStateRef {
            gravity: &self.physics.gravity,
            integration_parameters: &self.physics.integration_parameters,
            islands: &self.physics.islands,
            broad_phase: &self.physics.broad_phase,
            narrow_phase: &self.physics.narrow_phase,
            bodies: &self.physics.bodies,
            colliders: &self.physics.colliders,
            impulse_joints: &self.physics.impulse_joints,
            soft_bodies: &self.physics.soft_bodies,
            multibody_joints: &multibody_joints,
        };
        seal(&(self.scene.fingerprint(), physics, materials, light, cameras))
    }

    /// Reads a state that [`Self::snapshot`] of a world of the same scene returned.
    ///
    /// # Errors
    /// If the bytes are damaged or of another scene.
    pub fn read_snapshot(&self, snapshot: &[u8]) -> Result<WorldState> {
        let (fingerprint, physics, materials, light, cameras): (u64, PhysicsState<'_>, Vec<_>, _, Vec<_>) =
            unseal(snapshot)?;
        if fingerprint != self.scene.fingerprint() {
            return Err(SimError::Snapshot("it was taken of another scene".to_owned()));
        }
        let physics = physics.into_world()?;
        let is_whole = self.bodies.iter().all(|&handle| physics.bodies.contains(handle))
            && physics.bodies.len() == self.bodies.len()
            && materials.len() == self.render_scene.materials.len()
            && cameras.len() == self.cameras.len();
        if !is_whole || !self.has_joints_of(&physics) {
            return Err(SimError::Snapshot("bodies, joints, materials or cameras are missing".to_owned()));
        }
        Ok(WorldState { physics, materials, light, cameras })
    }

    /// Whether the articulations have the links and degrees of freedom of this world's, and mass matrices that fit; these are
    /// empty before the first step.
    fn has_joints_of(&self, physics: &PhysicsWorld) -> bool {
        self.joints.iter().all(|link| {
            let articulation = |world: &PhysicsWorld| {
                let (multibody, link_id) = world.multibody_joints.get(link.handle)?;
                Some((link_id, multibody.num_links(), multibody.ndofs()))
            };
            let fits = physics.multibody_joints.get(link.handle).is_some_and(|(multibody, _)| {
                let (n_rows, n_columns) = multibody.inv_augmented_mass().lu_internal().shape();
                n_rows == n_columns && n_rows <= multibody.ndofs()
            });
            fits && articulation(physics) == articulation(&self.physics)
        })
    }

    /// Continues from a state that [`Self::read_snapshot`] of this world returned.
    pub fn set_state(&mut self, state: WorldState) {
        let WorldState { physics, materials, light, cameras } = state;
        (self.physics, self.render_scene.materials, self.render_scene.light) = (physics, materials, light);
        for (camera, spec) in self.cameras.iter_mut().zip(cameras) {
            camera.spec = spec;
        }
        self.clear_fault();
        self.sync_render_scene();
    }

    /// Restores a state that [`Self::snapshot`] of a world of the same scene returned.
    ///
    /// # Errors
    /// As [`Self::read_snapshot`]; the world is then unchanged.
    pub fn restore(&mut self, snapshot: &[u8]) -> Result<()> {
        let state = self.read_snapshot(snapshot)?;
        self.set_state(state);
        Ok(())
    }

    /// Hash of the bits of every body's pose and velocity (FNV-1a, 64 bits).
    pub fn state_hash(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut add = |value: f32| {
            for byte in value.to_bits().to_le_bytes() {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        };
        for &handle in &self.bodies {
            let body = &self.physics.bodies[handle];
            body.position().translation.to_array().into_iter().for_each(&mut add);
            body.position().rotation.to_array().into_iter().for_each(&mut add);
            body.linvel().to_array().into_iter().for_each(&mut add);
            body.angvel().to_array().into_iter().for_each(&mut add);
        }
        hash
    }
}
