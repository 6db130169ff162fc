//! `sayso compare RUN…`: several runs as one result.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;

use crate::compare::{Aggregate, FinishedRun, Group, compare, run_folders};
use crate::report::render_comparison;
use crate::run_folder::{self, write_atomically};

use super::Outcome;
use super::tables::{align_numbers, table};

/// Name of the page.
const PAGE: &str = "compare.html";
/// Name of the results for scripts.
const RESULTS: &str = "compare.json";

/// Compare runs: success over seeds and instructions, with intervals
///
/// Runs that differ only in seeds, instruction, prompts, device and numbers of checkpoints and videos are one group. Prints interquartile means over the runs of each group with 95%
/// bootstrap intervals, and writes compare.html, with curves, and compare.json.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  sayso compare runs/reach-001 runs/reach-002 runs/reach-003\n  sayso compare runs/reach-sac runs/reach-ppo"
)]
pub struct Args {
    /// Run folders, or folders that hold run folders, as `sayso train --seeds` creates them
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// Folder for compare.html and compare.json [default: the folder of --seeds, if it is compared alone; else the folder that holds
    /// the first argument]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Outcome> {
    let roots = run_folders(&args.runs)?;
    let default = match args.runs.as_slice() {
        [only] if !run_folder::is_run(only) => only.as_path(),
        [first, ..] => first.parent().unwrap_or(Path::new("")),
        [] => Path::new(""),
    };
    let out = args.out.as_deref().unwrap_or(default);
    make(&roots, if out == Path::new("") { Path::new(".") } else { out })
}

/// Compares runs, and writes page and results into `out`.
pub fn make(roots: &[PathBuf], out: &Path) -> Result<Outcome> {
    let runs = roots.iter().map(|root| FinishedRun::read(root)).collect::<crate::Result<Vec<_>>>()?;
    let groups = compare(&runs)?;
    let env_id = runs.first().map_or("", |run| &run.summary.env_id);
    std::fs::create_dir_all(out).map_err(crate::Error::file("create", out))?;
    let page = out.join(PAGE);
    write_atomically(&page, render_comparison(env_id, &groups)?.as_bytes())?;
    let results = Results { env_id, groups: &groups };
    write_atomically(&out.join(RESULTS), &serde_json::to_vec_pretty(&results)?)?;
    print(&groups)?;
    print_line!("Comparison: {}", page.display())?;
    Ok(Outcome::Done)
}

#[derive(Serialize)]
struct Results<'a> {
    env_id: &'a str,
    groups: &'a [Group],
}

fn print(groups: &[Group]) -> std::io::Result<()> {
    print_line!(
        "Ground-truth success on the goal of the instruction, interquartile mean over runs with 95% interval:"
    )?;
    let mut table =
        table(["Configuration", "Runs", "Success", "Least", "Another goal, most", "Steps", "Training time"]);
    for group in groups {
        table.add_row([
            group.name.clone(),
            group.runs.len().to_string(),
            with_interval(&group.success),
            percent(group.success.min),
            group.other_success.as_ref().map_or(String::new(), |other| percent(other.max)),
            group.n_steps.to_string(),
            format!("{:.0} s", group.training_secs.median),
        ]);
    }
    align_numbers(&mut table);
    print_line!("{table}")
}

fn with_interval(value: &Aggregate) -> String {
    match value.interval {
        Some((low, high)) => format!("{}  ({:.1} to {:.1})", percent(value.iqm), low * 100.0, high * 100.0),
        None => percent(value.iqm),
    }
}

fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}
