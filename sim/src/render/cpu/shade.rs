//! Kernel 4, once per packet: the radiance along each ray, from the surface that it hit or from the sky.
//!
//! Radiance, linear RGB: Lambert's diffuse term under one sun and an ambient light that is weaker from below; a GGX
//! highlight in the form that Karis fitted for real-time use ("Physically Based Shading on Mobile", 2014); and a
//! reflection of the sky, by Schlick's Fresnel term, which fades with roughness.

use wide::f32x8;

use super::camera::{Camera, TileRays};
use super::cast::TileHits;
use super::cull::{ViewPart, VisibleParts};
use super::mesh_trace;
use super::packet::Vec3x8;
use super::parts::Part;
use super::pattern::{Site, albedo};
use super::prepare::PreparedScene;
use super::primitives::{
    normal_box, normal_capsule, normal_cone, normal_cylinder, normal_sphere, up_or_down,
};
use crate::math::Vec3;
use crate::render::{Light, RenderScene, Shape};

/// Reflectance of a dielectric at normal incidence.
const F0: f32 = 0.04;

/// Share of the ambient light that reaches a surface that faces down.
const FROM_BELOW: f32 = 0.55;

/// Inputs for shading a view.
#[derive(Clone, Copy)]
pub(super) struct Shader<'a> {
    pub render_scene: &'a RenderScene,
    pub prepared: &'a PreparedScene,
    pub visible: &'a VisibleParts,
    pub camera: &'a Camera,
}

impl Shader<'_> {
    /// The radiance along the rays of one row of a tile.
    pub fn radiance(&self, rays: &TileRays, hits: &TileHits, row: usize) -> Vec3x8 {
        let along = self.direction(rays, row);
        let length = along.length_squared().sqrt();
        let view = along * (f32x8::ONE / length);
        let hit = hits.any(row);
        let mut colour = Vec3x8::ZERO;
        if !hit.all() {
            colour = sky(&self.render_scene.light, view.z);
        }
        let point = along.mul_add(hits.t[row], Vec3x8::splat(self.camera.eye));
        let spread = length * hits.t[row] * f32x8::splat(self.camera.pixel_size);
        self.for_each_part(hits, row, |view_part, mask| {
            let part = &self.prepared.parts[view_part.part_idx];
            let d = view_part.direction(rays, row);
            let local = d.mul_add(hits.t[row], Vec3x8::splat(view_part.origin));
            let normal = local_normal(self.render_scene, part, view_part, local, hits.triangle[row], mask);
            let (local_normal, normal) = to_world(part, normal, view);
            let surface = Surface { point, normal, local, local_normal, view, depth: hits.t[row], spread };
            let albedo = self.albedo(part, &surface, mask);
            let lit = self.light(part, view_part.part_idx, &surface, albedo, mask);
            colour = Vec3x8::select(mask, lit, colour);
        });
        colour
    }

    /// Unit normals in the world, zero in the sky.
    pub fn normals(&self, rays: &TileRays, hits: &TileHits, row: usize) -> Vec3x8 {
        let view = self.direction(rays, row);
        let mut normals = Vec3x8::ZERO;
        self.for_each_part(hits, row, |view_part, mask| {
            let part = &self.prepared.parts[view_part.part_idx];
            let local = view_part.direction(rays, row).mul_add(hits.t[row], Vec3x8::splat(view_part.origin));
            let normal = local_normal(self.render_scene, part, view_part, local, hits.triangle[row], mask);
            normals = Vec3x8::select(mask, to_world(part, normal, view).1, normals);
        });
        normals
    }

    /// Calls `f` for every part that the rays of the row hit, with the mask of those rays.
    #[inline(always)]
    pub fn for_each_part(&self, hits: &TileHits, row: usize, mut f: impl FnMut(&ViewPart, f32x8)) {
        let hit = hits.any(row);
        let ranks = hits.rank[row].to_array();
        let mut open = hit.to_bitmask();
        while open != 0 {
            let rank = ranks[open.trailing_zeros() as usize];
            let mask = hits.rank[row].simd_eq(rank) & hit;
            open &= !mask.to_bitmask();
            f(&self.visible.parts[rank as usize], mask);
        }
    }

    #[inline(always)]
    fn direction(&self, rays: &TileRays, row: usize) -> Vec3x8 {
        let middle = self.camera.forward + self.camera.up * rays.y[row];
        Vec3x8::splat(self.camera.right).mul_add(rays.x, Vec3x8::splat(middle))
    }

    #[inline(always)]
    fn albedo(&self, part: &Part, surface: &Surface, mask: f32x8) -> Vec3x8 {
        if part.is_plain() {
            return Vec3x8::splat(Vec3::from_array(part.material.colour));
        }
        let facing = surface.normal.dot(surface.view).abs().fast_max(f32x8::splat(0.05));
        let site = Site {
            point: surface.local.scale(Vec3x8::splat(part.scale())),
            normal: surface.local_normal,
            footprint: surface.spread / facing,
        };
        albedo(self.render_scene, &part.material, &site, mask.to_bitmask())
    }

    #[inline(always)]
    fn light(&self, part: &Part, part_idx: usize, surface: &Surface, albedo: Vec3x8, mask: f32x8) -> Vec3x8 {
        let light = &self.render_scene.light;
        let n = surface.normal;
        let sun = self.prepared.light_grid.sun;
        let facing = n.dot(Vec3x8::splat(sun));
        let mut lit = mask & facing.simd_gt(0.0);
        if lit.any() && self.prepared.light_grid.is_active() {
            // Off the surface by slightly more than the rounding error of the depth.
            let lift = surface.depth.mul_add(f32x8::splat(1e-4), f32x8::splat(1e-4));
            let from = n.mul_add(lift, surface.point);
            lit = lit
                & !self.prepared.light_grid.occluded(
                    self.render_scene,
                    &self.prepared.parts,
                    from,
                    lit,
                    part_idx,
                );
        }
        let facing = lit & facing;
        let from_above =
            n.z.mul_add(f32x8::splat(0.5 - 0.5 * FROM_BELOW), f32x8::splat(0.5 + 0.5 * FROM_BELOW));
        let sun_colour = Vec3x8::splat(Vec3::from_array(light.sun_colour));
        let ambient = Vec3x8::splat(Vec3::from_array(light.ambient_colour));
        let diffuse = ambient * from_above + sun_colour * facing;
        let mut colour = albedo.scale(diffuse);
        let roughness = part.material.roughness.clamp(0.0, 1.0);
        if roughness < 1.0 {
            let to_eye = -surface.view;
            let to_sun = Vec3x8::splat(sun);
            let cos = n.dot(to_eye).fast_max(f32x8::ZERO);
            if lit.any() {
                let across = to_sun.dot(to_eye);
                colour = sun_colour.mul_add(facing * highlight(roughness, facing, cos, across), colour);
            }
            let mirror = n.mul_add(cos + cos, surface.view);
            let gloss = f32x8::splat((1.0 - roughness) * (1.0 - roughness));
            let grazing = f32x8::ONE - cos;
            let grazing_squared = grazing * grazing;
            let fresnel = (grazing_squared * grazing_squared * grazing)
                .mul_add(f32x8::splat(1.0 - F0), f32x8::splat(F0));
            colour = sky(light, mirror.z).scale(ambient).mul_add(gloss * fresnel, colour);
        }
        colour
    }
}

/// A packet of hit points, with unit normals.
struct Surface {
    /// In the world.
    point: Vec3x8,
    normal: Vec3x8,
    /// In the frame of the part; a mesh's scale is undone for the normal, not for the point.
    local: Vec3x8,
    local_normal: Vec3x8,
    /// From the eye to the point, unit length.
    view: Vec3x8,
    depth: f32x8,
    /// Width of a pixel at the point, perpendicular to the ray.
    spread: f32x8,
}

/// The sky in directions whose upward component is `z`.
#[inline(always)]
fn sky(light: &Light, z: f32x8) -> Vec3x8 {
    let down = f32x8::ONE - z.fast_max(f32x8::ZERO).fast_min(f32x8::ONE);
    let horizon = Vec3::from_array(light.sky_horizon);
    let zenith = Vec3::from_array(light.sky_zenith);
    Vec3x8::splat(horizon - zenith).mul_add(down * down * down, Vec3x8::splat(zenith))
}

/// Karis's form of the highlight, over the cosines between normal and sun, normal and eye, and sun and eye. With `h` half
/// way between sun and eye, `(n·h)² = (n·s + n·e)² / 2(1 + s·e)` and `(s·h)² = (1 + s·e) / 2`: one division is enough.
#[inline(always)]
fn highlight(roughness: f32, n_s: f32x8, n_e: f32x8, s_e: f32x8) -> f32x8 {
    let alpha = (roughness * roughness).max(0.03);
    let alpha_squared = alpha * alpha;
    let opening = f32x8::splat(2.0) + s_e + s_e;
    let sum = n_s + n_e;
    let d = (sum * sum).mul_add(f32x8::splat(alpha_squared - 1.0), opening);
    let s_h_squared = (opening * f32x8::splat(0.25)).fast_max(f32x8::splat(0.1));
    let divisor = d * d * s_h_squared * f32x8::splat(4.0 * roughness + 2.0);
    f32x8::splat(F0 * alpha_squared) * opening * opening / divisor.fast_max(f32x8::splat(1e-9))
}

/// The outward normal in the frame of the part.
#[inline(always)]
fn local_normal(
    render_scene: &RenderScene,
    part: &Part,
    view_part: &ViewPart,
    p: Vec3x8,
    triangle: f32x8,
    mask: f32x8,
) -> Vec3x8 {
    match part.shape {
        Shape::Plane => up_or_down(f32x8::ONE),
        Shape::Disc { .. } => up_or_down(f32x8::splat(view_part.origin.z)),
        Shape::Box { half_extents } => normal_box(half_extents, p),
        Shape::Sphere { radius } => normal_sphere(radius, p),
        Shape::Capsule { radius, half_length } => normal_capsule(radius, half_length, p),
        Shape::Cylinder { radius, half_length } => normal_cylinder(radius, half_length, p),
        Shape::Cone { radius, half_length } => normal_cone(radius, half_length, p),
        Shape::Mesh { mesh_idx, .. } => {
            mesh_trace::normals(&render_scene.meshes[mesh_idx as usize], triangle, p, mask.to_bitmask())
        }
    }
}

/// The normal in the instance's frame and in the world. A mesh's normal is turned towards the eye, and its scale is undone.
#[inline(always)]
fn to_world(part: &Part, normal: Vec3x8, view: Vec3x8) -> (Vec3x8, Vec3x8) {
    let world = part.local_from_world.normal_to_world(normal);
    if part.is_convex() {
        return (normal, world);
    }
    let away = world.dot(view).simd_gt(0.0);
    let sign = away.select(f32x8::splat(-1.0), f32x8::ONE);
    let unscaled = normal.scale(Vec3x8::splat(part.scale().recip()));
    ((unscaled * sign).normalize(), (world * sign).normalize())
}
