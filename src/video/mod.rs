//! Videos of episodes: images with a caption strip below, as MP4.
//!
//! Nothing is overlaid on a frame: a video shows the frames that were scored, up to H.264 compression.

mod caption;
mod mp4;

pub use caption::{Caption, PAPER, captioned_image, contact_sheet, enlarge};
pub use mp4::encode_mp4;

use std::io::Cursor;

use image::{ImageFormat, RgbImage};
use sayso_sim::Frames;

use crate::error::{Error, Result};

/// A copy of one view of a batch.
pub fn view_image(frames: &Frames, view_idx: usize) -> RgbImage {
    let (width, height) = (frames.width() as u32, frames.height() as u32);
    // The length of a view always matches its shape.
    RgbImage::from_raw(width, height, frames.view(view_idx).to_vec()).unwrap_or_default()
}

/// An image as a PNG file.
///
/// # Errors
/// If the encoder fails.
pub fn to_png(image: &RgbImage) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).map_err(|err| Error::Video(err.to_string()))?;
    Ok(bytes.into_inner())
}
