//! The configuration of a run: what `config.toml` in a run folder holds, and what presets, files and flags may set.

mod layers;
pub mod presets;

pub use layers::{Layers, parse_assignment};

use sayso_agents::TrainConfig;
use sayso_envs::language::named_goal;
use sayso_envs::registry;
use sayso_envs::task::TaskSpec;
use sayso_envs::{EnvConfig, JudgeConfig};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Everything that decides a run. It has no default: start from a preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// The batch of envs.
    pub env: EnvConfig,
    /// How frames are drawn for the reward model.
    pub judge: JudgeConfig,
    /// Where rewards come from.
    pub reward: RewardConfig,
    /// The learner.
    pub train: TrainConfig,
    /// How policies are measured before and after.
    pub evaluation: EvaluationConfig,
}

/// Where rewards come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewardConfig {
    /// A sentence, or the task's own dense reward.
    pub source: RewardKind,
    /// The reward model: `bundled`, a folder, or a name on the Hugging Face hub.
    pub model: String,
    /// What the reward model looks for; several are averaged. Those of the goal if empty.
    #[serde(default)]
    pub prompts: Vec<String>,
    /// What it looks away from, one for each prompt. Those of the goal that the prompt names if empty.
    #[serde(default)]
    pub baselines: Vec<String>,
    /// Strength of goal-baseline regularisation, in [0, 1]; 0 is plain cosine similarity.
    pub alpha: f32,
}

/// Where rewards come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RewardKind {
    /// Frames and a sentence.
    Language,
    /// The task's dense reward, from ground truth; for comparison.
    GroundTruth,
}

/// How policies are measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluationConfig {
    /// Fresh episodes; at least 1.
    pub n_episodes: usize,
    /// How many of them run at once; at least 1.
    pub n_envs: usize,
    /// Their seed; another one than the training's.
    pub seed: u64,
    /// Episodes in each video; 0 for no videos.
    pub n_video_episodes: usize,
    /// Control steps of an episode; as in training if absent. A policy may learn on short episodes and be measured on
    /// whole ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_episode_steps: Option<u32>,
}

impl RunConfig {
    /// Checks what no single part can check, and writes down what was left open: the prompts, their goal, and
    /// the device.
    ///
    /// # Errors
    /// Names the field, its value and what is allowed.
    pub fn resolve(mut self) -> Result<Self> {
        let task = registry::task(&self.env.id, &self.env.options)?;
        self.env.device = self.env.device.resolve();
        self.train.validate()?;
        in_range("env.n_envs", self.env.n_envs, 1..=100_000)?;
        in_range("evaluation.n_episodes", self.evaluation.n_episodes, 1..=1_000_000)?;
        in_range("evaluation.n_envs", self.evaluation.n_envs, 1..=100_000)?;
        in_range("evaluation.n_video_episodes", self.evaluation.n_video_episodes, 0..=64)?;
        self.reward.resolve(&mut self.env.goal, task.spec())?;
        Ok(self)
    }

    /// The envs in which policies are measured, as many as `n_envs`.
    pub fn evaluation_env(&self, n_envs: usize) -> EnvConfig {
        let max_episode_steps = self.evaluation.max_episode_steps.or(self.env.max_episode_steps);
        EnvConfig { n_envs, max_episode_steps, ..self.env.clone() }
    }

    /// The configuration as TOML.
    ///
    /// # Errors
    /// If a value has no form in TOML.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string_pretty(self).map_err(|err| Error::ConfigKey {
            field: "configuration".into(),
            reason: err.to_string(),
            nearest: None,
        })
    }

    /// What gives the reward, for people.
    pub fn reward_name(&self) -> &str {
        match self.reward.source {
            RewardKind::Language => &self.reward.model,
            RewardKind::GroundTruth => "ground truth",
        }
    }

    /// The sentence that the run is about: the first prompt, or, without a reward model, the goal's.
    pub fn sentence(&self) -> &str {
        self.reward.prompts.first().map_or("", String::as_str)
    }
}

impl RewardConfig {
    /// Takes prompts from the goal, the goal from the prompts, and the baselines from either.
    fn resolve(&mut self, goal: &mut Option<String>, task: &TaskSpec) -> Result<()> {
        if !(0.0..=1.0).contains(&self.alpha) {
            return Err(out_of_range("reward.alpha", self.alpha, "a number in [0, 1]"));
        }
        let named = self.prompts.first().and_then(|prompt| named_goal(&task.goals, prompt));
        if goal.is_none() {
            *goal = named.map(|goal_idx| task.goals[goal_idx].name.clone());
        }
        let goal = match goal {
            Some(name) => {
                let known: Vec<&str> = task.goals.iter().map(|goal| goal.name.as_str()).collect();
                let goal = task.goals.iter().find(|goal| goal.name == *name);
                Some(goal.ok_or_else(|| sayso_envs::EnvError::unknown("goal", name, &known))?)
            }
            None if self.prompts.is_empty() => task.goals.first(),
            None => None,
        };
        if let (true, Some(goal)) = (self.prompts.is_empty(), goal) {
            self.prompts = vec![goal.goal_prompt.clone()];
        }
        if let Some(empty) =
            self.prompts.iter().chain(&self.baselines).position(|text| text.trim().is_empty())
        {
            return Err(out_of_range(
                "reward.prompts",
                format!("an empty sentence (number {})", empty + 1),
                "words",
            ));
        }
        if self.baselines.is_empty() {
            self.baselines = match goal {
                Some(goal) => vec![goal.baseline_prompt.clone(); self.prompts.len()],
                None if self.alpha == 0.0 || self.source == RewardKind::GroundTruth => Vec::new(),
                None => return Err(Error::NoBaseline { prompt: self.prompts[0].clone() }),
            };
        }
        if !self.baselines.is_empty() && self.baselines.len() != self.prompts.len() {
            let expected = format!("{}, one for each prompt", self.prompts.len());
            return Err(out_of_range(
                "reward.baselines",
                format!("{} sentences", self.baselines.len()),
                &expected,
            ));
        }
        Ok(())
    }
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
