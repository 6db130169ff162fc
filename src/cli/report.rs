//! `sayso report RUN`: the report of a run, from what is in its folder.

use std::path::{Path, PathBuf};

use crate::config::RunConfig;
use crate::interrupt;
use crate::recording::Recording;
use crate::report::{self, Clip, GoalRow, Report};
use crate::results::{Evaluation, Summary};
use crate::run_folder::{RunFolder, SUMMARY};
use crate::setup::{self, Models};
use crate::{machine, models};
use anyhow::Result;

use super::args::{ConfigArgs, DeviceArgs};
use super::measure::{self, RunPolicy};
use super::{Outcome, tables};

/// Number of frames in the report.
const N_FRAMES: usize = 12;

/// Make the report of a run from what is in its folder
///
/// Works for every run folder, also of a run that was interrupted. The newest checkpoint is evaluated where its evaluation is
/// missing, and episodes of the untrained and the trained policy are recorded. Prints ground-truth success rates, and writes
/// report.html, summary.json, videos and frames.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  sayso report runs/reach-001")]
pub struct Args {
    /// Run folder of `sayso train`
    run: PathBuf,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Runs the command.
pub fn run(args: &Args, is_quiet: bool) -> Result<Outcome> {
    interrupt::listen("Stopping after this step.")?;
    let config = ConfigArgs::default().resolve_run(&args.run, &args.device)?;
    let folder = RunFolder::open(&args.run)?;
    let models = Models::load(&config)?;
    make(&config, &folder, &models, is_quiet)
}

/// Evaluates and records what is missing, and writes report and summary; the end of `sayso train`.
pub fn make(config: &RunConfig, folder: &RunFolder, models: &Models, is_quiet: bool) -> Result<Outcome> {
    let newest = setup::newest_checkpoint(folder.root())?;
    let trained = newest.as_ref().map(RunPolicy::Trained);
    let mut measured = Vec::new();
    for policy in std::iter::once(RunPolicy::Untrained).chain(trained) {
        let evaluation = measure::evaluation(config, folder, policy, models, is_quiet)?;
        let recording =
            evaluation.is_some().then(|| measure::recording(config, policy, models)).transpose()?;
        let (Some(evaluation), Some(recording)) = (evaluation, recording.flatten()) else {
            eprintln!("Interrupted. Make the report with: sayso report {}", folder.root().display());
            return Ok(Outcome::Interrupted);
        };
        measured.push(Measured { evaluation, recording });
    }
    let (report, summary) = write(config, folder, &measured)?;
    print_tables(&summary)?;
    print_line!("Report: {}", report.display())?;
    Ok(Outcome::Done)
}

/// Evaluation and recorded episodes of one policy; the untrained one comes first in lists.
struct Measured {
    evaluation: Evaluation,
    recording: Recording,
}

/// Writes videos, frames, report and summary; returns the report's path and the summary.
fn write(config: &RunConfig, folder: &RunFolder, measured: &[Measured]) -> Result<(PathBuf, Summary)> {
    let [before, ..] = measured else { anyhow::bail!("the untrained policy was not evaluated") };
    let after = measured.get(1);
    let rows = folder.rows()?;
    let instructions = config.instructions(config.task()?.spec())?;
    let after_evaluation = after.map(|m| &m.evaluation);
    let summary = Summary::new(config, &instructions, rows.last(), &before.evaluation, after_evaluation);
    let frames = after.unwrap_or(before).recording.scored_frames(N_FRAMES)?;
    folder.clear_frames()?;
    for (idx, frame) in frames.iter().enumerate() {
        folder.write_frame(&format!("{idx:02}-reward-{:.3}", frame.score), &frame.png)?;
    }
    let clips = videos(measured)?;
    for clip in &clips {
        folder.write_video(&clip.title.to_lowercase(), &clip.mp4)?;
    }
    let goal_row = |goal: &crate::results::GoalSummary| GoalRow {
        goal: goal.goal.clone(),
        is_target: goal.is_target,
        before: Some(goal.before),
        after: goal.after,
    };
    let page = report::render(&Report {
        title: config.title(&instructions),
        has_reward_model: !config.reward.is_ground_truth(),
        is_bundled_model: config.reward.model_name().is_some_and(|name| models::is_bundled(&name)),
        env_id: config.env.id.clone(),
        facts: facts(config, &summary),
        goals: summary.goals.iter().map(goal_row).collect(),
        instructions: summary.instructions.clone(),
        rows,
        videos: clips,
        frames,
        config_toml: config.to_toml()?,
        commands: commands(folder.root()),
        machine: machine::facts(),
    })?;
    let path = folder.write_report(&page)?;
    // The summary comes last: it says that the report is complete.
    folder.write_json(SUMMARY, &summary)?;
    Ok((path, summary))
}

/// The videos, with reward bars over the same range.
fn videos(measured: &[Measured]) -> Result<Vec<Clip>> {
    let recordings = measured.iter().map(|m| &m.recording).filter(|recording| !recording.steps.is_empty());
    let range = recordings.clone().map(Recording::score_range);
    let range = range.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))).unwrap_or((0.0, 1.0));
    let titles = [
        ("Untrained", "the policy that training starts from"),
        ("Trained", "the same episodes after training"),
    ];
    let clip = |(recording, (title, note)): (&Recording, (&str, &str))| -> Result<Clip> {
        let mp4 = recording.to_mp4(&title.to_lowercase(), range)?;
        Ok(Clip { title: title.to_owned(), note: note.to_owned(), mp4 })
    };
    recordings.zip(titles).map(clip).collect()
}

fn print_tables(summary: &Summary) -> std::io::Result<()> {
    let n = summary.episodes.n_episodes;
    print_line!("Ground-truth success at the end of {n} episodes, with 95% confidence intervals:")?;
    print_line!("{}", tables::before_and_after(&summary.goals))?;
    if 1 < summary.instructions.len() {
        print_line!("Success on the goal of the instruction, by instruction:")?;
        print_line!("{}", tables::instructions_before_and_after(&summary.instructions))?;
    }
    Ok(())
}

fn facts(config: &RunConfig, summary: &Summary) -> Vec<(String, String)> {
    let fact = |label: &str, value: String| (label.to_owned(), value);
    let Summary { n_steps, total_steps, training_secs, .. } = *summary;
    let minutes = (training_secs / 60.0).floor();
    let steps =
        if n_steps < total_steps { format!("{n_steps} of {total_steps}") } else { n_steps.to_string() };
    vec![
        fact("Environment", config.env.id.clone()),
        fact("Reward", reward(config)),
        fact("Environment steps", steps),
        fact("Training time", format!("{minutes:.0} min {:.0} s", training_secs - minutes * 60.0)),
        fact("Environment steps/s", format!("{:.0}", n_steps as f64 / training_secs.max(1e-9))),
        fact("Parallel environments", config.env.n_envs.to_string()),
        fact("Rendering device", config.env.device.to_string()),
        fact("Seed", config.train.seed.to_string()),
    ]
}

/// The reward, with the metrics that it is combined with.
fn reward(config: &RunConfig) -> String {
    let terms = config.reward.terms.iter().map(|term| format!("; {term}"));
    std::iter::once(config.reward_name()).chain(terms).collect()
}

fn commands(root: &Path) -> Vec<String> {
    let root = root.display();
    vec![
        "# train again with the same configuration".to_owned(),
        format!("sayso train --config {root}/config.toml --out {root}-again"),
        "# evaluate over fresh episodes".to_owned(),
        format!("sayso eval {root} --episodes 1000 --seed 1"),
        "# show the curves in TensorBoard".to_owned(),
        format!("tensorboard --logdir {root}"),
    ]
}
