//! Policies: random, scripted and trained ones, and the networks of the trained ones.

mod random;
mod scripted;
mod trained;

mod actor_critic;
pub mod distribution;
pub mod encoder;
mod features;
mod perceptron;
pub mod spec;

pub(crate) use actor_critic::to_host;
pub use actor_critic::{ActorCritic, Outputs, Sampled};
pub use distribution::ActionDistribution;
pub use features::{Features, Inputs, NetworkInputs};
pub use perceptron::Perceptron;
pub use random::RandomPolicy;
pub use scripted::ScriptedPolicy;
pub use spec::{ActionSpec, NetworkConfig, PolicySpaces, PolicySpec};
pub use trained::TrainedPolicy;

use rand_pcg::Pcg64;
use sayso_envs::{Actions, Observations};

use crate::Result;

/// Chooses actions.
pub trait Policy: Send {
    /// One action per env for a batch of observations; random choices depend on `rng` alone.
    ///
    /// # Errors
    /// If the observations are not those that the policy was made for.
    fn act(&mut self, observations: &Observations, rng: &mut Pcg64) -> Result<Actions>;

    /// Whether each action is the best one, or a sample of the distribution that it was trained with; for policies that have one.
    fn set_deterministic(&mut self, is_deterministic: bool) {
        let _ = is_deterministic;
    }

    /// Called before the first action of an env's episode, for policies that keep state.
    fn start_episode(&mut self, env_idx: usize) {
        let _ = env_idx;
    }
}
