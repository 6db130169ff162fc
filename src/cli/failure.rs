//! Reporting of errors: one line with the error, one with a hint, and an exit code.

use std::io;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::Error;
use crate::agents::AgentError;
use crate::envs::EnvError;
use crate::rewards::RewardError;
use crate::sim::SimError;

use super::text::printable;

/// The input is invalid.
const BAD_INPUT: u8 = 2;
/// A GPU was lost; saved files are intact.
const DEVICE_LOST: u8 = 3;
/// An error in the program or a library.
pub const INTERNAL: u8 = 1;

/// Invalid arguments that only the command line can detect.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct BadInput {
    message: String,
    hint: String,
}

impl BadInput {
    /// An error with a hint.
    pub fn refuse(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self { message: message.into(), hint: hint.into() })
    }
}

/// Prints the error to stderr and returns the exit code.
pub fn report(err: &anyhow::Error) -> u8 {
    if is_broken_pipe(err) {
        // The reader of the output closed the pipe; this is not an error.
        return 0;
    }
    eprintln!("error: {}", printable(&format!("{err:#}")));
    let hint = match err.downcast_ref::<BadInput>() {
        Some(bad_input) => Some(bad_input.hint.clone()),
        None => classify(err).and_then(|err| err.hint),
    };
    if let Some(hint) = hint {
        eprintln!(" hint: {}", printable(&hint));
    }
    match err.downcast_ref::<BadInput>() {
        Some(_) => BAD_INPUT,
        None => classify(err).map_or(INTERNAL, |err| err.code),
    }
}

/// Flags that older programs had, with their present names.
const RENAMED_FLAGS: [(&str, &str); 4] = [
    ("--prompt", "--goal-prompt"),
    ("--goal", "--goal-prompt"),
    ("--baseline", "--baseline-prompt"),
    ("--pictures", "--images"),
];

/// Prints an error about the arguments of the process, or the help that they ask for, and returns the exit code.
pub fn report_arguments(err: &clap::Error, command: &clap::Command) -> ExitCode {
    let flag = match (err.kind(), err.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(flag))) => flag.as_str(),
        _ => "",
    };
    match RENAMED_FLAGS.iter().find(|(old, new)| *old == flag && has_flag(command, new)) {
        Some((old, new)) => eprintln!("error: {old} was renamed; it is now {new}"),
        // Nothing can be done if the terminal refuses the text.
        None => drop(err.print()),
    }
    ExitCode::from(u8::try_from(err.exit_code()).unwrap_or(BAD_INPUT))
}

/// Whether the subcommand that the process was started with has a flag.
fn has_flag(command: &clap::Command, flag: &str) -> bool {
    let subcommand = std::env::args().skip(1).find_map(|name| command.find_subcommand(name));
    let mut flags = subcommand.into_iter().flat_map(|it| it.get_arguments()).filter_map(|it| it.get_long());
    flags.any(|long| flag.strip_prefix("--") == Some(long))
}

struct Class {
    hint: Option<String>,
    code: u8,
}

/// The first error of a Sayso crate in the chain.
fn classify(err: &anyhow::Error) -> Option<Class> {
    err.chain().find_map(|err| {
        if let Some(err) = err.downcast_ref::<Error>() {
            return Some(err.sim_error().map_or_else(|| class_of(err), class_of_sim));
        }
        if let Some(err) = err.downcast_ref::<SimError>() {
            return Some(class_of_sim(err));
        }
        let is_ours = err.is::<EnvError>() || err.is::<RewardError>() || err.is::<AgentError>();
        is_ours.then_some(Class { hint: None, code: BAD_INPUT })
    })
}

fn class_of_sim(err: &SimError) -> Class {
    let (hint, code) = match err {
        SimError::GpuLost { .. } => (
            "saved files are intact; continue with `sayso train --resume RUN`, on the CPU with --device cpu",
            DEVICE_LOST,
        ),
        SimError::NoGpu { .. } => {
            ("render on the CPU with --device cpu; `sayso doctor` lists devices", BAD_INPUT)
        }
        SimError::GpuMemory { .. } => (
            "use fewer envs or episodes, set env.shrink_on_oom = true, or render on the CPU with --device cpu",
            BAD_INPUT,
        ),
        SimError::GpuLimit { .. } => {
            ("use fewer envs or episodes, or render on the CPU with --device cpu", BAD_INPUT)
        }
        SimError::Image { .. } => ("use a PNG or JPEG file", BAD_INPUT),
        SimError::Gpu(_) => return Class { hint: None, code: INTERNAL },
        _ => return Class { hint: None, code: BAD_INPUT },
    };
    Class { hint: Some(hint.into()), code }
}

fn class_of(err: &Error) -> Class {
    Class { hint: err.hint(), code: if err.is_internal() { INTERNAL } else { BAD_INPUT } }
}

fn is_broken_pipe(err: &anyhow::Error) -> bool {
    let mut io_errors = err.chain().filter_map(|err| err.downcast_ref::<io::Error>());
    io_errors.any(|err| err.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_device_has_its_own_exit_code_at_any_depth_of_the_error() {
        let lost = || SimError::GpuLost { device: "a GPU".into(), reason: "it fell off the bus".into() };
        let deep = Error::Agent(AgentError::Env(EnvError::Sim(lost())));
        let scoring = Error::Agent(AgentError::Reward(RewardError::Sim(lost())));
        for err in [lost().into(), anyhow::Error::new(deep).context("training"), scoring.into()] {
            let class = classify(&err).map(|class| (class.code, class.hint));
            let (code, hint) = class.unwrap_or_default();
            assert_eq!(code, DEVICE_LOST);
            assert!(hint.is_some_and(|hint| hint.contains("--resume")));
        }
        let limit = SimError::GpuLimit { what: "bytes".into(), need: 2, limit: 1, hint: String::new() };
        let code = classify(&anyhow::Error::new(Error::from(EnvError::Sim(limit)))).map(|class| class.code);
        assert_eq!(code, Some(BAD_INPUT));
    }
}
