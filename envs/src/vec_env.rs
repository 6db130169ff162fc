//! The stepping engine: a batch of envs, in groups that step concurrently.

use std::sync::Arc;

use bevy::app::App;
use bevy::ecs::world::World;
use sayso_rewards::{RewardFrames, RewardModel, RewardText, ScoringPlan, SentenceEmbeddings, check_text};
use sayso_sim::{Frames, PreparedScene};

use crate::config::{
    EnvConfig, InstructionForm, MAX_TEXT_LENGTH, ObservationConfig, RewardSource, ScoringConfig,
};
use crate::group::Group;
use crate::instructions::{Instruction, Instructions, instructions};
use crate::snapshot::Snapshot;
use crate::space::{Actions, Space};
use crate::task::{Measurement, STATE_BOUND, Task, TaskSpec};
use crate::vector::{AutoresetMode, Observations, ResetOptions, Seed, StepBatch, VectorEnv, expect_len};
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
    /// The form in which the instruction is observed.
    observed_instruction: Option<InstructionForm>,
    /// Reads the texts of instructions.
    reward_model: Option<Arc<dyn RewardModel>>,
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
        Self::with_plugins(config, reward, None, |_| {})
    }

    /// Makes a batch and lets the caller add plugins to the app of every group before the first step. `sentences` is the text
    /// tower of [`InstructionForm::Embedding`].
    ///
    /// # Errors
    /// As [`Self::new`]; if embeddings are observed and there is no text tower, or it cannot read an instruction.
    pub fn with_plugins(
        config: &EnvConfig,
        reward: RewardSource,
        sentences: Option<Arc<SentenceEmbeddings>>,
        add_plugins: impl Fn(&mut App),
    ) -> Result<Self> {
        let task: Arc<dyn Task> = registry::task(&config.id, &config.options)?.into();
        let spec = task.spec();
        config.validate()?;
        config.check_memory()?;
        let goal_names: Vec<String> = spec.goals.iter().map(|g| g.name.clone()).collect();
        let (reward_model, prompts) = match &reward {
            RewardSource::Model(model, scoring) | RewardSource::Deferred(model, scoring) => {
                let ScoringConfig { goal_prompts, baseline_prompts, .. } = scoring;
                (Some(Arc::clone(model)), [goal_prompts.as_slice(), baseline_prompts])
            }
            RewardSource::None | RewardSource::GroundTruth | RewardSource::Goal(_) => {
                (None, [[].as_slice(); 2])
            }
        };
        let is_embedded = config.observation.instruction == Some(InstructionForm::Embedding);
        if is_embedded && sentences.is_none() {
            return Err(EnvError::OutOfRange {
                field: "env.observation".to_owned(),
                got: "instruction_embedding without a text tower".to_owned(),
                expected: "a text tower, or another form of the instruction".to_owned(),
            });
        }
        let configured = instructions(config, spec, prompts[0], prompts[1])?;
        let is_goal_reward = matches!(reward, RewardSource::Goal(_));
        config.check_columns(&*task, &configured, is_goal_reward)?;
        let instructions = Instructions::new(configured, sentences.filter(|_| is_embedded))?;
        let config = &config.resolve();
        let n_groups = config.n_groups;
        let scene = PreparedScene::new(task.scene())?;
        let first_env = |group: usize| group * config.n_envs / n_groups;
        let groups = (0..n_groups)
            .map(|group| {
                let envs = first_env(group)..first_env(group + 1);
                Group::new(&*task, &scene, config, reward.clone(), &instructions, envs, &add_plugins)
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            workers: GroupWorkers::new(n_groups)?,
            groups,
            observation_space: observation_space(spec, config, &instructions),
            goal_names,
            observed_instruction: config.observation.instruction,
            reward_model,
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

    /// The texts that the reward model is given for [`VectorEnv::instructions`].
    pub fn reward_texts(&self) -> &[RewardText] {
        self.groups.first().map_or(&[], |group| group.instructions().texts())
    }

    /// Writes the present instructions, and the values of the goals, to the columns of `observations`.
    pub fn instruction_columns(&mut self, observations: &mut Observations) {
        let Observations { instruction, instruction_embedding, achieved_goal, desired_goal, .. } =
            observations;
        instruction.clear();
        for column in [instruction_embedding, achieved_goal, desired_goal] {
            column.clear();
        }
        self.groups.iter_mut().for_each(|group| group.instruction_columns(observations));
    }

    /// Changes the instruction of one env's present episode, also in `observations`, the latest ones. It is added to
    /// [`VectorEnv::instructions`] if it is not there, and stays; there may be 65,536 of them. The reward of the next step is that of the new instruction; rewards begin
    /// anew ([`sayso_rewards::RewardSchedule::reward`]).
    ///
    /// # Errors
    /// If there is no such env, it was not reset or its episode has ended, the reward model or the text tower cannot read the instruction, a term of the reward
    /// needs a goal and the instruction has none, or the instruction is not in the observation space. Nothing has changed then.
    pub fn set_instruction(
        &mut self,
        env_idx: usize,
        instruction: Instruction,
        observations: &mut Observations,
    ) -> Result<()> {
        if !self.was_reset {
            return Err(EnvError::WrongOrder("set_instruction before reset: call reset first"));
        }
        let Some(group) = self.groups.iter_mut().find(|group| group.envs().contains(&env_idx)) else {
            let (field, got) = ("env".to_owned(), env_idx.to_string());
            return Err(EnvError::OutOfRange {
                field,
                got,
                expected: format!("an index below {}", self.n_envs),
            });
        };
        if self.autoreset != AutoresetMode::SameStep && group.env_has_ended(env_idx - group.envs().start) {
            return Err(EnvError::WrongOrder(
                "set_instruction after the end of an episode: the next episode has an instruction of its own",
            ));
        }
        self.check_added(&instruction)?;
        let Some(known) = self.groups.first().map(Group::instructions) else { return Ok(()) };
        let mut instructions = known.clone();
        let idx = instructions.add(instruction)?;
        if known.all().len() < instructions.all().len() {
            self.groups.iter_mut().for_each(|group| group.set_instructions(instructions.clone()));
        }
        if let Some(group) = self.groups.iter_mut().find(|group| group.envs().contains(&env_idx)) {
            group.set_instruction(env_idx - group.envs().start, idx);
        }
        self.instruction_columns(observations);
        Ok(())
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

    /// Checks an instruction that is not one of the configuration.
    fn check_added(&self, instruction: &Instruction) -> Result<()> {
        let text = format!("'{}'", instruction.text);
        let out_of_range = |got: String, expected: String| {
            Err(EnvError::OutOfRange { field: "instruction".to_owned(), got, expected })
        };
        let n_goals = self.goal_names.len();
        match instruction.goal_idx {
            Some(goal_idx) if n_goals <= goal_idx => {
                return out_of_range(format!("{text} of goal {goal_idx}"), format!("a goal below {n_goals}"));
            }
            None if self.groups.iter().any(Group::needs_goal) => {
                let expected = "one that names a goal, as observations or a term of the reward need it";
                return out_of_range(text, expected.to_owned());
            }
            _ => {}
        }
        let configured = self.groups.first().map_or(&[][..], |group| group.instructions().configured());
        match self.observed_instruction {
            Some(InstructionForm::Index) if !configured.contains(instruction) => {
                return out_of_range(
                    text,
                    format!("one of the {} of the observation space", configured.len()),
                );
            }
            Some(InstructionForm::Text) if MAX_TEXT_LENGTH < instruction.text.chars().count() => {
                return out_of_range(text, format!("at most {MAX_TEXT_LENGTH} characters"));
            }
            _ => {}
        }
        if let Some(model) = &self.reward_model {
            check_text(&**model, &instruction.reward_text())?;
        }
        Ok(())
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

    fn instructions(&self) -> &[Instruction] {
        self.groups.first().map_or(&[], |group| group.instructions().all())
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
        let RewardFrames { frames, rows, texts } = frames;
        rows.clear();
        if let Some(group) = self.groups.first() {
            *texts = Arc::clone(group.instructions().texts());
        }
        let n_parts = self.groups.iter().map(Group::n_reward_parts).sum();
        frames.parts.resize_with(n_parts, Default::default);
        let mut parts = frames.parts.as_mut_slice();
        for group in &mut self.groups {
            let (own, rest) = parts.split_at_mut(group.n_reward_parts());
            group.swap_reward_frames(own, rows);
            parts = rest;
        }
    }

    fn render_observations(&mut self, out: &mut Observations) -> Result<()> {
        out.pixels.iter_mut().for_each(|frames| frames.resize(0, 0, 0));
        for group in &mut self.groups {
            group.render_observations(&mut out.pixels)?;
        }
        self.instruction_columns(out);
        Ok(())
    }

    fn snapshot(&self) -> Result<Vec<u8>> {
        crate::snapshot::save(&self.groups)
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<()> {
        let snapshot = Snapshot::read(&self.groups, snapshot)?;
        snapshot.added_instructions().iter().try_for_each(|instruction| self.check_added(instruction))?;
        crate::snapshot::restore(&mut self.groups, &snapshot)?;
        self.was_reset = true;
        Ok(())
    }
}

fn observation_space(spec: &TaskSpec, config: &EnvConfig, instructions: &Instructions) -> Space {
    let ObservationConfig { state, pixels: _, instruction, goal } = config.observation;
    let instruction = instruction.map(|form| match form {
        InstructionForm::Index => Space::Discrete { n: instructions.configured().len() },
        InstructionForm::Text => Space::Text { max_length: MAX_TEXT_LENGTH },
        InstructionForm::Embedding => Space::uniform_box(instructions.embed_dim(), -1.0, 1.0),
    });
    let images = config.images(spec);
    let has_several = 1 < images.len();
    let images = images.into_iter().map(|(camera, [height, width])| {
        let name = if has_several { format!("pixels_{camera}") } else { "pixels".to_owned() };
        (name, Some(Space::Image { height, width }))
    });
    let goal_space = || Some(Space::uniform_box(spec.goal_space.as_ref()?.dim(), -STATE_BOUND, STATE_BOUND));
    let column = |name: &str, space: Option<Space>| (name.to_owned(), space);
    let columns =
        std::iter::once(column("state", state.then(|| spec.state_space.clone()))).chain(images).chain([
            column("instruction", instruction),
            column("achieved_goal", goal.then(goal_space).flatten()),
            column("desired_goal", goal.then(goal_space).flatten()),
        ]);
    let mut columns: Vec<(String, Space)> =
        columns.filter_map(|(name, space)| Some((name, space?))).collect();
    match columns.len() {
        1 => columns.remove(0).1,
        _ => Space::Dict(columns),
    }
}
