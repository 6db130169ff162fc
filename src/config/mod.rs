//! The configuration of a run: merged from preset, file and flags, and saved as `config.toml` in the run folder.

mod layers;
pub mod presets;
mod renamed;

pub use layers::{Layers, parse_assignment};

use sayso_agents::{AgentError, TrainConfig};
use sayso_envs::config::MAX_ENVS;
use sayso_envs::instructions::instructions;
use sayso_envs::language::named_goal;
use sayso_envs::registry;
use sayso_envs::task::{Task, TaskSpec};
use sayso_envs::{
    EnvConfig, EnvError, GoalReward, Instruction, InstructionChoice, Paraphrases, RewardSource, RewardTerm,
    ScoringConfig,
};
use sayso_rewards::registry::{self as registry_of_rewards, RewardOptions};
use sayso_rewards::{FailureConfig, FrameSelection, RewardError, RewardSchedule};
use sayso_sim::{memory, names};
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::error::{Error, Result};

/// The complete configuration of a run. It has no default: start from a preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// The envs.
    pub env: EnvConfig,
    /// The reward.
    pub reward: RewardConfig,
    /// The learner.
    pub train: TrainConfig,
    /// Evaluation before and after training.
    pub evaluation: EvaluationConfig,
}

/// The reward of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RewardConfig {
    /// Kind of reward: a name in the registry of reward models ([`sayso_rewards::registry::kinds`]), or one of
    /// [`GROUND_TRUTH_KINDS`].
    pub kind: String,
    /// Descriptions of the goal state; several are averaged. If empty, that of the goal of each instruction.
    #[serde(default)]
    pub goal_prompts: Vec<String>,
    /// Descriptions of the scene without the goal, one for each goal prompt. If empty, those of the same goals.
    #[serde(default)]
    pub baseline_prompts: Vec<String>,
    /// Names of the reward cameras; scores are averaged over them. If empty, those of the task.
    #[serde(default)]
    pub cameras: Vec<String>,
    /// Frames are scored every n control steps of an episode; at least 1.
    pub every_n_steps: u32,
    /// Conversion of scores to rewards.
    pub schedule: RewardSchedule,
    /// What happens when a call of the model fails.
    #[serde(default)]
    pub failures: FailureConfig,
    /// Terms that combine the reward with ground-truth metrics, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub terms: Vec<RewardTerm>,
    /// The options of the kind: all other keys.
    #[serde(flatten)]
    pub options: Table,
}

/// The kind of the task's dense ground-truth reward, for comparison.
pub const GROUND_TRUTH: &str = "ground_truth";
/// The kinds of rewards that are ground truth: the task's dense one, and those of the values of the goal
/// ([`sayso_envs::GoalReward`]).
pub const GROUND_TRUTH_KINDS: [&str; 3] = [GROUND_TRUTH, "goal_sparse", "goal_dense"];

/// Evaluation of policies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluationConfig {
    /// Number of episodes; at least 1.
    pub n_episodes: usize,
    /// Number of parallel envs; at least 1.
    pub n_envs: usize,
    /// Random seed of the episodes; use another one than for training.
    pub seed: u64,
    /// Episodes in each video; 0 for no videos.
    pub n_video_episodes: usize,
    /// Wordings of the instructions; as in training if absent. A policy may be evaluated on wordings that it never read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paraphrases: Option<Paraphrases>,
    /// Control steps per episode; as in training if absent. A policy may train on short episodes and be evaluated on
    /// full ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_episode_steps: Option<u32>,
}

impl RunConfig {
    /// Checks the whole configuration, and fills in what is unset: the prompts of a single instruction, the instruction that the
    /// goal prompts name, and the device.
    ///
    /// # Errors
    /// Names the field, its value and the allowed values.
    pub fn resolve(mut self) -> Result<Self> {
        let task = self.task()?;
        self.env.device = self.env.device.resolve();
        self.train.resolve().map_err(error_of_train)?;
        self.env.validate()?;
        in_range("evaluation.n_episodes", self.evaluation.n_episodes, 1..=1_000_000)?;
        in_range("evaluation.n_envs", self.evaluation.n_envs, 1..=MAX_ENVS)?;
        in_range("evaluation.n_video_episodes", self.evaluation.n_video_episodes, 0..=64)?;
        if self.evaluation.max_episode_steps == Some(0) {
            return Err(out_of_range("evaluation.max_episode_steps", 0, "1 or more"));
        }
        self.reward.resolve(&mut self.env, task.spec())?;
        let configured = self.instructions(task.spec())?;
        self.scoring().validate(&*task, &configured)?;
        let is_goal_reward = matches!(self.reward.ground_truth(), Some(RewardSource::Goal(_)));
        self.env.check_columns(&*task, &configured, is_goal_reward)?;
        let RewardConfig { goal_prompts, baseline_prompts, .. } = &self.reward;
        instructions(&self.evaluation_env(1), task.spec(), goal_prompts, baseline_prompts)?;
        if !self.reward.is_ground_truth() {
            self.check_frames(FrameSelection::Last, task.spec())?;
        }
        self.env.check_memory()?;
        self.evaluation_env(self.evaluation.n_envs).check_memory()?;
        let observation_bytes = self.env.observation_bytes(task.spec());
        let (what, n_bytes) = self.train.options()?.memory(self.env.n_envs, observation_bytes);
        memory::check_fits(&what, n_bytes).map_err(sayso_envs::EnvError::from)?;
        Ok(self)
    }

    /// The configuration of `n_envs` envs for evaluation.
    pub fn evaluation_env(&self, n_envs: usize) -> EnvConfig {
        let max_episode_steps = self.evaluation.max_episode_steps.or(self.env.max_episode_steps);
        let paraphrases = self.evaluation.paraphrases.unwrap_or(self.env.paraphrases);
        EnvConfig { n_envs, max_episode_steps, paraphrases, ..self.env.clone() }
    }

    /// The task.
    ///
    /// # Errors
    /// If the id or an option is unknown.
    pub fn task(&self) -> Result<Box<dyn Task>> {
        registry::task(&self.env.id, &self.env.options).map_err(error_of_task)
    }

    /// The instructions that episodes may have, with the prompts of each.
    ///
    /// # Errors
    /// If a name is unknown, or something of one instruction is given for several.
    pub fn instructions(&self, task: &TaskSpec) -> Result<Vec<Instruction>> {
        let RewardConfig { goal_prompts, baseline_prompts, .. } = &self.reward;
        Ok(instructions(&self.env, task, goal_prompts, baseline_prompts)?)
    }

    /// Which frames are scored, against which prompts, and how scores become rewards.
    pub fn scoring(&self) -> ScoringConfig {
        let reward = &self.reward;
        ScoringConfig {
            cameras: reward.cameras.clone(),
            every_n_steps: reward.every_n_steps,
            schedule: reward.schedule,
            // The options of a configuration that was resolved are valid.
            discount: self.train.options().map_or(1.0, |options| options.discount() as f32),
            failures: reward.failures,
            terms: reward.terms.clone(),
            goal_prompts: reward.goal_prompts.clone(),
            baseline_prompts: reward.baseline_prompts.clone(),
        }
    }

    /// Checks that the interval of scores and a window of `frames` are no longer than an episode of training or evaluation.
    pub(crate) fn check_frames(&self, frames: FrameSelection, task: &TaskSpec) -> Result<()> {
        let scoring = self.scoring();
        for max_steps in [self.env.max_episode_steps, self.evaluation_env(1).max_episode_steps] {
            scoring.plan(frames, max_steps.unwrap_or(task.max_episode_steps))?;
        }
        Ok(())
    }

    /// The configuration as TOML.
    ///
    /// # Errors
    /// If a value cannot be represented in TOML.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string_pretty(self).map_err(|err| Error::ConfigKey {
            field: "configuration".into(),
            reason: err.to_string(),
            nearest: None,
        })
    }

    /// Name of the reward, for display.
    pub fn reward_name(&self) -> String {
        match self.reward.ground_truth() {
            Some(RewardSource::Goal(GoalReward::Sparse)) => return "ground truth, sparse goal".to_owned(),
            Some(RewardSource::Goal(GoalReward::Dense)) => return "ground truth, dense goal".to_owned(),
            Some(_) => return "ground truth".to_owned(),
            None => {}
        }
        match (self.reward.kind.as_str(), self.reward.model_name()) {
            ("vlm_rm", Some(model)) => model,
            (kind, Some(model)) => format!("{kind}, {model}"),
            (kind, None) => kind.to_owned(),
        }
    }

    /// What is asked of the policy, for display: the first goal prompt, or how many instructions there are.
    pub fn title(&self, instructions: &[Instruction]) -> String {
        match (self.reward.goal_prompts.first(), instructions) {
            (Some(prompt), _) => prompt.clone(),
            (None, [only]) => only.text.clone(),
            (None, all) => format!("{} instructions", all.len()),
        }
    }
}

impl RewardConfig {
    /// The keys that rewards of every kind have; the others are options of the kind.
    pub const COMMON_KEYS: [&str; 8] = [
        "kind",
        "goal_prompts",
        "baseline_prompts",
        "cameras",
        "every_n_steps",
        "schedule",
        "failures",
        "terms",
    ];

    /// Whether rewards of every kind have a key.
    pub fn is_common(key: &str) -> bool {
        Self::COMMON_KEYS.contains(&key)
    }

    /// Whether rewards are the task's ground truth.
    pub fn is_ground_truth(&self) -> bool {
        self.ground_truth().is_some()
    }

    /// The rewards, if they are ground truth.
    pub fn ground_truth(&self) -> Option<RewardSource> {
        let sources = [
            RewardSource::GroundTruth,
            RewardSource::Goal(GoalReward::Sparse),
            RewardSource::Goal(GoalReward::Dense),
        ];
        let mut named = GROUND_TRUTH_KINDS.into_iter().zip(sources);
        named.find_map(|(kind, source)| (kind == self.kind).then_some(source))
    }

    /// The options of the kind; `None` for the ground truth, which has none.
    ///
    /// # Errors
    /// If the kind is unknown, or an option is unknown, of a wrong type, or out of its range.
    pub fn model_options(&self) -> Result<Option<Box<dyn RewardOptions>>> {
        if !self.is_ground_truth() {
            let options = registry_of_rewards::kind(&self.kind)?.options(&self.options);
            return Ok(Some(options.map_err(error_of_option)?));
        }
        match self.options.keys().next() {
            None => Ok(None),
            Some(key) => Err(Error::ConfigKey {
                field: format!("reward.{key}"),
                reason: format!("is an option of a reward model, and reward.kind is \"{}\"", self.kind),
                nearest: None,
            }),
        }
    }

    /// Name of the reward model's encoder; `None` without one.
    pub fn model_name(&self) -> Option<String> {
        let options = self.model_options().ok().flatten()?;
        options.model_name().map(str::to_owned)
    }

    /// Fills in the instruction from the goal prompts, the goal prompts of a single goal from the instruction, and the baseline
    /// prompts from the instruction's goal.
    fn resolve(&mut self, env: &mut EnvConfig, task: &TaskSpec) -> Result<()> {
        let options = self.model_options()?;
        if let (None, Some(term)) = (&options, self.terms.first()) {
            let expected = format!("no terms, as reward.kind is \"{}\"", self.kind);
            return Err(out_of_range("reward.terms", term, &expected));
        }
        let needs_baseline = options.is_some_and(|options| options.needs_baseline());
        for (field, prompts) in
            [("goal_prompts", &self.goal_prompts), ("baseline_prompts", &self.baseline_prompts)]
        {
            if let Some(empty) = prompts.iter().position(|prompt| prompt.trim().is_empty()) {
                let got = format!("an empty prompt (number {})", empty + 1);
                return Err(out_of_range(&format!("reward.{field}"), got, "a non-empty text"));
            }
        }
        let named = self.goal_prompts.first().and_then(|prompt| named_goal(&task.goals, prompt));
        let goals = match (&env.instruction, &env.instruction_text) {
            (Some(choice), _) => choice.goals(task)?,
            (None, Some(text)) => Instruction::from_text(task, text).goal_idx.into_iter().collect(),
            (None, None) if self.goal_prompts.is_empty() => vec![0],
            (None, None) => named.into_iter().collect(),
        };
        let goal = match goals.as_slice() {
            [] => None,
            [only] => Some(&task.goals[*only]),
            // Each has prompts of its own; the instructions of the envs are checked for others.
            [..] => return Ok(()),
        };
        if let (Some(goal), Some(named)) = (goal, named.map(|goal_idx| &task.goals[goal_idx]))
            && goal.name != named.name
        {
            let key = if env.instruction.is_some() { "env.instruction" } else { "env.instruction_text" };
            let reason = format!("they name '{}', and {key} names '{}'", named.name, goal.name);
            return Err(Error::ConfigKey { field: "reward.goal_prompts".to_owned(), reason, nearest: None });
        }
        let own = goal.map(|goal| goal.goal_prompt.as_str());
        match (&env.instruction_text, self.goal_prompts.first()) {
            // The instruction is in the words of the user, not the goal's own.
            (None, Some(prompt)) if env.paraphrases == Paraphrases::None && Some(prompt.as_str()) != own => {
                env.instruction_text = Some(prompt.clone());
            }
            // Words that the task does not know are what the reward model is given.
            (Some(text), None) if env.instruction.is_none() => {
                self.goal_prompts = Instruction::from_text(task, text).goal_prompts;
            }
            (_, None) => self.goal_prompts = own.map(str::to_owned).into_iter().collect(),
            (_, Some(_)) => {}
        }
        if env.instruction.is_none() {
            env.instruction = goal.map(|goal| InstructionChoice::Goal(goal.name.clone()));
        }
        if self.baseline_prompts.is_empty() {
            self.baseline_prompts = match goal {
                Some(goal) => vec![goal.baseline_prompt.clone(); self.goal_prompts.len()],
                None if !needs_baseline => Vec::new(),
                None => {
                    return Err(Error::NoBaseline {
                        prompt: self.goal_prompts.first().cloned().unwrap_or_default(),
                    });
                }
            };
        }
        let (n_goal, n_baseline) = (self.goal_prompts.len(), self.baseline_prompts.len());
        if n_baseline != 0 && n_baseline != n_goal {
            let expected = format!("{n_goal}, one for each goal prompt");
            return Err(out_of_range("reward.baseline_prompts", format!("{n_baseline} prompts"), &expected));
        }
        Ok(())
    }
}

/// The error of an option of the algorithm, with the nearest key.
fn error_of_train(error: AgentError) -> Error {
    let AgentError::Option { field, reason } = error else { return error.into() };
    layers::key_error(field, &reason)
}

/// The error of an option of the task, with the nearest key.
fn error_of_task(error: EnvError) -> Error {
    let EnvError::Option { field, reason } = error else { return error.into() };
    layers::key_error(field, &reason)
}

/// The error of an option, with the nearest key of `[reward]`: a misspelt key that all kinds have is taken for an option.
fn error_of_option(error: RewardError) -> Error {
    let RewardError::Option { field, reason } = error else { return error.into() };
    let is_unknown = reason.starts_with("unknown field");
    let Some(key) = field.strip_prefix("reward.").filter(|_| is_unknown) else {
        return layers::key_error(field, &reason);
    };
    let options = reason.split('`').skip(3).step_by(2);
    let nearest = names::nearest(key, RewardConfig::COMMON_KEYS.into_iter().chain(options));
    let nearest = nearest.map(str::to_owned);
    let common = RewardConfig::COMMON_KEYS.join(", ");
    let reason = format!("{reason}; rewards of every kind have {common}");
    Error::ConfigKey { nearest, field, reason }
}

fn in_range(field: &str, got: usize, allowed: std::ops::RangeInclusive<usize>) -> Result<()> {
    if allowed.contains(&got) {
        return Ok(());
    }
    Err(out_of_range(field, got, &format!("a number in [{}, {}]", allowed.start(), allowed.end())))
}

fn out_of_range(field: &str, got: impl std::fmt::Display, expected: &str) -> Error {
    Error::OutOfRange { field: field.into(), got: got.to_string(), expected: expected.into() }
}
