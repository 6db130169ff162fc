//! Deep Q-learning (Mnih et al. 2015) with the double estimator (van Hasselt et al. 2016) and a slowly moving target.

pub mod config;
mod network;

pub use config::DqnConfig;

use rand::{Rng as _, SeedableRng};
use rand_pcg::Pcg64;
use sayso_envs::{Actions, Observations};

use crate::Result;
use crate::algorithm::{Algorithm, AlgorithmOptions, Cadence, TrainProgress, UpdateStats};
use crate::checkpoint::SavedState;
use crate::normalize::ObservationNormalizer;
use crate::off_policy::Experience;
use crate::policy::{NetworkInputs, Policy, PolicySpaces};
use crate::registry::NamedOptions;
use crate::steps::{StepFlags, Steps};
use network::{Learned, QNetwork, Spec};

/// Prefix of the saved parameters of the network.
const POLICY: &str = "policy";

impl NamedOptions for DqnConfig {
    const NAME: &'static str = "dqn";
    const SUMMARY: &'static str = "Deep Q-learning with the double estimator, for discrete actions.";
}

impl AlgorithmOptions for DqnConfig {
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
        Ok(Box::new(Dqn {
            learned: Learned::new(spec, rng)?,
            experience: Experience::new(self.experience(), spaces, n_envs, rng),
            action_rng: Pcg64::from_rng(rng),
            config: self.clone(),
            n_envs,
            exploration: 1.0,
        }))
    }

    fn policy(&self, spaces: &PolicySpaces, state: &SavedState) -> Result<Box<dyn Policy>> {
        let spec = Spec::new(&self.network, spaces)?;
        state.check_size(POLICY, spec.n_parameters())?;
        // The initial parameters are overwritten, so the seed does not matter.
        let network = QNetwork::new(&spec, &mut Pcg64::seed_from_u64(0))?;
        state.set_parameters(POLICY, &network.parameters)?;
        let normalizer = match self.normalize_observations {
            true => Some(ObservationNormalizer::load(spaces.state_dim, state)?),
            false => None,
        };
        Ok(Box::new(Greedy::new(spec, network, normalizer)))
    }
}

/// The state of a training.
struct Dqn {
    config: DqnConfig,
    n_envs: usize,
    learned: Learned,
    experience: Experience,
    action_rng: Pcg64,
    /// Probability of a random action.
    exploration: f64,
}

impl Algorithm for Dqn {
    fn cadence(&self) -> Cadence {
        Cadence { n_steps: self.config.n_steps, learns_before_rewards: true }
    }

    fn act(&mut self, observations: &Observations) -> Result<Actions> {
        let n_actions = self.learned.spec.n_actions as u32;
        let mut actions = match self.experience.read(observations) {
            Some(inputs) => self.learned.network.best(&self.learned.spec, inputs)?,
            None => vec![0; self.n_envs],
        };
        let is_random_phase = self.experience.n_transitions() < self.config.n_random_steps as u64;
        for action in &mut actions {
            if is_random_phase || self.action_rng.random::<f64>() < self.exploration {
                *action = self.action_rng.random_range(0..n_actions);
            }
        }
        let actions = Actions::Discrete(actions);
        self.experience.push(observations, &actions);
        Ok(actions)
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
        let decay = if config.linear_decay { progress.fraction_left() } else { 1.0 };
        let learning_rate = config.learning_rate * decay;
        let n_gradient_steps = self.experience.n_gradient_steps();
        let (mut loss, mut value) = (0.0, 0.0);
        for _ in 0..n_gradient_steps {
            let minibatch = self.experience.sample();
            let step = self.learned.step(minibatch, config, learning_rate)?;
            loss += step.loss;
            value += step.value;
        }
        let done = (1.0 - progress.fraction_left()) / config.exploration_fraction;
        self.exploration = 1.0 - (1.0 - config.final_exploration) * done.min(1.0);
        let n = n_gradient_steps.max(1) as f64;
        Ok(vec![
            ("loss", loss / n),
            ("q_value", value / n),
            ("exploration_rate", self.exploration),
            ("n_gradient_steps", n_gradient_steps as f64),
            ("learning_rate", learning_rate),
        ])
    }

    fn into_policy(self: Box<Self>) -> Box<dyn Policy> {
        let Learned { spec, network, .. } = self.learned;
        Box::new(Greedy::new(spec, network, self.experience.into_normalizer()))
    }

    fn save(&self, state: &mut SavedState) -> Result<()> {
        self.learned.save(state)?;
        self.experience.save(state)?;
        state.add_value("network", &self.config.network)?;
        state.add_value("action_rng", &self.action_rng)?;
        state.add_value("exploration", &self.exploration.to_bits())
    }

    fn load(&mut self, state: &SavedState) -> Result<()> {
        state.expect_equal("train.dqn.network", &self.config.network, &state.value("network")?)?;
        self.learned.load(state)?;
        self.experience.load(state)?;
        self.action_rng = state.value("action_rng")?;
        self.exploration = f64::from_bits(state.value("exploration")?);
        Ok(())
    }
}

/// Takes the action with the highest value.
struct Greedy {
    spec: Spec,
    network: QNetwork,
    normalizer: Option<ObservationNormalizer>,
    inputs: NetworkInputs,
}

impl Greedy {
    fn new(spec: Spec, network: QNetwork, normalizer: Option<ObservationNormalizer>) -> Self {
        Self { spec, network, normalizer, inputs: NetworkInputs::default() }
    }
}

impl Policy for Greedy {
    fn act(&mut self, observations: &Observations, _rng: &mut Pcg64) -> Result<Actions> {
        self.inputs.read(observations, self.spec.spaces.n_rows(observations), self.normalizer.as_ref());
        Ok(Actions::Discrete(self.network.best(&self.spec, &self.inputs)?))
    }
}
