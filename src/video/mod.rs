//! Videos of episodes: the frames as the judge saw them, enlarged, with a caption strip below the picture.
//!
//! Nothing is ever drawn over a frame: whoever looks at the video sees exactly what was scored.

mod caption;
mod mp4;

pub use caption::{Caption, captioned_picture, contact_sheet, enlarge};
pub use mp4::encode_mp4;

use sayso_sim::Frames;

use crate::error::{Error, Result};

/// One picture: `[height, width, 3]` u8, sRGB, row 0 at the top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Columns, in pixels.
    pub width: usize,
    /// Rows, in pixels.
    pub height: usize,
    /// `height * width * 3` bytes.
    pub pixels: Vec<u8>,
}

impl Picture {
    /// A picture of one colour.
    pub fn filled(width: usize, height: usize, colour: [u8; 3]) -> Self {
        Self { width, height, pixels: colour.repeat(width * height) }
    }

    /// A copy of one view of a batch.
    pub fn from_view(frames: &Frames, view_idx: usize) -> Self {
        Self { width: frames.width(), height: frames.height(), pixels: frames.view(view_idx).to_vec() }
    }

    /// Copies `other` in, its upper left corner at (`x`, `y`); what sticks out is cut off.
    pub fn paste(&mut self, other: &Self, x: usize, y: usize) {
        let columns = other.width.min(self.width.saturating_sub(x));
        for row in 0..other.height.min(self.height.saturating_sub(y)) {
            let to = ((y + row) * self.width + x) * 3;
            let from = row * other.width * 3;
            self.pixels[to..to + columns * 3].copy_from_slice(&other.pixels[from..from + columns * 3]);
        }
    }

    /// The picture as a PNG file.
    ///
    /// # Errors
    /// If the encoder fails.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        use image::{ExtendedColorType, ImageEncoder as _, codecs::png::PngEncoder};
        let mut bytes = Vec::new();
        PngEncoder::new(&mut bytes)
            .write_image(&self.pixels, self.width as u32, self.height as u32, ExtendedColorType::Rgb8)
            .map_err(|err| Error::Video(err.to_string()))?;
        Ok(bytes)
    }
}
