//! One view, from camera to pixels: the order of the kernels.

use wide::f32x8;

use super::camera::{Camera, TileRays};
use super::cast::{TileHits, cast_tile};
use super::cull::VisibleParts;
use super::encode::Encoder;
use super::packet::{LANES, TILE, Vec3x8};
use super::prepare::PreparedScene;
use super::shade::Shader;
use crate::render::{RenderScene, RenderSpec, Samples, View};

/// The output images of one or more views; images of outputs that are not requested are empty.
#[derive(Debug)]
pub(super) struct Images<'a> {
    pub rgb: &'a mut [u8],
    pub depth: &'a mut [f32],
    pub segmentation: &'a mut [u32],
    pub normals: &'a mut [f32],
}

impl<'a> Images<'a> {
    /// Splits after `n` of `n_views` views.
    pub fn split_at(self, n: usize, n_views: usize) -> (Self, Self) {
        let (rgb, rgb_rest) = self.rgb.split_at_mut(self.rgb.len() / n_views * n);
        let (depth, depth_rest) = self.depth.split_at_mut(self.depth.len() / n_views * n);
        let (segmentation, segmentation_rest) =
            self.segmentation.split_at_mut(self.segmentation.len() / n_views * n);
        let (normals, normals_rest) = self.normals.split_at_mut(self.normals.len() / n_views * n);
        let rest =
            Self { rgb: rgb_rest, depth: depth_rest, segmentation: segmentation_rest, normals: normals_rest };
        (Self { rgb, depth, segmentation, normals }, rest)
    }
}

/// Renders one view into `images`; `visible` is a scratch buffer.
pub(super) fn render_view(
    render_scene: &RenderScene,
    prepared: &PreparedScene,
    view: &View,
    spec: &RenderSpec,
    encoder: &Encoder,
    visible: &mut VisibleParts,
    images: &mut Images,
) {
    let camera = Camera::new(view, spec);
    visible.project(prepared, &camera);
    let shader = Shader { render_scene, prepared, visible, camera: &camera };
    let needs_centre = spec.outputs.depth || spec.outputs.segmentation || spec.outputs.normals;
    for tile_row in 0..spec.height.div_ceil(TILE) {
        for tile_col in 0..spec.width.div_ceil(TILE) {
            let tile_idx = visible.tiles.cell_idx(tile_col, tile_row);
            let trace = |offset: [f32; 2]| {
                let rays = camera.tile_rays(tile_col, tile_row, offset);
                (rays, cast_tile(render_scene, prepared, visible, tile_idx, &rays))
            };
            let colours = |offset: [f32; 2]| {
                let (rays, hits) = trace(offset);
                shade(&shader, &rays, &hits)
            };
            if needs_centre || spec.samples == Samples::One {
                let (rays, hits) = trace([0.0, 0.0]);
                write_geometry(&shader, &rays, &hits, spec, images);
                if spec.outputs.rgb && spec.samples == Samples::One {
                    write_rgb(&shade(&shader, &rays, &hits), &rays, encoder, spec, images.rgb);
                }
            }
            if spec.outputs.rgb && spec.samples == Samples::Four {
                const OFFSETS: [[f32; 2]; 4] = [[-0.25, -0.25], [0.25, -0.25], [-0.25, 0.25], [0.25, 0.25]];
                let mut mean = [Vec3x8::ZERO; TILE];
                for offset in OFFSETS {
                    for (sum, colour) in mean.iter_mut().zip(colours(offset)) {
                        *sum = colour.mul_add(f32x8::splat(0.25), *sum);
                    }
                }
                write_rgb(
                    &mean,
                    &camera.tile_rays(tile_col, tile_row, [0.0, 0.0]),
                    encoder,
                    spec,
                    images.rgb,
                );
            }
        }
    }
}

fn shade(shader: &Shader, rays: &TileRays, hits: &TileHits) -> [Vec3x8; TILE] {
    let mut colours = [Vec3x8::ZERO; TILE];
    for (row, colour) in colours.iter_mut().enumerate().take(rays.n_rows) {
        *colour = shader.radiance(rays, hits, row);
    }
    colours
}

fn write_rgb(
    colours: &[Vec3x8; TILE],
    rays: &TileRays,
    encoder: &Encoder,
    spec: &RenderSpec,
    rgb: &mut [u8],
) {
    for (row, colour) in colours.iter().enumerate().take(rays.n_rows) {
        let first = (rays.first_row + row) * spec.width + rays.first_col;
        encoder.write(*colour, &mut rgb[first * 3..(first + rays.n_cols) * 3]);
    }
}

fn write_geometry(shader: &Shader, rays: &TileRays, hits: &TileHits, spec: &RenderSpec, images: &mut Images) {
    for row in 0..rays.n_rows {
        let first = (rays.first_row + row) * spec.width + rays.first_col;
        let pixels = first..first + rays.n_cols;
        if spec.outputs.depth {
            images.depth[pixels.clone()].copy_from_slice(&hits.t[row].to_array()[..rays.n_cols]);
        }
        if spec.outputs.segmentation {
            let mut labels = [0; LANES];
            shader.for_each_part(hits, row, |view_part, mask| {
                let label = shader.prepared.parts[view_part.part_idx].object_id;
                let bits = mask.to_bitmask();
                for (lane, out) in labels.iter_mut().enumerate() {
                    if bits >> lane & 1 == 1 {
                        *out = label;
                    }
                }
            });
            images.segmentation[pixels.clone()].copy_from_slice(&labels[..rays.n_cols]);
        }
        if spec.outputs.normals {
            let n = shader.normals(rays, hits, row);
            let (x, y, z) = (n.x.to_array(), n.y.to_array(), n.z.to_array());
            let out = &mut images.normals[pixels.start * 3..pixels.end * 3];
            for (lane, out) in out.chunks_exact_mut(3).enumerate() {
                out.copy_from_slice(&[x[lane], y[lane], z[lane]]);
            }
        }
    }
}
