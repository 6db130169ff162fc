//! From a configuration to envs, judges and policies that are ready to run.

use std::path::Path;
use std::sync::Arc;

use sayso_agents::scoring::RewardScorer;
use sayso_agents::{Checkpoint, FrameScorer, TrainedPolicy};
use sayso_envs::{AutoresetMode, EnvConfig, RewardSource, VecEnv};
use sayso_rewards::{FrameReward, JudgeDevice};
use sayso_sim::render::{DrawOn, Gpu};
use sayso_sim::{FrameBatch, ImageSpec};

use crate::config::{RewardKind, RunConfig};
use crate::error::{Error, Result};
use crate::models;

/// Where a judge computes best beside the device that draws.
///
/// # Errors
/// If there is no such device, or CUDA should work beside it and does not.
pub fn judge_device(env: &EnvConfig) -> Result<JudgeDevice> {
    let gpu = match env.device.clone().resolve() {
        DrawOn::Gpu(choice) => Some(Gpu::shared(&choice).map_err(sayso_envs::EnvError::from)?),
        DrawOn::Cpu | DrawOn::Auto => None,
    };
    Ok(JudgeDevice::beside(gpu.as_ref())?.allow_smaller_groups(env.smaller_groups))
}

/// Who judges, and where.
pub struct Judge {
    /// `None` if the task's own reward is learnt.
    pub reward: Option<Arc<dyn FrameReward>>,
    /// The CPU if nobody judges.
    pub device: JudgeDevice,
}

/// The judge that a configuration asks for, where it computes best.
///
/// # Errors
/// If the model is missing or damaged, a prompt does not fit it, or as [`judge_device`].
pub fn judge(config: &RunConfig) -> Result<Judge> {
    if config.reward.source == RewardKind::GroundTruth {
        return Ok(Judge { reward: None, device: JudgeDevice::cpu() });
    }
    let device = judge_device(&config.env)?;
    Ok(Judge { reward: Some(Arc::new(models::language_reward(&config.reward, &device)?)), device })
}

/// The envs to train in, and the judge that scores their frames while they step on.
///
/// # Errors
/// If the configuration does not fit the task.
pub fn training_env(
    config: &RunConfig,
    judge: Option<&Arc<dyn FrameReward>>,
) -> Result<(VecEnv, Option<Box<dyn FrameScorer>>)> {
    let Some(judge) = judge else {
        return Ok((VecEnv::new(&config.env, RewardSource::GroundTruth)?, None));
    };
    let source = RewardSource::Deferred(judge.frame_request(), config.judge.clone());
    let env = VecEnv::new(&config.env, source)?;
    let scorer = RewardScorer { reward: Arc::clone(judge), n_views_per_env: n_judge_views(config, &env) };
    Ok((env, Some(Box::new(scorer))))
}

/// Envs to measure ground truth in; they draw nothing that the policy does not see.
///
/// # Errors
/// If the configuration does not fit the task.
pub fn evaluation_env(config: &RunConfig, n_envs: usize) -> Result<VecEnv> {
    Ok(VecEnv::new(&config.evaluation_env(n_envs), RewardSource::GroundTruth)?)
}

/// Envs to make videos in: scored step by step, and stopped before a reset so that the last state can be drawn.
///
/// # Errors
/// If the configuration does not fit the task.
pub fn recording_env(
    config: &RunConfig,
    n_envs: usize,
    judge: Option<&Arc<dyn FrameReward>>,
) -> Result<VecEnv> {
    let env = EnvConfig { autoreset: AutoresetMode::NextStep, n_groups: 1, ..config.evaluation_env(n_envs) };
    let source = match judge {
        Some(judge) => RewardSource::Language(Arc::new(OnHost(Arc::clone(judge))), config.judge.clone()),
        None => RewardSource::GroundTruth,
    };
    Ok(VecEnv::new(&env, source)?)
}

/// A judge whose frames are drawn to the host, so that they can be shown.
struct OnHost(Arc<dyn FrameReward>);

impl FrameReward for OnHost {
    fn image_spec(&self) -> &ImageSpec {
        self.0.image_spec()
    }

    fn score(
        &self,
        frames: &FrameBatch,
        n_views_per_env: usize,
        out: &mut Vec<f32>,
    ) -> sayso_rewards::Result<()> {
        self.0.score(frames, n_views_per_env, out)
    }
}

/// The newest checkpoint of a run.
///
/// # Errors
/// If there is none, or it is damaged.
pub fn latest_checkpoint(run: &Path) -> Result<Checkpoint> {
    let folder = run.join(crate::run_folder::CHECKPOINTS);
    let path = Checkpoint::latest(&folder)?.ok_or_else(|| Error::NotARun {
        path: run.to_owned(),
        reason: "it holds no checkpoint yet".to_owned(),
    })?;
    Ok(Checkpoint::load(&path)?)
}

/// The policy of a run, checked against the envs that it is to act in.
///
/// # Errors
/// If there is none, it is damaged, or it was made for other spaces.
pub fn trained_policy(run: &Path, env: &VecEnv) -> Result<TrainedPolicy> {
    let policy = TrainedPolicy::from_checkpoint(&latest_checkpoint(run)?)?;
    policy.check_fits(env)?;
    Ok(policy)
}

/// Views of one env that its judge sees.
pub fn n_judge_views(config: &RunConfig, env: &VecEnv) -> usize {
    match config.judge.cameras.len() {
        0 => env.task_spec().judge_cameras.len(),
        n => n,
    }
}
