//! What can go wrong in a reward model.

use std::path::PathBuf;

/// Result of a fallible call into a reward model.
pub type Result<T, E = RewardError> = std::result::Result<T, E>;

/// An error of a reward model; the message says what was wrong, where, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RewardError {
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
    /// A file of a checkpoint is missing, damaged or does not fit the others.
    #[error("{}: {reason}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; names the tensor or the key.
        reason: String,
    },
    /// A model name leads nowhere.
    #[error("no model '{name}': {reason}")]
    UnknownModel {
        /// The name that was asked for.
        name: String,
        /// Where it was looked for, and what to do.
        reason: String,
    },
    /// A prompt does not fit the model's text tower.
    #[error(
        "the prompt is {n_tokens} tokens long and the model reads {context_length}; {n_cut} would be cut: '{prompt}'"
    )]
    PromptTooLong {
        /// The prompt.
        prompt: String,
        /// Its tokens, start and end marks included.
        n_tokens: usize,
        /// What the model reads.
        context_length: usize,
        /// How many would be lost.
        n_cut: usize,
    },
    /// A prompt has words that the model has never seen.
    #[error(
        "the model does not know {} in '{prompt}'; it knows {n_known} words{}",
        quoted(words),
        if suggestions.is_empty() { String::new() } else { format!(", among them {}", quoted(suggestions)) }
    )]
    UnknownWords {
        /// The prompt.
        prompt: String,
        /// The words, as they stand in it.
        words: Vec<String>,
        /// The nearest words that the model knows.
        suggestions: Vec<String>,
        /// How many words it knows.
        n_known: usize,
    },
    /// Pictures have another size than the model reads.
    #[error("the model reads {expected:?} pixels (height, width) and got {got:?}")]
    WrongImageSize {
        /// Height and width of the model's [`sayso_sim::ImageSpec`].
        expected: (usize, usize),
        /// Height and width that came.
        got: (usize, usize),
    },
    /// A card draws and cannot judge.
    #[error("{device} draws, and CUDA cannot judge beside it: {reason}")]
    Cuda {
        /// The card.
        device: String,
        /// What is in the way.
        reason: String,
    },
    /// The judge's device has not enough memory left.
    #[error("the judge's device is out of memory with {n_views} pictures at a time; {fits} would fit")]
    OutOfMemory {
        /// Pictures at a time.
        n_views: usize,
        /// How many would have fitted.
        fits: usize,
    },
    /// The device that drew the frames failed.
    #[error(transparent)]
    Sim(#[from] sayso_sim::SimError),
    /// The tensor library failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

fn quoted(words: &[String]) -> String {
    words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(", ")
}
