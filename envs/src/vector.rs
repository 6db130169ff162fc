//! The interface between environments and learners: a batch of environments that step together.

use sayso_rewards::RewardFrames;
use sayso_sim::Frames;
use serde::{Deserialize, Serialize};

use crate::instructions::Instruction;
use crate::space::{Actions, Space};
use crate::{EnvError, Result};

/// A batch of envs of one kind.
///
/// Conventions are those of Gymnasium 1.x. A step fills a caller-owned [`StepBatch`]; nothing is allocated once the
/// batch has its size.
pub trait VectorEnv: Send {
    /// Number of envs.
    fn n_envs(&self) -> usize;

    /// Space of one env's observation.
    fn single_observation_space(&self) -> &Space;

    /// Space of one env's action.
    fn single_action_space(&self) -> &Space;

    /// When envs whose episode has ended are reset.
    fn autoreset_mode(&self) -> AutoresetMode;

    /// Names of the task's goals; columns of [`StepInfo::success`].
    fn goal_names(&self) -> &[String];

    /// The instructions that episodes have or had; the columns [`Observations::instruction`] and [`StepInfo::instruction`] have
    /// indices into them. Both may be empty for envs without language.
    fn instructions(&self) -> &[Instruction] {
        &[]
    }

    /// Names of the task's further metrics; columns of [`StepInfo::metrics`].
    fn metric_names(&self) -> &[String];

    /// Starts a new episode in every env, or in those that the options' mask selects.
    ///
    /// # Errors
    /// If the mask or the seeds do not have one entry per env.
    fn reset(&mut self, options: &ResetOptions, out: &mut StepBatch) -> Result<()>;

    /// Advances every env by one control step.
    ///
    /// # Errors
    /// If the actions do not fit the action space, if an env was never reset, or, with
    /// [`AutoresetMode::Disabled`], if a finished env was not reset.
    fn step(&mut self, actions: &Actions, out: &mut StepBatch) -> Result<()>;

    /// Exchanges the frames that the last reset or step rendered for the reward model for buffers that the next step may
    /// render into. Empty if it rendered none. With [`AutoresetMode::SameStep`] they may include the first frames of the
    /// episodes that started, after the last ones of those that ended.
    fn swap_reward_frames(&mut self, frames: &mut RewardFrames);

    /// Renders the pixel observations of the current state, and fills in the instructions: after [`Self::restore`] those that
    /// were observed before [`Self::snapshot`]. The state vectors stay as they are.
    ///
    /// # Errors
    /// If the GPU fails.
    fn render_observations(&mut self, out: &mut Observations) -> Result<()>;

    /// The complete state, from which [`Self::restore`] continues bit-exactly.
    ///
    /// # Errors
    /// If the simulator cannot write its state.
    fn snapshot(&self) -> Result<Vec<u8>>;

    /// Restores a state that [`Self::snapshot`] returned.
    ///
    /// # Errors
    /// If the bytes are damaged or belong to another kind of env.
    fn restore(&mut self, snapshot: &[u8]) -> Result<()>;
}

/// When envs whose episode has ended are reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AutoresetMode {
    /// The step after the last one ignores its action and returns the first observation of the next episode, with
    /// reward 0 and both flags false.
    #[default]
    NextStep,
    /// The last step itself returns the first observation of the next episode;
    /// [`StepBatch::final_observations`] holds the last one of the ended episode.
    SameStep,
    /// Never; the caller resets with a mask.
    Disabled,
}

/// Seeds of the envs' random streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seed {
    /// One seed for the batch: env `i` uses stream `i` of it.
    Batch(u64),
    /// One seed per env, `[n_envs]`: an env with seed `s` has the same episodes as a batch of one env with seed `s`; an env
    /// without a seed continues its series of episodes.
    PerEnv(Vec<Option<u64>>),
}

impl Seed {
    /// The new key of one env's random streams; `None` keeps the old one.
    pub(crate) fn key(&self, env_idx: usize) -> Option<[u64; 2]> {
        match self {
            Self::Batch(seed) => Some([*seed, env_idx as u64]),
            Self::PerEnv(seeds) => seeds[env_idx].map(|seed| [seed, 0]),
        }
    }
}

impl From<u64> for Seed {
    fn from(seed: u64) -> Self {
        Self::Batch(seed)
    }
}

/// Options of a reset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResetOptions {
    /// New seeds for the envs that are reset, which start a new series of episodes. `None` continues the old series.
    pub seed: Option<Seed>,
    /// Which envs to reset, `[n_envs]`; all if `None`.
    pub mask: Option<Vec<bool>>,
}

/// Observations of a batch. Parts that the observation mode excludes are empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observations {
    /// `[n_envs, state_dim]` f32, row-major.
    pub state: Vec<f32>,
    /// For each camera `[n_envs, height, width, 3]` u8.
    pub pixels: Vec<Frames>,
    /// `[n_envs]`: index of each env's instruction in [`VectorEnv::instructions`], whether it is part of the observation space or
    /// not; empty for envs without language.
    pub instruction: Vec<u32>,
    /// `[n_envs, embed_dim]` f32: unit embeddings of the instructions, [`crate::InstructionForm::Embedding`].
    pub instruction_embedding: Vec<f32>,
    /// `[n_envs, goal_dim]` f32: the values of the goal that the agent has achieved.
    pub achieved_goal: Vec<f32>,
    /// `[n_envs, goal_dim]` f32: those that it is to achieve.
    pub desired_goal: Vec<f32>,
}

impl Observations {
    /// The pixels of the first camera, `[n_envs, height, width, 3]`; empty without one.
    pub fn first_pixels(&self) -> &[u8] {
        self.pixels.first().map_or(&[], Frames::pixels)
    }

    fn clear(&mut self) {
        let Self { state, pixels, instruction, instruction_embedding, achieved_goal, desired_goal } = self;
        pixels.iter_mut().for_each(|frames| frames.resize(0, 0, 0));
        instruction.clear();
        for column in [state, instruction_embedding, achieved_goal, desired_goal] {
            column.clear();
        }
    }

    fn append(&mut self, more: &Self) {
        self.state.extend_from_slice(&more.state);
        self.pixels.resize_with(more.pixels.len(), Frames::default);
        self.pixels.iter_mut().zip(&more.pixels).for_each(|(frames, more)| frames.append(more));
        self.instruction.extend_from_slice(&more.instruction);
        self.instruction_embedding.extend_from_slice(&more.instruction_embedding);
        self.achieved_goal.extend_from_slice(&more.achieved_goal);
        self.desired_goal.extend_from_slice(&more.desired_goal);
    }

    /// Sets the instruction of one env, and what it is to achieve; what is not observed is empty.
    pub(crate) fn set_instruction(
        &mut self,
        env_idx: usize,
        instruction: u32,
        embedding: &[f32],
        desired: &[f32],
    ) {
        self.instruction[env_idx] = instruction;
        set_row(&mut self.instruction_embedding, env_idx, embedding);
        set_row(&mut self.desired_goal, env_idx, desired);
    }
}

/// What a reset or a step returns, as columns over the envs.
#[derive(Clone, Debug, Default)]
pub struct StepBatch {
    /// Observations for the next action.
    pub observations: Observations,
    /// `[n_envs]` f32. With [`crate::RewardSource::Deferred`], whose frames are scored later, only what the terms of the
    /// reward add to the scores' part: 0 without terms.
    pub rewards: Vec<f32>,
    /// `[n_envs]` f32: factor of the scores' part of the reward; empty, which means 1, without terms
    /// ([`crate::ScoringConfig::terms`]).
    pub score_weights: Vec<f32>,
    /// `[n_envs]`: the task ended the episode; the value of the state after it is zero.
    pub terminated: Vec<bool>,
    /// `[n_envs]`: the time limit or a fault of the physics ended the episode; the value of the state after it is
    /// bootstrapped. If the task ended the episode in the same step, both flags are set, as by Gymnasium's `TimeLimit`, and
    /// that value is zero.
    pub truncated: Vec<bool>,
    /// `[n_envs, ..]`: the observation after the action and before the reset, valid where the episode ended. Filled in
    /// [`AutoresetMode::SameStep`] only; in the other modes `observations` holds it.
    pub final_observations: Observations,
    /// Ground truth and bookkeeping of the state after the action and before any reset.
    pub info: StepInfo,
    /// The same of the first state of the next episode, which `observations` describes; valid where the episode ended.
    /// Filled in [`AutoresetMode::SameStep`] only.
    pub restart_info: StepInfo,
}

impl StepBatch {
    /// Removes all rows and keeps the buffers.
    pub(crate) fn clear(&mut self) {
        let Self {
            observations,
            rewards,
            score_weights,
            terminated,
            truncated,
            final_observations,
            info,
            restart_info,
        } = self;
        score_weights.clear();
        observations.clear();
        final_observations.clear();
        rewards.clear();
        terminated.clear();
        truncated.clear();
        info.clear();
        restart_info.clear();
    }

    /// Appends the rows of further envs. `has_final`: whether to append final observations.
    pub(crate) fn append(&mut self, more: &Self, has_final: bool) {
        self.observations.append(&more.observations);
        if has_final {
            // Rows of envs whose episode continues are placeholders, so that the other rows keep their index.
            let has_ended = more.terminated.iter().chain(&more.truncated).any(|&has_ended| has_ended);
            let last = if has_ended { &more.final_observations } else { &more.observations };
            self.final_observations.append(last);
            self.restart_info.append(if has_ended { &more.restart_info } else { &more.info });
        }
        self.rewards.extend_from_slice(&more.rewards);
        self.score_weights.extend_from_slice(&more.score_weights);
        self.terminated.extend_from_slice(&more.terminated);
        self.truncated.extend_from_slice(&more.truncated);
        self.info.append(&more.info);
    }

    /// Whether an env's episode ended with this step.
    pub fn done(&self, env_idx: usize) -> bool {
        self.terminated[env_idx] || self.truncated[env_idx]
    }
}

/// Ground truth and bookkeeping of a step, describing the state after the action and before any reset.
///
/// For evaluation and logs; only a reward that is configured to be ground truth may use it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepInfo {
    /// `[n_envs, n_goals]`: whether each goal of the task is met in this state.
    pub success: Vec<bool>,
    /// `[n_envs, n_goals]` f32: the task's dense ground-truth reward for each goal.
    pub ground_truth_reward: Vec<f32>,
    /// `[n_envs, n_metrics]` f32: further measurements, see [`VectorEnv::metric_names`].
    pub metrics: Vec<f32>,
    /// `[n_envs]`: index of the instruction in [`VectorEnv::instructions`].
    pub instruction: Vec<u32>,
    /// `[n_envs]`: control steps since the episode's start.
    pub episode_steps: Vec<u32>,
    /// `[n_envs]`: this row is the first observation of an episode and no action led to it.
    pub is_reset: Vec<bool>,
    /// `[n_envs]`: the physics state is NaN or infinite; the episode was truncated and the env is reset.
    pub quarantined: Vec<bool>,
}

impl StepInfo {
    fn clear(&mut self) {
        let Self { success, ground_truth_reward, metrics, instruction, episode_steps, is_reset, quarantined } =
            self;
        success.clear();
        ground_truth_reward.clear();
        metrics.clear();
        instruction.clear();
        episode_steps.clear();
        is_reset.clear();
        quarantined.clear();
    }

    fn append(&mut self, more: &Self) {
        self.success.extend_from_slice(&more.success);
        self.ground_truth_reward.extend_from_slice(&more.ground_truth_reward);
        self.metrics.extend_from_slice(&more.metrics);
        self.instruction.extend_from_slice(&more.instruction);
        self.episode_steps.extend_from_slice(&more.episode_steps);
        self.is_reset.extend_from_slice(&more.is_reset);
        self.quarantined.extend_from_slice(&more.quarantined);
    }
}

/// Sets a row of a matrix.
pub(crate) fn set_row(matrix: &mut [f32], row: usize, values: &[f32]) {
    matrix[row * values.len()..][..values.len()].copy_from_slice(values);
}

/// Checks that the option `what` has one entry per env.
pub(crate) fn expect_len(what: &'static str, expected: usize, got: usize) -> Result<()> {
    if expected == got {
        return Ok(());
    }
    Err(EnvError::OutOfRange {
        field: what.to_owned(),
        got: format!("{got} values"),
        expected: format!("{expected} values, one per env"),
    })
}
