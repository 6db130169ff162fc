//! Distances between bodies, and contact as a distance.

use rapier3d::dynamics::RigidBodyHandle;
use rapier3d::geometry::{Collider, ColliderHandle};
use rapier3d::math::Pose;
use rapier3d::parry::query;
use rapier3d::parry::shape::Shape;

use super::SimWorld;
use crate::index::BodyIdx;

/// Largest gap between two bodies that touch, metres.
///
/// The solver's own contacts begin much earlier: with rapier's defaults they are active 20 mm apart.
pub const TOUCH_GAP: f32 = 0.001;

/// Distance between two shapes, metres; negative where they overlap.
fn distance(a: (&dyn Shape, &Pose), b: (&dyn Shape, &Pose)) -> f32 {
    // parry 0.31 uses the inverse of the right pose where the half-space comes second.
    let ((shape_a, pose_a), (shape_b, pose_b)) = if b.0.as_halfspace().is_some() { (b, a) } else { (a, b) };
    match query::contact(pose_a, shape_a, pose_b, shape_b, f32::MAX) {
        Ok(contact) => contact.map_or(f32::INFINITY, |contact| contact.dist),
        // Two half-spaces: all that this query does not support of the shapes of scenes.
        Err(query::Unsupported) => f32::INFINITY,
    }
}

impl SimWorld {
    /// Least distance between the colliders of two bodies, metres: a geometric query of their current poses. Negative where
    /// they overlap, by the depth of the overlap; infinite if one of them has no collider.
    pub fn gap(&self, a: BodyIdx, b: BodyIdx) -> f32 {
        let (a, b) = (self.bodies[a.0], self.bodies[b.0]);
        let mut least = f32::INFINITY;
        for (collider_a, pose_a) in self.colliders(a) {
            for (collider_b, pose_b) in self.colliders(b) {
                least = least.min(distance((collider_a.shape(), &pose_a), (collider_b.shape(), &pose_b)));
            }
        }
        least
    }

    /// Whether two bodies touch: their [`Self::gap`] is at most [`TOUCH_GAP`].
    pub fn are_touching(&self, a: BodyIdx, b: BodyIdx) -> bool {
        self.gap(a, b) <= TOUCH_GAP
    }

    /// The colliders of a body with their poses in the world. A collider's own pose is that of the last substep, and the body
    /// may have been placed since.
    fn colliders(&self, body: RigidBodyHandle) -> impl Iterator<Item = (&Collider, Pose)> {
        let body = &self.physics.bodies[body];
        let at = |&handle: &ColliderHandle| {
            let collider = &self.physics.colliders[handle];
            let body_from_collider = collider.position_wrt_parent().copied().unwrap_or(Pose::IDENTITY);
            (collider, *body.position() * body_from_collider)
        };
        body.colliders().iter().map(at)
    }
}
