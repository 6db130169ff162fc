//! The systems of a step, in the order of their sets. They share [`BatchConfig`] and [`Batch`].

use bevy::app::{App, Plugin};
use bevy::ecs::component::Component;
use bevy::ecs::resource::Resource;
use bevy::ecs::schedule::IntoScheduleConfigs;
use bevy::ecs::system::{Query, Res, ResMut};
use bevy::ecs::world::World;
use sayso_rewards::ScoredStep;
use sayso_sim::app::{IsStepping, Renderer, Sensors, Slot, Step, StepSet, frames_are_rendered, par_each};
use sayso_sim::{SimWorld, seed};

use crate::EnvError;
use crate::config::ObservationMode;
use crate::scoring::{Scoring, score_first_frames, score_frames, score_resets, select_frames};
use crate::space::{Actions, Space};
use crate::task::{ActionRow, Measurement, TaskInstance, TaskSpec};
use crate::vector::{AutoresetMode, StepBatch, StepInfo};

/// The settings of a group's envs, constant over all steps.
#[derive(Resource)]
pub(crate) struct BatchConfig {
    pub spec: TaskSpec,
    /// Options of the task, TOML.
    pub options: String,
    /// Index in the batch of the group's first env.
    pub first_env: usize,
    pub n_envs: usize,
    /// Index of the goal of ground-truth rewards.
    pub goal_idx: usize,
    pub observation: ObservationMode,
    pub autoreset: AutoresetMode,
    pub max_episode_steps: u32,
    pub pixel_sensor: Option<usize>,
    /// Rewards are the task's ground truth.
    pub is_ground_truth: bool,
}

/// The columns of the current step.
#[derive(Resource, Default)]
pub(crate) struct Batch {
    pub columns: StepBatch,
    /// Error of this step.
    pub error: Option<EnvError>,
}

impl Batch {
    pub fn new(config: &BatchConfig) -> Self {
        let mut batch = Self::default();
        shape_columns(&mut batch.columns, config);
        batch
    }
}

/// The actions of the next step.
#[derive(Resource)]
pub(crate) struct PendingActions(pub Actions);

impl Default for PendingActions {
    fn default() -> Self {
        Self(Actions::Continuous(Vec::new()))
    }
}

/// The per-env part of the task.
#[derive(Component)]
pub(crate) struct TaskSlot(pub Box<dyn TaskInstance>);

/// Episode state of an env.
#[derive(Component, Clone, Copy, Debug, Default)]
pub(crate) struct Episode {
    /// Key of the env's random streams.
    pub key: [u64; 2],
    /// Episodes started so far; selects the random stream of the next one.
    pub n_started: u64,
    /// Control steps since the start.
    pub n_steps: u32,
    /// The episode is over and the env waits for its reset.
    pub has_ended: bool,
    /// No action has been taken in this episode.
    pub is_fresh: bool,
    /// Not selected by the mask of the last reset: its row repeats the last observation.
    pub is_idle: bool,
}

/// The values of one env for the columns.
#[derive(Component)]
pub(crate) struct Row {
    state: Vec<f32>,
    /// Lower and upper bound of each value.
    bounds: Vec<[f32; 2]>,
    measurement: Measurement,
}

impl Row {
    pub fn new(spec: &TaskSpec, has_state: bool) -> Self {
        let bounds: Vec<[f32; 2]> = match &spec.state_space {
            Space::Box { low, high } if has_state => {
                low.iter().zip(high).map(|(&low, &high)| [low, high]).collect()
            }
            _ => Vec::new(),
        };
        Self { state: vec![0.0; bounds.len()], bounds, measurement: Measurement::new(spec) }
    }

    /// Whether the state ends the episode, by the rules of the task.
    pub fn is_terminal(&self) -> bool {
        self.measurement.is_terminal
    }
}

/// Adds the systems of a step.
pub(crate) struct StepPlugin;

impl Plugin for StepPlugin {
    fn build(&self, app: &mut App) {
        app.add_systems(
            Step,
            (
                act.in_set(StepSet::Act),
                after_physics.in_set(StepSet::Simulate).after(sayso_sim::app::simulate),
                (observe, select_frames).chain().in_set(StepSet::Observe),
                score_frames.in_set(StepSet::Reward).run_if(frames_are_rendered),
                write_output.in_set(StepSet::Output).run_if(frames_are_rendered),
                (restart, score_first_frames).chain().in_set(StepSet::Reset).run_if(frames_are_rendered),
            ),
        );
    }
}

/// Act: turns actions into motor targets and forces. With [`AutoresetMode::NextStep`] an env whose episode is over ignores
/// its action and starts the next episode; until then it keeps its last state.
fn act(
    config: Res<BatchConfig>,
    actions: Res<PendingActions>,
    mut envs: Query<(&Slot, &mut SimWorld, &mut TaskSlot, &mut Episode, &mut IsStepping)>,
) {
    let restarts = config.autoreset == AutoresetMode::NextStep;
    let dim = config.spec.action_space.dim();
    par_each(envs.iter_mut(), |(slot, mut world, mut task, mut episode, mut is_stepping)| {
        episode.is_idle = false;
        is_stepping.0 = !(restarts && episode.has_ended);
        if !is_stepping.0 {
            start_episode(&mut world, &mut *task.0, &mut episode);
            return;
        }
        episode.is_fresh = false;
        episode.n_steps += 1;
        let action = match &actions.0 {
            Actions::Continuous(values) => ActionRow::Continuous(&values[slot.0.0 * dim..][..dim]),
            Actions::Discrete(choices) => ActionRow::Discrete(choices[slot.0.0]),
        };
        task.0.act(&mut world, action);
    });
}

/// Simulate, after the physics: the task's own rules.
fn after_physics(mut envs: Query<(&mut SimWorld, &mut TaskSlot, &IsStepping)>) {
    par_each(envs.iter_mut(), |(mut world, mut task, is_stepping)| {
        if is_stepping.0 {
            task.0.after_step(&mut world);
        }
    });
}

/// Observe: the state after the action, or the first one of an episode.
fn observe(mut envs: Query<(&SimWorld, &TaskSlot, &mut Row)>) {
    par_each(envs.iter_mut(), |(world, task, mut row)| read_row(world, &*task.0, &mut row));
}

fn read_row(world: &SimWorld, task: &dyn TaskInstance, row: &mut Row) {
    if world.is_faulty() {
        // The last valid values are kept: a non-finite state cannot be observed.
        return;
    }
    let Row { state, bounds, measurement } = row;
    if !state.is_empty() {
        task.observe(world, state);
        for (value, [low, high]) in state.iter_mut().zip(bounds) {
            *value = value.clamp(*low, *high);
        }
    }
    task.measure(world, measurement);
}

/// Output: termination and truncation, the reward of the state after the action, and the columns.
fn write_output(
    config: Res<BatchConfig>,
    mut scoring: Option<ResMut<Scoring>>,
    mut sensors: ResMut<Sensors>,
    mut envs: Query<(&Slot, &SimWorld, &Row, &mut Episode)>,
    mut batch: ResMut<Batch>,
) {
    let batch = &mut *batch;
    let columns = &mut batch.columns;
    shape_columns(columns, &config);
    let has_terms = scoring.as_ref().is_some_and(|scoring| !scoring.composition.is_empty());
    columns.score_weights.clear();
    columns.score_weights.resize(if has_terms { config.n_envs } else { 0 }, 1.0);
    for (slot, world, row, mut episode) in &mut envs {
        let env_idx = slot.0.0;
        let is_reset = episode.is_fresh;
        let is_faulty = world.is_faulty();
        columns.info.is_reset[env_idx] = is_reset;
        columns.info.quarantined[env_idx] = is_faulty;
        columns.terminated[env_idx] = !is_reset && !is_faulty && row.measurement.is_terminal;
        columns.truncated[env_idx] = !is_reset && (is_faulty || episode.n_steps >= config.max_episode_steps);
        let is_last = columns.terminated[env_idx] || columns.truncated[env_idx];
        columns.rewards[env_idx] = match scoring.as_deref_mut() {
            Some(scoring) if is_reset || is_faulty => {
                scoring.latest[env_idx] = if is_reset { scoring.scores[env_idx] } else { None };
                0.0
            }
            Some(scoring) => {
                let (score, is_terminated) = (scoring.scores[env_idx], columns.terminated[env_idx]);
                let step = ScoredStep { score, is_terminated, is_last };
                let schedule = scoring.plan.schedule();
                let reward = schedule.reward(&mut scoring.latest[env_idx], step, scoring.discount);
                let (weight, offset) = scoring.composition.weights(&row.measurement);
                if let Some(own) = columns.score_weights.get_mut(env_idx) {
                    *own = weight;
                }
                weight * reward + offset
            }
            None if config.is_ground_truth && !is_reset && !is_faulty => {
                row.measurement.reward[config.goal_idx]
            }
            None => 0.0,
        };
        episode.has_ended |= is_last;
        write_row(columns, &config, env_idx, row, &episode);
    }
    if let Some(sensor_idx) = config.pixel_sensor {
        std::mem::swap(&mut columns.observations.pixels, &mut sensors.0[sensor_idx].target.rgb);
    }
}

/// Reset: with [`AutoresetMode::SameStep`] envs whose episode ended start the next one, and return its first observation.
fn restart(
    config: Res<BatchConfig>,
    mut sensors: ResMut<Sensors>,
    mut renderer: ResMut<Renderer>,
    mut envs: Query<(&Slot, &mut SimWorld, &mut TaskSlot, &mut Episode, &mut Row)>,
    mut batch: ResMut<Batch>,
) {
    if config.autoreset != AutoresetMode::SameStep {
        return;
    }
    let mut restarted: Vec<_> =
        envs.iter_mut().filter(|(.., episode, _)| episode.has_ended && !episode.is_fresh).collect();
    if restarted.is_empty() {
        return;
    }
    restarted.sort_unstable_by_key(|(slot, ..)| slot.0);
    let columns = &mut batch.columns;
    columns.final_observations.clone_from(&columns.observations);
    columns.restart_info.clone_from(&columns.info);
    par_each(restarted.iter_mut(), |(_, world, task, episode, row)| {
        start_episode(world, &mut *task.0, episode);
        read_row(world, &*task.0, row);
    });
    let columns = &mut batch.columns;
    let state_dim = if config.observation.has_state() { config.spec.state_space.dim() } else { 0 };
    for (slot, .., episode, row) in &restarted {
        let env_idx = slot.0.0;
        columns.observations.state[env_idx * state_dim..][..state_dim].copy_from_slice(&row.state);
        write_info(&mut columns.restart_info, env_idx, row, episode);
        columns.restart_info.is_reset[env_idx] = true;
    }
    if let Some(sensor) = config.pixel_sensor.map(|i| &mut sensors.0[i]) {
        let slots: Vec<usize> = restarted.iter().map(|(slot, ..)| slot.0.0).collect();
        let mut worlds: Vec<_> = envs.iter().map(|(slot, world, ..)| (slot.0, world)).collect();
        worlds.sort_unstable_by_key(|(slot, _)| *slot);
        let worlds: Vec<&SimWorld> = worlds.into_iter().map(|(_, world)| world).collect();
        std::mem::swap(&mut columns.observations.pixels, &mut sensor.target.rgb);
        if let Err(error) = sensor.render_again(&mut renderer.backend, &worlds, &slots) {
            renderer.failure = Some(error);
        }
        std::mem::swap(&mut columns.observations.pixels, &mut sensor.target.rgb);
    }
}

/// Starts the next episode of one env. Its random stream depends only on the env's key and the episode's number.
pub(crate) fn start_episode(world: &mut SimWorld, task: &mut dyn TaskInstance, episode: &mut Episode) {
    let Episode { key, n_started, .. } = *episode;
    let mut rng = seed::stream(&[key[0], key[1], n_started]);
    world.reset();
    task.reset(world, &mut rng);
    world.sync_render_scene();
    *episode = Episode { key, n_started: n_started + 1, is_fresh: true, ..Episode::default() };
}

/// After a reset by the caller: fills the columns with the current state, which no action led to.
pub(crate) fn observe_resets(world: &mut World) {
    let mut envs = world.query::<(&SimWorld, &TaskSlot, &mut Row)>();
    for (sim_world, task, mut row) in envs.iter_mut(world) {
        read_row(sim_world, &*task.0, &mut row);
    }
    render_pixels(world);
    score_resets(world);
    world.resource_scope(|world, mut batch: bevy::ecs::change_detection::Mut<Batch>| {
        world.resource_scope(|world, config: bevy::ecs::change_detection::Mut<BatchConfig>| {
            let columns = &mut batch.columns;
            shape_columns(columns, &config);
            let mut envs = world.query::<(&Slot, &Row, &Episode)>();
            for (slot, row, episode) in envs.iter(world) {
                let env_idx = slot.0.0;
                columns.info.is_reset[env_idx] = !episode.is_idle;
                (columns.terminated[env_idx], columns.truncated[env_idx]) = (false, false);
                columns.info.quarantined[env_idx] = false;
                columns.rewards[env_idx] = 0.0;
                write_row(columns, &config, env_idx, row, episode);
            }
            if let Some(sensor_idx) = config.pixel_sensor {
                let sensor = &mut world.resource_mut::<Sensors>().0[sensor_idx];
                std::mem::swap(&mut columns.observations.pixels, &mut sensor.target.rgb);
            }
        });
    });
}

/// Renders the pixel observations of every env in its current state.
pub(crate) fn render_pixels(world: &mut World) {
    let Some(sensor_idx) = world.resource::<BatchConfig>().pixel_sensor else { return };
    world.resource_scope(|world, mut sensors: bevy::ecs::change_detection::Mut<Sensors>| {
        world.resource_scope(|world, mut renderer: bevy::ecs::change_detection::Mut<Renderer>| {
            let mut envs = world.query::<(&Slot, &SimWorld)>();
            let envs = envs.query(world);
            let worlds = sayso_sim::app::in_slot_order(&envs);
            renderer.failure = sensors.0[sensor_idx].render(&mut renderer.backend, &worlds).err();
        });
    });
}

fn write_row(columns: &mut StepBatch, config: &BatchConfig, env_idx: usize, row: &Row, episode: &Episode) {
    let state_dim = row.state.len();
    debug_assert_eq!(row.measurement.success.len(), config.spec.goals.len(), "one column per goal");
    columns.observations.state[env_idx * state_dim..][..state_dim].copy_from_slice(&row.state);
    write_info(&mut columns.info, env_idx, row, episode);
}

fn write_info(info: &mut StepInfo, env_idx: usize, row: &Row, episode: &Episode) {
    let Measurement { success, reward, metrics, .. } = &row.measurement;
    let (n_goals, n_metrics) = (success.len(), metrics.len());
    info.success[env_idx * n_goals..][..n_goals].copy_from_slice(success);
    info.ground_truth_reward[env_idx * n_goals..][..n_goals].copy_from_slice(reward);
    info.metrics[env_idx * n_metrics..][..n_metrics].copy_from_slice(metrics);
    info.episode_steps[env_idx] = episode.n_steps;
}

/// Resizes every column; allocates nothing if it has its length already.
fn shape_columns(columns: &mut StepBatch, config: &BatchConfig) {
    let n = config.n_envs;
    let state_dim = if config.observation.has_state() { config.spec.state_space.dim() } else { 0 };
    columns.observations.state.resize(n * state_dim, 0.0);
    columns.rewards.resize(n, 0.0);
    columns.terminated.resize(n, false);
    columns.truncated.resize(n, false);
    let info = &mut columns.info;
    info.success.resize(n * config.spec.goals.len(), false);
    info.ground_truth_reward.resize(n * config.spec.goals.len(), 0.0);
    info.metrics.resize(n * config.spec.metric_names.len(), 0.0);
    info.episode_steps.resize(n, 0);
    info.is_reset.resize(n, false);
    info.quarantined.resize(n, false);
}
