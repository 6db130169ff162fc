//! Goals as values, for goal-conditioned learning: what an agent has achieved, what it is to achieve, and the reward of both.

/// The values of a goal, such as a position.
#[derive(Clone, Debug, PartialEq)]
pub struct GoalSpace {
    /// Name and unit of each value.
    pub names: Vec<String>,
    /// Greatest distance between what is achieved and what is desired at which the goal counts as achieved, in the unit of the
    /// values.
    pub threshold: f32,
}

impl GoalSpace {
    /// Number of values.
    pub fn dim(&self) -> usize {
        self.names.len()
    }
}

/// A reward of an achieved and a desired goal alone, by the convention of gymnasium-robotics: anyone can compute it again for
/// another desired goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoalReward {
    /// 0 if their distance is at most the threshold, else -1.
    Sparse,
    /// Their distance, negated.
    Dense,
}

impl GoalReward {
    /// The reward.
    pub fn of(self, space: &GoalSpace, achieved: &[f32], desired: &[f32]) -> f32 {
        let distance_sq: f32 = achieved.iter().zip(desired).map(|(a, b)| (a - b) * (a - b)).sum();
        let distance = distance_sq.sqrt();
        match self {
            Self::Sparse if distance <= space.threshold => 0.0,
            Self::Sparse => -1.0,
            Self::Dense => -distance,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rewards_are_those_of_the_distance() {
        let space = GoalSpace { names: vec!["x [m]".to_owned(), "y [m]".to_owned()], threshold: 0.5 };
        let of = |reward: GoalReward, achieved: [f32; 2]| reward.of(&space, &achieved, &[1.0, 1.0]);
        assert_eq!(of(GoalReward::Dense, [1.0, 3.0]), -2.0);
        assert_eq!(of(GoalReward::Sparse, [1.0, 3.0]), -1.0);
        assert_eq!(of(GoalReward::Sparse, [1.0, 1.5]), 0.0);
    }
}
