//! Errors of the façade: files, configurations, images, and the errors of the crates below.

use std::io;
use std::path::{Path, PathBuf};

use sayso_agents::AgentError;
use sayso_envs::EnvError;
use sayso_pretrain::PretrainError;
use sayso_rewards::RewardError;
use sayso_sim::SimError;

/// Result of a fallible call into the façade.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the façade; the message names the cause and its location, [`Error::hint`] a remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to read, write or create a file.
    #[error("cannot {action} {}: {reason}", path.display())]
    File {
        /// The verb: `read`, `write`, `create`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        reason: io::Error,
    },
    /// A folder that would be created is not empty.
    #[error("{} already exists and is not empty", path.display())]
    FolderExists {
        /// The folder.
        path: PathBuf,
    },
    /// A folder is not a run folder.
    #[error("{} is not a run folder: {reason}", path.display())]
    NotARun {
        /// The folder.
        path: PathBuf,
        /// The cause.
        reason: String,
    },
    /// None of a run's checkpoints was compared with the others.
    #[error("{} has no best checkpoint: no episode was finished when its checkpoints were saved", path.display())]
    NoBestCheckpoint {
        /// The folder.
        path: PathBuf,
    },
    /// A run has no results yet.
    #[error("{} is not finished: {reason}", path.display())]
    NotFinished {
        /// The folder.
        path: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// Runs cannot be compared.
    #[error("the runs cannot be compared: {reason}")]
    NotComparable {
        /// The cause.
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
        /// The cause, and what was expected.
        reason: String,
        /// The most similar known key.
        nearest: Option<String>,
    },
    /// A name is unknown.
    #[error("unknown {what} '{name}'; known: {}", known.join(", "))]
    UnknownName {
        /// Kind of the named item, such as `preset`.
        what: &'static str,
        /// The unknown name.
        name: String,
        /// The most similar known name.
        nearest: Option<String>,
        /// All known names.
        known: Vec<String>,
    },
    /// A goal prompt that names no goal of the task needs a baseline prompt.
    #[error("'{prompt}' does not name exactly one of the task's goals, so it needs a baseline prompt")]
    NoBaseline {
        /// The goal prompt.
        prompt: String,
    },
    /// Frames were copied to the host, and should have stayed on the GPU.
    #[error("{what}: frames were read back {n} times, and should have stayed on the GPU")]
    ReadBack {
        /// The measurement.
        what: String,
        /// Number of read-backs.
        n: u64,
    },
    /// A field of a configuration is out of its range.
    #[error("{field} = {got} is out of range; expected {expected}")]
    OutOfRange {
        /// Dotted path of the field.
        field: String,
        /// The value.
        got: String,
        /// The allowed values.
        expected: String,
    },
    /// A video cannot be encoded.
    #[error("cannot encode the video: {0}")]
    Video(String),
    /// A chart cannot be plotted.
    #[error("cannot plot the chart: {0}")]
    Chart(String),
    /// The simulator failed.
    #[error(transparent)]
    Sim(#[from] SimError),
    /// An environment failed.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// A reward model failed.
    #[error(transparent)]
    Reward(#[from] RewardError),
    /// A learner failed.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// Pretraining failed.
    #[error(transparent)]
    Pretrain(#[from] PretrainError),
}

impl Error {
    /// A remedy for the user, if there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File { action: "read", .. } => None,
            Self::File { reason, .. } => match reason.kind() {
                io::ErrorKind::StorageFull => {
                    Some("the disk is full; free some space, then resume the run".into())
                }
                _ => Some("check that the folder exists and is writable".into()),
            },
            Self::FolderExists { path } => Some(match path.join(crate::run_folder::CONFIG).is_file() {
                true => format!(
                    "choose another folder with --out, or continue that run with `sayso train --resume {}`",
                    path.display()
                ),
                false => "choose another folder with --out".into(),
            }),
            Self::NotARun { .. } => {
                Some("a run folder is written by `sayso train` and has a config.toml".into())
            }
            Self::NotFinished { path, .. } => Some(format!(
                "continue it with `sayso train --resume {0}`, or evaluate it with `sayso report {0}`",
                path.display()
            )),
            Self::NoBestCheckpoint { .. } => Some("evaluate the newest one, without --best".into()),
            Self::ConfigKey { nearest, .. } | Self::UnknownName { nearest, .. } => {
                nearest.as_ref().map(|name| format!("did you mean '{name}'?"))
            }
            Self::NoBaseline { .. } => Some(
                "describe the scene without the goal with --baseline-prompt; none is needed if alpha is 0"
                    .into(),
            ),
            Self::Agent(AgentError::UnknownAlgorithm { nearest, .. }) => {
                nearest.as_ref().map(|name| format!("did you mean '{name}'?"))
            }
            _ => self
                .reward_error()
                .and_then(hint_of_reward)
                .or_else(|| self.env_error().and_then(hint_of_env)),
        }
    }

    /// Whether the fault is in the program or its libraries, and not in the input.
    pub fn is_internal(&self) -> bool {
        matches!(
            self,
            Self::Video(_)
                | Self::Chart(_)
                | Self::ReadBack { .. }
                | Self::Agent(AgentError::Tensor(_))
                | Self::Pretrain(PretrainError::Tensor(_))
        ) || matches!(
            self.reward_error(),
            Some(RewardError::Tensor(_) | RewardError::MissingFrame { .. } | RewardError::WorkerStopped(_))
        )
    }

    /// Whether a device is absent, lost or out of memory.
    pub fn is_device(&self) -> bool {
        let is_gpu = |err: &SimError| {
            matches!(
                err,
                SimError::Gpu(_)
                    | SimError::GpuLost { .. }
                    | SimError::GpuMemory { .. }
                    | SimError::GpuLimit { .. }
                    | SimError::NoGpu { .. }
            )
        };
        self.sim_error().is_some_and(is_gpu)
            || matches!(self.reward_error(), Some(RewardError::Cuda { .. } | RewardError::OutOfMemory { .. }))
    }

    /// The error of an environment, if that is the cause.
    pub fn env_error(&self) -> Option<&EnvError> {
        match self {
            Self::Env(err) | Self::Agent(AgentError::Env(err)) | Self::Pretrain(PretrainError::Env(err)) => {
                Some(err)
            }
            _ => None,
        }
    }

    /// The error of a reward model, if that is the cause.
    pub fn reward_error(&self) -> Option<&RewardError> {
        match self {
            Self::Reward(err)
            | Self::Agent(AgentError::Reward(err))
            | Self::Pretrain(PretrainError::Reward(err)) => Some(err),
            _ => match self.env_error() {
                Some(EnvError::Reward(err)) => Some(err),
                _ => None,
            },
        }
    }

    /// The error of the simulator, if that is the cause.
    pub fn sim_error(&self) -> Option<&SimError> {
        match (self, self.env_error(), self.reward_error()) {
            (Self::Sim(err), ..) | (_, Some(EnvError::Sim(err)), _) | (.., Some(RewardError::Sim(err))) => {
                Some(err)
            }
            _ => None,
        }
    }

    /// Wraps an error of the operating system about `path`.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |reason| Self::File { action, path, reason }
    }
}

fn hint_of_env(err: &EnvError) -> Option<String> {
    match err {
        EnvError::Unknown { what: "environment", .. } => Some("`sayso envs` lists the environments".into()),
        EnvError::Unknown { what: "instruction", .. } => {
            Some("`sayso envs ENV` lists the goals, whose names are the values of env.instruction".into())
        }
        _ => None,
    }
}

fn hint_of_reward(err: &RewardError) -> Option<String> {
    match err {
        RewardError::UnknownModel { .. } => {
            Some("`sayso doctor` lists the models that are on this machine".into())
        }
        RewardError::PromptTooLong { .. } => Some("use fewer words".into()),
        RewardError::UnknownKind { nearest, .. } => {
            nearest.as_ref().map(|name| format!("did you mean '{name}'?"))
        }
        RewardError::OutOfMemory { .. } => Some(
            "use fewer envs or episodes; train continues with smaller batches if env.shrink_on_oom is true"
                .into(),
        ),
        RewardError::Cuda { .. } => {
            Some("use the CPU with --device cpu; `sayso doctor` lists the devices that work".into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_devices_are_recognised_at_any_depth() {
        let lost = || RewardError::Cuda { device: "a GPU".to_owned(), reason: "it is gone".to_owned() };
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
