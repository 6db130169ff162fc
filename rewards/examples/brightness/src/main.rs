//! Sayso's command line with one more kind of reward:
//! `cargo run --release -- train --set reward.kind=brightness --set reward.n_frames=4 --set reward.size=32`

use std::process::ExitCode;

fn main() -> ExitCode {
    match brightness::register_kind() {
        Ok(()) => sayso::cli::main(),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
