//! Snapshots and state hashes of a world.

use rapier3d::pipeline::PhysicsWorld;

use super::SimWorld;
use crate::render::{Light, Material, RenderScene};
use crate::scene::CameraSpec;
use crate::sealed::{seal, unseal};
use crate::{Result, SimError};

/// The dynamic state of a world, read from a snapshot and checked.
pub struct WorldState {
    physics: PhysicsWorld,
    materials: Vec<Material>,
    light: Light,
    cameras: Vec<CameraSpec>,
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
        seal(&(self.scene.fingerprint(), &self.physics, materials, light, cameras))
    }

    /// Reads a state that [`Self::snapshot`] of a world of the same scene returned.
    ///
    /// # Errors
    /// If the bytes are damaged or of another scene.
    pub fn read_snapshot(&self, snapshot: &[u8]) -> Result<WorldState> {
        let (fingerprint, physics, materials, light, cameras): (u64, PhysicsWorld, Vec<_>, _, Vec<_>) =
            unseal(snapshot)?;
        if fingerprint != self.scene.fingerprint() {
            return Err(SimError::Snapshot("it was taken of another scene".to_owned()));
        }
        let is_whole = self.bodies.iter().all(|&handle| physics.bodies.contains(handle))
            && physics.bodies.len() == self.bodies.len()
            && materials.len() == self.render_scene.materials.len()
            && cameras.len() == self.cameras.len();
        if !is_whole {
            return Err(SimError::Snapshot("bodies, materials or cameras are missing".to_owned()));
        }
        Ok(WorldState { physics, materials, light, cameras })
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
