//! Snapshots of a batch, independent of the number of its groups.

use sayso_rewards::EnvHistory;
use sayso_sim::app::Slot;
use sayso_sim::sealed::{seal, unseal};
use sayso_sim::{SimWorld, WorldState};
use serde::{Deserialize, Serialize};

use crate::engine::{BatchConfig, Episode, TaskSlot};
use crate::group::Group;
use crate::instructions::Instruction;
use crate::scoring::Scoring;
use crate::{EnvError, Result};

/// Everything about a batch that a step may change.
#[derive(Serialize, Deserialize)]
pub(crate) struct Snapshot {
    task_id: String,
    /// Options of the task, TOML.
    options: String,
    /// The instructions of the configuration, then those that callers added.
    instructions: Vec<Instruction>,
    n_configured_instructions: usize,
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
    /// Index of the instruction.
    instruction: u32,
    has_ended: bool,
    is_fresh: bool,
    /// The latest score of the episode.
    score: Option<sayso_rewards::LatestScore>,
    /// The frames that later scores depend on.
    history: Option<EnvHistory>,
}

pub(crate) fn save(groups: &[Group]) -> Result<Vec<u8>> {
    let config = groups[0].world().resource::<BatchConfig>();
    let mut snapshot = Snapshot {
        task_id: config.spec.id.to_owned(),
        options: config.options.clone(),
        instructions: config.instructions.all().to_vec(),
        n_configured_instructions: config.instructions.configured().len(),
        envs: Vec::new(),
    };
    for group in groups {
        save_envs(group, &mut snapshot.envs)?;
    }
    snapshot.envs.sort_by_key(|env| env.slot);
    Ok(seal(&snapshot)?)
}

fn save_envs(group: &Group, out: &mut Vec<EnvSnapshot>) -> Result<()> {
    let first_env = group.envs().start;
    let scoring = group.world().get_resource::<Scoring>();
    for entity in group.world().iter_entities() {
        let (Some(slot), Some(sim_world), Some(task), Some(episode)) = (
            entity.get::<Slot>(),
            entity.get::<SimWorld>(),
            entity.get::<TaskSlot>(),
            entity.get::<Episode>(),
        ) else {
            continue;
        };
        let scorer = scoring.and_then(|scoring| scoring.scorer.as_ref());
        out.push(EnvSnapshot {
            slot: first_env + slot.0.0,
            world: sim_world.snapshot()?,
            task: task.0.save(),
            key: episode.key,
            n_episodes_started: episode.n_started,
            n_episode_steps: episode.n_steps,
            instruction: episode.instruction,
            has_ended: episode.has_ended,
            is_fresh: episode.is_fresh,
            score: scoring.and_then(|scoring| scoring.latest[slot.0.0]),
            history: scorer.and_then(|scorer| scorer.save_history(slot.0.0)),
        });
    }
    Ok(())
}

impl Snapshot {
    /// Reads a snapshot, and checks it against the batch.
    pub fn read(groups: &[Group], bytes: &[u8]) -> Result<Self> {
        let snapshot: Self = unseal(bytes)?;
        check(groups, &snapshot)?;
        Ok(snapshot)
    }

    /// The instructions that are not those of the configuration.
    pub fn added_instructions(&self) -> &[Instruction] {
        &self.instructions[self.n_configured_instructions..]
    }
}

/// Restores all envs, or none: everything is read and checked before anything is changed.
pub(crate) fn restore(groups: &mut [Group], snapshot: &Snapshot) -> Result<()> {
    let instructions = &groups[0].world().resource::<BatchConfig>().instructions;
    let instructions = instructions.with_added(snapshot.added_instructions())?;
    let states = groups.iter_mut().map(|group| read_states(group, snapshot)).collect::<Result<Vec<_>>>()?;
    for (group, states) in groups.iter_mut().zip(states) {
        let range = group.envs();
        let world = group.world_mut();
        let mut envs = world.query::<(&Slot, &mut SimWorld, &mut TaskSlot, &mut Episode)>();
        let mut envs: Vec<_> = envs.iter_mut(world).collect();
        envs.sort_by_key(|(slot, ..)| slot.0);
        for ((slot, mut sim_world, mut task, mut episode), state) in envs.into_iter().zip(states) {
            let env = &snapshot.envs[range.start + slot.0.0];
            sim_world.set_state(state);
            task.0.load(&env.task);
            *episode = Episode {
                key: env.key,
                n_started: env.n_episodes_started,
                n_steps: env.n_episode_steps,
                instruction: env.instruction,
                has_ended: env.has_ended,
                is_fresh: env.is_fresh,
                is_idle: false,
            };
        }
        world.resource_mut::<BatchConfig>().instructions = instructions.clone();
        let Some(mut scoring) = world.get_resource_mut::<Scoring>() else { continue };
        let scoring = &mut *scoring;
        // The frames of the step before are not those of the restored state.
        scoring.rows.clear();
        scoring.first_rows.clear();
        // Without a scorer, the caller keeps the scores.
        let Some(scorer) = &mut scoring.scorer else { continue };
        for (slot, env) in snapshot.envs[range].iter().enumerate() {
            scoring.latest[slot] = env.score;
            scorer.load_history(slot, env.history.as_ref());
        }
    }
    Ok(())
}

fn check(groups: &[Group], snapshot: &Snapshot) -> Result<()> {
    let n_envs: usize = groups.iter().map(|group| group.envs().len()).sum();
    let BatchConfig { spec, options, instructions, .. } = groups[0].world().resource::<BatchConfig>();
    let is_complete = snapshot.envs.iter().enumerate().all(|(env_idx, env)| env.slot == env_idx);
    if snapshot.task_id != spec.id || snapshot.envs.len() != n_envs {
        let got = format!("{} envs of {}", snapshot.envs.len(), snapshot.task_id);
        return Err(damaged(&format!("it has {got}, this batch has {n_envs} envs of {}", spec.id)));
    }
    if snapshot.options != *options {
        let quoted = |options: &str| format!("'{}'", options.trim().replace('\n', ", "));
        let (got, own) = (quoted(&snapshot.options), quoted(options));
        return Err(damaged(&format!("it was taken with the options {got}, this batch has {own}")));
    }
    let Some(configured) = snapshot.instructions.get(..snapshot.n_configured_instructions) else {
        return Err(damaged("an instruction is missing"));
    };
    let own = instructions.configured();
    let n_same = configured.iter().zip(own).take_while(|(got, own)| got == own).count();
    if n_same < configured.len().max(own.len()) {
        let shown = |all: &[Instruction]| all.get(n_same).map_or("none".to_owned(), Instruction::to_string);
        let (got, own) = (shown(configured), shown(own));
        let what = format!("number {} of its instructions is {got}, that of this batch {own}", n_same + 1);
        return Err(damaged(&what));
    }
    let n_goals = spec.goals.len();
    if snapshot.instructions.iter().any(|it| it.goal_idx.is_some_and(|goal_idx| n_goals <= goal_idx)) {
        return Err(damaged("an instruction is of a goal that the task does not have"));
    }
    let has_instruction = |instruction: u32| (instruction as usize) < snapshot.instructions.len();
    for env in &snapshot.envs {
        if env.score.is_some_and(|it| !it.score.is_finite()) {
            return Err(damaged("a score is NaN or infinite"));
        }
        if !has_instruction(env.instruction) || env.score.is_some_and(|it| !has_instruction(it.text_idx)) {
            return Err(damaged("an env has an instruction that is not there"));
        }
    }
    if is_complete { Ok(()) } else { Err(damaged("an env is missing, or there twice")) }
}

/// The states of a group's envs, in their order.
fn read_states(group: &mut Group, snapshot: &Snapshot) -> Result<Vec<WorldState>> {
    let range = group.envs();
    let world = group.world_mut();
    if let Some(scorer) = world.get_resource::<Scoring>().and_then(|scoring| scoring.scorer.as_ref()) {
        for env in &snapshot.envs[range.clone()] {
            scorer.check_history(env.history.as_ref())?;
        }
    }
    let mut envs = world.query::<(&Slot, &SimWorld, &TaskSlot)>();
    let mut envs: Vec<_> = envs.iter(world).collect();
    envs.sort_by_key(|(slot, ..)| slot.0);
    let read = |(slot, sim_world, task): (&Slot, &SimWorld, &TaskSlot)| {
        let env = &snapshot.envs[range.start + slot.0.0];
        let (expected, got) = (task.0.save().len(), env.task.len());
        if got != expected {
            return Err(damaged(&format!("the task has {expected} values, the snapshot {got}")));
        }
        Ok(sim_world.read_snapshot(&env.world)?)
    };
    envs.into_iter().map(read).collect()
}

fn damaged(reason: &str) -> EnvError {
    sayso_sim::SimError::Snapshot(reason.to_owned()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EnvConfig, ResetOptions, RewardSource, StepBatch, VecEnv, VectorEnv as _};

    fn reach(options: &str) -> VecEnv {
        let options = options.parse().expect("TOML");
        let config = EnvConfig { n_envs: 3, options, ..EnvConfig::default() };
        let mut env = VecEnv::new(&config, RewardSource::None).expect("an environment");
        let options = ResetOptions { seed: Some(1.into()), mask: None };
        env.reset(&options, &mut StepBatch::default()).expect("reset");
        env
    }

    #[test]
    fn a_snapshot_that_is_damaged_in_the_middle_changes_no_env() {
        let mut env = reach("");
        let mut snapshot: Snapshot = unseal(&env.snapshot().unwrap()).unwrap();
        let other = ResetOptions { seed: Some(2.into()), mask: None };
        env.reset(&other, &mut StepBatch::default()).unwrap();
        let before = env.state_hashes();
        snapshot.envs[2].world.truncate(40);
        assert!(env.restore(&seal(&snapshot).unwrap()).is_err());
        assert_eq!(env.state_hashes(), before, "the first envs were not restored either");
    }

    #[test]
    fn a_snapshot_with_other_options_is_refused() {
        let snapshot = reach("control = 'joint_delta_pos'").snapshot().unwrap();
        let message = reach("").restore(&snapshot).unwrap_err().to_string();
        assert!(message.contains("joint_delta_pos"), "{message}");
    }
}
