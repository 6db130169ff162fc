//! Rendered pictures: what leaves the ray caster and what a reward model reads.

use serde::{Deserialize, Serialize};

/// A batch of RGB pictures in one contiguous buffer.
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
    /// Channels of a picture: red, green, blue.
    pub const N_CHANNELS: usize = 3;

    /// Black pictures of the given shape.
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

    /// Adds pictures of the same shape; pictures of any shape if there are none yet.
    pub fn append(&mut self, more: &Self) {
        if self.n_views == 0 {
            (self.height, self.width) = (more.height, more.width);
        }
        debug_assert_eq!((self.height, self.width), (more.height, more.width), "pictures of one shape");
        self.n_views += more.n_views;
        self.pixels.extend_from_slice(&more.pixels);
    }

    /// Number of pictures.
    pub fn n_views(&self) -> usize {
        self.n_views
    }

    /// Rows of a picture.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns of a picture.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Bytes of one picture.
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

    /// All pixels, `[n_views, height, width, 3]`, given away.
    pub fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }

    /// The pixels of one picture, `[height, width, 3]`.
    pub fn view(&self, view_idx: usize) -> &[u8] {
        &self.pixels[view_idx * self.view_len()..][..self.view_len()]
    }

    /// The pixels of one picture, `[height, width, 3]`.
    pub fn view_mut(&mut self, view_idx: usize) -> &mut [u8] {
        let len = self.view_len();
        &mut self.pixels[view_idx * len..][..len]
    }
}

/// How a reward model wants its pictures: the renderer draws at this size, so that nothing is resized in the loop.
///
/// Pixels reach the model as `(value / 255 - mean) / std`, a channel at a time.
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
    /// The factors and offsets, a channel at a time, that make a pixel's value from its code: `value = code * scale + shift`,
    /// fused.
    pub fn scale_and_shift(&self) -> ([f32; 3], [f32; 3]) {
        let scale = std::array::from_fn(|c| 1.0 / (255.0 * self.std[c]));
        let shift = std::array::from_fn(|c| -self.mean[c] / self.std[c]);
        (scale, shift)
    }
}
