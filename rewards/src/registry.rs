//! Kinds of reward models by name, with their options.
//!
//! A kind is a type of options, which says what it looks at and loads the model. The built-in kinds are in [`crate::kinds`];
//! other crates add theirs with [`register`].

use std::sync::{Arc, PoisonError, RwLock};

use sayso_sim::names;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::kinds::{MeanPooled, ScoreDifference, VlmRm};
use crate::{ModelDevice, ModelFiles, Result, RewardError, RewardModel};

/// The options of a kind of reward model: the keys of `[reward]` that only this kind has. [`register`] also needs
/// `Deserialize`; derive it with `deny_unknown_fields`, so that a misspelt key is an error.
pub trait RewardOptions: Send + Sync {
    /// Checks the ranges of all options, without loading anything.
    ///
    /// # Errors
    /// Names the first option that is out of its range.
    fn validate(&self) -> Result<()> {
        Ok(())
    }

    /// Name of the encoder, for display; `None` without one.
    fn model_name(&self) -> Option<&str> {
        None
    }

    /// Whether a text needs baseline prompts.
    fn needs_baseline(&self) -> bool {
        false
    }

    /// Makes the reward model.
    ///
    /// # Errors
    /// If a file is missing or damaged, or a device fails.
    fn load(&self, resources: &Resources<'_>) -> Result<Arc<dyn RewardModel>>;
}

/// What reward models are made of.
#[derive(Clone, Copy, Debug)]
pub struct Resources<'a> {
    /// The device that reads the rendered frames fastest.
    pub device: &'a ModelDevice,
    /// Encoders that are part of the program; the name `bundled` is that of the first one.
    pub bundled: &'a [ModelFiles],
}

/// A kind of reward model.
#[derive(Clone)]
pub struct Kind {
    name: String,
    summary: String,
    parse: fn(&Table) -> Result<Box<dyn RewardOptions>>,
}

impl Kind {
    fn new<O: RewardOptions + DeserializeOwned + 'static>(name: &str, summary: &str) -> Self {
        Self { name: name.to_owned(), summary: summary.to_owned(), parse: parse::<O> }
    }

    /// Name, the value of `reward.kind`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its scores are, in one sentence.
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// Reads and checks options.
    ///
    /// # Errors
    /// Names the option that is unknown, of a wrong type, or out of its range.
    pub fn options(&self, options: &Table) -> Result<Box<dyn RewardOptions>> {
        (self.parse)(options)
    }
}

/// Kinds that were registered in this process.
static REGISTERED: RwLock<Vec<Kind>> = RwLock::new(Vec::new());

fn built_in() -> [Kind; 3] {
    [
        Kind::new::<VlmRm>("vlm_rm", "Similarity of the frame to the goal prompts (Rocamonde et al. 2024)."),
        Kind::new::<MeanPooled>(
            "mean_pooled",
            "Similarity of the mean embedding of the last frames to the goal prompts.",
        ),
        Kind::new::<ScoreDifference>(
            "score_difference",
            "Change of the score of vlm_rm over a number of control steps.",
        ),
    ]
}

/// Names that are not those of reward models.
const RESERVED: [&str; 4] = ["ground_truth", "goal_sparse", "goal_dense", "none"];

/// Adds a kind of reward model, for all configurations of this process.
///
/// # Errors
/// If the name is taken, or is not made of lower-case letters, digits and `_`.
pub fn register<O: RewardOptions + DeserializeOwned + 'static>(name: &str, summary: &str) -> Result<()> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let mut registered = REGISTERED.write().unwrap_or_else(PoisonError::into_inner);
    let mut known = built_in().into_iter().chain(registered.iter().cloned());
    if name.is_empty()
        || !name.chars().all(is_plain)
        || RESERVED.contains(&name)
        || known.any(|kind| kind.name == name)
    {
        return Err(RewardError::OutOfRange {
            field: "name of a kind of reward model".to_owned(),
            got: format!("'{name}'"),
            expected: "lower-case letters, digits and _, and no name that is taken".to_owned(),
        });
    }
    registered.push(Kind::new::<O>(name, summary));
    Ok(())
}

/// All kinds, the built-in ones first.
pub fn kinds() -> Vec<Kind> {
    let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
    built_in().into_iter().chain(registered.iter().cloned()).collect()
}

/// The kind of a name.
///
/// # Errors
/// If there is none.
pub fn kind(name: &str) -> Result<Kind> {
    let kinds = kinds();
    if let Some(kind) = kinds.iter().find(|kind| kind.name == name) {
        return Ok(kind.clone());
    }
    let known: Vec<String> = kinds
        .into_iter()
        .map(|kind| kind.name)
        .chain(RESERVED[..3].iter().map(|&name| name.to_owned()))
        .collect();
    let nearest = names::nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
    Err(RewardError::UnknownKind { name: name.to_owned(), nearest, known })
}

fn parse<O: RewardOptions + DeserializeOwned + 'static>(options: &Table) -> Result<Box<dyn RewardOptions>> {
    let options: O = serde_path_to_error::deserialize(Value::Table(options.clone())).map_err(|error| {
        let reason = error.inner().message().trim().to_owned();
        let path = error.path().to_string();
        let field = if path == "." { "reward".to_owned() } else { format!("reward.{path}") };
        RewardError::Option { field, reason }
    })?;
    options.validate()?;
    Ok(Box::new(options))
}
