//! How failure is told: one line that says what was wrong, one that says what to do, and an exit code.

use std::io::ErrorKind;

use sayso::Error;
use sayso::agents::AgentError;
use sayso::envs::EnvError;
use sayso::rewards::RewardError;

/// What was asked for cannot be done as asked.
const BAD_INPUT: u8 = 2;
/// The program or a library is at fault.
const INTERNAL: u8 = 1;

/// Something that only the command line can find wrong.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct BadInput {
    message: String,
    hint: String,
}

impl BadInput {
    /// What is wrong, and what to do.
    pub fn refuse(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self { message: message.into(), hint: hint.into() })
    }
}

/// Writes the failure to stderr and returns the exit code.
pub fn tell(err: &anyhow::Error) -> u8 {
    if is_broken_pipe(err) {
        // Whoever read our output has seen enough.
        return 0;
    }
    eprintln!("error: {err:#}");
    let hint = match err.downcast_ref::<BadInput>() {
        Some(bad_input) => Some(bad_input.hint.clone()),
        None => classify(err).and_then(|err| err.hint),
    };
    if let Some(hint) = hint {
        eprintln!(" hint: {hint}");
    }
    match err.downcast_ref::<BadInput>() {
        Some(_) => BAD_INPUT,
        None => classify(err).map_or(INTERNAL, |err| err.code),
    }
}

struct Class {
    hint: Option<String>,
    code: u8,
}

/// The first error of ours in the chain, whatever its crate.
fn classify(err: &anyhow::Error) -> Option<Class> {
    err.chain().find_map(|err| {
        if let Some(err) = err.downcast_ref::<Error>() {
            return Some(class_of(err));
        }
        let is_ours = err.is::<EnvError>() || err.is::<RewardError>() || err.is::<AgentError>();
        is_ours.then_some(Class { hint: None, code: BAD_INPUT })
    })
}

fn class_of(err: &Error) -> Class {
    Class { hint: err.hint(), code: if err.is_internal() { INTERNAL } else { BAD_INPUT } }
}

fn is_broken_pipe(err: &anyhow::Error) -> bool {
    let mut io_errors = err.chain().filter_map(|err| err.downcast_ref::<std::io::Error>());
    io_errors.any(|err| err.kind() == ErrorKind::BrokenPipe)
}
