//! Snapshots of a batch, independent of the number of its groups.

use sayso_sim::SimWorld;
use sayso_sim::app::Slot;
use serde::{Deserialize, Serialize};

use crate::engine::{Batch, BatchConfig, Episode, TaskSlot};
use crate::group::Group;
use crate::{EnvError, Result};

/// Everything about a batch that a step may change.
#[derive(Serialize, Deserialize)]
struct Snapshot {
    task_id: String,
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
    key: [u64; 2],
    n_episodes_started: u64,
    n_episode_steps: u32,
    has_ended: bool,
    is_fresh: bool,
}

pub(crate) fn save(groups: &[Group]) -> Result<Vec<u8>> {
    let (config, batch) =
        (groups[0].world().resource::<BatchConfig>(), groups[0].world().resource::<Batch>());
    let mut snapshot = Snapshot {
        task_id: config.spec.id.to_owned(),
        n_batch_steps: batch.n_steps,
        scores: Vec::new(),
        envs: Vec::new(),
    };
    for group in groups {
        snapshot.scores.extend_from_slice(&group.world().resource::<Batch>().scores);
        save_envs(group, &mut snapshot.envs)?;
    }
    snapshot.envs.sort_by_key(|env| env.slot);
    postcard::to_stdvec(&snapshot).map_err(|e| damaged(&e.to_string()))
}

fn save_envs(group: &Group, out: &mut Vec<EnvSnapshot>) -> Result<()> {
    let first_env = group.envs().start;
    for entity in group.world().iter_entities() {
        let (Some(slot), Some(sim_world), Some(task), Some(episode)) = (
            entity.get::<Slot>(),
            entity.get::<SimWorld>(),
            entity.get::<TaskSlot>(),
            entity.get::<Episode>(),
        ) else {
            continue;
        };
        out.push(EnvSnapshot {
            slot: first_env + slot.0.0,
            world: sim_world.snapshot()?,
            task: task.0.save(),
            key: episode.key,
            n_episodes_started: episode.n_started,
            n_episode_steps: episode.n_steps,
            has_ended: episode.has_ended,
            is_fresh: episode.is_fresh,
        });
    }
    Ok(())
}

pub(crate) fn restore(groups: &mut [Group], bytes: &[u8]) -> Result<()> {
    let snapshot: Snapshot = postcard::from_bytes(bytes).map_err(|e| damaged(&e.to_string()))?;
    let n_envs: usize = groups.iter().map(|group| group.envs().len()).sum();
    let id = groups[0].world().resource::<BatchConfig>().spec.id;
    if snapshot.task_id != id || snapshot.envs.len() != n_envs || snapshot.scores.len() != n_envs {
        let got = format!("{} envs of {}", snapshot.envs.len(), snapshot.task_id);
        return Err(damaged(&format!("it has {got}, this batch has {n_envs} envs of {id}")));
    }
    for group in groups {
        let range = group.envs();
        let world = group.world_mut();
        let mut envs = world.query::<(&Slot, &mut SimWorld, &mut TaskSlot, &mut Episode)>();
        for (slot, mut sim_world, mut task, mut episode) in envs.iter_mut(world) {
            let env = &snapshot.envs[range.start + slot.0.0];
            sim_world.restore(&env.world)?;
            task.0.load(&env.task);
            *episode = Episode {
                key: env.key,
                n_started: env.n_episodes_started,
                n_steps: env.n_episode_steps,
                has_ended: env.has_ended,
                is_fresh: env.is_fresh,
                is_idle: false,
            };
        }
        let mut batch = world.resource_mut::<Batch>();
        batch.n_steps = snapshot.n_batch_steps;
        batch.scores.copy_from_slice(&snapshot.scores[range]);
    }
    Ok(())
}

fn damaged(reason: &str) -> EnvError {
    sayso_sim::SimError::Snapshot(reason.to_owned()).into()
}
