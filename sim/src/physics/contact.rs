//! Distances between bodies, and contact as a distance.

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

/// Bound of the rounding errors of a distance, relative to the lengths that it is computed from, with a wide margin.
const ROUNDING: f32 = 1e-5;

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
    /// Least distance between the colliders of any of `bodies` and those of `object`, metres: a geometric query of their current
    /// poses. Negative where they overlap, by the depth of the overlap; infinite if one side has no collider.
    ///
    /// Faster with the bodies that are usually nearest first.
    pub fn gap(&self, bodies: &[BodyIdx], object: BodyIdx) -> f32 {
        let mut least = f32::INFINITY;
        for (object_collider, object_pose) in self.colliders(object) {
            let object_shape = object_collider.shape();
            let object_sphere = object_shape.compute_bounding_sphere(&object_pose);
            for (collider, pose) in bodies.iter().flat_map(|&body| self.colliders(body)) {
                let sphere = collider.shape().compute_bounding_sphere(&pose);
                let reach = sphere.radius() + object_sphere.radius();
                let at_least = sphere.center().distance(object_sphere.center()) - reach;
                let scale = sphere.center().length() + object_sphere.center().length() + reach;
                if at_least <= least + ROUNDING * scale {
                    least = least.min(distance((collider.shape(), &pose), (object_shape, &object_pose)));
                }
            }
        }
        least
    }

    /// Whether two bodies touch: their [`Self::gap`] is at most [`TOUCH_GAP`].
    pub fn are_touching(&self, a: BodyIdx, b: BodyIdx) -> bool {
        self.gap(&[a], b) <= TOUCH_GAP
    }

    /// The colliders of a body with their poses in the world. A collider's own pose is that of the last substep, and the body
    /// may have been placed since.
    fn colliders(&self, body: BodyIdx) -> impl Iterator<Item = (&Collider, Pose)> {
        let body = &self.physics.bodies[self.bodies[body.0]];
        let at = |&handle: &ColliderHandle| {
            let collider = &self.physics.colliders[handle];
            let body_from_collider = collider.position_wrt_parent().copied().unwrap_or(Pose::IDENTITY);
            (collider, *body.position() * body_from_collider)
        };
        body.colliders().iter().map(at)
    }
}
