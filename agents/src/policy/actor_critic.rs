//! The actor-critic: the networks of a trained policy and of its value function.
//!
//! Actor and critic are separate perceptrons, initialised orthogonally with Stable-Baselines3's gains. Images pass through
//! a small convolutional encoder that both share. Continuous actions follow a diagonal Gaussian whose standard deviation does
//! not depend on the state; discrete ones a categorical distribution.
//!
//! A policy that reads has two layers on the embedding of the instruction: features beside the state, and a factor for each
//! value of the state, whose products are further inputs. The factors are the scales of FiLM (Perez et al., AAAI 2018): a
//! perceptron alone learns slowly to compare what the instruction names with what it sees.

use candle_core::{Device, Tensor, Var};
use rand::Rng;
use rand_pcg::Pcg64;
use sayso_envs::{Actions, Observations, Space};

use sayso_rewards::nn::{Activation, Linear, Parameters};
use sayso_rewards::ops::with_values;

use super::{ActionDistribution, ActionSpec, PolicySpec, encoder::PixelEncoder};
use crate::Result;
use crate::error::AgentError;
use crate::normalize::ObservationNormalizer;

/// Gains of the orthogonal initialisation, as in Stable-Baselines3.
const HIDDEN_GAIN: f64 = std::f64::consts::SQRT_2;
const ACTION_GAIN: f64 = 0.01;
const VALUE_GAIN: f64 = 1.0;

/// A policy and its value function.
#[derive(Debug)]
pub struct ActorCritic {
    spec: PolicySpec,
    device: Device,
    parameters: Parameters,
    encoder: Option<PixelEncoder>,
    /// Features of the instruction's embedding.
    reader: Option<Linear>,
    /// A factor for each value of the state, from the instruction's embedding.
    scale: Option<Linear>,
    actor: Vec<Linear>,
    critic: Vec<Linear>,
    /// `[action_dim]`; only of a Gaussian.
    log_std: Option<Var>,
}

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
}

/// Observations as tensors, made by [`ActorCritic::inputs`].
#[derive(Clone, Debug)]
pub struct Inputs {
    state: Option<Tensor>,
    pixels: Option<Tensor>,
    instruction: Option<Tensor>,
}

/// Outputs of the networks for a batch of observations.
#[derive(Clone, Debug)]
pub struct Outputs {
    /// `[n_rows, n]`: means of the Gaussian, or logits of the categorical distribution.
    pub head: Tensor,
    /// `[n_rows, 1]`.
    pub values: Tensor,
}

/// Actions sampled from the policy.
#[derive(Clone, Debug)]
pub struct Sampled {
    /// The actions for the env: continuous ones are clipped to the box.
    pub env_actions: Actions,
    /// The actions as sampled, before clipping; `log_probs` refers to these.
    pub actions: Actions,
    /// `[n_rows]`: log-densities of `actions`.
    pub log_probs: Vec<f32>,
    /// `[n_rows]`: values of the observations.
    pub values: Vec<f32>,
}

impl ActorCritic {
    /// A policy with new parameters, all sampled from `rng`.
    ///
    /// # Errors
    /// If the spec is out of range, or if candle cannot allocate.
    pub fn new<R: Rng>(spec: PolicySpec, rng: &mut R, device: &Device) -> Result<Self> {
        spec.validate()?;
        let network = &spec.network;
        let mut parameters = Parameters::default();
        let encoder = match spec.image {
            Some(image) => {
                Some(PixelEncoder::new(&mut parameters, image, network.pixel_features, rng, device)?)
            }
            None => None,
        };
        let reader = match spec.instruction_dim {
            Some(dim) => {
                let sizes = (dim, network.instruction_features);
                let activation = network.activation;
                let name = "reader";
                let gain = HIDDEN_GAIN;
                Some(Linear::new(&mut parameters, name, sizes, activation, gain, true, rng, device)?)
            }
            None => None,
        };
        let scale = match spec.instruction_dim {
            Some(dim) if 0 < spec.state_dim => {
                let sizes = (dim, spec.state_dim);
                let activation = Activation::Identity;
                Some(Linear::new(&mut parameters, "scale", sizes, activation, 1.0, true, rng, device)?)
            }
            _ => None,
        };
        let input_is_data = encoder.is_none() && reader.is_none();
        let mut perceptron = |name: &str, n_out: usize, out_gain: f64| -> Result<Vec<Linear>> {
            let widths = spec.perceptron_widths(n_out);
            let mut layers = Vec::with_capacity(widths.len() - 1);
            for (layer_idx, sizes) in widths.windows(2).enumerate() {
                let is_last = layer_idx + 2 == widths.len();
                let (activation, gain) = if is_last {
                    (Activation::Identity, out_gain)
                } else {
                    (network.activation, HIDDEN_GAIN)
                };
                let name = format!("{name}.{layer_idx}");
                let is_data = input_is_data && layer_idx == 0;
                let sizes = (sizes[0], sizes[1]);
                layers.push(Linear::new(
                    &mut parameters,
                    &name,
                    sizes,
                    activation,
                    gain,
                    is_data,
                    rng,
                    device,
                )?);
            }
            Ok(layers)
        };
        let actor = perceptron("actor", spec.actions.head_dim(), ACTION_GAIN)?;
        let critic = perceptron("critic", 1, VALUE_GAIN)?;
        let log_std = match &spec.actions {
            ActionSpec::Continuous { low, .. } => {
                let start = vec![network.log_std_init as f32; low.len()];
                Some(parameters.add("actor.log_std", Var::from_vec(start, low.len(), device)?))
            }
            ActionSpec::Discrete { .. } => None,
        };
        Ok(Self { spec, device: device.clone(), parameters, encoder, reader, scale, actor, critic, log_std })
    }

    /// Inputs, actions and network sizes of the policy.
    pub fn spec(&self) -> &PolicySpec {
        &self.spec
    }

    /// Every trainable tensor.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The device of the tensors.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// `[action_dim]`: logarithm of the Gaussian's standard deviation; `None` for discrete actions.
    pub fn log_std(&self) -> Option<&Var> {
        self.log_std.as_ref()
    }

    /// Checks that the policy was made for these spaces.
    ///
    /// # Errors
    /// Names the space that differs.
    pub fn check_fits(&self, observation_space: &Space, action_space: &Space) -> Result<()> {
        let other = PolicySpec::new(self.spec.network.clone(), observation_space, action_space)?;
        let mismatch = |what, expected: String, got: String| AgentError::Mismatch { what, expected, got };
        let observed = |spec: &PolicySpec| {
            let reads = spec.instruction_dim.map(|dim| format!(", instruction of {dim} values"));
            let reads = reads.unwrap_or_default();
            format!("{} state values, image {:?}{reads}", spec.state_dim, spec.image)
        };
        let parts = |spec: &PolicySpec| (spec.state_dim, spec.image, spec.instruction_dim);
        if parts(&self.spec) != parts(&other) {
            return Err(mismatch("the policy's observations", observed(&self.spec), observed(&other)));
        }
        if self.spec.actions != other.actions {
            let actions = |spec: &PolicySpec| format!("{:?}", spec.actions);
            return Err(mismatch("the policy's actions", actions(&self.spec), actions(&other)));
        }
        Ok(())
    }

    /// Copies observations to the device. Parts that the policy does not read are ignored.
    ///
    /// # Errors
    /// If a part has another size.
    pub fn inputs(&self, inputs: &NetworkInputs) -> Result<Inputs> {
        let n_rows = inputs.n_rows;
        let check = |what, row_len: usize, got: usize| {
            if got == n_rows * row_len {
                return Ok(());
            }
            let expected = format!("{} values for {n_rows} rows", n_rows * row_len);
            Err(AgentError::Mismatch { what, expected, got: format!("{got}") })
        };
        let matrix = |what, values: &[f32], dim: usize| {
            check(what, dim, values.len())?;
            Ok::<_, AgentError>(Tensor::from_slice(values, (n_rows, dim), &self.device)?)
        };
        let state = match self.spec.state_dim {
            0 => None,
            dim => Some(matrix("state observations", &inputs.state, dim)?),
        };
        let pixels = match self.spec.image {
            Some([height, width]) => {
                check("pixel observations", height * width * 3, inputs.pixels.len())?;
                let scaled: Vec<f32> = inputs.pixels.iter().map(|&value| f32::from(value) / 255.0).collect();
                Some(Tensor::from_vec(scaled, (n_rows, height, width, 3), &self.device)?)
            }
            None => None,
        };
        let instruction = match self.spec.instruction_dim {
            Some(dim) => {
                let values = matrix("embeddings of instructions", &inputs.instruction_embedding, dim)?;
                // Elements of about unit scale, like those of a normalised state.
                Some((values * (dim as f64).sqrt())?)
            }
            None => None,
        };
        Ok(Inputs { state, pixels, instruction })
    }

    /// Runs actor and critic, with gradients.
    ///
    /// # Errors
    /// If candle fails.
    pub fn forward(&self, inputs: &Inputs) -> Result<Outputs> {
        let features = self.features(inputs)?;
        Ok(Outputs { head: run(&self.actor, &features)?, values: run(&self.critic, &features)? })
    }

    /// Values of observations, `[n_rows]`.
    ///
    /// # Errors
    /// As [`Self::inputs`].
    pub fn values(&self, inputs: &NetworkInputs) -> Result<Vec<f32>> {
        let features = self.features(&self.inputs(inputs)?)?;
        to_host(&run(&self.critic, &features)?)
    }

    /// The distribution of actions for each observation.
    ///
    /// # Errors
    /// As [`Self::inputs`].
    pub fn distribution(&self, inputs: &NetworkInputs) -> Result<ActionDistribution> {
        let features = self.features(&self.inputs(inputs)?)?;
        self.distribution_of(&run(&self.actor, &features)?)
    }

    /// Samples an action for each observation, and computes their values.
    ///
    /// # Errors
    /// As [`Self::inputs`].
    pub fn sample(&self, inputs: &NetworkInputs, rng: &mut Pcg64) -> Result<Sampled> {
        let outputs = self.forward(&self.inputs(inputs)?)?;
        let distribution = self.distribution_of(&outputs.head)?;
        let actions = distribution.sample(rng);
        let log_probs = distribution.log_probs(&actions)?;
        let env_actions = self.spec.actions.clip(&actions);
        Ok(Sampled { env_actions, actions, log_probs, values: to_host(&outputs.values)? })
    }

    fn distribution_of(&self, head: &Tensor) -> Result<ActionDistribution> {
        let values = to_host(head)?;
        Ok(match &self.log_std {
            Some(log_std) => ActionDistribution::Gaussian { means: values, log_std: to_host(log_std)? },
            None => ActionDistribution::Categorical { logits: values, n: self.spec.actions.head_dim() },
        })
    }

    fn features(&self, inputs: &Inputs) -> Result<Tensor> {
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

fn run(layers: &[Linear], features: &Tensor) -> Result<Tensor> {
    let mut x = features.clone();
    for layer in layers {
        x = layer.forward(&x)?;
    }
    Ok(x)
}

/// All values of an f32 tensor, row-major.
fn to_host(tensor: &Tensor) -> Result<Vec<f32>> {
    if tensor.device().is_cpu() && tensor.is_contiguous() {
        return Ok(with_values(tensor, |values| Ok(values.to_vec()))?);
    }
    Ok(tensor.flatten_all()?.to_vec1()?)
}
