//! The input of a reward model, written by the render kernel directly into the buffer that the model reads.

use half::f16;

use crate::frames::ImageSpec;
use crate::{Result, SimError};

/// Format of the frames that a model reads on the device.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelInput {
    /// Size, mean and standard deviation.
    pub image: ImageSpec,
    /// The order of the values.
    pub layout: PixelLayout,
    /// The type of a value.
    pub dtype: PixelType,
}

/// The order of the values of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelLayout {
    /// `[n_views, 3, height, width]`.
    Planes,
    /// `[n_views, n_patches, 3 * size * size]`: patches row by row, values in the order (channel, row, column) of a
    /// convolution's weight. Pixels at the right and lower edges that fill no patch are left out.
    Patches {
        /// Side of a patch, pixels.
        size: usize,
    },
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelType {
    /// Four bytes.
    F32,
    /// Two bytes; two neighbouring pixels of a row share a 32-bit word.
    F16,
}

impl ModelInput {
    /// Number of values per view.
    pub fn n_values(&self) -> usize {
        let ImageSpec { height, width, .. } = self.image;
        match self.layout {
            PixelLayout::Planes => 3 * height * width,
            PixelLayout::Patches { size: 0 } => 0,
            PixelLayout::Patches { size } => (height / size) * (width / size) * 3 * size * size,
        }
    }

    /// Number of bytes per view.
    pub fn n_bytes(&self) -> usize {
        match self.dtype {
            PixelType::F32 => self.n_values() * 4,
            PixelType::F16 => self.n_values() * 2,
        }
    }

    /// # Errors
    /// If an image holds no patch, or a row of f16 values does not fill 32-bit words.
    pub(super) fn check(&self) -> Result<()> {
        let ImageSpec { height, width, .. } = self.image;
        let size = self.patch_size();
        if matches!(self.layout, PixelLayout::Patches { .. }) && !(1..=height.min(width)).contains(&size) {
            let expected = format!("1 to {}, the shorter side of the image", height.min(width));
            return Err(SimError::OutOfRange { field: "patch size".into(), got: size.to_string(), expected });
        }
        let row = if size == 0 { width } else { size };
        if self.dtype == PixelType::F16 && row % 2 == 1 {
            let field = if size == 0 { "width" } else { "patch size" };
            let expected = "an even number of pixels for f16 values".into();
            return Err(SimError::OutOfRange { field: field.into(), got: row.to_string(), expected });
        }
        Ok(())
    }

    /// The kernel's output flag for its type.
    pub(super) fn output_bit(&self) -> u32 {
        match self.dtype {
            PixelType::F32 => 16,
            PixelType::F16 => 32,
        }
    }

    /// Side of a patch, pixels; 0 for planes.
    pub(super) fn patch_size(&self) -> usize {
        match self.layout {
            PixelLayout::Planes => 0,
            PixelLayout::Patches { size } => size,
        }
    }

    /// The bits of the value of every channel and 8-bit code, `[3, 256]`: the kernel looks values up, so that they equal
    /// those of the CPU's preprocessing.
    pub(super) fn table(&self) -> impl Iterator<Item = u32> {
        let (scale, shift) = self.image.scale_and_shift();
        let dtype = self.dtype;
        (0..3 * 256).map(move |k| {
            let value = ((k % 256) as f32).mul_add(scale[k / 256], shift[k / 256]);
            match dtype {
                PixelType::F32 => value.to_bits(),
                PixelType::F16 => f16::from_f32(value).to_bits().into(),
            }
        })
    }
}
