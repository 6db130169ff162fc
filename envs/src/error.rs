//! Errors of environments.

use sayso_sim::names;

/// Result of a fallible call into an environment.
pub type Result<T, E = EnvError> = std::result::Result<T, E>;

/// An error of an environment; the message says what was wrong, where, and what is allowed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvError {
    /// An id, an instruction, a camera or an option that does not exist.
    #[error("unknown {what} '{name}'{}; known: {}", suggestion(nearest), known.join(", "))]
    Unknown {
        /// What the name refers to, such as `camera`.
        what: &'static str,
        /// The requested name.
        name: String,
        /// The most similar name that exists.
        nearest: Option<String>,
        /// Every name that exists.
        known: Vec<String>,
    },
    /// An option of a task is unknown, or of a wrong type or value.
    #[error("{field}: {reason}")]
    Option {
        /// Dotted path of the option.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A field of a configuration is out of its range.
    #[error("{field} = {got} is out of range; expected {expected}")]
    OutOfRange {
        /// Dotted path of the field.
        field: String,
        /// The given value.
        got: String,
        /// The allowed values.
        expected: String,
    },
    /// Actions do not fit the action space.
    #[error("actions: expected {expected}, got {got}")]
    BadAction {
        /// The expected shape, type and range.
        expected: String,
        /// The given actions.
        got: String,
    },
    /// A call in the wrong order, such as a step before the first reset.
    #[error("{0}")]
    WrongOrder(&'static str),
    /// The operating system could not start a thread.
    #[error("cannot start a thread for a group of envs: {0}; use env.n_groups = 1")]
    NoThread(String),
    /// The simulator failed.
    #[error(transparent)]
    Sim(#[from] sayso_sim::SimError),
    /// The reward model failed.
    #[error(transparent)]
    Reward(#[from] sayso_rewards::RewardError),
}

impl EnvError {
    /// An [`EnvError::Unknown`] that suggests the nearest of the known names.
    pub fn unknown<S: AsRef<str>>(what: &'static str, name: &str, known: &[S]) -> Self {
        let nearest = names::nearest(name, known.iter().map(AsRef::as_ref)).map(str::to_owned);
        Self::Unknown {
            what,
            name: name.to_owned(),
            nearest,
            known: known.iter().map(|k| k.as_ref().to_owned()).collect(),
        }
    }
}

fn suggestion(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|n| format!(", did you mean '{n}'?")).unwrap_or_default()
}
