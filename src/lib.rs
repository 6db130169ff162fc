//! Sayso: a headless, batched robot simulator with rewards from vision-language models.
//!
//! This crate is the façade: it re-exports the other crates under short names, and reads and writes the files of a run:
//! configuration, logs, videos and report. A program of its own that registers further reward models calls [`cli::main`] to
//! have the whole command line.

pub use sayso_agents as agents;
pub use sayso_envs as envs;
pub use sayso_pretrain as pretrain;
pub use sayso_rewards as rewards;
pub use sayso_sim as sim;

pub mod bench;
pub mod cli;
pub mod compare;
pub mod config;
pub mod error;
pub mod machine;
pub mod metrics;
pub mod models;
pub mod recording;
pub mod report;
pub mod results;
pub mod run_folder;
pub mod setup;
pub mod tensorboard;
pub mod video;

mod interrupt;
mod progress;

pub use error::{Error, Result};
