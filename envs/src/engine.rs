//! The systems of a step, in the order of their sets. They share [`BatchConfig`] and [`Batch`].

use bevy::app::{App, Plugin};
use bevy::ecs::component::Component;
use bevy::ecs::resource::Resource;
use bevy::ecs::schedule::IntoScheduleConfigs;
use bevy::ecs::system::{Query, Res, ResMut};
use bevy::ecs::world::World;
use sayso_rewards::ScoredStep;
use sayso_sim::app::{IsStepping, Renderer, Sensors, Slot, Step, StepSet, frames_are_rendered, par_each};
use sayso_sim::{Frames, SimWorld, seed};

use crate::EnvError;
use crate::config::ObservationConfig;
use crate::goals::{GoalReward, GoalSpace};
use crate::instructions::Instructions;
use crate::scoring::{Scoring, score_first_frames, score_frames, score_resets, select_frames};
use crate::space::{Actions, Space};
use crate::task::{ActionRow, Measurement, STATE_BOUND, TaskInstance, TaskSpec};
use crate::vector::{AutoresetMode, Observations, StepBatch, StepInfo, set_row};

/// The settings of a group's envs, constant over all steps.
#[derive(Resource)]
pub(crate) struct BatchConfig {
    pub spec: TaskSpec,
    /// Options of the task, TOML.
    pub options: String,
    /// Index in the batch of the group's first env.
    pub first_env: usize,
    pub n_envs: usize,
    pub instructions: Instructions,
    pub observation: ObservationConfig,
    pub autoreset: AutoresetMode,
    pub max_episode_steps: u32,
    /// Sensors of pixel observations, one per camera.
    pub pixel_sensors: Vec<usize>,
    /// The reward without a reward model.
    pub own_reward: OwnReward,
}

/// A reward that is made without a reward model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnReward {
    None,
    GroundTruth,
    Goal(GoalReward),
}

/// Number of values of a goal; 0 if they are neither observed nor rewarded.
pub(crate) fn goal_dim(spec: &TaskSpec, observation: ObservationConfig, own_reward: OwnReward) -> usize {
    let is_used = observation.goal || matches!(own_reward, OwnReward::Goal(_));
    spec.goal_space.as_ref().filter(|_| is_used).map_or(0, GoalSpace::dim)
}

impl BatchConfig {
    /// Number of values of a goal; 0 if they are neither observed nor rewarded.
    pub fn goal_dim(&self) -> usize {
        goal_dim(&self.spec, self.observation, self.own_reward)
    }

    /// The reward of a state that an action led to, without a reward model.
    fn own_reward(&self, row: &Row, goal_idx: Option<usize>) -> f32 {
        match (self.own_reward, &self.spec.goal_space) {
            (OwnReward::GroundTruth, _) => row.measurement.reward[goal_idx.unwrap_or(0)],
            (OwnReward::Goal(reward), Some(space)) => reward.of(space, &row.achieved, &row.desired),
            (OwnReward::Goal(_), None) | (OwnReward::None, _) => 0.0,
        }
    }
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
    /// Index of the instruction.
    pub instruction: u32,
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
    achieved: Vec<f32>,
    desired: Vec<f32>,
}

impl Row {
    pub fn new(spec: &TaskSpec, has_state: bool, goal_dim: usize) -> Self {
        let bounds: Vec<[f32; 2]> = match &spec.state_space {
            Space::Box { low, high } if has_state => {
                low.iter().zip(high).map(|(&low, &high)| [low, high]).collect()
            }
            _ => Vec::new(),
        };
        let (state, goal) = (vec![0.0; bounds.len()], vec![0.0; goal_dim]);
        Self { state, bounds, measurement: Measurement::new(spec), achieved: goal.clone(), desired: goal }
    }

    /// What the agent has achieved.
    pub fn achieved(&self) -> &[f32] {
        &self.achieved
    }

    /// What it is to achieve.
    pub fn desired(&self) -> &[f32] {
        &self.desired
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
            start_episode(&mut world, &mut *task.0, &mut episode, &config.instructions);
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
fn observe(config: Res<BatchConfig>, mut envs: Query<(&SimWorld, &TaskSlot, &Episode, &mut Row)>) {
    par_each(envs.iter_mut(), |(world, task, episode, mut row)| {
        read_row(world, &*task.0, config.instructions.goal_idx(episode.instruction), &mut row);
    });
}

/// `goal_idx` is the goal of the instruction.
pub(crate) fn read_row(world: &SimWorld, task: &dyn TaskInstance, goal_idx: Option<usize>, row: &mut Row) {
    if world.is_faulty() {
        // The last valid values are kept: a non-finite state cannot be observed.
        return;
    }
    let Row { state, bounds, measurement, achieved, desired } = row;
    if !state.is_empty() {
        task.observe(world, state);
        for (value, [low, high]) in state.iter_mut().zip(bounds) {
            *value = value.clamp(*low, *high);
        }
    }
    task.measure(world, measurement);
    if !achieved.is_empty() {
        task.goal(world, goal_idx.unwrap_or(0), achieved, desired);
        let values = achieved.iter_mut().chain(desired);
        values.for_each(|value| *value = value.clamp(-STATE_BOUND, STATE_BOUND));
    }
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
        let goal_idx = config.instructions.goal_idx(episode.instruction);
        columns.rewards[env_idx] = match scoring.as_deref_mut() {
            Some(scoring) if is_reset || is_faulty => {
                scoring.latest[env_idx] = None;
                if is_reset {
                    scoring.start(env_idx, episode.instruction);
                }
                0.0
            }
            Some(scoring) => {
                let (score, is_terminated) = (scoring.scores[env_idx], columns.terminated[env_idx]);
                let step = ScoredStep { score, text_idx: episode.instruction, is_terminated, is_last };
                let schedule = scoring.plan.schedule();
                let reward = schedule.reward(&mut scoring.latest[env_idx], step, scoring.discount);
                let (weight, offset) = scoring.composition.weights(&row.measurement, goal_idx);
                if let Some(own) = columns.score_weights.get_mut(env_idx) {
                    *own = weight;
                }
                weight * reward + offset
            }
            None if is_reset || is_faulty => 0.0,
            None => config.own_reward(row, goal_idx),
        };
        episode.has_ended |= is_last;
        write_row(columns, &config, env_idx, row, &episode);
    }
    swap_pixels(&config, &mut columns.observations, &mut sensors);
}

/// Exchanges the pixel observations for the frames of their sensors.
fn swap_pixels(config: &BatchConfig, observations: &mut Observations, sensors: &mut Sensors) {
    for (frames, &sensor_idx) in observations.pixels.iter_mut().zip(&config.pixel_sensors) {
        std::mem::swap(frames, &mut sensors.0[sensor_idx].target.rgb);
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
        start_episode(world, &mut *task.0, episode, &config.instructions);
        read_row(world, &*task.0, config.instructions.goal_idx(episode.instruction), row);
    });
    let columns = &mut batch.columns;
    for (slot, .., episode, row) in &restarted {
        let env_idx = slot.0.0;
        write_observation(&mut columns.observations, &config, env_idx, row, episode);
        write_info(&mut columns.restart_info, env_idx, row, episode);
        columns.restart_info.is_reset[env_idx] = true;
    }
    if !config.pixel_sensors.is_empty() {
        let slots: Vec<usize> = restarted.iter().map(|(slot, ..)| slot.0.0).collect();
        let mut worlds: Vec<_> = envs.iter().map(|(slot, world, ..)| (slot.0, world)).collect();
        worlds.sort_unstable_by_key(|(slot, _)| *slot);
        let worlds: Vec<&SimWorld> = worlds.into_iter().map(|(_, world)| world).collect();
        swap_pixels(&config, &mut columns.observations, &mut sensors);
        for &sensor_idx in &config.pixel_sensors {
            if let Err(error) = sensors.0[sensor_idx].render_again(&mut renderer.backend, &worlds, &slots) {
                renderer.failure = Some(error);
            }
        }
        swap_pixels(&config, &mut columns.observations, &mut sensors);
    }
}

/// Starts the next episode of one env. Its random streams depend only on the env's key and the episode's number.
pub(crate) fn start_episode(
    world: &mut SimWorld,
    task: &mut dyn TaskInstance,
    episode: &mut Episode,
    instructions: &Instructions,
) {
    let Episode { key, n_started, .. } = *episode;
    let mut rng = seed::stream(&[key[0], key[1], n_started]);
    world.reset();
    task.reset(world, &mut rng);
    world.sync_render_scene();
    let instruction = instructions.sample([key[0], key[1], n_started]);
    *episode = Episode { key, n_started: n_started + 1, instruction, is_fresh: true, ..Episode::default() };
}

/// After a reset by the caller: fills the columns with the current state, which no action led to.
pub(crate) fn observe_resets(world: &mut World) {
    world.resource_scope(|world, config: bevy::ecs::change_detection::Mut<BatchConfig>| {
        let mut envs = world.query::<(&SimWorld, &TaskSlot, &Episode, &mut Row)>();
        for (sim_world, task, episode, mut row) in envs.iter_mut(world) {
            let goal_idx = config.instructions.goal_idx(episode.instruction);
            read_row(sim_world, &*task.0, goal_idx, &mut row);
        }
    });
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
            swap_pixels(&config, &mut columns.observations, &mut world.resource_mut::<Sensors>());
        });
    });
}

/// Renders the pixel observations of every env in its current state.
pub(crate) fn render_pixels(world: &mut World) {
    let pixel_sensors = world.resource::<BatchConfig>().pixel_sensors.clone();
    world.resource_scope(|world, mut sensors: bevy::ecs::change_detection::Mut<Sensors>| {
        world.resource_scope(|world, mut renderer: bevy::ecs::change_detection::Mut<Renderer>| {
            let mut envs = world.query::<(&Slot, &SimWorld)>();
            let envs = envs.query(world);
            let worlds = sayso_sim::app::in_slot_order(&envs);
            let mut render = |idx: usize| sensors.0[idx].render(&mut renderer.backend, &worlds).err();
            let failure = pixel_sensors.into_iter().find_map(&mut render);
            renderer.failure = failure;
        });
    });
}

fn write_row(columns: &mut StepBatch, config: &BatchConfig, env_idx: usize, row: &Row, episode: &Episode) {
    debug_assert_eq!(row.measurement.success.len(), config.spec.goals.len(), "one column per goal");
    write_observation(&mut columns.observations, config, env_idx, row, episode);
    write_info(&mut columns.info, env_idx, row, episode);
}

fn write_observation(
    observations: &mut Observations,
    config: &BatchConfig,
    env_idx: usize,
    row: &Row,
    episode: &Episode,
) {
    set_row(&mut observations.state, env_idx, &row.state);
    let is_observed = config.observation.goal;
    let [achieved, desired] =
        [&row.achieved, &row.desired].map(|goal| if is_observed { &goal[..] } else { &[] });
    set_row(&mut observations.achieved_goal, env_idx, achieved);
    let embedding = config.instructions.embedding(episode.instruction);
    observations.set_instruction(env_idx, episode.instruction, embedding, desired);
}

fn write_info(info: &mut StepInfo, env_idx: usize, row: &Row, episode: &Episode) {
    let Measurement { success, reward, metrics, .. } = &row.measurement;
    let (n_goals, n_metrics) = (success.len(), metrics.len());
    info.success[env_idx * n_goals..][..n_goals].copy_from_slice(success);
    info.ground_truth_reward[env_idx * n_goals..][..n_goals].copy_from_slice(reward);
    info.metrics[env_idx * n_metrics..][..n_metrics].copy_from_slice(metrics);
    info.instruction[env_idx] = episode.instruction;
    info.episode_steps[env_idx] = episode.n_steps;
}

/// Resizes every column; allocates nothing if it has its length already.
fn shape_columns(columns: &mut StepBatch, config: &BatchConfig) {
    let n = config.n_envs;
    let state_dim = if config.observation.state { config.spec.state_space.dim() } else { 0 };
    columns.observations.state.resize(n * state_dim, 0.0);
    columns.observations.instruction.resize(n, 0);
    columns.observations.instruction_embedding.resize(n * config.instructions.embed_dim(), 0.0);
    let goal_dim = if config.observation.goal { config.goal_dim() } else { 0 };
    columns.observations.achieved_goal.resize(n * goal_dim, 0.0);
    columns.observations.desired_goal.resize(n * goal_dim, 0.0);
    columns.observations.pixels.resize_with(config.pixel_sensors.len(), Frames::default);
    columns.rewards.resize(n, 0.0);
    columns.terminated.resize(n, false);
    columns.truncated.resize(n, false);
    let info = &mut columns.info;
    info.success.resize(n * config.spec.goals.len(), false);
    info.ground_truth_reward.resize(n * config.spec.goals.len(), 0.0);
    info.metrics.resize(n * config.spec.metric_names.len(), 0.0);
    info.instruction.resize(n, 0);
    info.episode_steps.resize(n, 0);
    info.is_reset.resize(n, false);
    info.quarantined.resize(n, false);
}
