//! Evaluation before and after training: ground truth over fresh episodes, a video, and the report.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use sayso::Error;
use sayso::agents::evaluate::{EvalReport, GoalSuccess};
use sayso::agents::{EvalConfig, Policy, evaluate, untrained_policy};
use sayso::config::{RewardKind, RunConfig};
use sayso::envs::VecEnv;
use sayso::machine;
use sayso::recording::{Recording, record};
use sayso::report::{self, Clip, GoalRow, Report};
use sayso::rewards::FrameReward;
use sayso::run_folder::RunFolder;
use sayso::setup;

use crate::interrupt;
use crate::progress::Progress;

/// Frames per second of videos.
pub const VIDEO_FPS: f32 = 15.0;
/// Number of frames in the report.
const N_FRAMES: usize = 12;

/// Evaluation of one policy.
pub struct Measured {
    /// Ground-truth success rates.
    pub goals: Vec<GoalSuccess>,
    /// A few recorded episodes; empty if the configuration asks for none.
    pub recording: Recording,
}

/// Evaluates the policy that training starts from. `None` if Ctrl-C interrupted it.
pub fn untrained(
    config: &RunConfig,
    model: Option<&Arc<dyn FrameReward>>,
    is_quiet: bool,
) -> Result<Option<Measured>> {
    let make = |env: &VecEnv| -> Result<Box<dyn Policy>> {
        Ok(Box::new(untrained_policy(env, &config.train).map_err(Error::from)?))
    };
    measure("untrained", config, model, &make, is_quiet)
}

/// Evaluates the policy of the newest checkpoint. `None` if Ctrl-C interrupted it.
pub fn trained(
    config: &RunConfig,
    folder: &RunFolder,
    model: Option<&Arc<dyn FrameReward>>,
    is_quiet: bool,
) -> Result<Option<Measured>> {
    let make = |env: &VecEnv| -> Result<Box<dyn Policy>> {
        Ok(Box::new(setup::trained_policy(folder.root(), env)?))
    };
    measure("trained", config, model, &make, is_quiet)
}

fn measure(
    name: &str,
    config: &RunConfig,
    model: Option<&Arc<dyn FrameReward>>,
    make_policy: &dyn Fn(&VecEnv) -> Result<Box<dyn Policy>>,
    is_quiet: bool,
) -> Result<Option<Measured>> {
    let evaluation = &config.evaluation;
    let mut env = setup::evaluation_env(config, evaluation.n_envs)?;
    let mut policy = make_policy(&env)?;
    let plan = EvalConfig { n_episodes: evaluation.n_episodes, seed: evaluation.seed };
    let label = format!("evaluating the {name} policy");
    let Some(report) = run_episodes(&mut env, &mut *policy, &plan, &label, is_quiet)? else {
        return Ok(None);
    };
    let recording = match evaluation.n_video_episodes {
        0 => Recording::default(),
        n_envs => {
            let mut env = setup::recording_env(config, n_envs, model)?;
            let mut policy = make_policy(&env)?;
            record(&mut env, &mut *policy, evaluation.seed)?
        }
    };
    Ok(Some(Measured { goals: report.goals, recording }))
}

/// Runs episodes with a progress bar; `None` if Ctrl-C interrupted them.
pub fn run_episodes(
    env: &mut VecEnv,
    policy: &mut dyn Policy,
    plan: &EvalConfig,
    label: &str,
    is_quiet: bool,
) -> Result<Option<EvalReport>> {
    let mut progress = Progress::new(label, "episodes", plan.n_episodes as u64, 0, is_quiet);
    let mut on_progress = |n_done: usize| {
        progress.update(n_done as u64, String::new());
        if interrupt::is_requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let report = evaluate(env, policy, plan, &mut on_progress).map_err(Error::from)?;
    progress.finish();
    Ok((!interrupt::is_requested()).then_some(report))
}

/// Writes videos, frames and the report; returns the report's path.
pub fn write_report(
    config: &RunConfig,
    folder: &RunFolder,
    before: &Measured,
    after: &Measured,
) -> Result<PathBuf> {
    let rows = folder.rows()?;
    let frames = after.recording.scored_frames(N_FRAMES)?;
    for (idx, frame) in frames.iter().enumerate() {
        folder.write_frame(&format!("{idx:02}-reward-{:.3}", frame.score), &frame.png)?;
    }
    let clips = videos(before, after)?;
    for clip in &clips {
        folder.write_video(&clip.title.to_lowercase(), &clip.mp4)?;
    }
    let elapsed_secs = rows.last().map_or(0.0, |row| row.elapsed_secs);
    let n_steps = rows.last().map_or(0, |row| row.step);
    let page = report::render(&Report {
        goal_prompt: config.goal_prompt().to_owned(),
        has_reward_model: config.reward.kind == RewardKind::VlmRm,
        env_id: config.env.id.clone(),
        facts: facts(config, n_steps, elapsed_secs),
        goals: goal_rows(config, before, after),
        rows,
        videos: clips,
        frames,
        config_toml: config.to_toml()?,
        commands: commands(folder),
        machine: machine::facts(),
    })?;
    Ok(folder.write_report(&page)?)
}

/// Both videos, with reward bars over the same range.
fn videos(before: &Measured, after: &Measured) -> Result<Vec<Clip>> {
    let ranges = [before.recording.score_range(), after.recording.score_range()];
    let range = (ranges[0].0.min(ranges[1].0), ranges[0].1.max(ranges[1].1));
    let clip = |measured: &Measured, title: &str, note: &str| -> Result<Clip> {
        Ok(Clip {
            title: title.to_owned(),
            note: note.to_owned(),
            mp4: measured.recording.to_mp4(&title.to_lowercase(), range, VIDEO_FPS)?,
        })
    };
    if before.recording.steps.is_empty() || after.recording.steps.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![
        clip(before, "Untrained", "the policy that training starts from")?,
        clip(after, "Trained", "the same episodes after training")?,
    ])
}

fn goal_rows(config: &RunConfig, before: &Measured, after: &Measured) -> Vec<GoalRow> {
    let row = |(before, after): (&GoalSuccess, &GoalSuccess)| GoalRow {
        goal: before.goal.clone(),
        is_target: config.env.instruction.as_deref() == Some(before.goal.as_str()),
        before: Some(before.at_end),
        after: Some(after.at_end),
    };
    before.goals.iter().zip(&after.goals).map(row).collect()
}

fn facts(config: &RunConfig, n_steps: u64, elapsed_secs: f64) -> Vec<(String, String)> {
    let fact = |label: &str, value: String| (label.to_owned(), value);
    let minutes = (elapsed_secs / 60.0).floor();
    vec![
        fact("Environment", config.env.id.clone()),
        fact("Reward", config.reward_name().to_owned()),
        fact("Environment steps", n_steps.to_string()),
        fact("Training time", format!("{minutes:.0} min {:.0} s", elapsed_secs - minutes * 60.0)),
        fact("Environment steps/s", format!("{:.0}", n_steps as f64 / elapsed_secs.max(1e-9))),
        fact("Parallel environments", config.env.n_envs.to_string()),
        fact("Rendering device", config.env.device.to_string()),
        fact("Seed", config.train.seed.to_string()),
    ]
}

fn commands(folder: &RunFolder) -> Vec<String> {
    let root = folder.root().display();
    vec![
        "# train again with the same configuration".to_owned(),
        format!("sayso train --config {root}/config.toml --out {root}-again"),
        "# evaluate over fresh episodes".to_owned(),
        format!("sayso eval {root} --episodes 1000 --seed 1"),
        "# show the curves in TensorBoard".to_owned(),
        format!("tensorboard --logdir {root}"),
    ]
}
