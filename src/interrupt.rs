//! Ctrl-C: the first one asks the work to finish what it is at and save; the second one ends the program.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;

/// Exit code of a program that Ctrl-C ended, by the shell's custom: 128 plus the number of SIGINT.
pub const EXIT_CODE: u8 = 130;

static ASKED: AtomicBool = AtomicBool::new(false);

/// Starts to listen; until then Ctrl-C ends the program at once. `what_happens_next` is told to the user.
pub fn listen(what_happens_next: &'static str) -> anyhow::Result<()> {
    let on_signal = move || {
        if ASKED.swap(true, Ordering::SeqCst) {
            eprintln!("\nStopped at once. What was saved before is intact.");
            std::process::exit(i32::from(EXIT_CODE));
        }
        eprintln!("\n{what_happens_next} (Ctrl-C again stops at once)");
    };
    ctrlc::set_handler(on_signal).context("cannot listen for Ctrl-C")
}

/// Whether the user asked to stop.
pub fn is_asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}
