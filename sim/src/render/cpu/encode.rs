//! From radiance to sRGB codes, by table.

use wide::f32x8;

use super::packet::{LANES, Vec3x8};

/// Entries per unit of radiance. The sRGB curve rises by at most 0.81 codes between neighbours.
const PER_UNIT: usize = 4096;

/// The brightest radiance that differs from those above it.
const BRIGHTEST: usize = 4;

const LEN: usize = PER_UNIT * BRIGHTEST;

/// Where the tone curve leaves the straight line.
const SHOULDER: f32 = 0.8;

/// A table of 8-bit codes over radiance.
#[derive(Debug)]
pub(super) struct Encoder {
    codes: Box<[u8; LEN]>,
}

impl Encoder {
    pub fn new() -> Self {
        let code = |k: usize| srgb_from_linear(tone(k as f32 / PER_UNIT as f32)).round() as u8;
        Self { codes: Box::new(std::array::from_fn(code)) }
    }

    /// Writes the pixels of one packet, `[pixel, 3]`, as many as fit into `out`.
    #[inline(always)]
    pub fn write(&self, colour: Vec3x8, out: &mut [u8]) {
        let index = |c: f32x8| {
            let scaled = c * f32x8::splat(PER_UNIT as f32);
            let top = f32x8::splat((LEN - 1) as f32);
            scaled.fast_max(f32x8::ZERO).fast_min(top).fast_round_int().to_array()
        };
        let (r, g, b) = (index(colour.x), index(colour.y), index(colour.z));
        // The length is a power of two: the remainder changes nothing, and spares a comparison.
        let code = |k: i32| self.codes[k as usize % LEN];
        for (lane, pixel) in out.chunks_exact_mut(3).enumerate().take(LANES) {
            pixel.copy_from_slice(&[code(r[lane]), code(g[lane]), code(b[lane])]);
        }
    }
}

/// Straight up to the shoulder, then towards one, so that bright surfaces keep their hue for longer.
fn tone(x: f32) -> f32 {
    let room = 1.0 - SHOULDER;
    if x <= SHOULDER { x } else { 1.0 - room * (-(x - SHOULDER) / room).exp() }
}

/// IEC 61966-2-1, in units of 1/255.
fn srgb_from_linear(x: f32) -> f32 {
    255.0 * if x <= 0.003_130_8 { 12.92 * x } else { 1.055 * x.powf(1.0 / 2.4) - 0.055 }
}
