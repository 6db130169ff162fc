use sayso_agents::train;
use sayso_rewards::{
    FailureConfig, Feature, OnFailure, Result, RewardError, RewardModel, RewardSchedule, Windows,
};
use sayso_sim::FrameRequest;

use crate::learning::small_config;
use crate::point_env::{PointEnv, one_pixel, scorer, scorer_with};

/// Calls `then` instead of scoring.
struct Failing {
    then: fn(&mut [f32]) -> Result<()>,
}

impl RewardModel for Failing {
    fn frame_request(&self) -> FrameRequest {
        one_pixel()
    }

    fn feature(&self) -> Feature {
        Feature::Pixels
    }

    fn score(&self, _: &Windows<'_>, out: &mut [f32]) -> Result<()> {
        (self.then)(out)
    }
}

fn error_of(then: fn(&mut [f32]) -> Result<()>) -> String {
    let (mut env, _) = PointEnv::continuous(3).scored(RewardSchedule::HoldLast, 1);
    let scorer = scorer(Failing { then }, RewardSchedule::HoldLast, 1, 3);
    let outcome = train(&mut env, Some(scorer), &small_config(10_000), None, &mut ());
    outcome.unwrap_err().to_string()
}

#[test]
fn errors_of_the_reward_model_end_the_training() {
    let own = error_of(|_| Err(RewardError::WrongImageSize { expected: (64, 64), got: (32, 32) }));
    assert_eq!(own, "the model reads (64, 64) pixels (height, width) and got (32, 32)");
    let panicked = error_of(|_| panic!("no scores"));
    assert_eq!(panicked, "the reward model panicked in score: no scores");
    let infinite = error_of(|scores| {
        scores.copy_from_slice(&[1.0, f32::INFINITY, 1.0]);
        Ok(())
    });
    assert_eq!(infinite, "the reward model returned inf; expected a finite number");
}

#[test]
fn skipped_scores_are_counted_and_training_goes_on() {
    let (mut env, _) = PointEnv::continuous(3).scored(RewardSchedule::HoldLast, 1);
    let failures = FailureConfig { on_failure: OnFailure::Skip, ..FailureConfig::default() };
    let model = Failing { then: |_| Err(RewardError::Failed { reason: "no connection".to_owned() }) };
    let scorer = scorer_with(model, RewardSchedule::HoldLast, 1, 3, failures);
    let outcome = train(&mut env, Some(scorer), &small_config(960), None, &mut ()).unwrap();
    let report = outcome.last_report.unwrap();
    assert_eq!((report.n_skipped_scores, report.mean_reward), (960, 0.0));
}
