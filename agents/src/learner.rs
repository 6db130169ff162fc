//! The state of training between updates, and its conversion to and from a checkpoint.

use rand::SeedableRng;
use rand_pcg::Pcg64;
use sayso_envs::{ResetOptions, StepBatch, VectorEnv};
use sayso_rewards::{EnvHistory, LatestScore, RewardFrames, RewardWorker, Score, Scorer};
use sayso_sim::sealed::{seal, unseal};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::algorithm::Algorithm;
use crate::checkpoint::{BestCheckpoint, Checkpoint, Header, SavedState};
use crate::config::TrainConfig;
use crate::episodes::{EpisodeTracker, RecentEpisodes};
use crate::policy::PolicySpaces;
use crate::steps::Steps;

/// Names of the saved tensors of the loop.
const REWARD: &str = "reward";
const OBSERVATIONS: &str = "observations";
const ENVS: &str = "envs";

/// The state of a training run.
pub(crate) struct Learner {
    pub algorithm: Box<dyn Algorithm>,
    pub spaces: PolicySpaces,
    /// The current observations.
    pub batch: StepBatch,
    /// `[n_envs]`: the latest score of each env's episode.
    pub latest_scores: Vec<Option<LatestScore>>,
    pub tracker: EpisodeTracker,
    pub recent: RecentEpisodes,
    pub n_updates: u64,
    pub n_steps: u64,
    /// The best checkpoint so far.
    pub best: Option<BestCheckpoint>,
}

/// What the rewards of further steps depend on.
#[derive(Serialize, Deserialize)]
struct RewardState {
    latest_scores: Vec<Option<LatestScore>>,
    /// `[n_envs]`; see [`RewardWorker::save_histories`].
    histories: Vec<Option<EnvHistory>>,
}

/// The algorithm at the start of a training run.
pub(crate) fn start_algorithm(
    spaces: &PolicySpaces,
    n_envs: usize,
    config: &TrainConfig,
) -> Result<Box<dyn Algorithm>> {
    config.options()?.start(spaces, n_envs, &mut Pcg64::seed_from_u64(config.seed))
}

impl Learner {
    /// Starts the algorithm, resets the envs, and scores the first frames of their episodes if rewards depend on them.
    pub fn start(env: &mut dyn VectorEnv, config: &TrainConfig, scorer: Option<&mut Scorer>) -> Result<Self> {
        let (n_envs, spaces) = (env.n_envs(), PolicySpaces::of(env)?);
        let algorithm = start_algorithm(&spaces, n_envs, config)?;
        let mut batch = StepBatch::default();
        env.reset(&ResetOptions { seed: Some(config.seed.into()), mask: None }, &mut batch)?;
        let mut latest_scores = vec![None; n_envs];
        if let Some(scorer) = scorer {
            let (mut frames, mut scores) = (RewardFrames::default(), Vec::new());
            env.swap_reward_frames(&mut frames);
            scorer.score(&frames, &mut scores)?;
            for Score { row, score } in scores {
                latest_scores[row.env_idx as usize] = Some(LatestScore { score, text_idx: row.text_idx });
            }
        }
        Ok(Self {
            algorithm,
            spaces,
            batch,
            latest_scores,
            tracker: EpisodeTracker::new(n_envs, env.goal_names().len()),
            recent: RecentEpisodes::new(config.n_report_episodes),
            n_updates: 0,
            n_steps: 0,
            best: None,
        })
    }

    /// Restores the state of a checkpoint, envs included.
    pub fn resume(
        env: &mut dyn VectorEnv,
        config: &TrainConfig,
        checkpoint: &Checkpoint,
        scorer: Option<&mut Scorer>,
    ) -> Result<Self> {
        let (Header { tracker, recent, spaces, .. }, saved) = (checkpoint.header(), checkpoint.run());
        spaces.check_fits(env)?;
        saved.expect_equal("train.algorithm", &config.algorithm, &checkpoint.config().algorithm)?;
        let n_envs = env.n_envs();
        saved.expect_equal("number of envs", &n_envs, &tracker.n_envs())?;
        saved.expect_equal("number of goals", &env.goal_names().len(), &tracker.n_goals())?;
        let mut algorithm = start_algorithm(spaces, n_envs, config)?;
        algorithm.load(checkpoint.algorithm())?;

        let state: RewardState = unseal(saved.bytes(REWARD)?)
            .map_err(|error| saved.error(format!("the state of the reward: {error}")))?;
        let RewardState { latest_scores, histories } = state;
        saved.expect_equal("number of scores", &n_envs, &latest_scores.len())?;
        if latest_scores.iter().flatten().any(|latest| !latest.score.is_finite()) {
            return Err(saved.error("a score is NaN or infinite".to_owned()));
        }
        if let Some(scorer) = scorer.as_deref() {
            saved.expect_equal("number of reward histories", &scorer.n_envs(), &histories.len())?;
            histories.iter().try_for_each(|history| scorer.check_history(history.as_ref()))?;
        }
        let mut batch = StepBatch::default();
        batch.observations.state = saved.f32_values(OBSERVATIONS)?;
        let n_values = n_envs * spaces.state_dim;
        saved.expect_equal("number of state values", &n_values, &batch.observations.state.len())?;
        // Nothing of the caller's is changed before everything is checked.
        env.restore(saved.bytes(ENVS)?)?;
        env.render_observations(&mut batch.observations)?;
        if let Some(scorer) = scorer {
            for (env_idx, history) in histories.iter().enumerate() {
                scorer.load_history(env_idx, history.as_ref());
            }
        }
        Ok(Self {
            algorithm,
            spaces: spaces.clone(),
            batch,
            latest_scores,
            tracker: tracker.clone(),
            recent: recent.clone(),
            n_updates: checkpoint.n_updates(),
            n_steps: checkpoint.n_steps(),
            best: checkpoint.best(),
        })
    }

    /// The complete state, envs included.
    pub fn checkpoint(
        &self,
        env: &dyn VectorEnv,
        worker: Option<&mut RewardWorker>,
        config: &TrainConfig,
    ) -> Result<Checkpoint> {
        let (mut run, mut algorithm) = (SavedState::default(), SavedState::default());
        self.algorithm.save(&mut algorithm)?;
        let histories = match worker {
            Some(worker) => worker.save_histories()?,
            None => vec![None; self.latest_scores.len()],
        };
        let state = RewardState { latest_scores: self.latest_scores.clone(), histories };
        run.add_bytes(REWARD, seal(&state).map_err(sayso_envs::EnvError::from)?);
        run.add_f32(OBSERVATIONS, &self.batch.observations.state);
        run.add_bytes(ENVS, env.snapshot()?);
        let header = Header {
            config: config.clone(),
            spaces: self.spaces.clone(),
            n_updates: self.n_updates,
            n_steps: self.n_steps,
            tracker: self.tracker.clone(),
            recent: self.recent.clone(),
            best: self.best,
        };
        Ok(Checkpoint::new(header, run, algorithm))
    }

    /// Makes the checkpoint of the present state the best one if its mean training reward is the highest so far.
    pub fn note_best(&mut self) {
        let Some(mean_return) = self.recent.mean_return() else { return };
        if self.best.is_none_or(|best| mean_return > best.mean_return) {
            self.best = Some(BestCheckpoint { n_steps: self.n_steps, mean_return });
        }
    }

    /// Adds the steps to the episode statistics.
    pub fn record_episodes(&mut self, steps: &Steps) {
        let n_goals = self.tracker.n_goals();
        for row in (0..steps.n_rows()).filter(|&row| !steps.is_reset[row]) {
            let success = &steps.success[row * n_goals..][..n_goals];
            let env_idx = row % steps.n_envs;
            let (reward, instruction) = (steps.rewards[row], steps.instructions[row]);
            let ended = self.tracker.record(env_idx, reward, success, instruction, steps.done(row));
            if let Some(episode) = ended {
                self.recent.push(episode);
            }
        }
    }
}
