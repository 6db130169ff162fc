//! Steps of the envs, collected between two updates: an algorithm acts, the envs step, and meanwhile the reward worker scores the
//! frames of earlier steps.
//!
//! Scores are written into their rows by step number before they are used, so that results do not depend on timing.

use sayso_envs::{AutoresetMode, StepBatch, VectorEnv};
use sayso_rewards::{LatestScore, RewardSchedule, RewardWorker, Score, ScoredStep};

use crate::Result;
use crate::algorithm::Algorithm;

/// The columns of collected steps; a row is one step of one env, and rows are `[n_steps, n_envs]`, row-major.
#[derive(Clone, Debug)]
pub struct Steps {
    /// Number of envs.
    pub n_envs: usize,
    /// `[n_rows]`: index of the instruction in the state after the action.
    pub instructions: Vec<u32>,
    /// The env's rewards; after [`Self::resolve_scores`], rewards made of scores.
    pub rewards: Vec<f32>,
    /// The episode terminated.
    pub terminated: Vec<bool>,
    /// The episode was truncated.
    pub truncated: Vec<bool>,
    /// The row is a transition to train on: not a reset, and not a step in which the env was quarantined.
    pub valid: Vec<bool>,
    /// The row is the first observation of an episode, and no action led to it.
    pub is_reset: Vec<bool>,
    /// `[n_rows, n_goals]`: ground truth, for logs only.
    pub success: Vec<bool>,
    /// Number of scores that were skipped because the reward model failed, in this session of training.
    pub n_skipped_scores: u64,
    /// Factor of the scores' part of the reward, and what is added to it, see [`StepBatch::score_weights`].
    terms: Vec<(f32, f32)>,
    /// Scores of the frames after the action; `None` where they were not scored.
    scores: Vec<Option<LatestScore>>,
    /// Scores of the first frame of the episode that starts in this row.
    first_scores: Vec<Option<LatestScore>>,
}

/// What a step of all envs led to; columns are `[n_envs]`.
#[derive(Clone, Copy, Debug)]
pub struct StepFlags<'a> {
    /// The episode terminated.
    pub terminated: &'a [bool],
    /// The episode was truncated.
    pub truncated: &'a [bool],
    /// See [`Steps::valid`].
    pub valid: &'a [bool],
}

impl Steps {
    /// No steps of `n_envs` envs.
    pub fn new(n_envs: usize) -> Self {
        Self {
            n_envs,
            instructions: vec![],
            rewards: vec![],
            terminated: vec![],
            truncated: vec![],
            valid: vec![],
            is_reset: vec![],
            success: vec![],
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

    /// The flags of the last step.
    pub fn last_flags(&self) -> StepFlags<'_> {
        let first = self.n_rows() - self.n_envs;
        StepFlags {
            terminated: &self.terminated[first..],
            truncated: &self.truncated[first..],
            valid: &self.valid[first..],
        }
    }

    /// Mean reward of the transitions.
    pub fn mean_reward(&self) -> f64 {
        let valid = self.rewards.iter().zip(&self.valid).filter(|(_, valid)| **valid);
        let (sum, n) = valid.fold((0.0, 0_usize), |(sum, n), (reward, _)| (sum + f64::from(*reward), n + 1));
        sum / n.max(1) as f64
    }

    fn push(&mut self, batch: &StepBatch, same_step: bool) {
        let info = &batch.info;
        for env_idx in 0..self.n_envs {
            let is_reset = !same_step && info.is_reset[env_idx];
            let quarantined = info.quarantined.get(env_idx).copied().unwrap_or(false);
            let reward = if quarantined || is_reset { 0.0 } else { batch.rewards[env_idx] };
            self.rewards.push(reward);
            // Without terms, the env's own reward has no part in that of the scores.
            let terms = batch.score_weights.get(env_idx).map_or((1.0, 0.0), |&weight| (weight, reward));
            self.terms.push(terms);
            self.terminated.push(batch.terminated[env_idx]);
            self.truncated.push(batch.truncated[env_idx]);
            self.valid.push(!is_reset && !quarantined);
            self.is_reset.push(is_reset);
            self.instructions.push(info.instruction.get(env_idx).copied().unwrap_or(0));
        }
        self.success.extend_from_slice(&info.success);
        self.scores.resize(self.rewards.len(), None);
        self.first_scores.resize(self.rewards.len(), None);
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
    /// of these steps; it is updated to that at the end. `discount` is the factor of [`RewardSchedule::Potential`].
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

/// Replaces `steps` by `n_steps` steps of every env. `batch` holds the current observations before and after. With a
/// reward worker, frames are sent to it; [`receive_scores`] must be called next. Without one, rewards are the env's own.
///
/// # Errors
/// If the env, the algorithm or the scorer fails.
pub fn collect(
    env: &mut dyn VectorEnv,
    algorithm: &mut dyn Algorithm,
    mut worker: Option<&mut RewardWorker>,
    batch: &mut StepBatch,
    steps: &mut Steps,
    n_steps: usize,
) -> Result<()> {
    let same_step = env.autoreset_mode() == AutoresetMode::SameStep;
    *steps = Steps::new(steps.n_envs);
    for step in 0..n_steps {
        let actions = algorithm.act(&batch.observations)?;
        env.step(&actions, batch)?;
        steps.push(batch, same_step);
        let last = if same_step { &batch.final_observations } else { &batch.observations };
        algorithm.observe(&steps.last_flags(), last)?;

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
    Ok(())
}

/// Waits for the scores of the collected steps, and turns them into rewards. `latest` and `discount` are those of
/// [`Steps::resolve_scores`].
///
/// # Errors
/// If the scorer fails.
pub fn receive_scores(
    worker: &mut RewardWorker,
    discount: f32,
    latest: &mut [Option<LatestScore>],
    steps: &mut Steps,
) -> Result<()> {
    steps.n_skipped_scores = worker.drain(&mut |step, scores| steps.write_scores(step as usize, scores))?;
    steps.resolve_scores(worker.plan().schedule(), discount, latest);
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
    fn scored() -> Steps {
        let scores = [Some(1.0), Some(2.0), None, None, Some(5.0), Some(6.0)].map(|score| score.map(of_text));
        Steps {
            rewards: vec![0.0; 6],
            terminated: vec![false; 6],
            truncated: vec![false, false, false, true, false, false],
            valid: vec![true; 6],
            is_reset: vec![false; 6],
            instructions: vec![0; 6],
            terms: vec![(1.0, 0.0); 6],
            scores: scores.to_vec(),
            first_scores: vec![None, None, None, Some(of_text(4.0)), None, None],
            ..Steps::new(2)
        }
    }

    #[test]
    fn scores_of_an_earlier_steps_are_kept_until_their_episode_ends() {
        let (mut steps, mut latest) = (scored(), vec![Some(of_text(9.0)), Some(of_text(9.0))]);
        steps.resolve_scores(RewardSchedule::HoldLast, 1.0, &mut latest);
        assert_eq!(steps.rewards, [1.0, 2.0, 1.0, 2.0, 5.0, 6.0]);
        assert_eq!(latest, [Some(of_text(5.0)), Some(of_text(6.0))]);

        let (mut steps, mut latest) = (scored(), vec![Some(of_text(7.0)), Some(of_text(8.0))]);
        steps.scores.fill(None);
        steps.first_scores.fill(None);
        steps.resolve_scores(RewardSchedule::HoldLast, 1.0, &mut latest);
        assert_eq!(steps.rewards, [7.0, 8.0, 7.0, 8.0, 7.0, 0.0], "the new episode of env 1 starts with 0");
        assert_eq!(latest, [Some(of_text(7.0)), None]);
    }

    #[test]
    fn scores_belong_to_the_instruction_of_their_episode() {
        let (mut steps, mut latest) = (scored(), vec![Some(of_text(0.5)), Some(of_text(0.25))]);
        // The next episode of env 1 has another instruction, and so has the last step of env 0: a planner changed it.
        steps.instructions = vec![0, 0, 0, 0, 1, 1];
        steps.first_scores[3] = Some(LatestScore { score: 4.0, text_idx: 1 });
        for row in [4, 5] {
            steps.scores[row] = steps.scores[row].map(|it| LatestScore { text_idx: 1, ..it });
        }
        steps.resolve_scores(RewardSchedule::Difference, 1.0, &mut latest);
        assert_eq!(steps.rewards, [0.5, 1.75, 0.0, 0.0, 0.0, 2.0]);
        let of_other = |score| Some(LatestScore { score, text_idx: 1 });
        assert_eq!(latest, [of_other(5.0), of_other(6.0)]);
        steps.write_scores(
            0,
            &[Score { row: FrameRow { n_steps: 3, text_idx: 7, ..FrameRow::default() }, score: 9.0 }],
        );
        assert_eq!(steps.scores[0], Some(LatestScore { score: 9.0, text_idx: 7 }));
    }

    #[test]
    fn differences_begin_with_the_score_of_an_episodes_first_frame() {
        let (mut steps, mut latest) = (scored(), vec![Some(of_text(0.5)), Some(of_text(0.25))]);
        steps.resolve_scores(RewardSchedule::Difference, 1.0, &mut latest);
        assert_eq!(steps.rewards, [0.5, 1.75, 0.0, 0.0, 4.0, 2.0]);
        assert_eq!(latest, [Some(of_text(5.0)), Some(of_text(6.0))]);
    }
}
