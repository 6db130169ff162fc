//! The lookup table from radiance to 8-bit sRGB codes that both backends use.

/// Entries per unit of radiance. The sRGB curve rises by at most 0.81 codes between neighbours.
pub(super) const PER_UNIT: usize = 4096;

/// Radiance above which the code is constant.
const BRIGHTEST: usize = 4;

/// Number of entries of the table.
pub(super) const LEN: usize = PER_UNIT * BRIGHTEST;

/// Radiance above which the tone curve is no longer the identity.
const SHOULDER: f32 = 0.8;

/// The 8-bit code of every radiance, in steps of one over [`PER_UNIT`].
pub(super) fn table() -> Box<[u8; LEN]> {
    let code = |k: usize| srgb_from_linear(tone(k as f32 / PER_UNIT as f32)).round() as u8;
    Box::new(std::array::from_fn(code))
}

/// Tone curve: the identity up to the shoulder, then exponentially towards one, so that bright surfaces keep their hue.
fn tone(x: f32) -> f32 {
    let room = 1.0 - SHOULDER;
    if x <= SHOULDER { x } else { 1.0 - room * (-(x - SHOULDER) / room).exp() }
}

/// sRGB encoding (IEC 61966-2-1), in units of 1/255.
fn srgb_from_linear(x: f32) -> f32 {
    255.0 * if x <= 0.003_130_8 { 12.92 * x } else { 1.055 * x.powf(1.0 / 2.4) - 0.055 }
}
