//! The command line of Sayso. Each command is one file in `cli/`.

mod cli;
mod interrupt;
mod progress;

use std::process::ExitCode;

fn main() -> ExitCode {
    // The message of a panic is printed by then; its exit code is that of internal errors.
    std::panic::catch_unwind(cli::run).unwrap_or(ExitCode::from(cli::INTERNAL))
}
