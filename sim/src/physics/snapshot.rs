//! Snapshots and state hashes of a world.

use rapier3d::pipeline::PhysicsWorld;

use super::SimWorld;
use crate::{Result, SimError};

impl SimWorld {
    /// The dynamic state, from which [`Self::restore`] continues bit-exactly. Materials, light and cameras are included,
    /// because a task may have randomised them.
    ///
    /// # Errors
    /// If rapier's state cannot be serialised.
    pub fn snapshot(&self) -> Result<Vec<u8>> {
        let light = self.render_scene.light;
        let cameras: Vec<_> = self.cameras.iter().map(|c| c.spec.clone()).collect();
        postcard::to_stdvec(&(&self.physics, &self.render_scene.materials, light, cameras))
            .map_err(|e| SimError::Snapshot(e.to_string()))
    }

    /// Restores a state that [`Self::snapshot`] of a world of the same scene returned.
    ///
    /// # Errors
    /// If the bytes are damaged or of another scene; the world is then unchanged.
    pub fn restore(&mut self, snapshot: &[u8]) -> Result<()> {
        let (physics, materials, light, cameras): (PhysicsWorld, Vec<_>, _, Vec<_>) =
            postcard::from_bytes(snapshot).map_err(|e| SimError::Snapshot(e.to_string()))?;
        let is_same_scene = self.bodies.iter().all(|&handle| physics.bodies.contains(handle))
            && physics.bodies.len() == self.bodies.len()
            && materials.len() == self.render_scene.materials.len()
            && cameras.len() == self.cameras.len();
        if !is_same_scene {
            return Err(SimError::Snapshot("it was taken of another scene".to_owned()));
        }
        (self.physics, self.render_scene.materials, self.render_scene.light) = (physics, materials, light);
        for (camera, spec) in self.cameras.iter_mut().zip(cameras) {
            camera.spec = spec;
        }
        self.clear_fault();
        self.sync_render_scene();
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
