//! Layers of configuration, from lowest to highest: preset, file, flags. Tables are merged key by key; the higher layer
//! overrides the lower one.

use std::fs;
use std::path::Path;

use sayso_agents::config::DEFAULT_ALGORITHM;
use sayso_agents::registry;
use sayso_sim::names;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::RewardConfig;
use super::renamed::{self, value_at};
use crate::error::{Error, Result};

/// Layers of configuration, the lowest one first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layers {
    layers: Vec<Layer>,
}

#[derive(Clone, Debug, PartialEq)]
struct Layer {
    table: Table,
    /// A preset or a file, whose options of a reward belong to its kind of reward, and which may have options of several
    /// algorithms.
    is_document: bool,
}

impl Layers {
    /// Adds the text of a TOML document as the highest layer; `path` is its name in errors. If a higher layer names another
    /// kind of reward, the document's options of its own kind do not apply.
    ///
    /// # Errors
    /// If it is not TOML.
    pub fn add_text(&mut self, text: &str, path: &Path) -> Result<()> {
        let table: Table = text.parse().map_err(|err: toml::de::Error| Error::ConfigSyntax {
            path: path.to_owned(),
            reason: err.to_string().trim_end().to_owned(),
        })?;
        self.layers.push(Layer { table, is_document: true });
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
        self.layers.push(Layer { table, is_document: false });
    }

    /// Adds the layers of `above` as the highest ones.
    pub fn append(&mut self, above: Self) {
        self.layers.extend(above.layers);
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

    /// Removes the value at a dotted key from every layer.
    pub fn remove(&mut self, key: &str) {
        let (path, last) = key.rsplit_once('.').map_or((None, key), |(path, last)| (Some(path), last));
        for layer in &mut self.layers {
            let mut parts = path.into_iter().flat_map(|path| path.split('.'));
            let table = parts.try_fold(&mut layer.table, |table, part| table.get_mut(part)?.as_table_mut());
            if let Some(table) = table {
                table.remove(last);
            }
        }
    }

    /// The string at a dotted key.
    pub fn get_str(&self, key: &str) -> Option<&str> {
        let value = |table| value_at(table, key).and_then(Value::as_str);
        self.layers.iter().rev().find_map(|layer| value(&layer.table))
    }

    /// The merged layers.
    fn merged(self) -> Table {
        let kind_of = |layer: &Layer| value_at(&layer.table, "reward.kind").cloned();
        let final_kind = self.layers.iter().rev().find_map(kind_of);
        let algorithms = registry::algorithms();
        let named = self.layers.iter().rev().find_map(|layer| value_at(&layer.table, "train.algorithm"));
        let algorithm = named.and_then(Value::as_str).unwrap_or(DEFAULT_ALGORITHM).to_owned();
        let is_other = |key: &str| key != algorithm && algorithms.iter().any(|known| known.name() == key);
        let (mut merged, mut kind) = (Table::new(), None);
        for mut layer in self.layers {
            if let (true, Some(Value::Table(train))) = (layer.is_document, layer.table.get_mut("train")) {
                train.retain(|key, _| !is_other(key));
            }
            kind = kind_of(&layer).or(kind);
            if let (true, Some(Value::Table(reward))) = (layer.is_document, layer.table.get_mut("reward"))
                && kind.is_some()
                && kind != final_kind
            {
                reward.retain(|key, _| RewardConfig::is_common(key));
            }
            merge(&mut merged, layer.table);
        }
        merged
    }

    /// The merged layers as one table.
    pub fn into_table(self) -> Table {
        self.merged()
    }

    /// Deserialises the merged layers.
    ///
    /// # Errors
    /// Names the key that is unknown (with the nearest one that exists, or with its new name), missing or of a wrong type.
    pub fn finish<T: DeserializeOwned>(self) -> Result<T> {
        let merged = self.merged();
        renamed::check(&merged)?;
        serde_path_to_error::deserialize(Value::Table(merged)).map_err(|err| {
            let reason = err.inner().message().trim().to_owned();
            key_error(err.path().to_string(), &reason)
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

/// The error of a key, from serde's message.
pub(super) fn key_error(field: String, reason: &str) -> Error {
    Error::ConfigKey { field, reason: in_words_of_toml(reason), nearest: nearest_key(reason) }
}

/// serde's message with the names that TOML has for types.
fn in_words_of_toml(reason: &str) -> String {
    const WORDS: [(&str, &str); 13] = [
        ("expected usize", "expected a whole number, 0 or more"),
        ("expected u64", "expected a whole number, 0 or more"),
        ("expected u32", "expected a whole number, 0 or more"),
        ("expected a nonzero usize", "expected a whole number, 1 or more"),
        ("expected i64", "expected a whole number"),
        ("expected f64", "expected a number"),
        ("expected f32", "expected a number"),
        ("expected a sequence", "expected a list"),
        ("expected a map", "expected a table"),
        ("type: sequence", "type: list"),
        ("type: map", "type: table"),
        ("type: floating point", "type: number"),
        ("an array of length", "a list of length"),
    ];
    let mut text = reason.to_owned();
    for (of_serde, of_toml) in WORDS {
        text = text.replace(of_serde, of_toml);
    }
    match text.split_once("expected struct ") {
        Some((before, name)) => {
            format!("{before}expected a table{}", name.trim_start_matches(char::is_alphanumeric))
        }
        None => text,
    }
}

/// The nearest known key, from serde's message "unknown field `a`, expected one of `b`, `c`".
pub(super) fn nearest_key(reason: &str) -> Option<String> {
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
    fn errors_have_the_words_of_toml() {
        let reason = |key: &str, value: &str| {
            let mut layers = layers();
            layers.set(key, value.parse::<Value>().expect("a value"));
            match layers.finish::<Outer>() {
                Err(Error::ConfigKey { reason, .. }) => reason,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(reason("inner.learning_rate", "[1]"), "invalid type: list, expected a number");
        assert_eq!(reason("inner", "3"), "invalid type: integer `3`, expected a table");
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
        for part in ["inner.learning_rate", "\"fast\"", "expected a number"] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn options_of_a_document_end_with_its_kind_of_reward() {
        let reward = |file: &str, flags: &[(&str, Value)]| {
            let mut layers = Layers::default();
            let preset = "[reward]\nkind = 'a'\nalpha = 0.5\ncameras = ['front']";
            layers.add_text(preset, Path::new("preset")).expect("parses");
            layers.add_text(file, Path::new("file")).expect("parses");
            for (key, value) in flags {
                layers.set(key, value.clone());
            }
            let reward = layers.merged().remove("reward");
            let keys = reward.as_ref().and_then(Value::as_table).map(|table| table.keys().cloned().collect());
            keys.unwrap_or_else(Vec::new)
        };
        let (kind, lag) = (("reward.kind", Value::from("b")), ("reward.lag", Value::from(1)));
        assert_eq!(reward("", &[]), ["alpha", "cameras", "kind"]);
        assert_eq!(reward("[reward]\nlag = 2", &[]), ["alpha", "cameras", "kind", "lag"]);
        assert_eq!(reward("[reward]\nkind = 'b'\nlag = 2", &[]), ["cameras", "kind", "lag"]);
        assert_eq!(reward("[reward]\nalpha = 0.1", std::slice::from_ref(&kind)), ["cameras", "kind"]);
        for flags in [[kind.clone(), lag.clone()], [lag, kind]] {
            assert_eq!(reward("[reward]\nkind = 'a'\nalpha = 0.1", &flags), ["cameras", "kind", "lag"]);
        }
    }

    #[test]
    fn a_document_may_have_options_of_other_algorithms() {
        let train = |file: &str, flag: Option<(&str, i64)>| {
            let mut layers = Layers::default();
            let preset = "[train]\nseed = 0\n[train.ppo]\nn_steps = 8";
            layers.add_text(preset, Path::new("preset")).expect("parses");
            layers.add_text(file, Path::new("file")).expect("parses");
            if let Some((key, value)) = flag {
                layers.set(key, value);
            }
            let train = layers.merged().remove("train");
            let keys = train.as_ref().and_then(Value::as_table).map(|table| table.keys().cloned().collect());
            keys.unwrap_or_else(Vec::new)
        };
        assert_eq!(train("", None), ["ppo", "seed"]);
        assert_eq!(train("[train]\nalgorithm = 'other'", None), ["algorithm", "seed"]);
        let flag = Some(("train.ppo.n_steps", 4));
        assert_eq!(
            train("[train]\nalgorithm = 'other'", flag),
            ["algorithm", "ppo", "seed"],
            "a flag is meant"
        );
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
