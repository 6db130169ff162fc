//! Rendered frames: the RGB output of the ray caster and the input of a reward model.

use serde::{Deserialize, Serialize};

/// A batch of RGB frames in one contiguous buffer.
///
/// Shape `[n_views, height, width, 3]`, `u8`, sRGB-encoded, row 0 at the top.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frames {
    n_views: usize,
    height: usize,
    width: usize,
    pixels: Vec<u8>,
}

impl Frames {
    /// Channels of a frame: red, green, blue.
    pub const N_CHANNELS: usize = 3;

    /// Black frames of the given shape.
    pub fn new(n_views: usize, height: usize, width: usize) -> Self {
        let pixels = vec![0; n_views * height * width * Self::N_CHANNELS];
        Self { n_views, height, width, pixels }
    }

    /// Wraps pixels that are already laid out as `[n_views, height, width, 3]`.
    ///
    /// Returns `None` if the length of `pixels` is not the product of the shape.
    pub fn from_pixels(n_views: usize, height: usize, width: usize, pixels: Vec<u8>) -> Option<Self> {
        (pixels.len() == n_views * height * width * Self::N_CHANNELS).then_some(Self {
            n_views,
            height,
            width,
            pixels,
        })
    }

    /// Changes the shape in place; the buffer is reused, and new pixels are black.
    pub fn resize(&mut self, n_views: usize, height: usize, width: usize) {
        (self.n_views, self.height, self.width) = (n_views, height, width);
        self.pixels.resize(n_views * self.view_len(), 0);
    }

    /// Appends frames of the same height and width; of any height and width if the batch is empty.
    pub fn append(&mut self, more: &Self) {
        if self.n_views == 0 {
            (self.height, self.width) = (more.height, more.width);
        }
        debug_assert_eq!((self.height, self.width), (more.height, more.width), "frames of one shape");
        self.n_views += more.n_views;
        self.pixels.extend_from_slice(&more.pixels);
    }

    /// Number of frames.
    pub fn n_views(&self) -> usize {
        self.n_views
    }

    /// Rows of a frame.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns of a frame.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Bytes of one frame.
    pub fn view_len(&self) -> usize {
        self.height * self.width * Self::N_CHANNELS
    }

    /// All pixels, `[n_views, height, width, 3]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// All pixels, `[n_views, height, width, 3]`.
    pub fn pixels_mut(&mut self) -> &mut [u8] {
        &mut self.pixels
    }

    /// All pixels, `[n_views, height, width, 3]`, as an owned buffer.
    pub fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }

    /// The pixels of one frame, `[height, width, 3]`.
    pub fn view(&self, view_idx: usize) -> &[u8] {
        &self.pixels[view_idx * self.view_len()..][..self.view_len()]
    }

    /// The pixels of one frame, `[height, width, 3]`.
    pub fn view_mut(&mut self, view_idx: usize) -> &mut [u8] {
        let len = self.view_len();
        &mut self.pixels[view_idx * len..][..len]
    }
}

/// Image size and normalisation of a reward model. Frames are rendered at this size, so that none is resized.
///
/// Pixels reach the model as `(value / 255 - mean) / std`, per channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSpec {
    /// Rows, in pixels.
    pub height: usize,
    /// Columns, in pixels.
    pub width: usize,
    /// Mean of each channel, in units of full scale.
    pub mean: [f32; 3],
    /// Standard deviation of each channel, in units of full scale.
    pub std: [f32; 3],
}

impl ImageSpec {
    /// Scale and shift per channel that turn the 8-bit code of a pixel into the model's input:
    /// `value = code * scale + shift`, a fused multiply-add.
    pub fn scale_and_shift(&self) -> ([f32; 3], [f32; 3]) {
        let scale = std::array::from_fn(|c| 1.0 / (255.0 * self.std[c]));
        let shift = std::array::from_fn(|c| -self.mean[c] / self.std[c]);
        (scale, shift)
    }
}
