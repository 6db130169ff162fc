//! Several runs as one result: runs that differ in seed and instruction alone are a group, and groups are compared.

mod statistics;

pub use statistics::Aggregate;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;
use toml::{Table, Value};

use crate::config::{Layers, RunConfig};
use crate::error::{Error, Result};
use crate::metrics::MetricsRow;
use crate::results::Summary;
use crate::run_folder::{self, RunFolder};

/// Number of points of a curve.
const N_POINTS: usize = 60;
/// Largest number of keys that a group's name consists of.
const MAX_NAMED_KEYS: usize = 4;

/// A finished run.
#[derive(Clone, Debug)]
pub struct FinishedRun {
    /// Its folder.
    pub root: PathBuf,
    /// Its results.
    pub summary: Summary,
    /// What is asked of the policy.
    pub title: String,
    /// Ground-truth success of the trained policy on the goal of the instruction.
    success: f64,
    /// The greatest success on another goal; `None` if there is none, or if there are several instructions.
    other_success: Option<f64>,
    /// The configuration without what runs of one group may differ in.
    common: Table,
    rows: Vec<MetricsRow>,
    /// Tag of the curve of success.
    tag: String,
}

/// Runs with one configuration.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// What distinguishes it from the other groups.
    pub name: String,
    /// Its runs.
    pub runs: Vec<GroupRun>,
    /// Success on the goal of the instruction.
    pub success: Aggregate,
    /// The greatest success on another goal.
    pub other_success: Option<Aggregate>,
    /// Wall time of training, seconds.
    pub training_secs: Aggregate,
    /// Env steps of training.
    pub n_steps: u64,
    /// Success during training.
    #[serde(skip)]
    pub curve: Vec<CurvePoint>,
}

/// A run of a group.
#[derive(Clone, Debug, Serialize)]
pub struct GroupRun {
    /// Its folder.
    pub root: PathBuf,
    /// What is asked of the policy.
    pub title: String,
    /// Seed of the training.
    pub seed: u64,
    /// Success on the goal of the instruction.
    pub success: f64,
    /// The greatest success on another goal.
    pub other_success: Option<f64>,
    /// Wall time of training, seconds.
    pub training_secs: f64,
}

/// A point of a curve over env steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvePoint {
    /// Env steps.
    pub step: f64,
    /// Of the runs.
    pub value: Aggregate,
}

/// The folders of runs that `paths` name: run folders, and folders that hold run folders.
///
/// # Errors
/// If one is neither.
pub fn run_folders(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        match run_folder::is_run(path) {
            true => found.push(path.clone()),
            false => found.extend(run_folder::runs_in(path)?),
        }
    }
    // A run that is named twice counts once.
    let mut seen = BTreeSet::new();
    found.retain(|root| seen.insert(root.canonicalize().unwrap_or_else(|_| root.clone())));
    Ok(found)
}

impl FinishedRun {
    /// Reads the results of a run.
    ///
    /// # Errors
    /// If a file cannot be read or is damaged, or there is no result of a trained policy yet.
    pub fn read(root: &Path) -> Result<Self> {
        let folder = RunFolder::open(root)?;
        let mut layers = Layers::default();
        layers.add_text(&run_folder::read_config(root)?, &root.join(run_folder::CONFIG))?;
        let config = layers.finish::<RunConfig>()?.resolve()?;
        let unfinished =
            |reason: &str| Error::NotFinished { path: root.to_owned(), reason: reason.to_owned() };
        if config.instructions(config.task()?.spec())?.iter().all(|it| it.goal_idx.is_none()) {
            let reason = format!("the instruction of {} names no goal", root.display());
            return Err(Error::NotComparable { reason });
        }
        let summary = Summary::load(&folder)?.ok_or_else(|| unfinished("it has no summary.json"))?;
        let success = summary.success().ok_or_else(|| unfinished("no trained policy was evaluated"))?;
        if summary.n_steps < config.train.total_steps {
            return Err(unfinished(&format!(
                "{} of {} steps are evaluated",
                summary.n_steps, config.train.total_steps
            )));
        }
        let several = 1 < summary.instructions.len();
        let target = summary.goals.iter().find(|goal| goal.is_target).map(|goal| &goal.goal);
        let tag = match target {
            Some(goal) if !several => format!("rollout/success_rate/{goal}"),
            _ => "rollout/success_rate".to_owned(),
        };
        let others = summary.goals.iter().filter(|goal| !goal.is_target && !several);
        let other_success = others.filter_map(|goal| Some(goal.after?.rate)).reduce(f64::max);
        let title = config.title(&config.instructions(config.task()?.spec())?);
        Ok(Self {
            root: root.to_owned(),
            title,
            success,
            other_success,
            common: common(&config)?,
            rows: folder.rows()?,
            tag,
            summary,
        })
    }

    /// Mean of the curve of success after `from` and up to `to` env steps, or its last value before.
    fn success_at(&self, from: f64, to: f64) -> Option<f64> {
        let rows = || self.rows.iter().filter(|row| row.step as f64 <= to);
        let within: Vec<f64> =
            rows().filter(|row| from < row.step as f64).filter_map(|row| row.get(&self.tag)).collect();
        match within.is_empty() {
            false => Some(within.iter().sum::<f64>() / within.len() as f64),
            true => rows().rev().find_map(|row| row.get(&self.tag)),
        }
    }
}

/// The configuration as a table, without seeds, instruction, prompts, device, and what the results do not depend on.
fn common(config: &RunConfig) -> Result<Table> {
    const VARIED: [&str; 15] = [
        "env.seed",
        "train.seed",
        "env.instruction",
        "env.instruction_text",
        "env.device",
        "reward.goal_prompts",
        "reward.baseline_prompts",
        "train.checkpoint_every",
        "train.keep_newest",
        "train.keep_best",
        "env.n_groups",
        "env.shrink_on_oom",
        "evaluation.seed",
        "evaluation.n_envs",
        "evaluation.n_video_episodes",
    ];
    let mut layers = Layers::default();
    layers.add_text(&config.to_toml()?, Path::new(run_folder::CONFIG))?;
    VARIED.iter().for_each(|key| layers.remove(key));
    Ok(layers.into_table())
}

/// Groups the runs by their configuration, in the order of the first run of each.
///
/// # Errors
/// If there is no run, or runs are of different tasks.
pub fn compare(runs: &[FinishedRun]) -> Result<Vec<Group>> {
    let [first, ..] = runs else {
        return Err(Error::NotComparable { reason: "no run folder was given".to_owned() });
    };
    for run in runs {
        let task = |run: &FinishedRun| {
            let env = run.common.get("env").and_then(Value::as_table);
            let options = env.and_then(|env| env.get("options")).map(Value::to_string).unwrap_or_default();
            format!("{} {options}", run.summary.env_id).trim_end().to_owned()
        };
        if task(run) != task(first) {
            let (a, b) = (first.root.display(), run.root.display());
            let reason = format!("{a} is of {}, and {b} is of {}", task(first), task(run));
            return Err(Error::NotComparable { reason });
        }
    }
    let mut groups: Vec<Vec<&FinishedRun>> = Vec::new();
    for run in runs {
        match groups.iter_mut().find(|group| group[0].common == run.common) {
            Some(group) => group.push(run),
            None => groups.push(vec![run]),
        }
    }
    let names = names(&groups.iter().map(|group| group[0]).collect::<Vec<_>>());
    groups.iter().zip(names).map(|(runs, name)| group(runs, name)).collect()
}

fn group(runs: &[&FinishedRun], name: String) -> Result<Group> {
    let titles: BTreeSet<&str> = runs.iter().map(|run| run.title.as_str()).collect();
    let strata = |value: &dyn Fn(&FinishedRun) -> Option<f64>| -> Vec<Vec<f64>> {
        let of = |title: &&str| {
            runs.iter().filter(|run| run.title == *title).filter_map(|run| value(run)).collect()
        };
        titles.iter().map(of).collect()
    };
    let last = |run: &&FinishedRun| run.rows.last().map_or(0, |row| row.step);
    let n_steps = runs.iter().map(last).min().unwrap_or(0);
    let width = n_steps as f64 / N_POINTS as f64;
    let curve = (1..=N_POINTS).filter_map(|idx| {
        let (from, to) = ((idx - 1) as f64 * width, idx as f64 * width);
        let value = Aggregate::new(&strata(&|run| run.success_at(from, to)))?;
        Some(CurvePoint { step: to, value })
    });
    let none = || Error::NotComparable { reason: "a group has no run".to_owned() };
    Ok(Group {
        name,
        success: Aggregate::new(&strata(&|run| Some(run.success))).ok_or_else(none)?,
        other_success: Aggregate::new(&strata(&|run| run.other_success)),
        training_secs: Aggregate::new(&strata(&|run| Some(run.summary.training_secs))).ok_or_else(none)?,
        n_steps,
        curve: curve.collect(),
        runs: runs
            .iter()
            .map(|run| GroupRun {
                root: run.root.clone(),
                title: run.title.clone(),
                seed: run.summary.seed,
                success: run.success,
                other_success: run.other_success,
                training_secs: run.summary.training_secs,
            })
            .collect(),
    })
}

/// What distinguishes each configuration from the others: the keys that differ, or the folder of its first run.
fn names(firsts: &[&FinishedRun]) -> Vec<String> {
    if let [only] = firsts {
        return vec![only.summary.env_id.clone()];
    }
    let flat: Vec<Vec<(String, String)>> = firsts.iter().map(|run| flatten(&run.common)).collect();
    let differs = |key: &str| {
        let value = |of: &Vec<(String, String)>| of.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone());
        flat.iter().any(|of| value(of) != value(&flat[0]))
    };
    // Options of an algorithm or a kind of reward that the others do not have say nothing beside its name.
    let is_everywhere = |key: &str| flat.iter().all(|of| of.iter().any(|(k, _)| k == key));
    let kinds_differ = differs("train.algorithm") || differs("reward.kind");
    flat.iter()
        .zip(firsts)
        .map(|(of, run)| {
            let named: Vec<String> = of
                .iter()
                .filter(|(key, _)| differs(key) && (is_everywhere(key) || !kinds_differ))
                .map(|(key, value)| match key.as_str() {
                    "train.algorithm" => value.trim_matches('"').to_owned(),
                    key => format!("{key} = {value}"),
                })
                .collect();
            match named.len() {
                1..=MAX_NAMED_KEYS => named.join(", "),
                _ => run.root.file_name().map_or_else(String::new, |name| name.display().to_string()),
            }
        })
        .collect()
}

/// Dotted keys and values, in alphabetical order; the algorithm comes first.
fn flatten(table: &Table) -> Vec<(String, String)> {
    fn add(prefix: &str, table: &Table, to: &mut Vec<(String, String)>) {
        for (key, value) in table {
            let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            match value {
                Value::Table(inner) => add(&key, inner, to),
                value => to.push((key, value.to_string())),
            }
        }
    }
    let mut flat = Vec::new();
    add("", table, &mut flat);
    flat.sort_by_key(|(key, _)| (key != "train.algorithm", key.clone()));
    flat
}
