//! Tests of the project as a whole.

/// Dependencies between crates, the map of the code, and the file with `unsafe` code.
mod architecture;
/// Errors and exit codes for bad input.
mod bad_input;
/// Licences, sources and reasons of dependencies.
mod dependencies;
/// `cargo metadata` of the workspace.
mod metadata;
/// Runs of the `sayso` binary.
mod program;
/// Small training runs: run folder, report, resumption, interruption.
mod runs;
/// Several runs as one result, and recordings of a run's policy.
mod several;
/// `sayso pretrain` and `sayso score`; closed pipes.
mod tools;
/// Words that the project does not use.
mod words;
