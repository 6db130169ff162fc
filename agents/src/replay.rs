//! Replay: the latest transitions of all envs, from which off-policy algorithms learn.
//!
//! Every observation is stored once: the next state of a step is the state of the one after it, or, where an episode ended, a last
//! observation that is stored apart. Rewards may come later than the steps; only steps with rewards are sampled.

use std::collections::BTreeMap;

use rand::Rng;
use sayso_envs::{Actions, Observations};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::checkpoint::SavedState;
use crate::policy::{ActionSpec, NetworkInputs, PolicySpaces};
use crate::steps::{StepFlags, Steps};

/// The latest transitions of a batch of envs. A slot is one step of one env; slots are `[capacity, n_envs]`, row-major, and the
/// oldest step is overwritten.
#[derive(Debug)]
pub struct Replay {
    n_envs: usize,
    state_dim: usize,
    /// Number of steps of every env that fit.
    capacity: usize,
    /// Number of steps so far.
    n_steps: u64,
    /// Number of steps so far that have rewards.
    n_rewarded: u64,
    states: Vec<f32>,
    /// Index of each slot's instruction in `sentences`; empty if instructions are not observed.
    instructions: Vec<u32>,
    sentences: Sentences,
    actions: Actions,
    rewards: Vec<f32>,
    flags: Vec<SlotFlags>,
    /// The last state of the episodes that ended in a slot.
    last_states: BTreeMap<usize, Vec<f32>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct SlotFlags {
    terminated: bool,
    truncated: bool,
    valid: bool,
}

impl SlotFlags {
    fn done(self) -> bool {
        self.terminated || self.truncated
    }
}

/// Distinct embeddings of instructions.
#[derive(Debug, Default)]
struct Sentences {
    dim: usize,
    embeddings: Vec<f32>,
    /// Index by the bits of the embedding.
    indices: BTreeMap<Vec<u32>, u32>,
}

impl Sentences {
    fn index(&mut self, embedding: &[f32]) -> u32 {
        let bits: Vec<u32> = embedding.iter().map(|value| value.to_bits()).collect();
        let next = self.indices.len() as u32;
        let Self { embeddings, indices, .. } = self;
        *indices.entry(bits).or_insert_with(|| {
            embeddings.extend_from_slice(embedding);
            next
        })
    }

    fn get(&self, index: u32) -> &[f32] {
        &self.embeddings[index as usize * self.dim..][..self.dim]
    }
}

/// A minibatch of transitions.
#[derive(Clone, Debug, Default)]
pub struct Transitions {
    /// Observations.
    pub inputs: NetworkInputs,
    /// Actions, `[n_rows, dim]`; empty if they are discrete.
    pub actions: Vec<f32>,
    /// Actions, `[n_rows]`; empty if they are continuous.
    pub choices: Vec<u32>,
    /// `[n_rows]`: sums of discounted rewards up to the next observations.
    pub rewards: Vec<f32>,
    /// `[n_rows]`: factor of the next observation's value: 0 after a termination, else the discount to the power of the steps
    /// between.
    pub discounts: Vec<f32>,
    /// Observations after the last of the steps.
    pub next_inputs: NetworkInputs,
}

impl Replay {
    /// An empty replay for `capacity` transitions, rounded up to whole steps of all envs.
    pub fn new(spaces: &PolicySpaces, n_envs: usize, capacity: usize) -> Self {
        let steps = capacity.div_ceil(n_envs).max(2);
        let n_slots = steps * n_envs;
        let instruction_dim = spaces.instruction_dim;
        Self {
            n_envs,
            state_dim: spaces.state_dim,
            capacity: steps,
            n_steps: 0,
            n_rewarded: 0,
            states: vec![0.0; n_slots * spaces.state_dim],
            instructions: if instruction_dim.is_some() { vec![0; n_slots] } else { vec![] },
            sentences: Sentences { dim: instruction_dim.unwrap_or(0), ..Sentences::default() },
            actions: match &spaces.actions {
                ActionSpec::Continuous { low, .. } => Actions::Continuous(vec![0.0; n_slots * low.len()]),
                ActionSpec::Discrete { .. } => Actions::Discrete(vec![0; n_slots]),
            },
            rewards: vec![0.0; n_slots],
            flags: vec![SlotFlags::default(); n_slots],
            last_states: BTreeMap::new(),
        }
    }

    /// Size of a replay in bytes.
    pub fn n_bytes(n_envs: usize, capacity: usize, observation_bytes: u64) -> u64 {
        let n_slots = capacity.max(2 * n_envs) as u64;
        // The action, the reward and the flags.
        n_slots.saturating_mul(observation_bytes.saturating_add(32))
    }

    /// Number of transitions that can be sampled, resets included.
    pub fn len(&self) -> usize {
        (self.n_rewarded - self.first_step()) as usize * self.n_envs
    }

    /// Whether nothing can be sampled.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a step of all envs, before its outcome is known.
    pub fn push(&mut self, observations: &Observations, actions: &Actions) {
        let first = self.slot(self.n_steps, 0);
        self.states[first * self.state_dim..][..self.n_envs * self.state_dim]
            .copy_from_slice(&observations.state);
        if !self.instructions.is_empty() {
            let embeddings = observations.instruction_embedding.chunks_exact(self.sentences.dim);
            for (env_idx, embedding) in embeddings.enumerate() {
                self.instructions[first + env_idx] = self.sentences.index(embedding);
            }
        }
        match (&mut self.actions, actions) {
            (Actions::Continuous(all), Actions::Continuous(new)) => {
                let dim = new.len() / self.n_envs;
                all[first * dim..][..new.len()].copy_from_slice(new);
            }
            (Actions::Discrete(all), Actions::Discrete(new)) => {
                all[first..][..new.len()].copy_from_slice(new)
            }
            _ => debug_assert!(false, "actions of one kind"),
        }
        for slot in first..first + self.n_envs {
            self.last_states.remove(&slot);
        }
        self.n_steps += 1;
    }

    /// Receives the outcome of the step that was appended last.
    pub fn observe(&mut self, flags: &StepFlags<'_>, last: &Observations) {
        let first = self.slot(self.n_steps - 1, 0);
        for env_idx in 0..self.n_envs {
            let flags = SlotFlags {
                terminated: flags.terminated[env_idx],
                truncated: flags.truncated[env_idx],
                valid: flags.valid[env_idx],
            };
            self.flags[first + env_idx] = flags;
            if flags.done() && flags.valid {
                let state = last.state[env_idx * self.state_dim..][..self.state_dim].to_vec();
                self.last_states.insert(first + env_idx, state);
            }
        }
    }

    /// Receives the rewards of the oldest steps without any.
    pub fn add_rewards(&mut self, steps: &Steps) {
        for rewards in steps.rewards.chunks_exact(self.n_envs) {
            let first = self.slot(self.n_rewarded, 0);
            self.rewards[first..first + self.n_envs].copy_from_slice(rewards);
            self.n_rewarded += 1;
        }
    }

    /// Samples transitions of up to `n_steps` steps each, which end early at the end of an episode or of what has rewards.
    /// Nothing is sampled from an empty replay. A step whose next state is not known yet is not sampled, so at least one step
    /// must have been appended after those with rewards.
    pub fn sample<R: Rng>(
        &self,
        n_rows: usize,
        n_steps: usize,
        discount: f32,
        rng: &mut R,
        out: &mut Transitions,
    ) {
        out.clear();
        if self.is_empty() {
            return;
        }
        let n_slots = self.len();
        // Bounded, as envs may all have been quarantined.
        for _ in 0..100 * n_rows {
            if out.rewards.len() == n_rows {
                break;
            }
            let index = rng.random_range(0..n_slots);
            let step = self.first_step() + (index / self.n_envs) as u64;
            let env_idx = index % self.n_envs;
            if self.flags[self.slot(step, env_idx)].valid {
                self.gather(step, env_idx, n_steps, discount, out);
            }
        }
        out.inputs.n_rows = out.rewards.len();
        out.next_inputs.n_rows = out.rewards.len();
    }

    fn gather(&self, step: u64, env_idx: usize, n_steps: usize, discount: f32, out: &mut Transitions) {
        let (mut reward, mut factor, mut last) = (0.0, 1.0, step);
        for next in step..(step + n_steps as u64).min(self.n_rewarded) {
            let slot = self.slot(next, env_idx);
            // An env that was quarantined in the middle of an episode.
            if !self.flags[slot].valid {
                break;
            }
            reward += factor * self.rewards[slot];
            factor *= discount;
            last = next;
            if self.flags[slot].done() {
                break;
            }
        }
        let (first, end) = (self.slot(step, env_idx), self.slot(last, env_idx));
        let flags = self.flags[end];
        out.rewards.push(reward);
        out.discounts.push(if flags.terminated { 0.0 } else { factor });
        match &self.actions {
            Actions::Continuous(values) => {
                let dim = values.len() / self.rewards.len();
                out.actions.extend_from_slice(&values[first * dim..][..dim]);
            }
            Actions::Discrete(choices) => out.choices.push(choices[first]),
        }
        let state = |slot: usize| &self.states[slot * self.state_dim..][..self.state_dim];
        out.inputs.state.extend_from_slice(state(first));
        let next = self.slot(last + 1, env_idx);
        match self.last_states.get(&end) {
            Some(state) => out.next_inputs.state.extend_from_slice(state),
            None => out.next_inputs.state.extend_from_slice(state(next)),
        }
        if !self.instructions.is_empty() {
            // An episode keeps its instruction to its end, unless a planner changes it.
            let next = if flags.done() { end } else { next };
            for (inputs, slot) in [(&mut out.inputs, first), (&mut out.next_inputs, next)] {
                let embedding = self.sentences.get(self.instructions[slot]);
                inputs.instruction_embedding.extend_from_slice(embedding);
            }
        }
    }

    /// The oldest step that is still there. The step before the newest one that is appended is never overwritten by it, as the
    /// next state of a sampled step is needed.
    fn first_step(&self) -> u64 {
        self.n_steps.saturating_sub(self.capacity as u64).min(self.n_rewarded)
    }

    fn slot(&self, step: u64, env_idx: usize) -> usize {
        (step % self.capacity as u64) as usize * self.n_envs + env_idx
    }

    /// Saves all transitions.
    ///
    /// # Errors
    /// If a value cannot be represented.
    pub fn save(&self, state: &mut SavedState) -> Result<()> {
        let n_steps = (self.n_steps.min(self.capacity as u64)) as usize;
        let n_slots = n_steps * self.n_envs;
        let flag = |flags: &SlotFlags| {
            u8::from(flags.terminated) | u8::from(flags.truncated) << 1 | u8::from(flags.valid) << 2
        };
        state.add_f32("replay.states", &self.states[..n_slots * self.state_dim]);
        state.add_f32("replay.rewards", &self.rewards[..n_slots]);
        state.add_bytes("replay.flags", self.flags[..n_slots].iter().map(flag).collect());
        match &self.actions {
            Actions::Continuous(values) => {
                let dim = values.len() / self.rewards.len();
                state.add_f32("replay.actions", &values[..n_slots * dim]);
            }
            Actions::Discrete(choices) => state.add_bytes("replay.choices", to_bytes(&choices[..n_slots])),
        }
        let n_instructions = n_slots.min(self.instructions.len());
        state.add_bytes("replay.instructions", to_bytes(&self.instructions[..n_instructions]));
        state.add_f32("replay.sentences", &self.sentences.embeddings);
        let slots: Vec<u32> = self.last_states.keys().map(|&slot| slot as u32).collect();
        state.add_bytes("replay.last_slots", to_bytes(&slots));
        state.add_f32(
            "replay.last_states",
            &self.last_states.values().flatten().copied().collect::<Vec<f32>>(),
        );
        state.add_value("replay.counts", &(self.n_steps, self.n_rewarded))
    }

    /// Restores what [`Self::save`] saved.
    ///
    /// # Errors
    /// If a part is missing, of another size, or damaged.
    pub fn load(&mut self, state: &SavedState) -> Result<()> {
        let (n_steps, n_rewarded): (u64, u64) = state.value("replay.counts")?;
        let damaged = || state.error("the replay is damaged".to_owned());
        if n_steps < n_rewarded || n_steps - n_rewarded > self.capacity as u64 {
            return Err(damaged());
        }
        let n_slots = n_steps.min(self.capacity as u64) as usize * self.n_envs;
        let f32_values = |name: &str, n: usize| {
            let values = state.f32_values(name)?;
            state.expect_equal(&format!("number of values in '{name}'"), &n, &values.len())?;
            Ok::<_, crate::AgentError>(values)
        };
        let bytes = |name: &str, n: usize| {
            let bytes = state.bytes(name)?;
            state.expect_equal(&format!("number of bytes in '{name}'"), &n, &bytes.len())?;
            Ok::<_, crate::AgentError>(bytes)
        };
        let states = f32_values("replay.states", n_slots * self.state_dim)?;
        let rewards = f32_values("replay.rewards", n_slots)?;
        let flags = bytes("replay.flags", n_slots)?;
        let n_instructions = n_slots.min(self.instructions.len());
        let instructions = from_bytes(bytes("replay.instructions", 4 * n_instructions)?);
        let sentences = state.f32_values("replay.sentences")?;
        let n_sentences = sentences.len() / self.sentences.dim.max(1);
        let slots = from_bytes(state.bytes("replay.last_slots")?);
        let last_states = f32_values("replay.last_states", slots.len() * self.state_dim)?;
        if instructions.iter().any(|&index| n_sentences <= index as usize)
            || slots.iter().any(|&slot| n_slots <= slot as usize)
        {
            return Err(damaged());
        }
        match &mut self.actions {
            Actions::Continuous(values) => {
                let dim = values.len() / self.rewards.len();
                values[..n_slots * dim].copy_from_slice(&f32_values("replay.actions", n_slots * dim)?);
            }
            Actions::Discrete(choices) => {
                choices[..n_slots].copy_from_slice(&from_bytes(bytes("replay.choices", 4 * n_slots)?));
            }
        }
        self.states[..states.len()].copy_from_slice(&states);
        self.rewards[..n_slots].copy_from_slice(&rewards);
        for (to, from) in self.flags.iter_mut().zip(flags) {
            *to = SlotFlags { terminated: from & 1 != 0, truncated: from & 2 != 0, valid: from & 4 != 0 };
        }
        self.instructions[..n_instructions].copy_from_slice(&instructions);
        for embedding in sentences.chunks_exact(self.sentences.dim.max(1)) {
            self.sentences.index(embedding);
        }
        let last_states = last_states.chunks_exact(self.state_dim.max(1)).map(<[f32]>::to_vec);
        self.last_states = slots.iter().map(|&slot| slot as usize).zip(last_states).collect();
        (self.n_steps, self.n_rewarded) = (n_steps, n_rewarded);
        Ok(())
    }
}

impl Transitions {
    fn clear(&mut self) {
        for inputs in [&mut self.inputs, &mut self.next_inputs] {
            inputs.n_rows = 0;
            inputs.state.clear();
            inputs.instruction_embedding.clear();
        }
        self.actions.clear();
        self.choices.clear();
        self.rewards.clear();
        self.discounts.clear();
    }
}

fn to_bytes(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn from_bytes(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect()
}
