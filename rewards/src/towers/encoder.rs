//! The stack of transformer layers of a tower.

use candle_core::{Result, Tensor};
use candle_nn::{Init, VarBuilder};

use crate::ops::{
    LayerSpec, PackedLayer, WeightLayout, encoder_layer, encoder_layer_first_token, layer_norm, pack_layer,
};

/// Layers `{prefix}.0`, `{prefix}.1`, … under Hugging Face's keys.
#[derive(Clone, Debug)]
pub struct Encoder {
    spec: LayerSpec,
    layers: Vec<LayerParams>,
}

/// The parameters of a layer: packed once if they are constant, or in every forward pass if they are variables.
#[derive(Clone, Debug)]
enum LayerParams {
    Packed(PackedLayer),
    Variables(Box<[Tensor; 16]>),
}

impl LayerParams {
    fn packed(&self) -> Result<PackedLayer> {
        match self {
            Self::Packed(params) => Ok(params.clone()),
            Self::Variables(parts) => pack_layer(parts, WeightLayout::OutIn),
        }
    }
}

impl Encoder {
    /// Builds `n_layers` layers; new variables are initialised as in the published code of CLIP (Radford et al. 2021).
    ///
    /// # Errors
    /// If a parameter is missing or has another shape.
    pub fn new(spec: LayerSpec, n_layers: usize, vb: VarBuilder) -> Result<Self> {
        let layers = (0..n_layers).map(|i| layer_params(&spec, n_layers, vb.pp(i))).collect::<Result<_>>()?;
        Ok(Self { spec, layers })
    }

    /// `[n_sequences, n_tokens, width]` to the same shape.
    ///
    /// # Errors
    /// If the width does not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.layers.iter().try_fold(x.clone(), |x, layer| encoder_layer(&x, &layer.packed()?, &self.spec))
    }

    /// The first token of [`Self::forward`], `[n_sequences, width]`, at lower cost.
    ///
    /// # Errors
    /// If the width does not fit.
    pub fn forward_first_token(&self, x: &Tensor) -> Result<Tensor> {
        let Some((last, others)) = self.layers.split_last() else { return x.narrow(1, 0, 1)?.squeeze(1) };
        let x =
            others.iter().try_fold(x.clone(), |x, layer| encoder_layer(&x, &layer.packed()?, &self.spec))?;
        encoder_layer_first_token(&x, &last.packed()?, &self.spec)
    }
}

fn layer_params(spec: &LayerSpec, n_layers: usize, vb: VarBuilder) -> Result<LayerParams> {
    let (width, mlp_width) = (spec.width, spec.mlp_width);
    let width_std = (width as f64).powf(-0.5);
    let depth_std = width_std * (2.0 * n_layers as f64).powf(-0.5);
    let attention = vb.pp("self_attn");
    let [q, k, v, out] = ["q_proj", "k_proj", "v_proj", "out_proj"].map(|name| attention.pp(name));
    let (fc1, fc2) = (vb.pp("mlp.fc1"), vb.pp("mlp.fc2"));
    let weight =
        |vb: &VarBuilder, shape: (usize, usize), std: f64| vb.get_with_hints(shape, "weight", normal(std));
    let bias = |vb: &VarBuilder, n_out: usize| vb.get_with_hints(n_out, "bias", Init::Const(0.0));
    let [norm_1_weight, norm_1_bias] = norm_params(width, vb.pp("layer_norm1"))?;
    let [norm_2_weight, norm_2_bias] = norm_params(width, vb.pp("layer_norm2"))?;
    let parts = [
        norm_1_weight,
        norm_1_bias,
        weight(&q, (width, width), depth_std)?,
        weight(&k, (width, width), depth_std)?,
        weight(&v, (width, width), depth_std)?,
        bias(&q, width)?,
        bias(&k, width)?,
        bias(&v, width)?,
        weight(&out, (width, width), width_std)?,
        bias(&out, width)?,
        norm_2_weight,
        norm_2_bias,
        weight(&fc1, (mlp_width, width), (2.0 * width as f64).powf(-0.5))?,
        bias(&fc1, mlp_width)?,
        weight(&fc2, (width, mlp_width), depth_std)?,
        bias(&fc2, width)?,
    ];
    if parts.iter().any(Tensor::is_variable) {
        Ok(LayerParams::Variables(Box::new(parts)))
    } else {
        Ok(LayerParams::Packed(pack_layer(&parts, WeightLayout::InOut)?))
    }
}

/// A layer norm with parameters.
#[derive(Clone, Debug)]
pub struct Norm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl Norm {
    /// `weight` and `bias`, `[width]`.
    ///
    /// # Errors
    /// If a parameter is missing or has another shape.
    pub fn new(width: usize, eps: f64, vb: VarBuilder) -> Result<Self> {
        let [weight, bias] = norm_params(width, vb)?;
        Ok(Self { weight, bias, eps })
    }

    /// Normalises the last dimension.
    ///
    /// # Errors
    /// If the width does not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        layer_norm(x, &self.weight, &self.bias, self.eps)
    }
}

fn norm_params(width: usize, vb: VarBuilder) -> Result<[Tensor; 2]> {
    let weight = vb.get_with_hints(width, "weight", Init::Const(1.0))?;
    Ok([weight, vb.get_with_hints(width, "bias", Init::Const(0.0))?])
}

/// Normal distribution with mean zero.
pub(super) fn normal(stdev: f64) -> Init {
    Init::Randn { mean: 0.0, stdev }
}
