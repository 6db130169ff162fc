//! What can go wrong in the façade: files, configurations, pictures.

use std::io;
use std::path::{Path, PathBuf};

use sayso_agents::AgentError;
use sayso_envs::EnvError;
use sayso_rewards::RewardError;
use sayso_sim::SimError;

/// Result of a fallible call into the façade.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the façade; the message says what was wrong and where, [`Error::hint`] what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to read, write or create a file.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// The verb: `read`, `write`, `create`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A run folder is to be created where something already is.
    #[error("{} already exists and is not empty", path.display())]
    RunExists {
        /// The folder.
        path: PathBuf,
    },
    /// A folder is not one that a run wrote.
    #[error("{} is not a run folder: {reason}", path.display())]
    NotARun {
        /// The folder.
        path: PathBuf,
        /// What is missing or wrong.
        reason: String,
    },
    /// A configuration file is not TOML.
    #[error("{}: {reason}", path.display())]
    ConfigSyntax {
        /// The file.
        path: PathBuf,
        /// Line, column, and what was expected there.
        reason: String,
    },
    /// A key of a configuration is unknown, missing or of a wrong type.
    #[error("configuration, {}: {reason}", if field == "." { "top level" } else { field })]
    ConfigKey {
        /// Dotted path of the table or the field.
        field: String,
        /// What is wrong, and what was expected.
        reason: String,
        /// The most similar key that exists.
        nearest: Option<String>,
    },
    /// A name that leads nowhere.
    #[error("unknown {what} '{name}'; known: {}", known.join(", "))]
    UnknownName {
        /// Kind of thing.
        what: &'static str,
        /// The name that was asked for.
        name: String,
        /// The most similar name that exists.
        nearest: Option<String>,
        /// Every name that exists.
        known: Vec<String>,
    },
    /// A prompt that names no goal of the task needs a baseline of its own.
    #[error("'{prompt}' names none of the task's goals, so there is no baseline prompt to go with it")]
    NoBaseline {
        /// The prompt.
        prompt: String,
    },
    /// Pictures went through the host where they should not have.
    #[error("{what}: pictures were read back {n} times, and frames should have stayed on the card")]
    ReadBack {
        /// What was measured.
        what: String,
        /// How often.
        n: u64,
    },
    /// A field of a configuration is out of its range.
    #[error("{field} = {got} is out of range; expected {expected}")]
    OutOfRange {
        /// Dotted path of the field.
        field: String,
        /// What stands there.
        got: String,
        /// What may stand there.
        expected: String,
    },
    /// A picture cannot be decoded.
    #[error("cannot decode {}: {reason}", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        reason: String,
    },
    /// A video cannot be encoded.
    #[error("cannot encode the video: {0}")]
    Video(String),
    /// A curve cannot be drawn.
    #[error("cannot draw the chart: {0}")]
    Chart(String),
    /// An environment failed.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// A reward model failed.
    #[error(transparent)]
    Reward(#[from] RewardError),
    /// The learner failed.
    #[error(transparent)]
    Agent(#[from] AgentError),
}

impl Error {
    /// What the user can do about it, if there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File { action: "read", .. } => None,
            Self::File { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull => {
                    Some("the disk is full; free some space, then resume the run".into())
                }
                _ => Some("choose another folder with --out".into()),
            },
            Self::RunExists { path } => Some(format!(
                "choose another folder with --out, or continue that run with `sayso train --resume {}`",
                path.display()
            )),
            Self::NotARun { .. } => {
                Some("a run folder is what `sayso train` wrote; it holds a config.toml".into())
            }
            Self::ConfigKey { nearest, .. } | Self::UnknownName { nearest, .. } => {
                nearest.as_ref().map(|name| format!("did you mean '{name}'?"))
            }
            Self::NoBaseline { .. } => {
                Some("describe the scene without the goal with --baseline, or use --alpha 0".into())
            }
            Self::Env(err) | Self::Agent(AgentError::Env(err)) => hint_of_env(err),
            Self::Reward(err) | Self::Agent(AgentError::Reward(err)) => hint_of_reward(err),
            Self::Image { .. } => Some("PNG and JPEG files can be read".into()),
            Self::ConfigSyntax { .. }
            | Self::OutOfRange { .. }
            | Self::Video(_)
            | Self::Chart(_)
            | Self::ReadBack { .. }
            | Self::Agent(_) => None,
        }
    }

    /// Whether the fault lies in the program or its libraries and not in what was asked of it.
    pub fn is_internal(&self) -> bool {
        matches!(
            self,
            Self::Video(_)
                | Self::Chart(_)
                | Self::ReadBack { .. }
                | Self::Reward(RewardError::Tensor(_))
                | Self::Env(EnvError::Reward(RewardError::Tensor(_)))
                | Self::Agent(
                    AgentError::Tensor(_)
                        | AgentError::ScorerStopped(_)
                        | AgentError::Reward(RewardError::Tensor(_))
                        | AgentError::Env(EnvError::Reward(RewardError::Tensor(_)))
                )
        )
    }

    /// Whether a device is absent, lost or out of memory.
    pub fn is_device(&self) -> bool {
        match self {
            Self::Env(err) | Self::Agent(AgentError::Env(err)) => is_device_of_env(err),
            Self::Reward(err) | Self::Agent(AgentError::Reward(err)) => is_device_of_reward(err),
            _ => false,
        }
    }

    /// Wraps what the system said about `path`.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }
}

fn is_device_of_env(err: &EnvError) -> bool {
    match err {
        EnvError::Sim(err) => is_device_of_sim(err),
        EnvError::Reward(err) => is_device_of_reward(err),
        _ => false,
    }
}

fn is_device_of_reward(err: &RewardError) -> bool {
    match err {
        RewardError::Cuda { .. } | RewardError::OutOfMemory { .. } => true,
        RewardError::Sim(err) => is_device_of_sim(err),
        _ => false,
    }
}

fn is_device_of_sim(err: &SimError) -> bool {
    matches!(
        err,
        SimError::Gpu(_)
            | SimError::GpuLost { .. }
            | SimError::GpuMemory { .. }
            | SimError::GpuLimit { .. }
            | SimError::NoGpu { .. }
    )
}

fn hint_of_env(err: &EnvError) -> Option<String> {
    match err {
        EnvError::Reward(err) => hint_of_reward(err),
        EnvError::Unknown { what: "environment" | "goal", .. } => {
            Some("`sayso envs` lists the environments and their goals".into())
        }
        _ => None,
    }
}

fn hint_of_reward(err: &RewardError) -> Option<String> {
    match err {
        RewardError::UnknownModel { .. } => {
            Some("`sayso doctor` lists the models that are on this machine".into())
        }
        RewardError::PromptTooLong { .. } => Some("say it in fewer words".into()),
        RewardError::OutOfMemory { .. } => {
            Some("let it go on with fewer at a time: --set env.smaller_groups=true".into())
        }
        RewardError::Cuda { .. } => {
            Some("draw and judge on the CPU with --device cpu; `sayso doctor` says what works".into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_told_from_other_faults_wherever_they_failed() {
        let lost = || RewardError::Cuda { device: "a card".to_owned(), reason: "it is gone".to_owned() };
        let memory = RewardError::OutOfMemory { n_views: 64, fits: 16 };
        assert!(Error::from(lost()).is_device() && Error::from(memory).is_device());
        assert!(Error::from(EnvError::from(lost())).is_device());
        assert!(Error::from(AgentError::from(EnvError::from(lost()))).is_device());
        let limit = EnvError::from(SimError::Gpu("it does not answer".to_owned()));
        assert!(Error::from(limit).is_device());
        assert!(!Error::from(EnvError::WrongOrder("step before reset")).is_device());
        assert!(!Error::Video("no frames".to_owned()).is_device());
    }
}
