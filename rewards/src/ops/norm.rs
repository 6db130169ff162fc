//! Layer normalisation over the last dimension, in one pass over memory.

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::math::{dot, sum_of};
use super::{f32_values, rows_per_task};

/// `(x - mean) / √(variance + eps) * weight + bias` over the last dimension of `x`; `weight` and `bias` are `[width]`.
///
/// # Errors
/// If the shapes do not fit.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    if x.device().is_cpu() && x.dtype() == DType::F32 {
        return x.contiguous()?.apply_op3(weight, bias, LayerNorm { eps: eps as f32 });
    }
    if x.track_op() || weight.track_op() {
        return candle_nn::ops::layer_norm_slow(x, weight, bias, eps as f32);
    }
    candle_nn::ops::layer_norm(&x.contiguous()?, weight, bias, eps as f32)
}

struct LayerNorm {
    eps: f32,
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "sayso-layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (weight, bias) = (f32_values(weight, weight_layout)?, f32_values(bias, bias_layout)?);
        let x = f32_values(x, x_layout)?;
        if weight.len() != bias.len() || x_layout.dims().last() != Some(&weight.len()) {
            candle_core::bail!(
                "layer norm: input {:?} does not fit a weight of {} and a bias of {}",
                x_layout.dims(),
                weight.len(),
                bias.len()
            );
        }
        let mut out = vec![0.0; x.len()];
        forward(x, weight, bias, self.eps, &mut out);
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (x_values, weight_values) = (x.flatten_all()?.to_vec1::<f32>()?, weight.to_vec1::<f32>()?);
        let mut grad_x = grad.flatten_all()?.to_vec1::<f32>()?;
        let (grad_weight, grad_bias) = backward(&x_values, &weight_values, self.eps, &mut grad_x);
        Ok((
            Some(Tensor::from_vec(grad_x, x.shape(), x.device())?),
            Some(Tensor::from_vec(grad_weight, weight.shape(), weight.device())?),
            Some(Tensor::from_vec(grad_bias, bias.shape(), bias.device())?),
        ))
    }
}

/// Normalises the rows of `x`, each as wide as `weight`, into `out`.
pub(super) fn forward(x: &[f32], weight: &[f32], bias: &[f32], eps: f32, out: &mut [f32]) {
    let width = weight.len();
    let chunk = rows_per_task(width) * width;
    out.par_chunks_mut(chunk).zip(x.par_chunks(chunk)).for_each(|(out, x)| {
        for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            let (mean, inv_std) = moments(x, eps);
            for ((out, &x), (&w, &b)) in out.iter_mut().zip(x).zip(weight.iter().zip(bias)) {
                *out = ((x - mean) * inv_std).mul_add(w, b);
            }
        }
    });
}

/// Replaces `grad`, the gradient of the result, by the gradient of `x`, and returns those of the weight and the bias.
///
/// With `x̂ = (x - mean) / std` and `g = grad * weight`: `(g - mean(g) - x̂ mean(g x̂)) / std`.
pub(super) fn backward(x: &[f32], weight: &[f32], eps: f32, grad: &mut [f32]) -> (Vec<f32>, Vec<f32>) {
    let width = weight.len();
    let chunk = rows_per_task(width) * width;
    let partial: Vec<(Vec<f32>, Vec<f32>)> = grad
        .par_chunks_mut(chunk)
        .zip(x.par_chunks(chunk))
        .map(|(grad, x)| {
            let (mut grad_weight, mut grad_bias) = (vec![0.0; width], vec![0.0; width]);
            let (mut normed, mut scaled) = (vec![0.0; width], vec![0.0; width]);
            for (grad, x) in grad.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                let (mean, inv_std) = moments(x, eps);
                for (i, (&x, &g)) in x.iter().zip(&*grad).enumerate() {
                    normed[i] = (x - mean) * inv_std;
                    scaled[i] = g * weight[i];
                    grad_weight[i] += g * normed[i];
                    grad_bias[i] += g;
                }
                let mean_scaled = sum_of(&scaled, |v| v) / width as f32;
                let mean_product = dot(&scaled, &normed) / width as f32;
                for (grad, (&scaled, &normed)) in grad.iter_mut().zip(scaled.iter().zip(&normed)) {
                    *grad = (scaled - mean_scaled - normed * mean_product) * inv_std;
                }
            }
            (grad_weight, grad_bias)
        })
        .collect();
    let mut sums = (vec![0.0; width], vec![0.0; width]);
    for (grad_weight, grad_bias) in &partial {
        sums.0.iter_mut().zip(grad_weight).for_each(|(sum, v)| *sum += v);
        sums.1.iter_mut().zip(grad_bias).for_each(|(sum, v)| *sum += v);
    }
    sums
}

/// Mean and reciprocal standard deviation of a row.
#[inline(always)]
fn moments(x: &[f32], eps: f32) -> (f32, f32) {
    let mean = sum_of(x, |v| v) / x.len() as f32;
    let variance = sum_of(x, |v| (v - mean) * (v - mean)) / x.len() as f32;
    (mean, 1.0 / (variance + eps).sqrt())
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::ops::testing::{assert_close, grad_of};

    #[test]
    fn values_and_gradients_agree_with_composed_operations() -> Result<()> {
        let device = Device::Cpu;
        let x = Var::randn(0.3f32, 2.0, (3, 17, 40), &device)?;
        let (weight, bias) = (Var::randn(1f32, 0.2, 40, &device)?, Var::randn(0f32, 0.2, 40, &device)?);
        let mix = Tensor::randn(0f32, 1.0, (3, 17, 40), &device)?;
        let ours = layer_norm(&x, &weight, &bias, 1e-5)?;
        let slow = candle_nn::ops::layer_norm_slow(&x, &weight, &bias, 1e-5)?;
        assert_close(&ours, &slow, 1e-5)?;
        let ours = (ours * &mix)?.sum_all()?.backward()?;
        let slow = (slow * &mix)?.sum_all()?.backward()?;
        for var in [&x, &weight, &bias] {
            assert_close(&grad_of(&ours, var)?, &grad_of(&slow, var)?, 1e-4)?;
        }
        Ok(())
    }
}
