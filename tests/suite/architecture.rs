//! The workspace conforms to ARCHITECTURE.md.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::metadata::{metadata, root};

/// Each crate and its dependencies on other crates of the workspace.
const EDGES: [(&str, &[&str]); 6] = [
    ("sayso-sim", &[]),
    ("sayso-rewards", &["sayso-sim"]),
    ("sayso-envs", &["sayso-rewards", "sayso-sim"]),
    ("sayso-agents", &["sayso-envs", "sayso-rewards", "sayso-sim"]),
    ("sayso-pretrain", &["sayso-envs", "sayso-rewards", "sayso-sim"]),
    ("sayso", &["sayso-agents", "sayso-envs", "sayso-pretrain", "sayso-rewards", "sayso-sim"]),
];

/// Prefixes of direct dependencies that a crate must not have.
const FORBIDDEN: [(&str, &[&str]); 5] = [
    ("sayso-sim", &["candle", "tokenizers", "hf-hub"]),
    ("sayso-rewards", &["rapier", "bevy", "wgpu"]),
    ("sayso-envs", &["candle"]),
    ("sayso-agents", &["rapier", "wgpu", "bevy"]),
    ("sayso-pretrain", &["rapier", "wgpu", "bevy"]),
];

/// Generated folders, which git does not track.
const UNTRACKED: [&str; 3] = ["target", "runs", "rollout"];

#[test]
fn crates_depend_only_on_lower_layers() {
    let direct = direct_dependencies();
    for (krate, expected) in EDGES {
        let ours: BTreeSet<&str> =
            direct[krate].iter().map(String::as_str).filter(|name| name.starts_with("sayso")).collect();
        assert_eq!(ours, expected.iter().copied().collect(), "edges of {krate}");
    }
    assert_eq!(direct.len(), EDGES.len(), "EDGES lists every crate of the workspace");
}

#[test]
fn crates_have_no_forbidden_dependency() {
    let direct = direct_dependencies();
    for (krate, prefixes) in FORBIDDEN {
        let known: Vec<&String> = direct[krate]
            .iter()
            .filter(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
            .collect();
        assert!(known.is_empty(), "{krate} depends on {known:?}");
    }
}

#[test]
fn map_names_every_folder_and_no_missing_path() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let mapped: BTreeSet<String> =
        map.split('`').skip(1).step_by(2).filter(|code| is_path(code)).map(str::to_owned).collect();
    let gone: Vec<&String> = mapped.iter().filter(|path| !root().join(path).exists()).collect();
    assert!(gone.is_empty(), "ARCHITECTURE.md maps missing paths: {gone:?}");

    let missing: Vec<String> =
        top_level_folders().into_iter().filter(|folder| !mapped.contains(&format!("{folder}/"))).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md does not map {missing:?}");
}

#[test]
fn every_decision_is_listed() {
    let index = fs::read_to_string(root().join("docs/adr/README.md")).expect("docs/adr/README.md");
    for entry in fs::read_dir(root().join("docs/adr")).expect("docs/adr").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(name == "README.md" || index.contains(&name), "docs/adr/README.md does not list {name}");
    }
}

#[test]
fn no_source_file_has_more_than_500_lines() {
    let long: Vec<String> = sources()
        .into_iter()
        .filter_map(|path| {
            let n_lines = fs::read_to_string(&path).expect("readable source").lines().count();
            (n_lines > 500).then(|| format!("{}: {n_lines} lines", path.display()))
        })
        .collect();
    assert!(long.is_empty(), "split these, or say in CONTRIBUTING.md why not: {long:?}");
}

/// The only file with `unsafe` code.
const UNSAFE: &str = "sim/src/render/gpu/bridge/linux.rs";

#[test]
fn unsafe_is_in_one_file() {
    let is_code = |line: &str| {
        let code = line.split("//").next().unwrap_or_default();
        ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "allow(unsafe_code"]
            .iter()
            .any(|form| code.contains(form) && !code.contains('"'))
    };
    let files: Vec<PathBuf> = sources()
        .into_iter()
        .filter(|path| fs::read_to_string(path).expect("readable source").lines().any(is_code))
        .collect();
    assert_eq!(files, [root().join(UNSAFE)]);
}

/// Direct dependencies of each crate of the workspace, without those of tests and build scripts.
fn direct_dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let is_normal = |dependency: &&Value| dependency["kind"].is_null();
    let packages = metadata(&["--no-deps"]);
    let edges = packages.iter().map(|package| {
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        (
            text(&package["name"]),
            dependencies.filter(is_normal).map(|dependency| text(&dependency["name"])).collect(),
        )
    });
    edges.collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Whether text in backticks is a path: it has a slash, no blanks and no wildcards.
fn is_path(code: &str) -> bool {
    code.contains('/') && !code.contains([' ', '*', '<', ':', '\n']) && !code.starts_with('/')
}

fn top_level_folders() -> Vec<String> {
    let entries = fs::read_dir(root()).expect("readable folder").flatten();
    entries
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.') && !UNTRACKED.contains(&name.as_str()))
        .collect()
}

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in top_level_folders() {
        collect(&root().join(folder), &mut found);
    }
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("readable folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            // A crate outside the workspace has a target folder of its own.
            if !path.ends_with("target") {
                collect(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}
