//! Image textures, which materials repeat over surfaces.

use std::path::Path;

use crate::{Result, SimError, read_image};

/// An image, linear RGB, with its mip chain: copies at half the size each, down to one texel.
#[derive(Clone, Debug, PartialEq)]
pub struct Texture {
    levels: Vec<Level>,
}

/// One level of a mip chain: `[height, width]` texels of linear RGB and one unused value, row 0 at the top.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Level {
    pub width: usize,
    pub height: usize,
    pub texels: Vec<[f32; 4]>,
}

impl Texture {
    /// Maximum height and width, texels.
    pub const MAX_SIZE: usize = 8192;

    /// A texture from `[height, width, 3]` u8 pixels, sRGB-encoded, row 0 at the top.
    ///
    /// # Errors
    /// If a side is zero or over [`Texture::MAX_SIZE`], or `rgb` does not have `height * width * 3` values.
    pub fn new(width: usize, height: usize, rgb: &[u8]) -> Result<Self> {
        for (field, side) in [("texture width", width), ("texture height", height)] {
            if !(1..=Self::MAX_SIZE).contains(&side) {
                let expected = format!("1 to {} texels", Self::MAX_SIZE);
                return Err(SimError::OutOfRange { field: field.into(), got: side.to_string(), expected });
            }
        }
        if rgb.len() != width * height * 3 {
            let (expected, got) = (width * height * 3, rgb.len());
            return Err(SimError::WrongLength { what: "pixels of a texture", expected, got });
        }
        let linear: Vec<f32> = (0..=255).map(linear_from_srgb).collect();
        let texels = rgb
            .chunks_exact(3)
            .map(|c| [linear[c[0] as usize], linear[c[1] as usize], linear[c[2] as usize], 0.0])
            .collect();
        let mut levels = vec![Level { width, height, texels }];
        while let Some(next) = levels.last().and_then(Level::halved) {
            levels.push(next);
        }
        Ok(Self { levels })
    }

    /// A texture from a PNG or JPEG file.
    ///
    /// # Errors
    /// Those of [`read_image`], an image over [`Texture::MAX_SIZE`] among them.
    pub fn load(path: &Path) -> Result<Self> {
        let image = read_image(path, Self::MAX_SIZE)?;
        Self::new(image.width() as usize, image.height() as usize, image.as_raw())
    }

    /// Columns of the full image.
    pub fn width(&self) -> usize {
        self.levels[0].width
    }

    /// Rows of the full image.
    pub fn height(&self) -> usize {
        self.levels[0].height
    }

    /// All levels, the full image first.
    pub(crate) fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// The level whose texels are about as wide as `n_texels` texels of the full image.
    pub(crate) fn level(&self, n_texels: f32) -> &Level {
        let level = n_texels.max(1.0).log2().round() as usize;
        &self.levels[level.min(self.levels.len() - 1)]
    }
}

impl Level {
    fn halved(&self) -> Option<Self> {
        if self.width == 1 && self.height == 1 {
            return None;
        }
        let (width, height) = (self.width.div_ceil(2), self.height.div_ceil(2));
        let at =
            |x: usize, y: usize| self.texels[y.min(self.height - 1) * self.width + x.min(self.width - 1)];
        let mean = |k: usize| {
            let (x, y) = (k % width * 2, k / width * 2);
            let four = [at(x, y), at(x + 1, y), at(x, y + 1), at(x + 1, y + 1)];
            std::array::from_fn(|c| 0.25 * four.iter().map(|texel| texel[c]).sum::<f32>())
        };
        Some(Self { width, height, texels: (0..width * height).map(mean).collect() })
    }
}

/// sRGB decoding (IEC 61966-2-1).
fn linear_from_srgb(code: u32) -> f32 {
    let v = code as f32 / 255.0;
    if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
}
