//! Environments of Sayso: tasks, the gym interface and the vectorised stepping engine.

pub mod error;
pub mod space;
pub mod vector;

pub use error::{EnvError, Result};
pub use space::{Actions, Space};
pub use vector::{AutoresetMode, Observations, ResetOptions, StepBatch, StepInfo, VectorEnv};
