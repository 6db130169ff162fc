//! The seam between the training loop and learning algorithms.
//!
//! [`crate::train()`] steps the envs, assigns rewards, reports and saves; an [`Algorithm`] acts and learns. Its options are a type
//! that implements [`AlgorithmOptions`] and is found by name in the [`crate::registry`], so that another algorithm is one file.

use rand_pcg::Pcg64;
use sayso_envs::{Actions, Observations};

use crate::Result;
use crate::checkpoint::SavedState;
use crate::policy::{Policy, PolicySpaces};
use crate::steps::{StepFlags, Steps};

/// The options of an algorithm: the keys of `[train.NAME]`. Derive `Serialize` and `Deserialize` too, with
/// `deny_unknown_fields`, so that a misspelt key is an error, and with defaults, so that a configuration may leave keys out.
pub trait AlgorithmOptions: Send + Sync {
    /// Checks the ranges of all options.
    ///
    /// # Errors
    /// Names the first option that is out of its range.
    fn validate(&self) -> Result<()> {
        Ok(())
    }

    /// Discount factor, in [0, 1]; also that of potential-based shaping.
    fn discount(&self) -> f64;

    /// What takes most memory in training, in words, and its size in bytes; `observation_bytes` is the size of one env's
    /// observation. It is compared with the memory of the machine before a training starts.
    fn memory(&self, n_envs: usize, observation_bytes: u64) -> (String, u64) {
        (format!("env.n_envs = {n_envs}"), observation_bytes.saturating_mul(n_envs as u64))
    }

    /// Starts a training. All random numbers are from `rng`.
    ///
    /// # Errors
    /// If the spaces do not fit the algorithm.
    fn start(&self, spaces: &PolicySpaces, n_envs: usize, rng: &mut Pcg64) -> Result<Box<dyn Algorithm>>;

    /// The policy of a saved training. It acts deterministically.
    ///
    /// # Errors
    /// If the state is not one of these options and spaces.
    fn policy(&self, spaces: &PolicySpaces, state: &SavedState) -> Result<Box<dyn Policy>>;
}

/// When an algorithm learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cadence {
    /// Number of steps of every env between two updates; at least 1.
    pub n_steps: usize,
    /// Whether an update may come before the rewards of the steps since the last one are known. Frames are then scored while
    /// the update runs.
    pub learns_before_rewards: bool,
}

/// How far a training is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrainProgress {
    /// Number of env steps so far, over all envs, without those since the last update.
    pub n_steps: u64,
    /// Env steps at which training ends.
    pub total_steps: u64,
}

impl TrainProgress {
    /// Fraction of the training that is left, in [0, 1].
    pub fn fraction_left(self) -> f64 {
        1.0 - self.n_steps as f64 / self.total_steps as f64
    }
}

/// Statistics of an update in the order in which they are logged: name, as in Stable-Baselines3 where it has it, and value.
pub type UpdateStats = Vec<(&'static str, f64)>;

/// A learning algorithm. [`crate::train()`] calls [`Self::act`], steps the envs, and calls [`Self::observe`]; after
/// [`Cadence::n_steps`] of these it calls [`Self::add_rewards`] and [`Self::update`], in the order that the cadence asks for.
pub trait Algorithm {
    /// When it learns; constant.
    fn cadence(&self) -> Cadence;

    /// Chooses an action for every env from the current observations.
    ///
    /// # Errors
    /// If the observations are not those that the algorithm was started for.
    fn act(&mut self, observations: &Observations) -> Result<Actions>;

    /// Receives what the actions led to. `last` are the observations after the step and before a reset, which are read only
    /// where an episode ended.
    ///
    /// # Errors
    /// If the algorithm fails.
    fn observe(&mut self, flags: &StepFlags<'_>, last: &Observations) -> Result<()> {
        let _ = (flags, last);
        Ok(())
    }

    /// Receives the rewards of the steps since the last call. `observations` are those after the last of them.
    ///
    /// # Errors
    /// If the algorithm fails.
    fn add_rewards(&mut self, steps: &Steps, observations: &Observations) -> Result<()>;

    /// Learns. A statistic that is NaN or infinite ends the training with an error.
    ///
    /// # Errors
    /// If the algorithm fails.
    fn update(&mut self, progress: TrainProgress) -> Result<UpdateStats>;

    /// The policy as it is now. It acts deterministically until [`Policy::set_deterministic`].
    fn into_policy(self: Box<Self>) -> Box<dyn Policy>;

    /// Saves everything that further training depends on.
    ///
    /// # Errors
    /// If a tensor cannot be read.
    fn save(&self, state: &mut SavedState) -> Result<()>;

    /// Restores a state that an algorithm with the same options and spaces saved. If it is refused, the training must not
    /// go on.
    ///
    /// # Errors
    /// Names the part that is missing or does not fit.
    fn load(&mut self, state: &SavedState) -> Result<()>;
}
