//! Encodes packets of radiance as pixels.

use wide::f32x8;

use super::packet::{LANES, Vec3x8};
use crate::render::codes::{LEN, PER_UNIT, table};

/// Encodes radiance as sRGB codes, by table.
#[derive(Debug)]
pub(super) struct Encoder {
    codes: Box<[u8; LEN]>,
}

impl Encoder {
    pub fn new() -> Self {
        Self { codes: table() }
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
        // The length is a power of two: the remainder does not change the index, and avoids a bounds check.
        let code = |k: i32| self.codes[k as usize % LEN];
        for (lane, pixel) in out.chunks_exact_mut(3).enumerate().take(LANES) {
            pixel.copy_from_slice(&[code(r[lane]), code(g[lane]), code(b[lane])]);
        }
    }
}
