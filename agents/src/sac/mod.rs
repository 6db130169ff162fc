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
use crate::off_policy::Experience;
use crate::policy::{Policy, PolicySpaces, to_host};
use crate::registry::NamedOptions;
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
        self.experience().memory(n_envs, observation_bytes)
    }

    fn start(&self, spaces: &PolicySpaces, n_envs: usize, rng: &mut Pcg64) -> Result<Box<dyn Algorithm>> {
        let spec = Spec::new(&self.network, spaces)?;
        Ok(Box::new(Sac {
            networks: Networks::new(spec, self, rng)?,
            experience: Experience::new(self.experience(), spaces, n_envs, rng),
            action_rng: Pcg64::from_rng(rng),
            update_rng: Pcg64::from_rng(rng),
            config: self.clone(),
            n_envs,
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
    experience: Experience,
    action_rng: Pcg64,
    update_rng: Pcg64,
}

impl Algorithm for Sac {
    fn cadence(&self) -> Cadence {
        Cadence { n_steps: self.config.n_steps, learns_before_rewards: true }
    }

    fn act(&mut self, observations: &Observations) -> Result<Actions> {
        let actor = &self.networks.actor;
        let actions = match self.experience.read(observations) {
            Some(inputs) => {
                let inputs = actor.inputs(inputs)?;
                to_host(&actor.sample(&inputs, self.n_envs, &mut self.action_rng)?.actions)?
            }
            None => {
                let n_values = self.n_envs * actor.spec.action_dim();
                (0..n_values).map(|_| self.action_rng.random_range(-1.0_f32..=1.0)).collect()
            }
        };
        let unscaled = Actions::Continuous(actor.spec.unscaled(&actions));
        self.experience.push(observations, &Actions::Continuous(actions));
        Ok(unscaled)
    }

    fn observe(&mut self, flags: &StepFlags<'_>, last: &Observations) -> Result<()> {
        self.experience.observe(flags, last);
        Ok(())
    }

    fn add_rewards(&mut self, steps: &Steps, _observations: &Observations) -> Result<()> {
        self.experience.add_rewards(steps);
        Ok(())
    }

    fn update(&mut self, progress: TrainProgress) -> Result<UpdateStats> {
        let config = &self.config;
        let n_gradient_steps = self.experience.n_gradient_steps();
        let decay = if config.linear_decay { progress.fraction_left() } else { 1.0 };
        let learning_rate = config.learning_rate * decay;
        let mut sums = update::Losses::default();
        for _ in 0..n_gradient_steps {
            let minibatch = self.experience.sample();
            sums.add(self.networks.step(minibatch, config, learning_rate, &mut self.update_rng)?);
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
        Box::new(SacPolicy::new(self.networks.actor, self.experience.into_normalizer()))
    }

    fn save(&self, state: &mut SavedState) -> Result<()> {
        self.networks.save(state)?;
        self.experience.save(state)?;
        state.add_value("network", &self.config.network)?;
        state.add_value("action_rng", &self.action_rng)?;
        state.add_value("update_rng", &self.update_rng)
    }

    fn load(&mut self, state: &SavedState) -> Result<()> {
        state.expect_equal("train.sac.network", &self.config.network, &state.value("network")?)?;
        self.networks.load(state)?;
        self.experience.load(state)?;
        self.action_rng = state.value("action_rng")?;
        self.update_rng = state.value("update_rng")?;
        Ok(())
    }
}
