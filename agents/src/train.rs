//! The training loop: collect steps, assign their rewards, let the algorithm learn, report, save.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use sayso_envs::{AutoresetMode, VectorEnv};
use sayso_rewards::{RewardWorker, Scorer};
use serde::Serialize;

use crate::algorithm::{TrainProgress, UpdateStats};
use crate::checkpoint::Checkpoint;
use crate::config::TrainConfig;
use crate::episodes::GoalRate;
use crate::learner::{Learner, start_algorithm};
use crate::policy::{Policy, PolicySpaces};
use crate::steps::{self, Steps};
use crate::{AgentError, Result};

/// Statistics of an update, passed to [`TrainObserver::on_update`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UpdateReport {
    /// Number of updates so far.
    pub n_updates: u64,
    /// Number of env steps so far, over all envs.
    pub n_steps: u64,
    /// Env steps at which training ends.
    pub total_steps: u64,
    /// Env steps per second since the last update, of stepping, scoring and learning together.
    pub steps_per_sec: f64,
    /// Seconds of stepping since the last update; with scoring, if the algorithm waits for it.
    pub rollout_secs: f64,
    /// Seconds of this update.
    pub update_secs: f64,
    /// Mean reward per step since the last update, before normalisation: from the scores, or from the env.
    pub mean_reward: f64,
    /// Number of scores that were skipped in this session because the reward model failed, see
    /// [`sayso_rewards::OnFailure::Skip`].
    pub n_skipped_scores: u64,
    /// Number of episodes finished since the start.
    pub n_episodes: u64,
    /// Mean undiscounted return of the last finished episodes; `None` before the first.
    pub mean_return: Option<f64>,
    /// Mean length of the last finished episodes, in control steps; `None` before the first.
    pub mean_episode_steps: Option<f64>,
    /// Fraction of the last finished episodes whose last state met the goal of their instruction; `None` before the first one
    /// with a goal. Ground truth, for logs only.
    pub success_rate: Option<f64>,
    /// Ground-truth success of the last finished episodes, one entry per goal; empty before the first. For logs only.
    pub goals: Vec<GoalRate>,
    /// Losses and other statistics of the update, those of the algorithm.
    pub update: UpdateStats,
}

/// Training callbacks, which may stop the training.
pub trait TrainObserver {
    /// Called after every update. `Break` stops the training, which is saved and can be resumed.
    fn on_update(&mut self, report: &UpdateReport) -> ControlFlow<()>;

    /// Called after a checkpoint was written.
    fn on_checkpoint(&mut self, path: &Path) {
        let _ = path;
    }
}

/// No callbacks.
impl TrainObserver for () {
    fn on_update(&mut self, _report: &UpdateReport) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// Results of a training run.
pub struct TrainOutcome {
    /// The trained policy. It acts deterministically.
    pub policy: Box<dyn Policy>,
    /// The state at the end, from which training can be resumed.
    pub checkpoint: Checkpoint,
    /// The file that holds `checkpoint`, if a folder was given.
    pub checkpoint_path: Option<PathBuf>,
    /// The last report; `None` if there was nothing left to do.
    pub last_report: Option<UpdateReport>,
    /// Whether the observer ended the training early.
    pub interrupted: bool,
}

impl std::fmt::Debug for TrainOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("TrainOutcome");
        out.field("last_report", &self.last_report).field("interrupted", &self.interrupted);
        out.finish_non_exhaustive()
    }
}

/// The policy that [`train`] starts from with this configuration. It samples its actions, as training does.
///
/// # Errors
/// If the configuration is out of range or does not fit the env.
pub fn untrained_policy(env: &dyn VectorEnv, config: &TrainConfig) -> Result<Box<dyn Policy>> {
    let mut policy = start_algorithm(&PolicySpaces::of(env)?, env.n_envs(), config)?.into_policy();
    policy.set_deterministic(false);
    Ok(policy)
}

/// Checks that a policy can be trained in `n_envs` envs as `env`, without a step in them.
///
/// # Errors
/// If the configuration is out of range, or does not fit the spaces or the autoreset mode of the env.
pub fn check_trainable(env: &dyn VectorEnv, n_envs: usize, config: &TrainConfig) -> Result<()> {
    check_autoreset(env)?;
    start_algorithm(&PolicySpaces::of(env)?, n_envs, config).map(drop)
}

fn check_autoreset(env: &dyn VectorEnv) -> Result<()> {
    if env.autoreset_mode() != AutoresetMode::Disabled {
        return Ok(());
    }
    Err(AgentError::Mismatch {
        what: "env.autoreset",
        expected: "same_step or next_step".to_owned(),
        got: "disabled".to_owned(),
    })
}

/// Trains a policy with the algorithm of the configuration.
///
/// With a `scorer`, rewards are made of its scores of the frames that `env` renders, and of the metrics that the terms of its
/// reward name; without one, they are the env's own. With `resume`, training continues from the checkpoint (bit-exactly on the CPU) up to
/// `config.total_steps`; the env must have the configuration that it was saved with.
///
/// # Errors
/// If the configuration is out of range or does not fit the env or the checkpoint; if the env, the scorer or a write
/// fails; if a loss or gradient is NaN or infinite. Checkpoints written before stay intact.
pub fn train(
    env: &mut dyn VectorEnv,
    mut scorer: Option<Scorer>,
    config: &TrainConfig,
    resume: Option<&Checkpoint>,
    observer: &mut dyn TrainObserver,
) -> Result<TrainOutcome> {
    check_autoreset(env)?;
    let goal_names = env.goal_names().to_vec();
    let mut learner = match resume {
        Some(checkpoint) => Learner::resume(env, config, checkpoint, scorer.as_mut())?,
        None => Learner::start(env, config, scorer.as_mut())?,
    };
    let mut reward_worker = scorer.map(RewardWorker::spawn).transpose()?;
    let discount = config.options()?.discount() as f32;
    let cadence = learner.algorithm.cadence();
    let mut steps = Steps::new(env.n_envs());
    let (mut last_report, mut last_path, mut interrupted) = (None, None, false);

    while learner.n_steps < config.total_steps && !interrupted {
        let started = Instant::now();
        let (algorithm, batch) = (&mut *learner.algorithm, &mut learner.batch);
        steps::collect(env, algorithm, reward_worker.as_mut(), batch, &mut steps, cadence.n_steps)?;
        let progress = TrainProgress { n_steps: learner.n_steps, total_steps: config.total_steps };
        let mut update = None;
        let mut rollout_secs = started.elapsed().as_secs_f64();
        if cadence.learns_before_rewards {
            update = Some(learner.algorithm.update(progress)?);
        }
        if let Some(worker) = &mut reward_worker {
            steps::receive_scores(worker, discount, &mut learner.latest_scores, &mut steps)?;
        }
        learner.record_episodes(&steps);
        learner.algorithm.add_rewards(&steps, &learner.batch.observations)?;
        let update = match update {
            Some(update) => update,
            None => {
                rollout_secs = started.elapsed().as_secs_f64();
                learner.algorithm.update(progress)?
            }
        };
        check_finite(&update, learner.n_updates)?;
        learner.n_updates += 1;
        learner.n_steps += steps.n_rows() as u64;
        let secs = started.elapsed().as_secs_f64();

        let report = UpdateReport {
            n_updates: learner.n_updates,
            n_steps: learner.n_steps,
            total_steps: config.total_steps,
            steps_per_sec: steps.n_rows() as f64 / secs,
            rollout_secs,
            update_secs: secs - rollout_secs,
            mean_reward: steps.mean_reward(),
            n_skipped_scores: steps.n_skipped_scores,
            n_episodes: learner.recent.n_finished(),
            mean_return: learner.recent.mean_return(),
            mean_episode_steps: learner.recent.mean_steps(),
            success_rate: learner.recent.success_rate(env.instructions()),
            goals: learner.recent.goal_rates(&goal_names),
            update,
        };
        interrupted = observer.on_update(&report).is_break();
        last_report = Some(report);
        last_path = None;
        if is_checkpoint_due(config, &learner) {
            last_path = save(&mut learner, env, reward_worker.as_mut(), config, observer)?.1;
        }
    }

    let (checkpoint, checkpoint_path) = match last_path {
        Some(path) => (learner.checkpoint(env, reward_worker.as_mut(), config)?, Some(path)),
        None => save(&mut learner, env, reward_worker.as_mut(), config, observer)?,
    };
    Ok(TrainOutcome {
        policy: learner.algorithm.into_policy(),
        checkpoint,
        checkpoint_path,
        last_report,
        interrupted,
    })
}

fn check_finite(update: &UpdateStats, n_updates: u64) -> Result<()> {
    match update.iter().find(|(_, value)| !value.is_finite()) {
        Some(&(what, _)) => Err(AgentError::NonFinite { what, update: n_updates }),
        None => Ok(()),
    }
}

fn is_checkpoint_due(config: &TrainConfig, learner: &Learner) -> bool {
    config.checkpoint_every != 0 && learner.n_updates.is_multiple_of(config.checkpoint_every)
}

/// The checkpoint of the present state, saved if there is a folder; files that are not to be kept are then removed.
fn save(
    learner: &mut Learner,
    env: &dyn VectorEnv,
    worker: Option<&mut RewardWorker>,
    config: &TrainConfig,
    observer: &mut dyn TrainObserver,
) -> Result<(Checkpoint, Option<PathBuf>)> {
    // A checkpoint of an interruption is not compared, so that the run ends in the same state as without the interruption.
    if is_checkpoint_due(config, learner) || learner.n_steps >= config.total_steps {
        learner.note_best();
    }
    let checkpoint = learner.checkpoint(env, worker, config)?;
    let Some(folder) = &config.checkpoint_folder else { return Ok((checkpoint, None)) };
    let path = folder.join(checkpoint.file_name());
    checkpoint.save(&path)?;
    observer.on_checkpoint(&path);
    if config.keep_newest != 0 {
        Checkpoint::prune(folder, config.keep_newest, learner.best.filter(|_| config.keep_best))?;
    }
    Ok((checkpoint, Some(path)))
}
