//! From scores to rewards: one function for scores within the step, scores that come later, and Python.

use serde::{Deserialize, Serialize};

/// How scores become the rewards of steps. `s` is the score of the step, if it has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RewardSchedule {
    /// The latest score of the episode; 0 before the first one.
    #[default]
    HoldLast,
    /// `s - s'` with the latest score `s'` of the episode, in steps with a score; 0 in the others. The first frame of an episode
    /// is scored too, so that the rewards of an episode sum to its last score less its first.
    Difference,
    /// The score, in the last step of an episode; 0 in the others.
    EpisodeEnd,
    /// Potential-based shaping, `discount * s - s'`, with the latest score of the episode as the potential (Ng, Harada and
    /// Russell, ICML 1999, equation 2). The first frame of an episode is scored too. The potential of a terminal state is 0, as
    /// optimal policies are preserved only then (Grzes, AAMAS 2017, section 4).
    Potential,
}

/// A score, and the text that it was made with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatestScore {
    /// The score, a finite number.
    pub score: f32,
    /// Index of the text.
    pub text_idx: u32,
}

/// The end of a step of one env, as far as its reward depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ScoredStep {
    /// The score of the frame after the action; `None` if it was not scored.
    pub score: Option<f32>,
    /// Index of the env's text in this step.
    pub text_idx: u32,
    /// The task ended the episode.
    pub is_terminated: bool,
    /// The episode ended, for whatever reason.
    pub is_last: bool,
}

impl RewardSchedule {
    /// The names in configurations.
    pub const NAMES: [&str; 4] = ["hold_last", "difference", "episode_end", "potential"];

    /// The schedule of a name in [`Self::NAMES`].
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [Self::HoldLast, Self::Difference, Self::EpisodeEnd, Self::Potential];
        Self::NAMES.iter().position(|known| *known == name).map(|idx| all[idx])
    }

    /// Whether rewards depend on the score of the first frame of an episode.
    pub fn scores_first_frame(self) -> bool {
        matches!(self, Self::Difference | Self::Potential)
    }

    /// The reward of a step. `latest` is the latest score of the env's episode: `None` before the first one, and after the
    /// episode's last step; `discount` is that of [`Self::Potential`]. A score that was made with another text counts for
    /// nothing: after a change of the text, rewards begin anew with the next score.
    pub fn reward(self, latest: &mut Option<LatestScore>, step: ScoredStep, discount: f32) -> f32 {
        let text_idx = step.text_idx;
        let before = latest.filter(|latest| latest.text_idx == text_idx).map(|latest| latest.score);
        let after = step.score.or(before);
        *latest = after.map(|score| LatestScore { score, text_idx });
        let reward = match self {
            Self::HoldLast => after.unwrap_or(0.0),
            Self::Difference => match (before, step.score) {
                (Some(before), Some(score)) => score - before,
                _ => 0.0,
            },
            Self::EpisodeEnd => step.score.filter(|_| step.is_last).unwrap_or(0.0),
            Self::Potential => match (before, after) {
                (Some(before), Some(_)) if step.is_terminated => -before,
                (Some(before), Some(after)) => discount * after - before,
                _ => 0.0,
            },
        };
        if step.is_last {
            *latest = None;
        }
        reward
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rewards of an episode whose first frame has the score `first`.
    fn rewards(
        schedule: RewardSchedule,
        first: Option<f32>,
        scores: &[Option<f32>],
        is_terminated: bool,
    ) -> Vec<f32> {
        let mut latest = first.map(|score| LatestScore { score, text_idx: 0 });
        let mut rewards = Vec::new();
        for (idx, &score) in scores.iter().enumerate() {
            let is_last = idx + 1 == scores.len();
            let step = ScoredStep {
                score,
                is_last,
                is_terminated: is_last && is_terminated,
                ..ScoredStep::default()
            };
            rewards.push(schedule.reward(&mut latest, step, 0.5));
        }
        assert_eq!(latest, None, "the next episode starts without a score");
        rewards
    }

    #[test]
    fn hold_last_repeats_a_score_until_the_next_one() {
        let scores = [None, Some(2.0), None, Some(3.0)];
        assert_eq!(rewards(RewardSchedule::HoldLast, None, &scores, false), [0.0, 2.0, 2.0, 3.0]);
    }

    #[test]
    fn differences_sum_to_the_last_score_less_the_first() {
        let scores = [None, Some(2.0), None, Some(3.5)];
        assert_eq!(rewards(RewardSchedule::Difference, Some(1.0), &scores, true), [0.0, 1.0, 0.0, 1.5]);
    }

    #[test]
    fn episode_end_rewards_only_the_last_step() {
        let scores = [Some(1.0), Some(2.0), Some(3.0)];
        assert_eq!(rewards(RewardSchedule::EpisodeEnd, None, &scores, true), [0.0, 0.0, 3.0]);
    }

    #[test]
    fn potentials_telescope_to_the_first_score_when_the_task_ends_the_episode() {
        let scores = [Some(2.0), None, Some(8.0)];
        let shaped = rewards(RewardSchedule::Potential, Some(1.0), &scores, true);
        assert_eq!(shaped, [0.5 * 2.0 - 1.0, 0.5 * 2.0 - 2.0, -2.0]);
        let discounted: f32 =
            shaped.iter().zip([1.0, 0.5, 0.25]).map(|(reward, weight)| reward * weight).sum();
        assert_eq!(discounted, -1.0, "whatever happens in between");
        let timeout = rewards(RewardSchedule::Potential, Some(1.0), &scores, false);
        assert_eq!(timeout[2], 0.5 * 8.0 - 2.0, "the value of the state after a timeout is bootstrapped");
    }

    #[test]
    fn after_a_change_of_the_text_rewards_begin_anew() {
        let rewards = |schedule: RewardSchedule| {
            let mut latest = Some(LatestScore { score: 1.0, text_idx: 0 });
            let steps = [(Some(2.0), 0), (None, 1), (Some(5.0), 1), (Some(7.0), 1)];
            let step = |(score, text_idx)| ScoredStep { score, text_idx, ..ScoredStep::default() };
            steps.map(|it| schedule.reward(&mut latest, step(it), 0.5))
        };
        assert_eq!(rewards(RewardSchedule::HoldLast), [2.0, 0.0, 5.0, 7.0]);
        assert_eq!(rewards(RewardSchedule::Difference), [1.0, 0.0, 0.0, 2.0]);
        assert_eq!(rewards(RewardSchedule::Potential), [0.0, 0.0, 0.0, 0.5 * 7.0 - 5.0]);
    }

    #[test]
    fn names_are_those_of_configurations() {
        for name in RewardSchedule::NAMES {
            let parsed: RewardSchedule = serde_json::from_str(&format!("\"{name}\"")).expect("a schedule");
            assert_eq!(RewardSchedule::from_name(name), Some(parsed));
        }
    }
}
