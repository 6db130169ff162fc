//! Kernel 2, once per view: the parts that may be visible in each tile.
//!
//! A part's bound is projected onto the image as a rectangle of pixels. Parts are ranked by the depth of their
//! centres, and each tile stores the set of ranks whose rectangles overlap it: ascending ranks are front to back.

use std::ops::Range;

use super::bit_grid::BitGrid;
use super::camera::Camera;
use super::packet::TILE;
use super::parts::Bound;
use super::prepare::PreparedScene;
use super::primitives::NEAR;
use crate::math::Vec3;

/// The parts of a scene that one camera may see, by rank.
#[derive(Debug, Default)]
pub(super) struct VisibleParts {
    pub parts: Vec<ViewPart>,
    /// For each tile, the ranks of the parts that may be visible in it.
    pub tiles: BitGrid,
}

/// A part and the rays of one camera, in the part's frame: `direction = forward + x right + y up`.
#[derive(Clone, Copy, Debug)]
pub(super) struct ViewPart {
    pub part_idx: usize,
    pub origin: Vec3,
    pub forward: Vec3,
    pub right: Vec3,
    pub up: Vec3,
    /// Lower bound of its depth.
    pub nearest: f32,
    /// The rows of pixels that it may cover.
    pub rows: [u32; 2],
    cols: [u32; 2],
    sort_depth: f32,
}

/// The extent of a bound: in camera-plane units at depth one, and in depth.
struct Extent {
    x: [f32; 2],
    y: [f32; 2],
    nearest: f32,
    centre_depth: f32,
}

impl VisibleParts {
    pub fn project(&mut self, prepared: &PreparedScene, camera: &Camera) {
        self.parts.clear();
        for (part_idx, part) in prepared.parts.iter().enumerate() {
            let Some(extent) = extent(&part.bound, camera) else { continue };
            let Some(cols) = pixels(extent.x, camera.n_cols, |x| camera.col_of(x)) else { continue };
            let Some(rows) = pixels(extent.y, camera.n_rows, |y| camera.row_of(y)) else { continue };
            self.parts.push(ViewPart {
                part_idx,
                origin: part.local_from_world.point_scalar(camera.eye),
                forward: part.local_from_world.vector_scalar(camera.forward),
                right: part.local_from_world.vector_scalar(camera.right),
                up: part.local_from_world.vector_scalar(camera.up),
                nearest: extent.nearest,
                rows,
                cols,
                sort_depth: extent.centre_depth,
            });
        }
        self.parts
            .sort_unstable_by(|a, b| a.sort_depth.total_cmp(&b.sort_depth).then(a.part_idx.cmp(&b.part_idx)));
        let (n_tile_cols, n_tile_rows) = (camera.n_cols.div_ceil(TILE), camera.n_rows.div_ceil(TILE));
        self.tiles.reset(n_tile_cols, n_tile_rows, self.parts.len());
        for (rank, part) in self.parts.iter().enumerate() {
            self.tiles.insert(tiles(part.cols), tiles(part.rows), rank);
        }
    }
}

fn tiles(pixels: [u32; 2]) -> Range<usize> {
    pixels[0] as usize / TILE..(pixels[1] as usize).div_ceil(TILE)
}

/// The pixels, as a half-open range, whose centres may lie between the two coordinates.
fn pixels(extent: [f32; 2], n_pixels: usize, pixel_of: impl Fn(f32) -> f32) -> Option<[u32; 2]> {
    let (a, b) = (pixel_of(extent[0]), pixel_of(extent[1]));
    // One pixel of slack covers rounding and the offsets of several samples.
    let first = (a.min(b) - 1.0).floor().max(0.0);
    let last = (a.max(b) + 1.0).ceil().min(n_pixels as f32);
    (first < last).then_some([first as u32, last as u32])
}

fn extent(bound: &Bound, camera: &Camera) -> Option<Extent> {
    match *bound {
        Bound::Everywhere => Some(Extent {
            x: [f32::NEG_INFINITY, f32::INFINITY],
            y: [f32::NEG_INFINITY, f32::INFINITY],
            nearest: 0.0,
            centre_depth: f32::INFINITY,
        }),
        Bound::Capsule { ends, radius } => {
            let [a, b] = ends.map(|end| camera.camera_from_world(end));
            let (nearest, farthest) = (a.z.min(b.z) - radius, a.z.max(b.z) + radius);
            let ranges = || {
                if NEAR < nearest {
                    let both = |k: usize| union(tangents(a[k], a.z, radius), tangents(b[k], b.z, radius));
                    return [both(0), both(1)];
                }
                let half = 0.5 * (a - b).abs() + Vec3::splat(radius);
                let axes = [Vec3::X * half.x, Vec3::Y * half.y, Vec3::Z * half.z];
                corners(0.5 * (a + b), axes, nearest)
            };
            finish(nearest, farthest, ranges)
        }
        Bound::Box { centre, half_axes } => {
            let centre = camera.camera_from_world(centre);
            let axes = half_axes.map(|axis| camera.camera_vector(axis));
            let reach = axes[0].z.abs() + axes[1].z.abs() + axes[2].z.abs();
            let (nearest, farthest) = (centre.z - reach, centre.z + reach);
            finish(nearest, farthest, || corners(centre, axes, nearest))
        }
    }
}

/// The extent of a bound; `None` if it is entirely behind the eye.
fn finish(nearest: f32, farthest: f32, ranges: impl Fn() -> [[f32; 2]; 2]) -> Option<Extent> {
    (NEAR < farthest).then(|| {
        let [x, y] = ranges();
        Extent { x, y, nearest, centre_depth: 0.5 * (nearest + farthest) }
    })
}

/// The slopes of the two lines through the eye that touch a circle at `(offset, depth)`.
fn tangents(offset: f32, depth: f32, radius: f32) -> [f32; 2] {
    let distance_squared = offset * offset + depth * depth;
    let reach = radius * (distance_squared - radius * radius).max(0.0).sqrt();
    let inv = 1.0 / (depth * depth - radius * radius);
    [(offset * depth - reach) * inv, (offset * depth + reach) * inv]
}

/// The slopes at which a box may be visible. The part of it that is nearer than `NEAR` is clipped; without clipping, the
/// walls beside a camera would cover the whole frame instead of half of it.
fn corners(centre: Vec3, axes: [Vec3; 3], nearest: f32) -> [[f32; 2]; 2] {
    /// Half of the nearest rendered depth leaves room for rounding.
    const CUT: f32 = 0.5 * NEAR;
    let mut ranges = [[f32::INFINITY, f32::NEG_INFINITY]; 2];
    let mut see = |p: Vec3| {
        let inv = 1.0 / p.z;
        ranges = [union(ranges[0], [p.x * inv; 2]), union(ranges[1], [p.y * inv; 2])];
    };
    for corner in 0..8 {
        let side = |axis: usize| if corner >> axis & 1 == 0 { axes[axis] } else { -axes[axis] };
        let p = centre + side(0) + side(1) + side(2);
        if CUT <= p.z {
            see(p);
        }
        if nearest < NEAR {
            for axis in 0..3 {
                // The edge to the opposite corner, handled from its end in front of the cut.
                let q = p - 2.0 * side(axis);
                if q.z < CUT && CUT <= p.z {
                    let cut = p + (q - p) * ((p.z - CUT) / (p.z - q.z));
                    see(Vec3 { z: CUT, ..cut });
                }
            }
        }
    }
    ranges
}

fn union(a: [f32; 2], b: [f32; 2]) -> [f32; 2] {
    [a[0].min(b[0]), a[1].max(b[1])]
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng as _, SeedableRng as _};

    use super::*;
    use crate::math::{Pose, Quat};
    use crate::render::{Outputs, RenderSpec, Samples, View};

    /// Boxes and capsules on all sides of the camera, many of which extend behind it: every point of them that is in front
    /// of the camera and inside the frame is in the pixels that are kept.
    #[test]
    fn no_visible_point_is_culled() {
        let mut rng = StdRng::seed_from_u64(0);
        let spec = RenderSpec {
            height: 30,
            width: 40,
            samples: Samples::One,
            shadows: false,
            outputs: Outputs::RGB,
        };
        let view = View { scene_idx: 0, world_from_camera: Pose::IDENTITY, fov_y: 1.0 };
        let camera = Camera::new(&view, &spec);
        let (mut n_visible, mut n_cut, mut n_narrow) = (0, 0, 0);
        for round in 0..2000 {
            let mut vector = |reach: f32| Vec3::from_array([(); 3].map(|()| rng.random_range(-reach..reach)));
            let (centre, size) = (vector(3.0), vector(2.0).abs());
            let turn = Quat::from_scaled_axis(vector(3.0));
            let axes = [Vec3::X * size.x, Vec3::Y * size.y, Vec3::Z * size.z].map(|axis| turn * axis);
            let radius = 0.3 * size.x;
            let is_box = round % 2 == 0;
            let bound = if is_box {
                Bound::Box { centre, half_axes: axes }
            } else {
                Bound::Capsule { ends: [centre - axes[2], centre + axes[2]], radius }
            };
            let kept = extent(&bound, &camera).and_then(|extent| {
                n_cut += u32::from(extent.nearest < NEAR);
                let cols = pixels(extent.x, camera.n_cols, |x| camera.col_of(x))?;
                let rows = pixels(extent.y, camera.n_rows, |y| camera.row_of(y))?;
                n_narrow += u32::from(extent.nearest < NEAR && (cols != [0, 40] || rows != [0, 30]));
                Some((cols, rows))
            });
            for _ in 0..60 {
                let at = [(); 3].map(|()| rng.random_range(-1.0_f32..1.0));
                let inside = if is_box {
                    centre + axes[0] * at[0] + axes[1] * at[1] + axes[2] * at[2]
                } else {
                    let off = Vec3::new(at[1], rng.random_range(-1.0..1.0), rng.random_range(-1.0..1.0));
                    centre + axes[2] * at[0] + off.normalize_or_zero() * radius
                };
                let p = camera.camera_from_world(inside);
                let (col, row) = (camera.col_of(p.x / p.z), camera.row_of(p.y / p.z));
                if NEAR < p.z && (0.0..40.0).contains(&col) && (0.0..30.0).contains(&row) {
                    n_visible += 1;
                    let (cols, rows) =
                        kept.unwrap_or_else(|| panic!("{bound:?} is culled, {inside} is visible"));
                    let covers = |range: [u32; 2], x: f32| (range[0]..range[1]).contains(&(x as u32));
                    assert!(covers(cols, col) && covers(rows, row), "{bound:?}: {inside} at {col}, {row}");
                }
            }
        }
        assert!(n_visible > 1000 && n_cut > 300 && n_narrow > 100, "{n_visible} {n_cut} {n_narrow}");
    }
}
