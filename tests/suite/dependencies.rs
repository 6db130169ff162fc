//! Every dependency has an allowed licence, is from crates.io, and has a documented reason.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use spdx::{Expression, ParseMode};

use crate::metadata::{metadata, root};

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[test]
fn licences_are_allowed_by_deny_toml() {
    let deny: toml::Table = read("deny.toml").parse().expect("deny.toml is TOML");
    let allowed: BTreeSet<&str> = deny["licenses"]["allow"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(toml::Value::as_str)
        .collect();
    let mut refused = Vec::new();
    for package in graph() {
        let licence = package["license"].as_str().unwrap_or_default();
        let is_allowed = Expression::parse_mode(licence, ParseMode::LAX).is_ok_and(|expression| {
            expression.evaluate(|requirement| allowed.contains(requirement.to_string().as_str()))
        });
        if !is_allowed {
            refused.push(format!("{} {}: '{licence}'", package["name"], package["version"]));
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn every_dependency_is_from_crates_io() {
    let graph = graph();
    let sources = graph.iter().filter_map(|package| package["source"].as_str());
    let others: Vec<&str> = sources.filter(|source| *source != CRATES_IO).collect();
    assert!(others.is_empty(), "{others:?}");
}

#[test]
fn docs_list_each_direct_dependency_and_no_other() {
    let manifest: toml::Table = read("Cargo.toml").parse().expect("Cargo.toml is TOML");
    let declared: BTreeSet<String> = manifest["workspace"]["dependencies"]
        .as_table()
        .expect("a table")
        .keys()
        .filter(|name| !name.starts_with("sayso"))
        .cloned()
        .collect();
    let documented: BTreeSet<String> = read("docs/dependencies.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name.to_owned()))
        .collect();
    let undocumented: Vec<_> = declared.difference(&documented).collect();
    let gone: Vec<_> = documented.difference(&declared).collect();
    assert!(undocumented.is_empty(), "docs/dependencies.md does not list {undocumented:?}");
    assert!(gone.is_empty(), "docs/dependencies.md lists {gone:?}, which are not used");
}

/// All packages of the build, those of the workspace included.
fn graph() -> Vec<Value> {
    metadata(&["--filter-platform", "x86_64-unknown-linux-gnu"])
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|err| panic!("{name}: {err}"))
}
