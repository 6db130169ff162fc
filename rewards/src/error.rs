//! Errors of reward models.

use std::path::PathBuf;

/// Result type of this crate.
pub type Result<T, E = RewardError> = std::result::Result<T, E>;

/// An error of a reward model. The message names the cause, its location and a remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RewardError {
    /// A field of a configuration is out of its range.
    #[error("{field} = {got} is out of range; expected {expected}")]
    OutOfRange {
        /// Dotted path of the field.
        field: String,
        /// Value of the field.
        got: String,
        /// Allowed values.
        expected: String,
    },
    /// A file of a checkpoint is missing, damaged or inconsistent with the others.
    #[error("{}: {reason}", path.display())]
    Checkpoint {
        /// Path of the file.
        path: PathBuf,
        /// Cause; names the tensor or the key.
        reason: String,
    },
    /// A model name cannot be resolved.
    #[error("no model '{name}': {reason}")]
    UnknownModel {
        /// Requested name.
        name: String,
        /// Where it was searched for, and what to do.
        reason: String,
    },
    /// A prompt is longer than the text tower's context.
    #[error(
        "the prompt is {n_tokens} tokens long and the model reads {context_length}; {n_cut} would be cut: '{prompt}'"
    )]
    PromptTooLong {
        /// The prompt.
        prompt: String,
        /// Number of its tokens, including the start and end tokens.
        n_tokens: usize,
        /// Maximum number of tokens.
        context_length: usize,
        /// Number of tokens beyond the maximum.
        n_cut: usize,
    },
    /// A prompt has words outside the model's closed vocabulary.
    #[error(
        "the model does not know {} in '{prompt}'; it knows {n_known} words{}",
        quoted(words),
        if suggestions.is_empty() { String::new() } else { format!(", among them {}", quoted(suggestions)) }
    )]
    UnknownWords {
        /// The prompt.
        prompt: String,
        /// The unknown words, as written in the prompt.
        words: Vec<String>,
        /// Similar words of the vocabulary.
        suggestions: Vec<String>,
        /// Number of words in the vocabulary.
        n_known: usize,
    },
    /// The image size differs from the model's.
    #[error("the model reads {expected:?} pixels (height, width) and got {got:?}")]
    WrongImageSize {
        /// Height and width of the model's [`sayso_sim::ImageSpec`].
        expected: (usize, usize),
        /// Height and width of the given images.
        got: (usize, usize),
    },
    /// CUDA cannot run the reward model on the rendering NVIDIA GPU.
    #[error("frames are rendered on {device}, but CUDA cannot run the reward model on it: {reason}")]
    Cuda {
        /// Name of the GPU.
        device: String,
        /// Cause.
        reason: String,
    },
    /// The reward model's device is out of memory.
    #[error("the reward model's device is out of memory with {n_views} frames per batch; {fits} would fit")]
    OutOfMemory {
        /// Frames per batch.
        n_views: usize,
        /// Frames per batch that fit.
        fits: usize,
    },
    /// A kind of reward model does not exist.
    #[error("reward.kind = '{name}' is unknown; known: {}", known.join(", "))]
    UnknownKind {
        /// The requested name.
        name: String,
        /// The most similar name that exists.
        nearest: Option<String>,
        /// Every name that exists.
        known: Vec<String>,
    },
    /// An option of a kind of reward model is unknown, missing or of a wrong type.
    #[error("{field}: {reason}")]
    Option {
        /// Dotted path of the key.
        field: String,
        /// Cause.
        reason: String,
    },
    /// A reward model returned another number of values.
    #[error("the reward model returned {got} {what}; expected {expected}")]
    WrongLength {
        /// What the values are.
        what: &'static str,
        /// Number of values.
        expected: usize,
        /// Number of values that it returned.
        got: usize,
    },
    /// A reward model outside this crate failed: a server, or a function of Python.
    #[error("the reward model failed: {reason}")]
    Failed {
        /// Cause.
        reason: String,
    },
    /// A score is NaN or infinite.
    #[error("the reward model returned {score}; expected a finite number")]
    NotFinite {
        /// The score.
        score: f32,
    },
    /// A reward model did not answer in time.
    #[error("the reward model did not answer within {secs} s, its time limit")]
    NoAnswer {
        /// The time limit, seconds.
        secs: f64,
    },
    /// A reward model panicked.
    #[error("the reward model panicked in {method}: {message}")]
    Panicked {
        /// The method that was called.
        method: &'static str,
        /// Message of the panic.
        message: String,
    },
    /// A frame that a window needs was never given to the scorer.
    #[error("the window of env {env_idx} in step {n_steps} of its episode lacks an earlier frame")]
    MissingFrame {
        /// Index of the env.
        env_idx: u32,
        /// Control steps since the start of the episode.
        n_steps: u32,
    },
    /// A history was saved with another reward model or schedule.
    #[error("the saved frames of the reward model are of another model, schedule or number of cameras")]
    OtherHistory,
    /// The thread of the reward worker cannot be started, or ended.
    #[error("the reward worker stopped: {0}")]
    WorkerStopped(String),
    /// The rendering device failed.
    #[error(transparent)]
    Sim(#[from] sayso_sim::SimError),
    /// The tensor library, candle, failed. It is not a source of this error, because its own message would end in a
    /// backtrace.
    #[error("{}", tensor_message(.0))]
    Tensor(candle_core::Error),
}

impl From<candle_core::Error> for RewardError {
    fn from(error: candle_core::Error) -> Self {
        Self::Tensor(error)
    }
}

/// The message of an error of candle without the backtraces that it holds if `RUST_BACKTRACE` is set.
pub fn tensor_message(error: &candle_core::Error) -> String {
    use candle_core::Error;
    match error {
        Error::WithBacktrace { inner, .. } => tensor_message(inner),
        Error::WithPath { inner, path } => format!("{}: {}", path.display(), tensor_message(inner)),
        Error::Context { inner, context } => format!("{context}: {}", tensor_message(inner)),
        Error::WrappedContext { wrapped, context } => match wrapped.downcast_ref::<Error>() {
            Some(inner) => format!("{context}: {}", tensor_message(inner)),
            None => format!("{context}: {wrapped}"),
        },
        other => other.to_string(),
    }
}

fn quoted(words: &[String]) -> String {
    words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::backtrace::Backtrace;
    use std::error::Error as _;

    use candle_core::Error;

    use super::*;

    fn with_backtrace(inner: Error) -> Error {
        Error::WithBacktrace { inner: Box::new(inner), backtrace: Box::new(Backtrace::force_capture()) }
    }

    #[test]
    fn errors_of_candle_show_no_backtrace() {
        let failed = || with_backtrace(Error::Msg("it failed".into()));
        let message = |error: Error| RewardError::from(error).to_string();
        assert!(failed().to_string().contains('\n'));
        assert_eq!(message(failed()), "it failed");
        assert_eq!(message(with_backtrace(failed().with_path("a.bin"))), "a.bin: it failed");
        assert_eq!(message(with_backtrace(failed().context("reading"))), "reading: it failed");
        let wrapped = Error::WrappedContext { wrapped: Box::new(failed()), context: "reading".into() };
        assert_eq!(message(wrapped), "reading: it failed");
        assert!(RewardError::from(failed()).source().is_none());
    }
}
