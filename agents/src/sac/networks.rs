//! The networks of SAC: a squashed Gaussian actor, and critics of states and actions.

use candle_core::{D, Device, Tensor};
use rand_pcg::Pcg64;
use sayso_rewards::nn::{Parameters, init};

use crate::AgentError;
use crate::Result;
use crate::policy::{ActionSpec, Features, Inputs, NetworkConfig, NetworkInputs, Perceptron, PolicySpaces};

/// Bounds of the logarithm of the standard deviation, as in Haarnoja et al.
const LOG_STD: (f64, f64) = (-20.0, 2.0);
/// Added to `1 - tanh²`, which underflows far from 0.
const EPSILON: f64 = 1e-6;
/// `ln(2π) / 2`.
const HALF_LN_TAU: f64 = 0.918_938_533_204_672_7;
/// Gain of the orthogonal initialisation of the last layers.
const ACTOR_GAIN: f64 = 0.01;
const CRITIC_GAIN: f64 = 1.0;

/// Sizes, inputs and actions of the networks.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub network: NetworkConfig,
    pub spaces: PolicySpaces,
    pub low: Vec<f32>,
    pub high: Vec<f32>,
}

impl Spec {
    /// Checks that the spaces are those that SAC can learn in.
    pub fn new(network: &NetworkConfig, spaces: &PolicySpaces) -> Result<Self> {
        let mismatch = |what, expected: &str, got: String| AgentError::Mismatch {
            what,
            expected: expected.to_owned(),
            got,
        };
        if spaces.image.is_some() || spaces.state_dim == 0 {
            return Err(mismatch("observations of SAC", "states without pixels", format!("{spaces:?}")));
        }
        match &spaces.actions {
            ActionSpec::Continuous { low, high }
                if low.iter().chain(high).all(|bound| bound.abs() < f32::MAX) =>
            {
                let (low, high) = (low.clone(), high.clone());
                Ok(Self { network: network.clone(), spaces: spaces.clone(), low, high })
            }
            other => Err(mismatch("actions of SAC", "a box with finite bounds", format!("{other:?}"))),
        }
    }

    pub fn action_dim(&self) -> usize {
        self.low.len()
    }

    /// Actions of the env, from actions in [-1, 1].
    pub fn unscaled(&self, actions: &[f32]) -> Vec<f32> {
        let bounds = self.low.iter().zip(&self.high).cycle();
        actions.iter().zip(bounds).map(|(a, (low, high))| low + 0.5 * (a + 1.0) * (high - low)).collect()
    }

    /// Widths of a perceptron's layers with further inputs beside the features.
    fn widths(&self, n_further: usize, n_out: usize) -> Vec<usize> {
        let n_features = Features::width(&self.network, &self.spaces).saturating_add(n_further);
        std::iter::once(n_features).chain(self.network.hidden_sizes.iter().copied()).chain([n_out]).collect()
    }

    /// Number of parameters of an actor; `None` if it does not fit a `usize`.
    pub fn n_actor_parameters(&self) -> Option<usize> {
        let perceptron = Perceptron::n_parameters(&self.widths(0, 2 * self.action_dim()))?;
        perceptron.checked_add(Features::n_parameters(&self.network, &self.spaces)?)
    }
}

/// Means and standard deviations of a Gaussian whose samples are squashed by tanh.
#[derive(Debug)]
pub(super) struct Actor {
    pub spec: Spec,
    pub parameters: Parameters,
    features: Features,
    head: Perceptron,
}

/// Actions in [-1, 1], and the logarithms of their densities.
pub(super) struct Sampled {
    /// `[n_rows, action_dim]`.
    pub actions: Tensor,
    /// `[n_rows]`.
    pub log_probs: Tensor,
}

impl Actor {
    pub fn new(spec: Spec, rng: &mut Pcg64) -> Result<Self> {
        let mut parameters = Parameters::default();
        let (network, device) = (&spec.network, &Device::Cpu);
        let features = Features::new(&mut parameters, "", network, &spec.spaces, rng, device)?;
        let widths = spec.widths(0, 2 * spec.action_dim());
        let head =
            Perceptron::new(&mut parameters, "actor", &widths, network.activation, ACTOR_GAIN, rng, device)?;
        Ok(Self { spec, parameters, features, head })
    }

    pub fn inputs(&self, inputs: &NetworkInputs) -> Result<Inputs> {
        inputs.to_device(&self.spec.spaces, &Device::Cpu)
    }

    /// Means and logarithms of the standard deviations, `[n_rows, action_dim]` each.
    fn head(&self, inputs: &Inputs) -> Result<(Tensor, Tensor)> {
        let head = self.head.forward(&self.features.forward(inputs)?)?;
        let dim = self.spec.action_dim();
        let (mean, log_std) = (head.narrow(1, 0, dim)?, head.narrow(1, dim, dim)?);
        Ok((mean, log_std.clamp(LOG_STD.0, LOG_STD.1)?))
    }

    /// The most likely actions, `[n_rows, action_dim]` in [-1, 1].
    pub fn mode(&self, inputs: &Inputs) -> Result<Tensor> {
        Ok(self.head(inputs)?.0.tanh()?)
    }

    /// Samples actions, with gradients.
    pub fn sample(&self, inputs: &Inputs, n_rows: usize, rng: &mut Pcg64) -> Result<Sampled> {
        let (mean, log_std) = self.head(inputs)?;
        let dim = self.spec.action_dim();
        let noise: Vec<f32> = (0..n_rows * dim).map(|_| init::standard_normal(rng)).collect();
        let of_noise: Vec<f32> = noise
            .chunks_exact(dim)
            .map(|noise| noise.iter().map(|e| -0.5 * e * e - HALF_LN_TAU as f32).sum())
            .collect();
        let noise = Tensor::from_vec(noise, (n_rows, dim), &Device::Cpu)?;
        let of_noise = Tensor::from_vec(of_noise, n_rows, &Device::Cpu)?;
        let actions = (mean + (log_std.exp()? * noise)?)?.tanh()?;
        let squash = actions.sqr()?.affine(-1.0, 1.0 + EPSILON)?.log()?;
        let log_probs = (of_noise - (log_std + squash)?.sum(D::Minus1)?)?;
        Ok(Sampled { actions, log_probs })
    }
}

/// Values of states and actions.
#[derive(Debug)]
pub(super) struct Critic {
    pub parameters: Parameters,
    features: Features,
    head: Perceptron,
}

impl Critic {
    pub fn new(spec: &Spec, rng: &mut Pcg64) -> Result<Self> {
        let mut parameters = Parameters::default();
        let (network, device) = (&spec.network, &Device::Cpu);
        let features = Features::new(&mut parameters, "", network, &spec.spaces, rng, device)?;
        let widths = spec.widths(spec.action_dim(), 1);
        let head = Perceptron::new(
            &mut parameters,
            "critic",
            &widths,
            network.activation,
            CRITIC_GAIN,
            rng,
            device,
        )?;
        Ok(Self { parameters, features, head })
    }

    /// `[n_rows]`: values, with gradients of the parameters.
    pub fn forward(&self, inputs: &Inputs, actions: &Tensor) -> Result<Tensor> {
        let x = Tensor::cat(&[&self.features.forward(inputs)?, actions], 1)?;
        Ok(self.head.forward(&x)?.squeeze(1)?)
    }

    /// `[n_rows]`: values, with gradients of the actions alone.
    pub fn forward_constant(&self, inputs: &Inputs, actions: &Tensor) -> Result<Tensor> {
        let x = Tensor::cat(&[&self.features.forward(inputs)?.detach(), actions], 1)?;
        Ok(self.head.forward_constant(&x)?.squeeze(1)?)
    }
}
