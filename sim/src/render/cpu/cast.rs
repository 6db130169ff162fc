//! Kernel 3, once per tile: the nearest part that each ray hits.

use wide::f32x8;

use super::bit_grid::bits;
use super::camera::TileRays;
use super::cull::{ViewPart, VisibleParts};
use super::mesh_trace;
use super::packet::{TILE, Vec3x8};
use super::prepare::PreparedScene;
use super::primitives::{
    MISS, hit_box, hit_capsule, hit_cone, hit_cylinder, hit_disc, hit_plane, hit_sphere,
};
use crate::math::Vec3;
use crate::render::{RenderScene, Shape};

/// The nearest hits of the rays of a tile, per row.
#[derive(Clone, Copy, Debug)]
pub(super) struct TileHits {
    /// Depth along the optical axis, [`MISS`] for the sky.
    pub t: [f32x8; TILE],
    /// Rank of the part, an integer; unspecified for the sky.
    pub rank: [f32x8; TILE],
    /// Index of the triangle, as the bits of an f32, where the part is a mesh.
    pub triangle: [f32x8; TILE],
}

/// Intersects the rays of a tile with its parts, front to back.
pub(super) fn cast_tile(
    render_scene: &RenderScene,
    prepared: &PreparedScene,
    visible: &VisibleParts,
    tile_idx: usize,
    rays: &TileRays,
) -> TileHits {
    let mut hits =
        TileHits { t: [f32x8::splat(MISS); TILE], rank: [f32x8::ZERO; TILE], triangle: [f32x8::ZERO; TILE] };
    for word_idx in 0..visible.tiles.n_words() {
        for bit in bits(visible.tiles.word(tile_idx, word_idx)) {
            let rank = word_idx * 64 + bit;
            let part = &visible.parts[rank];
            if hits.all_nearer_than(part.nearest, rays.n_rows) {
                continue;
            }
            let sweep = Sweep { part, rank: f32x8::splat(rank as f32), rays };
            sweep_shape(render_scene, &prepared.parts[part.part_idx].shape, &sweep, &mut hits);
        }
    }
    hits
}

/// The intersection of one part with the rays of a tile.
struct Sweep<'a> {
    part: &'a ViewPart,
    rank: f32x8,
    rays: &'a TileRays,
}

/// Intersects one part. The branch on the shape is taken once per tile, not once per packet.
#[inline(always)]
fn sweep_shape(render_scene: &RenderScene, shape: &Shape, sweep: &Sweep, hits: &mut TileHits) {
    match *shape {
        Shape::Plane => sweep.run(hits, hit_plane),
        Shape::Box { half_extents } => sweep.run(hits, |o, d| hit_box(half_extents, o, d)),
        Shape::Sphere { radius } => sweep.run(hits, |o, d| hit_sphere(radius, o, d)),
        Shape::Capsule { radius, half_length } => {
            sweep.run(hits, |o, d| hit_capsule(radius, half_length, o, d));
        }
        Shape::Cylinder { radius, half_length } => {
            sweep.run(hits, |o, d| hit_cylinder(radius, half_length, o, d));
        }
        Shape::Cone { radius, half_length } => sweep.run(hits, |o, d| hit_cone(radius, half_length, o, d)),
        Shape::Disc { radius } => sweep.run(hits, |o, d| hit_disc(radius, o, d)),
        Shape::Mesh { mesh_idx, .. } => {
            let mesh = &render_scene.meshes[mesh_idx as usize];
            for row in sweep.rows() {
                let d = sweep.part.direction(sweep.rays, row);
                let (t, triangle) = (&mut hits.t[row], &mut hits.triangle[row]);
                let found = mesh_trace::closest(mesh, sweep.part.origin, d, t, triangle);
                hits.rank[row] = found.select(sweep.rank, hits.rank[row]);
            }
        }
    }
}

impl Sweep<'_> {
    #[inline(always)]
    fn run(&self, hits: &mut TileHits, hit: impl Fn(Vec3, Vec3x8) -> f32x8) {
        for row in self.rows() {
            let t = hit(self.part.origin, self.part.direction(self.rays, row));
            let closer = t.simd_lt(hits.t[row]);
            hits.t[row] = closer.select(t, hits.t[row]);
            hits.rank[row] = closer.select(self.rank, hits.rank[row]);
        }
    }

    /// The rows of the tile that the part may cover.
    #[inline(always)]
    fn rows(&self) -> std::ops::Range<usize> {
        let row = |k: u32| (k as usize).clamp(self.rays.first_row, self.rays.first_row + self.rays.n_rows);
        row(self.part.rows[0]) - self.rays.first_row..row(self.part.rows[1]) - self.rays.first_row
    }
}

impl ViewPart {
    /// The ray directions of a row of a tile, in the frame of the part.
    #[inline(always)]
    pub fn direction(&self, rays: &TileRays, row: usize) -> Vec3x8 {
        let middle = self.forward + self.up * rays.y[row];
        Vec3x8::splat(self.right).mul_add(rays.x, Vec3x8::splat(middle))
    }
}

impl TileHits {
    /// Mask of the rays that hit a part.
    #[inline(always)]
    pub fn any(&self, row: usize) -> f32x8 {
        self.t[row].simd_lt(MISS)
    }

    #[inline(always)]
    fn all_nearer_than(&self, depth: f32, n_rows: usize) -> bool {
        let farthest = self.t[1..n_rows].iter().fold(self.t[0], |a, b| a.fast_max(*b));
        farthest.simd_lt(depth).all()
    }
}
