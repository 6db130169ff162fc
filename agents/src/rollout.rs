//! Rollouts: the policy acts, the envs step, and meanwhile the reward worker scores the frames of earlier steps.
//!
//! Scores are written into their rows by step number before the update, so that results do not depend on timing.

use rand_pcg::Pcg64;
use sayso_envs::{Actions, AutoresetMode, Observations, StepBatch, VectorEnv};
use sayso_rewards::{LatestScore, RewardSchedule, RewardWorker, Score, ScoredStep};

use crate::Result;
use crate::gae::Trajectories;
use crate::normalize::ObservationNormalizer;
use crate::policy::{ActorCritic, NetworkInputs};

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
    /// `[n_rows, embed_dim]`: embeddings of the instructions, if they are observed.
    pub instruction_embeddings: Vec<f32>,
    /// `[n_rows]`: index of the instruction in the state after the action.
    pub instructions: Vec<u32>,
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
    /// Number of scores that were skipped because the reward model failed, in this session of training.
    pub n_skipped_scores: u64,
    /// Factor of the scores' part of the reward, and what is added to it, see [`StepBatch::score_weights`].
    terms: Vec<(f32, f32)>,
    /// Scores of the frames after the action; `None` where they were not scored.
    scores: Vec<Option<LatestScore>>,
    /// Scores of the first frame of the episode that starts in this row.
    first_scores: Vec<Option<LatestScore>>,
}

impl Rollout {
    /// An empty rollout.
    pub fn new(n_steps: usize, n_envs: usize) -> Self {
        Self {
            n_steps,
            n_envs,
            states: vec![],
            pixels: vec![],
            instruction_embeddings: vec![],
            instructions: vec![],
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
            n_skipped_scores: 0,
            terms: vec![],
            scores: vec![],
            first_scores: vec![],
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

    /// Copies the observations and actions of some rows into a minibatch.
    pub fn gather(&self, rows: &[usize]) -> (NetworkInputs, Actions) {
        let n_rows = self.n_rows();
        let actions = match &self.actions {
            Actions::Continuous(values) => Actions::Continuous(gather(values, rows, n_rows)),
            Actions::Discrete(choices) => Actions::Discrete(gather(choices, rows, n_rows)),
        };
        let inputs = NetworkInputs {
            n_rows: rows.len(),
            state: gather(&self.states, rows, n_rows),
            pixels: gather(&self.pixels, rows, n_rows),
            instruction_embedding: gather(&self.instruction_embeddings, rows, n_rows),
        };
        (inputs, actions)
    }

    fn clear(&mut self) {
        *self = Self {
            states: std::mem::take(&mut self.states),
            pixels: std::mem::take(&mut self.pixels),
            instruction_embeddings: std::mem::take(&mut self.instruction_embeddings),
            ..Self::new(self.n_steps, self.n_envs)
        };
        self.states.clear();
        self.pixels.clear();
        self.instruction_embeddings.clear();
    }

    fn write_scores(&mut self, step: usize, scores: &[Score]) {
        for &Score { row, score } in scores {
            let is_first = row.n_steps == 0;
            let column = if is_first { &mut self.first_scores } else { &mut self.scores };
            let score = LatestScore { score, text_idx: row.text_idx };
            column[step * self.n_envs + row.env_idx as usize] = Some(score);
        }
    }

    /// Turns scores into the rewards of every row. `latest` is `[n_envs]`: the latest score of each env's episode at the start
    /// of the rollout; it is updated to that at the end. `discount` is the factor of [`RewardSchedule::Potential`].
    pub fn resolve_scores(
        &mut self,
        schedule: RewardSchedule,
        discount: f32,
        latest: &mut [Option<LatestScore>],
    ) {
        for row in 0..self.n_rows() {
            let latest = &mut latest[row % self.n_envs];
            if self.is_reset[row] {
                (self.rewards[row], *latest) = (0.0, self.first_scores[row]);
                continue;
            }
            let is_last = self.done(row);
            let step = ScoredStep {
                score: self.scores[row].map(|it| it.score),
                text_idx: self.instructions[row],
                is_terminated: self.terminated[row],
                is_last,
            };
            let reward = schedule.reward(latest, step, discount);
            let (weight, offset) = self.terms[row];
            self.rewards[row] = if self.valid[row] { weight * reward + offset } else { 0.0 };
            if is_last {
                *latest = self.first_scores[row];
            }
        }
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
/// reward worker, frames are scored, and [`Rollout::resolve_scores`] must be called next; without one, rewards are the env's
/// own.
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
    let mut inputs = NetworkInputs::default();
    rollout.clear();
    for step in 0..rollout.n_steps {
        if let Some(normalizer) = normalizer.as_deref_mut() {
            normalizer.update(&batch.observations.state);
        }
        inputs.read(&batch.observations, n_envs, normalizer.as_deref());
        let sampled = policy.sample(&inputs, rng)?;
        rollout.states.extend_from_slice(&inputs.state);
        rollout.pixels.extend_from_slice(&inputs.pixels);
        rollout.instruction_embeddings.extend_from_slice(&inputs.instruction_embedding);
        append(&mut rollout.actions, sampled.actions);
        rollout.log_probs.extend(sampled.log_probs);
        rollout.values.extend(sampled.values);

        env.step(&sampled.env_actions, batch)?;
        push_outcome(rollout, batch, same_step);
        let last = if same_step { &batch.final_observations } else { &batch.observations };
        bootstrap(rollout, step, policy, normalizer.as_deref(), last)?;

        if let Some(worker) = worker.as_deref_mut() {
            let mut frames = worker.buffer()?;
            env.swap_reward_frames(&mut frames);
            if frames.rows.is_empty() {
                worker.return_buffer(frames);
            } else {
                worker.send(step as u64, frames)?;
            }
        }
    }
    if let Some(worker) = worker {
        rollout.n_skipped_scores =
            worker.drain(&mut |step, scores| rollout.write_scores(step as usize, scores))?;
    }
    inputs.read(&batch.observations, n_envs, normalizer.as_deref());
    rollout.next_values = policy.values(&inputs)?;
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
        // Without terms, the env's own reward has no part in that of the scores.
        let terms = batch.score_weights.get(env_idx).map_or((1.0, 0.0), |&weight| (weight, reward));
        rollout.terms.push(terms);
        rollout.terminated.push(batch.terminated[env_idx]);
        rollout.truncated.push(batch.truncated[env_idx]);
        rollout.valid.push(!is_reset && !quarantined);
        rollout.is_reset.push(is_reset);
        rollout.instructions.push(info.instruction.get(env_idx).copied().unwrap_or(0));
        rollout.final_values.push(0.0);
    }
    rollout.success.extend_from_slice(&info.success);
    rollout.scores.resize(rollout.rewards.len(), None);
    rollout.first_scores.resize(rollout.rewards.len(), None);
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
    let mut inputs = NetworkInputs {
        n_rows: timeouts.len(),
        state: gather(&last.state, &timeouts, n_envs),
        pixels: gather(last.first_pixels(), &timeouts, n_envs),
        instruction_embedding: gather(&last.instruction_embedding, &timeouts, n_envs),
    };
    inputs.normalize(normalizer);
    let values = policy.values(&inputs)?;
    for (env_idx, value) in timeouts.into_iter().zip(values) {
        rollout.final_values[first_row + env_idx] = value;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sayso_rewards::FrameRow;

    use super::*;

    fn of_text(score: f32) -> LatestScore {
        LatestScore { score, text_idx: 0 }
    }

    /// Two envs, three steps; steps 0 and 2 have scores; env 1's episode ended in step 1, and its next one started with a score.
    fn scored() -> Rollout {
        let scores = [Some(1.0), Some(2.0), None, None, Some(5.0), Some(6.0)].map(|score| score.map(of_text));
        Rollout {
            rewards: vec![0.0; 6],
            terminated: vec![false; 6],
            truncated: vec![false, false, false, true, false, false],
            valid: vec![true; 6],
            is_reset: vec![false; 6],
            instructions: vec![0; 6],
            terms: vec![(1.0, 0.0); 6],
            scores: scores.to_vec(),
            first_scores: vec![None, None, None, Some(of_text(4.0)), None, None],
            ..Rollout::new(3, 2)
        }
    }

    #[test]
    fn scores_of_an_earlier_rollout_are_kept_until_their_episode_ends() {
        let (mut rollout, mut latest) = (scored(), vec![Some(of_text(9.0)), Some(of_text(9.0))]);
        rollout.resolve_scores(RewardSchedule::HoldLast, 1.0, &mut latest);
        assert_eq!(rollout.rewards, [1.0, 2.0, 1.0, 2.0, 5.0, 6.0]);
        assert_eq!(latest, [Some(of_text(5.0)), Some(of_text(6.0))]);

        let (mut rollout, mut latest) = (scored(), vec![Some(of_text(7.0)), Some(of_text(8.0))]);
        rollout.scores.fill(None);
        rollout.first_scores.fill(None);
        rollout.resolve_scores(RewardSchedule::HoldLast, 1.0, &mut latest);
        assert_eq!(rollout.rewards, [7.0, 8.0, 7.0, 8.0, 7.0, 0.0], "the new episode of env 1 starts with 0");
        assert_eq!(latest, [Some(of_text(7.0)), None]);
    }

    #[test]
    fn scores_belong_to_the_instruction_of_their_episode() {
        let (mut rollout, mut latest) = (scored(), vec![Some(of_text(0.5)), Some(of_text(0.25))]);
        // The next episode of env 1 has another instruction, and so has the last step of env 0: a planner changed it.
        rollout.instructions = vec![0, 0, 0, 0, 1, 1];
        rollout.first_scores[3] = Some(LatestScore { score: 4.0, text_idx: 1 });
        for row in [4, 5] {
            rollout.scores[row] = rollout.scores[row].map(|it| LatestScore { text_idx: 1, ..it });
        }
        rollout.resolve_scores(RewardSchedule::Difference, 1.0, &mut latest);
        assert_eq!(rollout.rewards, [0.5, 1.75, 0.0, 0.0, 0.0, 2.0]);
        let of_other = |score| Some(LatestScore { score, text_idx: 1 });
        assert_eq!(latest, [of_other(5.0), of_other(6.0)]);
        rollout.write_scores(
            0,
            &[Score { row: FrameRow { n_steps: 3, text_idx: 7, ..FrameRow::default() }, score: 9.0 }],
        );
        assert_eq!(rollout.scores[0], Some(LatestScore { score: 9.0, text_idx: 7 }));
    }

    #[test]
    fn differences_begin_with_the_score_of_an_episodes_first_frame() {
        let (mut rollout, mut latest) = (scored(), vec![Some(of_text(0.5)), Some(of_text(0.25))]);
        rollout.resolve_scores(RewardSchedule::Difference, 1.0, &mut latest);
        assert_eq!(rollout.rewards, [0.5, 1.75, 0.0, 0.0, 4.0, 2.0]);
        assert_eq!(latest, [Some(of_text(5.0)), Some(of_text(6.0))]);
    }
}
