//! A group: envs that step together, in one Bevy world and one run of its schedule.

use std::ops::Range;
use std::sync::Arc;

use bevy::app::App;
use bevy::ecs::change_detection::Mut;
use bevy::ecs::world::World;
use sayso_rewards::{FrameRow, Scorer, ScoringPlan};
use sayso_sim::app::{Renderer, Sensors, SimPlugin, Slot, Step, in_slot_order};
use sayso_sim::render::{Backend, Outputs, RenderSpec, Samples};
use sayso_sim::scene::SceneSpec;
use sayso_sim::sensor::{Selection, Sensor};
use sayso_sim::{EnvIdx, FramePart, Frames, PreparedScene, SimWorld};

use crate::composition::Composition;
use crate::config::{EnvConfig, RewardSource};
use crate::engine::{
    Batch, BatchConfig, Episode, OwnReward, PendingActions, Row, StepPlugin, TaskSlot, goal_dim, read_row,
    start_episode,
};
use crate::instructions::Instructions;
use crate::scoring::Scoring;
use crate::space::Actions;
use crate::task::{Measurement, Task};
use crate::vector::{AutoresetMode, Observations, ResetOptions, StepBatch};
use crate::{EnvError, Result};

/// Envs `first_env..first_env + n_envs` of a batch.
pub(crate) struct Group {
    world: World,
}

impl Group {
    /// Makes the envs `envs` of the batch that `config` describes.
    pub fn new(
        task: &dyn Task,
        scene: &PreparedScene,
        config: &EnvConfig,
        reward: RewardSource,
        instructions: &Instructions,
        envs: Range<usize>,
        add_plugins: &dyn Fn(&mut App),
    ) -> Result<Self> {
        let spec = task.spec();
        let own_reward = match &reward {
            RewardSource::GroundTruth => OwnReward::GroundTruth,
            RewardSource::Goal(reward) => OwnReward::Goal(*reward),
            RewardSource::None | RewardSource::Model(..) | RewardSource::Deferred(..) => OwnReward::None,
        };
        let goal_dim = goal_dim(spec, config.observation, own_reward);
        let mut app = App::empty();
        app.add_plugins((SimPlugin, StepPlugin));
        for slot in 0..envs.len() {
            let world = scene.world()?;
            let instance = task.instance(&world)?;
            let row = Row::new(spec, config.observation.state, goal_dim);
            app.world_mut().spawn((
                Slot(EnvIdx(slot)),
                sayso_sim::app::IsStepping(false),
                world,
                TaskSlot(instance),
                Episode { key: [config.seed, (envs.start + slot) as u64], ..Episode::default() },
                row,
            ));
        }
        let mut backend = Backend::open(&config.device)?;
        backend.set_shrink_on_oom(config.shrink_on_oom);
        let mut sensors = Vec::new();
        for (camera, [height, width]) in config.images(spec) {
            sensors.push(sensor(scene.spec(), &[camera], (height, width))?);
        }
        let pixel_sensors = (0..sensors.len()).collect();
        let max_episode_steps = config.max_episode_steps.unwrap_or(spec.max_episode_steps);
        let scoring = match &reward {
            RewardSource::None | RewardSource::GroundTruth | RewardSource::Goal(_) => None,
            RewardSource::Model(model, scoring) | RewardSource::Deferred(model, scoring) => {
                let plan = scoring.plan(model.frames(), max_episode_steps)?;
                let cameras = scoring.cameras(spec);
                let request = model.frame_request();
                let size = (request.image.height, request.image.width);
                let device = backend.gpu().and_then(|gpu| gpu.adapter().uuid);
                let mut add_sensor = || {
                    let mut sensor =
                        sensor(scene.spec(), cameras, size)?.for_model(request.model_input(device));
                    sensor.selection = Selection::Slots(Vec::new());
                    sensors.push(sensor);
                    Ok::<usize, EnvError>(sensors.len() - 1)
                };
                let of_steps = add_sensor()?;
                let has_first = plan.embeds_first_frame() && config.autoreset == AutoresetMode::SameStep;
                let of_starts = has_first.then(add_sensor).transpose()?;
                let scorer = match &reward {
                    RewardSource::Model(model, scoring) => {
                        let (model, texts) = (Arc::clone(model), instructions.texts());
                        Some(Scorer::new(model, plan, scoring.failures, envs.len(), cameras.len(), texts)?)
                    }
                    _ => None,
                };
                let composition = Composition::new(&scoring.terms, spec, instructions.all())?;
                let discount = scoring.discount;
                Some(Scoring::new(plan, discount, composition, of_steps, of_starts, scorer, envs.len()))
            }
        };
        let batch_config = BatchConfig {
            spec: spec.clone(),
            options: toml::to_string(&config.options).unwrap_or_default(),
            first_env: envs.start,
            n_envs: envs.len(),
            instructions: instructions.clone(),
            observation: config.observation,
            autoreset: config.autoreset,
            max_episode_steps,
            pixel_sensors,
            own_reward,
        };
        if let Some(scoring) = scoring {
            app.insert_resource(scoring);
        }
        app.insert_resource(Renderer { backend, failure: None });
        app.insert_resource(Sensors(sensors));
        app.insert_resource(Batch::new(&batch_config));
        app.insert_resource(batch_config);
        app.init_resource::<PendingActions>();
        add_plugins(&mut app);
        app.finish();
        app.cleanup();
        // Only the world is kept: it can be sent between threads, the app cannot.
        Ok(Self { world: std::mem::take(app.world_mut()) })
    }

    /// The group's Bevy world.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The group's Bevy world.
    pub fn world_mut(&mut self) -> &mut World {
        &mut self.world
    }

    /// Indices in the batch of the group's envs.
    pub fn envs(&self) -> Range<usize> {
        let config = self.world.resource::<BatchConfig>();
        config.first_env..config.first_env + config.n_envs
    }

    /// Calls `f` with the worlds, in the order of their envs.
    pub fn with_worlds<T>(&mut self, f: impl FnOnce(&[&SimWorld]) -> T) -> T {
        let world = &mut self.world;
        let mut envs = world.query::<(&Slot, &SimWorld)>();
        let envs = envs.query(world);
        f(&in_slot_order(&envs))
    }

    /// Ground truth of every env in its current state.
    pub fn measure(&mut self) -> Vec<Measurement> {
        let world = &mut self.world;
        let spec = world.resource::<BatchConfig>().spec.clone();
        let mut rows: Vec<(EnvIdx, Measurement)> = Vec::new();
        let mut envs = world.query::<(&Slot, &SimWorld, &TaskSlot)>();
        for (slot, sim_world, task) in envs.iter(world) {
            let mut measurement = Measurement::new(&spec);
            task.0.measure(sim_world, &mut measurement);
            rows.push((slot.0, measurement));
        }
        rows.sort_by_key(|(slot, _)| *slot);
        rows.into_iter().map(|(_, measurement)| measurement).collect()
    }

    /// Renders one camera of every env in its current state.
    pub fn render(&mut self, camera: &str, height: usize, width: usize) -> Result<Frames> {
        let spec = RenderSpec { height, width, samples: Samples::Four, shadows: true, outputs: Outputs::RGB };
        let world = &mut self.world;
        world.resource_scope(|world, mut renderer: Mut<Renderer>| {
            let mut envs = world.query::<(&Slot, &SimWorld)>();
            let envs = envs.query(world);
            let worlds = in_slot_order(&envs);
            let camera = worlds.first().map(|w| w.camera(camera)).transpose()?;
            let mut sensor = Sensor::new(camera.into_iter().collect(), spec);
            sensor.render(&mut renderer.backend, &worlds)?;
            Ok(sensor.target.rgb)
        })
    }

    /// Appends the pixel observations of the current state.
    pub fn render_observations(&mut self, out: &mut Vec<Frames>) -> Result<()> {
        crate::engine::render_pixels(&mut self.world);
        self.take_failure()?;
        let sensors = self.world.resource::<Sensors>();
        let pixel_sensors = &self.world.resource::<BatchConfig>().pixel_sensors;
        out.resize_with(pixel_sensors.len(), Frames::default);
        for (frames, &sensor_idx) in out.iter_mut().zip(pixel_sensors) {
            frames.append(&sensors.0[sensor_idx].target.rgb);
        }
        Ok(())
    }

    /// Appends the present instructions, and the values of the goals, to the columns.
    pub fn instruction_columns(&mut self, out: &mut Observations) {
        self.world.resource_scope(|world, config: Mut<BatchConfig>| {
            let mut envs = world.query::<(&Slot, &SimWorld, &TaskSlot, &Episode, &mut Row)>();
            let mut envs: Vec<_> = envs.iter_mut(world).collect();
            envs.sort_unstable_by_key(|(slot, ..)| slot.0);
            for (_, sim_world, task, episode, mut row) in envs {
                let Episode { instruction, .. } = *episode;
                read_row(sim_world, &*task.0, config.instructions.goal_idx(instruction), &mut row);
                out.instruction.push(instruction);
                out.instruction_embedding.extend_from_slice(config.instructions.embedding(instruction));
                if config.observation.goal {
                    out.achieved_goal.extend_from_slice(row.achieved());
                    out.desired_goal.extend_from_slice(row.desired());
                }
            }
        });
    }

    /// Whether the episode of one env of the group is over, and the next one has not started.
    pub fn env_has_ended(&mut self, env_idx: usize) -> bool {
        let world = &mut self.world;
        let mut episodes = world.query::<(&Slot, &Episode)>();
        episodes.iter(world).any(|(slot, episode)| slot.0.0 == env_idx && episode.has_ended)
    }

    /// Whether the episode of any env is over.
    pub fn has_ended(&mut self) -> bool {
        let world = &mut self.world;
        let mut episodes = world.query::<&Episode>();
        episodes.iter(world).any(|episode| episode.has_ended)
    }

    /// Starts episodes in all envs, or in those that the mask selects. Mask and seeds are those of the whole batch.
    pub fn reset(&mut self, options: &ResetOptions) -> Result<()> {
        let world = &mut self.world;
        world.resource_scope(|world, config: Mut<BatchConfig>| Self::start_episodes(world, &config, options));
        crate::engine::observe_resets(world);
        self.take_error()
    }

    fn start_episodes(world: &mut World, config: &BatchConfig, options: &ResetOptions) {
        let mut envs = world.query::<(&Slot, &mut SimWorld, &mut TaskSlot, &mut Episode)>();
        for (slot, mut sim_world, mut task, mut episode) in envs.iter_mut(world) {
            let env_idx = config.first_env + slot.0.0;
            if options.mask.as_ref().is_some_and(|mask| !mask[env_idx]) {
                episode.is_idle = true;
                continue;
            }
            if let Some(key) = options.seed.as_ref().and_then(|seed| seed.key(env_idx)) {
                *episode = Episode { key, ..Episode::default() };
            }
            start_episode(&mut sim_world, &mut *task.0, &mut episode, &config.instructions);
        }
    }

    /// The instructions that episodes have or had.
    pub fn instructions(&self) -> &Instructions {
        &self.world.resource::<BatchConfig>().instructions
    }

    /// Replaces the instructions by others that begin with the same ones.
    pub fn set_instructions(&mut self, instructions: Instructions) {
        self.world.resource_mut::<BatchConfig>().instructions = instructions;
    }

    /// Changes the instruction of the present episode of one env of the group.
    pub fn set_instruction(&mut self, env_idx: usize, instruction: u32) {
        let world = &mut self.world;
        let mut episodes = world.query::<(&Slot, &mut Episode)>();
        for (_, mut episode) in episodes.iter_mut(world).filter(|(slot, _)| slot.0.0 == env_idx) {
            episode.instruction = instruction;
        }
    }

    /// Whether observations or the reward need a goal of the episode.
    pub fn needs_goal(&self) -> bool {
        let has_term = |scoring: &Scoring| scoring.composition.needs_goal();
        let is_observed = 0 < self.world.resource::<BatchConfig>().goal_dim();
        is_observed || self.world.get_resource::<Scoring>().is_some_and(has_term)
    }

    /// Copies this group's rows of the batch's actions.
    pub fn set_actions(&mut self, actions: &Actions) {
        let Range { start, end } = self.envs();
        let dim = self.world.resource::<BatchConfig>().spec.action_space.dim();
        self.world.resource_mut::<PendingActions>().0.copy_rows(actions, start..end, dim);
    }

    /// Advances every env by one control step.
    pub fn step(&mut self) -> Result<()> {
        self.world.run_schedule(Step);
        self.take_error()
    }

    /// The columns of the last reset or step.
    pub fn columns_mut(&mut self) -> &mut StepBatch {
        &mut self.world.resource_mut::<Batch>().into_inner().columns
    }

    /// Which frames the reward model scores.
    pub fn scoring_plan(&self) -> Option<ScoringPlan> {
        self.world.get_resource::<Scoring>().map(|scoring| scoring.plan)
    }

    /// Number of parts of [`Self::swap_reward_frames`].
    pub fn n_reward_parts(&self) -> usize {
        self.world.get_resource::<Scoring>().map_or(0, Scoring::n_parts)
    }

    /// Exchanges the frames that the last reset or step rendered for the reward model for buffers, and appends their rows, with
    /// the indices of envs in the batch.
    pub fn swap_reward_frames(&mut self, parts: &mut [FramePart], rows: &mut Vec<FrameRow>) {
        let first_env = self.envs().start;
        let world = &mut self.world;
        if !world.contains_resource::<Scoring>() {
            return;
        }
        world.resource_scope(|world, mut scoring: Mut<Scoring>| {
            scoring.swap_frames(&mut world.resource_mut::<Sensors>(), parts, first_env, rows);
        });
    }

    /// Returns the error of the last reset or step, if there was one.
    fn take_error(&mut self) -> Result<()> {
        // A rendering error comes first: it ended the step early, so that other errors follow from it.
        self.take_failure()?;
        match self.world.resource_mut::<Batch>().error.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Returns the error of rendering, if there was one.
    fn take_failure(&mut self) -> Result<()> {
        match self.world.resource_mut::<Renderer>().failure.take() {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }
}

/// A sensor with the named cameras.
fn sensor(scene: &SceneSpec, cameras: &[String], (height, width): (usize, usize)) -> Result<Sensor> {
    let known: Vec<_> = scene.cameras.iter().map(|c| c.name.as_str()).collect();
    let cameras = cameras
        .iter()
        .map(|name| {
            let camera_idx = known.iter().position(|k| k == name);
            camera_idx.map(sayso_sim::CameraIdx).ok_or_else(|| EnvError::unknown("camera", name, &known))
        })
        .collect::<Result<Vec<_>>>()?;
    let spec = RenderSpec { height, width, samples: Samples::One, shadows: true, outputs: Outputs::RGB };
    Ok(Sensor::new(cameras, spec))
}
