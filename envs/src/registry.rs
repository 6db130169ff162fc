//! Registry of environments by id.

use crate::task::Task;
use crate::tasks::{cart_pole, go_to, reach};
use crate::{EnvError, Result};

/// Every registered id, in alphabetical order.
pub fn ids() -> &'static [&'static str] {
    &["CartPole-v1", "GoTo-v1", "Reach-v1"]
}

/// Makes a task by id.
///
/// # Errors
/// If the id is unknown, or an option is unknown or has a wrong type or value.
pub fn task(id: &str, options: &toml::Table) -> Result<Box<dyn Task>> {
    match id {
        "CartPole-v1" => Ok(Box::new(cart_pole::CartPole::new(parse(options)?))),
        "GoTo-v1" => Ok(Box::new(go_to::GoTo::new(parse(options)?))),
        "Reach-v1" => Ok(Box::new(reach::Reach::new(parse(options)?))),
        _ => Err(EnvError::unknown("environment", id, ids())),
    }
}

fn parse<T: serde::de::DeserializeOwned>(options: &toml::Table) -> Result<T> {
    toml::Value::Table(options.clone()).try_into().map_err(|e: toml::de::Error| EnvError::OutOfRange {
        field: "env.options".to_owned(),
        got: toml::to_string(options).unwrap_or_default().trim().replace('\n', ", "),
        expected: e.message().to_owned(),
    })
}
