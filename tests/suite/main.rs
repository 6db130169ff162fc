//! What must hold across the whole project.

/// Crate edges, the map of the code, and where `unsafe` may stand.
mod architecture;
/// What the program says to input that it cannot use; exit codes.
mod bad_input;
/// Licences, sources, and the reasons for each dependency.
mod dependencies;
/// What cargo knows about the workspace.
mod metadata;
/// The program, started the way a user starts it.
mod program;
/// Whole runs, small: their folders, reports, resumption.
mod runs;
/// `sayso pretrain` and `sayso score`.
mod tools;
/// The vocabulary.
mod words;
