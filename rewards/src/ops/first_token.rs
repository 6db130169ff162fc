//! The last layer of a tower whose output is the first token.
//!
//! Only one row of that layer's result is used. Keys and values are computed for all tokens; queries, the projection and the
//! MLP, five sixths of the arithmetic, only for the first.

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::activation::{add_bias, add_bias_residual};
use super::f32_values;
use super::layer::{LayerSpec, encoder_layer};
use super::linear::GemmMatrix;
use super::math::{dot, exp, max_of, sum_of};
use super::packed::{PackedLayer, Params, Part, WeightLayout};

/// The first token of [`encoder_layer`]'s result, `[n_sequences, width]`.
///
/// # Errors
/// If the shapes do not fit.
pub fn encoder_layer_first_token(x: &Tensor, params: &PackedLayer, spec: &LayerSpec) -> Result<Tensor> {
    spec.check(x, params)?;
    let is_plain = x.device().is_cpu() && x.dtype() == DType::F32 && !x.track_op() && !params.track_op();
    if is_plain && !spec.causal {
        let (values, weights) = params.values_and_layout();
        return x.contiguous()?.apply_op2_no_bwd(values, &FirstToken { spec: *spec, weights });
    }
    encoder_layer(x, params, spec)?.narrow(1, 0, 1)?.squeeze(1)
}

struct FirstToken {
    spec: LayerSpec,
    weights: WeightLayout,
}

impl CustomOp2 for FirstToken {
    fn name(&self) -> &'static str {
        "sayso-encoder-layer-first-token"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        p: &CpuStorage,
        lp: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let params = Params::new(p, lp, self.weights, &self.spec)?;
        let &[n_sequences, n_tokens, width] = lx.dims() else {
            candle_core::bail!("tokens of shape {:?}", lx.dims())
        };
        let out = forward(&params, n_tokens, f32_values(x, lx)?)?;
        Ok((out.into_storage(), (n_sequences, width).into()))
    }
}

fn forward(params: &Params<'_>, n_tokens: usize, x: &[f32]) -> Result<GemmMatrix> {
    let LayerSpec { width, activation, .. } = *params.spec;
    let first_rows = |all: &[f32]| -> Vec<f32> {
        all.chunks_exact(n_tokens * width).flat_map(|sequence| &sequence[..width]).copied().collect()
    };
    let normed = params.norm(x, Part::Norm1Weight, Part::Norm1Bias);
    let weights = params.weight(Part::QkvWeight);
    let (query_bias, key_value_bias) = params.get(Part::QkvBias).split_at(width);
    let first = GemmMatrix::from_values(width, first_rows(normed.values()));
    let mut queries = first.times(params.storage, &weights.narrow(1, 0, width)?)?;
    add_bias(queries.values_mut(), query_bias);
    let mut keys_values = normed.times(params.storage, &weights.narrow(1, width, 2 * width)?)?;
    add_bias(keys_values.values_mut(), key_value_bias);

    let mut mixed = GemmMatrix::zeros(x.len() / (n_tokens * width), width);
    attend(params.spec, n_tokens, queries.values(), keys_values.values(), mixed.values_mut());
    let mut mid = params.apply(Part::OutWeight, &mixed)?;
    add_bias_residual(mid.values_mut(), params.get(Part::OutBias), &first_rows(x));

    let normed = params.norm(mid.values(), Part::Norm2Weight, Part::Norm2Bias);
    let mut inner = params.apply(Part::Fc1Weight, &normed)?;
    activation.bias_act(inner.values_mut(), params.get(Part::Fc1Bias));
    let mut out = params.apply(Part::Fc2Weight, &inner)?;
    add_bias_residual(out.values_mut(), params.get(Part::Fc2Bias), mid.values());
    Ok(out)
}

/// `softmax(query · keyᵀ / √head_dim) · value` for one query per sequence. Rows of `keys_values` are `[key | value]`.
fn attend(spec: &LayerSpec, n_tokens: usize, queries: &[f32], keys_values: &[f32], out: &mut [f32]) {
    let (width, head_dim) = (spec.width, spec.width / spec.n_heads);
    let scale = 1.0 / (head_dim as f32).sqrt();
    let sequences = queries.par_chunks_exact(width).zip(keys_values.par_chunks_exact(n_tokens * 2 * width));
    out.par_chunks_exact_mut(width).zip(sequences).for_each_init(
        || vec![0.0; n_tokens],
        |weights, (out, (query, keys_values))| {
            for head_idx in 0..spec.n_heads {
                let head = head_idx * head_dim..(head_idx + 1) * head_dim;
                let rows = keys_values.chunks_exact(2 * width);
                for (weight, row) in weights.iter_mut().zip(rows.clone()) {
                    *weight = dot(&query[head.clone()], &row[..width][head.clone()]) * scale;
                }
                let max = max_of(weights);
                weights.iter_mut().for_each(|weight| *weight = exp(*weight - max));
                let inv_sum = 1.0 / sum_of(weights, |weight| weight);
                let out = &mut out[head.clone()];
                for (weight, row) in weights.iter().zip(rows) {
                    let value = &row[width..][head.clone()];
                    out.iter_mut().zip(value).for_each(|(out, v)| *out += weight * inv_sum * v);
                }
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::ops::Activation;
    use crate::ops::testing::assert_close;

    #[test]
    fn the_result_equals_the_first_token_of_the_full_layer() -> Result<()> {
        let device = Device::Cpu;
        let spec = LayerSpec {
            width: 48,
            n_heads: 3,
            mlp_width: 80,
            activation: Activation::QuickGelu,
            eps: 1e-5,
            causal: false,
        };
        for (n, n_tokens) in [(1, 1), (5, 17)] {
            let x = Tensor::randn(0f32, 1.0, (n, n_tokens, spec.width), &device)?;
            let values = Tensor::randn(0f32, 0.2, spec.n_params(), &device)?;
            for weights in [WeightLayout::OutIn, WeightLayout::InOut] {
                let params = PackedLayer::new(values.clone(), weights);
                let whole = encoder_layer(&x, &params, &spec)?.narrow(1, 0, 1)?.squeeze(1)?;
                assert_close(&encoder_layer_first_token(&x, &params, &spec)?, &whole, 1e-5)?;
            }
        }
        Ok(())
    }
}
