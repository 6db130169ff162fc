//! How failure is told: one line that says what was wrong, one that says what to do, and an exit code.

use std::io::ErrorKind;

use sayso::Error;
use sayso::agents::AgentError;
use sayso::envs::EnvError;
use sayso::rewards::RewardError;
use sayso::sim::SimError;

/// What was asked for cannot be done as asked.
const BAD_INPUT: u8 = 2;
/// A device stopped answering; what was saved is intact.
const DEVICE_LOST: u8 = 3;
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
        if let Some(err) = sim_error(err) {
            return Some(class_of_sim(err));
        }
        if let Some(err) = err.downcast_ref::<Error>() {
            return Some(class_of(err));
        }
        let is_ours = err.is::<EnvError>() || err.is::<RewardError>() || err.is::<AgentError>();
        is_ours.then_some(Class { hint: None, code: BAD_INPUT })
    })
}

/// The error of the simulator that another error passes on.
fn sim_error<'a>(err: &'a (dyn std::error::Error + 'static)) -> Option<&'a SimError> {
    let of_reward = |err: &'a RewardError| match err {
        RewardError::Sim(err) => Some(err),
        _ => None,
    };
    let of_env = |err: &'a EnvError| match err {
        EnvError::Sim(err) => Some(err),
        EnvError::Reward(err) => of_reward(err),
        _ => None,
    };
    let of_agent = |err: &'a AgentError| match err {
        AgentError::Env(err) => of_env(err),
        AgentError::Reward(err) => of_reward(err),
        _ => None,
    };
    if let Some(err) = err.downcast_ref::<EnvError>() {
        return of_env(err);
    }
    if let Some(err) = err.downcast_ref::<RewardError>() {
        return of_reward(err);
    }
    if let Some(err) = err.downcast_ref::<AgentError>() {
        return of_agent(err);
    }
    match err.downcast_ref::<Error>() {
        Some(Error::Env(err)) => of_env(err),
        Some(Error::Reward(err)) => of_reward(err),
        Some(Error::Agent(err)) => of_agent(err),
        _ => err.downcast_ref::<SimError>(),
    }
}

fn class_of_sim(err: &SimError) -> Class {
    let (hint, code) = match err {
        SimError::GpuLost { .. } => (
            "what was saved is intact; a run goes on with train --resume RUN, on the CPU with --device cpu",
            DEVICE_LOST,
        ),
        SimError::NoGpu { .. } => {
            ("draw on the CPU with --device cpu; `sayso doctor` lists devices", BAD_INPUT)
        }
        SimError::GpuMemory { .. } => (
            "use fewer --envs, let it go on in smaller groups with --set env.smaller_groups=true, or draw on the CPU with \
             --device cpu",
            BAD_INPUT,
        ),
        SimError::GpuLimit { .. } => ("use fewer --envs, or draw on the CPU with --device cpu", BAD_INPUT),
        SimError::Gpu(_) => return Class { hint: None, code: INTERNAL },
        _ => return Class { hint: None, code: BAD_INPUT },
    };
    Class { hint: Some(hint.into()), code }
}

fn class_of(err: &Error) -> Class {
    Class { hint: err.hint(), code: if err.is_internal() { INTERNAL } else { BAD_INPUT } }
}

fn is_broken_pipe(err: &anyhow::Error) -> bool {
    let mut io_errors = err.chain().filter_map(|err| err.downcast_ref::<std::io::Error>());
    io_errors.any(|err| err.kind() == ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_device_has_an_exit_code_of_its_own_however_deep_it_is_told() {
        let lost = || SimError::GpuLost { device: "a card".into(), reason: "it fell off the bus".into() };
        let deep = Error::Agent(AgentError::Env(EnvError::Sim(lost())));
        let judging = Error::Agent(AgentError::Reward(RewardError::Sim(lost())));
        for err in [lost().into(), anyhow::Error::new(deep).context("training"), judging.into()] {
            let class = classify(&err).map(|class| (class.code, class.hint));
            let (code, hint) = class.unwrap_or_default();
            assert_eq!(code, DEVICE_LOST);
            assert!(hint.is_some_and(|hint| hint.contains("--resume")));
        }
        let limit = SimError::GpuLimit { what: "bytes".into(), need: 2, limit: 1, hint: String::new() };
        let code = classify(&anyhow::Error::new(EnvError::Sim(limit))).map(|class| class.code);
        assert_eq!(code, Some(BAD_INPUT));
    }
}
