//! One pre-norm transformer layer as a single node of the graph.
//!
//! candle's backward pass allocates, zeroes and adds a gradient for every node, which for a narrow tower costs as much
//! as its arithmetic. Here a layer is one node with its own backward pass. The packing of its parameters is part of the
//! graph, so that each parameter gets its gradient.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp2, D, DType, Layout, Result, Shape, Storage, Tensor};
use candle_nn::ops::softmax_last_dim;

use super::activation::{Activation, add_bias, add_bias_residual};
use super::attention::{self, Heads};
use super::linear::{GemmMatrix, linear};
use super::packed::{PackedLayer, Params, Part, WeightLayout};
use super::{f32_values, layer_norm, norm, with_values};

/// Shape of a pre-norm transformer layer:
/// `h = x + out(attention(qkv(norm_1(x))))`, `y = h + fc_2(activation(fc_1(norm_2(h))))`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerSpec {
    /// Width of a token.
    pub width: usize,
    /// Number of attention heads; divides `width`.
    pub n_heads: usize,
    /// Width inside the MLP.
    pub mlp_width: usize,
    /// Nonlinearity of the MLP.
    pub activation: Activation,
    /// Added to the variance in the norms.
    pub eps: f64,
    /// Whether a token attends only to itself and earlier tokens.
    pub causal: bool,
}

impl LayerSpec {
    /// Fails unless the tokens and the packed parameters have the shapes of this layer.
    pub(super) fn check(&self, x: &Tensor, params: &PackedLayer) -> Result<()> {
        let (_, _, width) = x.dims3()?;
        let n_params = params.values_and_layout().0.dims();
        if width != self.width || n_params != [self.n_params()] || !width.is_multiple_of(self.n_heads) {
            candle_core::bail!("a layer of {self:?} got {:?} and {n_params:?} parameters", x.dims());
        }
        Ok(())
    }

    fn heads(&self, n_tokens: usize) -> Heads {
        Heads { n_tokens, width: self.width, n_heads: self.n_heads, causal: self.causal }
    }
}

/// Applies a layer to `x`, `[n_sequences, n_tokens, width]`, with the parameters of [`pack_layer`](super::pack_layer).
///
/// # Errors
/// If the shapes do not fit.
pub fn encoder_layer(x: &Tensor, params: &PackedLayer, spec: &LayerSpec) -> Result<Tensor> {
    spec.check(x, params)?;
    if x.device().is_cpu() && x.dtype() == DType::F32 {
        let keeps = x.track_op() || params.track_op();
        let (values, weights) = params.values_and_layout();
        return x
            .contiguous()?
            .apply_op2(values, Layer { spec: *spec, weights, keeps, saved: Mutex::new(None) });
    }
    composed(x, params, spec)
}

/// The same result from candle's operations, for any device and dtype.
fn composed(x: &Tensor, params: &PackedLayer, spec: &LayerSpec) -> Result<Tensor> {
    let (n, t, w) = x.dims3()?;
    let (values, weights) = params.values_and_layout();
    let get = |part: Part| {
        let range = spec.range(part);
        values.narrow(0, range.start, range.len())
    };
    let weight = |part: Part| {
        let (n_in, n_out) = spec.weight(part, weights, 0).shape().dims2()?;
        match weights {
            WeightLayout::OutIn => get(part)?.reshape((n_out, n_in)),
            WeightLayout::InOut => get(part)?.reshape((n_in, n_out))?.t(),
        }
    };
    let normed = layer_norm(x, &get(Part::Norm1Weight)?, &get(Part::Norm1Bias)?, spec.eps)?;
    let qkv = linear(&normed, &weight(Part::QkvWeight)?)?.broadcast_add(&get(Part::QkvBias)?)?;
    let qkv = qkv.reshape((n, t, 3, spec.n_heads, w / spec.n_heads))?.permute((2, 0, 3, 1, 4))?;
    let part = |i: usize| qkv.narrow(0, i, 1)?.squeeze(0)?.contiguous();
    let scale = 1.0 / ((w / spec.n_heads) as f64).sqrt();
    let mut scores =
        ((part(0)? * scale)?).matmul(&part(1)?.transpose(D::Minus1, D::Minus2)?.contiguous()?)?;
    if spec.causal {
        let mask: Vec<f32> =
            (0..t * t).map(|i| if i % t > i / t { f32::NEG_INFINITY } else { 0.0 }).collect();
        let mask = Tensor::from_vec(mask, (t, t), x.device())?.to_dtype(x.dtype())?;
        scores = scores.broadcast_add(&mask)?;
    }
    let probs = match scores.track_op() {
        true => candle_nn::ops::softmax(&scores, D::Minus1)?,
        false => softmax_last_dim(&scores)?,
    };
    let mixed = probs.matmul(&part(2)?)?.transpose(1, 2)?.reshape((n, t, w))?;
    let out = linear(&mixed, &weight(Part::OutWeight)?)?.broadcast_add(&get(Part::OutBias)?)?;
    let mid = (x + out)?;
    let normed = layer_norm(&mid, &get(Part::Norm2Weight)?, &get(Part::Norm2Bias)?, spec.eps)?;
    let pre = linear(&normed, &weight(Part::Fc1Weight)?)?.broadcast_add(&get(Part::Fc1Bias)?)?;
    let act = spec.activation.apply(&pre)?;
    mid + linear(&act, &weight(Part::Fc2Weight)?)?.broadcast_add(&get(Part::Fc2Bias)?)?
}

/// Intermediate results that the backward pass needs; the others are cheaper to recompute.
struct Saved {
    qkv: GemmMatrix,
    mixed: GemmMatrix,
    mid: GemmMatrix,
    pre: GemmMatrix,
}

struct Layer {
    spec: LayerSpec,
    weights: WeightLayout,
    keeps: bool,
    saved: Mutex<Option<Saved>>,
}

impl CustomOp2 for Layer {
    fn name(&self) -> &'static str {
        "sayso-encoder-layer"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        p: &CpuStorage,
        lp: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let params = Params::new(p, lp, self.weights, &self.spec)?;
        let heads = self.spec.heads(lx.dims()[1]);
        let (out, saved) = forward(&params, &heads, f32_values(x, lx)?, self.keeps)?;
        *self.saved.lock().unwrap_or_else(PoisonError::into_inner) = saved;
        Ok((out.into_storage(), lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        p: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let Some(saved) = self.saved.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            candle_core::bail!("a layer can be differentiated once per forward pass");
        };
        let grad = GemmMatrix::from_values(self.spec.width, grad.contiguous()?.flatten_all()?.to_vec1()?);
        let (storage, layout) = p.storage_and_layout();
        let Storage::Cpu(storage) = &*storage else { candle_core::bail!("a tensor on the CPU is needed") };
        let params = Params::new(storage, layout, self.weights, &self.spec)?;
        let heads = self.spec.heads(x.dim(1)?);
        let (grad_x, grad_params) =
            with_values(&x.contiguous()?, |x| backward(&params, &heads, x, saved, grad))?;
        let CpuStorage::F32(grad_x) = grad_x.into_storage() else {
            candle_core::bail!("f32 is needed on the CPU")
        };
        let grad_x = Tensor::from_vec(grad_x, x.shape(), x.device())?;
        let n_params = grad_params.len();
        Ok((Some(grad_x), Some(Tensor::from_vec(grad_params, n_params, x.device())?)))
    }
}

fn forward(
    params: &Params<'_>,
    heads: &Heads,
    x: &[f32],
    keeps: bool,
) -> Result<(GemmMatrix, Option<Saved>)> {
    let LayerSpec { width, mlp_width, activation, .. } = *params.spec;
    let n_rows = x.len() / width;

    let normed = params.norm(x, Part::Norm1Weight, Part::Norm1Bias);
    let mut qkv = params.apply(Part::QkvWeight, &normed)?;
    drop(normed);
    add_bias(qkv.values_mut(), params.get(Part::QkvBias));
    let mut mixed = GemmMatrix::zeros(n_rows, width);
    attention::forward(heads, qkv.values(), mixed.values_mut());
    let mut mid = params.apply(Part::OutWeight, &mixed)?;
    add_bias_residual(mid.values_mut(), params.get(Part::OutBias), x);

    let normed = params.norm(mid.values(), Part::Norm2Weight, Part::Norm2Bias);
    let mut pre = params.apply(Part::Fc1Weight, &normed)?;
    drop(normed);
    let mut out = if keeps {
        add_bias(pre.values_mut(), params.get(Part::Fc1Bias));
        let mut act = GemmMatrix::zeros(n_rows, mlp_width);
        activation.forward(pre.values(), act.values_mut());
        params.apply(Part::Fc2Weight, &act)?
    } else {
        activation.bias_act(pre.values_mut(), params.get(Part::Fc1Bias));
        params.apply(Part::Fc2Weight, &pre)?
    };
    add_bias_residual(out.values_mut(), params.get(Part::Fc2Bias), mid.values());
    Ok((out, keeps.then_some(Saved { qkv, mixed, mid, pre })))
}

/// Gradients of `x` and of the packed parameters from `grad`, the gradient of the result.
fn backward(
    params: &Params<'_>,
    heads: &Heads,
    x: &[f32],
    saved: Saved,
    grad: GemmMatrix,
) -> Result<(GemmMatrix, Vec<f32>)> {
    let LayerSpec { width, activation, eps, .. } = *params.spec;
    let Saved { qkv, mixed, mid, mut pre } = saved;
    let mut grad_params = vec![0.0; params.spec.n_params()];
    let mut put = |part: Part, values: &[f32]| grad_params[params.spec.range(part)].copy_from_slice(values);

    // The MLP; `pre` becomes its activation.
    let mut grad_pre = params.apply_backward(Part::Fc2Weight, &grad)?;
    activation.backward(pre.values_mut(), grad_pre.values_mut());
    put(Part::Fc2Weight, params.weight_grad(&pre, &grad)?.values());
    put(Part::Fc2Bias, &grad.column_sums());
    drop(pre);
    let normed = params.norm(mid.values(), Part::Norm2Weight, Part::Norm2Bias);
    put(Part::Fc1Weight, params.weight_grad(&normed, &grad_pre)?.values());
    put(Part::Fc1Bias, &grad_pre.column_sums());
    let mut grad_mid = params.apply_backward(Part::Fc1Weight, &grad_pre)?;
    drop((grad_pre, normed));
    let (weight, bias) =
        norm::backward(mid.values(), params.get(Part::Norm2Weight), eps as f32, grad_mid.values_mut());
    put(Part::Norm2Weight, &weight);
    put(Part::Norm2Bias, &bias);
    grad_mid.add(grad.values());

    // The attention.
    put(Part::OutWeight, params.weight_grad(&mixed, &grad_mid)?.values());
    put(Part::OutBias, &grad_mid.column_sums());
    let grad_mixed = params.apply_backward(Part::OutWeight, &grad_mid)?;
    let mut grad_qkv = GemmMatrix::zeros(x.len() / width, 3 * width);
    attention::backward(heads, qkv.values(), grad_mixed.values(), grad_qkv.values_mut());
    let normed = params.norm(x, Part::Norm1Weight, Part::Norm1Bias);
    put(Part::QkvWeight, params.weight_grad(&normed, &grad_qkv)?.values());
    put(Part::QkvBias, &grad_qkv.column_sums());
    let mut grad_x = params.apply_backward(Part::QkvWeight, &grad_qkv)?;
    let (weight, bias) = norm::backward(x, params.get(Part::Norm1Weight), eps as f32, grad_x.values_mut());
    put(Part::Norm1Weight, &weight);
    put(Part::Norm1Bias, &bias);
    grad_x.add(grad_mid.values());
    Ok((grad_x, grad_params))
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::ops::pack_layer;
    use crate::ops::testing::{assert_close, grad_of};

    fn check(spec: LayerSpec, n_tokens: usize) -> Result<()> {
        let device = Device::Cpu;
        let x = Var::randn(0f32, 1.0, (3, n_tokens, spec.width), &device)?;
        let values = Var::randn(0f32, 0.2, spec.n_params(), &device)?;
        let mix = Tensor::randn(0f32, 1.0, x.shape(), &device)?;
        for weights in [WeightLayout::OutIn, WeightLayout::InOut] {
            let params = PackedLayer::new(values.as_tensor().clone(), weights);
            let ours = encoder_layer(&x, &params, &spec)?;
            let slow = composed(&x, &params, &spec)?;
            assert_close(&ours, &slow, 1e-4)?;
            let constant = PackedLayer::new(values.as_detached_tensor(), weights);
            assert_close(&encoder_layer(&x.as_detached_tensor(), &constant, &spec)?, &ours, 1e-6)?;
            let ours = (ours * &mix)?.sum_all()?.backward()?;
            let slow = (slow * &mix)?.sum_all()?.backward()?;
            for var in [&x, &values] {
                assert_close(&grad_of(&ours, var)?, &grad_of(&slow, var)?, 2e-4)?;
            }
        }
        Ok(())
    }

    #[test]
    fn both_layouts_of_weights_give_the_same_values() -> Result<()> {
        let spec = LayerSpec {
            width: 48,
            n_heads: 4,
            mlp_width: 80,
            activation: Activation::Gelu,
            eps: 1e-5,
            causal: false,
        };
        let (w, m) = (spec.width, spec.mlp_width);
        let shapes: [&[usize]; 16] = [
            &[w],
            &[w],
            &[w, w],
            &[w, w],
            &[w, w],
            &[w],
            &[w],
            &[w],
            &[w, w],
            &[w],
            &[w],
            &[w],
            &[m, w],
            &[m],
            &[w, m],
            &[w],
        ];
        let randn = |shape: &&[usize]| Tensor::randn(0f32, 0.2, *shape, &Device::Cpu);
        let parts = shapes.iter().map(randn).collect::<Result<Vec<_>>>()?;
        let Ok(parts) = <[Tensor; 16]>::try_from(parts) else { candle_core::bail!("sixteen parts") };
        let x = Tensor::randn(0f32, 1.0, (3, 17, w), &Device::Cpu)?;
        let apply = |weights: WeightLayout| {
            let params = pack_layer(&parts, weights)?;
            assert_close(&composed(&x, &params, &spec)?, &encoder_layer(&x, &params, &spec)?, 1e-4)?;
            encoder_layer(&x, &params, &spec)?.flatten_all()?.to_vec1::<f32>()
        };
        assert_eq!(apply(WeightLayout::OutIn)?, apply(WeightLayout::InOut)?);
        Ok(())
    }

    #[test]
    fn values_and_gradients_agree_with_composed_operations() -> Result<()> {
        let spec = LayerSpec {
            width: 32,
            n_heads: 4,
            mlp_width: 80,
            activation: Activation::QuickGelu,
            eps: 1e-5,
            causal: false,
        };
        check(spec, 17)?;
        check(LayerSpec { causal: true, ..spec }, 9)?;
        check(LayerSpec { width: 66, n_heads: 3, activation: Activation::Gelu, ..spec }, 21)?;
        check(LayerSpec { width: 48, n_heads: 1, activation: Activation::GeluTanh, ..spec }, 1)
    }
}
