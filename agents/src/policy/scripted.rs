//! Scripted policies: hand-written controllers of the registered environments, for tests, for data, and as a reference
//! for trained policies. Their input is the state observation, and the goal of the instruction.

use rand_pcg::Pcg64;
use sayso_envs::tasks::NAMED_COLOURS;
use sayso_envs::{Actions, EnvError, Instruction, Observations, Space, TaskSpec};

use super::Policy;
use crate::{AgentError, Result};

/// The scripted policy of an environment. It pursues the goal of each env's instruction.
#[derive(Clone, Debug)]
pub struct ScriptedPolicy {
    script: Script,
    /// Colour of the object that the goal of each instruction names, linear RGB.
    colours: Vec<[f32; 3]>,
    state_dim: usize,
}

#[derive(Clone, Copy, Debug)]
enum Script {
    CartPole { is_continuous: bool },
    Reach,
    GoTo,
}

impl ScriptedPolicy {
    /// The scripted policy of a task, for its instructions ([`sayso_envs::VectorEnv::instructions`]).
    ///
    /// # Errors
    /// If the task has none, its action space is not that of the script, or an instruction is of no goal.
    pub fn new(task: &TaskSpec, instructions: &[Instruction]) -> Result<Self> {
        let is_continuous = matches!(task.action_space, Space::Box { .. });
        let scripts = [
            ("CartPole-v1", Script::CartPole { is_continuous }),
            ("GoTo-v1", Script::GoTo),
            ("Reach-v1", Script::Reach),
        ];
        let found = scripts.iter().find(|(id, _)| *id == task.id);
        let ids: Vec<_> = scripts.iter().map(|(id, _)| *id).collect();
        let &(_, script) = found.ok_or_else(|| EnvError::unknown("scripted policy", task.id, &ids))?;
        if matches!(script, Script::Reach) && task.action_space.dim() != 3 {
            return Err(AgentError::Mismatch {
                what: "action space of the scripted policy",
                expected: "control = \"ee_delta_pos\", 3 values".to_owned(),
                got: format!("{} values", task.action_space.dim()),
            });
        }
        let colour_of = |instruction: &Instruction| {
            let goal = instruction.goal_idx.and_then(|goal_idx| task.goals.get(goal_idx));
            let goal = goal.ok_or_else(|| AgentError::Mismatch {
                what: "instruction of the scripted policy",
                expected: "one of a goal of the task".to_owned(),
                got: format!("'{}'", instruction.text),
            })?;
            let colour = NAMED_COLOURS.iter().find(|(name, _)| *name == goal.name);
            Ok(colour.map_or([0.0; 3], |(_, rgb)| *rgb))
        };
        let colours = instructions.iter().map(colour_of).collect::<Result<_>>()?;
        Ok(Self { script, colours, state_dim: task.state_space.dim() })
    }
}

impl Policy for ScriptedPolicy {
    fn act(&mut self, observations: &Observations, _rng: &mut Pcg64) -> Result<Actions> {
        if observations.state.is_empty() || !observations.state.len().is_multiple_of(self.state_dim) {
            return Err(AgentError::Mismatch {
                what: "observation of the scripted policy",
                expected: format!("rows of {} state values", self.state_dim),
                got: format!("{} values", observations.state.len()),
            });
        }
        let rows = observations.state.chunks_exact(self.state_dim);
        let colour = |&instruction: &u32| self.colours.get(instruction as usize).copied();
        let Some(colours) = observations.instruction.iter().map(colour).collect::<Option<Vec<_>>>() else {
            return Err(AgentError::Mismatch {
                what: "instruction of the scripted policy",
                expected: format!("one of the {} that it was made for", self.colours.len()),
                got: "another one".to_owned(),
            });
        };
        let rows = rows.zip(colours);
        Ok(match self.script {
            Script::CartPole { is_continuous: false } => {
                Actions::Discrete(rows.map(|(row, _)| u32::from(0.0 < balance(row))).collect())
            }
            Script::CartPole { is_continuous: true } => {
                Actions::Continuous(rows.map(|(row, _)| balance(row).signum()).collect())
            }
            Script::Reach => Actions::Continuous(rows.flat_map(|(row, colour)| touch(row, colour)).collect()),
            Script::GoTo => Actions::Continuous(rows.flat_map(|(row, colour)| drive(row, colour)).collect()),
        })
    }
}

/// Linear feedback on position, velocity, angle and angular velocity, whose sign is the direction of the force.
fn balance(state: &[f32]) -> f32 {
    const GAINS: [f32; 4] = [0.05, 0.15, 1.0, 0.35];
    state.iter().zip(GAINS).map(|(s, gain)| s * gain).sum()
}

/// Moves to the top of the ball of the colour, and presses on it.
fn touch(state: &[f32], colour: [f32; 3]) -> [f32; 3] {
    /// Index of the first ball's values in the state: offset from the gripper, colour.
    const FIRST_BALL: usize = 18;
    /// Gain that reaches full speed 6 cm away, 1/m.
    const GAIN: f32 = 16.0;
    /// Height of the target point above the ball's centre, metres: inside the ball, so that the fingers press on it.
    const ABOVE: f32 = 0.03;
    let offset = of_colour::<3>(&state[FIRST_BALL..], colour);
    let across = offset[0].hypot(offset[1]);
    // Approach from above: stay high until the ball is below, so that the other balls are not in the way.
    let height = ABOVE + (across - 0.03).clamp(0.0, 0.07);
    [offset[0] * GAIN, offset[1] * GAIN, (offset[2] + height) * GAIN].map(|v| v.clamp(-1.0, 1.0))
}

/// Turns towards the object of the colour, then drives up to it and pushes against it.
fn drive(state: &[f32], colour: [f32; 3]) -> [f32; 2] {
    /// Index of the first object's values in the state: offset from the robot, colour.
    const FIRST_OBJECT: usize = 6;
    let offset = of_colour::<2>(&state[FIRST_OBJECT..], colour);
    let bearing = offset[1].atan2(offset[0]);
    let distance = offset[0].hypot(offset[1]);
    let forward = if bearing.abs() < 0.5 { ((distance - 0.25) * 3.0).clamp(0.0, 1.0) } else { 0.0 };
    [forward, (bearing * 1.5).clamp(-1.0, 1.0)]
}

/// Offset of the object whose colour is nearest, of objects that have `N` values of their offset and then 3 of their colour.
fn of_colour<const N: usize>(objects: &[f32], colour: [f32; 3]) -> [f32; N] {
    let error = |object: &[f32]| object[N..].iter().zip(colour).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
    let nearest = objects.chunks_exact(N + 3).min_by(|a, b| error(a).total_cmp(&error(b)));
    nearest.and_then(|object| object.first_chunk::<N>().copied()).unwrap_or([0.0; N])
}
