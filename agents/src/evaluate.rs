//! Evaluation of a policy over new episodes: returns, lengths and success rates.

use std::ops::ControlFlow;

use rand::SeedableRng;
use rand_pcg::Pcg64;
use sayso_envs::{AutoresetMode, Instruction, ResetOptions, StepBatch, VectorEnv};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::episodes::{Episode, EpisodeTracker};
use crate::error::check;
use crate::policy::Policy;

/// Configuration of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalConfig {
    /// Total number of episodes; at least 1.
    pub n_episodes: usize,
    /// Seed of the envs' episodes and of the policy's random choices.
    pub seed: u64,
}

/// Result of an evaluation; ground truth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvalReport {
    /// All episodes, those of env 0 first.
    pub episodes: Vec<Episode>,
    /// One entry per goal of the env.
    pub goals: Vec<GoalSuccess>,
    /// One entry per instruction that an episode had and that is of a goal, in the order of [`VectorEnv::instructions`].
    pub instructions: Vec<InstructionSuccess>,
    /// Mean undiscounted return of the env's own reward.
    pub mean_return: f64,
    /// Mean length of an episode, in control steps.
    pub mean_steps: f64,
}

/// How often one goal was met.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GoalSuccess {
    /// Name of the goal.
    pub goal: String,
    /// Episodes whose last state met it.
    pub at_end: SuccessRate,
    /// Episodes in which some state met it.
    pub ever: SuccessRate,
}

/// How often the goal of one instruction was met.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstructionSuccess {
    /// The sentence.
    pub instruction: String,
    /// Whether it is a paraphrase that is held out from training.
    pub is_held_out: bool,
    /// Name of its goal.
    pub goal: String,
    /// Episodes with this instruction whose last state met the goal.
    pub at_end: SuccessRate,
    /// Episodes with this instruction in which some state met it.
    pub ever: SuccessRate,
}

/// A rate with its 95% confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SuccessRate {
    /// Number of episodes that succeeded.
    pub n_success: usize,
    /// Total number of episodes.
    pub n_episodes: usize,
    /// `n_success / n_episodes`.
    pub rate: f64,
    /// Wilson's score interval at 95%.
    pub interval: (f64, f64),
}

impl SuccessRate {
    /// The rate over all episodes of several; `None` without episodes.
    pub fn sum(rates: impl IntoIterator<Item = Self>) -> Option<Self> {
        let add = |(met, n), rate: Self| (met + rate.n_success, n + rate.n_episodes);
        let (met, n) = rates.into_iter().fold((0, 0), add);
        (0 < n).then(|| Self::new(met, n))
    }

    /// The rate of `n_success` among `n_episodes`.
    pub fn new(n_success: usize, n_episodes: usize) -> Self {
        let rate = n_success as f64 / n_episodes.max(1) as f64;
        Self { n_success, n_episodes, rate, interval: wilson_interval(n_success, n_episodes) }
    }
}

/// Runs new episodes with a policy.
///
/// Each env runs its equal share of the episodes to the end, so that short episodes are not favoured. `on_progress`
/// is called after every step with the number of finished episodes, and may stop the evaluation; the report then covers
/// these episodes.
///
/// # Errors
/// If the configuration is out of range, or if the env or the policy fails.
pub fn evaluate(
    env: &mut dyn VectorEnv,
    policy: &mut dyn Policy,
    config: &EvalConfig,
    on_progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<EvalReport> {
    check(1 <= config.n_episodes, "evaluation.n_episodes", config.n_episodes, "at least 1")?;
    let (n_envs, goal_names) = (env.n_envs(), env.goal_names().to_vec());
    let n_goals = goal_names.len();
    let share = |env_idx| config.n_episodes / n_envs + usize::from(env_idx < config.n_episodes % n_envs);
    let mut missing: Vec<usize> = (0..n_envs).map(share).collect();
    let mut episodes = vec![Vec::new(); n_envs];
    let mut tracker = EpisodeTracker::new(n_envs, n_goals);
    let mut rng = Pcg64::seed_from_u64(config.seed);
    let mut batch = StepBatch::default();

    env.reset(&ResetOptions { seed: Some(config.seed.into()), mask: None }, &mut batch)?;
    (0..n_envs).for_each(|env_idx| policy.start_episode(env_idx));
    while missing.iter().any(|&n| 0 < n) {
        let actions = policy.act(&batch.observations, &mut rng)?;
        env.step(&actions, &mut batch)?;
        for env_idx in 0..n_envs {
            if env.autoreset_mode() == AutoresetMode::NextStep && batch.info.is_reset[env_idx] {
                continue;
            }
            let success = &batch.info.success[env_idx * n_goals..][..n_goals];
            let instruction = batch.info.instruction.get(env_idx).copied().unwrap_or(0);
            let (reward, done) = (batch.rewards[env_idx], batch.done(env_idx));
            let ended = tracker.record(env_idx, reward, success, instruction, done);
            let Some(episode) = ended else { continue };
            policy.start_episode(env_idx);
            if 0 < missing[env_idx] {
                missing[env_idx] -= 1;
                episodes[env_idx].push(episode);
            }
        }
        if env.autoreset_mode() == AutoresetMode::Disabled {
            let mask: Vec<bool> = (0..n_envs).map(|env_idx| batch.done(env_idx)).collect();
            if mask.contains(&true) {
                env.reset(&ResetOptions { seed: None, mask: Some(mask) }, &mut batch)?;
            }
        }
        let n_done = episodes.iter().map(Vec::len).sum();
        if on_progress(n_done).is_break() {
            break;
        }
    }
    Ok(report(episodes.concat(), goal_names, env.instructions()))
}

fn report(episodes: Vec<Episode>, goal_names: Vec<String>, instructions: &[Instruction]) -> EvalReport {
    let count = |of: &dyn Fn(&Episode) -> bool, met: &dyn Fn(&Episode) -> bool| {
        let (mut n_met, mut n) = (0, 0);
        for episode in episodes.iter().filter(|episode| of(episode)) {
            n += 1;
            n_met += usize::from(met(episode));
        }
        SuccessRate::new(n_met, n)
    };
    let of_instruction = |(idx, instruction): (usize, &Instruction)| {
        let of = |episode: &Episode| episode.instruction as usize == idx;
        let goal_idx = instruction.goal_idx.filter(|_| episodes.iter().any(of))?;
        Some(InstructionSuccess {
            instruction: instruction.text.clone(),
            is_held_out: instruction.is_held_out,
            goal: goal_names.get(goal_idx)?.clone(),
            at_end: count(&of, &|episode| episode.success_at_end[goal_idx]),
            ever: count(&of, &|episode| episode.success_ever[goal_idx]),
        })
    };
    let of_goal = |(goal_idx, goal): (usize, &String)| GoalSuccess {
        goal: goal.clone(),
        at_end: count(&|_| true, &|episode| episode.success_at_end[goal_idx]),
        ever: count(&|_| true, &|episode| episode.success_ever[goal_idx]),
    };
    let n = episodes.len();
    let mean = |value: &dyn Fn(&Episode) -> f64| episodes.iter().map(value).sum::<f64>() / n.max(1) as f64;
    EvalReport {
        goals: goal_names.iter().enumerate().map(of_goal).collect(),
        instructions: instructions.iter().enumerate().filter_map(of_instruction).collect(),
        mean_return: mean(&|episode| f64::from(episode.episode_return)),
        mean_steps: mean(&|episode| f64::from(episode.n_steps)),
        episodes,
    }
}

/// Wilson's score interval at 95% for a binomial proportion (Wilson 1927), `(low, high)` in [0, 1].
pub fn wilson_interval(n_success: usize, n: usize) -> (f64, f64) {
    if n == 0 {
        return (0.0, 1.0);
    }
    let (n, z) = (n as f64, 1.959_963_984_540_054_f64);
    let p = n_success as f64 / n;
    let centre = p + z * z / (2.0 * n);
    let spread = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z * z / n;
    (((centre - spread) / scale).max(0.0), ((centre + spread) / scale).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `statsmodels.stats.proportion.proportion_confint(8, 10, method="wilson")`, likewise the others.
    #[test]
    fn wilson_interval_matches_reference() {
        for (n_success, n, low, high) in
            [(8, 10, 0.490_162, 0.943_318), (0, 20, 0.0, 0.161_125), (50, 50, 0.928_652, 1.0)]
        {
            let got = wilson_interval(n_success, n);
            assert!((got.0 - low).abs() < 1e-5 && (got.1 - high).abs() < 1e-5, "{n_success}/{n}: {got:?}");
        }
    }
}
