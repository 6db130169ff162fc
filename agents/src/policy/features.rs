//! What the perceptrons of a policy read, made of its observations.
//!
//! Images pass through a small convolutional encoder. A policy that reads has two layers on the embedding of the instruction:
//! features beside the state, and a factor for each value of the state, whose products are further inputs. The factors are the
//! scales of FiLM (Perez et al., AAAI 2018): a perceptron alone learns slowly to compare what the instruction names with what
//! it sees.

use candle_core::{Device, Tensor};
use rand::Rng;
use sayso_envs::Observations;
use sayso_rewards::nn::{Activation, Linear, Parameters};

use super::encoder::PixelEncoder;
use super::perceptron::HIDDEN_GAIN;
use super::{NetworkConfig, PolicySpaces};
use crate::normalize::ObservationNormalizer;
use crate::{AgentError, Result};

/// Observations as the networks read them, in host memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetworkInputs {
    /// Number of rows.
    pub n_rows: usize,
    /// `[n_rows, state_dim]` f32, normalised if configured.
    pub state: Vec<f32>,
    /// `[n_rows, height, width, 3]` u8.
    pub pixels: Vec<u8>,
    /// `[n_rows, instruction_dim]` f32, unit vectors.
    pub instruction_embedding: Vec<f32>,
}

impl NetworkInputs {
    /// Copies the observations of `n_envs` envs, and normalises the states.
    pub fn read(
        &mut self,
        observations: &Observations,
        n_envs: usize,
        normalizer: Option<&ObservationNormalizer>,
    ) {
        self.n_rows = n_envs;
        self.state.clone_from(&observations.state);
        self.pixels.clear();
        self.pixels.extend_from_slice(observations.first_pixels());
        self.instruction_embedding.clone_from(&observations.instruction_embedding);
        self.normalize(normalizer);
    }

    /// Normalises the states.
    pub fn normalize(&mut self, normalizer: Option<&ObservationNormalizer>) {
        if let Some(normalizer) = normalizer {
            normalizer.normalize(&mut self.state);
        }
    }

    /// Copies the observations to a device. Parts that are not in `spaces` are ignored.
    ///
    /// # Errors
    /// If a part has another size.
    pub fn to_device(&self, spaces: &PolicySpaces, device: &Device) -> Result<Inputs> {
        let n_rows = self.n_rows;
        let check = |what, row_len: usize, got: usize| {
            if got == n_rows * row_len {
                return Ok(());
            }
            let expected = format!("{} values for {n_rows} rows", n_rows * row_len);
            Err(AgentError::Mismatch { what, expected, got: format!("{got}") })
        };
        let matrix = |what, values: &[f32], dim: usize| {
            check(what, dim, values.len())?;
            Ok::<_, AgentError>(Tensor::from_slice(values, (n_rows, dim), device)?)
        };
        let state = match spaces.state_dim {
            0 => None,
            dim => Some(matrix("state observations", &self.state, dim)?),
        };
        let pixels = match spaces.image {
            Some([height, width]) => {
                check("pixel observations", height * width * 3, self.pixels.len())?;
                let scaled: Vec<f32> = self.pixels.iter().map(|&value| f32::from(value) / 255.0).collect();
                Some(Tensor::from_vec(scaled, (n_rows, height, width, 3), device)?)
            }
            None => None,
        };
        let instruction = match spaces.instruction_dim {
            Some(dim) => {
                let values = matrix("embeddings of instructions", &self.instruction_embedding, dim)?;
                // Elements of about unit scale, like those of a normalised state.
                Some((values * (dim as f64).sqrt())?)
            }
            None => None,
        };
        Ok(Inputs { state, pixels, instruction })
    }
}

/// Observations as tensors, made by [`NetworkInputs::to_device`].
#[derive(Clone, Debug)]
pub struct Inputs {
    state: Option<Tensor>,
    pixels: Option<Tensor>,
    instruction: Option<Tensor>,
}

/// The layers before the perceptrons.
#[derive(Clone, Debug)]
pub struct Features {
    encoder: Option<PixelEncoder>,
    /// Features of the instruction's embedding.
    reader: Option<Linear>,
    /// A factor for each value of the state, from the instruction's embedding.
    scale: Option<Linear>,
}

impl Features {
    /// New layers, whose names begin with `prefix`.
    ///
    /// # Errors
    /// If candle cannot allocate.
    pub fn new<R: Rng>(
        parameters: &mut Parameters,
        prefix: &str,
        network: &NetworkConfig,
        spaces: &PolicySpaces,
        rng: &mut R,
        device: &Device,
    ) -> Result<Self> {
        let encoder = match spaces.image {
            Some(image) => {
                let name = format!("{prefix}encoder");
                Some(PixelEncoder::new(parameters, &name, image, network.pixel_features, rng, device)?)
            }
            None => None,
        };
        let mut layer = |name: &str, sizes: (usize, usize), activation, gain| {
            let name = format!("{prefix}{name}");
            Linear::new(parameters, &name, sizes, activation, gain, rng, device)
        };
        let reader = match spaces.instruction_dim {
            Some(dim) => {
                let sizes = (dim, network.instruction_features);
                Some(layer("reader", sizes, network.activation, HIDDEN_GAIN)?)
            }
            None => None,
        };
        let scale = match spaces.instruction_dim {
            Some(dim) if 0 < spaces.state_dim => {
                Some(layer("scale", (dim, spaces.state_dim), Activation::Identity, 1.0)?)
            }
            _ => None,
        };
        Ok(Self { encoder, reader, scale })
    }

    /// Number of features; saturates.
    pub fn width(network: &NetworkConfig, spaces: &PolicySpaces) -> usize {
        let n_pixel_features = spaces.image.map_or(0, |_| network.pixel_features);
        spaces
            .state_dim
            .saturating_add(n_pixel_features)
            .saturating_add(Self::n_instruction_features(network, spaces))
    }

    /// Number of parameters of [`Self::new`]; `None` if it does not fit a `usize`.
    pub fn n_parameters(network: &NetworkConfig, spaces: &PolicySpaces) -> Option<usize> {
        let encoder = match spaces.image {
            Some(image) => PixelEncoder::n_parameters(image, network.pixel_features)?,
            None => 0,
        };
        let reader = match spaces.instruction_dim {
            Some(dim) => dim.checked_add(1)?.checked_mul(Self::n_instruction_features(network, spaces))?,
            None => 0,
        };
        encoder.checked_add(reader)
    }

    /// Those that are made of the instruction: its features, and the scaled state.
    fn n_instruction_features(network: &NetworkConfig, spaces: &PolicySpaces) -> usize {
        let n_features = network.instruction_features.saturating_add(spaces.state_dim);
        spaces.instruction_dim.map_or(0, |_| n_features)
    }

    /// `[n_rows, width]`.
    ///
    /// # Errors
    /// If candle fails.
    pub fn forward(&self, inputs: &Inputs) -> Result<Tensor> {
        let encoded = match (&self.encoder, &inputs.pixels) {
            (Some(encoder), Some(pixels)) => Some(encoder.forward(pixels)?),
            _ => None,
        };
        let read = match (&self.reader, &inputs.instruction) {
            (Some(reader), Some(instruction)) => Some(reader.forward(instruction)?),
            _ => None,
        };
        let scaled = match (&self.scale, &inputs.state, &inputs.instruction) {
            (Some(scale), Some(state), Some(instruction)) => Some((state * scale.forward(instruction)?)?),
            _ => None,
        };
        let parts: Vec<&Tensor> = [&inputs.state, &encoded, &scaled, &read].into_iter().flatten().collect();
        match parts.as_slice() {
            [] => Err(AgentError::Mismatch {
                what: "observations",
                expected: "a state or pixels".to_owned(),
                got: "neither".to_owned(),
            }),
            [only] => Ok((*only).clone()),
            parts => Ok(Tensor::cat(parts, 1)?),
        }
    }
}
