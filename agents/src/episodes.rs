//! Episode statistics: returns, lengths, and success per goal.

use std::collections::VecDeque;

use sayso_envs::Instruction;
use serde::{Deserialize, Serialize};

/// Maximum number of episodes, steps and updates in a file: a larger one is damage, and further ones could not be counted.
pub(crate) const MAX_COUNT: u64 = 1 << 53;
/// Maximum number of control steps of an unfinished episode in a file.
const MAX_EPISODE_STEPS: u64 = 1 << 31;
/// Maximum number of episodes that reports average over.
pub(crate) const MAX_WINDOW: usize = 1_000_000;

/// A finished episode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Episode {
    /// Undiscounted sum of the rewards.
    pub episode_return: f32,
    /// Length in control steps.
    pub n_steps: u32,
    /// Index of the instruction in [`sayso_envs::VectorEnv::instructions`]; the last one, if it changed.
    pub instruction: u32,
    /// `[n_goals]`: whether each goal was met in the last state.
    pub success_at_end: Vec<bool>,
    /// `[n_goals]`: whether each goal was met in any state.
    pub success_ever: Vec<bool>,
}

impl Episode {
    /// Whether the last state met the goal of the instruction; `None` if that is of no goal.
    pub fn is_success(&self, instructions: &[Instruction]) -> Option<bool> {
        let goal_idx = instructions.get(self.instruction as usize)?.goal_idx?;
        self.success_at_end.get(goal_idx).copied()
    }
}

/// How often a goal was met, over finished episodes; ground truth, for logs only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoalRate {
    /// Name of the goal.
    pub goal: String,
    /// Fraction of episodes whose last state met it, in [0, 1].
    pub at_end: f64,
    /// Fraction of episodes in which some state met it, in [0, 1].
    pub ever: f64,
}

/// The unfinished episodes of a batch of envs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpisodeTracker {
    n_goals: usize,
    running: Vec<Running>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Running {
    /// Serialised as bits: not every JSON reader restores an f64 exactly from its decimals.
    #[serde(with = "f64_bits")]
    episode_return: f64,
    n_steps: u32,
    success_ever: Vec<bool>,
}

mod f64_bits {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(value.to_bits())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        u64::deserialize(deserializer).map(f64::from_bits)
    }
}

impl Running {
    fn new(n_goals: usize) -> Self {
        Self { episode_return: 0.0, n_steps: 0, success_ever: vec![false; n_goals] }
    }
}

impl EpisodeTracker {
    /// A tracker with every env at the start of an episode.
    pub fn new(n_envs: usize, n_goals: usize) -> Self {
        Self { n_goals, running: vec![Running::new(n_goals); n_envs] }
    }

    /// Checks values that were read from a file.
    pub(crate) fn check(&self) -> Result<(), String> {
        let is_valid = |running: &Running| {
            running.success_ever.len() == self.n_goals && u64::from(running.n_steps) <= MAX_EPISODE_STEPS
        };
        if self.running.iter().all(is_valid) {
            Ok(())
        } else {
            Err("an unfinished episode is damaged".to_owned())
        }
    }

    /// Number of envs.
    pub fn n_envs(&self) -> usize {
        self.running.len()
    }

    /// Number of goals.
    pub fn n_goals(&self) -> usize {
        self.n_goals
    }

    /// Adds a step of one env; `success` is `[n_goals]`. Returns the episode if the step was its last.
    pub fn record(
        &mut self,
        env_idx: usize,
        reward: f32,
        success: &[bool],
        instruction: u32,
        done: bool,
    ) -> Option<Episode> {
        let running = &mut self.running[env_idx];
        running.episode_return += f64::from(reward);
        running.n_steps += 1;
        for (ever, &now) in running.success_ever.iter_mut().zip(success) {
            *ever |= now;
        }
        if !done {
            return None;
        }
        let ended = std::mem::replace(running, Running::new(self.n_goals));
        Some(Episode {
            episode_return: ended.episode_return as f32,
            n_steps: ended.n_steps,
            instruction,
            success_at_end: success.to_vec(),
            success_ever: ended.success_ever,
        })
    }
}

/// The last finished episodes, at most a fixed number of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecentEpisodes {
    capacity: usize,
    episodes: VecDeque<Episode>,
    n_finished: u64,
}

impl RecentEpisodes {
    /// An empty window over the last `capacity` episodes.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, episodes: VecDeque::with_capacity(capacity), n_finished: 0 }
    }

    /// Checks values that were read from a file, for a task with `n_goals` goals.
    pub(crate) fn check(&self, n_goals: usize) -> Result<(), String> {
        let has_goals = |episode: &Episode| {
            episode.success_at_end.len() == n_goals && episode.success_ever.len() == n_goals
        };
        let is_valid = (1..=MAX_WINDOW).contains(&self.capacity)
            && self.episodes.len() <= self.capacity
            && self.n_finished <= MAX_COUNT
            && self.episodes.iter().all(has_goals);
        if is_valid { Ok(()) } else { Err("the latest episodes are damaged".to_owned()) }
    }

    /// Adds an episode, and removes the oldest one if the window is full.
    pub fn push(&mut self, episode: Episode) {
        if self.episodes.len() == self.capacity {
            self.episodes.pop_front();
        }
        self.episodes.push_back(episode);
        self.n_finished += 1;
    }

    /// Number of episodes that have finished in total.
    pub fn n_finished(&self) -> u64 {
        self.n_finished
    }

    /// Mean return over the window; `None` while it is empty.
    pub fn mean_return(&self) -> Option<f64> {
        self.mean(|episode| f64::from(episode.episode_return))
    }

    /// Mean length over the window, in control steps; `None` while it is empty.
    pub fn mean_steps(&self) -> Option<f64> {
        self.mean(|episode| f64::from(episode.n_steps))
    }

    /// Success rates over the window, one per goal; empty while the window is empty.
    pub fn goal_rates(&self, goal_names: &[String]) -> Vec<GoalRate> {
        goal_names
            .iter()
            .enumerate()
            .filter_map(|(goal_idx, goal)| {
                Some(GoalRate {
                    goal: goal.clone(),
                    at_end: self.mean(|episode| f64::from(u8::from(episode.success_at_end[goal_idx])))?,
                    ever: self.mean(|episode| f64::from(u8::from(episode.success_ever[goal_idx])))?,
                })
            })
            .collect()
    }

    /// Fraction of the episodes of the window whose instruction is of a goal, and whose last state met that goal; `None` if
    /// there is no such episode.
    pub fn success_rate(&self, instructions: &[Instruction]) -> Option<f64> {
        let met = self.episodes.iter().filter_map(|episode| episode.is_success(instructions));
        let (n_met, n) = met.fold((0_usize, 0_usize), |(n_met, n), met| (n_met + usize::from(met), n + 1));
        (0 < n).then(|| n_met as f64 / n as f64)
    }

    fn mean(&self, value: impl Fn(&Episode) -> f64) -> Option<f64> {
        (!self.episodes.is_empty())
            .then(|| self.episodes.iter().map(value).sum::<f64>() / self.episodes.len() as f64)
    }
}
