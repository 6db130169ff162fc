//! The windowless Bevy app: one entity an env, one run of a schedule a step.
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

/// The parts of a step, in their order.
#[derive(SystemSet, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StepSet {
    /// Actions become motor targets and forces.
    Act,
    /// Physics advances by one control step.
    Simulate,
    /// The state after the action is read: observations, metrics.
    Observe,
    /// Sensors draw the state after the action.
    Render,
    /// The reward of the state after the action.
    Reward,
    /// Who is done, and the columns that the caller gets.
    Output,
    /// Episodes that ended start again.
    Reset,
}

/// Which env of the batch an entity is.
#[derive(Component, Clone, Copy, Debug)]
pub struct Slot(pub EnvIdx);

/// Whether an env's physics advances in this step; false for one that has only just been reset.
#[derive(Component, Clone, Copy, Debug)]
pub struct IsStepping(pub bool);

/// The cameras that are drawn in every step.
#[derive(Resource, Default)]
pub struct Sensors(pub Vec<Sensor>);

/// The ray caster that the sensors share.
#[derive(Resource, Default)]
pub struct Renderer {
    /// What draws.
    pub backend: Backend,
    /// Why the last step's pictures are not there; whoever runs the schedule takes it.
    pub failure: Option<SimError>,
}

/// Adds the step's schedule, physics and sensors to an app.
pub struct SimPlugin;

impl Plugin for SimPlugin {
    fn build(&self, app: &mut App) {
        let mut step = Schedule::new(Step);
        // Systems run one after another; each spreads its envs over all cores by itself.
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

/// Runs `f` on every item, spread over the cores. The list of borrows is the only allocation.
pub fn par_each<T: Send>(items: impl Iterator<Item = T>, f: impl Fn(T) + Send + Sync) {
    let items: Vec<T> = items.collect();
    items.into_par_iter().for_each(f);
}

/// Advances the physics of every stepping env and brings its drawing up to date.
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
    if sensors.0.iter().all(|sensor| !sensor.is_enabled) {
        return;
    }
    let worlds = in_slot_order(&envs);
    for sensor in sensors.0.iter_mut().filter(|sensor| sensor.is_enabled) {
        if let Err(error) = sensor.render(&mut renderer.backend, &worlds) {
            renderer.failure = Some(error);
            return;
        }
    }
}

/// The worlds of a batch, by slot.
pub fn in_slot_order<'a>(envs: &'a Query<(&Slot, &SimWorld)>) -> Vec<&'a SimWorld> {
    let mut worlds: Vec<_> = envs.iter().map(|(slot, world)| (slot.0, world)).collect();
    worlds.sort_unstable_by_key(|(slot, _)| *slot);
    worlds.into_iter().map(|(_, world)| world).collect()
}

/// Whether nothing failed while this step was drawn; a run condition for all that follows.
pub fn frames_are_rendered(renderer: Res<Renderer>) -> bool {
    renderer.failure.is_none()
}
