//! `sayso eval RUN`: evaluation of a trained policy by ground truth.

use std::path::PathBuf;

use crate::agents::EvalConfig;
use crate::envs::config::MAX_ENVS;
use crate::interrupt;
use crate::recording::record;
use crate::run_folder;
use crate::setup::{self, Models};
use anyhow::{Context as _, Result};

use super::args::{ConfigArgs, DeviceArgs, InstructionArgs};
use super::measure::{go_on, run_episodes};
use super::{Outcome, tables};

/// Evaluate a trained policy over fresh episodes
///
/// Prints ground-truth success rates with 95% confidence intervals, and writes RUN/eval-SEED.json and a video.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  sayso eval runs/reach-001\n  sayso eval runs/reach-001 --episodes 1000 --seed 7 --no-video\n  \
                  sayso eval runs/reach-001 --instruction all --paraphrases held-out"
)]
pub struct Args {
    /// Run folder of `sayso train`
    run: PathBuf,
    /// Number of episodes
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    episodes: u32,
    /// Random seed of the episodes; use another one than for training
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    seed: u64,
    /// Number of parallel environments
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=MAX_ENVS as i64))]
    envs: u32,
    /// Number of episodes in the video
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    video_episodes: u32,
    #[command(flatten)]
    instruction: InstructionArgs,
    /// Evaluate the checkpoint with the highest mean training reward instead of the newest
    #[arg(long)]
    best: bool,
    /// Skip the video
    #[arg(long)]
    no_video: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Runs the command.
pub fn run(args: &Args, is_quiet: bool) -> Result<Outcome> {
    interrupt::listen("Stopping after this step.")?;
    let flags = ConfigArgs { instruction: args.instruction.clone(), ..ConfigArgs::default() };
    let config = flags.resolve_run(&args.run, &args.device)?;
    let text = setup::text_tower(&config.env)?;
    let mut env = setup::evaluation_env(&config, args.envs.min(args.episodes) as usize, text.as_ref())?;
    let mut policy = setup::policy_of(&setup::checkpoint(&args.run, args.best)?, &env)?;
    let plan = EvalConfig { n_episodes: args.episodes as usize, seed: args.seed };
    let Some(report) = run_episodes(&mut env, &mut *policy, &plan, "evaluating", is_quiet)? else {
        return Ok(Outcome::Interrupted);
    };
    let json = serde_json::to_vec_pretty(&report).context("cannot encode the evaluation")?;
    let path = args.run.join(format!("eval-{}.json", args.seed));
    run_folder::write_atomically(&path, &json)?;

    print_line!(
        "{}: {} {} of {}, seed {}",
        args.run.display(),
        args.episodes,
        if args.episodes == 1 { "episode" } else { "episodes" },
        config.env.id,
        args.seed
    )?;
    print_line!("{}", tables::success(&report.goals))?;
    if 1 < report.instructions.len() {
        print_line!("{}", tables::instructions(&report.instructions))?;
    }
    print_line!(
        "Mean length {:.1} steps, mean ground-truth return {:.2}",
        report.mean_steps,
        report.mean_return
    )?;
    print_line!("Written: {}", path.display())?;
    if !args.no_video {
        let (reward, device) = setup::reward_model(&config)?;
        let models = Models { reward, device, text };
        let mut env = setup::recording_env(&config, args.video_episodes as usize, &models)?;
        let Some(recording) = record(&mut env, &mut *policy, args.seed, &mut go_on)? else {
            return Ok(Outcome::Interrupted);
        };
        let mp4 = recording.to_mp4("trained", recording.score_range())?;
        let path = args.run.join(format!("videos/eval-{}.mp4", args.seed));
        run_folder::write_atomically(&path, &mp4)?;
        print_line!("Written: {}", path.display())?;
    }
    Ok(Outcome::Done)
}
