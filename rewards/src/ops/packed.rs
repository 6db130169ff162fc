//! The parameters of a transformer layer in one vector, because a node of candle's graph takes at most three arguments.

use std::ops::Range;

use candle_core::{CpuStorage, Layout, Result, Tensor};

use super::layer::LayerSpec;
use super::linear::GemmMatrix;
use super::{f32_values, norm};

/// The parameters of a layer in one vector, made by [`pack_layer`].
#[derive(Clone, Debug)]
pub struct PackedLayer {
    values: Tensor,
    weights: WeightLayout,
}

/// Layout of weights in memory, row-major.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightLayout {
    /// `[n_out, n_in]`, as in checkpoints: for variables, as no transposed copy is made in every step.
    OutIn,
    /// `[n_in, n_out]`: for constants, as matrix products are faster (ADR 0013).
    InOut,
}

/// The parameters in the order in which they are packed; query, key and value are one weight of `3 * width` outputs.
#[derive(Clone, Copy)]
pub(super) enum Part {
    Norm1Weight,
    Norm1Bias,
    QkvWeight,
    QkvBias,
    OutWeight,
    OutBias,
    Norm2Weight,
    Norm2Bias,
    Fc1Weight,
    Fc1Bias,
    Fc2Weight,
    Fc2Bias,
}

/// Packs the parameters of a layer: norm 1 (weight, bias), the weights of query, key and value, their biases, out (weight,
/// bias), norm 2, fc 1, fc 2. Weights are `[n_out, n_in]`.
///
/// # Errors
/// If the tensors are on different devices.
pub fn pack_layer(parts: &[Tensor; 16], weights: WeightLayout) -> Result<PackedLayer> {
    let flat = match weights {
        WeightLayout::OutIn => parts.iter().map(Tensor::flatten_all).collect::<Result<Vec<_>>>()?,
        WeightLayout::InOut => {
            let [norm_weight, norm_bias, query, key, value, rest @ ..] = parts;
            let qkv = Tensor::cat(&[query, key, value], 0)?;
            let flatten =
                |part: &Tensor| if part.rank() == 2 { part.t()?.flatten_all() } else { part.flatten_all() };
            let parts = [norm_weight, norm_bias, &qkv].into_iter().chain(rest);
            parts.map(flatten).collect::<Result<Vec<_>>>()?
        }
    };
    Ok(PackedLayer { values: Tensor::cat(&flat, 0)?, weights })
}

impl PackedLayer {
    /// From values in the order of [`LayerSpec`]'s parts.
    #[cfg(test)]
    pub(super) fn new(values: Tensor, weights: WeightLayout) -> Self {
        Self { values, weights }
    }

    /// Whether gradients of the parameters are needed.
    pub(super) fn track_op(&self) -> bool {
        self.values.track_op()
    }

    /// The vector, and the layout of its weights.
    pub(super) fn values_and_layout(&self) -> (&Tensor, WeightLayout) {
        (&self.values, self.weights)
    }
}

impl LayerSpec {
    fn lens(&self) -> [usize; 12] {
        let (w, m) = (self.width, self.mlp_width);
        [w, w, 3 * w * w, 3 * w, w * w, w, w, w, m * w, m, w * m, w]
    }

    /// Number of parameters.
    pub fn n_params(&self) -> usize {
        self.lens().iter().sum()
    }

    pub(super) fn range(&self, part: Part) -> Range<usize> {
        let lens = self.lens();
        let start = lens[..part as usize].iter().sum();
        start..start + lens[part as usize]
    }

    /// The weight of one part as a matrix `[n_in, n_out]` of parameters that begin at `start`.
    pub(super) fn weight(&self, part: Part, weights: WeightLayout, start: usize) -> Layout {
        let n_in = if matches!(part, Part::Fc2Weight) { self.mlp_width } else { self.width };
        let n_out = self.range(part).len() / n_in;
        let strides = match weights {
            WeightLayout::OutIn => vec![1, n_in],
            WeightLayout::InOut => vec![n_out, 1],
        };
        Layout::new((n_in, n_out).into(), strides, start + self.range(part).start)
    }
}

/// The packed parameters.
pub(super) struct Params<'a> {
    pub storage: &'a CpuStorage,
    start: usize,
    values: &'a [f32],
    weights: WeightLayout,
    pub spec: &'a LayerSpec,
}

impl<'a> Params<'a> {
    pub fn new(
        storage: &'a CpuStorage,
        layout: &Layout,
        weights: WeightLayout,
        spec: &'a LayerSpec,
    ) -> Result<Self> {
        Ok(Self {
            storage,
            start: layout.start_offset(),
            values: f32_values(storage, layout)?,
            weights,
            spec,
        })
    }

    pub fn get(&self, part: Part) -> &[f32] {
        &self.values[self.spec.range(part)]
    }

    /// The product of a layer's input and the weight of a part.
    pub fn apply(&self, part: Part, x: &GemmMatrix) -> Result<GemmMatrix> {
        x.times(self.storage, &self.weight(part))
    }

    /// The weight of a part as a matrix `[n_in, n_out]` of [`Self::storage`].
    pub fn weight(&self, part: Part) -> Layout {
        self.spec.weight(part, self.weights, self.start)
    }

    /// The gradient of a layer's input from that of its output.
    pub fn apply_backward(&self, part: Part, grad: &GemmMatrix) -> Result<GemmMatrix> {
        grad.times(self.storage, &self.weight(part).transpose(0, 1)?)
    }

    /// The gradient of a weight, in its layout, from the layer's input and the gradient of its output.
    pub fn weight_grad(&self, x: &GemmMatrix, grad: &GemmMatrix) -> Result<GemmMatrix> {
        match self.weights {
            WeightLayout::OutIn => grad.transposed_times(x),
            WeightLayout::InOut => x.transposed_times(grad),
        }
    }

    pub fn norm(&self, x: &[f32], weight: Part, bias: Part) -> GemmMatrix {
        let mut out = GemmMatrix::zeros(x.len() / self.spec.width, self.spec.width);
        norm::forward(x, self.get(weight), self.get(bias), self.spec.eps as f32, out.values_mut());
        out
    }
}
