//! `sayso rollout ENV`: recorded episodes of a policy.

use std::path::{Path, PathBuf};

use crate::agents::{Policy, RandomPolicy, ScriptedPolicy};
use crate::config::RunConfig;
use crate::envs::{VecEnv, VectorEnv as _};
use crate::interrupt;
use crate::recording::{RecordedStep, Recording, record};
use crate::setup::{self, Models};
use crate::video::to_png;
use crate::{Error, run_folder};
use anyhow::Result;
use clap::ValueEnum;

use super::Outcome;
use super::args::{ConfigArgs, DeviceArgs, InstructionArgs};
use super::failure::BadInput;
use super::measure::go_on;

/// Number of frames written as files and in the contact sheet.
const N_FRAMES: usize = 12;
const N_SHEET_COLUMNS: usize = 4;

/// Record episodes of a policy: video, frames, and the score of every step
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Environment id, see `sayso envs`
    #[arg(value_name = "ENV")]
    id: String,
    /// Policy to record
    #[arg(long, value_enum, default_value_t = PolicyKind::Random)]
    policy: PolicyKind,
    /// Run folder of the policy, with --policy trained; its configuration holds unless a flag says otherwise
    #[arg(long, value_name = "RUN", required_if_eq("policy", "trained"))]
    run: Option<PathBuf>,
    /// Number of episodes, run in parallel
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    episodes: u32,
    /// Goal prompt that frames are scored against [default: that of --run, or of the task's first goal]
    #[arg(long, value_name = "TEXT")]
    goal_prompt: Option<String>,
    #[command(flatten)]
    instruction: InstructionArgs,
    /// Baseline prompt [default: the task's own]
    #[arg(long, value_name = "TEXT")]
    baseline_prompt: Option<String>,
    /// Reward model: `bundled`, a folder, or `owner/name[@revision]` on the Hugging Face hub
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Skip scoring; no reward model is loaded
    #[arg(long, conflicts_with_all = ["goal_prompt", "baseline_prompt", "model"])]
    no_score: bool,
    /// Random seed of the episodes
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Folder to create
    #[arg(long, value_name = "FOLDER", default_value = "rollout")]
    out: PathBuf,
    #[command(flatten)]
    device: DeviceArgs,
}

/// A policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PolicyKind {
    /// Uniformly random actions
    Random,
    /// The task's scripted policy
    Scripted,
    /// The policy of --run
    Trained,
}

const EXAMPLES: &str = "\
Examples:
  sayso rollout Reach-v1 --policy scripted
  sayso rollout Reach-v1 --policy trained --run runs/reach-001 --seed 5
  sayso rollout GoTo-v1 --no-score --out runs/go-to-random

Files:
  video.mp4, sheet.png, frames/*.png, scores.jsonl (one line per step: reward and ground truth)";

/// Runs the command.
pub fn run(args: &Args, is_quiet: bool) -> Result<Outcome> {
    interrupt::listen("Stopping after this step.")?;
    let config = config(args)?;
    let models = Models::load(&config)?;
    let mut env = setup::recording_env(&config, args.episodes as usize, &models)?;
    let mut policy = policy(args, &env)?;
    run_folder::create_empty(&args.out, &["frames"])?;
    if !is_quiet {
        let episodes = if args.episodes == 1 { "episode" } else { "episodes" };
        eprintln!("{} {episodes} of {} ...", args.episodes, config.env.id);
    }
    let Some(recording) = record(&mut env, &mut *policy, args.seed, &mut go_on)? else {
        return Ok(Outcome::Interrupted);
    };
    write(&args.out, &recording, name(args.policy))?;
    print_line!("Written: {0}/video.mp4, {0}/sheet.png, {0}/frames, {0}/scores.jsonl", args.out.display())?;
    Ok(Outcome::Done)
}

/// That of the run, or else of the preset, with the arguments.
fn config(args: &Args) -> Result<RunConfig> {
    let flags = ConfigArgs {
        goal_prompt: args.goal_prompt.iter().cloned().collect(),
        baseline_prompt: args.baseline_prompt.iter().cloned().collect(),
        env: Some(args.id.clone()),
        model: args.model.clone(),
        instruction: args.instruction.clone(),
        ground_truth: args.no_score,
        ..ConfigArgs::default()
    };
    match &args.run {
        Some(run) => flags.resolve_run(run, &args.device),
        None => flags.resolve(&args.device.setting().into_iter().collect::<Vec<_>>()),
    }
}

fn policy(args: &Args, env: &VecEnv) -> Result<Box<dyn Policy>> {
    Ok(match (args.policy, &args.run) {
        (PolicyKind::Random, _) | (PolicyKind::Trained, None) => Box::new(RandomPolicy::new(env)),
        (PolicyKind::Scripted, _) => {
            if let Some(instruction) = env.instructions().iter().find(|it| it.goal_idx.is_none()) {
                return Err(no_goal(&instruction.text, env));
            }
            Box::new(ScriptedPolicy::new(env.task_spec(), env.instructions()).map_err(Error::from)?)
        }
        (PolicyKind::Trained, Some(run)) => setup::trained_policy(run, env)?,
    })
}

fn no_goal(prompt: &str, env: &VecEnv) -> anyhow::Error {
    BadInput::refuse(
        format!(
            "'{prompt}' does not name exactly one of the task's goals, and the scripted policy pursues one"
        ),
        format!("name one of {} in --goal-prompt, or use --policy random", env.goal_names().join(", ")),
    )
}

fn name(policy: PolicyKind) -> &'static str {
    match policy {
        PolicyKind::Random => "random",
        PolicyKind::Scripted => "scripted",
        PolicyKind::Trained => "trained",
    }
}

fn write(folder: &Path, recording: &Recording, title: &str) -> Result<()> {
    let range = recording.score_range();
    run_folder::write_atomically(&folder.join("video.mp4"), &recording.to_mp4(title, range)?)?;
    let sheet = to_png(&recording.sheet(title, N_FRAMES, N_SHEET_COLUMNS))?;
    run_folder::write_atomically(&folder.join("sheet.png"), &sheet)?;
    for step in recording.spread_over_scores(N_FRAMES) {
        let name = format!("frames/episode-{}-step-{:03}.png", step.episode_idx + 1, step.step);
        let png = to_png(&recording.captioned(step, title, range))?;
        run_folder::write_atomically(&folder.join(name), &png)?;
    }
    let lines: String = recording.steps.iter().map(|step| score_line(recording, step)).collect();
    run_folder::write_atomically(&folder.join("scores.jsonl"), lines.as_bytes())?;
    Ok(())
}

fn score_line(recording: &Recording, step: &RecordedStep) -> String {
    let goals = recording.goal_names.iter().zip(&step.success);
    let truth: serde_json::Map<_, _> = goals.map(|(name, met)| (name.clone(), (*met).into())).collect();
    let line = serde_json::json!({
        "episode": step.episode_idx + 1,
        "step": step.step,
        "reward": step.score,
        "goals_met": truth,
        "instruction": recording.instructions.get(step.instruction).map(|it| it.text.as_str()),
    });
    format!("{line}\n")
}
