//! The actor-critic: the networks of a trained policy and of its value function.
//!
//! Actor and critic are separate perceptrons over the same features, initialised orthogonally with Stable-Baselines3's gains.
//! Continuous actions follow a diagonal Gaussian whose standard deviation does not depend on the state; discrete ones a
//! categorical distribution.

use candle_core::{Device, Tensor, Var};
use rand::Rng;
use rand_pcg::Pcg64;
use sayso_envs::Actions;
use sayso_rewards::nn::Parameters;
use sayso_rewards::ops::with_values;

use super::{ActionDistribution, ActionSpec, Features, Inputs, NetworkInputs, Perceptron, PolicySpec};
use crate::Result;

/// Gains of the orthogonal initialisation, as in Stable-Baselines3.
const ACTION_GAIN: f64 = 0.01;
const VALUE_GAIN: f64 = 1.0;

/// A policy and its value function.
#[derive(Debug)]
pub struct ActorCritic {
    spec: PolicySpec,
    device: Device,
    parameters: Parameters,
    features: Features,
    actor: Perceptron,
    critic: Perceptron,
    /// `[action_dim]`; only of a Gaussian.
    log_std: Option<Var>,
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
        let (network, spaces) = (&spec.network, &spec.spaces);
        let mut parameters = Parameters::default();
        let features = Features::new(&mut parameters, "", network, spaces, rng, device)?;
        let mut perceptron = |name: &str, n_out: usize, gain: f64| {
            let widths = spec.perceptron_widths(n_out);
            Perceptron::new(&mut parameters, name, &widths, network.activation, gain, rng, device)
        };
        let actor = perceptron("actor", spaces.actions.head_dim(), ACTION_GAIN)?;
        let critic = perceptron("critic", 1, VALUE_GAIN)?;
        let log_std = match &spaces.actions {
            ActionSpec::Continuous { low, .. } => {
                let start = vec![network.log_std_init as f32; low.len()];
                Some(parameters.add("actor.log_std", Var::from_vec(start, low.len(), device)?))
            }
            ActionSpec::Discrete { .. } => None,
        };
        Ok(Self { spec, device: device.clone(), parameters, features, actor, critic, log_std })
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

    /// Copies observations to the device. Parts that the policy does not read are ignored.
    ///
    /// # Errors
    /// If a part has another size.
    pub fn inputs(&self, inputs: &NetworkInputs) -> Result<Inputs> {
        inputs.to_device(&self.spec.spaces, &self.device)
    }

    /// Runs actor and critic, with gradients.
    ///
    /// # Errors
    /// If candle fails.
    pub fn forward(&self, inputs: &Inputs) -> Result<Outputs> {
        let features = self.features.forward(inputs)?;
        Ok(Outputs { head: self.actor.forward(&features)?, values: self.critic.forward(&features)? })
    }

    /// Values of observations, `[n_rows]`.
    ///
    /// # Errors
    /// As [`Self::inputs`].
    pub fn values(&self, inputs: &NetworkInputs) -> Result<Vec<f32>> {
        let features = self.features.forward(&self.inputs(inputs)?)?;
        to_host(&self.critic.forward(&features)?)
    }

    /// The distribution of actions for each observation.
    ///
    /// # Errors
    /// As [`Self::inputs`].
    pub fn distribution(&self, inputs: &NetworkInputs) -> Result<ActionDistribution> {
        let features = self.features.forward(&self.inputs(inputs)?)?;
        self.distribution_of(&self.actor.forward(&features)?)
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
        let env_actions = self.spec.spaces.actions.clip(&actions);
        Ok(Sampled { env_actions, actions, log_probs, values: to_host(&outputs.values)? })
    }

    fn distribution_of(&self, head: &Tensor) -> Result<ActionDistribution> {
        let values = to_host(head)?;
        Ok(match &self.log_std {
            Some(log_std) => ActionDistribution::Gaussian { means: values, log_std: to_host(log_std)? },
            None => {
                ActionDistribution::Categorical { logits: values, n: self.spec.spaces.actions.head_dim() }
            }
        })
    }
}

/// All values of an f32 tensor, row-major.
pub(crate) fn to_host(tensor: &Tensor) -> Result<Vec<f32>> {
    if tensor.device().is_cpu() && tensor.is_contiguous() {
        return Ok(with_values(tensor, |values| Ok(values.to_vec()))?);
    }
    Ok(tensor.flatten_all()?.to_vec1()?)
}
