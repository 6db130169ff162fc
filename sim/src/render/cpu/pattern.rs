//! Modulation of the base colour: procedural patterns and images.
//!
//! Patterns are defined in the frame of the instance, so that they need no texture coordinates and move with it. All
//! of them fade into their mean where a pixel covers more than their detail, so that far floors do not alias.

use wide::f32x8;

use super::bit_grid::bits;
use super::noise::value_noise;
use super::packet::Vec3x8;
use crate::math::Vec3;
use crate::render::texture::{Level, Texture};
use crate::render::{Material, Pattern, RenderScene};

/// A packet of surface points.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site {
    /// In the frame of the instance, metres.
    pub point: Vec3x8,
    /// Unit normal, in the frame of the instance.
    pub normal: Vec3x8,
    /// Width of the surface that a pixel covers, metres.
    pub footprint: f32x8,
}

/// The colour of the surface, linear RGB; unspecified for lanes outside of `wanted`.
#[inline(always)]
pub(super) fn albedo(render_scene: &RenderScene, material: &Material, site: &Site, wanted: u32) -> Vec3x8 {
    let base = Vec3x8::splat(Vec3::from_array(material.colour));
    let mix = |other: [f32; 3], amount: f32x8| {
        let change = Vec3::from_array(other) - Vec3::from_array(material.colour);
        Vec3x8::splat(change).mul_add(amount, base)
    };
    match material.pattern {
        Pattern::Plain => base,
        Pattern::Checker { other, cell } => mix(other, checker(site, cell)),
        Pattern::Grid { line, cell, width } => mix(line, grid(site, cell, width)),
        Pattern::Wood { other, ring } => mix(other, wood(site, ring)),
        Pattern::Noise { other, cell } => mix(other, blobs(site, cell)),
        Pattern::Image { texture_idx, size } => {
            base.scale(image(&render_scene.textures[texture_idx as usize], site, size, wanted))
        }
    }
}

/// Alternates between 0 and 1; the edges are one pixel wide.
#[inline(always)]
fn checker(site: &Site, cell: f32) -> f32x8 {
    // Sampled half a cell below the surface, so that no face of a box is on the border between two cells.
    let inside = site.normal.mul_add(f32x8::splat(-0.5 * cell), site.point);
    let slope = f32x8::splat(4.0 * cell) / (site.footprint + f32x8::splat(1e-6));
    let wave = |x: f32x8| {
        let phase = x.mul_add(f32x8::splat(0.5 / cell), f32x8::splat(0.25));
        let distance = (phase - phase.floor() - f32x8::HALF).abs() - f32x8::splat(0.25);
        (distance * slope).fast_max(-f32x8::ONE).fast_min(f32x8::ONE)
    };
    (wave(inside.x) * wave(inside.y) * wave(inside.z)).mul_add(f32x8::HALF, f32x8::HALF)
}

/// Share of a pixel that the nearest line covers. Lines across an axis are left out where the normal is along that axis.
#[inline(always)]
fn grid(site: &Site, cell: f32, width: f32) -> f32x8 {
    let half_width = f32x8::splat(0.5 * width);
    let inv_footprint = f32x8::ONE / (site.footprint + f32x8::splat(1e-6));
    let densest = (f32x8::splat(width) * inv_footprint).fast_min(f32x8::ONE);
    let line = |x: f32x8, n: f32x8| {
        let phase = x.mul_add(f32x8::splat(1.0 / cell), f32x8::HALF);
        let distance = (phase - phase.floor() - f32x8::HALF).abs() * f32x8::splat(cell);
        let cover = (half_width - distance).mul_add(inv_footprint, f32x8::HALF);
        n.abs().simd_lt(0.8) & cover.fast_max(f32x8::ZERO).fast_min(densest)
    };
    let (p, n) = (site.point, site.normal);
    line(p.x, n.x).fast_max(line(p.y, n.y)).fast_max(line(p.z, n.z))
}

/// A board sawn along x: growth rings around a distant pith, distorted by noise, and fibres.
#[inline(always)]
fn wood(site: &Site, ring: f32) -> f32x8 {
    /// Mean of `late²`.
    const MEAN: f32 = 1.0 / 3.0;
    let p = site.point * f32x8::splat(1.0 / ring);
    let along = |x: f32, yz: f32| p.scale(Vec3x8::splat(Vec3::new(x, yz, yz)));
    let mut grain = f32x8::splat(0.62 * MEAN + 0.15);
    let sharp = fade(site, ring);
    if sharp.simd_gt(0.0).any() {
        let (y, z) = (p.y - f32x8::splat(1.7), p.z + f32x8::splat(5.3));
        let waver = value_noise(along(0.06, 0.25));
        let rings = waver.mul_add(f32x8::splat(2.6), y.mul_add(y, z * z).sqrt());
        let phase = rings - rings.floor();
        // Early wood darkens slowly into late wood, which ends abruptly.
        let late = (phase * f32x8::splat(1.25)).fast_min((f32x8::ONE - phase) * f32x8::splat(5.0));
        grain = late.mul_add(late, f32x8::splat(-MEAN)).mul_add(sharp * f32x8::splat(0.62), grain);
    }
    let sharp = fade(site, ring / 7.0);
    if sharp.simd_gt(0.0).any() {
        let fibre = value_noise(along(0.9, 9.0)) - f32x8::HALF;
        grain = fibre.mul_add(sharp * f32x8::splat(0.3), grain);
    }
    grain
}

#[inline(always)]
fn blobs(site: &Site, cell: f32) -> f32x8 {
    let sharp = fade(site, cell);
    if !sharp.simd_gt(0.0).any() {
        return f32x8::HALF;
    }
    let noise = value_noise(site.point * f32x8::splat(1.0 / cell));
    (noise - f32x8::HALF).mul_add(sharp, f32x8::HALF)
}

/// One where a detail is at least two pixels wide, zero where it is at most one pixel wide.
#[inline(always)]
fn fade(site: &Site, detail: f32) -> f32x8 {
    let pixels = f32x8::splat(detail) / (site.footprint + f32x8::splat(1e-6));
    (pixels - f32x8::ONE).fast_max(f32x8::ZERO).fast_min(f32x8::ONE)
}

/// The image on the plane that the surface faces most, bilinear, repeated every `size` metres across. On vertical
/// faces the image is upright.
#[inline(always)]
fn image(texture: &Texture, site: &Site, size: f32, wanted: u32) -> Vec3x8 {
    let n = site.normal.abs();
    let faces_x = n.x.simd_gt(n.y) & n.x.simd_gt(n.z);
    let faces_z = !faces_x & n.z.simd_ge(n.y);
    let u = faces_x.select(site.point.y, site.point.x);
    let v = faces_z.select(-site.point.y, -site.point.z);
    // One repetition keeps the aspect ratio of the image: `size` is its width.
    let height = size * texture.height() as f32 / texture.width() as f32;
    let (u, v) = (u * f32x8::splat(1.0 / size), v * f32x8::splat(1.0 / height));
    let (u, v) = ((u - u.floor()).to_array(), (v - v.floor()).to_array());
    let n_texels = (site.footprint * f32x8::splat(texture.width() as f32 / size)).to_array();
    let mut out = [[0.0; 8]; 3];
    for lane in bits(wanted as u64) {
        let colour = bilinear(texture.level(n_texels[lane]), u[lane], v[lane]);
        (out[0][lane], out[1][lane], out[2][lane]) = (colour[0], colour[1], colour[2]);
    }
    Vec3x8::new(f32x8::new(out[0]), f32x8::new(out[1]), f32x8::new(out[2]))
}

/// Bilinear sample of a repeated image, at fractions of its width and height.
#[inline(always)]
fn bilinear(level: &Level, u: f32, v: f32) -> [f32; 4] {
    let (x, fx) = texel(u, level.width);
    let (y, fy) = texel(v, level.height);
    let at = |x: usize, y: usize| wide::f32x4::new(level.texels[y * level.width + x]);
    let across = |y: usize| {
        let (a, b) = (at(x[0], y), at(x[1], y));
        (b - a).mul_add(wide::f32x4::splat(fx), a)
    };
    let (a, b) = (across(y[0]), across(y[1]));
    (b - a).mul_add(wide::f32x4::splat(fy), a).to_array()
}

/// The two texels whose centres are on either side of a fraction of a side, and the weight of the second one.
#[inline(always)]
fn texel(fraction: f32, n_texels: usize) -> ([usize; 2], f32) {
    let n = n_texels as f32;
    let position = (fraction * n).clamp(0.0, n) - 0.5;
    let first = position.floor();
    let wrap = |k: i32| k.rem_euclid(n_texels as i32) as usize;
    ([wrap(first as i32), wrap(first as i32 + 1)], position - first)
}
