//! Proximal policy optimisation (Schulman et al. 2017) with Stable-Baselines3's conventions.

pub mod config;
pub mod gae;
pub mod loss;
pub mod rollout;
mod update;

pub use config::PpoConfig;
pub use update::{PpoStats, update};

use candle_core::Device;
use rand::SeedableRng;
use rand_pcg::Pcg64;
use sayso_envs::{Actions, Observations};
use sayso_rewards::nn::Adam;

use crate::Result;
use crate::algorithm::{Algorithm, AlgorithmOptions, Cadence, TrainProgress, UpdateStats};
use crate::checkpoint::SavedState;
use crate::normalize::{ObservationNormalizer, RewardNormalizer, RunningMoments};
use crate::policy::{ActorCritic, NetworkInputs, Policy, PolicySpaces, PolicySpec, TrainedPolicy};
use crate::registry::NamedOptions;
use crate::steps::{StepFlags, Steps};
use gae::Trajectories;
use rollout::Rollout;

/// Prefixes and names of the saved tensors.
const POLICY: &str = "policy";
const ADAM: &str = "adam";
const REWARD_MOMENTS: &str = "rewards.moments";
const REWARD_RETURNS: &str = "rewards.returns";

impl NamedOptions for PpoConfig {
    const NAME: &'static str = "ppo";
    const SUMMARY: &'static str = "Proximal policy optimisation (Schulman et al. 2017).";
}

impl AlgorithmOptions for PpoConfig {
    fn validate(&self) -> Result<()> {
        self.check()
    }

    fn discount(&self) -> f64 {
        self.discount
    }

    fn memory(&self, n_envs: usize, observation_bytes: u64) -> (String, u64) {
        let n_rows = (self.n_steps as u64).saturating_mul(n_envs as u64);
        let what = format!("train.ppo.n_steps = {} with env.n_envs = {n_envs}", self.n_steps);
        (what, n_rows.saturating_mul(observation_bytes))
    }

    fn start(&self, spaces: &PolicySpaces, n_envs: usize, rng: &mut Pcg64) -> Result<Box<dyn Algorithm>> {
        let spec = PolicySpec { network: self.network.clone(), spaces: spaces.clone() };
        let policy = ActorCritic::new(spec, rng, &Device::Cpu)?;
        Ok(Box::new(Ppo {
            config: self.clone(),
            n_envs,
            adam: Adam::new(policy.parameters())?,
            policy,
            observation_normalizer: self
                .normalize_observations
                .then(|| ObservationNormalizer::new(spaces.state_dim)),
            reward_normalizer: self.normalize_rewards.then(|| RewardNormalizer::new(n_envs)),
            action_rng: Pcg64::from_rng(rng),
            shuffle_rng: Pcg64::from_rng(rng),
            inputs: NetworkInputs::default(),
            rollout: Rollout::default(),
            rows: Vec::new(),
            advantages: Vec::new(),
            returns: Vec::new(),
        }))
    }

    fn policy(&self, spaces: &PolicySpaces, state: &SavedState) -> Result<Box<dyn Policy>> {
        let spec = PolicySpec { network: self.network.clone(), spaces: spaces.clone() };
        state.check_size(POLICY, spec.n_parameters())?;
        // The initial parameters are overwritten, so the seed does not matter.
        let network = ActorCritic::new(spec, &mut Pcg64::seed_from_u64(0), &Device::Cpu)?;
        state.set_parameters(POLICY, network.parameters())?;
        let normalizer = match self.normalize_observations {
            true => Some(ObservationNormalizer::load(spaces.state_dim, state)?),
            false => None,
        };
        Ok(Box::new(TrainedPolicy::new(network, normalizer)))
    }
}

/// The state of a training.
struct Ppo {
    config: PpoConfig,
    n_envs: usize,
    policy: ActorCritic,
    adam: Adam,
    observation_normalizer: Option<ObservationNormalizer>,
    reward_normalizer: Option<RewardNormalizer>,
    action_rng: Pcg64,
    shuffle_rng: Pcg64,
    inputs: NetworkInputs,
    rollout: Rollout,
    /// Rows of the rollout that are transitions.
    rows: Vec<usize>,
    /// `[n_rows]`.
    advantages: Vec<f32>,
    /// `[n_rows]`.
    returns: Vec<f32>,
}

impl Ppo {
    /// The rewards of the steps, normalised if configured.
    fn normalized_rewards(&mut self, steps: &Steps) -> Vec<f32> {
        let mut rewards = steps.rewards.clone();
        let Some(normalizer) = &mut self.reward_normalizer else { return rewards };
        for (step, rewards) in rewards.chunks_exact_mut(self.n_envs).enumerate() {
            let first_row = step * self.n_envs;
            let done: Vec<bool> = (first_row..first_row + self.n_envs).map(|row| steps.done(row)).collect();
            normalizer.normalize(
                rewards,
                &steps.valid[first_row..][..self.n_envs],
                &done,
                self.config.discount,
            );
        }
        rewards
    }
}

impl Algorithm for Ppo {
    fn cadence(&self) -> Cadence {
        Cadence { n_steps: self.config.n_steps, learns_before_rewards: false }
    }

    fn act(&mut self, observations: &Observations) -> Result<Actions> {
        if let Some(normalizer) = &mut self.observation_normalizer {
            normalizer.update(&observations.state);
        }
        self.inputs.read(observations, self.n_envs, self.observation_normalizer.as_ref());
        let sampled = self.policy.sample(&self.inputs, &mut self.action_rng)?;
        Ok(self.rollout.push(&self.inputs, sampled))
    }

    fn observe(&mut self, flags: &StepFlags<'_>, last: &Observations) -> Result<()> {
        self.rollout.push_final_values(&self.policy, self.observation_normalizer.as_ref(), flags, last)
    }

    fn add_rewards(&mut self, steps: &Steps, observations: &Observations) -> Result<()> {
        self.inputs.read(observations, self.n_envs, self.observation_normalizer.as_ref());
        let next_values = self.policy.values(&self.inputs)?;
        let rewards = self.normalized_rewards(steps);
        let trajectories = Trajectories {
            n_envs: self.n_envs,
            rewards: &rewards,
            values: &self.rollout.values,
            terminated: &steps.terminated,
            truncated: &steps.truncated,
            final_values: &self.rollout.final_values,
            valid: &steps.valid,
            next_values: &next_values,
        };
        let (discount, gae_lambda) = (self.config.discount as f32, self.config.gae_lambda as f32);
        gae::advantages(&trajectories, discount, gae_lambda, &mut self.advantages, &mut self.returns);
        self.rows = (0..steps.n_rows()).filter(|&row| steps.valid[row]).collect();
        Ok(())
    }

    fn update(&mut self, progress: TrainProgress) -> Result<UpdateStats> {
        let decay = if self.config.linear_decay { progress.fraction_left() } else { 1.0 };
        let stats = update(
            &self.policy,
            &mut self.adam,
            &self.rollout,
            &self.advantages,
            &self.returns,
            std::mem::take(&mut self.rows),
            &self.config,
            self.config.learning_rate * decay,
            &mut self.shuffle_rng,
        )?;
        self.rollout.clear();
        Ok(vec![
            ("policy_loss", stats.policy_loss),
            ("value_loss", stats.value_loss),
            ("entropy", stats.entropy),
            ("approx_kl", stats.approx_kl),
            ("clip_fraction", stats.clip_fraction),
            ("grad_norm", stats.grad_norm),
            ("explained_variance", stats.explained_variance),
            ("learning_rate", stats.learning_rate),
        ])
    }

    fn into_policy(self: Box<Self>) -> Box<dyn Policy> {
        Box::new(TrainedPolicy::new(self.policy, self.observation_normalizer))
    }

    fn save(&self, state: &mut SavedState) -> Result<()> {
        let parameters = self.policy.parameters();
        state.add_parameters(POLICY, parameters)?;
        state.add_adam(ADAM, parameters, &self.adam)?;
        if let Some(normalizer) = &self.observation_normalizer {
            normalizer.save(state);
        }
        if let Some(normalizer) = &self.reward_normalizer {
            state.add_f64(REWARD_MOMENTS, &normalizer.moments.to_values());
            state.add_f64(REWARD_RETURNS, &normalizer.returns);
        }
        state.add_value("network", &self.config.network)?;
        state.add_value("action_rng", &self.action_rng)?;
        state.add_value("shuffle_rng", &self.shuffle_rng)
    }

    fn load(&mut self, state: &SavedState) -> Result<()> {
        let PpoConfig { network, normalize_observations, normalize_rewards, .. } = &self.config;
        state.expect_equal("train.ppo.network", network, &state.value("network")?)?;
        for (option, expected, is_saved) in [
            ("train.ppo.normalize_observations", normalize_observations, ObservationNormalizer::is_in(state)),
            ("train.ppo.normalize_rewards", normalize_rewards, state.has_tensor(REWARD_MOMENTS)),
        ] {
            state.expect_equal(option, expected, &is_saved)?;
        }
        let parameters = self.policy.parameters();
        state.set_parameters(POLICY, parameters)?;
        state.set_adam(ADAM, parameters, &mut self.adam)?;
        if let Some(normalizer) = &mut self.observation_normalizer {
            *normalizer = ObservationNormalizer::load(self.policy.spec().spaces.state_dim, state)?;
        }
        if let Some(normalizer) = &mut self.reward_normalizer {
            let returns = state.f64_values(REWARD_RETURNS)?;
            state.expect_equal("number of returns", &self.n_envs, &returns.len())?;
            let moments = RunningMoments::from_values(1, &state.f64_values(REWARD_MOMENTS)?)?;
            *normalizer = RewardNormalizer { moments, returns };
        }
        self.action_rng = state.value("action_rng")?;
        self.shuffle_rng = state.value("shuffle_rng")?;
        Ok(())
    }
}
