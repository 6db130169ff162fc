//! Reward models that answer late, or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sayso_envs::{AutoresetMode, RewardSource, ScoringConfig, VecEnv, VectorEnv as _};
use sayso_rewards::{
    Embeddings, FailureConfig, Feature, FrameSelection, OnFailure, Result, RewardError, RewardModel,
    RewardText, RewardWorker, Score, Windows,
};
use sayso_sim::{FrameBatch, FrameRequest};

use crate::mean_colour::{MeanColour, SELECTIONS, actions, config, make, plans, reset, rewards};

/// Answers like [`MeanColour`], but late, in another order, and not at every attempt.
struct Late {
    model: MeanColour,
    n_parallel_calls: usize,
    n_calls: AtomicU64,
    /// Every n-th call fails.
    fails_every: u64,
    /// Failing calls do not return.
    hangs: bool,
}

impl Late {
    fn new(frames: FrameSelection) -> Self {
        let model = MeanColour(frames);
        Self { model, n_parallel_calls: 4, n_calls: AtomicU64::new(0), fails_every: 3, hangs: false }
    }
}

impl RewardModel for Late {
    fn frame_request(&self) -> FrameRequest {
        self.model.frame_request()
    }

    fn feature(&self) -> Feature {
        self.model.feature()
    }

    fn frames(&self) -> FrameSelection {
        self.model.frames()
    }

    fn n_parallel_calls(&self) -> usize {
        self.n_parallel_calls
    }

    fn embed_frames(&self, frames: &FrameBatch) -> Result<Embeddings> {
        self.model.embed_frames(frames)
    }

    fn embed_text(&self, text: &RewardText) -> Result<Vec<f32>> {
        self.model.embed_text(text)
    }

    fn score(&self, windows: &Windows<'_>, out: &mut [f32]) -> Result<()> {
        let n_calls = self.n_calls.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_micros(n_calls * 701 % 1500));
        let fails = n_calls % self.fails_every == self.fails_every - 1;
        match n_calls % 2 {
            _ if !fails => self.model.score(windows, out),
            _ if self.hangs => loop {
                std::thread::park();
            },
            0 => {
                out.fill(f32::NAN);
                Ok(())
            }
            _ => Err(RewardError::Failed { reason: "no connection".to_owned() }),
        }
    }
}

#[test]
fn late_answers_of_a_failing_model_are_those_of_a_fast_one() {
    let failures = FailureConfig { n_retries: 20, ..FailureConfig::default() };
    for (frames, scoring) in plans() {
        let mut env = make(&config(3, AutoresetMode::SameStep), &(frames, scoring.clone()));
        reset(&mut env, 7, None);
        let expected = rewards(&mut env, 8);
        for n_parallel_calls in [1, 4] {
            let model: Arc<dyn RewardModel> = Arc::new(Late { n_parallel_calls, ..Late::new(frames) });
            let scoring = ScoringConfig { failures, ..scoring.clone() };
            let source = RewardSource::Model(Arc::clone(&model), scoring.clone());
            let mut env = VecEnv::new(&config(3, AutoresetMode::SameStep), source).expect("an env");
            reset(&mut env, 7, None);
            assert_eq!(rewards(&mut env, 8), expected, "{n_parallel_calls} calls, {frames:?} {scoring:?}");
        }
    }
}

#[test]
fn scores_of_a_worker_come_back_with_the_tags_of_their_steps() {
    let frames = SELECTIONS[1];
    let failures = FailureConfig { n_retries: 20, ..FailureConfig::default() };
    let scoring = ScoringConfig { failures, ..ScoringConfig::default() };
    let collect = |model: Arc<dyn RewardModel>| {
        let source = RewardSource::Deferred(Arc::clone(&model), scoring.clone());
        let mut env = VecEnv::new(&config(3, AutoresetMode::SameStep), source).expect("an env");
        let mut worker =
            RewardWorker::spawn(scoring.scorer(model, &env).expect("a scorer")).expect("a thread");
        let mut batch = reset(&mut env, 7, None);
        for step in 0..12 {
            let mut frames = worker.buffer().expect("a buffer");
            env.swap_reward_frames(&mut frames);
            worker.send(step, frames).expect("sent");
            env.step(&actions(&env, step as usize), &mut batch).expect("a step");
        }
        let mut all = Vec::new();
        let mut add = |step: u64, scores: &[Score]| {
            all.extend(scores.iter().map(|score| (step, score.row.env_idx, score.row.n_steps, score.score)));
        };
        worker.drain(&mut add).expect("scores");
        all.sort_by(|a, b| a.partial_cmp(b).expect("finite"));
        (all, worker.save_histories().expect("histories"))
    };
    let (expected, histories) = collect(Arc::new(MeanColour(frames)));
    assert_eq!(expected.len(), 3 * 11, "the first frames are not scored");
    assert_eq!(collect(Arc::new(Late::new(frames))), (expected, histories));
}

#[test]
fn an_answer_that_never_comes_is_an_error_or_a_step_without_a_score() {
    let run = |on_failure, n_retries| {
        let model = Late { fails_every: 4, hangs: true, ..Late::new(FrameSelection::Last) };
        let timeout_secs = Some(0.4);
        let failures = FailureConfig { timeout_secs, n_retries, on_failure, ..FailureConfig::default() };
        let scoring = ScoringConfig { failures, ..ScoringConfig::default() };
        let source = RewardSource::Model(Arc::new(model), scoring);
        let mut env = VecEnv::new(&config(3, AutoresetMode::SameStep), source).expect("an env");
        let mut batch = reset(&mut env, 7, None);
        let mut rows = Vec::new();
        for step in 0..5 {
            env.step(&actions(&env, step), &mut batch)?;
            rows.push(batch.rewards.clone());
        }
        Ok::<_, sayso_envs::EnvError>(rows)
    };
    let mut fast =
        make(&config(3, AutoresetMode::SameStep), &(FrameSelection::Last, ScoringConfig::default()));
    reset(&mut fast, 7, None);
    let expected = rewards(&mut fast, 5);

    let error = run(OnFailure::Stop, 0).expect_err("no answer").to_string();
    let model = Late { fails_every: 5, hangs: true, ..Late::new(FrameSelection::Last) };
    let failures = FailureConfig { timeout_secs: Some(0.4), ..FailureConfig::default() };
    let source = RewardSource::Model(Arc::new(model), ScoringConfig { failures, ..ScoringConfig::default() });
    let mut env = VecEnv::new(&config(3, AutoresetMode::SameStep), source).expect("an env");
    let mut batch = reset(&mut env, 7, None);
    env.step(&actions(&env, 0), &mut batch).expect("three calls");
    env.step(&actions(&env, 1), &mut batch).expect_err("the fifth one hangs");
    env.step(&actions(&env, 2), &mut batch).expect("no score of the failed step is left");
    assert_eq!(batch.rewards, expected[2]);
    assert_eq!(error, "the reward model did not answer within 0.4 s, its time limit");
    assert_eq!(run(OnFailure::Skip, 3).expect("retried"), expected, "every further attempt is answered");
    let skipped = run(OnFailure::Skip, 0).expect("skipped");
    let mut n_kept = 0;
    for env_idx in 0..3 {
        let mut latest = 0.0;
        for (got, expected) in skipped.iter().zip(&expected) {
            if got[env_idx] != expected[env_idx] {
                assert_eq!(got[env_idx], latest, "the latest score is kept");
                n_kept += 1;
            }
            latest = got[env_idx];
        }
    }
    assert_eq!(n_kept, 3, "every fourth of 15 calls had no answer");
}
