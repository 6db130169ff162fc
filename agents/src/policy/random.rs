//! Uniformly random actions.

use rand_pcg::Pcg64;
use sayso_envs::{Actions, Observations, Space, VectorEnv};

use super::Policy;
use crate::{AgentError, Result};

/// Uniformly random actions.
#[derive(Clone, Debug)]
pub struct RandomPolicy {
    action_space: Space,
    n_envs: usize,
}

impl RandomPolicy {
    /// A random policy for all envs of `env`.
    pub fn new(env: &dyn VectorEnv) -> Self {
        Self { action_space: env.single_action_space().clone(), n_envs: env.n_envs() }
    }
}

impl Policy for RandomPolicy {
    fn act(&mut self, _observations: &Observations, rng: &mut Pcg64) -> Result<Actions> {
        self.action_space.sample_actions(self.n_envs, rng).ok_or_else(|| AgentError::Mismatch {
            what: "action space",
            expected: "a box or a discrete space".to_owned(),
            got: format!("{:?}", self.action_space),
        })
    }
}
