//! Elementary functions written so that a loop over them becomes SIMD code.
//!
//! They have no branches, calls or tables, so that the compiler turns `for v in row { *v = exp(*v) }` into packed
//! instructions. The result for NaN is NaN.

use std::f32::consts::{FRAC_1_SQRT_2, LOG2_E};
use std::f64::consts::LN_2;

/// `e^x`, relative error below 3e-7; clamps at `e^-87.3` and `e^88`.
///
/// Cody and Waite's reduction to `|r| <= ln 2 / 2`, then a polynomial of degree six.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    /// Adding this rounds to an integer and leaves it in the low bits of the mantissa.
    const ROUND: f32 = 12_582_912.0;
    /// `ln 2` as a part whose product with a small integer is exact, and the remainder.
    const LN_2_HI: f32 = 355.0 / 512.0;
    const LN_2_LO: f32 = (LN_2 - LN_2_HI as f64) as f32;
    let x = clamp(x, -87.3, 88.0);
    let shifted = x.mul_add(LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN_2_LO, n.mul_add(-LN_2_HI, x));
    let mut p = 1.0 / 720.0;
    for c in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = r.mul_add(p, c);
    }
    p * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The error function, absolute error below 4e-7: a minimax quotient of odd and even polynomials on `[-4, 4]`, where
/// it reaches ±1 in single precision.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    const NUMERATOR: [f32; 6] =
        [2.770_681_4e-8, -2.101_024e-6, -5.692_506_4e-5, -7.349_906_3e-4, -2.954_6e-3, -1.609_603_3e-2];
    const DENOMINATOR: [f32; 4] = [-2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_473_9e-2];
    let x = clamp(x, -4.0, 4.0);
    let x2 = x * x;
    let mut p = -2.726_142_3e-10;
    for c in NUMERATOR {
        p = x2.mul_add(p, c);
    }
    let mut q = -1.456_607_2e-5;
    for c in DENOMINATOR {
        q = x2.mul_add(q, c);
    }
    x * p / q
}

/// Distribution function of the standard normal.
#[inline(always)]
pub fn normal_cdf(x: f32) -> f32 {
    0.5 + 0.5 * erf(x * FRAC_1_SQRT_2)
}

/// Density of the standard normal.
#[inline(always)]
pub fn normal_pdf(x: f32) -> f32 {
    const INV_SQRT_TAU: f32 = 0.398_942_3;
    INV_SQRT_TAU * exp(-0.5 * x * x)
}

/// Like [`f32::clamp`], but one packed `max` and one `min`.
#[inline(always)]
fn clamp(x: f32, low: f32, high: f32) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// Number of partial sums: enough to hide the latency of an addition.
const N_LANES: usize = 32;

/// Sum of `f(a[i])`, in an order that does not depend on the machine.
#[inline(always)]
pub fn sum_of(a: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = a.as_chunks::<N_LANES>();
    let mut lanes = [0.0; N_LANES];
    for chunk in chunks {
        for (lane, &v) in lanes.iter_mut().zip(chunk) {
            *lane += f(v);
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|&v| f(v)).sum::<f32>()
}

/// Sum of `a[i] * b[i]`.
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a_chunks, a_rest), (b_chunks, b_rest)) = (a.as_chunks::<N_LANES>(), b.as_chunks::<N_LANES>());
    let mut lanes = [0.0f32; N_LANES];
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for (lane, (&a, &b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane = a.mul_add(b, *lane);
        }
    }
    lanes.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// Largest value; negative infinity if `a` is empty.
#[inline(always)]
pub fn max_of(a: &[f32]) -> f32 {
    let (chunks, rest) = a.as_chunks::<N_LANES>();
    let mut lanes = [f32::NEG_INFINITY; N_LANES];
    for chunk in chunks {
        for (lane, &v) in lanes.iter_mut().zip(chunk) {
            *lane = if v > *lane { v } else { *lane };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |m, &v| m.max(v))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `erf` by its Taylor series in double precision, good to 1e-12 on `[-4, 4]`.
    fn erf_reference(x: f64) -> f64 {
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= -x * x / n as f64;
            sum += term / (2 * n + 1) as f64;
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    }

    #[test]
    fn exp_agrees_with_double_precision() {
        for i in -8700..8800 {
            let x = i as f32 * 0.01;
            let want = f64::from(x).exp();
            let error = (f64::from(exp(x)) - want).abs() / want;
            assert!(error < 3e-7, "exp({x}) is off by {error:e}");
        }
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(-1e9) < 1.3e-38 && exp(1e9).is_finite());
    }

    #[test]
    fn erf_agrees_with_double_precision() {
        for i in -4000..=4000 {
            let x = i as f32 * 0.001;
            let error = (f64::from(erf(x)) - erf_reference(f64::from(x))).abs();
            assert!(error < 4e-7, "erf({x}) is off by {error:e}");
        }
        assert!((erf(9.0) - 1.0).abs() < 1e-6 && erf(f32::NAN).is_nan());
    }

    #[test]
    fn sums_take_every_element() {
        let a: Vec<f32> = (0..71).map(|i| i as f32).collect();
        assert_eq!(sum_of(&a, |v| v), 2485.0);
        assert_eq!(dot(&a, &a), 116_795.0);
        assert_eq!(max_of(&a), 70.0);
    }
}
