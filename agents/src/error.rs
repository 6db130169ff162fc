//! What can go wrong in learning.

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
        /// What stands there.
        got: String,
        /// What may stand there.
        expected: String,
    },
    /// Two things that must fit do not: an env and a policy, a scorer and a batch.
    #[error("{what}: expected {expected}, got {got}")]
    Mismatch {
        /// What was compared.
        what: &'static str,
        /// What is needed.
        expected: String,
        /// What came.
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
    /// Learning left the finite numbers; what was saved before is intact.
    #[error("{what} became non-finite in update {update}; a smaller learning rate or reward scale may help")]
    NonFinite {
        /// Which quantity.
        what: &'static str,
        /// Updates done before it.
        update: u64,
    },
    /// The thread of the frame scorer ended without an answer.
    #[error("the frame scorer stopped: {0}")]
    ScorerStopped(String),
    /// An environment failed.
    #[error(transparent)]
    Env(#[from] sayso_envs::EnvError),
    /// A reward model failed.
    #[error(transparent)]
    Reward(#[from] sayso_rewards::RewardError),
    /// The tensor library failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
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
