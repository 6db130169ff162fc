//! What PPO remembers of the steps of a rollout: what the networks read, chose and expected.

use sayso_envs::{Actions, Observations};

use crate::Result;
use crate::normalize::ObservationNormalizer;
use crate::policy::{ActorCritic, NetworkInputs, Sampled};
use crate::steps::StepFlags;

/// The columns of a rollout; rows are those of [`crate::steps::Steps`].
#[derive(Clone, Debug, Default)]
pub struct Rollout {
    /// `[n_rows, state_dim]`: state observations as the policy received them, normalised if configured.
    pub states: Vec<f32>,
    /// `[n_rows, height, width, 3]`: pixel observations.
    pub pixels: Vec<u8>,
    /// `[n_rows, embed_dim]`: embeddings of the instructions, if they are observed.
    pub instruction_embeddings: Vec<f32>,
    /// Actions that the policy sampled, before clipping.
    pub actions: Option<Actions>,
    /// Log-densities of the actions.
    pub log_probs: Vec<f32>,
    /// Values of the observations.
    pub values: Vec<f32>,
    /// Values of the last observations of truncated episodes; 0 elsewhere.
    pub final_values: Vec<f32>,
}

impl Rollout {
    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.values.len()
    }

    /// Removes all rows.
    pub fn clear(&mut self) {
        self.states.clear();
        self.pixels.clear();
        self.instruction_embeddings.clear();
        self.actions = None;
        self.log_probs.clear();
        self.values.clear();
        self.final_values.clear();
    }

    /// Appends a step of all envs, before its outcome is known. Returns the actions for the env.
    pub fn push(&mut self, inputs: &NetworkInputs, sampled: Sampled) -> Actions {
        self.states.extend_from_slice(&inputs.state);
        self.pixels.extend_from_slice(&inputs.pixels);
        self.instruction_embeddings.extend_from_slice(&inputs.instruction_embedding);
        match (&mut self.actions, sampled.actions) {
            (Some(Actions::Continuous(all)), Actions::Continuous(more)) => all.extend(more),
            (Some(Actions::Discrete(all)), Actions::Discrete(more)) => all.extend(more),
            (all, more) => *all = Some(more),
        }
        self.log_probs.extend(sampled.log_probs);
        self.values.extend(sampled.values);
        sampled.env_actions
    }

    /// Appends the values of the last observations of the episodes that were truncated in the last step.
    ///
    /// # Errors
    /// If the policy fails.
    pub fn push_final_values(
        &mut self,
        policy: &ActorCritic,
        normalizer: Option<&ObservationNormalizer>,
        flags: &StepFlags<'_>,
        last: &Observations,
    ) -> Result<()> {
        let first_row = self.final_values.len();
        let n_envs = flags.valid.len();
        self.final_values.resize(first_row + n_envs, 0.0);
        let timeouts: Vec<usize> = (0..n_envs)
            .filter(|&env_idx| flags.truncated[env_idx] && !flags.terminated[env_idx] && flags.valid[env_idx])
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
            self.final_values[first_row + env_idx] = value;
        }
        Ok(())
    }

    /// Copies the observations and actions of some rows into a minibatch.
    pub fn gather(&self, rows: &[usize]) -> (NetworkInputs, Actions) {
        let n_rows = self.n_rows();
        let actions = match &self.actions {
            Some(Actions::Continuous(values)) => Actions::Continuous(gather(values, rows, n_rows)),
            Some(Actions::Discrete(choices)) => Actions::Discrete(gather(choices, rows, n_rows)),
            None => Actions::Discrete(Vec::new()),
        };
        let inputs = NetworkInputs {
            n_rows: rows.len(),
            state: gather(&self.states, rows, n_rows),
            pixels: gather(&self.pixels, rows, n_rows),
            instruction_embedding: gather(&self.instruction_embeddings, rows, n_rows),
        };
        (inputs, actions)
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
