//! The command line of Sayso. Each command is one file in `cli/`.

mod cli;
mod interrupt;
mod progress;

fn main() -> std::process::ExitCode {
    cli::run()
}
