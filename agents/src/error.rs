//! Errors of training.

use std::path::PathBuf;

/// Result of a fallible call into this crate.
pub type Result<T, E = AgentError> = std::result::Result<T, E>;

/// An error of a learner; the message says what was wrong, where, and what is allowed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// A field of a configuration is out of its range.
    #[error("{field} = {got} is out of range; expected {expected}")]
    OutOfRange {
        /// Dotted path of the field.
        field: String,
        /// Its value.
        got: String,
        /// The values that are allowed.
        expected: String,
    },
    /// Two things do not fit together, such as an env and a policy, or scores and a batch.
    #[error("{what}: expected {expected}, got {got}")]
    Mismatch {
        /// What was compared.
        what: &'static str,
        /// The value that is required.
        expected: String,
        /// The value that was given.
        got: String,
    },
    /// A checkpoint is missing, damaged or does not fit.
    #[error("{}: {reason}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; names the tensor or the key.
        reason: String,
    },
    /// There is no algorithm of a name.
    #[error("train.algorithm = '{name}' is unknown; known: {}", known.join(", "))]
    UnknownAlgorithm {
        /// The name.
        name: String,
        /// The nearest name that exists.
        nearest: Option<String>,
        /// All names.
        known: Vec<String>,
    },
    /// An option of an algorithm is unknown, missing, or of a wrong type.
    #[error("{field}: {reason}")]
    Option {
        /// Dotted path of the option.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A loss or gradient is NaN or infinite; the checkpoints written before are intact.
    #[error("{what} is NaN or infinite in update {update}; a smaller learning rate or reward scale may help")]
    NonFinite {
        /// Name of the quantity.
        what: &'static str,
        /// Updates done before it.
        update: u64,
    },
    /// An environment failed.
    #[error(transparent)]
    Env(#[from] sayso_envs::EnvError),
    /// A reward model failed.
    #[error(transparent)]
    Reward(#[from] sayso_rewards::RewardError),
    /// The tensor library failed.
    #[error("{}", sayso_rewards::tensor_message(.0))]
    Tensor(candle_core::Error),
}

impl From<candle_core::Error> for AgentError {
    fn from(error: candle_core::Error) -> Self {
        Self::Tensor(error)
    }
}

/// Checks a field of a configuration.
pub(crate) fn check(
    ok: bool,
    field: &str,
    got: impl std::fmt::Debug,
    expected: impl Into<String>,
) -> Result<()> {
    if ok {
        return Ok(());
    }
    Err(AgentError::OutOfRange {
        field: field.to_owned(),
        got: format!("{got:?}"),
        expected: expected.into(),
    })
}
