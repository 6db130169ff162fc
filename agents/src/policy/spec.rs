//! Inputs, actions and network sizes of a policy: everything needed to build it again.

use sayso_envs::{Actions, Observations, Space, VectorEnv};
use sayso_rewards::nn::Activation;
use serde::{Deserialize, Serialize};

use super::{Features, Perceptron, encoder};
use crate::Result;
use crate::error::{AgentError, check};

/// Name of the column of an observation that has the instruction.
const INSTRUCTION: &str = "instruction";

/// Sizes of the networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// Widths of the hidden layers of the actor, and of the critic; each in [1, 4096].
    pub hidden_sizes: Vec<usize>,
    /// Activation after each hidden layer.
    pub activation: Activation,
    /// Initial logarithm of the standard deviation of continuous actions; in [-5, 2].
    pub log_std_init: f64,
    /// Number of features that the image encoder outputs; in [1, 4096]. Unused without pixels.
    pub pixel_features: usize,
    /// Number of features of the instruction's embedding that the networks read; in [1, 4096]. Unused if it is not observed.
    pub instruction_features: usize,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self { hidden_sizes: vec![128, 128], activation: Activation::Relu, log_std_init: -0.5, ..Self::sb3() }
    }
}

impl NetworkConfig {
    /// Stable-Baselines3's networks for states: two hidden layers of 64 and tanh.
    pub fn sb3() -> Self {
        Self {
            hidden_sizes: vec![64, 64],
            activation: Activation::Tanh,
            log_std_init: 0.0,
            pixel_features: 256,
            instruction_features: 32,
        }
    }

    /// Checks every field; `path` is the dotted path of the table.
    ///
    /// # Errors
    /// Names the field, its value and what is allowed.
    pub fn validate(&self, path: &str) -> Result<()> {
        let widths_fit = self.hidden_sizes.iter().all(|width| (1..=4096).contains(width));
        check(widths_fit, &format!("{path}.hidden_sizes"), &self.hidden_sizes, "widths in [1, 4096]")?;
        check(
            (-5.0..=2.0).contains(&self.log_std_init),
            &format!("{path}.log_std_init"),
            self.log_std_init,
            "a number in [-5, 2]",
        )?;
        for (field, n_features) in
            [("pixel_features", self.pixel_features), ("instruction_features", self.instruction_features)]
        {
            let field = format!("{path}.{field}");
            check((1..=4096).contains(&n_features), &field, n_features, "a number in [1, 4096]")?;
        }
        Ok(())
    }
}

/// The actions of a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ActionSpec {
    /// A vector between bounds; an infinite bound is written as the largest finite number.
    Continuous {
        /// Lower bounds.
        low: Vec<f32>,
        /// Upper bounds.
        high: Vec<f32>,
    },
    /// One of `n` choices.
    Discrete {
        /// Number of choices.
        n: usize,
    },
}

impl ActionSpec {
    /// Width of the actor's output.
    pub fn head_dim(&self) -> usize {
        match self {
            Self::Continuous { low, .. } => low.len(),
            &Self::Discrete { n } => n,
        }
    }

    /// Clips continuous actions to the bounds.
    pub fn clip(&self, actions: &Actions) -> Actions {
        match (self, actions) {
            (Self::Continuous { low, high }, Actions::Continuous(values)) => {
                let bounds = low.iter().zip(high).cycle();
                Actions::Continuous(
                    values
                        .iter()
                        .zip(bounds)
                        .map(|(value, (low, high))| value.max(*low).min(*high))
                        .collect(),
                )
            }
            _ => actions.clone(),
        }
    }
}

/// What a policy observes, and its actions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySpaces {
    /// Number of values of a state observation; 0 if the policy reads none.
    pub state_dim: usize,
    /// Height and width of an image observation; `None` if the policy reads none.
    pub image: Option<[usize; 2]>,
    /// Number of values of an instruction's embedding; `None` if the policy reads none.
    pub instruction_dim: Option<usize>,
    /// The actions.
    pub actions: ActionSpec,
}

impl PolicySpaces {
    /// Those of a policy for an env with these spaces. An observation is a box, an image, or a dict of one of each and of a box
    /// named `instruction`, its embedding. An instruction in another form is not read.
    ///
    /// # Errors
    /// If a space is not supported.
    pub fn new(observation_space: &Space, action_space: &Space) -> Result<Self> {
        let actions = ActionSpec::Discrete { n: 0 };
        let mut spaces = Self { state_dim: 0, image: None, instruction_dim: None, actions };
        let parts: Vec<(&str, &Space)> = match observation_space {
            Space::Dict(parts) => parts.iter().map(|(name, space)| (name.as_str(), space)).collect(),
            space => vec![("", space)],
        };
        for part in parts {
            match part {
                (INSTRUCTION, Space::Box { low, .. }) => spaces.instruction_dim = Some(low.len()),
                (INSTRUCTION, Space::Discrete { .. } | Space::Text { .. }) => {}
                (_, Space::Box { low, .. }) if spaces.state_dim == 0 => spaces.state_dim = low.len(),
                (_, &Space::Image { height, width }) if spaces.image.is_none() => {
                    spaces.image = Some([height, width]);
                }
                (_, other) => {
                    let expected = "one box, one image, or both, and an instruction";
                    return Err(unsupported("observation space", expected, other));
                }
            }
        }
        spaces.actions = match action_space {
            Space::Box { low, high } => ActionSpec::Continuous {
                low: low.iter().map(|bound| bound.max(f32::MIN)).collect(),
                high: high.iter().map(|bound| bound.min(f32::MAX)).collect(),
            },
            &Space::Discrete { n } => ActionSpec::Discrete { n },
            other => return Err(unsupported("action space", "a box or a discrete space", other)),
        };
        spaces.validate()?;
        Ok(spaces)
    }

    /// Those of a policy for `env`.
    ///
    /// # Errors
    /// If a space is not supported.
    pub fn of(env: &dyn VectorEnv) -> Result<Self> {
        Self::new(env.single_observation_space(), env.single_action_space())
    }

    /// Checks every field; for spaces that were read from a file.
    ///
    /// # Errors
    /// Names the field, its value and what is allowed.
    pub fn validate(&self) -> Result<()> {
        let reads_something = 0 < self.state_dim || self.image.is_some();
        check(reads_something, "policy.state_dim", self.state_dim, "at least 1 without an image")?;
        if let Some([height, width]) = self.image {
            let least = encoder::MIN_SIZE;
            let fits = least <= height.min(width);
            check(fits, "policy.image", (height, width), format!("at least {least}x{least} pixels"))?;
        }
        check(self.instruction_dim != Some(0), "policy.instruction_dim", 0, "at least 1")?;
        match &self.actions {
            ActionSpec::Continuous { low, high } => {
                let ordered = low.len() == high.len() && low.iter().zip(high).all(|(low, high)| low <= high);
                check(!low.is_empty() && ordered, "policy.actions", (low, high), "bounds with low <= high")
            }
            ActionSpec::Discrete { n } => check(1 <= *n, "policy.actions.n", n, "at least 1 choice"),
        }
    }

    /// Checks that a policy for these spaces fits `env`.
    ///
    /// # Errors
    /// Names the space that differs.
    pub fn check_fits(&self, env: &dyn VectorEnv) -> Result<()> {
        let other = Self::of(env)?;
        let mismatch = |what, expected: String, got: String| AgentError::Mismatch { what, expected, got };
        let observed = |spaces: &Self| {
            let reads = spaces.instruction_dim.map(|dim| format!(", instruction of {dim} values"));
            let reads = reads.unwrap_or_default();
            format!("{} state values, image {:?}{reads}", spaces.state_dim, spaces.image)
        };
        let parts = |spaces: &Self| (spaces.state_dim, spaces.image, spaces.instruction_dim);
        if parts(self) != parts(&other) {
            return Err(mismatch("the policy's observations", observed(self), observed(&other)));
        }
        if self.actions != other.actions {
            let actions = |spaces: &Self| format!("{:?}", spaces.actions);
            return Err(mismatch("the policy's actions", actions(self), actions(&other)));
        }
        Ok(())
    }

    /// Number of rows of a batch of observations.
    pub fn n_rows(&self, observations: &Observations) -> usize {
        match self.image {
            Some([height, width]) => observations.first_pixels().len() / (height * width * 3),
            None => observations.state.len() / self.state_dim,
        }
    }
}

/// Everything needed to build a policy's networks.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicySpec {
    /// Sizes of the networks.
    pub network: NetworkConfig,
    /// Inputs and actions.
    pub spaces: PolicySpaces,
}

impl PolicySpec {
    /// Widths of the layers of a perceptron with `n_out` outputs, the inputs first.
    pub(super) fn perceptron_widths(&self, n_out: usize) -> Vec<usize> {
        let n_features = Features::width(&self.network, &self.spaces);
        std::iter::once(n_features).chain(self.network.hidden_sizes.iter().copied()).chain([n_out]).collect()
    }

    /// Number of parameters of the policy and its value function; `None` if it does not fit a `usize`.
    pub fn n_parameters(&self) -> Option<usize> {
        let perceptron = |n_out: usize| Perceptron::n_parameters(&self.perceptron_widths(n_out));
        let n_log_stds = match &self.spaces.actions {
            ActionSpec::Continuous { low, .. } => low.len(),
            ActionSpec::Discrete { .. } => 0,
        };
        let features = Features::n_parameters(&self.network, &self.spaces)?;
        let perceptrons = perceptron(self.spaces.actions.head_dim())?.checked_add(perceptron(1)?)?;
        perceptrons.checked_add(features)?.checked_add(n_log_stds)
    }
}

fn unsupported(what: &'static str, expected: &str, got: &Space) -> AgentError {
    AgentError::Mismatch { what, expected: expected.to_owned(), got: format!("{got:?}") }
}
