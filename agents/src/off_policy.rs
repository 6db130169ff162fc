//! What off-policy algorithms share: the replay with normalised observations, and when there is enough in it to learn from.

use rand::SeedableRng;
use rand_pcg::Pcg64;
use sayso_envs::{Actions, Observations};

use crate::Result;
use crate::checkpoint::SavedState;
use crate::error::check;
use crate::normalize::ObservationNormalizer;
use crate::policy::{NetworkInputs, PolicySpaces};
use crate::replay::{Replay, Transitions};
use crate::steps::{StepFlags, Steps};

/// The options that off-policy algorithms share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExperienceOptions {
    /// Table of the options, for errors.
    pub path: &'static str,
    pub n_steps: usize,
    pub n_gradient_steps: usize,
    pub minibatch_size: usize,
    pub replay_size: usize,
    pub n_random_steps: usize,
    pub learning_rate: f64,
    pub discount: f64,
    pub n_step_return: usize,
    pub tau: f64,
    pub normalize_observations: bool,
}

impl ExperienceOptions {
    /// Checks every field.
    pub fn check(&self) -> Result<()> {
        let path = |field: &str| format!("{}.{field}", self.path);
        let at_least_1 = [
            ("n_steps", self.n_steps),
            ("n_gradient_steps", self.n_gradient_steps),
            ("minibatch_size", self.minibatch_size),
            ("replay_size", self.replay_size),
        ];
        for (field, value) in at_least_1 {
            check(1 <= value, &path(field), value, "at least 1")?;
        }
        let n = self.n_step_return;
        check((1..=100).contains(&n), &path("n_step_return"), n, "a number in [1, 100]")?;
        let discount = self.discount;
        check((0.0..=1.0).contains(&discount), &path("discount"), discount, "a number in [0, 1]")?;
        for (field, value) in [("learning_rate", self.learning_rate), ("tau", self.tau)] {
            check(0.0 < value && value <= 1.0, &path(field), value, "a number in (0, 1]")?;
        }
        Ok(())
    }

    /// What takes most memory, and its size in bytes.
    pub fn memory(&self, n_envs: usize, observation_bytes: u64) -> (String, u64) {
        let what = format!("{}.replay_size = {} with env.n_envs = {n_envs}", self.path, self.replay_size);
        (what, Replay::n_bytes(n_envs, self.replay_size, observation_bytes))
    }
}

/// The experience of an off-policy algorithm.
pub(crate) struct Experience {
    options: ExperienceOptions,
    n_envs: usize,
    state_dim: usize,
    normalizer: Option<ObservationNormalizer>,
    replay: Replay,
    /// Samples the minibatches.
    rng: Pcg64,
    /// Number of transitions so far.
    n_transitions: u64,
    inputs: NetworkInputs,
    minibatch: Transitions,
}

impl Experience {
    pub fn new(options: ExperienceOptions, spaces: &PolicySpaces, n_envs: usize, rng: &mut Pcg64) -> Self {
        Self {
            options,
            n_envs,
            state_dim: spaces.state_dim,
            normalizer: options.normalize_observations.then(|| ObservationNormalizer::new(spaces.state_dim)),
            replay: Replay::new(spaces, n_envs, options.replay_size),
            rng: Pcg64::from_rng(rng),
            n_transitions: 0,
            inputs: NetworkInputs::default(),
            minibatch: Transitions::default(),
        }
    }

    /// Number of transitions so far.
    pub fn n_transitions(&self) -> u64 {
        self.n_transitions
    }

    /// The current observations as the networks read them; `None` while actions are random.
    pub fn read(&mut self, observations: &Observations) -> Option<&NetworkInputs> {
        if let Some(normalizer) = &mut self.normalizer {
            normalizer.update(&observations.state);
        }
        if self.n_transitions < self.options.n_random_steps as u64 {
            return None;
        }
        self.inputs.read(observations, self.n_envs, self.normalizer.as_ref());
        Some(&self.inputs)
    }

    /// Appends a step of all envs.
    pub fn push(&mut self, observations: &Observations, actions: &Actions) {
        self.replay.push(observations, actions);
        self.n_transitions += self.n_envs as u64;
    }

    pub fn observe(&mut self, flags: &StepFlags<'_>, last: &Observations) {
        self.replay.observe(flags, last);
    }

    pub fn add_rewards(&mut self, steps: &Steps) {
        self.replay.add_rewards(steps);
    }

    /// Number of gradient steps of an update now: none before the random actions are over and have rewards.
    pub fn n_gradient_steps(&self) -> usize {
        let is_ready = self.options.n_random_steps as u64 <= self.n_transitions && !self.replay.is_empty();
        if is_ready { self.options.n_gradient_steps } else { 0 }
    }

    /// A minibatch.
    pub fn sample(&mut self) -> &Transitions {
        let ExperienceOptions { minibatch_size, n_step_return, discount, .. } = self.options;
        let minibatch = &mut self.minibatch;
        self.replay.sample(minibatch_size, n_step_return, discount as f32, &mut self.rng, minibatch);
        for inputs in [&mut minibatch.inputs, &mut minibatch.next_inputs] {
            inputs.normalize(self.normalizer.as_ref());
        }
        minibatch
    }

    /// The statistics of the observations.
    pub fn into_normalizer(self) -> Option<ObservationNormalizer> {
        self.normalizer
    }

    pub fn save(&self, state: &mut SavedState) -> Result<()> {
        if let Some(normalizer) = &self.normalizer {
            normalizer.save(state);
        }
        self.replay.save(state)?;
        state.add_value("minibatch_rng", &self.rng)?;
        state.add_value("n_transitions", &self.n_transitions)
    }

    pub fn load(&mut self, state: &SavedState) -> Result<()> {
        let what = format!("{}.normalize_observations", self.options.path);
        let is_saved = ObservationNormalizer::is_in(state);
        state.expect_equal(&what, &self.options.normalize_observations, &is_saved)?;
        if let Some(normalizer) = &mut self.normalizer {
            *normalizer = ObservationNormalizer::load(self.state_dim, state)?;
        }
        self.replay.load(state)?;
        self.rng = state.value("minibatch_rng")?;
        self.n_transitions = state.value("n_transitions")?;
        Ok(())
    }
}
