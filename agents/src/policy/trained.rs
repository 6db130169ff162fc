//! Trained policies.

use rand_pcg::Pcg64;
use sayso_envs::{Actions, Observations, VectorEnv};

use super::{ActorCritic, NetworkInputs, Policy};
use crate::Result;
use crate::normalize::ObservationNormalizer;

/// A trained policy: the network and the observation statistics that it was trained with, both frozen.
#[derive(Debug)]
pub struct TrainedPolicy {
    network: ActorCritic,
    normalizer: Option<ObservationNormalizer>,
    inputs: NetworkInputs,
    /// Whether actions are the mode of the distribution; samples from it otherwise.
    pub deterministic: bool,
}

impl TrainedPolicy {
    /// Wraps a network and, if observations were normalised, their statistics. Acts deterministically.
    pub fn new(network: ActorCritic, normalizer: Option<ObservationNormalizer>) -> Self {
        Self { network, normalizer, inputs: NetworkInputs::default(), deterministic: true }
    }

    /// The network.
    pub fn network(&self) -> &ActorCritic {
        &self.network
    }

    /// Checks that the policy was made for the spaces of `env`.
    ///
    /// # Errors
    /// Names the space that differs.
    pub fn check_fits(&self, env: &dyn VectorEnv) -> Result<()> {
        self.network.check_fits(env.single_observation_space(), env.single_action_space())
    }
}

impl Policy for TrainedPolicy {
    fn act(&mut self, observations: &Observations, rng: &mut Pcg64) -> Result<Actions> {
        let spec = self.network.spec();
        let n_rows = match spec.image {
            Some([height, width]) => observations.first_pixels().len() / (height * width * 3),
            None => observations.state.len() / spec.state_dim,
        };
        self.inputs.read(observations, n_rows, self.normalizer.as_ref());
        let distribution = self.network.distribution(&self.inputs)?;
        let actions = if self.deterministic { distribution.mode() } else { distribution.sample(rng) };
        Ok(spec.actions.clip(&actions))
    }
}
