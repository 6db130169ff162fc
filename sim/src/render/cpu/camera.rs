//! A pinhole camera and its pixel grid.

use wide::f32x8;

use super::packet::{LANES, TILE};
use crate::math::Vec3;
use crate::render::{RenderSpec, View};

/// One view's camera: the ray through camera-plane point `(x, y)` is `eye + t (forward + x right + y up)`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Camera {
    pub eye: Vec3,
    pub right: Vec3,
    pub up: Vec3,
    pub forward: Vec3,
    pub n_cols: usize,
    pub n_rows: usize,
    /// Edge length of a pixel at depth one.
    pub pixel_size: f32,
}

/// The rays of one tile: eight packets of one row each.
#[derive(Clone, Copy, Debug)]
pub(super) struct TileRays {
    /// Camera-plane x of the lanes, the same in every row.
    pub x: f32x8,
    /// Camera-plane y of the rows.
    pub y: [f32; TILE],
    /// Column of lane 0 and row of packet 0, in pixels.
    pub first_col: usize,
    pub first_row: usize,
    /// Columns and rows of the tile that are inside the frame.
    pub n_cols: usize,
    pub n_rows: usize,
}

impl Camera {
    pub fn new(view: &View, spec: &RenderSpec) -> Self {
        let rotate = |v| view.world_from_camera.transform_vector(v);
        Self {
            eye: view.world_from_camera.translation,
            right: rotate(Vec3::X),
            up: rotate(Vec3::Y),
            forward: rotate(Vec3::NEG_Z),
            n_cols: spec.width,
            n_rows: spec.height,
            pixel_size: view.pixel_size(spec),
        }
    }

    /// A point in camera coordinates: right, up, depth.
    pub fn camera_from_world(&self, p: Vec3) -> Vec3 {
        self.camera_vector(p - self.eye)
    }

    /// A vector in camera coordinates: right, up, depth.
    pub fn camera_vector(&self, v: Vec3) -> Vec3 {
        Vec3::new(v.dot(self.right), v.dot(self.up), v.dot(self.forward))
    }

    /// The fractional column of camera-plane `x`; integers are the left edges of pixels.
    pub fn col_of(&self, x: f32) -> f32 {
        0.5 * self.n_cols as f32 + x / self.pixel_size
    }

    /// The fractional row of camera-plane `y`; integers are the upper edges of pixels.
    pub fn row_of(&self, y: f32) -> f32 {
        0.5 * self.n_rows as f32 - y / self.pixel_size
    }

    /// The rays through a tile's pixels, `offset` (right and down, in pixels) from their centres.
    pub fn tile_rays(&self, tile_col: usize, tile_row: usize, offset: [f32; 2]) -> TileRays {
        let (first_col, first_row) = (tile_col * TILE, tile_row * TILE);
        let x_of = |lane: usize| {
            ((first_col + lane) as f32 + 0.5 + offset[0] - 0.5 * self.n_cols as f32) * self.pixel_size
        };
        let y_of = |row: usize| {
            (0.5 * self.n_rows as f32 - (first_row + row) as f32 - 0.5 - offset[1]) * self.pixel_size
        };
        TileRays {
            x: f32x8::new(std::array::from_fn::<f32, LANES, _>(x_of)),
            y: std::array::from_fn(y_of),
            first_col,
            first_row,
            n_cols: TILE.min(self.n_cols - first_col),
            n_rows: TILE.min(self.n_rows - first_row),
        }
    }
}
