//! Configuration of a batch of envs.

use std::sync::Arc;

use sayso_rewards::{
    FailureConfig, FrameSelection, RewardModel, RewardSchedule, RewardText, Scorer, ScoringPlan,
};
use sayso_sim::render::RenderDevice;
use serde::{Deserialize, Serialize};

use crate::composition::{Composition, RewardTerm};
use crate::task::TaskSpec;
use crate::vector::{AutoresetMode, VectorEnv as _};
use crate::{EnvError, Result, VecEnv};

/// Largest number of envs in a batch.
pub const MAX_ENVS: usize = 65_536;
/// Largest number of groups of envs.
const MAX_GROUPS: usize = 64;
/// Largest height and width of pixel observations.
const MAX_PIXELS: usize = 4096;

/// Configuration of a batch of envs, except its reward.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnvConfig {
    /// Id of the environment, as [`crate::registry::ids`] lists them.
    pub id: String,
    /// Number of envs.
    pub n_envs: usize,
    /// Seed of the batch; env `i` uses stream `i` of it.
    pub seed: u64,
    /// The instruction of every episode, as the name of its [`crate::language::Goal`]. If absent, no goal counts as the
    /// episode's ([`crate::VecEnv::goal_idx`]) unless the task has only one, and ground-truth rewards are those of the first.
    pub instruction: Option<String>,
    /// Observations of the policy.
    pub observation: ObservationMode,
    /// Rows and columns of pixel observations.
    pub pixel_size: [usize; 2],
    /// Camera of pixel observations; the task's own if absent.
    pub pixel_camera: Option<String>,
    /// When envs whose episode has ended are reset.
    pub autoreset: AutoresetMode,
    /// Control steps after which an episode is truncated; the task's own if absent.
    pub max_episode_steps: Option<u32>,
    /// Device that renders frames.
    pub device: RenderDevice,
    /// Number of groups of envs that step concurrently, at most 64: the physics of one runs while another waits for its
    /// frames or its scores. Results do not depend on it, except for rounding in a reward model on a GPU. 0 means two groups
    /// if a GPU renders, else one.
    pub n_groups: usize,
    /// Whether a GPU that is out of memory renders smaller groups of views instead of failing. This is slower; results are
    /// the same, except for rounding in a reward model on a GPU.
    pub shrink_on_oom: bool,
    /// Options of the task.
    pub options: toml::Table,
}

impl Default for EnvConfig {
    fn default() -> Self {
        Self {
            id: "Reach-v1".to_owned(),
            n_envs: 1,
            seed: 0,
            instruction: None,
            observation: ObservationMode::State,
            pixel_size: [64, 64],
            pixel_camera: None,
            autoreset: AutoresetMode::NextStep,
            max_episode_steps: None,
            device: RenderDevice::default(),
            n_groups: 0,
            shrink_on_oom: false,
            options: toml::Table::new(),
        }
    }
}

impl EnvConfig {
    /// Checks the ranges of all fields.
    ///
    /// # Errors
    /// Names the field, its value and what is allowed.
    pub fn validate(&self) -> Result<()> {
        let [height, width] = self.pixel_size;
        let checks = [
            (
                "n_envs",
                (1..=MAX_ENVS).contains(&self.n_envs),
                self.n_envs.to_string(),
                format!("a number in [1, {MAX_ENVS}]"),
            ),
            (
                "n_groups",
                self.n_groups <= MAX_GROUPS,
                self.n_groups.to_string(),
                format!("a number in [0, {MAX_GROUPS}]"),
            ),
            ("max_episode_steps", self.max_episode_steps != Some(0), "0".to_owned(), "at least 1".to_owned()),
            (
                "pixel_size",
                [height, width].iter().all(|side| (1..=MAX_PIXELS).contains(side)),
                format!("[{height}, {width}]"),
                format!("numbers in [1, {MAX_PIXELS}]"),
            ),
        ];
        match checks.into_iter().find(|(_, is_valid, ..)| !is_valid) {
            Some((field, _, got, expected)) => {
                Err(EnvError::OutOfRange { field: format!("env.{field}"), got, expected })
            }
            None => Ok(()),
        }
    }

    /// Checks that the batch fits into the memory of this machine: an estimate, from measurements of the registered
    /// environments, of the worlds and of the frames that are observed.
    ///
    /// # Errors
    /// If the id or an option is unknown, or if it does not fit.
    pub fn check_memory(&self) -> Result<()> {
        /// Bytes of a world, without and per body of its scene.
        const WORLD: [u64; 2] = [30_000, 5_000];
        /// Copies of the observations: rendered, returned, and the final ones.
        const N_COPIES: u64 = 3;
        let task = crate::registry::task(&self.id, &self.options)?;
        let n_bodies = task.scene().bodies.len() as u64;
        let per_env = WORLD[0] + WORLD[1] * n_bodies + N_COPIES * self.observation_bytes(task.spec());
        let [height, width] = self.pixel_size;
        let frames = if self.observation.has_pixels() {
            format!(" with observations of {height} x {width} pixels")
        } else {
            String::new()
        };
        let what = format!("env.n_envs = {}{frames}", self.n_envs);
        Ok(sayso_sim::memory::check_fits(&what, self.n_envs as u64 * per_env)?)
    }

    /// Bytes of one env's observation.
    pub fn observation_bytes(&self, spec: &TaskSpec) -> u64 {
        let state = if self.observation.has_state() { 4 * spec.state_space.dim() as u64 } else { 0 };
        let [height, width] = self.pixel_size.map(|side| side as u64);
        state + if self.observation.has_pixels() { 3 * height * width } else { 0 }
    }

    /// Resolves the automatic values: the device, and the number of groups.
    pub(crate) fn resolve(&self) -> Self {
        let device = self.device.clone().resolve();
        let n_groups = match (self.n_groups, &device) {
            (0, RenderDevice::Gpu(_)) => 2,
            (0, _) => 1,
            (n_groups, _) => n_groups,
        };
        Self { device, n_groups: n_groups.min(self.n_envs), ..self.clone() }
    }
}

/// Observations of the policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObservationMode {
    /// The task's state vector.
    #[default]
    State,
    /// Frames of the pixel camera.
    Pixels,
    /// The state vector and the frames.
    Both,
}

impl ObservationMode {
    /// Whether the state vector is observed.
    pub fn has_state(self) -> bool {
        self != Self::Pixels
    }

    /// Whether frames are observed.
    pub fn has_pixels(self) -> bool {
        self != Self::State
    }
}

/// Source of a batch's rewards.
#[derive(Clone)]
pub enum RewardSource {
    /// No reward: every reward is 0.
    None,
    /// The task's dense ground truth for its goal.
    GroundTruth,
    /// A reward model, which scores frames within the step.
    Model(Arc<dyn RewardModel>, ScoringConfig),
    /// The same, but the caller takes the frames ([`crate::VectorEnv::swap_reward_frames`]) and scores them later; the
    /// rewards of the step are what the terms add, 0 without terms.
    Deferred(Arc<dyn RewardModel>, ScoringConfig),
}

/// Which frames a reward model scores, against which text, and how scores become rewards.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoringConfig {
    /// Names of the reward cameras, the views of a frame. The task's own if empty.
    pub cameras: Vec<String>,
    /// Frames are scored every n control steps of an episode; at least 1.
    pub every_n_steps: u32,
    /// How scores become rewards.
    pub schedule: RewardSchedule,
    /// Discount factor of [`RewardSchedule::Potential`], that of the learner.
    pub discount: f32,
    /// What happens when a call of the model fails.
    pub failures: FailureConfig,
    /// Terms that combine the reward with ground-truth metrics.
    pub terms: Vec<RewardTerm>,
    /// The text of every episode.
    pub text: RewardText,
}

impl Default for ScoringConfig {
    fn default() -> Self {
        Self {
            cameras: Vec::new(),
            every_n_steps: 1,
            schedule: RewardSchedule::HoldLast,
            discount: 1.0,
            failures: FailureConfig::default(),
            terms: Vec::new(),
            text: RewardText::default(),
        }
    }
}

impl ScoringConfig {
    /// The scorer of the frames of `env`, whose rewards are [`RewardSource::Deferred`].
    ///
    /// # Errors
    /// As [`Scorer::new`].
    pub fn scorer(&self, model: Arc<dyn RewardModel>, env: &VecEnv) -> Result<Scorer> {
        let plan = self.plan(model.frames(), env.max_episode_steps())?;
        let n_views = self.cameras(env.task_spec()).len();
        let texts = std::slice::from_ref(&self.text);
        Ok(Scorer::new(model, plan, self.failures, env.n_envs(), n_views, texts)?)
    }

    /// Checks everything that does not depend on the model.
    ///
    /// # Errors
    /// If a number is out of range, or a term names an unknown metric. `goal_idx` is the goal of the episodes.
    pub fn validate(&self, spec: &TaskSpec, goal_idx: Option<usize>) -> Result<()> {
        self.failures.validate()?;
        ScoringPlan::new(FrameSelection::Last, self.schedule, self.every_n_steps)?;
        Composition::new(&self.terms, spec, goal_idx).map(|_| ())
    }

    /// Names of the reward cameras.
    pub(crate) fn cameras<'a>(&'a self, spec: &'a TaskSpec) -> &'a [String] {
        if self.cameras.is_empty() { &spec.reward_cameras } else { &self.cameras }
    }

    /// Which steps of an episode are rendered and scored for a model that looks at `frames`.
    ///
    /// # Errors
    /// If a number is out of range, or the interval of scores or a window is longer than an episode of `max_episode_steps`.
    pub fn plan(&self, frames: FrameSelection, max_episode_steps: u32) -> Result<ScoringPlan> {
        let plan = ScoringPlan::new(frames, self.schedule, self.every_n_steps)?;
        if max_episode_steps < self.every_n_steps {
            return Err(EnvError::OutOfRange {
                field: "reward.every_n_steps".to_owned(),
                got: self.every_n_steps.to_string(),
                expected: format!(
                    "at most {max_episode_steps}, the control steps of an episode in training or evaluation"
                ),
            });
        }
        let (field, span) = match frames {
            FrameSelection::Last | FrameSelection::Episode { .. } => return Ok(plan),
            FrameSelection::Pair { lag } => ("reward.lag", lag),
            FrameSelection::Window { n_frames, stride } => ("reward.n_frames", (n_frames - 1) * stride),
        };
        if span <= max_episode_steps {
            return Ok(plan);
        }
        Err(EnvError::OutOfRange {
            field: field.to_owned(),
            got: format!("a window that spans {span} control steps"),
            expected: format!(
                "at most {max_episode_steps}, the control steps of an episode in training or evaluation"
            ),
        })
    }
}
