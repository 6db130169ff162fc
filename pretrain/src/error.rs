//! Errors of pretraining.

use std::path::PathBuf;

/// Result of a fallible call into this crate.
pub type Result<T, E = PretrainError> = std::result::Result<T, E>;

/// An error of pretraining; the message says what was wrong, where, and what is allowed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PretrainError {
    /// A field of a configuration is out of its range.
    #[error("{field} = {got} is out of range; expected {expected}")]
    OutOfRange {
        /// Name of the field.
        field: String,
        /// Its value.
        got: String,
        /// The values that are allowed.
        expected: String,
    },
    /// A checkpoint is missing, damaged or does not fit.
    #[error("{}: {reason}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; names the tensor or the key.
        reason: String,
    },
    /// A gradient is NaN or infinite; the checkpoints written before are intact.
    #[error("the gradient is NaN or infinite in step {step}; a smaller learning rate may help")]
    NonFinite {
        /// Steps done before it.
        step: u64,
    },
    /// A task failed.
    #[error(transparent)]
    Env(#[from] sayso_envs::EnvError),
    /// A tower failed.
    #[error(transparent)]
    Reward(#[from] sayso_rewards::RewardError),
    /// The tensor library failed.
    #[error("{}", sayso_rewards::tensor_message(.0))]
    Tensor(candle_core::Error),
}

impl From<candle_core::Error> for PretrainError {
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
    Err(PretrainError::OutOfRange {
        field: field.to_owned(),
        got: format!("{got:?}"),
        expected: expected.into(),
    })
}
