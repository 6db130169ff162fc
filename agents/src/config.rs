//! Configuration of a training run.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::algorithm::AlgorithmOptions;
use crate::episodes::MAX_WINDOW;
use crate::error::check;
use crate::registry::{self, NamedOptions, ParsedOptions};
use crate::{AgentError, Result};

/// Configuration of a training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainConfig {
    /// Seed of the envs' episodes and of the algorithm's random choices.
    pub seed: u64,
    /// Total number of env steps, summed over all envs; rounded up to whole updates.
    pub total_steps: u64,
    /// Number of latest finished episodes that reports average over; in [1, 1000000].
    pub n_report_episodes: usize,
    /// Number of updates between checkpoints; with 0, only the final one is written.
    pub checkpoint_every: u64,
    /// Number of newest checkpoints that are kept; with 0, all are.
    pub keep_newest: usize,
    /// Whether the checkpoint with the highest mean training reward of an episode is kept too. Ground truth is not compared.
    pub keep_best: bool,
    /// Folder of the checkpoints, `step-NNNNNNNNNNNN.safetensors`; created if missing. Not part of a saved
    /// configuration, so that a run folder can be moved.
    #[serde(skip)]
    pub checkpoint_folder: Option<PathBuf>,
    /// Name of the algorithm in [`crate::registry`].
    #[serde(default = "default_algorithm")]
    pub algorithm: String,
    /// The options of the algorithm, in the table of its name. There is no other key.
    #[serde(flatten)]
    pub tables: Table,
}

/// The algorithm of a configuration that names none.
pub const DEFAULT_ALGORITHM: &str = "ppo";

fn default_algorithm() -> String {
    DEFAULT_ALGORITHM.to_owned()
}

impl TrainConfig {
    /// The keys that trainings with every algorithm have.
    pub const COMMON_KEYS: [&str; 7] = [
        "seed",
        "total_steps",
        "n_report_episodes",
        "checkpoint_every",
        "keep_newest",
        "keep_best",
        "algorithm",
    ];

    /// A run of `total_steps` env steps with an algorithm, without checkpoints.
    ///
    /// # Errors
    /// If an option is out of its range.
    pub fn new<O: NamedOptions>(options: &O, total_steps: u64, seed: u64) -> Result<Self> {
        options.validate()?;
        let options = Value::Table(registry::table(options)?);
        Ok(Self {
            seed,
            total_steps,
            n_report_episodes: 100,
            checkpoint_every: 0,
            keep_newest: 3,
            keep_best: true,
            checkpoint_folder: None,
            algorithm: O::NAME.to_owned(),
            tables: Table::from_iter([(O::NAME.to_owned(), options)]),
        })
    }

    /// The options of the algorithm.
    ///
    /// # Errors
    /// If the algorithm is unknown, or an option is unknown, of a wrong type, or out of its range.
    pub fn options(&self) -> Result<Box<dyn AlgorithmOptions>> {
        Ok(self.parse()?.options)
    }

    /// Checks every field, and fills in the options that are absent.
    ///
    /// # Errors
    /// Names the field, its value and what is allowed.
    pub fn resolve(&mut self) -> Result<()> {
        check(1 <= self.total_steps, "train.total_steps", self.total_steps, "at least 1")?;
        let n = self.n_report_episodes;
        check((1..=MAX_WINDOW).contains(&n), "train.n_report_episodes", n, "a number in [1, 1000000]")?;
        let table = self.parse()?.table;
        self.tables = Table::from_iter([(self.algorithm.clone(), Value::Table(table))]);
        Ok(())
    }

    fn parse(&self) -> Result<ParsedOptions> {
        let algorithm = registry::algorithm(&self.algorithm)?;
        if let Some(key) = self.tables.keys().find(|&key| *key != self.algorithm) {
            let known = Self::COMMON_KEYS.iter().copied().chain([algorithm.name()]);
            let known: Vec<String> = known.map(|key| format!("`{key}`")).collect();
            return Err(AgentError::Option {
                field: "train".to_owned(),
                reason: format!("unknown field `{key}`, expected one of {}", known.join(", ")),
            });
        }
        match self.tables.get(&self.algorithm) {
            None => algorithm.options(&Table::new()),
            Some(Value::Table(options)) => algorithm.options(options),
            Some(other) => Err(AgentError::Option {
                field: format!("train.{}", self.algorithm),
                reason: format!("invalid type: {}, expected a table", other.type_str()),
            }),
        }
    }
}
