//! Reading of image files.

use std::io::Cursor;
use std::path::Path;

use image::{ImageReader, Limits, RgbImage};

use crate::{Result, SimError};

/// Reads a PNG or JPEG file of at most `max_side` pixels a side whose decoding takes at most 512 MiB. The content decides the
/// format, not the file's name. An alpha channel is dropped.
///
/// # Errors
/// If the file cannot be read, is of another format or damaged, or the image is larger.
pub fn read_image(path: &Path, max_side: usize) -> Result<RgbImage> {
    // Read at once, so that pipes can be read too.
    let bytes = std::fs::read(path)
        .map_err(|error| SimError::File { path: path.into(), reason: error.to_string() })?;
    let failed = |reason: String| SimError::Image { path: path.into(), reason };
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| failed(error.to_string()))?;
    let mut limits = Limits::default();
    let max_side = u32::try_from(max_side).unwrap_or(u32::MAX);
    (limits.max_image_width, limits.max_image_height) = (Some(max_side), Some(max_side));
    reader.limits(limits);
    Ok(reader.decode().map_err(|error| failed(error.to_string()))?.into_rgb8())
}
