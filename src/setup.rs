//! Construction of envs, reward models and policies from a configuration.

use std::path::Path;
use std::sync::Arc;

use sayso_agents::{Checkpoint, Policy};
use sayso_envs::{AutoresetMode, EnvConfig, InstructionForm, RewardSource, VecEnv};
use sayso_rewards::{
    Embeddings, Feature, FrameSelection, ModelDevice, RewardModel, RewardText, Scorer, SentenceEmbeddings,
    Windows, check_text,
};
use sayso_sim::render::{Gpu, RenderDevice};
use sayso_sim::{FrameBatch, FrameRequest};

use crate::config::RunConfig;
use crate::error::{Error, Result};
use crate::models;

/// The fastest device for a reward model that scores the frames of `env`.
///
/// # Errors
/// If the GPU of `env` is missing, or if it is an NVIDIA GPU on which CUDA is expected to work and does not.
pub fn model_device(env: &EnvConfig) -> Result<ModelDevice> {
    let gpu = match env.device.clone().resolve() {
        RenderDevice::Gpu(choice) => Some(Gpu::shared(&choice).map_err(sayso_envs::EnvError::from)?),
        RenderDevice::Cpu | RenderDevice::Auto => None,
    };
    Ok(ModelDevice::for_renderer(gpu.as_ref())?.with_shrink_on_oom(env.shrink_on_oom))
}

/// The models of a run.
pub struct Models {
    /// The reward model; `None` if rewards are the task's ground truth.
    pub reward: Option<Arc<dyn RewardModel>>,
    /// Device of the reward model; the CPU without one.
    pub device: ModelDevice,
    /// The text tower of the instructions that are observed; `None` if their embeddings are not.
    pub text: Option<Arc<SentenceEmbeddings>>,
}

impl Models {
    /// Loads all models of a configuration, as [`reward_model`] and [`text_tower`].
    ///
    /// # Errors
    /// As they.
    pub fn load(config: &RunConfig) -> Result<Self> {
        let (reward, device) = reward_model(config)?;
        Ok(Self { reward, device, text: text_tower(&config.env)? })
    }
}

/// Loads the reward model of a configuration on the fastest device, and checks that it can read the text and that its windows
/// are no longer than an episode. The model is `None` and the device the CPU if rewards are ground truth.
///
/// # Errors
/// If the model is missing or damaged, if its tokenizer does not accept a prompt, if a window is too long, or as
/// [`model_device`].
pub fn reward_model(config: &RunConfig) -> Result<(Option<Arc<dyn RewardModel>>, ModelDevice)> {
    if config.reward.is_ground_truth() {
        return Ok((None, ModelDevice::cpu()));
    }
    let device = model_device(&config.env)?;
    let model = models::reward_model(&config.reward, &device)?;
    if let Some(model) = &model {
        let task = config.task()?;
        config.check_frames(model.frames(), task.spec())?;
        for instruction in config.instructions(task.spec())? {
            check_text(&**model, &instruction.reward_text())?;
        }
    }
    Ok((model, device))
}

/// Loads the text tower of the instructions that envs observe; `None` if they observe no embeddings.
///
/// # Errors
/// If it is missing or damaged.
pub fn text_tower(config: &EnvConfig) -> Result<Option<Arc<SentenceEmbeddings>>> {
    match config.observation.instruction {
        Some(InstructionForm::Embedding) => {
            let model = models::load(&config.text_model, &ModelDevice::cpu())?;
            Ok(Some(Arc::new(SentenceEmbeddings::new(model))))
        }
        Some(InstructionForm::Index | InstructionForm::Text) | None => Ok(None),
    }
}

/// Checks that envs for training, evaluation and recordings can be made, and that the policy can be trained in them: what does
/// not fit then fails before anything is written.
///
/// # Errors
/// If the configuration does not fit the task, the models or the algorithm.
pub fn rehearse(config: &RunConfig, models: &Models) -> Result<()> {
    let single = RunConfig { env: EnvConfig { n_envs: 1, ..config.env.clone() }, ..config.clone() };
    let (env, _) = training_env(&single, models)?;
    sayso_agents::check_trainable(&env, config.env.n_envs, &config.train)?;
    evaluation_env(&single, 1, models.text.as_ref())?;
    recording_env(&single, 1, models)?;
    Ok(())
}

/// The envs for training, and the scorer of their frames; `None` for the ground-truth reward.
///
/// # Errors
/// If the configuration does not fit the task.
pub fn training_env(config: &RunConfig, models: &Models) -> Result<(VecEnv, Option<Scorer>)> {
    let Some(model) = &models.reward else {
        return Ok((envs(&config.env, own_reward(config), models.text.as_ref())?, None));
    };
    let scoring = config.scoring();
    let source = RewardSource::Deferred(Arc::clone(model), scoring.clone());
    let env = envs(&config.env, source, models.text.as_ref())?;
    let scorer = scoring.scorer(Arc::clone(model), &env)?;
    Ok((env, Some(scorer)))
}

fn envs(config: &EnvConfig, reward: RewardSource, text: Option<&Arc<SentenceEmbeddings>>) -> Result<VecEnv> {
    Ok(VecEnv::with_plugins(config, reward, text.cloned(), |_| {})?)
}

/// The rewards of envs without a reward model.
fn own_reward(config: &RunConfig) -> RewardSource {
    config.reward.ground_truth().unwrap_or(RewardSource::GroundTruth)
}

/// Envs for evaluation with ground truth; they render only the observations of the policy.
///
/// # Errors
/// If the configuration does not fit the task.
pub fn evaluation_env(
    config: &RunConfig,
    n_envs: usize,
    text: Option<&Arc<SentenceEmbeddings>>,
) -> Result<VecEnv> {
    envs(&config.evaluation_env(n_envs), RewardSource::GroundTruth, text)
}

/// Envs for recordings. Frames are scored within the step, and envs are reset only in the step after an episode's last one,
/// so that the last state can be rendered.
///
/// # Errors
/// If the configuration does not fit the task.
pub fn recording_env(config: &RunConfig, n_envs: usize, models: &Models) -> Result<VecEnv> {
    let env = EnvConfig { autoreset: AutoresetMode::NextStep, n_groups: 1, ..config.evaluation_env(n_envs) };
    let source = match &models.reward {
        Some(model) => RewardSource::Model(Arc::new(OnHost(Arc::clone(model))), config.scoring()),
        None => own_reward(config),
    };
    envs(&env, source, models.text.as_ref())
}

/// A reward model that reads its frames from host memory, so that they can be recorded.
struct OnHost(Arc<dyn RewardModel>);

impl RewardModel for OnHost {
    fn frame_request(&self) -> FrameRequest {
        FrameRequest::on_host(self.0.frame_request().image)
    }

    fn feature(&self) -> Feature {
        self.0.feature()
    }

    fn frames(&self) -> FrameSelection {
        self.0.frames()
    }

    fn n_parallel_calls(&self) -> usize {
        self.0.n_parallel_calls()
    }

    fn embed_frames(&self, frames: &FrameBatch) -> sayso_rewards::Result<Embeddings> {
        self.0.embed_frames(frames)
    }

    fn embed_text(&self, text: &RewardText) -> sayso_rewards::Result<Vec<f32>> {
        self.0.embed_text(text)
    }

    fn score(&self, windows: &Windows<'_>, out: &mut [f32]) -> sayso_rewards::Result<()> {
        self.0.score(windows, out)
    }
}

/// The newest checkpoint of a run; `None` if there is none yet.
///
/// # Errors
/// If it is damaged.
pub fn newest_checkpoint(run: &Path) -> Result<Option<Checkpoint>> {
    let folder = run.join(crate::run_folder::CHECKPOINTS);
    if !folder.is_dir() {
        return Ok(None);
    }
    Ok(Checkpoint::latest(&folder)?.map(|path| Checkpoint::load(&path)).transpose()?)
}

/// The newest checkpoint of a run, or with `best` that with the highest mean training reward of those that were compared.
///
/// # Errors
/// If there is none, it was not kept, or it is damaged.
pub fn checkpoint(run: &Path, best: bool) -> Result<Checkpoint> {
    let newest = newest_checkpoint(run)?.ok_or_else(|| no_checkpoint(run))?;
    if !best {
        return Ok(newest);
    }
    let best = newest.best().ok_or_else(|| Error::NoBestCheckpoint { path: run.to_owned() })?;
    Ok(Checkpoint::load(&run.join(crate::run_folder::CHECKPOINTS).join(best.file_name()))?)
}

fn no_checkpoint(run: &Path) -> Error {
    Error::NotARun { path: run.to_owned(), reason: "it contains no checkpoint".to_owned() }
}

/// The policy of a run's newest checkpoint, checked against the spaces of `env`.
///
/// # Errors
/// If there is no checkpoint, it is damaged, or its policy has other spaces.
pub fn trained_policy(run: &Path, env: &VecEnv) -> Result<Box<dyn Policy>> {
    policy_of(&checkpoint(run, false)?, env)
}

/// The policy of a checkpoint, checked against the spaces of `env`.
///
/// # Errors
/// If the checkpoint is damaged, or its policy has other spaces.
pub fn policy_of(checkpoint: &Checkpoint, env: &VecEnv) -> Result<Box<dyn Policy>> {
    checkpoint.spaces().check_fits(env)?;
    Ok(checkpoint.policy()?)
}
