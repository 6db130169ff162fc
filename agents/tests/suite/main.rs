//! Contracts of the learners, most of them on a toy env that is solved in seconds.

#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod point_env;

// What is learnt, and from what.
mod learning;
// Saving, resuming, and files that are not as they should be.
mod checkpoints;
// The judge's thread.
mod scoring;
// Scripted policies in the registered environments.
mod experts;
// A reward model in the making.
mod pretraining;
