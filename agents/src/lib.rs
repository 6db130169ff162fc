//! Learning algorithms of Sayso, the training loop around them, policies and checkpoints.
//!
//! [`train()`] trains a policy in any [`sayso_envs::VectorEnv`], with the env's own rewards or with the scores of a
//! [`sayso_rewards::Scorer`];
//! [`evaluate()`] measures any [`Policy`] over fresh episodes.

pub mod config;
pub mod error;

pub mod algorithm;
pub mod dqn;
mod learner;
mod off_policy;
pub mod ppo;
pub mod registry;
pub mod replay;
pub mod sac;
pub mod steps;
pub mod train;

pub mod normalize;
pub mod policy;

pub mod checkpoint;
pub mod episodes;
pub mod evaluate;

pub use algorithm::{Algorithm, AlgorithmOptions};
pub use checkpoint::{Checkpoint, SavedState};
pub use config::TrainConfig;
pub use dqn::DqnConfig;
pub use error::{AgentError, Result};
pub use evaluate::{EvalConfig, EvalReport, evaluate};
pub use policy::{
    ActorCritic, NetworkConfig, Policy, PolicySpaces, RandomPolicy, ScriptedPolicy, TrainedPolicy,
};
pub use ppo::PpoConfig;
pub use sac::SacConfig;
pub use train::{TrainObserver, TrainOutcome, UpdateReport, check_trainable, train, untrained_policy};
