//! Views and render settings: camera, size, quality and outputs.

use crate::math::Pose;

/// One camera of one env at one instant: a pinhole that looks along -z of its own frame, +y up (OpenGL's convention).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// Index into the slice of render scenes.
    pub scene_idx: usize,
    /// Pose of the camera.
    pub world_from_camera: Pose,
    /// Vertical field of view, radians.
    pub fov_y: f32,
}

impl View {
    /// Edge length of a pixel at depth one.
    pub(super) fn pixel_size(&self, spec: &RenderSpec) -> f32 {
        2.0 * (0.5 * self.fov_y).tan() / spec.height as f32
    }
}

/// Size, quality and outputs of a batch of views.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RenderSpec {
    /// Rows, in pixels.
    pub height: usize,
    /// Columns, in pixels.
    pub width: usize,
    /// Rays per pixel for RGB.
    pub samples: Samples,
    /// Whether the sun casts hard shadows.
    pub shadows: bool,
    /// Outputs to write.
    pub outputs: Outputs,
}

/// Rays per pixel for RGB. Depth, segmentation and normals always come from the ray through the pixel's centre.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Samples {
    /// One ray, through the centre.
    One,
    /// Four rays, on a 2 x 2 grid.
    Four,
}

/// Outputs that a render call writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Outputs {
    /// Colour, into [`RenderTarget::rgb`](super::RenderTarget::rgb).
    pub rgb: bool,
    /// Depth along the optical axis, into [`RenderTarget::depth`](super::RenderTarget::depth).
    pub depth: bool,
    /// Labels, into [`RenderTarget::segmentation`](super::RenderTarget::segmentation).
    pub segmentation: bool,
    /// Surface normals, into [`RenderTarget::normals`](super::RenderTarget::normals).
    pub normals: bool,
}

impl Outputs {
    /// Colour only.
    pub const RGB: Self = Self { rgb: true, depth: false, segmentation: false, normals: false };
    /// Everything.
    pub const ALL: Self = Self { rgb: true, depth: true, segmentation: true, normals: true };
}
