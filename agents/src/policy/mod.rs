//! Policies: random, scripted and trained ones, and the networks of the trained ones.

mod random;
mod scripted;
mod trained;

mod actor_critic;
pub mod distribution;
pub mod encoder;
pub mod spec;

pub use actor_critic::{ActorCritic, Inputs, NetworkInputs, Outputs, Sampled};
pub use distribution::ActionDistribution;
pub use random::RandomPolicy;
pub use scripted::ScriptedPolicy;
pub use spec::{ActionSpec, NetworkConfig, PolicySpec};
pub use trained::TrainedPolicy;

use rand_pcg::Pcg64;
use sayso_envs::{Actions, Observations};

use crate::Result;

/// Chooses actions.
pub trait Policy {
    /// One action per env for a batch of observations; random choices depend on `rng` alone.
    ///
    /// # Errors
    /// If the observations are not those that the policy was made for.
    fn act(&mut self, observations: &Observations, rng: &mut Pcg64) -> Result<Actions>;

    /// Called before the first action of an env's episode, for policies that keep state.
    fn start_episode(&mut self, env_idx: usize) {
        let _ = env_idx;
    }
}
