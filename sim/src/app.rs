//! The windowless Bevy app: one entity per env, one run of a schedule per step.
//!
//! The order of a step is written once, in [`StepSet`]. A plugin may add systems to any set: domain randomisation
//! before [`StepSet::Simulate`], a logger in [`StepSet::Output`], a curriculum in [`StepSet::Reset`].

use bevy::app::{App, Plugin};
use bevy::ecs::component::Component;
use bevy::ecs::query::With;
use bevy::ecs::resource::Resource;
use bevy::ecs::schedule::{IntoScheduleConfigs, Schedule, ScheduleLabel, SingleThreadedExecutor, SystemSet};
use bevy::ecs::system::{Query, Res, ResMut};
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::index::EnvIdx;
use crate::render::Backend;
use crate::sensor::Sensor;
use crate::{SimError, SimWorld};

/// The schedule of one step.
#[derive(ScheduleLabel, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Step;

/// The system sets of a step, in the order in which they run.
#[derive(SystemSet, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StepSet {
    /// Converts actions to motor targets and forces.
    Act,
    /// Advances the physics by one control step.
    Simulate,
    /// Reads the state after the action: observations and metrics.
    Observe,
    /// Renders the sensors' frames of the state after the action.
    Render,
    /// Computes the reward of the state after the action.
    Reward,
    /// Computes termination and truncation, and writes the output columns.
    Output,
    /// Resets the envs whose episode has ended.
    Reset,
}

/// Index in the batch of the env that an entity represents.
#[derive(Component, Clone, Copy, Debug)]
pub struct Slot(pub EnvIdx);

/// Whether an env's physics advances in this step; false for an env that was just reset.
#[derive(Component, Clone, Copy, Debug)]
pub struct IsStepping(pub bool);

/// The sensors of the batch.
#[derive(Resource, Default)]
pub struct Sensors(pub Vec<Sensor>);

/// The renderer that the sensors share.
#[derive(Resource, Default)]
pub struct Renderer {
    /// The CPU or GPU backend.
    pub backend: Backend,
    /// Error of the last step's rendering; the code that runs the schedule takes it.
    pub failure: Option<SimError>,
}

/// Adds the step's schedule, physics and sensors to an app.
pub struct SimPlugin;

impl Plugin for SimPlugin {
    fn build(&self, app: &mut App) {
        let mut step = Schedule::new(Step);
        // Systems run one after another; each is parallel over its envs.
        step.set_executor(SingleThreadedExecutor::new());
        step.configure_sets(
            (
                StepSet::Act,
                StepSet::Simulate,
                StepSet::Observe,
                StepSet::Render,
                StepSet::Reward,
                StepSet::Output,
                StepSet::Reset,
            )
                .chain(),
        );
        step.add_systems((simulate.in_set(StepSet::Simulate), render_sensors.in_set(StepSet::Render)));
        app.add_schedule(step);
        app.init_resource::<Sensors>().init_resource::<Renderer>();
    }
}

/// Runs `f` on every item in parallel. The list of items is the only allocation.
pub fn par_each<T: Send>(items: impl Iterator<Item = T>, f: impl Fn(T) + Send + Sync) {
    let items: Vec<T> = items.collect();
    items.into_par_iter().for_each(f);
}

/// Advances the physics of every stepping env and updates the render scene of every env.
pub fn simulate(mut envs: Query<(&mut SimWorld, &IsStepping), With<Slot>>) {
    par_each(envs.iter_mut(), |(mut world, is_stepping)| {
        if is_stepping.0 {
            world.step();
        }
        world.sync_render_scene();
    });
}

fn render_sensors(
    envs: Query<(&Slot, &SimWorld)>,
    mut sensors: ResMut<Sensors>,
    mut renderer: ResMut<Renderer>,
) {
    if sensors.0.iter().all(|sensor| !sensor.is_active()) {
        return;
    }
    let worlds = in_slot_order(&envs);
    for sensor in sensors.0.iter_mut().filter(|sensor| sensor.is_active()) {
        if let Err(error) = sensor.render(&mut renderer.backend, &worlds) {
            renderer.failure = Some(error);
            return;
        }
    }
}

/// The worlds of a batch, in slot order.
pub fn in_slot_order<'a>(envs: &'a Query<(&Slot, &SimWorld)>) -> Vec<&'a SimWorld> {
    let mut worlds: Vec<_> = envs.iter().map(|(slot, world)| (slot.0, world)).collect();
    worlds.sort_unstable_by_key(|(slot, _)| *slot);
    worlds.into_iter().map(|(_, world)| world).collect()
}

/// Run condition of the systems after [`StepSet::Render`]: true if rendering did not fail in this step.
pub fn frames_are_rendered(renderer: Res<Renderer>) -> bool {
    renderer.failure.is_none()
}
