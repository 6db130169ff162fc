//! Soft actor-critic with a tuned temperature (Haarnoja et al. 2018, arXiv:1812.05905): twin critics with slowly moving targets, an
//! actor whose actions are squashed by tanh, and returns of several steps.

pub mod config;
mod networks;
mod policy;
mod update;

pub use config::SacConfig;

use rand::{Rng as _, SeedableRng};
use rand_pcg::Pcg64;
use sayso_envs::{Actions, Observations};

use crate::Result;
use crate::algorithm::{Algorithm, AlgorithmOptions, Cadence, TrainProgress, UpdateStats};
use crate::checkpoint::SavedState;
use crate::normalize::ObservationNormalizer;
use crate::policy::{NetworkInputs, Policy, PolicySpaces, to_host};
use crate::registry::NamedOptions;
use crate::replay::{Replay, Transitions};
use crate::steps::{StepFlags, Steps};
use networks::{Actor, Spec};
use policy::SacPolicy;
use update::Networks;

/// Prefix of the saved parameters of the actor.
const POLICY: &str = "policy";

impl NamedOptions for SacConfig {
    const NAME: &'static str = "sac";
    const SUMMARY: &'static str = "Soft actor-critic (Haarnoja et al. 2018), for continuous actions.";
}

impl AlgorithmOptions for SacConfig {
    fn validate(&self) -> Result<()> {
        self.check()
    }

    fn discount(&self) -> f64 {
        self.discount
    }

    fn memory(&self, n_envs: usize, observation_bytes: u64) -> (String, u64) {
        let what = format!("train.sac.replay_size = {} with env.n_envs = {n_envs}", self.replay_size);
        (what, Replay::n_bytes(n_envs, self.replay_size, observation_bytes))
    }

    fn start(&self, spaces: &PolicySpaces, n_envs: usize, rng: &mut Pcg64) -> Result<Box<dyn Algorithm>> {
        let spec = Spec::new(&self.network, spaces)?;
        Ok(Box::new(Sac {
            networks: Networks::new(spec, self, rng)?,
            normalizer: self.normalize_observations.then(|| ObservationNormalizer::new(spaces.state_dim)),
            replay: Replay::new(spaces, n_envs, self.replay_size),
            action_rng: Pcg64::from_rng(rng),
            update_rng: Pcg64::from_rng(rng),
            config: self.clone(),
            n_envs,
            n_transitions: 0,
            inputs: NetworkInputs::default(),
            minibatch: Transitions::default(),
        }))
    }

    fn policy(&self, spaces: &PolicySpaces, state: &SavedState) -> Result<Box<dyn Policy>> {
        let spec = Spec::new(&self.network, spaces)?;
        state.check_size(POLICY, spec.n_actor_parameters())?;
        // The initial parameters are overwritten, so the seed does not matter.
        let actor = Actor::new(spec, &mut Pcg64::seed_from_u64(0))?;
        state.set_parameters(POLICY, &actor.parameters)?;
        let normalizer = match self.normalize_observations {
            true => Some(ObservationNormalizer::load(spaces.state_dim, state)?),
            false => None,
        };
        Ok(Box::new(SacPolicy::new(actor, normalizer)))
    }
}

/// The state of a training.
struct Sac {
    config: SacConfig,
    n_envs: usize,
    networks: Networks,
    normalizer: Option<ObservationNormalizer>,
    replay: Replay,
    action_rng: Pcg64,
    update_rng: Pcg64,
    /// Number of transitions so far.
    n_transitions: u64,
    inputs: NetworkInputs,
    minibatch: Transitions,
}

impl Algorithm for Sac {
    fn cadence(&self) -> Cadence {
        Cadence { n_steps: self.config.n_steps, learns_before_rewards: true }
    }

    fn act(&mut self, observations: &Observations) -> Result<Actions> {
        if let Some(normalizer) = &mut self.normalizer {
            normalizer.update(&observations.state);
        }
        let actor = &self.networks.actor;
        let actions = if self.n_transitions < self.config.n_random_steps as u64 {
            let n_values = self.n_envs * actor.spec.action_dim();
            (0..n_values).map(|_| self.action_rng.random_range(-1.0_f32..=1.0)).collect()
        } else {
            self.inputs.read(observations, self.n_envs, self.normalizer.as_ref());
            let inputs = actor.inputs(&self.inputs)?;
            to_host(&actor.sample(&inputs, self.n_envs, &mut self.action_rng)?.actions)?
        };
        let unscaled = Actions::Continuous(actor.spec.unscaled(&actions));
        self.replay.push(observations, &Actions::Continuous(actions));
        self.n_transitions += self.n_envs as u64;
        Ok(unscaled)
    }

    fn observe(&mut self, flags: &StepFlags<'_>, last: &Observations) -> Result<()> {
        self.replay.observe(flags, last);
        Ok(())
    }

    fn add_rewards(&mut self, steps: &Steps, _observations: &Observations) -> Result<()> {
        self.replay.add_rewards(steps);
        Ok(())
    }

    fn update(&mut self, progress: TrainProgress) -> Result<UpdateStats> {
        let config = &self.config;
        let is_ready = config.n_random_steps as u64 <= self.n_transitions && !self.replay.is_empty();
        let n_gradient_steps = if is_ready { config.n_gradient_steps } else { 0 };
        let decay = if config.linear_decay { progress.fraction_left() } else { 1.0 };
        let learning_rate = config.learning_rate * decay;
        let mut sums = update::Losses::default();
        for _ in 0..n_gradient_steps {
            self.replay.sample(
                config.minibatch_size,
                config.n_step_return,
                config.discount as f32,
                &mut self.update_rng,
                &mut self.minibatch,
            );
            for inputs in [&mut self.minibatch.inputs, &mut self.minibatch.next_inputs] {
                inputs.normalize(self.normalizer.as_ref());
            }
            sums.add(self.networks.step(&self.minibatch, config, learning_rate, &mut self.update_rng)?);
        }
        let losses = sums.mean(n_gradient_steps);
        Ok(vec![
            ("actor_loss", losses.actor),
            ("critic_loss", losses.critic),
            ("entropy", losses.entropy),
            ("q_value", losses.value),
            ("ent_coef", self.networks.temperature()?),
            ("n_gradient_steps", n_gradient_steps as f64),
            ("learning_rate", learning_rate),
        ])
    }

    fn into_policy(self: Box<Self>) -> Box<dyn Policy> {
        Box::new(SacPolicy::new(self.networks.actor, self.normalizer))
    }

    fn save(&self, state: &mut SavedState) -> Result<()> {
        self.networks.save(state)?;
        if let Some(normalizer) = &self.normalizer {
            normalizer.save(state);
        }
        self.replay.save(state)?;
        state.add_value("network", &self.config.network)?;
        state.add_value("action_rng", &self.action_rng)?;
        state.add_value("update_rng", &self.update_rng)?;
        state.add_value("n_transitions", &self.n_transitions)
    }

    fn load(&mut self, state: &SavedState) -> Result<()> {
        let SacConfig { network, normalize_observations, .. } = &self.config;
        state.expect_equal("train.sac.network", network, &state.value("network")?)?;
        let is_saved = ObservationNormalizer::is_in(state);
        state.expect_equal("train.sac.normalize_observations", normalize_observations, &is_saved)?;
        self.networks.load(state)?;
        if let Some(normalizer) = &mut self.normalizer {
            *normalizer = ObservationNormalizer::load(self.networks.actor.spec.spaces.state_dim, state)?;
        }
        self.replay.load(state)?;
        self.action_rng = state.value("action_rng")?;
        self.update_rng = state.value("update_rng")?;
        self.n_transitions = state.value("n_transitions")?;
        Ok(())
    }
}
