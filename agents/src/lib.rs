//! Learning algorithms of Sayso: PPO, rollouts, policies and checkpoints.
//!
//! [`train()`] trains a policy in any [`sayso_envs::VectorEnv`], with the env's own rewards or with the scores of a
//! [`sayso_rewards::Scorer`];
//! [`evaluate()`] measures any [`Policy`] over fresh episodes.

pub mod config;
pub mod error;

pub mod gae;
mod learner;
pub mod ppo;
pub mod rollout;
pub mod train;

pub mod normalize;
pub mod policy;

pub mod checkpoint;
pub mod episodes;
pub mod evaluate;

pub use checkpoint::Checkpoint;
pub use config::TrainConfig;
pub use error::{AgentError, Result};
pub use evaluate::{EvalConfig, EvalReport, evaluate};
pub use policy::{ActorCritic, NetworkConfig, Policy, RandomPolicy, ScriptedPolicy, TrainedPolicy};
pub use ppo::PpoConfig;
pub use train::{TrainObserver, TrainOutcome, UpdateReport, train, untrained_policy};
