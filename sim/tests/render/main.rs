//! What pictures must show, whoever draws them: geometry against exact projections and walks along distance
//! functions, shadows and patterns by where they must and must not be, and independence of threads and batches.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod appearance;
mod bad_input;
mod geometry;
mod invariance;
mod meshes;
mod scenes;
mod shadows;
