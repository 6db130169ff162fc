//! Sayso: a headless, batched robot simulator whose rewards come from a sentence.
//!
//! This crate is the façade: the crates below under short names, and the files of a run: its configuration, logs, videos
//! and report. The command line is the binary of the same name.

pub use sayso_agents as agents;
pub use sayso_envs as envs;
pub use sayso_pretrain as pretrain;
pub use sayso_rewards as rewards;
pub use sayso_sim as sim;

pub mod bench;
pub mod config;
pub mod error;
pub mod machine;
pub mod metrics;
pub mod models;
pub mod recording;
pub mod report;
pub mod run_folder;
pub mod setup;
pub mod tensorboard;
pub mod video;

pub use error::{Error, Result};
