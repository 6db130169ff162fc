//! Scripted policies: hand-written controllers of the registered environments, for tests, for data, and as a reference
//! for trained policies. Their only input is the state observation.

use rand_pcg::Pcg64;
use sayso_envs::{Actions, EnvError, Observations, TaskSpec};

use super::Policy;
use crate::{AgentError, Result};

/// The scripted policy of an environment, for one of its goals.
#[derive(Clone, Debug)]
pub struct ScriptedPolicy {
    script: Script,
    goal_idx: usize,
    state_dim: usize,
}

#[derive(Clone, Copy, Debug)]
enum Script {
    CartPole,
    Reach,
    GoTo,
}

impl ScriptedPolicy {
    /// The scripted policy of a task.
    ///
    /// # Errors
    /// If the task has none, or its action space is not that of the script.
    pub fn new(task: &TaskSpec, goal_idx: usize) -> Result<Self> {
        let scripts =
            [("CartPole-v1", Script::CartPole), ("GoTo-v0", Script::GoTo), ("Reach-v0", Script::Reach)];
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
        Ok(Self { script, goal_idx, state_dim: task.state_space.dim() })
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
        Ok(match self.script {
            Script::CartPole => Actions::Discrete(rows.map(balance).collect()),
            Script::Reach => Actions::Continuous(rows.flat_map(|row| touch(row, self.goal_idx)).collect()),
            Script::GoTo => Actions::Continuous(rows.flat_map(|row| drive(row, self.goal_idx)).collect()),
        })
    }
}

/// The sign of a linear feedback on position, velocity, angle and angular velocity.
fn balance(state: &[f32]) -> u32 {
    const GAINS: [f32; 4] = [0.05, 0.15, 1.0, 0.35];
    let pull: f32 = state.iter().zip(GAINS).map(|(s, gain)| s * gain).sum();
    u32::from(pull > 0.0)
}

/// Moves straight towards the top of the ball.
fn touch(state: &[f32], ball: usize) -> [f32; 3] {
    /// Index of the first ball's offset from the gripper in the state, and number of values per ball.
    const FIRST_BALL: usize = 18;
    const BALL_LEN: usize = 6;
    /// Gain that reaches full speed 6 cm away, 1/m.
    const GAIN: f32 = 16.0;
    /// Height of the target point above the ball's centre, metres.
    const ABOVE: f32 = 0.042;
    let offset = &state[FIRST_BALL + ball * BALL_LEN..][..3];
    let across = offset[0].hypot(offset[1]);
    // Approach from above: stay high until the ball is below, so that the other balls are not in the way.
    let height = ABOVE + (across - 0.03).clamp(0.0, 0.06);
    [offset[0] * GAIN, offset[1] * GAIN, (offset[2] + height) * GAIN].map(|v| v.clamp(-1.0, 1.0))
}

/// Turns towards the object, then drives up to it.
fn drive(state: &[f32], object: usize) -> [f32; 2] {
    const FIRST_OBJECT: usize = 6;
    const OBJECT_LEN: usize = 5;
    let offset = &state[FIRST_OBJECT + object * OBJECT_LEN..][..2];
    let bearing = offset[1].atan2(offset[0]);
    let distance = offset[0].hypot(offset[1]);
    let forward = if bearing.abs() < 0.5 { ((distance - 0.38) * 3.0).clamp(0.0, 1.0) } else { 0.0 };
    [forward, (bearing * 1.5).clamp(-1.0, 1.0)]
}
