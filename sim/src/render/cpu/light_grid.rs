//! Kernel 1, once per scene: the parts that may shade each point.
//!
//! Seen from the sun, a shadow is exactly under its caster. So the grid spans the plane perpendicular to the sun's
//! rays, over the bounds of the casters, and each cell stores the set of the casters above it. Casters that are much
//! bigger than most (floors, walls) would make the cells useless for the others: they are in every set instead.
//! Planes are infinite and cast no shadow.

use wide::f32x8;

use super::bit_grid::{BitGrid, bits};
use super::occlusion::{SunRay, blocks};
use super::packet::Vec3x8;
use super::parts::{Bound, Part};
use crate::math::Vec3;
use crate::render::{Light, RenderScene};

/// Cells along the longer side of the grid, without the border.
const N_CELLS: usize = 32;

/// A caster is big if its reach is more than this many times the median reach.
const BIG: f32 = 8.0;

/// The casters of one scene, seen from the sun.
#[derive(Debug, Default)]
pub(super) struct LightGrid {
    /// Unit vector towards the sun; zero if there is none.
    pub sun: Vec3,
    /// Orthonormal axes perpendicular to the sun's rays.
    u: Vec3,
    v: Vec3,
    /// Lower corner of the cell (1, 1); the cells on the border are empty.
    origin: [f32; 2],
    cells_per_metre: f32,
    max_cell: [f32; 2],
    cells: BitGrid,
    /// The set of the big casters, as words like those of the cells.
    big: Vec<u64>,
    /// One entry per part.
    casters: Vec<Caster>,
    reaches: Vec<f32>,
}

/// A part, seen from the sun.
#[derive(Clone, Copy, Debug)]
struct Caster {
    /// Its extent along `u` and `v`, and its top towards the sun.
    u: [f32; 2],
    v: [f32; 2],
    top: f32,
    ray: SunRay,
}

impl LightGrid {
    /// Replaces the contents; the buffers are reused.
    pub fn build(&mut self, parts: &[Part], light: &Light, shadows: bool) {
        self.casters.clear();
        self.sun = Vec3::from_array(light.sun_direction).normalize_or_zero();
        if !shadows || self.sun == Vec3::ZERO {
            return;
        }
        (self.u, self.v) = self.sun.any_orthonormal_pair();
        self.casters.extend(parts.iter().map(|part| Caster {
            u: part.bound.range(self.u),
            v: part.bound.range(self.v),
            top: part.bound.range(self.sun)[1],
            ray: SunRay::new(part, self.sun),
        }));
        let big_reach = BIG * self.median_reach(parts);
        let is_big = |caster: &Caster| big_reach < caster.reach();
        self.span(parts, is_big);
        self.big.clear();
        self.big.resize(self.cells.n_words(), 0);
        for (part_idx, caster) in self.casters.iter().enumerate().filter(|&(k, _)| casts(&parts[k])) {
            if is_big(caster) {
                self.big[part_idx / 64] |= 1 << (part_idx % 64);
            } else {
                let cells = |range: [f32; 2], axis: usize| {
                    // A hundredth of a cell leaves room for rounding.
                    let cell = |x: f32, slack: f32| {
                        let cell = (x - self.origin[axis]) * self.cells_per_metre + 1.0 + slack;
                        cell.clamp(1.0, self.max_cell[axis] - 1.0) as usize
                    };
                    cell(range[0], -0.01)..cell(range[1], 0.01) + 1
                };
                self.cells.insert(cells(caster.u, 0), cells(caster.v, 1), part_idx);
            }
        }
    }

    /// Mask of the `wanted` lanes whose `point` is in shadow. The part `own`, to which the points belong, is assumed to
    /// face the sun: it does not shade itself unless it is a mesh.
    #[inline(always)]
    pub fn occluded(
        &self,
        render_scene: &RenderScene,
        parts: &[Part],
        point: Vec3x8,
        wanted: f32x8,
        own: usize,
    ) -> f32x8 {
        let mut blocked = f32x8::ZERO;
        let u = point.dot(Vec3x8::splat(self.u));
        let v = point.dot(Vec3x8::splat(self.v));
        let height = point.dot(Vec3x8::splat(self.sun));
        let cells = self.cells_of(u, v, wanted);
        let wanted_bits = wanted.to_bitmask();
        for (word_idx, big) in self.big.iter().enumerate() {
            let word = cells.iter().fold(*big, |word, cell| word | self.cells.word(*cell as usize, word_idx));
            for bit in bits(word) {
                let part_idx = word_idx * 64 + bit;
                let part = &parts[part_idx];
                if part_idx == own && part.is_convex() {
                    continue;
                }
                let caster = &self.casters[part_idx];
                let open = wanted & !blocked & caster.above(u, v, height);
                if open.any() {
                    blocked |= open & blocks(render_scene, part, &caster.ray, point, open);
                    if blocked.to_bitmask() == wanted_bits {
                        return blocked;
                    }
                }
            }
        }
        blocked
    }

    /// Whether shadows are computed.
    pub fn is_active(&self) -> bool {
        !self.casters.is_empty()
    }

    /// The cells of the lanes; the first cell, which is empty, for lanes that are not wanted.
    #[inline(always)]
    fn cells_of(&self, u: f32x8, v: f32x8, wanted: f32x8) -> [i32; 8] {
        // A NaN becomes zero here: the maximum takes its second operand then.
        let cell = |x: f32x8, axis: usize| {
            let scale = f32x8::splat(self.cells_per_metre);
            let cell = x.mul_add(scale, f32x8::splat(1.0 - self.origin[axis] * self.cells_per_metre));
            cell.fast_max(f32x8::ZERO).fast_min(f32x8::splat(self.max_cell[axis])).floor()
        };
        let n_cols = f32x8::splat(self.max_cell[0] + 1.0);
        (wanted & cell(v, 1).mul_add(n_cols, cell(u, 0))).fast_trunc_int().to_array()
    }

    /// Fits the grid to the casters that are not big.
    fn span(&mut self, parts: &[Part], is_big: impl Fn(&Caster) -> bool) {
        let (mut min, mut max) = ([f32::INFINITY; 2], [f32::NEG_INFINITY; 2]);
        for (_, caster) in
            self.casters.iter().enumerate().filter(|&(k, caster)| casts(&parts[k]) && !is_big(caster))
        {
            for (axis, range) in [caster.u, caster.v].into_iter().enumerate() {
                min[axis] = min[axis].min(range[0]);
                max[axis] = max[axis].max(range[1]);
            }
        }
        let extent = (max[0] - min[0]).max(max[1] - min[1]);
        let extent = if 0.0 < extent && extent.is_finite() { extent } else { 1.0 };
        self.cells_per_metre = N_CELLS as f32 / extent;
        for axis in 0..2 {
            let range = max[axis] - min[axis];
            let (origin, n_cells) = if 0.0 <= range {
                (min[axis], (range * self.cells_per_metre).ceil().clamp(1.0, N_CELLS as f32))
            } else {
                (0.0, 1.0)
            };
            self.origin[axis] = origin;
            self.max_cell[axis] = n_cells + 1.0;
        }
        self.cells.reset(self.max_cell[0] as usize + 1, self.max_cell[1] as usize + 1, parts.len());
    }

    fn median_reach(&mut self, parts: &[Part]) -> f32 {
        self.reaches.clear();
        self.reaches.extend(
            self.casters.iter().zip(parts).filter(|(_, part)| casts(part)).map(|(caster, _)| caster.reach()),
        );
        let middle = self.reaches.len() / 2;
        if self.reaches.is_empty() {
            return 0.0;
        }
        *self.reaches.select_nth_unstable_by(middle, f32::total_cmp).1
    }
}

impl Caster {
    /// Half of the longer side of its rectangle.
    fn reach(&self) -> f32 {
        0.5 * (self.u[1] - self.u[0]).max(self.v[1] - self.v[0])
    }

    /// Mask of the points that are under its rectangle and not above its top.
    #[inline(always)]
    fn above(&self, u: f32x8, v: f32x8, height: f32x8) -> f32x8 {
        u.simd_ge(self.u[0])
            & u.simd_le(self.u[1])
            & v.simd_ge(self.v[0])
            & v.simd_le(self.v[1])
            & height.simd_le(self.top)
    }
}

fn casts(part: &Part) -> bool {
    !matches!(part.bound, Bound::Everywhere)
}
