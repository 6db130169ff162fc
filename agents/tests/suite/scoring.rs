use sayso_agents::{AgentError, FrameScorer, Result, RewardSchedule, ScoredReward, train};
use sayso_sim::FrameBatch;

use crate::learning::small_config;
use crate::point_env::{PointEnv, brightness};

/// Scores 0 for `n_good` calls, then calls `then`.
struct Failing {
    n_good: usize,
    then: fn(&mut Vec<f32>) -> Result<()>,
}

impl FrameScorer for Failing {
    fn score(&mut self, frames: &FrameBatch, rewards: &mut Vec<f32>) -> Result<()> {
        if self.n_good == 0 {
            return (self.then)(rewards);
        }
        self.n_good -= 1;
        rewards.resize(frames.n_views(), 0.0);
        Ok(())
    }
}

fn error_of(then: fn(&mut Vec<f32>) -> Result<()>) -> String {
    let scorer = Box::new(Failing { n_good: 40, then });
    let reward = ScoredReward { scorer, schedule: RewardSchedule::HoldLast };
    let outcome = train(&mut PointEnv::continuous(3), Some(reward), &small_config(10_000), None, &mut ());
    outcome.unwrap_err().to_string()
}

#[test]
fn errors_of_the_scorer_end_the_training() {
    let own = error_of(|_| {
        Err(AgentError::Mismatch { what: "image", expected: "64x64".to_owned(), got: "32x32".to_owned() })
    });
    assert_eq!(own, "image: expected 64x64, got 32x32");
    let panicked = error_of(|_| panic!("no scores"));
    assert_eq!(panicked, "the frame scorer stopped: it panicked: no scores");
    let too_few = error_of(|rewards| {
        rewards.push(1.0);
        Ok(())
    });
    assert_eq!(too_few, "scores of a step: expected 3 values, one per env, got 1");
    let infinite = error_of(|rewards| {
        rewards.extend([1.0, f32::INFINITY, 1.0]);
        Ok(())
    });
    assert_eq!(infinite, "scores of a step: expected finite values, got inf");
}

#[test]
fn episode_end_makes_the_last_score_the_return() {
    let reward = brightness(RewardSchedule::EpisodeEnd);
    let outcome = train(&mut PointEnv::discrete(3), Some(reward), &small_config(960), None, &mut ());
    let report = outcome.unwrap().last_report;
    let mean_return = report.unwrap().mean_return.unwrap();
    assert!(0.0 < mean_return && mean_return <= 1.0, "an episode's return is its last score: {mean_return}");
}
