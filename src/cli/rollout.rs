//! `sayso rollout ENV`: watch a policy, without learning anything.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::ValueEnum;
use sayso::agents::experts::Expert;
use sayso::agents::{Policy, RandomPolicy};
use sayso::config::RunConfig;
use sayso::envs::VecEnv;
use sayso::recording::{Moment, Recording, record};
use sayso::{Error, run_folder, setup};
use toml::Value;

use super::Outcome;
use super::args::{ConfigArgs, DeviceArgs};
use super::failure::BadInput;
use super::measure::VIDEO_FPS;

/// Frames that are written one by one, and in one sheet.
const N_FRAMES: usize = 12;
const N_SHEET_COLUMNS: usize = 4;

/// Watch a policy act: a video, single frames, and the score of every step
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The environment, see `sayso envs`
    #[arg(value_name = "ENV")]
    id: String,
    /// Who acts
    #[arg(long, value_enum, default_value_t = Who::Random)]
    policy: Who,
    /// The run whose policy acts, with --policy trained
    #[arg(long, value_name = "RUN", required_if_eq("policy", "trained"))]
    run: Option<PathBuf>,
    /// Episodes, all at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(i64).range(1..=64))]
    episodes: i64,
    /// The sentence that frames are scored against [default: the task's first goal]
    #[arg(long, value_name = "SENTENCE")]
    prompt: Option<String>,
    /// The scene without the goal
    #[arg(long, value_name = "SENTENCE")]
    baseline: Option<String>,
    /// The reward model
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Do not score; no reward model is needed then
    #[arg(long, conflicts_with_all = ["prompt", "baseline", "model"])]
    no_score: bool,
    /// Seed of the episodes
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    seed: i64,
    /// Folder to create
    #[arg(long, value_name = "FOLDER", default_value = "rollout")]
    out: PathBuf,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Who {
    /// Uniformly random actions
    Random,
    /// The task's scripted expert
    Scripted,
    /// The policy of --run
    Trained,
}

const EXAMPLES: &str = "\
Examples:
  sayso rollout Reach-v0 --policy scripted
  sayso rollout Reach-v0 --policy trained --run runs/reach-001 --seed 5
  sayso rollout GoTo-v0 --no-score --out look

What it writes:
  video.mp4, sheet.png, frames/*.png, scores.jsonl (a line for each step: score and ground truth)";

/// Runs the command.
pub fn run(args: &Args, is_quiet: bool) -> Result<Outcome> {
    let config = config(args)?;
    let judge = setup::judge(&config)?.reward;
    let mut env = setup::recording_env(&config, config.env.n_envs, judge.as_ref())?;
    let mut policy = policy(args, &env)?;
    run_folder::create_fresh(&args.out, &["frames"])?;
    if !is_quiet {
        eprintln!("{} episodes of {} ...", args.episodes, config.env.id);
    }
    let recording = record(&mut env, &mut *policy, config.env.seed)?;
    write(&args.out, &recording, who(args.policy))?;
    println!("Written: {0}/video.mp4, {0}/sheet.png, {0}/frames, {0}/scores.jsonl", args.out.display());
    Ok(Outcome::Done)
}

fn config(args: &Args) -> Result<RunConfig> {
    let shared = ConfigArgs {
        prompt: args.prompt.iter().cloned().collect(),
        baseline: args.baseline.iter().cloned().collect(),
        env: Some(args.id.clone()),
        model: args.model.clone(),
        ground_truth: args.no_score,
        seed: Some(args.seed),
        envs: Some(args.episodes),
        ..ConfigArgs::default()
    };
    let device: Vec<_> = args.device.setting().into_iter().collect();
    let Some(run) = &args.run else { return shared.resolve(&device) };
    // A trained policy reads what it was trained to read; all else may be asked for anew.
    let trained = super::eval::config_of(run, &args.device)?;
    if trained.env.id != args.id {
        let message = format!("{} was trained in {}, not in {}", run.display(), trained.env.id, args.id);
        return Err(BadInput::refuse(message, format!("say `sayso rollout {}`", trained.env.id)));
    }
    let observation = Value::try_from(trained.env.observation).map_err(anyhow::Error::from)?;
    let options = Value::Table(trained.env.options);
    let device = trained.env.device.to_string().into();
    shared.resolve(&[("env.observation", observation), ("env.options", options), ("env.device", device)])
}

fn policy(args: &Args, env: &VecEnv) -> Result<Box<dyn Policy>> {
    Ok(match (args.policy, &args.run) {
        (Who::Random, _) | (Who::Trained, None) => Box::new(RandomPolicy::new(env)),
        (Who::Scripted, _) => Box::new(Expert::new(env.task_spec(), env.goal_idx()).map_err(Error::from)?),
        (Who::Trained, Some(run)) => Box::new(setup::trained_policy(run, env)?),
    })
}

fn who(policy: Who) -> &'static str {
    match policy {
        Who::Random => "random",
        Who::Scripted => "scripted",
        Who::Trained => "trained",
    }
}

fn write(folder: &Path, recording: &Recording, title: &str) -> Result<()> {
    let range = recording.score_range();
    run_folder::write_atomically(&folder.join("video.mp4"), &recording.to_mp4(title, range, VIDEO_FPS)?)?;
    let sheet = recording.sheet(title, N_FRAMES, N_SHEET_COLUMNS).to_png()?;
    run_folder::write_atomically(&folder.join("sheet.png"), &sheet)?;
    for moment in recording.spread_over_scores(N_FRAMES) {
        let name = format!("frames/episode-{}-step-{:03}.png", moment.episode_idx + 1, moment.step);
        let png = recording.captioned(moment, title, range).to_png()?;
        run_folder::write_atomically(&folder.join(name), &png)?;
    }
    let lines: String = recording.moments.iter().map(|moment| score_line(recording, moment)).collect();
    run_folder::write_atomically(&folder.join("scores.jsonl"), lines.as_bytes())?;
    Ok(())
}

fn score_line(recording: &Recording, moment: &Moment) -> String {
    let goals = recording.goal_names.iter().zip(&moment.success);
    let truth: serde_json::Map<_, _> = goals.map(|(name, met)| (name.clone(), (*met).into())).collect();
    let line = serde_json::json!({
        "episode": moment.episode_idx + 1,
        "step": moment.step,
        "score": moment.score,
        "goals_met": truth,
    });
    format!("{line}\n")
}
