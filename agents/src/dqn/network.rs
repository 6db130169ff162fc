//! The network of DQN, and its gradient steps.

use candle_core::{D, Device, Tensor};
use rand_pcg::Pcg64;
use sayso_rewards::nn::{Adam, Parameters};

use super::{DqnConfig, POLICY};
use crate::checkpoint::SavedState;
use crate::policy::{ActionSpec, Features, Inputs, NetworkConfig, NetworkInputs, Perceptron, PolicySpaces};
use crate::replay::Transitions;
use crate::{AgentError, Result};

/// Gain of the orthogonal initialisation of the last layer.
const LAST_GAIN: f64 = 1.0;
/// The value of torch's Adam.
const ADAM_EPSILON: f64 = 1e-8;

/// Sizes, inputs and actions of the network.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub network: NetworkConfig,
    pub spaces: PolicySpaces,
    pub n_actions: usize,
}

impl Spec {
    /// Checks that the spaces are those that DQN can learn in.
    pub fn new(network: &NetworkConfig, spaces: &PolicySpaces) -> Result<Self> {
        let mismatch = |what, expected: &str, got: String| AgentError::Mismatch {
            what,
            expected: expected.to_owned(),
            got,
        };
        if spaces.image.is_some() || spaces.state_dim == 0 {
            return Err(mismatch("observations of DQN", "states without pixels", format!("{spaces:?}")));
        }
        match spaces.actions {
            ActionSpec::Discrete { n } => {
                Ok(Self { network: network.clone(), spaces: spaces.clone(), n_actions: n })
            }
            ref other => Err(mismatch("actions of DQN", "discrete ones", format!("{other:?}"))),
        }
    }

    /// Number of parameters; `None` if it does not fit a `usize`.
    pub fn n_parameters(&self) -> Option<usize> {
        let perceptron = Perceptron::n_parameters(&self.widths())?;
        perceptron.checked_add(Features::n_parameters(&self.network, &self.spaces)?)
    }

    fn widths(&self) -> Vec<usize> {
        let n_features = Features::width(&self.network, &self.spaces);
        let hidden = self.network.hidden_sizes.iter().copied();
        std::iter::once(n_features).chain(hidden).chain([self.n_actions]).collect()
    }
}

/// Values of all actions.
#[derive(Debug)]
pub(super) struct QNetwork {
    pub parameters: Parameters,
    features: Features,
    head: Perceptron,
}

impl QNetwork {
    pub fn new(spec: &Spec, rng: &mut Pcg64) -> Result<Self> {
        let mut parameters = Parameters::default();
        let (network, device) = (&spec.network, &Device::Cpu);
        let features = Features::new(&mut parameters, "", network, &spec.spaces, rng, device)?;
        let activation = network.activation;
        let head = Perceptron::new(&mut parameters, "q", &spec.widths(), activation, LAST_GAIN, rng, device)?;
        Ok(Self { parameters, features, head })
    }

    /// `[n_rows, n_actions]`.
    fn forward(&self, inputs: &Inputs) -> Result<Tensor> {
        self.head.forward(&self.features.forward(inputs)?)
    }

    /// The action with the highest value in each row.
    pub fn best(&self, spec: &Spec, inputs: &NetworkInputs) -> Result<Vec<u32>> {
        let values = self.forward(&inputs.to_device(&spec.spaces, &Device::Cpu)?)?;
        Ok(values.argmax(D::Minus1)?.to_vec1()?)
    }
}

/// A network, its optimiser, and its target.
pub(super) struct Learned {
    pub spec: Spec,
    pub network: QNetwork,
    adam: Adam,
    target: QNetwork,
}

/// Means over the transitions of a minibatch.
pub(super) struct Step {
    pub loss: f64,
    pub value: f64,
}

impl Learned {
    pub fn new(spec: Spec, rng: &mut Pcg64) -> Result<Self> {
        let (network, target) = (QNetwork::new(&spec, rng)?, QNetwork::new(&spec, rng)?);
        target.parameters.follow(&network.parameters, 1.0)?;
        let adam = Adam::new(&network.parameters)?.with_epsilon(ADAM_EPSILON);
        Ok(Self { spec, network, adam, target })
    }

    /// One gradient step on the smooth L1 error of the values of the actions that were taken.
    pub fn step(&mut self, batch: &Transitions, config: &DqnConfig, learning_rate: f64) -> Result<Step> {
        let (n_rows, device) = (batch.rewards.len(), &Device::Cpu);
        let inputs = batch.inputs.to_device(&self.spec.spaces, device)?;
        let next = batch.next_inputs.to_device(&self.spec.spaces, device)?;
        let best = self.network.forward(&next)?.detach().argmax_keepdim(D::Minus1)?;
        let value = self.target.forward(&next)?.detach().gather(&best, 1)?.squeeze(1)?;
        let discounts = Tensor::from_slice(&batch.discounts, n_rows, device)?;
        let targets = (Tensor::from_slice(&batch.rewards, n_rows, device)? + (discounts * value)?)?;

        let taken = Tensor::from_slice(&batch.choices, (n_rows, 1), device)?;
        let values = self.network.forward(&inputs)?.gather(&taken, 1)?.squeeze(1)?;
        let error = (&values - targets)?.abs()?;
        // e²/2 below 1, e - 1/2 above.
        let clipped = error.minimum(1.0)?;
        let loss = ((&clipped * (&error - (&clipped * 0.5)?)?)?).mean_all()?;
        self.adam.step(&loss.backward()?, learning_rate, config.max_grad_norm)?;
        self.target.parameters.follow(&self.network.parameters, config.tau)?;
        let mean = |tensor: &Tensor| Ok::<_, AgentError>(f64::from(tensor.mean_all()?.to_scalar::<f32>()?));
        Ok(Step { loss: mean(&loss)?, value: mean(&values)? })
    }

    pub fn save(&self, state: &mut SavedState) -> Result<()> {
        state.add_parameters(POLICY, &self.network.parameters)?;
        state.add_parameters("target", &self.target.parameters)?;
        state.add_adam("adam", &self.network.parameters, &self.adam)
    }

    pub fn load(&mut self, state: &SavedState) -> Result<()> {
        state.set_parameters(POLICY, &self.network.parameters)?;
        state.set_parameters("target", &self.target.parameters)?;
        state.set_adam("adam", &self.network.parameters, &mut self.adam)
    }
}
