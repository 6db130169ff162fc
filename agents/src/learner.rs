//! The state of training between updates, and its conversion to and from a checkpoint.

use candle_core::Device;
use rand::SeedableRng;
use rand_pcg::Pcg64;
use sayso_envs::{ResetOptions, StepBatch, VectorEnv};
use sayso_rewards::nn::Adam;
use sayso_rewards::{EnvHistory, LatestScore, RewardFrames, RewardWorker, Score, Scorer};
use sayso_sim::sealed::{seal, unseal};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::checkpoint::{BestCheckpoint, Checkpoint, Header, TensorData};
use crate::config::TrainConfig;
use crate::episodes::{EpisodeTracker, RecentEpisodes};
use crate::normalize::{ObservationNormalizer, RewardNormalizer, RunningMoments};
use crate::policy::{ActorCritic, PolicySpec, TrainedPolicy};
use crate::rollout::Rollout;

/// The state of a training run.
pub(crate) struct Learner {
    pub policy: ActorCritic,
    pub adam: Adam,
    pub observation_normalizer: Option<ObservationNormalizer>,
    pub reward_normalizer: Option<RewardNormalizer>,
    pub action_rng: Pcg64,
    pub shuffle_rng: Pcg64,
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

/// The initial network of a training run.
pub(crate) fn fresh_network(
    env: &dyn VectorEnv,
    config: &TrainConfig,
    rng: &mut Pcg64,
) -> Result<ActorCritic> {
    let network = config.ppo.network.clone();
    let spec = PolicySpec::new(network, env.single_observation_space(), env.single_action_space())?;
    ActorCritic::new(spec, rng, &Device::Cpu)
}

impl Learner {
    /// Initialises a policy, resets the envs, and scores the first frames of their episodes if rewards depend on them.
    pub fn start(env: &mut dyn VectorEnv, config: &TrainConfig, scorer: Option<&mut Scorer>) -> Result<Self> {
        let mut rng = Pcg64::seed_from_u64(config.seed);
        let policy = fresh_network(env, config, &mut rng)?;
        let (n_envs, state_dim) = (env.n_envs(), policy.spec().state_dim);
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
            adam: Adam::new(policy.parameters())?,
            policy,
            observation_normalizer: config
                .ppo
                .normalize_observations
                .then(|| ObservationNormalizer::new(state_dim)),
            reward_normalizer: config.ppo.normalize_rewards.then(|| RewardNormalizer::new(n_envs)),
            action_rng: Pcg64::from_rng(&mut rng),
            shuffle_rng: Pcg64::from_rng(&mut rng),
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
        let Header { tracker, recent, .. } = checkpoint.header();
        let policy = checkpoint.network()?;
        policy.check_fits(env.single_observation_space(), env.single_action_space())?;
        checkpoint.expect_equal("train.ppo.network", &config.ppo.network, &policy.spec().network)?;
        let saved = &checkpoint.config().ppo;
        let (observations, rewards) = (config.ppo.normalize_observations, config.ppo.normalize_rewards);
        checkpoint.expect_equal(
            "train.ppo.normalize_observations",
            &observations,
            &saved.normalize_observations,
        )?;
        checkpoint.expect_equal("train.ppo.normalize_rewards", &rewards, &saved.normalize_rewards)?;
        let n_envs = env.n_envs();
        checkpoint.expect_equal("number of envs", &n_envs, &tracker.n_envs())?;
        checkpoint.expect_equal("number of goals", &env.goal_names().len(), &tracker.n_goals())?;

        let mut adam = Adam::new(policy.parameters())?;
        let mut moments = Vec::with_capacity(policy.parameters().iter().len());
        for (name, var) in policy.parameters().iter() {
            moments.push(checkpoint.tensor(
                &format!("adam.{name}"),
                &[2, var.elem_count()],
                policy.device(),
            )?);
        }
        adam.set_state(moments, checkpoint.header().adam_steps);
        let reward_normalizer = if rewards {
            let moments = checkpoint.f64_values("rewards.moments")?;
            let returns = checkpoint.f64_values("rewards.returns")?;
            checkpoint.expect_equal("number of returns", &n_envs, &returns.len())?;
            Some(RewardNormalizer { moments: RunningMoments::from_values(1, &moments)?, returns })
        } else {
            None
        };
        let state: RewardState = unseal(checkpoint.bytes("reward.state")?)
            .map_err(|error| checkpoint.error(format!("the state of the reward: {error}")))?;
        let RewardState { latest_scores, histories } = state;
        checkpoint.expect_equal("number of scores", &n_envs, &latest_scores.len())?;
        if latest_scores.iter().flatten().any(|latest| !latest.score.is_finite()) {
            return Err(checkpoint.error("a score is NaN or infinite".to_owned()));
        }
        if let Some(scorer) = scorer.as_deref() {
            checkpoint.expect_equal("number of reward histories", &scorer.n_envs(), &histories.len())?;
            histories.iter().try_for_each(|history| scorer.check_history(history.as_ref()))?;
        }
        let observation_normalizer = checkpoint.observation_normalizer()?;
        let mut batch = StepBatch::default();
        batch.observations.state = checkpoint.f32_values("observations.state")?;
        let n_values = n_envs * policy.spec().state_dim;
        checkpoint.expect_equal("number of state values", &n_values, &batch.observations.state.len())?;
        // Nothing is changed before everything is checked.
        env.restore(checkpoint.bytes("env.snapshot")?)?;
        env.render_observations(&mut batch.observations)?;
        if let Some(scorer) = scorer {
            for (env_idx, history) in histories.iter().enumerate() {
                scorer.load_history(env_idx, history.as_ref());
            }
        }
        Ok(Self {
            adam,
            observation_normalizer,
            reward_normalizer,
            action_rng: checkpoint.header().action_rng.clone(),
            shuffle_rng: checkpoint.header().shuffle_rng.clone(),
            batch,
            latest_scores,
            tracker: tracker.clone(),
            recent: recent.clone(),
            n_updates: checkpoint.n_updates(),
            n_steps: checkpoint.n_steps(),
            best: checkpoint.best(),
            policy,
        })
    }

    /// The complete state, envs included.
    pub fn checkpoint(
        &self,
        env: &dyn VectorEnv,
        worker: Option<&mut RewardWorker>,
        config: &TrainConfig,
    ) -> Result<Checkpoint> {
        let (moments, adam_steps) = self.adam.state();
        let mut tensors = Vec::new();
        for ((name, var), moments) in self.policy.parameters().iter().zip(moments) {
            tensors.push((format!("policy.{name}"), TensorData::from_tensor(var)?));
            tensors.push((format!("adam.{name}"), TensorData::from_tensor(moments)?));
        }
        let mut add = |name: &str, data: TensorData| tensors.push((name.to_owned(), data));
        if let Some(normalizer) = &self.observation_normalizer {
            add("observations.moments", TensorData::from_f64(&normalizer.moments.to_values()));
        }
        if let Some(normalizer) = &self.reward_normalizer {
            add("rewards.moments", TensorData::from_f64(&normalizer.moments.to_values()));
            add("rewards.returns", TensorData::from_f64(&normalizer.returns));
        }
        let histories = match worker {
            Some(worker) => worker.save_histories()?,
            None => vec![None; self.latest_scores.len()],
        };
        let state = RewardState { latest_scores: self.latest_scores.clone(), histories };
        add("reward.state", TensorData::from_bytes(seal(&state).map_err(sayso_envs::EnvError::from)?));
        add("observations.state", TensorData::from_f32(&self.batch.observations.state));
        add("env.snapshot", TensorData::from_bytes(env.snapshot()?));
        let header = Header {
            config: config.clone(),
            policy: self.policy.spec().clone(),
            n_updates: self.n_updates,
            n_steps: self.n_steps,
            adam_steps,
            action_rng: self.action_rng.clone(),
            shuffle_rng: self.shuffle_rng.clone(),
            tracker: self.tracker.clone(),
            recent: self.recent.clone(),
            best: self.best,
        };
        Ok(Checkpoint::new(header, tensors))
    }

    /// Makes the checkpoint of the present state the best one if its mean training reward is the highest so far.
    pub fn note_best(&mut self) {
        let Some(mean_return) = self.recent.mean_return() else { return };
        if self.best.is_none_or(|best| mean_return > best.mean_return) {
            self.best = Some(BestCheckpoint { n_steps: self.n_steps, mean_return });
        }
    }

    /// The policy alone.
    pub fn into_policy(self) -> TrainedPolicy {
        TrainedPolicy::new(self.policy, self.observation_normalizer)
    }

    /// Adds the rollout's steps to the episode statistics.
    pub fn record_episodes(&mut self, rollout: &Rollout) {
        let n_goals = self.tracker.n_goals();
        for row in (0..rollout.n_rows()).filter(|&row| !rollout.is_reset[row]) {
            let success = &rollout.success[row * n_goals..][..n_goals];
            let env_idx = row % rollout.n_envs;
            let (reward, instruction) = (rollout.rewards[row], rollout.instructions[row]);
            let ended = self.tracker.record(env_idx, reward, success, instruction, rollout.done(row));
            if let Some(episode) = ended {
                self.recent.push(episode);
            }
        }
    }

    /// The rollout's rewards, normalised if configured.
    pub fn normalized_rewards(&mut self, rollout: &Rollout, discount: f64) -> Vec<f32> {
        let mut rewards = rollout.rewards.clone();
        let Some(normalizer) = &mut self.reward_normalizer else { return rewards };
        let n_envs = rollout.n_envs;
        for (step, rewards) in rewards.chunks_exact_mut(n_envs).enumerate() {
            let first_row = step * n_envs;
            let done: Vec<bool> = (first_row..first_row + n_envs).map(|row| rollout.done(row)).collect();
            normalizer.normalize(rewards, &rollout.valid[first_row..][..n_envs], &done, discount);
        }
        rewards
    }
}
