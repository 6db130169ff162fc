//! Rollouts: the policy acts, the envs step, and meanwhile the reward worker scores the frames of earlier steps.
//!
//! Scores are written into their rows by step number before the update, so that results do not depend on timing.

use std::collections::VecDeque;

use rand_pcg::Pcg64;
use sayso_envs::{Actions, AutoresetMode, Observations, StepBatch, VectorEnv};

use crate::gae::Trajectories;
use crate::normalize::ObservationNormalizer;
use crate::policy::ActorCritic;
use crate::scoring::{RewardSchedule, RewardWorker};
use crate::{AgentError, Result};

/// The columns of a rollout; a row is one step of one env, and rows are `[n_steps, n_envs]`, row-major.
#[derive(Clone, Debug)]
pub struct Rollout {
    /// Number of steps of each env.
    pub n_steps: usize,
    /// Number of envs.
    pub n_envs: usize,
    /// `[n_rows, state_dim]`: state observations as the policy received them, normalised if configured.
    pub states: Vec<f32>,
    /// `[n_rows, height, width, 3]`: pixel observations.
    pub pixels: Vec<u8>,
    /// Actions that the policy sampled, before clipping.
    pub actions: Actions,
    /// Log-densities of the actions.
    pub log_probs: Vec<f32>,
    /// Values of the observations.
    pub values: Vec<f32>,
    /// The env's rewards; after [`Self::resolve_scores`], rewards made of scores.
    pub rewards: Vec<f32>,
    /// The episode terminated.
    pub terminated: Vec<bool>,
    /// The episode was truncated.
    pub truncated: Vec<bool>,
    /// Values of the last observations of truncated episodes; 0 elsewhere.
    pub final_values: Vec<f32>,
    /// The row is a transition to train on: not a reset, and not a step in which the env was quarantined.
    pub valid: Vec<bool>,
    /// The row is the first observation of an episode, and no action led to it.
    pub is_reset: Vec<bool>,
    /// `[n_rows, n_goals]`: ground truth, for logs only.
    pub success: Vec<bool>,
    /// `[n_envs]`: values of the observations after the last step.
    pub next_values: Vec<f32>,
    /// `[n_steps]`: whether the step's frames were scored.
    has_score: Vec<bool>,
}

impl Rollout {
    /// An empty rollout.
    pub fn new(n_steps: usize, n_envs: usize) -> Self {
        Self {
            n_steps,
            n_envs,
            states: vec![],
            pixels: vec![],
            actions: Actions::Discrete(vec![]),
            log_probs: vec![],
            values: vec![],
            rewards: vec![],
            terminated: vec![],
            truncated: vec![],
            final_values: vec![],
            valid: vec![],
            is_reset: vec![],
            success: vec![],
            next_values: vec![],
            has_score: vec![],
        }
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.rewards.len()
    }

    /// Whether an episode ended with this row.
    pub fn done(&self, row: usize) -> bool {
        self.terminated[row] || self.truncated[row]
    }

    /// The columns that advantages are estimated from, with the given rewards, which may be normalised.
    pub fn trajectories<'a>(&'a self, rewards: &'a [f32]) -> Trajectories<'a> {
        Trajectories {
            n_envs: self.n_envs,
            rewards,
            values: &self.values,
            terminated: &self.terminated,
            truncated: &self.truncated,
            final_values: &self.final_values,
            valid: &self.valid,
            next_values: &self.next_values,
        }
    }

    /// Copies the observations and actions of some rows into a minibatch: `(states, pixels, actions)`.
    pub fn gather(&self, rows: &[usize]) -> (Vec<f32>, Vec<u8>, Actions) {
        let actions = match &self.actions {
            Actions::Continuous(values) => Actions::Continuous(gather(values, rows, self.n_rows())),
            Actions::Discrete(choices) => Actions::Discrete(gather(choices, rows, self.n_rows())),
        };
        (gather(&self.states, rows, self.n_rows()), gather(&self.pixels, rows, self.n_rows()), actions)
    }

    fn clear(&mut self) {
        *self = Self {
            states: std::mem::take(&mut self.states),
            pixels: std::mem::take(&mut self.pixels),
            ..Self::new(self.n_steps, self.n_envs)
        };
        self.states.clear();
        self.pixels.clear();
    }

    fn write_score(&mut self, step: usize, scores: &[f32]) -> Result<()> {
        if scores.len() != self.n_envs {
            return Err(AgentError::Mismatch {
                what: "scores of a step",
                expected: format!("{} values, one per env", self.n_envs),
                got: format!("{}", scores.len()),
            });
        }
        if let Some(score) = scores.iter().find(|score| !score.is_finite()) {
            return Err(AgentError::Mismatch {
                what: "scores of a step",
                expected: "finite values".to_owned(),
                got: format!("{score}"),
            });
        }
        self.rewards[step * self.n_envs..][..self.n_envs].copy_from_slice(scores);
        self.has_score[step] = true;
        Ok(())
    }

    /// Turns scores into the rewards of every row. `last` is `[n_envs]`: the latest score of each env's episode at the
    /// start of the rollout (0 without one); it is updated to the latest score at the end of the rollout.
    ///
    /// # Errors
    /// If an episode ended without a score that its reward needs.
    pub fn resolve_scores(&mut self, schedule: RewardSchedule, last: &mut [f32]) -> Result<()> {
        for row in 0..self.n_rows() {
            let (step, env_idx) = (row / self.n_envs, row % self.n_envs);
            let done = self.done(row);
            match schedule {
                _ if self.is_reset[row] => (self.rewards[row], last[env_idx]) = (0.0, 0.0),
                RewardSchedule::HoldLast => {
                    if self.has_score[step] {
                        last[env_idx] = self.rewards[row];
                    }
                    self.rewards[row] = last[env_idx];
                    if done {
                        last[env_idx] = 0.0;
                    }
                }
                RewardSchedule::EpisodeEnd if done && !self.has_score[step] && self.valid[row] => {
                    return Err(AgentError::Mismatch {
                        what: "frames for the reward model",
                        expected: "frames at the end of every episode".to_owned(),
                        got: "none".to_owned(),
                    });
                }
                RewardSchedule::EpisodeEnd => {
                    if !done || !self.has_score[step] {
                        self.rewards[row] = 0.0;
                    }
                }
            }
        }
        Ok(())
    }
}

fn gather<T: Copy>(values: &[T], rows: &[usize], n_rows: usize) -> Vec<T> {
    let width = values.len() / n_rows.max(1);
    let mut out = Vec::with_capacity(rows.len() * width);
    for &row in rows {
        out.extend_from_slice(&values[row * width..][..width]);
    }
    out
}

/// Fills `rollout` with `n_steps` steps of every env. `batch` holds the current observations before and after. With a
/// reward worker, the rewards of steps with frames are their scores, and [`Rollout::resolve_scores`] must be called next;
/// without one, rewards are the env's own. With [`RewardSchedule::EpisodeEnd`], only steps in which an episode ended are
/// scored.
///
/// # Errors
/// If the env, the policy or the scorer fails.
pub fn collect(
    env: &mut dyn VectorEnv,
    policy: &ActorCritic,
    mut normalizer: Option<&mut ObservationNormalizer>,
    rng: &mut Pcg64,
    mut worker: Option<&mut RewardWorker>,
    batch: &mut StepBatch,
    rollout: &mut Rollout,
) -> Result<()> {
    let n_envs = rollout.n_envs;
    let same_step = env.autoreset_mode() == AutoresetMode::SameStep;
    let mut waiting_steps = VecDeque::new();
    let mut states = Vec::new();
    rollout.clear();
    for step in 0..rollout.n_steps {
        states.clone_from(&batch.observations.state);
        if let Some(normalizer) = normalizer.as_deref_mut() {
            normalizer.update(&states);
            normalizer.normalize(&mut states);
        }
        let sampled = policy.sample(&states, batch.observations.pixels.pixels(), n_envs, rng)?;
        rollout.states.extend_from_slice(&states);
        rollout.pixels.extend_from_slice(batch.observations.pixels.pixels());
        append(&mut rollout.actions, sampled.actions);
        rollout.log_probs.extend(sampled.log_probs);
        rollout.values.extend(sampled.values);

        env.step(&sampled.env_actions, batch)?;
        push_outcome(rollout, batch, same_step);
        let last = if same_step { &batch.final_observations } else { &batch.observations };
        bootstrap(rollout, step, policy, normalizer.as_deref(), last)?;

        if let Some(worker) = worker.as_deref_mut() {
            // Scores arrive in the order of the steps, so each belongs to the oldest step that waits for one.
            let mut write = |scores: Vec<f32>| match waiting_steps.pop_front() {
                Some(waiting) => rollout.write_score(waiting, &scores),
                None => Ok(()),
            };
            let mut frames = worker.buffer(&mut write)?;
            env.swap_reward_frames(&mut frames);
            let is_scored = worker.schedule() == RewardSchedule::HoldLast
                || (0..n_envs).any(|env_idx| batch.done(env_idx));
            if frames.n_views() == 0 || !is_scored {
                worker.return_buffer(frames);
            } else {
                worker.send(frames)?;
                waiting_steps.push_back(step);
            }
        }
    }
    if let Some(worker) = worker {
        worker.drain(&mut |scores| match waiting_steps.pop_front() {
            Some(waiting) => rollout.write_score(waiting, &scores),
            None => Ok(()),
        })?;
    }
    states.clone_from(&batch.observations.state);
    if let Some(normalizer) = normalizer {
        normalizer.normalize(&mut states);
    }
    rollout.next_values = policy.values(&states, batch.observations.pixels.pixels(), n_envs)?;
    Ok(())
}

fn append(all: &mut Actions, more: Actions) {
    match (all, more) {
        (Actions::Continuous(all), Actions::Continuous(more)) => all.extend(more),
        (Actions::Discrete(all), Actions::Discrete(more)) => all.extend(more),
        (all, more) => *all = more,
    }
}

fn push_outcome(rollout: &mut Rollout, batch: &StepBatch, same_step: bool) {
    let info = &batch.info;
    for env_idx in 0..rollout.n_envs {
        let is_reset = !same_step && info.is_reset[env_idx];
        let quarantined = info.quarantined.get(env_idx).copied().unwrap_or(false);
        let reward = if quarantined || is_reset { 0.0 } else { batch.rewards[env_idx] };
        rollout.rewards.push(reward);
        rollout.terminated.push(batch.terminated[env_idx]);
        rollout.truncated.push(batch.truncated[env_idx]);
        rollout.valid.push(!is_reset && !quarantined);
        rollout.is_reset.push(is_reset);
        rollout.final_values.push(0.0);
    }
    rollout.success.extend_from_slice(&info.success);
    rollout.has_score.push(false);
}

/// Computes the values of the last observations of the episodes that were truncated in this step.
fn bootstrap(
    rollout: &mut Rollout,
    step: usize,
    policy: &ActorCritic,
    normalizer: Option<&ObservationNormalizer>,
    last: &Observations,
) -> Result<()> {
    let n_envs = rollout.n_envs;
    let first_row = step * n_envs;
    let timeouts: Vec<usize> = (0..n_envs)
        .filter(|env_idx| {
            let row = first_row + env_idx;
            rollout.truncated[row] && !rollout.terminated[row] && rollout.valid[row]
        })
        .collect();
    if timeouts.is_empty() {
        return Ok(());
    }
    let mut states = gather(&last.state, &timeouts, n_envs);
    if let Some(normalizer) = normalizer {
        normalizer.normalize(&mut states);
    }
    let pixels = gather(last.pixels.pixels(), &timeouts, n_envs);
    let values = policy.values(&states, &pixels, timeouts.len())?;
    for (env_idx, value) in timeouts.into_iter().zip(values) {
        rollout.final_values[first_row + env_idx] = value;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two envs, three steps; steps 0 and 2 have scores; env 1's episode ended in step 1.
    fn scored() -> Rollout {
        Rollout {
            rewards: vec![1.0, 2.0, 0.0, 0.0, 5.0, 6.0],
            terminated: vec![false; 6],
            truncated: vec![false, false, false, true, false, false],
            valid: vec![true; 6],
            is_reset: vec![false; 6],
            has_score: vec![true, false, true],
            ..Rollout::new(3, 2)
        }
    }

    #[test]
    fn hold_last_repeats_a_score_until_the_next_one_or_the_end_of_the_episode() {
        let (mut rollout, mut last) = (scored(), vec![9.0, 9.0]);
        rollout.resolve_scores(RewardSchedule::HoldLast, &mut last).expect("resolve");
        assert_eq!(rollout.rewards, [1.0, 2.0, 1.0, 2.0, 5.0, 6.0]);
        assert_eq!(last, [5.0, 6.0]);

        let (mut rollout, mut last) = (scored(), vec![7.0, 8.0]);
        rollout.has_score = vec![false; 3];
        rollout.rewards.fill(0.0);
        rollout.resolve_scores(RewardSchedule::HoldLast, &mut last).expect("resolve");
        assert_eq!(rollout.rewards, [7.0, 8.0, 7.0, 8.0, 7.0, 0.0], "the new episode of env 1 starts with 0");
        assert_eq!(last, [7.0, 0.0]);
    }

    #[test]
    fn episode_end_rewards_only_the_last_step_of_an_episode() {
        let (mut rollout, mut last) = (scored(), vec![0.0, 0.0]);
        rollout.truncated = vec![false, true, false, false, true, false];
        rollout.resolve_scores(RewardSchedule::EpisodeEnd, &mut last).expect("resolve");
        assert_eq!(rollout.rewards, [0.0, 2.0, 0.0, 0.0, 5.0, 0.0]);
        let error =
            scored().resolve_scores(RewardSchedule::EpisodeEnd, &mut last).expect_err("no frames in step 1");
        assert!(error.to_string().contains("at the end of every episode"), "{error}");
    }

    #[test]
    fn scores_must_be_one_finite_number_per_env() {
        let mut rollout = scored();
        assert!(rollout.write_score(1, &[1.0]).is_err());
        assert!(rollout.write_score(1, &[1.0, f32::NAN]).is_err());
        rollout.write_score(1, &[3.0, 4.0]).expect("a score");
        assert_eq!(rollout.rewards[2..4], [3.0, 4.0]);
    }
}
