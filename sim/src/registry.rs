//! Open registries: what configurations name, the built-in entries and those that other crates add.

use std::sync::{PoisonError, RwLock};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::names;

/// An entry of a [`Registry`].
pub trait Named {
    /// Its name in configurations.
    fn name(&self) -> &str;
}

/// Entries by name, the built-in ones first.
pub struct Registry<T: 'static> {
    built_in: fn() -> Vec<T>,
    reserved: &'static [&'static str],
    added: RwLock<Vec<T>>,
}

/// A name that cannot be registered: it is taken, reserved, or not made of lower-case letters, digits and `_`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' cannot be registered; expected lower-case letters, digits and _, and no name that is taken")]
pub struct UnusableName(pub String);

/// A name without an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownName {
    /// The name.
    pub name: String,
    /// The most similar name that exists.
    pub nearest: Option<String>,
    /// All names that exist.
    pub known: Vec<String>,
}

impl UnknownName {
    /// `name`, which is none of `known`.
    pub fn new(name: &str, known: Vec<String>) -> Self {
        let nearest = names::nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
        Self { name: name.to_owned(), nearest, known }
    }
}

impl<T: Named + Clone> Registry<T> {
    /// The registry of a program that has only the built-in entries so far. Names in `reserved` cannot be registered.
    pub const fn new(built_in: fn() -> Vec<T>, reserved: &'static [&'static str]) -> Self {
        Self { built_in, reserved, added: RwLock::new(Vec::new()) }
    }

    /// Adds an entry for the rest of the process.
    ///
    /// # Errors
    /// If its name cannot be used.
    pub fn register(&self, entry: T) -> Result<(), UnusableName> {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let mut added = self.added.write().unwrap_or_else(PoisonError::into_inner);
        let name = entry.name();
        let is_taken = (self.built_in)().iter().chain(added.iter()).any(|known| known.name() == name)
            || self.reserved.contains(&name);
        if name.is_empty() || !name.chars().all(is_plain) || is_taken {
            return Err(UnusableName(name.to_owned()));
        }
        added.push(entry);
        Ok(())
    }

    /// All entries, the built-in ones first.
    pub fn all(&self) -> Vec<T> {
        let added = self.added.read().unwrap_or_else(PoisonError::into_inner);
        (self.built_in)().into_iter().chain(added.iter().cloned()).collect()
    }

    /// The entry of a name; the names that exist if there is none.
    ///
    /// # Errors
    /// If there is none.
    pub fn get(&self, name: &str) -> Result<T, UnknownName> {
        let all = self.all();
        match all.iter().find(|entry| entry.name() == name) {
            Some(entry) => Ok(entry.clone()),
            None => Err(UnknownName::new(name, all.iter().map(|entry| entry.name().to_owned()).collect())),
        }
    }
}

/// Options that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionError {
    /// Dotted path of the key.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Reads the options of an entry; `path` is the dotted path of their table.
///
/// # Errors
/// Names the key that is unknown, missing or of a wrong type.
pub fn parse_options<O: DeserializeOwned>(path: &str, options: &Table) -> Result<O, OptionError> {
    serde_path_to_error::deserialize(Value::Table(options.clone())).map_err(|error| {
        let reason = error.inner().message().trim().to_owned();
        let inner = error.path().to_string();
        let field = if inner == "." { path.to_owned() } else { format!("{path}.{inner}") };
        OptionError { field, reason }
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Entry(&'static str);

    impl Named for Entry {
        fn name(&self) -> &str {
            self.0
        }
    }

    #[test]
    fn entries_are_found_by_name_and_names_are_unique() {
        let registry = Registry::new(|| vec![Entry("first")], &["none"]);
        registry.register(Entry("second_2")).expect("a free name");
        for taken in ["first", "second_2", "none", "", "Upper", "a-b"] {
            assert_eq!(registry.register(Entry(taken)), Err(UnusableName(taken.to_owned())));
        }
        assert_eq!(registry.all(), [Entry("first"), Entry("second_2")]);
        assert_eq!(registry.get("second_2"), Ok(Entry("second_2")));
        let unknown = registry.get("secnd_2").expect_err("an unknown name");
        assert_eq!(unknown.nearest.as_deref(), Some("second_2"));
        assert_eq!(unknown.known, ["first", "second_2"]);
    }

    #[test]
    fn errors_of_options_have_the_whole_path() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Options {
            #[expect(dead_code, reason = "only parsed")]
            rate: f64,
        }
        let parse = |text: &str| {
            let table: Table = text.parse().expect("TOML");
            parse_options::<Options>("train.a", &table).map(|_| ()).expect_err("wrong options")
        };
        assert_eq!(parse("rate = 'x'").field, "train.a.rate");
        assert!(parse("rte = 1.0").reason.starts_with("unknown field `rte`"));
        assert_eq!(parse("").field, "train.a");
    }
}
