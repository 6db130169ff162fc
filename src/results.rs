//! Results of a run: evaluations of its policies, and their summary.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use sayso_agents::EvalConfig;
use sayso_agents::evaluate::{EvalReport, GoalSuccess, InstructionSuccess, SuccessRate};
use sayso_envs::Instruction;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::config::RunConfig;
use crate::error::{Error, Result};
use crate::metrics::MetricsRow;
use crate::run_folder::{EVALUATIONS, RunFolder, SUMMARY};

/// The evaluation of one policy of a run by ground truth; `evaluations/step-NNNNNNNNNNNN.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Env steps of training that the policy had; 0 for the untrained one.
    pub n_steps: u64,
    /// Number and seed of the episodes.
    pub episodes: EvalConfig,
    /// Success of each goal of the task.
    pub goals: Vec<GoalSuccess>,
    /// Success of each instruction on its own goal.
    #[serde(default)]
    pub instructions: Vec<InstructionSuccess>,
    /// Mean undiscounted return of the ground-truth reward.
    pub mean_return: f64,
    /// Mean length of an episode, in control steps.
    pub mean_steps: f64,
}

impl Evaluation {
    /// The evaluation that a report describes.
    pub fn new(n_steps: u64, episodes: EvalConfig, report: EvalReport) -> Self {
        let EvalReport { goals, instructions, mean_return, mean_steps, .. } = report;
        Self { n_steps, episodes, goals, instructions, mean_return, mean_steps }
    }

    /// The evaluation in a run folder of the policy after `n_steps`, over these episodes; `None` if there is none.
    ///
    /// # Errors
    /// If the file cannot be read or is damaged.
    pub fn load(folder: &RunFolder, n_steps: u64, episodes: &EvalConfig) -> Result<Option<Self>> {
        let path = folder.root().join(file_name(n_steps));
        let evaluation: Option<Self> = read_json(&path)?;
        Ok(evaluation.filter(|e| e.n_steps == n_steps && e.episodes == *episodes))
    }

    /// Writes the evaluation into a run folder.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, folder: &RunFolder) -> Result<()> {
        folder.write_json(&file_name(self.n_steps), self)
    }
}

/// The value in a file of JSON; `None` if there is no file.
fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let json = match fs::read(path) {
        Ok(json) => json,
        Err(err) if err.kind() == ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(Error::file("read", path)(err)),
    };
    let damaged = |err: serde_json::Error| Error::file("read", path)(std::io::Error::other(err));
    Ok(Some(serde_json::from_slice(&json).map_err(damaged)?))
}

fn file_name(n_steps: u64) -> String {
    format!("{EVALUATIONS}/step-{n_steps:012}.json")
}

/// Results of a run, for scripts; `summary.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Version of the program.
    pub sayso: String,
    /// Id of the environment.
    pub env_id: String,
    /// Name of the reward model, or `ground truth`.
    pub reward: String,
    /// Goal of the instructions; `None` if they have several, or none.
    pub instruction: Option<String>,
    /// Goal prompts; empty if each instruction has its own.
    pub goal_prompts: Vec<String>,
    /// Seed of the training.
    pub seed: u64,
    /// Env steps of training so far, over all envs.
    pub n_steps: u64,
    /// Env steps at which the training ends.
    pub total_steps: u64,
    /// Wall time of training, seconds; evaluations and videos are not counted.
    pub training_secs: f64,
    /// Number and seed of the evaluation's episodes.
    pub episodes: EvalConfig,
    /// Ground-truth success of each goal of the task, at the end of episodes.
    pub goals: Vec<GoalSummary>,
    /// Ground-truth success of each instruction on its own goal, at the end of episodes that had it.
    #[serde(default)]
    pub instructions: Vec<InstructionSummary>,
}

/// Ground-truth success on one goal before and after training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoalSummary {
    /// Name of the goal.
    pub goal: String,
    /// Whether an instruction is of this goal.
    pub is_target: bool,
    /// Success of the untrained policy.
    pub before: SuccessRate,
    /// Success of the trained policy; `None` before the first checkpoint.
    pub after: Option<SuccessRate>,
}

/// Ground-truth success of one instruction before and after training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstructionSummary {
    /// The sentence.
    pub instruction: String,
    /// Name of its goal.
    pub goal: String,
    /// Whether it is a paraphrase that is held out from training.
    pub is_held_out: bool,
    /// Success of the untrained policy; `None` if no episode had the instruction.
    pub before: Option<SuccessRate>,
    /// Success of the trained policy; `None` before the first checkpoint.
    pub after: Option<SuccessRate>,
}

impl InstructionSummary {
    fn new(before: &Evaluation, after: Option<&Evaluation>) -> Vec<Self> {
        let none = Vec::new();
        let after = after.map_or(&none, |after| &after.instructions);
        let rate = |all: &[InstructionSuccess], text: &str| {
            all.iter().find(|it| it.instruction == text).map(|it| it.at_end)
        };
        let only_after = after.iter().filter(|it| rate(&before.instructions, &it.instruction).is_none());
        let summary = |it: &InstructionSuccess| Self {
            instruction: it.instruction.clone(),
            goal: it.goal.clone(),
            is_held_out: it.is_held_out,
            before: rate(&before.instructions, &it.instruction),
            after: rate(after, &it.instruction),
        };
        before.instructions.iter().chain(only_after).map(summary).collect()
    }
}

impl Summary {
    /// The summary of a run whose log ends with the row `last`.
    pub fn new(
        config: &RunConfig,
        instructions: &[Instruction],
        last: Option<&MetricsRow>,
        before: &Evaluation,
        after: Option<&Evaluation>,
    ) -> Self {
        let targets: Vec<Option<usize>> = instructions.iter().map(|it| it.goal_idx).collect();
        let mut names = targets.iter().map(|goal_idx| goal_idx.and_then(|idx| before.goals.get(idx)));
        let first = names.next().flatten().map(|goal| goal.goal.clone());
        let instruction = first.filter(|first| names.all(|it| it.is_some_and(|it| it.goal == *first)));
        let goals = before.goals.iter().enumerate().map(|(goal_idx, goal)| GoalSummary {
            goal: goal.goal.clone(),
            is_target: targets.contains(&Some(goal_idx)),
            before: goal.at_end,
            after: after.and_then(|after| after.goals.get(goal_idx)).map(|goal| goal.at_end),
        });
        Self {
            sayso: env!("CARGO_PKG_VERSION").to_owned(),
            env_id: config.env.id.clone(),
            reward: config.reward_name().to_owned(),
            instruction,
            goal_prompts: config.reward.goal_prompts.clone(),
            seed: config.train.seed,
            n_steps: after.map_or(0, |after| after.n_steps),
            total_steps: config.train.total_steps,
            training_secs: last.map_or(0.0, |row| row.elapsed_secs),
            episodes: before.episodes.clone(),
            goals: goals.collect(),
            instructions: InstructionSummary::new(before, after),
        }
    }

    /// The summary in a run folder; `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be read or is damaged.
    pub fn load(folder: &RunFolder) -> Result<Option<Self>> {
        read_json(&folder.root().join(SUMMARY))
    }

    /// Success of the trained policy on the goal of the instruction, over all instructions; `None` before the first checkpoint, and
    /// without a goal.
    pub fn success(&self) -> Option<f64> {
        if self.instructions.len() <= 1 {
            let target = self.goals.iter().find(|goal| goal.is_target)?;
            return Some(target.after?.rate);
        }
        SuccessRate::sum(self.instructions.iter().filter_map(|it| it.after)).map(|total| total.rate)
    }

    /// Whether a run folder has the summary and the report of this many steps.
    pub fn is_written(folder: &RunFolder, n_steps: u64) -> bool {
        let summary = Self::load(folder).ok().flatten();
        folder.has_report() && summary.is_some_and(|summary| summary.n_steps == n_steps)
    }
}
