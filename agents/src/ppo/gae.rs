//! Generalised advantage estimation (Schulman et al. 2016, eq. 16), with truncations handled separately from
//! terminations (Pardo et al. 2018).

/// The columns of a rollout that [`advantages`] reads; all but the last are `[n_steps, n_envs]`, row-major.
#[derive(Clone, Copy, Debug)]
pub struct Trajectories<'a> {
    /// Number of envs.
    pub n_envs: usize,
    /// Reward of each step.
    pub rewards: &'a [f32],
    /// Value of the observation that each step started from.
    pub values: &'a [f32],
    /// The episode terminated: the value of the next state is 0.
    pub terminated: &'a [bool],
    /// The episode was truncated: the value of the next state is in `final_values`.
    pub truncated: &'a [bool],
    /// Value of the last observation of an episode; read where `truncated` only.
    pub final_values: &'a [f32],
    /// Whether the row is a transition; false for the reset rows of next-step autoreset.
    pub valid: &'a [bool],
    /// `[n_envs]`: value of the observation after the last row.
    pub next_values: &'a [f32],
}

/// Writes advantages and returns (`advantage + value`), both `[n_steps, n_envs]`; zero where a row is not a transition.
pub fn advantages(
    rollout: &Trajectories,
    discount: f32,
    gae_lambda: f32,
    advantages: &mut Vec<f32>,
    returns: &mut Vec<f32>,
) {
    let (n_rows, n_envs) = (rollout.rewards.len(), rollout.n_envs);
    for out in [&mut *advantages, &mut *returns] {
        out.clear();
        out.resize(n_rows, 0.0);
    }
    for env_idx in 0..n_envs {
        let mut next_value = rollout.next_values[env_idx];
        let mut next_advantage = 0.0;
        for row in (env_idx..n_rows).step_by(n_envs).rev() {
            let value = rollout.values[row];
            if !rollout.valid[row] {
                (next_value, next_advantage) = (value, 0.0);
                continue;
            }
            if rollout.terminated[row] {
                (next_value, next_advantage) = (0.0, 0.0);
            } else if rollout.truncated[row] {
                (next_value, next_advantage) = (rollout.final_values[row], 0.0);
            }
            let delta = rollout.rewards[row] + discount * next_value - value;
            next_advantage = delta + discount * gae_lambda * next_advantage;
            next_value = value;
            advantages[row] = next_advantage;
            returns[row] = next_advantage + value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISCOUNT: f32 = 0.5;
    const LAMBDA: f32 = 0.5;

    fn run(terminated: [bool; 3], truncated: [bool; 3], valid: [bool; 3]) -> (Vec<f32>, Vec<f32>) {
        let (mut advantage, mut returns) = (vec![], vec![]);
        let rollout = Trajectories {
            n_envs: 1,
            rewards: &[1.0, 2.0, 3.0],
            values: &[4.0, 5.0, 6.0],
            terminated: &terminated,
            truncated: &truncated,
            final_values: &[10.0, 10.0, 10.0],
            valid: &valid,
            next_values: &[8.0],
        };
        advantages(&rollout, DISCOUNT, LAMBDA, &mut advantage, &mut returns);
        (advantage, returns)
    }

    const NEVER: [bool; 3] = [false; 3];
    const SECOND: [bool; 3] = [false, true, false];

    // By hand: delta_2 = 3 + 8/2 - 6 = 1, delta_1 = 2 + 6/2 - 5 = 0, delta_0 = 1 + 5/2 - 4 = -0.5;
    // A_2 = 1, A_1 = 0 + 1/4 = 0.25, A_0 = -0.5 + 0.25/4 = -0.4375.
    #[test]
    fn unbroken_rollout() {
        let (advantage, returns) = run(NEVER, NEVER, [true; 3]);
        assert_eq!(advantage, [-0.4375, 0.25, 1.0]);
        assert_eq!(returns, [3.5625, 5.25, 7.0]);
    }

    // delta_1 = 2 - 5 = -3, and no advantage is carried across the end: A_0 = -0.5 - 3/4.
    #[test]
    fn the_value_after_a_termination_is_zero() {
        assert_eq!(run(SECOND, NEVER, [true; 3]).0, [-1.25, -3.0, 1.0]);
    }

    // delta_1 = 2 + 10/2 - 5 = 2: A_0 = -0.5 + 2/4.
    #[test]
    fn timeout_bootstraps_with_the_final_value() {
        assert_eq!(run(NEVER, SECOND, [true; 3]).0, [0.0, 2.0, 1.0]);
    }

    // Both flags at once: termination takes precedence.
    #[test]
    fn termination_takes_precedence_over_timeout() {
        assert_eq!(run(SECOND, SECOND, [true; 3]).0, run(SECOND, NEVER, [true; 3]).0);
    }

    // The first row is a timeout, the second one the reset that follows: no advantage is carried into or out of it.
    #[test]
    fn reset_rows_carry_no_advantage() {
        let (advantage, returns) = run(NEVER, [true, false, false], [true, false, true]);
        // A_2 = 1 as above; A_0 = 1 + 10/2 - 4 = 2.
        assert_eq!(advantage, [2.0, 0.0, 1.0]);
        assert_eq!(returns, [6.0, 0.0, 7.0]);
    }
}
