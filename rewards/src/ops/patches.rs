//! Converts pixels to the input rows of a patch embedding.

use std::ops::Range;

use candle_core::{DType, Device, Result, Tensor};
use rayon::prelude::*;
use sayso_sim::{Frames, ImageSpec};

/// Cuts the frames `views` into patches and normalises them: `[n_views, n_patches, 3 * patch * patch]`, patches row by row,
/// values in the order (channel, row, column) of a convolution's weight.
///
/// Pixels become `(value / 255 - mean) / std`. Pixels at the right and lower edges that do not fill a patch are dropped, as
/// by a convolution with that stride.
///
/// # Errors
/// If the device fails.
pub fn patchify(
    frames: &Frames,
    views: Range<usize>,
    spec: &ImageSpec,
    patch: usize,
    dtype: DType,
    device: &Device,
) -> Result<Tensor> {
    let (n_down, n_across) = (frames.height() / patch, frames.width() / patch);
    let (row_len, patch_len) = (frames.width() * Frames::N_CHANNELS, patch * patch * Frames::N_CHANNELS);
    let mut values = vec![0f32; views.len() * n_down * n_across * patch_len];
    let (scale, shift) = spec.scale_and_shift();
    let band_len = n_across * patch_len;
    values.par_chunks_mut(band_len.max(1)).enumerate().for_each(|(band_idx, band)| {
        let rows = &frames.view(views.start + band_idx / n_down)[(band_idx % n_down) * patch * row_len..]
            [..patch * row_len];
        for (x, values) in band.chunks_exact_mut(patch_len).enumerate() {
            for (y, row) in rows.chunks_exact(row_len).enumerate() {
                let pixels = &row[x * patch * 3..][..patch * 3];
                for c in 0..Frames::N_CHANNELS {
                    let out = &mut values[(c * patch + y) * patch..][..patch];
                    for (out, pixel) in out.iter_mut().zip(pixels.chunks_exact(3)) {
                        *out = f32::from(pixel[c]).mul_add(scale[c], shift[c]);
                    }
                }
            }
        }
    });
    let shape = (views.len(), n_down * n_across, patch_len);
    Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_normalised_and_in_order_of_patches_and_channels() -> Result<()> {
        let (height, width, patch) = (4, 7, 2);
        let pixels: Vec<u8> = (0..2 * height * width * 3).map(|i| i as u8).collect();
        let frames = Frames::from_pixels(2, height, width, pixels).unwrap_or_default();
        let spec = ImageSpec { height, width, mean: [0.1, 0.2, 0.3], std: [0.5, 1.0, 2.0] };
        let got = patchify(&frames, 0..2, &spec, patch, DType::F32, &Device::Cpu)?.to_vec3::<f32>()?;
        assert_eq!((got.len(), got[0].len(), got[0][0].len()), (2, 6, 12));
        let (view, down, across, channel, y, x) = (1, 1, 2, 2, 1, 0);
        let at = ((down * patch + y) * width + across * patch + x) * 3 + channel;
        let want = (f32::from(frames.view(view)[at]) / 255.0 - 0.3) / 2.0;
        assert!((got[view][down * 3 + across][(channel * patch + y) * patch + x] - want).abs() < 1e-6);
        Ok(())
    }
}
