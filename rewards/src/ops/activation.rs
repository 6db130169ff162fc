//! Activation functions of image-text models, fused with the addition of the preceding bias.

use candle_core::{Result, Tensor};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::math::{normal_cdf, normal_pdf, sigmoid};
use super::rows_per_task;

/// Nonlinearity of a tower's MLP, under the names that Hugging Face configurations use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activation {
    /// `x σ(1.702 x)`: OpenAI's CLIP.
    #[serde(rename = "quick_gelu")]
    QuickGelu,
    /// `x Φ(x)`: OpenCLIP's LAION models.
    #[serde(rename = "gelu")]
    Gelu,
    /// `x σ(2 √(2/π) (x + 0.044715 x³))`, the approximation of [`Activation::Gelu`] with a tanh: SigLIP.
    #[serde(rename = "gelu_pytorch_tanh", alias = "gelu_new", alias = "gelu_fast")]
    GeluTanh,
}

impl Activation {
    /// Applies the function to a tensor on any device, composed of candle's own operations.
    ///
    /// # Errors
    /// If the device fails.
    pub fn apply(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::QuickGelu => x * candle_nn::ops::sigmoid(&(x * f64::from(QUICK))?)?,
            Self::Gelu => x.gelu_erf(),
            Self::GeluTanh => {
                let inner = ((x * (x.sqr()? * f64::from(CUBIC))?)? + x)?;
                x * candle_nn::ops::sigmoid(&(inner * f64::from(SQRT_8_OVER_PI))?)?
            }
        }
    }

    /// `x[row] = f(x[row] + bias)`.
    pub(super) fn bias_act(self, x: &mut [f32], bias: &[f32]) {
        match self {
            Self::QuickGelu => bias_act_rows(x, bias, |v| quick_gelu(v).0),
            Self::Gelu => bias_act_rows(x, bias, |v| gelu(v).0),
            Self::GeluTanh => bias_act_rows(x, bias, |v| gelu_tanh(v).0),
        }
    }

    /// `out = f(pre)`.
    pub(super) fn forward(self, pre: &[f32], out: &mut [f32]) {
        match self {
            Self::QuickGelu => forward_rows(pre, out, |v| quick_gelu(v).0),
            Self::Gelu => forward_rows(pre, out, |v| gelu(v).0),
            Self::GeluTanh => forward_rows(pre, out, |v| gelu_tanh(v).0),
        }
    }

    /// `grad *= f'(pre)` and `pre = f(pre)`.
    pub(super) fn backward(self, pre: &mut [f32], grad: &mut [f32]) {
        match self {
            Self::QuickGelu => backward_rows(pre, grad, quick_gelu),
            Self::Gelu => backward_rows(pre, grad, gelu),
            Self::GeluTanh => backward_rows(pre, grad, gelu_tanh),
        }
    }
}

/// `x[row] += bias`.
pub(super) fn add_bias(x: &mut [f32], bias: &[f32]) {
    bias_act_rows(x, bias, |v| v);
}

/// `x[row] += bias + residual[row]`.
pub(super) fn add_bias_residual(x: &mut [f32], bias: &[f32], residual: &[f32]) {
    let chunk = rows_per_task(bias.len()) * bias.len();
    x.par_chunks_mut(chunk).zip(residual.par_chunks(chunk)).for_each(|(x, residual)| {
        for (x, residual) in x.chunks_exact_mut(bias.len()).zip(residual.chunks_exact(bias.len())) {
            for ((x, &b), &r) in x.iter_mut().zip(bias).zip(residual) {
                *x += b + r;
            }
        }
    });
}

fn bias_act_rows(x: &mut [f32], bias: &[f32], f: impl Fn(f32) -> f32 + Sync) {
    x.par_chunks_mut(rows_per_task(bias.len()) * bias.len()).for_each(|rows| {
        for row in rows.chunks_exact_mut(bias.len()) {
            for (v, &b) in row.iter_mut().zip(bias) {
                *v = f(*v + b);
            }
        }
    });
}

fn forward_rows(pre: &[f32], out: &mut [f32], f: impl Fn(f32) -> f32 + Sync) {
    let chunk = rows_per_task(1);
    out.par_chunks_mut(chunk).zip(pre.par_chunks(chunk)).for_each(|(out, pre)| {
        for (out, &pre) in out.iter_mut().zip(pre) {
            *out = f(pre);
        }
    });
}

fn backward_rows(pre: &mut [f32], grad: &mut [f32], f: impl Fn(f32) -> (f32, f32) + Sync) {
    let chunk = rows_per_task(1);
    pre.par_chunks_mut(chunk).zip(grad.par_chunks_mut(chunk)).for_each(|(pre, grad)| {
        for (pre, grad) in pre.iter_mut().zip(grad) {
            let (value, slope) = f(*pre);
            *pre = value;
            *grad *= slope;
        }
    });
}

const QUICK: f32 = 1.702;
const CUBIC: f32 = 0.044_715;
const SQRT_8_OVER_PI: f32 = 1.595_769;

/// Value and slope.
#[inline(always)]
fn quick_gelu(x: f32) -> (f32, f32) {
    let s = sigmoid(QUICK * x);
    (x * s, s + QUICK * x * s * (1.0 - s))
}

/// Value and slope.
#[inline(always)]
fn gelu(x: f32) -> (f32, f32) {
    let cdf = normal_cdf(x);
    (x * cdf, cdf + x * normal_pdf(x))
}

/// Value and slope.
#[inline(always)]
fn gelu_tanh(x: f32) -> (f32, f32) {
    let x2 = x * x;
    let s = sigmoid(SQRT_8_OVER_PI * (CUBIC * x2 * x + x));
    (x * s, s + x * s * (1.0 - s) * SQRT_8_OVER_PI * (3.0 * CUBIC * x2 + 1.0))
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    #[test]
    fn values_and_slopes_agree_with_candle() -> Result<()> {
        for act in [Activation::QuickGelu, Activation::Gelu, Activation::GeluTanh] {
            let x: Vec<f32> = (-600..600).map(|i| i as f32 * 0.01).collect();
            let var = Var::from_slice(&x, x.len(), &Device::Cpu)?;
            let want = act.apply(&var)?;
            let grads = want.backward()?;
            let want_slope: Vec<f32> = grads.get(&var).map(Tensor::to_vec1).transpose()?.unwrap_or_default();
            let (mut value, mut slope) = (x.clone(), vec![1.0; x.len()]);
            act.backward(&mut value, &mut slope);
            for (i, want) in want.to_vec1::<f32>()?.into_iter().enumerate() {
                assert!((value[i] - want).abs() < 2e-6, "{act:?}({}) = {} not {want}", x[i], value[i]);
                assert!((slope[i] - want_slope[i]).abs() < 1e-5, "{act:?}'({}) = {}", x[i], slope[i]);
            }
            let mut forward = vec![0.0; x.len()];
            act.forward(&x, &mut forward);
            assert_eq!(forward, value);
        }
        Ok(())
    }
}
