//! Layers of configuration, from lowest to highest: preset, file, flags. Tables are merged key by key; the higher layer
//! overrides the lower one.

use std::fs;
use std::path::Path;

use sayso_sim::names;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::renamed;
use crate::error::{Error, Result};

/// Merged layers; the lowest one is added first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layers {
    merged: Table,
}

impl Layers {
    /// Adds the text of a TOML document as the highest layer; `path` is its name in errors.
    ///
    /// # Errors
    /// If it is not TOML.
    pub fn add_text(&mut self, text: &str, path: &Path) -> Result<()> {
        let table: Table = text.parse().map_err(|err: toml::de::Error| Error::ConfigSyntax {
            path: path.to_owned(),
            reason: err.to_string().trim_end().to_owned(),
        })?;
        self.add(table);
        Ok(())
    }

    /// Adds a TOML file as the highest layer.
    ///
    /// # Errors
    /// If it cannot be read or is not TOML.
    pub fn add_file(&mut self, path: &Path) -> Result<()> {
        let text = fs::read_to_string(path).map_err(Error::file("read", path))?;
        self.add_text(&text, path)
    }

    /// Adds a table as the highest layer.
    pub fn add(&mut self, table: Table) {
        merge(&mut self.merged, table);
    }

    /// The merged table, unchecked.
    pub fn into_table(self) -> Table {
        self.merged
    }

    /// Sets one value by its dotted key.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        let nested = key
            .rsplit('.')
            .fold(value.into(), |inner, part| Value::Table(Table::from_iter([(part.to_owned(), inner)])));
        if let Value::Table(table) = nested {
            self.add(table);
        }
    }

    /// Removes the value at a dotted key from the merged layers.
    pub fn remove(&mut self, key: &str) {
        let (path, last) = key.rsplit_once('.').map_or((None, key), |(path, last)| (Some(path), last));
        let mut parts = path.into_iter().flat_map(|path| path.split('.'));
        let table = parts.try_fold(&mut self.merged, |table, part| table.get_mut(part)?.as_table_mut());
        if let Some(table) = table {
            table.remove(last);
        }
    }

    /// The string at a dotted key.
    pub fn get_str(&self, key: &str) -> Option<&str> {
        let mut parts = key.split('.');
        let first = self.merged.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))?.as_str()
    }

    /// Deserialises the merged layers.
    ///
    /// # Errors
    /// Names the key that is unknown (with the nearest one that exists, or with its new name), missing or of a wrong type.
    pub fn finish<T: DeserializeOwned>(self) -> Result<T> {
        renamed::check(&self.merged)?;
        serde_path_to_error::deserialize(Value::Table(self.merged)).map_err(|err| {
            let reason = err.inner().message().trim().to_owned();
            let path = err.path().to_string();
            Error::ConfigKey { nearest: nearest_key(&reason), field: path, reason }
        })
    }
}

/// Splits `KEY=VALUE`; the value is TOML, or a string if it is not.
///
/// # Errors
/// If there is no `=`, or the key is empty.
pub fn parse_assignment(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE, as in train.ppo.n_epochs=4")?;
    let key = key.trim();
    if key.is_empty() || key.split('.').any(|part| part.trim().is_empty()) {
        return Err("expected a dotted key before '='".to_owned());
    }
    let parsed = format!("value = {value}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
    Ok((key.to_owned(), parsed.unwrap_or_else(|| Value::String(value.trim().to_owned()))))
}

/// The nearest known key, from serde's message "unknown field `a`, expected one of `b`, `c`".
fn nearest_key(reason: &str) -> Option<String> {
    if !reason.starts_with("unknown field") && !reason.starts_with("unknown variant") {
        return None;
    }
    let mut known = reason.split('`').skip(1).step_by(2);
    let unknown = known.next()?;
    names::nearest(unknown, known).map(str::to_owned)
}

fn merge(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        inner: Inner,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        learning_rate: f64,
        name: String,
    }

    fn layers() -> Layers {
        let mut layers = Layers::default();
        layers.add_text("[inner]\nlearning_rate = 0.1\nname = 'a'", Path::new("preset")).expect("parses");
        layers
    }

    #[test]
    fn a_higher_layer_overrides_a_key_and_keeps_the_others() {
        let mut layers = layers();
        layers.set("inner.learning_rate", 0.5);
        assert_eq!(layers.get_str("inner.name"), Some("a"));
        let outer: Outer = layers.finish().expect("complete");
        assert_eq!(outer, Outer { inner: Inner { learning_rate: 0.5, name: "a".into() } });
    }

    #[test]
    fn an_unknown_key_is_named_with_its_table_and_the_nearest_key() {
        let mut layers = layers();
        layers.set("inner.lerning_rate", 0.5);
        let err = layers.finish::<Outer>().expect_err("unknown key");
        assert!(err.to_string().contains("lerning_rate"), "{err}");
        assert!(err.to_string().contains("inner"), "{err}");
        assert_eq!(err.hint().as_deref(), Some("did you mean 'learning_rate'?"));
    }

    #[test]
    fn a_wrong_type_names_field_value_and_expected_type() {
        let mut layers = layers();
        layers.set("inner.learning_rate", "fast");
        let message = layers.finish::<Outer>().expect_err("wrong type").to_string();
        for part in ["inner.learning_rate", "\"fast\"", "f64"] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn values_of_assignments_are_toml_or_else_strings() {
        assert_eq!(parse_assignment("a.b=3"), Ok(("a.b".into(), Value::Integer(3))));
        assert_eq!(parse_assignment("a=[1, 2]").map(|(_, v)| v.is_array()), Ok(true));
        assert_eq!(parse_assignment("a = red ball"), Ok(("a".into(), Value::String("red ball".into()))));
        assert!(parse_assignment("a").is_err());
        assert!(parse_assignment(".=1").is_err());
    }
}
