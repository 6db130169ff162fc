//! Tests of training, most of them on a toy env that is solved in seconds.

#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod point_env;

// PPO on the toy env.
mod learning;
mod off_policy;
// Saving, resuming, and damaged files.
mod checkpoints;
// The reward worker.
mod scoring;
// Scripted policies in the registered environments.
mod scripted;
