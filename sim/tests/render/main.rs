//! Tests of the renderer: geometry against exact projections and sphere tracing of distance functions, positions of
//! shadows and patterns, and independence of threads and batches.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod appearance;
mod bad_input;
mod geometry;
mod invariance;
mod meshes;
mod scenes;
mod shadows;
