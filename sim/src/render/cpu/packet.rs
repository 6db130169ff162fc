//! Eight rays side by side: one vector register per coordinate.

use std::ops::{Add, Mul, Neg, Sub};

use wide::f32x8;

use crate::math::Vec3;

/// Rays in a packet: eight neighbours of one row of pixels.
pub(super) const LANES: usize = 8;

/// Rows and columns of a tile: eight packets, one above the other.
pub(super) const TILE: usize = 8;

/// Eight vectors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vec3x8 {
    pub x: f32x8,
    pub y: f32x8,
    pub z: f32x8,
}

impl Vec3x8 {
    pub const ZERO: Self = Self { x: f32x8::ZERO, y: f32x8::ZERO, z: f32x8::ZERO };

    #[inline(always)]
    pub fn new(x: f32x8, y: f32x8, z: f32x8) -> Self {
        Self { x, y, z }
    }

    #[inline(always)]
    pub fn splat(v: Vec3) -> Self {
        Self { x: f32x8::splat(v.x), y: f32x8::splat(v.y), z: f32x8::splat(v.z) }
    }

    /// Takes `a` where `mask` is set and `b` elsewhere.
    #[inline(always)]
    pub fn select(mask: f32x8, a: Self, b: Self) -> Self {
        Self { x: mask.select(a.x, b.x), y: mask.select(a.y, b.y), z: mask.select(a.z, b.z) }
    }

    #[inline(always)]
    pub fn dot(self, rhs: Self) -> f32x8 {
        self.x.mul_add(rhs.x, self.y.mul_add(rhs.y, self.z * rhs.z))
    }

    #[inline(always)]
    pub fn cross(self, rhs: Self) -> Self {
        Self {
            x: self.y.mul_sub(rhs.z, self.z * rhs.y),
            y: self.z.mul_sub(rhs.x, self.x * rhs.z),
            z: self.x.mul_sub(rhs.y, self.y * rhs.x),
        }
    }

    #[inline(always)]
    pub fn length_squared(self) -> f32x8 {
        self.dot(self)
    }

    /// `self * factor + offset`.
    #[inline(always)]
    pub fn mul_add(self, factor: f32x8, offset: Self) -> Self {
        Self {
            x: self.x.mul_add(factor, offset.x),
            y: self.y.mul_add(factor, offset.y),
            z: self.z.mul_add(factor, offset.z),
        }
    }

    /// Every coordinate times that of `rhs`.
    #[inline(always)]
    pub fn scale(self, rhs: Self) -> Self {
        Self { x: self.x * rhs.x, y: self.y * rhs.y, z: self.z * rhs.z }
    }

    #[inline(always)]
    pub fn abs(self) -> Self {
        Self { x: self.x.abs(), y: self.y.abs(), z: self.z.abs() }
    }

    #[inline(always)]
    pub fn normalize(self) -> Self {
        self * (f32x8::ONE / self.length_squared().sqrt())
    }

    /// One over every coordinate; zero becomes a huge number of the same sign instead of an infinity, so that
    /// products with zero stay zero.
    #[inline(always)]
    pub fn safe_recip(self) -> Self {
        Self { x: safe_recip(self.x), y: safe_recip(self.y), z: safe_recip(self.z) }
    }
}

/// See [`Vec3x8::safe_recip`].
#[inline(always)]
pub(super) fn safe_recip(v: f32x8) -> f32x8 {
    const TINY: f32 = 1e-18;
    f32x8::ONE / v.abs().simd_lt(TINY).select(f32x8::splat(TINY).copysign(v), v)
}

impl Add for Vec3x8 {
    type Output = Self;

    #[inline(always)]
    fn add(self, rhs: Self) -> Self {
        Self { x: self.x + rhs.x, y: self.y + rhs.y, z: self.z + rhs.z }
    }
}

impl Sub for Vec3x8 {
    type Output = Self;

    #[inline(always)]
    fn sub(self, rhs: Self) -> Self {
        Self { x: self.x - rhs.x, y: self.y - rhs.y, z: self.z - rhs.z }
    }
}

impl Neg for Vec3x8 {
    type Output = Self;

    #[inline(always)]
    fn neg(self) -> Self {
        Self { x: -self.x, y: -self.y, z: -self.z }
    }
}

impl Mul<f32x8> for Vec3x8 {
    type Output = Self;

    #[inline(always)]
    fn mul(self, rhs: f32x8) -> Self {
        Self { x: self.x * rhs, y: self.y * rhs, z: self.z * rhs }
    }
}

/// The affine map into the frame of one instance, by rows: the same twelve numbers for every ray.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows(pub [[f32; 4]; 3]);

impl Rows {
    /// Whether no entry is NaN or infinite.
    pub fn is_finite(&self) -> bool {
        self.0.iter().flatten().all(|v| v.is_finite())
    }

    #[inline(always)]
    pub fn point(&self, p: Vec3x8) -> Vec3x8 {
        let row = |r: &[f32; 4]| {
            let offset = f32x8::splat(r[3]);
            p.x.mul_add(
                f32x8::splat(r[0]),
                p.y.mul_add(f32x8::splat(r[1]), p.z.mul_add(f32x8::splat(r[2]), offset)),
            )
        };
        Vec3x8 { x: row(&self.0[0]), y: row(&self.0[1]), z: row(&self.0[2]) }
    }

    /// Maps a normal of the instance's frame back into the world: the transposed linear part.
    #[inline(always)]
    pub fn normal_to_world(&self, n: Vec3x8) -> Vec3x8 {
        let [a, b, c] = &self.0;
        let column = |k: usize| {
            n.x.mul_add(f32x8::splat(a[k]), n.y.mul_add(f32x8::splat(b[k]), n.z * f32x8::splat(c[k])))
        };
        Vec3x8 { x: column(0), y: column(1), z: column(2) }
    }

    /// The linear part applied to one vector.
    pub fn vector_scalar(&self, v: Vec3) -> Vec3 {
        let row = |r: &[f32; 4]| r[0] * v.x + r[1] * v.y + r[2] * v.z;
        Vec3::new(row(&self.0[0]), row(&self.0[1]), row(&self.0[2]))
    }

    /// The whole map applied to one point.
    pub fn point_scalar(&self, p: Vec3) -> Vec3 {
        self.vector_scalar(p) + Vec3::new(self.0[0][3], self.0[1][3], self.0[2][3])
    }
}
