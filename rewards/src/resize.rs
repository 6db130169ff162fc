//! Image resizing, bit for bit as in Pillow, because checkpoints were trained with it.
//!
//! Rows are convolved with a filter first, then columns. For a reduction the filter is widened by its factor, so that
//! pixels are averaged, not skipped. Coefficients are rounded to 22 fractional bits; the sums are rounded to bytes after
//! each axis.

use image::RgbImage;
use rayon::prelude::*;

/// A resampling filter, with its number in `PIL.Image.Resampling`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resample {
    /// Windowed sinc of radius 3; number 1.
    Lanczos,
    /// Triangle of radius 1; number 2.
    Bilinear,
    /// Keys's cubic with a = -0.5, radius 2; number 3.
    Bicubic,
}

impl Resample {
    /// The filter with a number, as in a `preprocessor_config.json`.
    pub fn from_pil(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Lanczos),
            2 => Some(Self::Bilinear),
            3 => Some(Self::Bicubic),
            _ => None,
        }
    }

    fn radius(self) -> f64 {
        match self {
            Self::Lanczos => 3.0,
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    fn at(self, x: f64) -> f64 {
        let sinc = |x: f64| {
            if x == 0.0 { 1.0 } else { (x * std::f64::consts::PI).sin() / (x * std::f64::consts::PI) }
        };
        let a = -0.5;
        match (self, x.abs()) {
            (Self::Lanczos, r) if r < 3.0 => sinc(x) * sinc(x / 3.0),
            (Self::Bilinear, r) if r < 1.0 => 1.0 - r,
            (Self::Bicubic, r) if r < 1.0 => ((a + 2.0) * r - (a + 3.0)) * r * r + 1.0,
            (Self::Bicubic, r) if r < 2.0 => (((r - 5.0) * r + 8.0) * r - 4.0) * a,
            _ => 0.0,
        }
    }
}

/// Fractional bits of a coefficient: 32, minus 8 for the pixel and 2 for headroom.
const PRECISION: u32 = 32 - 8 - 2;

/// The input pixels of one output pixel, from `start`, and their coefficients.
struct Window {
    start: usize,
    coefficients: Vec<i32>,
}

fn windows(n_in: usize, n_out: usize, filter: Resample) -> Vec<Window> {
    let scale = n_in as f64 / n_out as f64;
    let filter_scale = scale.max(1.0);
    let support = filter.radius() * filter_scale;
    let window = |i: usize| {
        let center = (i as f64 + 0.5) * scale;
        let start = (center - support + 0.5).max(0.0) as usize;
        let end = ((center + support + 0.5) as usize).min(n_in);
        let weights: Vec<f64> =
            (start..end).map(|x| filter.at((x as f64 - center + 0.5) / filter_scale)).collect();
        let total: f64 = weights.iter().sum();
        let fixed = |w: &f64| (w / total * f64::from(1u32 << PRECISION)).round() as i32;
        Window { start, coefficients: weights.iter().map(fixed).collect() }
    };
    (0..n_out).map(window).collect()
}

/// Rounds a sum of products to a byte.
fn to_byte(sum: i32) -> u8 {
    ((sum + (1 << (PRECISION - 1))) >> PRECISION).clamp(0, 255) as u8
}

/// Resizes to `width` by `height` pixels. An image of that size is returned unchanged.
pub fn resize(image: &RgbImage, width: u32, height: u32, filter: Resample) -> RgbImage {
    if image.dimensions() == (width, height) {
        return image.clone();
    }
    let (in_width, in_height) = (image.width() as usize, image.height() as usize);
    let (out_width, row_len) = (width as usize, width as usize * 3);
    let columns = windows(in_width, out_width, filter);
    let mut narrowed = vec![0; row_len * in_height];
    let source = image.as_raw();
    narrowed.par_chunks_mut(row_len.max(1)).zip(source.par_chunks(in_width.max(1) * 3)).for_each(
        |(out, row)| {
            for (out, window) in out.chunks_exact_mut(3).zip(&columns) {
                let mut sums = [0; 3];
                for (&k, pixel) in window.coefficients.iter().zip(row[window.start * 3..].chunks_exact(3)) {
                    for (sum, &v) in sums.iter_mut().zip(pixel) {
                        *sum += k * i32::from(v);
                    }
                }
                out.copy_from_slice(&sums.map(to_byte));
            }
        },
    );
    let rows = windows(in_height, height as usize, filter);
    let mut out = RgbImage::new(width, height);
    out.par_chunks_mut(row_len.max(1)).zip(rows.par_iter()).for_each(|(out, window)| {
        let mut sums = vec![0; row_len];
        for (&k, row) in
            window.coefficients.iter().zip(narrowed[window.start * row_len..].chunks_exact(row_len))
        {
            for (sum, &v) in sums.iter_mut().zip(row) {
                *sum += k * i32::from(v);
            }
        }
        out.iter_mut().zip(&sums).for_each(|(out, &sum)| *out = to_byte(sum));
    });
    out
}
