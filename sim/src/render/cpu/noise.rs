//! Value noise over an integer hash: the same on every machine, and in a shader.

use wide::{f32x8, u32x8};

use super::packet::Vec3x8;

/// Smooth noise in `[0, 1]` with features about one unit wide.
#[inline(always)]
pub(super) fn value_noise(p: Vec3x8) -> f32x8 {
    let (x, y, z) = (split(p.x), split(p.y), split(p.z));
    // One odd multiplier per axis (as in spatial hashing) spreads neighbours apart.
    let step = |cell: u32x8, prime: u32| {
        let low = cell * u32x8::splat(prime);
        [low, low + u32x8::splat(prime)]
    };
    let (hx, hy, hz) = (step(x.0, 0x8da6_b343), step(y.0, 0xd816_3841), step(z.0, 0xcb1a_b31f));
    let corner = |i: usize, j: usize, k: usize| unit(hx[i] ^ hy[j] ^ hz[k]);
    let along_x = |j: usize, k: usize| lerp(corner(0, j, k), corner(1, j, k), x.1);
    let along_y = |k: usize| lerp(along_x(0, k), along_x(1, k), y.1);
    lerp(along_y(0), along_y(1), z.1)
}

/// The cell, and the smoothed position inside of it.
#[inline(always)]
fn split(x: f32x8) -> (u32x8, f32x8) {
    let cell = x.floor();
    let f = x - cell;
    let smooth = f * f * f.mul_neg_add(f32x8::splat(2.0), f32x8::splat(3.0));
    (bytemuck::cast(cell.fast_trunc_int()), smooth)
}

#[inline(always)]
fn lerp(a: f32x8, b: f32x8, t: f32x8) -> f32x8 {
    (b - a).mul_add(t, a)
}

/// Mixes the bits and takes 23 of them as the mantissa of a number in `[0, 1)`.
#[inline(always)]
fn unit(h: u32x8) -> f32x8 {
    let h = (h ^ (h >> 15u32)) * u32x8::splat(0x2c1b_3c6d);
    let h = h ^ (h >> 12u32);
    let mantissa: f32x8 = bytemuck::cast((h >> 9u32) | u32x8::splat(0x3f80_0000));
    mantissa - f32x8::ONE
}
