//! Shadow tests: whether a part is between a point and the sun.
//!
//! All of the sun's rays have one direction, so here the direction is one vector of the part's frame and only the
//! origins are packets. The result is a boolean, which avoids most square roots.

use wide::f32x8;

use super::mesh_trace;
use super::packet::Vec3x8;
use super::parts::Part;
use crate::math::Vec3;
use crate::render::{RenderScene, Shape};

/// The direction to the sun in a part's frame, and the values that depend on it alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct SunRay {
    direction: Vec3,
    inv_direction: Vec3,
    /// One over the squared length of the direction's component perpendicular to z.
    inv_across: f32,
}

impl SunRay {
    pub fn new(part: &Part, sun: Vec3) -> Self {
        const TINY: f32 = 1e-18;
        let direction = part.local_from_world.vector_scalar(sun);
        let safe = |v: f32| 1.0 / if v.abs() < TINY { TINY.copysign(v) } else { v };
        Self {
            direction,
            inv_direction: Vec3::new(safe(direction.x), safe(direction.y), safe(direction.z)),
            inv_across: 1.0 / (direction.x * direction.x + direction.y * direction.y).max(1e-12),
        }
    }
}

/// Mask of the rays from `point` (world) to the sun that hit `part`; unspecified for lanes that are not `open`.
#[inline(always)]
pub(super) fn blocks(
    render_scene: &RenderScene,
    part: &Part,
    ray: &SunRay,
    point: Vec3x8,
    open: f32x8,
) -> f32x8 {
    let o = part.local_from_world.point(point);
    match part.shape {
        Shape::Plane => f32x8::ZERO,
        Shape::Box { half_extents } => box_blocks(half_extents, o, ray),
        Shape::Sphere { radius } => sphere_blocks(radius, o, ray),
        Shape::Capsule { radius, half_length } => capsule_blocks(radius, half_length, o, ray),
        Shape::Cylinder { radius, half_length } => cylinder_blocks(radius, half_length, o, ray),
        Shape::Cone { radius, half_length } => cone_blocks(radius, half_length, o, ray),
        Shape::Disc { radius } => {
            let t = -o.z * f32x8::splat(ray.inv_direction.z);
            t.simd_gt(0.0) & across_squared(o, ray, t).simd_le(radius * radius)
        }
        Shape::Mesh { mesh_idx, .. } => mesh_trace::blocks(
            &render_scene.meshes[mesh_idx as usize],
            o,
            ray.direction,
            ray.inv_direction,
            open,
        ),
    }
}

#[inline(always)]
fn box_blocks(half: Vec3, o: Vec3x8, ray: &SunRay) -> f32x8 {
    let middle = (-o).scale(Vec3x8::splat(ray.inv_direction));
    let reach = Vec3x8::splat(half * ray.inv_direction.abs());
    let (near, far) = (middle - reach, middle + reach);
    let entry = near.x.fast_max(near.y).fast_max(near.z);
    let exit = far.x.fast_min(far.y).fast_min(far.z);
    entry.simd_le(exit) & exit.simd_gt(0.0)
}

#[inline(always)]
fn sphere_blocks(radius: f32, o: Vec3x8, ray: &SunRay) -> f32x8 {
    let distance_squared = o.cross(Vec3x8::splat(ray.direction)).length_squared();
    let ahead = o.dot(Vec3x8::splat(ray.direction)).simd_lt(0.0);
    let reach = f32x8::splat(radius * radius);
    distance_squared.simd_le(reach) & (ahead | o.length_squared().simd_le(reach))
}

/// By the distance between the ray and the capsule's axis, from alternating projections, which are exact after one round.
#[inline(always)]
fn capsule_blocks(radius: f32, half_length: f32, o: Vec3x8, ray: &SunRay) -> f32x8 {
    let d = Vec3x8::splat(ray.direction);
    let half_length = f32x8::splat(half_length);
    let on_axis = |t: f32x8| t.mul_add(d.z, o.z).fast_max(-half_length).fast_min(half_length);
    let across = -o.x.mul_add(d.x, o.y * d.y);
    let z = on_axis(across * f32x8::splat(ray.inv_across));
    let t = (z - o.z).mul_add(d.z, across).fast_max(f32x8::ZERO);
    let nearest = d.mul_add(t, o);
    let gap = Vec3x8 { z: nearest.z - on_axis(t), ..nearest };
    gap.length_squared().simd_le(radius * radius)
}

#[inline(always)]
fn cylinder_blocks(radius: f32, half_length: f32, o: Vec3x8, ray: &SunRay) -> f32x8 {
    let d = Vec3x8::splat(ray.direction);
    let inv_across = f32x8::splat(ray.inv_across);
    let cross = o.x.mul_sub(d.y, o.y * d.x);
    let discriminant = (cross * cross).mul_neg_add(inv_across, f32x8::splat(radius * radius)) * inv_across;
    let root = discriminant.fast_max(f32x8::ZERO).sqrt();
    let axial = -o.x.mul_add(d.x, o.y * d.y) * inv_across;
    let middle = -o.z * f32x8::splat(ray.inv_direction.z);
    let reach = f32x8::splat(half_length * ray.inv_direction.z.abs());
    let entry = (axial - root).fast_max(middle - reach);
    let exit = (axial + root).fast_min(middle + reach);
    discriminant.simd_ge(0.0) & entry.simd_le(exit) & exit.simd_gt(0.0)
}

/// See `primitives::hit_cone`; a ray from outside enters through the side or through the base.
#[inline(always)]
fn cone_blocks(radius: f32, half_length: f32, o: Vec3x8, ray: &SunRay) -> f32x8 {
    let d = Vec3x8::splat(ray.direction);
    let slope_squared = f32x8::splat((radius / (2.0 * half_length)).powi(2));
    let w = o.z - f32x8::splat(half_length);
    let a = d.x.mul_add(d.x, d.y.mul_sub(d.y, slope_squared * d.z * d.z));
    let b = o.x.mul_add(d.x, o.y.mul_sub(d.y, slope_squared * w * d.z));
    let (cx, cy) = (o.x.mul_sub(d.z, w * d.x), o.y.mul_sub(d.z, w * d.y));
    let cz = o.x.mul_sub(d.y, o.y * d.x);
    let discriminant = slope_squared.mul_sub(cx.mul_add(cx, cy * cy), cz * cz);
    let t = (-b - discriminant.fast_max(f32x8::ZERO).sqrt()) / a;
    let w = t.mul_add(d.z, w);
    let side = discriminant.simd_ge(0.0) & t.simd_gt(0.0) & w.simd_le(0.0) & w.simd_ge(-2.0 * half_length);
    let t = (f32x8::splat(-half_length) - o.z) * f32x8::splat(ray.inv_direction.z);
    let base = t.simd_gt(0.0) & d.z.simd_gt(0.0) & across_squared(o, ray, t).simd_le(radius * radius);
    side | base
}

/// Squared distance from the z axis at `t`.
#[inline(always)]
fn across_squared(o: Vec3x8, ray: &SunRay, t: f32x8) -> f32x8 {
    let x = t.mul_add(f32x8::splat(ray.direction.x), o.x);
    let y = t.mul_add(f32x8::splat(ray.direction.y), o.y);
    x.mul_add(x, y * y)
}
