//! The policy of a training with SAC.

use rand_pcg::Pcg64;
use sayso_envs::{Actions, Observations};

use super::networks::Actor;
use crate::Result;
use crate::normalize::ObservationNormalizer;
use crate::policy::{NetworkInputs, Policy, to_host};

/// The actor, and the observation statistics that it was trained with, both frozen.
pub(super) struct SacPolicy {
    actor: Actor,
    normalizer: Option<ObservationNormalizer>,
    inputs: NetworkInputs,
    is_deterministic: bool,
}

impl SacPolicy {
    pub fn new(actor: Actor, normalizer: Option<ObservationNormalizer>) -> Self {
        Self { actor, normalizer, inputs: NetworkInputs::default(), is_deterministic: true }
    }
}

impl Policy for SacPolicy {
    fn act(&mut self, observations: &Observations, rng: &mut Pcg64) -> Result<Actions> {
        let n_rows = self.actor.spec.spaces.n_rows(observations);
        self.inputs.read(observations, n_rows, self.normalizer.as_ref());
        let inputs = self.actor.inputs(&self.inputs)?;
        let actions = match self.is_deterministic {
            true => self.actor.mode(&inputs)?,
            false => self.actor.sample(&inputs, n_rows, rng)?.actions,
        };
        Ok(Actions::Continuous(self.actor.spec.unscaled(&to_host(&actions)?)))
    }

    fn set_deterministic(&mut self, is_deterministic: bool) {
        self.is_deterministic = is_deterministic;
    }
}
