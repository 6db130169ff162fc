//! Runs of the `sayso` binary.

use std::path::Path;
use std::process::{Command, Output};

/// Runs `sayso` in `folder`.
pub fn sayso(folder: &Path, args: &[&str]) -> Output {
    command(folder, args).output().expect("the program starts")
}

/// A command that runs `sayso` in `folder`.
pub fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sayso"));
    command.current_dir(folder).args(args).env("NO_COLOR", "1").env_remove("RUST_BACKTRACE");
    command
}

/// The program's stderr.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The program's stdout.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
