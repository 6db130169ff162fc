//! The stepping engine: a batch of envs in one Bevy app.

use std::sync::Arc;

use bevy::app::App;
use bevy::ecs::change_detection::Mut;
use bevy::ecs::world::World;
use sayso_sim::app::{Renderer, Sensors, SimPlugin, Slot, Step, in_slot_order};
use sayso_sim::render::{Backend, Outputs, RenderSpec, Samples};
use sayso_sim::scene::SceneSpec;
use sayso_sim::sensor::Sensor;
use sayso_sim::{EnvIdx, Frames, SimWorld};

use crate::config::{EnvConfig, JudgeConfig, RewardSource};
use crate::engine::{Batch, BatchConfig, Episode, PendingActions, Row, StepPlugin, TaskSlot, start_episode};
use crate::space::{Actions, Space};
use crate::task::{Measurement, Task, TaskSpec};
use crate::vector::{AutoresetMode, ResetOptions, StepBatch, VectorEnv, expect_len};
use crate::{EnvError, Result, registry};

/// A batch of envs of one task, stepped together; a single env is a batch of one.
pub struct VecEnv {
    world: World,
    task: Arc<dyn Task>,
    observation_space: Space,
    goal_names: Vec<String>,
    goal_idx: usize,
    n_envs: usize,
    autoreset: AutoresetMode,
    was_reset: bool,
}

impl VecEnv {
    /// Makes a batch of a registered environment.
    ///
    /// # Errors
    /// If the id, the goal, a camera or an option is unknown, or a value is out of its range.
    pub fn new(config: &EnvConfig, reward: RewardSource) -> Result<Self> {
        Self::with_plugins(config, reward, |_| {})
    }

    /// Makes a batch and lets the caller add plugins to its app before the first step.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_plugins(
        config: &EnvConfig,
        reward: RewardSource,
        add_plugins: impl FnOnce(&mut App),
    ) -> Result<Self> {
        let task: Arc<dyn Task> = registry::task(&config.id, &config.options)?.into();
        let spec = task.spec();
        check(config)?;
        let goal_names: Vec<String> = spec.goals.iter().map(|g| g.name.clone()).collect();
        let goal_idx = match &config.goal {
            None => 0,
            Some(goal) => goal_names
                .iter()
                .position(|name| name == goal)
                .ok_or_else(|| EnvError::unknown("goal", goal, &goal_names))?,
        };

        let mut app = App::empty();
        app.add_plugins((SimPlugin, StepPlugin));
        let scene = task.scene();
        for env_idx in 0..config.n_envs {
            let world = SimWorld::new(Arc::clone(&scene))?;
            let instance = task.instance(&world)?;
            let row = Row::new(spec, config.observation.has_state());
            app.world_mut().spawn((
                Slot(EnvIdx(env_idx)),
                sayso_sim::app::IsStepping(false),
                world,
                TaskSlot(instance),
                Episode::default(),
                row,
            ));
        }
        let mut sensors = Vec::new();
        let pixel_sensor = config.observation.has_pixels().then(|| {
            let camera = config.pixel_camera.as_deref().unwrap_or(spec.pixel_camera);
            let [height, width] = config.pixel_size;
            add_sensor(&mut sensors, &scene, &[camera.to_owned()], (height, width))
        });
        let judge_sensor = match &reward {
            RewardSource::None | RewardSource::GroundTruth => None,
            RewardSource::Language(model, judge) => Some((model.image_spec(), judge)),
            RewardSource::Deferred(image_spec, judge) => Some((image_spec, judge)),
        }
        .map(|(image_spec, judge)| {
            check_judge(judge)?;
            let cameras = if judge.cameras.is_empty() { &spec.judge_cameras } else { &judge.cameras };
            add_sensor(&mut sensors, &scene, cameras, (image_spec.height, image_spec.width))
        });
        let batch_config = BatchConfig {
            spec: spec.clone(),
            n_envs: config.n_envs,
            seed: config.seed,
            goal_idx,
            observation: config.observation,
            autoreset: config.autoreset,
            max_episode_steps: config.max_episode_steps.unwrap_or(spec.max_episode_steps),
            pixel_sensor: pixel_sensor.transpose()?,
            judge_sensor: judge_sensor.transpose()?,
            reward,
        };
        app.insert_resource(Renderer { backend: Backend::open(&config.device)?, failure: None });
        app.insert_resource(Sensors(sensors));
        app.insert_resource(Batch::new(&batch_config));
        app.insert_resource(batch_config);
        app.init_resource::<PendingActions>();
        add_plugins(&mut app);
        app.finish();
        app.cleanup();

        Ok(Self {
            observation_space: observation_space(spec, config),
            goal_names,
            goal_idx,
            n_envs: config.n_envs,
            autoreset: config.autoreset,
            task,
            // The app has done its part; what steps is its world, which may move between threads.
            world: std::mem::take(app.world_mut()),
            was_reset: false,
        })
    }

    /// The task of every env.
    pub fn task(&self) -> &dyn Task {
        &*self.task
    }

    /// What is fixed about the task.
    pub fn task_spec(&self) -> &TaskSpec {
        self.task.spec()
    }

    /// Index of the goal that the envs were made for.
    pub fn goal_idx(&self) -> usize {
        self.goal_idx
    }

    /// The entities and resources of the batch, for plugins and tools.
    pub fn world_mut(&mut self) -> &mut World {
        &mut self.world
    }

    /// Fingerprints of all worlds, `[n_envs]`.
    pub fn state_hashes(&mut self) -> Vec<u64> {
        self.with_worlds(|worlds| worlds.iter().map(|world| world.state_hash()).collect())
    }

    /// Draws one camera of every env as it is now, `[n_envs, height, width, 3]`, four rays a pixel.
    ///
    /// # Errors
    /// If the scene has no camera of that name, or a graphics processor fails.
    pub fn render(&mut self, camera: &str, height: usize, width: usize) -> Result<Frames> {
        let spec = RenderSpec { height, width, samples: Samples::Four, shadows: true, outputs: Outputs::RGB };
        let world = &mut self.world;
        world.resource_scope(|world, mut renderer: Mut<Renderer>| {
            let mut envs = world.query::<(&Slot, &SimWorld)>();
            let envs = envs.query(world);
            let worlds = in_slot_order(&envs);
            let camera = worlds.first().map(|w| w.camera(camera)).transpose()?;
            let mut sensor = Sensor::new(camera.into_iter().collect(), spec);
            sensor.draw(&mut renderer.backend, &worlds)?;
            Ok(sensor.target.rgb)
        })
    }

    /// Ground truth of every env as it is now.
    pub fn measure(&mut self) -> Vec<Measurement> {
        let spec = self.task.spec().clone();
        let mut rows: Vec<(EnvIdx, Measurement)> = Vec::with_capacity(self.n_envs);
        let world = &mut self.world;
        let mut envs = world.query::<(&Slot, &SimWorld, &TaskSlot)>();
        for (slot, sim_world, task) in envs.iter(world) {
            let mut measurement = Measurement::new(&spec);
            task.0.measure(sim_world, &mut measurement);
            rows.push((slot.0, measurement));
        }
        rows.sort_by_key(|(slot, _)| *slot);
        rows.into_iter().map(|(_, measurement)| measurement).collect()
    }

    fn with_worlds<T>(&mut self, f: impl FnOnce(&[&SimWorld]) -> T) -> T {
        let world = &mut self.world;
        let mut envs = world.query::<(&Slot, &SimWorld)>();
        let envs = envs.query(world);
        f(&in_slot_order(&envs))
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
        let is_partial = options.mask.is_some();
        if is_partial && !self.was_reset {
            return Err(EnvError::WrongOrder("the first reset cannot have a mask: no env has a state yet"));
        }
        let world = &mut self.world;
        if let Some(seed) = options.seed {
            world.resource_mut::<BatchConfig>().seed = seed;
        }
        let seed = world.resource::<BatchConfig>().seed;
        let mut envs = world.query::<(&Slot, &mut SimWorld, &mut TaskSlot, &mut Episode)>();
        for (slot, mut sim_world, mut task, mut episode) in envs.iter_mut(world) {
            let env_idx = slot.0.0;
            if options.mask.as_ref().is_some_and(|mask| !mask[env_idx]) {
                episode.is_idle = true;
                continue;
            }
            if options.seed.is_some() {
                *episode = Episode::default();
            }
            start_episode(seed, env_idx, &mut sim_world, &mut *task.0, &mut episode);
        }
        self.was_reset = true;
        crate::engine::observe_resets(&mut self.world);
        take_failure(&mut self.world)?;
        crate::engine::hand_over(&mut self.world, out);
        Ok(())
    }

    fn step(&mut self, actions: &Actions, out: &mut StepBatch) -> Result<()> {
        if !self.was_reset {
            return Err(EnvError::WrongOrder("step before reset: call reset first"));
        }
        self.check_actions(actions)?;
        let world = &mut self.world;
        if self.autoreset == AutoresetMode::Disabled {
            let mut episodes = world.query::<&Episode>();
            if episodes.iter(world).any(|episode| episode.has_ended) {
                return Err(EnvError::WrongOrder(
                    "a finished env was stepped with autoreset disabled: reset it with a mask first",
                ));
            }
        }
        world.resource_mut::<PendingActions>().0.clone_from(actions);
        world.run_schedule(Step);
        // Without pictures the step ended early; that explains whatever else went wrong.
        take_failure(world)?;
        if let Some(error) = world.resource_mut::<Batch>().error.take() {
            return Err(error);
        }
        crate::engine::hand_over(world, out);
        Ok(())
    }

    fn swap_judge_frames(&mut self, frames: &mut Frames) {
        let world = &mut self.world;
        let Some(sensor_idx) = world.resource::<BatchConfig>().judge_sensor else {
            frames.resize(0, 0, 0);
            return;
        };
        let sensor = &mut world.resource_mut::<Sensors>().0[sensor_idx];
        if sensor.is_enabled {
            std::mem::swap(frames, &mut sensor.target.rgb);
        } else {
            frames.resize(0, sensor.spec.height, sensor.spec.width);
        }
    }

    fn snapshot(&self) -> Result<Vec<u8>> {
        crate::snapshot::save(&self.world)
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<()> {
        crate::snapshot::restore(&mut self.world, snapshot)?;
        self.was_reset = true;
        Ok(())
    }
}

/// Why pictures are missing, if they are.
fn take_failure(world: &mut World) -> Result<()> {
    match world.resource_mut::<Renderer>().failure.take() {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

fn check(config: &EnvConfig) -> Result<()> {
    let out_of_range = |field: &str, got: String, expected: &str| EnvError::OutOfRange {
        field: field.to_owned(),
        got,
        expected: expected.to_owned(),
    };
    if !(1..=65_536).contains(&config.n_envs) {
        return Err(out_of_range("n_envs", config.n_envs.to_string(), "1 to 65536"));
    }
    if config.max_episode_steps == Some(0) {
        return Err(out_of_range("max_episode_steps", "0".to_owned(), "1 or more"));
    }
    let [height, width] = config.pixel_size;
    if !(1..=4096).contains(&height) || !(1..=4096).contains(&width) {
        return Err(out_of_range("pixel_size", format!("[{height}, {width}]"), "1 to 4096, each"));
    }
    Ok(())
}

fn check_judge(judge: &JudgeConfig) -> Result<()> {
    if judge.every_n_steps > 0 {
        return Ok(());
    }
    Err(EnvError::OutOfRange {
        field: "every_n_steps".to_owned(),
        got: "0".to_owned(),
        expected: "1 or more".to_owned(),
    })
}

/// Adds a sensor with the named cameras and returns its index.
fn add_sensor(
    sensors: &mut Vec<Sensor>,
    scene: &SceneSpec,
    cameras: &[String],
    (height, width): (usize, usize),
) -> Result<usize> {
    let known: Vec<_> = scene.cameras.iter().map(|c| c.name.as_str()).collect();
    let cameras = cameras
        .iter()
        .map(|name| {
            let camera_idx = known.iter().position(|k| k == name);
            camera_idx.map(sayso_sim::CameraIdx).ok_or_else(|| EnvError::unknown("camera", name, &known))
        })
        .collect::<Result<Vec<_>>>()?;
    let spec = RenderSpec { height, width, samples: Samples::One, shadows: true, outputs: Outputs::RGB };
    sensors.push(Sensor::new(cameras, spec));
    Ok(sensors.len() - 1)
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
