//! Measurements of a run's policies: ground truth over fresh episodes, and recorded episodes.

use std::ops::ControlFlow;

use crate::Error;
use crate::agents::evaluate::EvalReport;
use crate::agents::{Checkpoint, EvalConfig, Policy, evaluate, untrained_policy};
use crate::config::RunConfig;
use crate::envs::VecEnv;
use crate::interrupt;
use crate::progress::Progress;
use crate::recording::{Recording, record};
use crate::results::Evaluation;
use crate::run_folder::RunFolder;
use crate::setup::{self, Models};
use anyhow::Result;

/// A policy of a run.
#[derive(Clone, Copy)]
pub enum RunPolicy<'a> {
    /// The policy that training starts from.
    Untrained,
    /// The policy of a checkpoint.
    Trained(&'a Checkpoint),
}

impl RunPolicy<'_> {
    fn name(self) -> &'static str {
        match self {
            Self::Untrained => "untrained",
            Self::Trained(_) => "trained",
        }
    }

    fn n_steps(self) -> u64 {
        match self {
            Self::Untrained => 0,
            Self::Trained(checkpoint) => checkpoint.n_steps(),
        }
    }

    fn policy(self, config: &RunConfig, env: &VecEnv) -> Result<Box<dyn Policy>> {
        match self {
            Self::Untrained => Ok(untrained_policy(env, &config.train).map_err(Error::from)?),
            Self::Trained(checkpoint) => Ok(setup::policy_of(checkpoint, env)?),
        }
    }
}

/// The evaluation of a policy: that in the run folder, or else a new one, which is saved there. `None` if Ctrl-C interrupted it.
pub fn evaluation(
    config: &RunConfig,
    folder: &RunFolder,
    policy: RunPolicy,
    models: &Models,
    is_quiet: bool,
) -> Result<Option<Evaluation>> {
    let plan = EvalConfig { n_episodes: config.evaluation.n_episodes, seed: config.evaluation.seed };
    if let Some(saved) = Evaluation::load(folder, policy.n_steps(), &plan)? {
        return Ok(Some(saved));
    }
    let mut env = setup::evaluation_env(config, config.evaluation.n_envs, models.text.as_ref())?;
    let mut actor = policy.policy(config, &env)?;
    let label = format!("evaluating the {} policy", policy.name());
    let Some(report) = run_episodes(&mut env, &mut *actor, &plan, &label, is_quiet)? else {
        return Ok(None);
    };
    let evaluation = Evaluation::new(policy.n_steps(), plan, report);
    evaluation.save(folder)?;
    Ok(Some(evaluation))
}

/// A few recorded episodes of a policy, none if the configuration asks for none. `None` if Ctrl-C interrupted them.
pub fn recording(config: &RunConfig, policy: RunPolicy, models: &Models) -> Result<Option<Recording>> {
    let evaluation = &config.evaluation;
    if evaluation.n_video_episodes == 0 {
        return Ok(Some(Recording::default()));
    }
    let mut env = setup::recording_env(config, evaluation.n_video_episodes, models)?;
    let mut actor = policy.policy(config, &env)?;
    Ok(record(&mut env, &mut *actor, evaluation.seed, &mut go_on)?)
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
        go_on()
    };
    let report = evaluate(env, policy, plan, &mut on_progress).map_err(Error::from)?;
    progress.finish();
    Ok((!interrupt::is_requested()).then_some(report))
}

/// `Break` after Ctrl-C.
pub fn go_on() -> ControlFlow<()> {
    if interrupt::is_requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}
