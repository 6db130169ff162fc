//! Kinds of reward models by name, with their options.
//!
//! A kind is a type of options, which says what it looks at and loads the model. The built-in kinds are in [`crate::kinds`];
//! other crates add theirs with [`register`].

use std::sync::Arc;

use sayso_sim::registry::{Named, OptionError, Registry, UnknownName, UnusableName, parse_options};
use serde::de::DeserializeOwned;
use toml::Table;

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

impl Named for Kind {
    fn name(&self) -> &str {
        self.name()
    }
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

fn built_in() -> Vec<Kind> {
    vec![
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

/// Names of rewards that are not reward models.
const GROUND_TRUTH_KINDS: [&str; 3] = ["ground_truth", "goal_sparse", "goal_dense"];

static REGISTRY: Registry<Kind> =
    Registry::new(built_in, &["ground_truth", "goal_sparse", "goal_dense", "none"]);

/// Adds a kind of reward model, for all configurations of this process.
///
/// # Errors
/// If the name is taken, or is not made of lower-case letters, digits and `_`.
pub fn register<O: RewardOptions + DeserializeOwned + 'static>(name: &str, summary: &str) -> Result<()> {
    REGISTRY.register(Kind::new::<O>(name, summary)).map_err(|UnusableName(name)| RewardError::OutOfRange {
        field: "name of a kind of reward model".to_owned(),
        got: format!("'{name}'"),
        expected: "lower-case letters, digits and _, and no name that is taken".to_owned(),
    })
}

/// All kinds, the built-in ones first.
pub fn kinds() -> Vec<Kind> {
    REGISTRY.all()
}

/// The kind of a name.
///
/// # Errors
/// If there is none.
pub fn kind(name: &str) -> Result<Kind> {
    REGISTRY.get(name).map_err(|UnknownName { known, .. }| {
        let known = known.into_iter().chain(GROUND_TRUTH_KINDS.map(str::to_owned)).collect();
        let UnknownName { name, nearest, known } = UnknownName::new(name, known);
        RewardError::UnknownKind { name, nearest, known }
    })
}

fn parse<O: RewardOptions + DeserializeOwned + 'static>(options: &Table) -> Result<Box<dyn RewardOptions>> {
    let options: O = parse_options("reward", options)
        .map_err(|OptionError { field, reason }| RewardError::Option { field, reason })?;
    options.validate()?;
    Ok(Box::new(options))
}
