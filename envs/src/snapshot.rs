//! Saving and restoring a whole batch.

use bevy::ecs::world::World;
use sayso_sim::SimWorld;
use sayso_sim::app::Slot;
use serde::{Deserialize, Serialize};

use crate::engine::{Batch, BatchConfig, Episode, TaskSlot};
use crate::{EnvError, Result};

/// Everything about a batch that a step may change.
#[derive(Serialize, Deserialize)]
struct Snapshot {
    task_id: String,
    seed: u64,
    n_batch_steps: u64,
    scores: Vec<f32>,
    envs: Vec<EnvSnapshot>,
}

/// Everything about one env that a step may change.
#[derive(Serialize, Deserialize)]
struct EnvSnapshot {
    slot: usize,
    world: Vec<u8>,
    task: Vec<f32>,
    n_episodes_started: u64,
    n_episode_steps: u32,
    has_ended: bool,
    is_fresh: bool,
}

pub(crate) fn save(world: &World) -> Result<Vec<u8>> {
    let (config, batch) = (world.resource::<BatchConfig>(), world.resource::<Batch>());
    let mut envs = Vec::with_capacity(config.n_envs);
    for entity in world.iter_entities() {
        let (Some(slot), Some(sim_world), Some(task), Some(episode)) = (
            entity.get::<Slot>(),
            entity.get::<SimWorld>(),
            entity.get::<TaskSlot>(),
            entity.get::<Episode>(),
        ) else {
            continue;
        };
        envs.push(EnvSnapshot {
            slot: slot.0.0,
            world: sim_world.snapshot()?,
            task: task.0.save(),
            n_episodes_started: episode.n_started,
            n_episode_steps: episode.n_steps,
            has_ended: episode.has_ended,
            is_fresh: episode.is_fresh,
        });
    }
    envs.sort_by_key(|env| env.slot);
    let snapshot = Snapshot {
        task_id: config.spec.id.to_owned(),
        seed: config.seed,
        n_batch_steps: batch.n_steps,
        scores: batch.scores.clone(),
        envs,
    };
    postcard::to_stdvec(&snapshot).map_err(|e| damaged(&e.to_string()))
}

pub(crate) fn restore(world: &mut World, bytes: &[u8]) -> Result<()> {
    let snapshot: Snapshot = postcard::from_bytes(bytes).map_err(|e| damaged(&e.to_string()))?;
    let config = world.resource::<BatchConfig>();
    if snapshot.task_id != config.spec.id || snapshot.envs.len() != config.n_envs {
        let got = format!("{} of {}", snapshot.envs.len(), snapshot.task_id);
        return Err(damaged(&format!(
            "it holds {got} and this batch is {} of {}",
            config.n_envs, config.spec.id
        )));
    }
    let mut envs = world.query::<(&Slot, &mut SimWorld, &mut TaskSlot, &mut Episode)>();
    for (slot, mut sim_world, mut task, mut episode) in envs.iter_mut(world) {
        let env = &snapshot.envs[slot.0.0];
        sim_world.restore(&env.world)?;
        task.0.load(&env.task);
        *episode = Episode {
            n_started: env.n_episodes_started,
            n_steps: env.n_episode_steps,
            has_ended: env.has_ended,
            is_fresh: env.is_fresh,
            is_idle: false,
        };
    }
    world.resource_mut::<BatchConfig>().seed = snapshot.seed;
    let mut batch = world.resource_mut::<Batch>();
    (batch.n_steps, batch.scores) = (snapshot.n_batch_steps, snapshot.scores);
    Ok(())
}

fn damaged(reason: &str) -> EnvError {
    sayso_sim::SimError::Snapshot(reason.to_owned()).into()
}
