//! Learning algorithms of Sayso: PPO, rollouts, scripted experts and checkpoints.
//!
//! [`train()`] runs the loop of [`ppo`] over any [`sayso_envs::VectorEnv`], with the env's own rewards or with those of
//! a [`FrameScorer`]; [`evaluate()`] measures any [`Policy`] over fresh episodes.

pub mod checkpoint;
pub mod episodes;
pub mod error;
pub mod evaluate;
pub mod experts;
pub mod gae;
mod learner;
pub mod nn;
pub mod normalize;
pub mod policy;
pub mod ppo;
pub mod pretrain;
pub mod rollout;
pub mod scoring;
pub mod train;

pub use checkpoint::Checkpoint;
pub use error::{AgentError, Result};
pub use evaluate::{EvalConfig, EvalReport, Policy, RandomPolicy, TrainedPolicy, evaluate};
pub use experts::Expert;
pub use policy::{ActorCritic, NetworkConfig};
pub use ppo::PpoConfig;
pub use scoring::{FrameScorer, RewardScorer, ScoreUse};
pub use train::{TrainConfig, TrainObserver, TrainOutcome, UpdateReport, train, untrained_policy};
