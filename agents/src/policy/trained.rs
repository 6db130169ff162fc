//! Trained policies.

use rand_pcg::Pcg64;
use sayso_envs::{Actions, Observations};

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
    is_deterministic: bool,
}

impl TrainedPolicy {
    /// Wraps a network and, if observations were normalised, their statistics. Acts deterministically.
    pub fn new(network: ActorCritic, normalizer: Option<ObservationNormalizer>) -> Self {
        Self { network, normalizer, inputs: NetworkInputs::default(), is_deterministic: true }
    }

    /// The network.
    pub fn network(&self) -> &ActorCritic {
        &self.network
    }
}

impl Policy for TrainedPolicy {
    fn act(&mut self, observations: &Observations, rng: &mut Pcg64) -> Result<Actions> {
        let spaces = &self.network.spec().spaces;
        let n_rows = spaces.n_rows(observations);
        self.inputs.read(observations, n_rows, self.normalizer.as_ref());
        let distribution = self.network.distribution(&self.inputs)?;
        let actions = if self.is_deterministic { distribution.mode() } else { distribution.sample(rng) };
        Ok(spaces.actions.clip(&actions))
    }

    fn set_deterministic(&mut self, is_deterministic: bool) {
        self.is_deterministic = is_deterministic;
    }
}
