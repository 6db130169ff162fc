//! Configuration of a batch of envs.

use std::collections::BTreeMap;
use std::sync::Arc;

use sayso_rewards::{FailureConfig, FrameSelection, RewardModel, RewardSchedule, Scorer, ScoringPlan};
use sayso_sim::render::RenderDevice;
use serde::{Deserialize, Deserializer, Serialize};

use crate::composition::{Composition, RewardTerm};
use crate::goals::{GoalReward, GoalSpace};
use crate::instructions::{Instruction, InstructionChoice, Names, Paraphrases};
use crate::task::{Task, TaskSpec};
use crate::vector::{AutoresetMode, VectorEnv as _};
use crate::{EnvError, Result, VecEnv};

/// Largest number of envs in a batch.
pub const MAX_ENVS: usize = 65_536;
/// Largest number of groups of envs.
const MAX_GROUPS: usize = 64;
/// Largest number of characters of an instruction that is observed as text.
pub const MAX_TEXT_LENGTH: usize = 512;
/// Bytes of the embedding of an instruction, for estimates: 1,024 values, as large text towers have.
const EMBEDDING_BYTES: u64 = 4096;
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
    /// Which goals the instructions of episodes are of, by the names of their [`crate::language::Goal`]. If absent, the goal
    /// that `instruction_text` names, or else the first; an episode whose instruction is of no goal has no success, and its
    /// ground-truth rewards are those of the first goal.
    pub instruction: Option<InstructionChoice>,
    /// Which wordings the instructions have.
    pub paraphrases: Paraphrases,
    /// A sentence in place of the task's own instruction.
    pub instruction_text: Option<String>,
    /// Columns of an observation.
    pub observation: ObservationConfig,
    /// The model whose text tower embeds the instructions of [`InstructionForm::Embedding`], for whoever loads it.
    pub text_model: String,
    /// Rows and columns of pixel observations.
    pub pixel_size: [usize; 2],
    /// Rows and columns of the pixel observations of some cameras, by their names, in place of `pixel_size`.
    pub pixel_sizes: BTreeMap<String, [usize; 2]>,
    /// Cameras of pixel observations; the task's own if empty. As TOML also the name of one.
    #[serde(deserialize_with = "one_or_several")]
    pub pixel_camera: Vec<String>,
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
            paraphrases: Paraphrases::None,
            instruction_text: None,
            observation: ObservationConfig::STATE,
            text_model: "bundled".to_owned(),
            pixel_size: [64, 64],
            pixel_sizes: BTreeMap::new(),
            pixel_camera: Vec::new(),
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
        let fits = |size: &[usize; 2]| size.iter().all(|side| (1..=MAX_PIXELS).contains(side));
        let own_sizes =
            self.pixel_sizes.iter().map(|(camera, size)| (format!("pixel_sizes.{camera}"), *size));
        let sizes = std::iter::once(("pixel_size".to_owned(), self.pixel_size)).chain(own_sizes);
        if let Some((field, [height, width])) = sizes.into_iter().find(|(_, size)| !fits(size)) {
            return Err(EnvError::OutOfRange {
                field: format!("env.{field}"),
                got: format!("[{height}, {width}]"),
                expected: format!("numbers in [1, {MAX_PIXELS}]"),
            });
        }
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
        let images = self.images(task.spec());
        let frames = match images.as_slice() {
            [] => String::new(),
            [(_, [height, width])] => format!(" with observations of {height} x {width} pixels"),
            images => format!(" with observations of {} cameras", images.len()),
        };
        let what = format!("env.n_envs = {}{frames}", self.n_envs);
        Ok(sayso_sim::memory::check_fits(&what, self.n_envs as u64 * per_env)?)
    }

    /// Bytes of one env's observation.
    pub fn observation_bytes(&self, spec: &TaskSpec) -> u64 {
        let state = if self.observation.state { 4 * spec.state_space.dim() as u64 } else { 0 };
        let bytes = |(_, [height, width]): (String, [usize; 2])| 3 * height as u64 * width as u64;
        let images: u64 = self.images(spec).into_iter().map(bytes).sum();
        let embedding = match self.observation.instruction {
            Some(InstructionForm::Embedding) => EMBEDDING_BYTES,
            Some(InstructionForm::Index | InstructionForm::Text) | None => 4,
        };
        let goal_dim = spec.goal_space.as_ref().filter(|_| self.observation.goal).map_or(0, GoalSpace::dim);
        state + images + embedding + 8 * goal_dim as u64
    }

    /// Checks the columns of observations against the task and the instructions that episodes may have. `is_goal_reward`: rewards
    /// are those of [`RewardSource::Goal`].
    ///
    /// # Errors
    /// If a camera is unknown or observed twice, a size is of a camera that is not observed, a sentence is too long to be observed as text,
    /// or goals are observed or rewarded and the task has no values for them or an instruction has no goal.
    pub fn check_columns(
        &self,
        task: &dyn Task,
        instructions: &[Instruction],
        is_goal_reward: bool,
    ) -> Result<()> {
        let spec = task.spec();
        check_cameras(task, &self.pixel_camera)?;
        let out_of_range = |field: &str, got: String, expected: &str| {
            Err(EnvError::OutOfRange { field: field.to_owned(), got, expected: expected.to_owned() })
        };
        let images = self.images(spec);
        let observed: Vec<&str> = images.iter().map(|(camera, _)| camera.as_str()).collect();
        for (idx, camera) in observed.iter().enumerate() {
            if observed[..idx].contains(camera) {
                return out_of_range("env.pixel_camera", format!("'{camera}' twice"), "each camera once");
            }
        }
        if let Some(camera) = self.pixel_sizes.keys().find(|camera| !observed.contains(&camera.as_str())) {
            return Err(EnvError::unknown("observed camera of env.pixel_sizes", camera, &observed));
        }
        let is_observed = |instruction: &Instruction| {
            self.observation.instruction != Some(InstructionForm::Text)
                || instruction.text.chars().count() <= MAX_TEXT_LENGTH
        };
        if let Some(instruction) = instructions.iter().find(|instruction| !is_observed(instruction)) {
            let expected = format!("at most {MAX_TEXT_LENGTH} characters");
            return out_of_range("env.instruction_text", format!("'{}'", instruction.text), &expected);
        }
        let field = match (is_goal_reward, self.observation.goal) {
            (true, _) => "reward.kind",
            (false, true) => "env.observation",
            (false, false) => return Ok(()),
        };
        if spec.goal_space.is_none() {
            return out_of_range(field, format!("a goal of {}", spec.id), "a task whose goals have values");
        }
        match instructions.iter().find(|instruction| instruction.goal_idx.is_none()) {
            Some(instruction) => out_of_range(
                field,
                format!("a goal for '{}'", instruction.text),
                "instructions that name a goal",
            ),
            None => Ok(()),
        }
    }

    /// Camera, rows and columns of each image of an observation.
    pub fn images(&self, spec: &TaskSpec) -> Vec<(String, [usize; 2])> {
        let own = [spec.pixel_camera.to_owned()];
        let cameras = match self.pixel_camera.as_slice() {
            _ if !self.observation.pixels => &[],
            [] => &own[..],
            cameras => cameras,
        };
        let size = |camera: &String| self.pixel_sizes.get(camera).copied().unwrap_or(self.pixel_size);
        cameras.iter().map(|camera| (camera.clone(), size(camera))).collect()
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

/// Checks that a task has the named cameras.
fn check_cameras(task: &dyn Task, names: &[String]) -> Result<()> {
    let scene = task.scene();
    let known: Vec<&str> = scene.cameras.iter().map(|camera| camera.name.as_str()).collect();
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        Some(unknown) => Err(EnvError::unknown("camera", unknown, &known)),
        None => Ok(()),
    }
}

/// A string or a list of strings.
fn one_or_several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(match Names::deserialize(deserializer)? {
        Names::One(name) => vec![name],
        Names::Several(names) => names,
    })
}

/// Columns of an observation. As TOML: a list of `"state"`, `"pixels"`, `"goal"` and one of `"instruction"`, `"instruction_text"`
/// and `"instruction_embedding"`, or one of them, or `"both"`, which is state and pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Names", into = "Names")]
pub struct ObservationConfig {
    /// The task's state vector.
    pub state: bool,
    /// Frames of the pixel camera.
    pub pixels: bool,
    /// The instruction.
    pub instruction: Option<InstructionForm>,
    /// The values of the goal ([`TaskSpec::goal_space`]): what is achieved, and what is desired.
    pub goal: bool,
}

/// How an instruction is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstructionForm {
    /// As its index in [`crate::VectorEnv::instructions`], a discrete space.
    Index,
    /// As its sentence, a text space. In Rust the column has the index of the sentence.
    Text,
    /// As the unit embedding of its sentence, a box.
    Embedding,
}

impl ObservationConfig {
    /// The state vector alone.
    pub const STATE: Self = Self { state: true, ..Self::NONE };
    /// Frames alone.
    pub const PIXELS: Self = Self { pixels: true, ..Self::NONE };
    /// The state vector and frames.
    pub const BOTH: Self = Self { state: true, pixels: true, ..Self::NONE };
    const NONE: Self = Self { state: false, pixels: false, instruction: None, goal: false };

    /// The same columns, and the instruction.
    pub const fn with_instruction(self, form: InstructionForm) -> Self {
        Self { instruction: Some(form), ..self }
    }

    /// The same columns, and the values of the goal.
    pub const fn with_goal(self) -> Self {
        Self { goal: true, ..self }
    }
}

/// Names of columns in a configuration.
const COLUMNS: [&str; 6] =
    ["state", "pixels", "instruction", "instruction_text", "instruction_embedding", "goal"];
/// The name of two columns, state and pixels.
const BOTH: &str = "both";

impl TryFrom<Names> for ObservationConfig {
    type Error = String;

    fn try_from(names: Names) -> Result<Self, String> {
        let names = match names {
            Names::One(name) => vec![name],
            Names::Several(names) => names,
        };
        let two = ["state", "pixels"];
        let expanded = names.iter().flat_map(|name| match name.as_str() {
            BOTH => two.to_vec(),
            name => vec![name],
        });
        let mut columns = Self::NONE;
        for name in expanded {
            let mut instruction = |form| columns.instruction.replace(form).is_none();
            let is_first = match name {
                "state" => !std::mem::replace(&mut columns.state, true),
                "pixels" => !std::mem::replace(&mut columns.pixels, true),
                "goal" => !std::mem::replace(&mut columns.goal, true),
                "instruction" => instruction(InstructionForm::Index),
                "instruction_text" => instruction(InstructionForm::Text),
                "instruction_embedding" => instruction(InstructionForm::Embedding),
                _ => {
                    let nearest = sayso_sim::names::nearest(name, COLUMNS.into_iter().chain([BOTH]));
                    let nearest = nearest.map(|it| format!(", did you mean '{it}'?")).unwrap_or_default();
                    return Err(format!("unknown column '{name}'{nearest}; known: {}", COLUMNS.join(", ")));
                }
            };
            if !is_first {
                return Err(format!("'{name}' is the second column of its kind"));
            }
        }
        if !columns.state && !columns.pixels {
            return Err("an observation needs the column 'state' or 'pixels'".to_owned());
        }
        Ok(columns)
    }
}

impl From<ObservationConfig> for Names {
    fn from(columns: ObservationConfig) -> Self {
        let is_instruction = |form| columns.instruction == Some(form);
        let has = [
            columns.state,
            columns.pixels,
            is_instruction(InstructionForm::Index),
            is_instruction(InstructionForm::Text),
            is_instruction(InstructionForm::Embedding),
            columns.goal,
        ];
        let names: Vec<&str> =
            COLUMNS.into_iter().zip(has).filter(|(_, has)| *has).map(|(name, _)| name).collect();
        match names.as_slice() {
            [name] => Self::One((*name).to_owned()),
            ["state", "pixels"] => Self::One(BOTH.to_owned()),
            names => Self::Several(names.iter().map(|&name| name.to_owned()).collect()),
        }
    }
}

/// Source of a batch's rewards.
#[derive(Clone)]
pub enum RewardSource {
    /// No reward: every reward is 0.
    None,
    /// The task's dense ground truth for its goal.
    GroundTruth,
    /// A reward of the values of the goal alone; ground truth too.
    Goal(GoalReward),
    /// A reward model, which scores frames within the step.
    Model(Arc<dyn RewardModel>, ScoringConfig),
    /// The same, but the caller takes the frames ([`crate::VectorEnv::swap_reward_frames`]) and scores them later; the
    /// rewards of the step are what the terms add, 0 without terms.
    Deferred(Arc<dyn RewardModel>, ScoringConfig),
}

/// Which frames a reward model scores, against which prompts, and how scores become rewards.
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
    /// Goal prompts in place of those of the instruction's goal, if not empty.
    pub goal_prompts: Vec<String>,
    /// Baseline prompts in place of those of the instruction's goal, if not empty.
    pub baseline_prompts: Vec<String>,
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
            goal_prompts: Vec::new(),
            baseline_prompts: Vec::new(),
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
        Ok(Scorer::new(model, plan, self.failures, env.n_envs(), n_views, env.reward_texts())?)
    }

    /// Checks everything that does not depend on the model.
    ///
    /// # Errors
    /// If a camera is unknown, a number is out of range, a term names an unknown metric, or one of the goal of `instructions` and one of them has
    /// none.
    pub fn validate(&self, task: &dyn Task, instructions: &[Instruction]) -> Result<()> {
        check_cameras(task, &self.cameras)?;
        self.failures.validate()?;
        ScoringPlan::new(FrameSelection::Last, self.schedule, self.every_n_steps)?;
        Composition::new(&self.terms, task.spec(), instructions).map(|_| ())
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
