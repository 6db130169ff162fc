//! Intersections of eye rays with the analytic shapes, and the normals there.
//!
//! All rays of a view start at the same point, so the origin is one point of the shape's frame and only the
//! directions are packets. Directions are not unit vectors: their length along the optical axis is one, so that
//! the parameter `t` of a hit is its depth. Only rays that come from outside hit a closed shape (or a plane from
//! above): a camera inside of a link sees through it.
//!
//! Discriminants are written as cross products (`a r² - |o x d|²` for a sphere), which keeps them accurate when the
//! shape is small and far, where `b² - a c` cancels.

use wide::f32x8;

use super::packet::{Vec3x8, safe_recip};
use crate::math::Vec3;

/// The depth of a ray that hits nothing.
pub(super) const MISS: f32 = f32::INFINITY;

/// Nearest depth that is rendered, metres.
pub(super) const NEAR: f32 = 1e-3;

#[inline(always)]
fn accept(valid: f32x8, t: f32x8) -> f32x8 {
    (valid & t.simd_gt(NEAR)).select(t, f32x8::splat(MISS))
}

#[inline(always)]
pub(super) fn hit_plane(o: Vec3, d: Vec3x8) -> f32x8 {
    let height = f32x8::splat(o.z);
    accept(height.simd_gt(0.0) & d.z.simd_lt(0.0), -height / d.z)
}

#[inline(always)]
pub(super) fn hit_disc(radius: f32, o: Vec3, d: Vec3x8) -> f32x8 {
    let t = f32x8::splat(-o.z) / d.z;
    accept(radius_squared_at(o, d, t).simd_le(radius * radius), t)
}

#[inline(always)]
pub(super) fn hit_box(half: Vec3, o: Vec3, d: Vec3x8) -> f32x8 {
    let inv = d.safe_recip();
    let middle = Vec3x8::splat(-o).scale(inv);
    let reach = Vec3x8::splat(half).scale(inv.abs());
    let near = middle - reach;
    let far = middle + reach;
    let t = near.x.fast_max(near.y).fast_max(near.z);
    accept(t.simd_le(far.x.fast_min(far.y).fast_min(far.z)), t)
}

#[inline(always)]
pub(super) fn hit_sphere(radius: f32, o: Vec3, d: Vec3x8) -> f32x8 {
    hit_ball(radius, Vec3x8::splat(o), d)
}

#[inline(always)]
pub(super) fn hit_capsule(radius: f32, half_length: f32, o: Vec3, d: Vec3x8) -> f32x8 {
    let tube = Tube::new(radius, o, d);
    let t = tube.entry();
    let z = t.mul_add(d.z, f32x8::splat(o.z));
    let side = accept(tube.touches() & z.abs().simd_le(half_length), t);
    let end = f32x8::splat(half_length).copysign(z);
    let centred = Vec3x8::new(f32x8::splat(o.x), f32x8::splat(o.y), f32x8::splat(o.z) - end);
    let cap = hit_ball(radius, centred, d);
    (tube.touches() & z.abs().simd_gt(half_length)).select(cap, side)
}

#[inline(always)]
pub(super) fn hit_cylinder(radius: f32, half_length: f32, o: Vec3, d: Vec3x8) -> f32x8 {
    let tube = Tube::new(radius, o, d);
    let inv_z = safe_recip(d.z);
    let middle = f32x8::splat(-o.z) * inv_z;
    let reach = f32x8::splat(half_length) * inv_z.abs();
    let t = tube.entry().fast_max(middle - reach);
    accept(tube.touches() & t.simd_le(tube.exit().fast_min(middle + reach)), t)
}

/// With `w = z - half_length`, the distance above the apex, the side is `x² + y² = k² w²`, `k` the slope.
#[inline(always)]
pub(super) fn hit_cone(radius: f32, half_length: f32, o: Vec3, d: Vec3x8) -> f32x8 {
    let slope = f32x8::splat(radius / (2.0 * half_length));
    let slope_squared = slope * slope;
    let (ox, oy, ow) = (f32x8::splat(o.x), f32x8::splat(o.y), f32x8::splat(o.z - half_length));
    let a = d.x.mul_add(d.x, d.y.mul_sub(d.y, slope_squared * d.z * d.z));
    let b = ox.mul_add(d.x, oy.mul_sub(d.y, slope_squared * ow * d.z));
    let (cx, cy) = (ox.mul_sub(d.z, ow * d.x), oy.mul_sub(d.z, ow * d.y));
    let cz = ox.mul_sub(d.y, oy * d.x);
    let discriminant = slope_squared.mul_sub(cx.mul_add(cx, cy * cy), cz * cz);
    // The gradient along the ray at a root is ∓sqrt: this is the root where the ray enters.
    let t = (-b - discriminant.fast_max(f32x8::ZERO).sqrt()) / a;
    let w = t.mul_add(d.z, ow);
    let on_side = discriminant.simd_ge(0.0) & w.simd_le(0.0) & w.simd_ge(-2.0 * half_length);
    let side = accept(on_side, t);
    let t = f32x8::splat(-half_length - o.z) / d.z;
    let in_base = d.z.simd_gt(0.0) & radius_squared_at(o, d, t).simd_le(radius * radius);
    side.fast_min(accept(in_base, t))
}

/// Normal of a box at the point `p` of its surface: the face that `p` is nearest to.
#[inline(always)]
pub(super) fn normal_box(half: Vec3, p: Vec3x8) -> Vec3x8 {
    let depth = p.abs() - Vec3x8::splat(half);
    let is_x = depth.x.simd_ge(depth.y) & depth.x.simd_ge(depth.z);
    let is_y = depth.y.simd_ge(depth.z) & !is_x;
    let is_z = !(is_x | is_y);
    Vec3x8 {
        x: is_x & f32x8::ONE.copysign(p.x),
        y: is_y & f32x8::ONE.copysign(p.y),
        z: is_z & f32x8::ONE.copysign(p.z),
    }
}

#[inline(always)]
pub(super) fn normal_sphere(radius: f32, p: Vec3x8) -> Vec3x8 {
    p * f32x8::splat(1.0 / radius)
}

#[inline(always)]
pub(super) fn normal_capsule(radius: f32, half_length: f32, p: Vec3x8) -> Vec3x8 {
    let half_length = f32x8::splat(half_length);
    let z = p.z - p.z.fast_max(-half_length).fast_min(half_length);
    Vec3x8 { z, ..p } * f32x8::splat(1.0 / radius)
}

#[inline(always)]
pub(super) fn normal_cylinder(radius: f32, half_length: f32, p: Vec3x8) -> Vec3x8 {
    let rho = p.x.mul_add(p.x, p.y * p.y).sqrt();
    let on_cap = (p.z.abs() - f32x8::splat(half_length)).simd_gt(rho - f32x8::splat(radius));
    let inv = f32x8::ONE / rho;
    let side = Vec3x8 { x: p.x * inv, y: p.y * inv, z: f32x8::ZERO };
    Vec3x8::select(on_cap, up_or_down(p.z), side)
}

#[inline(always)]
pub(super) fn normal_cone(radius: f32, half_length: f32, p: Vec3x8) -> Vec3x8 {
    let slope = radius / (2.0 * half_length);
    let rho = p.x.mul_add(p.x, p.y * p.y).sqrt();
    let below_side = rho - (f32x8::splat(half_length) - p.z) * f32x8::splat(slope);
    let on_base = (f32x8::splat(-half_length) - p.z).simd_gt(below_side);
    let inv = f32x8::ONE / rho.fast_max(f32x8::splat(1e-12));
    let norm = 1.0 / (1.0 + slope * slope).sqrt();
    let (radial, axial) = (f32x8::splat(norm), f32x8::splat(norm * slope));
    let side = Vec3x8 { x: p.x * inv * radial, y: p.y * inv * radial, z: axial };
    Vec3x8::select(on_base, up_or_down(f32x8::splat(-1.0)), side)
}

/// Normal of a plane, or of a disc, turned towards the eye.
#[inline(always)]
pub(super) fn up_or_down(sign: f32x8) -> Vec3x8 {
    Vec3x8 { z: f32x8::ONE.copysign(sign), ..Vec3x8::ZERO }
}

#[inline(always)]
fn radius_squared_at(o: Vec3, d: Vec3x8, t: f32x8) -> f32x8 {
    let x = t.mul_add(d.x, f32x8::splat(o.x));
    let y = t.mul_add(d.y, f32x8::splat(o.y));
    x.mul_add(x, y * y)
}

#[inline(always)]
fn hit_ball(radius: f32, o: Vec3x8, d: Vec3x8) -> f32x8 {
    let a = d.length_squared();
    let discriminant = a.mul_sub(f32x8::splat(radius * radius), o.cross(d).length_squared());
    let root = discriminant.fast_max(f32x8::ZERO).sqrt();
    accept(discriminant.simd_ge(0.0), (-o.dot(d) - root) / a)
}

/// The intersection of rays with the infinite cylinder around z.
struct Tube {
    inv_a: f32x8,
    minus_b: f32x8,
    discriminant: f32x8,
    root: f32x8,
}

impl Tube {
    #[inline(always)]
    fn new(radius: f32, o: Vec3, d: Vec3x8) -> Self {
        let (ox, oy) = (f32x8::splat(o.x), f32x8::splat(o.y));
        // A ray along the axis enters at minus infinity and leaves at infinity.
        let a = d.x.mul_add(d.x, d.y * d.y).fast_max(f32x8::splat(1e-12));
        let cross = ox.mul_sub(d.y, oy * d.x);
        let discriminant = a.mul_sub(f32x8::splat(radius * radius), cross * cross);
        let root = discriminant.fast_max(f32x8::ZERO).sqrt();
        Self { inv_a: f32x8::ONE / a, minus_b: -ox.mul_add(d.x, oy * d.y), discriminant, root }
    }

    #[inline(always)]
    fn touches(&self) -> f32x8 {
        self.discriminant.simd_ge(0.0)
    }

    #[inline(always)]
    fn entry(&self) -> f32x8 {
        (self.minus_b - self.root) * self.inv_a
    }

    #[inline(always)]
    fn exit(&self) -> f32x8 {
        (self.minus_b + self.root) * self.inv_a
    }
}
