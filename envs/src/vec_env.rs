//! The stepping engine: a batch of envs, in groups that step concurrently.

use std::sync::Arc;

use bevy::app::App;
use bevy::ecs::world::World;
use sayso_rewards::{RewardFrames, ScoringPlan};
use sayso_sim::{Frames, PreparedScene};

use crate::config::{EnvConfig, RewardSource};
use crate::group::Group;
use crate::space::{Actions, Space};
use crate::task::{Measurement, Task, TaskSpec};
use crate::vector::{AutoresetMode, ResetOptions, Seed, StepBatch, VectorEnv, expect_len};
use crate::workers::GroupWorkers;
use crate::{EnvError, Result, registry};

/// A batch of envs of one task, stepped together; a single env is a batch of one.
///
/// With several groups ([`EnvConfig::n_groups`]) the physics of one runs while another waits for its frames or its scores.
/// Results do not depend on the number of groups, except for rounding in a reward model on a GPU.
pub struct VecEnv {
    groups: Vec<Group>,
    workers: GroupWorkers,
    task: Arc<dyn Task>,
    observation_space: Space,
    goal_names: Vec<String>,
    goal_idx: Option<usize>,
    n_envs: usize,
    max_episode_steps: u32,
    autoreset: AutoresetMode,
    was_reset: bool,
}

impl VecEnv {
    /// Makes a batch of a registered environment.
    ///
    /// # Errors
    /// If the id, the instruction, a camera or an option is unknown, or a value is out of its range.
    pub fn new(config: &EnvConfig, reward: RewardSource) -> Result<Self> {
        Self::with_plugins(config, reward, |_| {})
    }

    /// Makes a batch and lets the caller add plugins to the app of every group before the first step.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_plugins(
        config: &EnvConfig,
        reward: RewardSource,
        add_plugins: impl Fn(&mut App),
    ) -> Result<Self> {
        let task: Arc<dyn Task> = registry::task(&config.id, &config.options)?.into();
        let spec = task.spec();
        config.validate()?;
        config.check_memory()?;
        let goal_names: Vec<String> = spec.goals.iter().map(|g| g.name.clone()).collect();
        let instructed = match &config.instruction {
            None => (goal_names.len() == 1).then_some(0),
            Some(instruction) => {
                let goal_idx = goal_names.iter().position(|name| name == instruction);
                Some(goal_idx.ok_or_else(|| EnvError::unknown("instruction", instruction, &goal_names))?)
            }
        };
        let config = &config.resolve();
        let n_groups = config.n_groups;
        let scene = PreparedScene::new(task.scene())?;
        let first_env = |group: usize| group * config.n_envs / n_groups;
        let groups = (0..n_groups)
            .map(|group| {
                let envs = first_env(group)..first_env(group + 1);
                Group::new(&*task, &scene, config, reward.clone(), instructed, envs, &add_plugins)
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            workers: GroupWorkers::new(n_groups)?,
            groups,
            observation_space: observation_space(spec, config),
            goal_names,
            goal_idx: instructed,
            n_envs: config.n_envs,
            max_episode_steps: config.max_episode_steps.unwrap_or(spec.max_episode_steps),
            autoreset: config.autoreset,
            task,
            was_reset: false,
        })
    }

    /// The task of every env.
    pub fn task(&self) -> &dyn Task {
        &*self.task
    }

    /// The specification of the task.
    pub fn task_spec(&self) -> &TaskSpec {
        self.task.spec()
    }

    /// Index of the goal of [`EnvConfig::instruction`], or of the task's only goal; `None` without an instruction if the task
    /// has several goals: it is not known then which of them counts as success.
    pub fn goal_idx(&self) -> Option<usize> {
        self.goal_idx
    }

    /// Control steps after which an episode is truncated.
    pub fn max_episode_steps(&self) -> u32 {
        self.max_episode_steps
    }

    /// Which frames the reward model scores; `None` without one.
    pub fn scoring_plan(&self) -> Option<ScoringPlan> {
        self.groups.first().and_then(Group::scoring_plan)
    }

    /// The Bevy worlds of the groups, in the order of their envs, for plugins and tools.
    pub fn worlds_mut(&mut self) -> impl Iterator<Item = &mut World> {
        self.groups.iter_mut().map(|group| group.world_mut())
    }

    /// Hashes of the state of every env, `[n_envs]`; see [`sayso_sim::SimWorld::state_hash`].
    pub fn state_hashes(&mut self) -> Vec<u64> {
        let hashes = |group: &mut Group| {
            group.with_worlds(|worlds| worlds.iter().map(|world| world.state_hash()).collect::<Vec<_>>())
        };
        self.groups.iter_mut().flat_map(hashes).collect()
    }

    /// Renders one camera of every env in its current state, `[n_envs, height, width, 3]` u8, four rays per pixel.
    ///
    /// # Errors
    /// If the scene has no camera of that name, or the GPU fails.
    pub fn render(&mut self, camera: &str, height: usize, width: usize) -> Result<Frames> {
        let mut frames = Frames::default();
        for group in &mut self.groups {
            frames.append(&group.render(camera, height, width)?);
        }
        Ok(frames)
    }

    /// Control steps per second of simulated time, a whole number; videos play at this rate.
    pub fn control_hz(&self) -> u32 {
        self.task.scene().physics.control_hz() as u32
    }

    /// Ground truth of every env in its current state.
    pub fn measure(&mut self) -> Vec<Measurement> {
        self.groups.iter_mut().flat_map(|group| group.measure()).collect()
    }

    /// Writes the columns of all groups to `out`. With one group the buffers are swapped, not copied.
    fn hand_over(&mut self, out: &mut StepBatch) {
        if let [group] = self.groups.as_mut_slice() {
            std::mem::swap(out, group.columns_mut());
            return;
        }
        out.clear();
        let is_same_step = self.autoreset == AutoresetMode::SameStep;
        for group in &mut self.groups {
            out.append(group.columns_mut(), is_same_step);
        }
    }

    fn check_actions(&self, actions: &Actions) -> Result<()> {
        let spec = self.task.spec();
        let (what, got, is_valid) = match (&spec.action_space, actions) {
            (Space::Box { low, .. }, Actions::Continuous(values)) => {
                let expected = self.n_envs * low.len();
                let is_finite = values.iter().all(|v| v.is_finite());
                let got = if is_finite {
                    format!("{} values", values.len())
                } else {
                    "a value that is not finite".into()
                };
                (
                    format!("{expected} finite f32 values, [n_envs, {}]", low.len()),
                    got,
                    values.len() == expected && is_finite,
                )
            }
            (Space::Discrete { n }, Actions::Discrete(choices)) => {
                let is_valid = choices.len() == self.n_envs && choices.iter().all(|&c| (c as usize) < *n);
                (format!("{} choices below {n}", self.n_envs), format!("{choices:?}"), is_valid)
            }
            (Space::Discrete { n }, Actions::Continuous(_)) => {
                (format!("{} choices below {n}", self.n_envs), "continuous values".to_owned(), false)
            }
            (space, Actions::Discrete(_)) => {
                (format!("f32 values, [n_envs, {}]", space.dim()), "discrete choices".to_owned(), false)
            }
            (space, Actions::Continuous(_)) => (format!("{space:?}"), "continuous values".to_owned(), false),
        };
        if is_valid { Ok(()) } else { Err(EnvError::BadAction { expected: what, got }) }
    }
}

impl VectorEnv for VecEnv {
    fn n_envs(&self) -> usize {
        self.n_envs
    }

    fn single_observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn single_action_space(&self) -> &Space {
        &self.task.spec().action_space
    }

    fn autoreset_mode(&self) -> AutoresetMode {
        self.autoreset
    }

    fn goal_names(&self) -> &[String] {
        &self.goal_names
    }

    fn metric_names(&self) -> &[String] {
        &self.task.spec().metric_names
    }

    fn reset(&mut self, options: &ResetOptions, out: &mut StepBatch) -> Result<()> {
        if let Some(mask) = &options.mask {
            expect_len("mask", self.n_envs, mask.len())?;
        }
        if let Some(Seed::PerEnv(seeds)) = &options.seed {
            expect_len("seeds", self.n_envs, seeds.len())?;
        }
        let is_partial = options.mask.is_some();
        if is_partial && !self.was_reset {
            return Err(EnvError::WrongOrder("the first reset cannot have a mask: no env has a state yet"));
        }
        for group in &mut self.groups {
            group.reset(options)?;
        }
        self.was_reset = true;
        self.hand_over(out);
        Ok(())
    }

    fn step(&mut self, actions: &Actions, out: &mut StepBatch) -> Result<()> {
        if !self.was_reset {
            return Err(EnvError::WrongOrder("step before reset: call reset first"));
        }
        self.check_actions(actions)?;
        if self.autoreset == AutoresetMode::Disabled && self.groups.iter_mut().any(|group| group.has_ended())
        {
            return Err(EnvError::WrongOrder(
                "a finished env was stepped with autoreset disabled: reset it with a mask first",
            ));
        }
        for group in &mut self.groups {
            group.set_actions(actions);
        }
        self.workers.step(&mut self.groups)?;
        self.hand_over(out);
        Ok(())
    }

    fn swap_reward_frames(&mut self, frames: &mut RewardFrames) {
        let RewardFrames { frames, rows } = frames;
        rows.clear();
        let n_parts = self.groups.iter().map(Group::n_reward_parts).sum();
        frames.parts.resize_with(n_parts, Default::default);
        let mut parts = frames.parts.as_mut_slice();
        for group in &mut self.groups {
            let (own, rest) = parts.split_at_mut(group.n_reward_parts());
            group.swap_reward_frames(own, rows);
            parts = rest;
        }
    }

    fn render_observations(&mut self, out: &mut Frames) -> Result<()> {
        out.resize(0, 0, 0);
        for group in &mut self.groups {
            group.render_observations(out)?;
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<Vec<u8>> {
        crate::snapshot::save(&self.groups)
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<()> {
        crate::snapshot::restore(&mut self.groups, snapshot)?;
        self.was_reset = true;
        Ok(())
    }
}

fn observation_space(spec: &TaskSpec, config: &EnvConfig) -> Space {
    let [height, width] = config.pixel_size;
    let pixels = Space::Image { height, width };
    match (config.observation.has_state(), config.observation.has_pixels()) {
        (true, false) => spec.state_space.clone(),
        (false, _) => pixels,
        (true, true) => {
            Space::Dict(vec![("state".to_owned(), spec.state_space.clone()), ("pixels".to_owned(), pixels)])
        }
    }
}
