//! Reads frames back from the device to the host.

use rayon::prelude::*;

use super::device::Gpu;
use crate::render::{RenderSpec, RenderTarget};
use crate::{Result, SimError};

/// Offsets of the outputs of a submission in their buffer, in 32-bit words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// The outputs as bit flags of the kernels.
    pub outputs: u32,
    pub depth_at: usize,
    pub segmentation_at: usize,
    pub normals_at: usize,
    pub n_words: usize,
}

impl Layout {
    pub fn new(n_views: usize, spec: &RenderSpec) -> Self {
        let n_pixels = n_views * spec.height * spec.width;
        let outputs = &spec.outputs;
        let len = |is_wanted: bool, per_pixel: usize| if is_wanted { n_pixels * per_pixel } else { 0 };
        let depth_at = len(outputs.rgb, 1);
        let segmentation_at = depth_at + len(outputs.depth, 1);
        let normals_at = segmentation_at + len(outputs.segmentation, 1);
        let bits = [outputs.rgb, outputs.depth, outputs.segmentation, outputs.normals];
        let outputs = bits.iter().enumerate().map(|(k, &is_wanted)| u32::from(is_wanted) << k).sum();
        let n_words = normals_at + len(spec.outputs.normals, 3);
        Self { outputs, depth_at, segmentation_at, normals_at, n_words }
    }
}

/// A staging buffer that the host can map.
#[derive(Debug, Default)]
pub(super) struct ReadBack {
    staging: Option<wgpu::Buffer>,
}

impl ReadBack {
    /// Copies the frames of `n_views` views into `target`, from its view `first` on.
    pub fn read(
        &mut self,
        gpu: &Gpu,
        images: &wgpu::Buffer,
        first: usize,
        n_views: usize,
        spec: &RenderSpec,
        target: &mut RenderTarget,
    ) -> Result<()> {
        let layout = Layout::new(n_views, spec);
        self.bytes(gpu, images, layout.n_words as u64 * 4, |bytes| {
            unpack(bytemuck::cast_slice(bytes), &layout, first, n_views, spec, target);
        })
    }

    /// Copies the first `size` bytes of a buffer to the host and passes them to `f`.
    pub fn bytes<T>(
        &mut self,
        gpu: &Gpu,
        source: &wgpu::Buffer,
        size: u64,
        f: impl FnOnce(&[u8]) -> T,
    ) -> Result<T> {
        if self.staging.as_ref().is_none_or(|staging| staging.size() < size) {
            self.staging = None;
        }
        let staging = match self.staging.take() {
            Some(staging) => staging,
            None => {
                let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
                gpu.buffer("frames on the host", size.max(256), usage)?
            }
        };
        let submission = gpu.checked(|| {
            let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            encoder.copy_buffer_to_buffer(source, 0, &staging, 0, size);
            Ok(gpu.submit(Some(encoder.finish()), None))
        })?;
        gpu.count_read_back();
        staging.slice(..size).map_async(wgpu::MapMode::Read, |_| {});
        gpu.wait(submission)?;
        let failed =
            |error: wgpu::MapRangeError| SimError::Gpu(format!("frames cannot be read back: {error}"));
        let bytes = staging.slice(..size).get_mapped_range().map_err(failed)?;
        let result = f(&bytes);
        drop(bytes);
        staging.unmap();
        self.staging = Some(staging);
        Ok(result)
    }
}

fn unpack(
    words: &[u32],
    layout: &Layout,
    first: usize,
    n_views: usize,
    spec: &RenderSpec,
    target: &mut RenderTarget,
) {
    let n_pixels = n_views * spec.height * spec.width;
    let start = first * spec.height * spec.width;
    let pixels = start..start + n_pixels;
    if spec.outputs.rgb {
        let rgb = &mut target.rgb.pixels_mut()[pixels.start * 3..pixels.end * 3];
        let row = spec.width;
        rgb.par_chunks_mut(row * 3).zip(words[..n_pixels].par_chunks(row)).for_each(|(rgb, words)| {
            for (pixel, word) in rgb.chunks_exact_mut(3).zip(words) {
                pixel.copy_from_slice(&word.to_le_bytes()[..3]);
            }
        });
    }
    if spec.outputs.depth {
        let depth = &words[layout.depth_at..][..n_pixels];
        target.depth[pixels.clone()].copy_from_slice(bytemuck::cast_slice(depth));
    }
    if spec.outputs.segmentation {
        target.segmentation[pixels.clone()].copy_from_slice(&words[layout.segmentation_at..][..n_pixels]);
    }
    if spec.outputs.normals {
        let normals = &words[layout.normals_at..][..n_pixels * 3];
        target.normals[pixels.start * 3..pixels.end * 3].copy_from_slice(bytemuck::cast_slice(normals));
    }
}
