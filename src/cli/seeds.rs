//! `sayso train --seeds`: a run for each seed, and their comparison.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Result;

use crate::config::RunConfig;
use crate::run_folder::{self, RunFolder};

use super::args::DeviceArgs;
use super::train::Session;
use super::{Outcome, compare};

/// Largest number of seeds.
const MAX_SEEDS: usize = 1_000;

/// Seeds of the command line: `0..4` (0 to 3), `0..=4`, or `1,5,9`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seeds(pub Vec<u64>);

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            let seed = text.trim().parse::<i64>().ok().and_then(|seed| u64::try_from(seed).ok());
            seed.ok_or_else(|| format!("'{text}' is not a seed"))
        };
        let seeds: Vec<u64> = match (text.split_once("..="), text.split_once("..")) {
            (Some((first, last)), _) => (number(first)?..=number(last)?).take(MAX_SEEDS + 1).collect(),
            (None, Some((first, end))) => (number(first)?..number(end)?).take(MAX_SEEDS + 1).collect(),
            (None, None) => text.split(',').map(number).collect::<Result<_, _>>()?,
        };
        let is_repeated = |seed: &u64| 1 < seeds.iter().filter(|other| *other == seed).count();
        if seeds.is_empty() || MAX_SEEDS < seeds.len() || seeds.iter().any(is_repeated) {
            return Err(format!("expected 1 to {MAX_SEEDS} different seeds, such as 0..4 or 1,5,9"));
        }
        Ok(Self(seeds))
    }
}

/// Creates the folder `root` with a run folder for each configuration, named by its seed.
pub fn create(root: &Path, configs: &[RunConfig]) -> Result<()> {
    for config in configs {
        RunFolder::create(&root.join(format!("seed-{}", config.train.seed)), &config.to_toml()?)?;
    }
    Ok(())
}

/// Trains every run in `root` that is not complete, one after the other, and compares them.
pub fn run(root: &Path, steps: Option<i64>, device: &DeviceArgs, is_quiet: bool) -> Result<Outcome> {
    let folders: Vec<PathBuf> = run_folder::runs_in(root)?;
    for folder in &folders {
        Session::configure(folder, steps, device)?;
    }
    for (idx, folder) in folders.iter().enumerate() {
        let Some(session) = Session::open(folder, steps, device)? else { continue };
        if !is_quiet {
            eprintln!("Run {} of {}", idx + 1, folders.len());
        }
        match session.run(root, is_quiet)? {
            Outcome::Done => {}
            Outcome::Interrupted => return Ok(Outcome::Interrupted),
        }
    }
    compare::make(&folders, root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_range_or_a_list() {
        let seeds = |text: &str| text.parse::<Seeds>().map(|seeds| seeds.0);
        assert_eq!(seeds("0..4"), Ok(vec![0, 1, 2, 3]));
        assert_eq!(seeds("2..=3"), Ok(vec![2, 3]));
        assert_eq!(seeds("7, 1"), Ok(vec![7, 1]));
        for refused in ["", "4..0", "1,1", "-1", "0..5000", "a", "0..9223372036854775808"] {
            assert!(seeds(refused).is_err(), "{refused}");
        }
    }
}
