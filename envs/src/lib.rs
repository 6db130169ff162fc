//! Environments of Sayso: tasks, the gym interface and the vectorised stepping engine.
//!
//! ```text
//! EnvConfig + RewardSource ─► VecEnv ─► Group (one Bevy world each) ─► StepBatch (columns over the envs)
//!                                        ▲
//!                     Task (one file per environment) ─► TaskInstance (one per env)
//! ```

pub mod config;
pub mod error;
pub mod goals;
pub mod instructions;
pub mod language;
pub mod registry;
pub mod space;
pub mod task;
pub mod tasks;
pub mod vec_env;
pub mod vector;

mod composition;
mod engine;
mod group;
mod scoring;
mod snapshot;
mod workers;

pub use composition::RewardTerm;
pub use config::{EnvConfig, InstructionForm, ObservationConfig, RewardSource, ScoringConfig};
pub use error::{EnvError, Result};
pub use goals::{GoalReward, GoalSpace};
pub use instructions::{Instruction, InstructionChoice, Paraphrases};
pub use space::{Actions, Space};
pub use task::{Measurement, Task, TaskInstance, TaskSpec};
pub use vec_env::VecEnv;
pub use vector::{AutoresetMode, Observations, ResetOptions, Seed, StepBatch, StepInfo, VectorEnv};
