//! Perceptrons: linear layers in a row.

use candle_core::{Device, Tensor};
use rand::Rng;
use sayso_rewards::nn::{Activation, Linear, Parameters};

use crate::Result;

/// Gain of the orthogonal initialisation of hidden layers, as in Stable-Baselines3.
pub(super) const HIDDEN_GAIN: f64 = std::f64::consts::SQRT_2;

/// Linear layers, all but the last with an activation.
#[derive(Clone, Debug)]
pub struct Perceptron {
    layers: Vec<Linear>,
}

impl Perceptron {
    /// New layers of the given widths, the inputs first, named `{name}.{index}`. The last one has a gain of its own.
    ///
    /// # Errors
    /// If candle cannot allocate.
    pub fn new<R: Rng>(
        parameters: &mut Parameters,
        name: &str,
        widths: &[usize],
        activation: Activation,
        last_gain: f64,
        rng: &mut R,
        device: &Device,
    ) -> Result<Self> {
        let mut layers = Vec::with_capacity(widths.len().saturating_sub(1));
        for (layer_idx, sizes) in widths.windows(2).enumerate() {
            let is_last = layer_idx + 2 == widths.len();
            let (activation, gain) =
                if is_last { (Activation::Identity, last_gain) } else { (activation, HIDDEN_GAIN) };
            let name = format!("{name}.{layer_idx}");
            layers.push(Linear::new(parameters, &name, (sizes[0], sizes[1]), activation, gain, rng, device)?);
        }
        Ok(Self { layers })
    }

    /// Number of parameters of layers of the given widths; `None` if it does not fit a `usize`.
    pub fn n_parameters(widths: &[usize]) -> Option<usize> {
        widths
            .windows(2)
            .try_fold(0, |sum: usize, sizes| sum.checked_add(sizes[0].checked_add(1)?.checked_mul(sizes[1])?))
    }

    /// `[n_rows, n_in]` to `[n_rows, n_out]`.
    ///
    /// # Errors
    /// If the width of the input differs.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.layers.iter().try_fold(x.clone(), |x, layer| Ok(layer.forward(&x)?))
    }

    /// The same result with constant parameters: gradients are those of the input alone.
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn forward_constant(&self, x: &Tensor) -> Result<Tensor> {
        self.layers.iter().try_fold(x.clone(), |x, layer| Ok(layer.forward_constant(&x)?))
    }
}
