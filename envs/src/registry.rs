//! Registry of environments by id.

use sayso_sim::registry::{OptionError, parse_options};
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::Table;

use crate::task::Task;
use crate::tasks::{CartPoleOptions, GoToOptions, ReachOptions};
use crate::{EnvError, Result};

/// Dotted path of the options in a configuration.
const OPTIONS: &str = "env.options";

/// Options of a task, which make it.
pub(crate) trait TaskOptions: Default + DeserializeOwned + Serialize {
    /// Id of the environment.
    const ID: &str;

    /// The task with these options.
    fn task(self) -> Box<dyn Task>;
}

/// An entry of the registry.
struct TaskKind {
    id: &'static str,
    make: fn(&Table) -> Result<Box<dyn Task>>,
    default_options: fn() -> Result<Table>,
}

impl TaskKind {
    const fn of<O: TaskOptions>() -> Self {
        Self {
            id: O::ID,
            make: |options| Ok(parse_options::<O>(OPTIONS, options).map_err(option)?.task()),
            default_options: || {
                Table::try_from(O::default()).map_err(|error| {
                    option(OptionError { field: OPTIONS.to_owned(), reason: error.to_string() })
                })
            },
        }
    }
}

/// In alphabetical order of their ids.
static KINDS: [TaskKind; 3] =
    [TaskKind::of::<CartPoleOptions>(), TaskKind::of::<GoToOptions>(), TaskKind::of::<ReachOptions>()];

/// Every registered id, in alphabetical order.
pub fn ids() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|kind| kind.id)
}

/// Makes a task by id.
///
/// # Errors
/// If the id is unknown, or an option is unknown or has a wrong type or value.
pub fn task(id: &str, options: &Table) -> Result<Box<dyn Task>> {
    (kind(id)?.make)(options)
}

/// The options that a task has, with their default values.
///
/// # Errors
/// If the id is unknown.
pub fn default_options(id: &str) -> Result<Table> {
    (kind(id)?.default_options)()
}

fn kind(id: &str) -> Result<&'static TaskKind> {
    KINDS
        .iter()
        .find(|kind| kind.id == id)
        .ok_or_else(|| EnvError::unknown("environment", id, &ids().collect::<Vec<_>>()))
}

fn option(error: OptionError) -> EnvError {
    let OptionError { field, reason } = error;
    EnvError::Option { field, reason }
}
