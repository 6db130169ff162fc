//! Algorithms by name, with their options. Other crates add theirs with [`register`].

use sayso_sim::registry::{Named, OptionError, Registry, UnknownName, UnusableName, parse_options};
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::Table;

use crate::algorithm::AlgorithmOptions;
use crate::dqn::DqnConfig;
use crate::ppo::PpoConfig;
use crate::sac::SacConfig;
use crate::{AgentError, Result, TrainConfig};

/// Options with the name of their algorithm.
pub trait NamedOptions: AlgorithmOptions + Serialize + DeserializeOwned + 'static {
    /// The value of `train.algorithm`, and the name of the table of options.
    const NAME: &'static str;
    /// The algorithm in one sentence.
    const SUMMARY: &'static str;
}

/// An algorithm.
#[derive(Clone, Copy)]
pub struct AlgorithmKind {
    name: &'static str,
    summary: &'static str,
    parse: fn(&Table) -> Result<ParsedOptions>,
}

/// Options that were read from a table.
pub struct ParsedOptions {
    /// The options.
    pub options: Box<dyn AlgorithmOptions>,
    /// The table, with the defaults of the keys that were absent.
    pub table: Table,
}

impl Named for AlgorithmKind {
    fn name(&self) -> &str {
        self.name
    }
}

impl AlgorithmKind {
    fn of<O: NamedOptions>() -> Self {
        Self { name: O::NAME, summary: O::SUMMARY, parse: parse::<O> }
    }

    /// Name, the value of `train.algorithm`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The algorithm in one sentence.
    pub fn summary(&self) -> &'static str {
        self.summary
    }

    /// Reads and checks options.
    ///
    /// # Errors
    /// Names the option that is unknown, of a wrong type, or out of its range.
    pub fn options(&self, options: &Table) -> Result<ParsedOptions> {
        (self.parse)(options)
    }
}

static REGISTRY: Registry<AlgorithmKind> = Registry::new(built_in, &TrainConfig::COMMON_KEYS);

fn built_in() -> Vec<AlgorithmKind> {
    vec![AlgorithmKind::of::<PpoConfig>(), AlgorithmKind::of::<SacConfig>(), AlgorithmKind::of::<DqnConfig>()]
}

/// Adds an algorithm, for all configurations of this process.
///
/// # Errors
/// If the name is taken, or is not made of lower-case letters, digits and `_`.
pub fn register<O: NamedOptions>() -> Result<()> {
    REGISTRY.register(AlgorithmKind::of::<O>()).map_err(|UnusableName(name)| AgentError::OutOfRange {
        field: "name of an algorithm".to_owned(),
        got: format!("'{name}'"),
        expected: "lower-case letters, digits and _, and no name that is taken".to_owned(),
    })
}

/// All algorithms, the built-in ones first.
pub fn algorithms() -> Vec<AlgorithmKind> {
    REGISTRY.all()
}

/// The algorithm of a name.
///
/// # Errors
/// If there is none.
pub fn algorithm(name: &str) -> Result<AlgorithmKind> {
    REGISTRY.get(name).map_err(|UnknownName { name, nearest, known }| AgentError::UnknownAlgorithm {
        name,
        nearest,
        known,
    })
}

/// All options as a table, the inverse of [`AlgorithmKind::options`].
///
/// # Errors
/// If a value cannot be represented in TOML.
pub fn table<O: NamedOptions>(options: &O) -> Result<Table> {
    Table::try_from(options)
        .map_err(|error| AgentError::Option { field: path::<O>(), reason: error.to_string() })
}

fn path<O: NamedOptions>() -> String {
    format!("train.{}", O::NAME)
}

fn parse<O: NamedOptions>(options: &Table) -> Result<ParsedOptions> {
    let options: O = parse_options(&path::<O>(), options)
        .map_err(|OptionError { field, reason }| AgentError::Option { field, reason })?;
    options.validate()?;
    let table = table(&options)?;
    Ok(ParsedOptions { options: Box::new(options), table })
}
