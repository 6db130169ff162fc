//! The output buffers of a render call.

use super::RenderSpec;
use crate::Frames;

/// Caller-owned output buffers of a render call; buffers of outputs that are not requested are empty.
#[derive(Clone, Debug, Default)]
pub struct RenderTarget {
    /// `[n_views, height, width, 3]` u8, sRGB.
    pub rgb: Frames,
    /// `[n_views, height, width]` f32, metres along the optical axis (not along the ray); infinite where the sky is.
    pub depth: Vec<f32>,
    /// `[n_views, height, width]` u32, [`Instance::object_id`](super::Instance::object_id), 0 where the sky is.
    pub segmentation: Vec<u32>,
    /// `[n_views, height, width, 3]` f32, unit normals in the world frame, zero where the sky is.
    pub normals: Vec<f32>,
}

impl RenderTarget {
    /// Resizes every buffer for a batch, and returns the number of pixels.
    pub(super) fn reshape(&mut self, n_views: usize, spec: &RenderSpec) -> usize {
        let n_pixels = n_views * spec.height * spec.width;
        let len = |is_wanted: bool, per_pixel: usize| if is_wanted { n_pixels * per_pixel } else { 0 };
        self.rgb.resize(if spec.outputs.rgb { n_views } else { 0 }, spec.height, spec.width);
        self.depth.resize(len(spec.outputs.depth, 1), 0.0);
        self.segmentation.resize(len(spec.outputs.segmentation, 1), 0);
        self.normals.resize(len(spec.outputs.normals, 3), 0.0);
        n_pixels
    }
}
