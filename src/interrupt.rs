//! Ctrl-C: the first one requests a stop at the next step or update; the second one ends the program at once.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;

/// Exit code of a program that Ctrl-C ended, by the convention of shells: 128 plus the number of SIGINT.
pub const EXIT_CODE: u8 = 130;

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Installs the handler; until then Ctrl-C ends the program at once. `message` is printed at the first Ctrl-C.
pub fn listen(message: &'static str) -> anyhow::Result<()> {
    let on_signal = move || {
        if REQUESTED.swap(true, Ordering::SeqCst) {
            eprintln!("\nStopped at once. Saved files are intact.");
            std::process::exit(i32::from(EXIT_CODE));
        }
        eprintln!("\n{message} (Press Ctrl-C again to stop at once.)");
    };
    ctrlc::set_handler(on_signal).context("cannot listen for Ctrl-C")
}

/// Whether the user requested a stop.
pub fn is_requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}
