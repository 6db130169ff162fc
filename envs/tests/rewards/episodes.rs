//! Rewards over episodes: every selection of frames with every schedule.

use std::sync::Arc;

use sayso_envs::{
    Actions, AutoresetMode, EnvConfig, RewardSource, RewardTerm, ScoringConfig, StepBatch, VecEnv,
    VectorEnv as _,
};
use sayso_rewards::{
    Feature, FrameSelection, LatestScore, Result, RewardFrames, RewardModel, RewardSchedule, RewardText,
    ScoredStep, Windows,
};
use sayso_sim::app::Slot;
use sayso_sim::{FrameBatch, FrameRequest, SimWorld};

use crate::mean_colour::{MeanColour, SELECTIONS, actions, config, instructed, make, plans, reset, rewards};

#[test]
fn equal_seeds_give_equal_rewards_after_any_history() {
    for plan in plans() {
        for autoreset in [AutoresetMode::SameStep, AutoresetMode::NextStep] {
            let mut fresh = make(&instructed(3, autoreset), &plan);
            reset(&mut fresh, 7, None);
            let expected = rewards(&mut fresh, 12);
            assert!(expected.iter().flatten().any(|&reward| reward != 0.0), "{plan:?}");

            let mut used = make(&instructed(3, autoreset), &plan);
            reset(&mut used, 3, None);
            rewards(&mut used, 4);
            reset(&mut used, 7, None);
            assert_eq!(rewards(&mut used, 12), expected, "{autoreset:?} {plan:?}");
        }
    }
}

#[test]
fn rewards_depend_neither_on_the_number_of_envs_nor_on_groups() {
    for plan in plans() {
        let of_first_env = |n_envs, n_groups| {
            let config = EnvConfig { n_groups, ..instructed(n_envs, AutoresetMode::SameStep) };
            let mut env = make(&config, &plan);
            reset(&mut env, 7, None);
            rewards(&mut env, 11).iter().map(|row| row[0]).collect::<Vec<_>>()
        };
        let expected = of_first_env(1, 1);
        for (n_envs, n_groups) in [(7, 1), (7, 3), (64, 3)] {
            assert_eq!(
                of_first_env(n_envs, n_groups),
                expected,
                "{n_envs} envs, {n_groups} groups, {plan:?}"
            );
        }
    }
}

#[test]
fn rewards_within_the_step_equal_those_of_frames_that_are_scored_later() {
    let modes = [(1, AutoresetMode::SameStep), (2, AutoresetMode::SameStep), (2, AutoresetMode::NextStep)];
    for plan in plans() {
        for (n_groups, autoreset) in modes {
            let config = EnvConfig { n_groups, ..instructed(3, autoreset) };
            let mut env = make(&config, &plan);
            reset(&mut env, 7, None);
            let expected = rewards(&mut env, 12);

            let (frames, scoring) = &plan;
            let model: Arc<dyn RewardModel> = Arc::new(MeanColour(*frames));
            let source = RewardSource::Deferred(Arc::clone(&model), scoring.clone());
            let mut env = VecEnv::new(&config, source).expect("an env");
            let mut scorer = scoring.scorer(model, &env).expect("a scorer");
            let mut batch = reset(&mut env, 7, None);
            let (mut frames, mut scores) = (RewardFrames::default(), Vec::new());
            let mut latest = [None; 3];
            for step in 0..=12 {
                if 0 < step {
                    env.step(&actions(&env, step - 1), &mut batch).expect("a step");
                    assert_eq!(batch.rewards, [0.0; 3], "they come later");
                }
                env.swap_reward_frames(&mut frames);
                scorer.score(&frames, &mut scores).expect("scores");
                let score_of = |env_idx: usize, is_first: bool| {
                    let found = scores.iter().find(|score| {
                        score.row.env_idx as usize == env_idx && (score.row.n_steps == 0) == is_first
                    });
                    found.map(|found| LatestScore { score: found.score, text_idx: found.row.text_idx })
                };
                for (env_idx, latest) in latest.iter_mut().enumerate() {
                    if batch.info.is_reset[env_idx] && autoreset == AutoresetMode::NextStep {
                        *latest = None;
                    } else if 0 < step {
                        let is_last = batch.done(env_idx);
                        let is_terminated = batch.terminated[env_idx];
                        let score = score_of(env_idx, false).map(|it| it.score);
                        let text_idx = batch.info.instruction[env_idx];
                        let scored = ScoredStep { score, text_idx, is_terminated, is_last };
                        let reward = scoring.schedule.reward(latest, scored, scoring.discount);
                        assert_eq!(
                            reward,
                            expected[step - 1][env_idx],
                            "step {step} of env {env_idx}, {plan:?}"
                        );
                    }
                    *latest = score_of(env_idx, true).or(*latest);
                }
            }
        }
    }
}

#[test]
fn every_n_steps_counts_the_steps_of_an_episode() {
    let scoring = ScoringConfig { every_n_steps: 3, ..ScoringConfig::default() };
    let mut env = make(&config(2, AutoresetMode::SameStep), &(FrameSelection::Last, scoring));
    reset(&mut env, 1, None);
    // Episodes of five steps; the score of step 3 is kept until the end.
    let is_rewarded = |row: &Vec<f32>| row[0] != 0.0;
    let expected = [false, false, true, true, true].repeat(2);
    assert!(rewards(&mut env, 10).iter().map(is_rewarded).eq(expected));

    rewards(&mut env, 4);
    reset(&mut env, 2, Some(vec![true, false]));
    let rows = rewards(&mut env, 1);
    assert!(rows[0][0] == 0.0 && rows[0][1] != 0.0, "the other env keeps its score");
}

#[test]
fn a_snapshot_restores_what_rewards_depend_on() {
    for plan in plans() {
        for autoreset in [AutoresetMode::SameStep, AutoresetMode::NextStep] {
            let mut env = make(&instructed(3, autoreset), &plan);
            reset(&mut env, 7, None);
            rewards(&mut env, 3);
            let snapshot = env.snapshot().expect("a snapshot");
            let expected = rewards(&mut env, 9);
            let grouped = EnvConfig { n_groups: 2, ..instructed(3, autoreset) };
            let mut other = make(&grouped, &plan);
            other.restore(&snapshot).expect("restored");
            assert_eq!(rewards(&mut other, 9), expected, "{autoreset:?} {plan:?}");
        }
    }
    let window = (SELECTIONS[1], ScoringConfig::default());
    let mut env = make(&instructed(1, AutoresetMode::SameStep), &window);
    reset(&mut env, 7, None);
    let snapshot = env.snapshot().expect("a snapshot");
    let mut other = make(&instructed(1, AutoresetMode::SameStep), &(SELECTIONS[2], ScoringConfig::default()));
    let error = other.restore(&snapshot).expect_err("another model").to_string();
    assert!(error.contains("another model"), "{error}");
}

#[test]
fn a_window_longer_than_an_episode_is_refused() {
    for (frames, field) in [
        (FrameSelection::Window { n_frames: 4, stride: 2 }, "reward.n_frames"),
        (FrameSelection::Pair { lag: 6 }, "reward.lag"),
    ] {
        let source = RewardSource::Model(Arc::new(MeanColour(frames)), ScoringConfig::default());
        let error =
            VecEnv::new(&config(1, AutoresetMode::SameStep), source).err().expect("too long").to_string();
        assert!(error.starts_with(field) && error.contains("6 control steps"), "{error}");
    }
}

#[test]
fn a_model_that_panics_is_an_error_and_the_batch_goes_on() {
    struct Panics;
    impl RewardModel for Panics {
        fn frame_request(&self) -> FrameRequest {
            MeanColour(FrameSelection::Last).frame_request()
        }
        fn feature(&self) -> Feature {
            Feature::Pixels
        }
        fn score(&self, windows: &Windows<'_>, out: &mut [f32]) -> Result<()> {
            let text: &RewardText = windows.text(0);
            assert!(text.instruction.contains("blue"), "not about the blue ball");
            out.fill(1.0);
            Ok(())
        }
    }
    let source = RewardSource::Model(Arc::new(Panics), ScoringConfig::default());
    let mut env = VecEnv::new(&config(2, AutoresetMode::SameStep), source).expect("an env");
    let mut batch = reset(&mut env, 1, None);
    let error = env.step(&actions(&env, 0), &mut batch).expect_err("it panics").to_string();
    assert_eq!(error, "the reward model panicked in score: not about the blue ball");
    reset(&mut env, 1, None);
}

#[test]
fn terms_combine_scores_with_metrics() {
    let terms = vec![
        RewardTerm::Add { metric: "gap_red".to_owned(), weight: -100.0 },
        RewardTerm::Gate { metric: "gap_red".to_owned(), min: None, max: Some(0.2) },
    ];
    let composed = ScoringConfig { terms, ..ScoringConfig::default() };
    let mut plain =
        make(&instructed(5, AutoresetMode::SameStep), &(FrameSelection::Last, ScoringConfig::default()));
    let mut env = make(&instructed(5, AutoresetMode::SameStep), &(FrameSelection::Last, composed.clone()));
    let later = RewardSource::Deferred(Arc::new(MeanColour(FrameSelection::Last)), composed);
    let mut later = VecEnv::new(&instructed(5, AutoresetMode::SameStep), later).expect("an env");
    let mut batches = [reset(&mut plain, 7, None), reset(&mut env, 7, None), reset(&mut later, 7, None)];
    let mut n_closed = 0;
    for step in 0..12 {
        let actions = actions(&plain, step);
        for (env, batch) in [&mut plain, &mut env, &mut later].into_iter().zip(&mut batches) {
            env.step(&actions, batch).expect("a step");
        }
        let [plain, env, later] = &batches;
        let n_metrics = plain.info.metrics.len() / 5;
        for env_idx in 0..5 {
            let gap = plain.info.metrics[env_idx * n_metrics];
            let expected = if gap <= 0.2 { plain.rewards[env_idx] - 100.0 * gap } else { 0.0 };
            n_closed += u32::from(gap > 0.2);
            assert_eq!(env.rewards[env_idx], expected);
            let (weight, offset) = (later.score_weights[env_idx], later.rewards[env_idx]);
            assert_eq!(weight * plain.rewards[env_idx] + offset, expected);
        }
    }
    assert!(0 < n_closed && n_closed < 60, "{n_closed} of 60 gates were closed");
}

/// The mean colour of the frames of every env, from an env that renders its first camera as a pixel observation, without a
/// reward model: the state before the first action, and after each step.
fn colours(n_steps: usize, autoreset: AutoresetMode) -> Vec<Vec<f32>> {
    let camera = VecEnv::new(&instructed(1, autoreset), RewardSource::None).expect("an env");
    let camera = camera.task_spec().reward_cameras[0].clone();
    let config = EnvConfig {
        observation: sayso_envs::ObservationConfig::PIXELS,
        pixel_size: [8, 8],
        pixel_camera: vec![camera],
        max_episode_steps: Some(100),
        ..config(3, autoreset)
    };
    let mut env = VecEnv::new(&config, RewardSource::None).expect("an env");
    let mut batch = reset(&mut env, 7, None);
    let sums = |batch: &StepBatch| {
        let frames = FrameBatch::from(batch.observations.pixels[0].clone());
        let embedded = MeanColour(FrameSelection::Last).embed_frames(&frames).expect("embeddings");
        embedded.rows().map(|row| row.iter().sum()).collect::<Vec<f32>>()
    };
    let mut all = vec![sums(&batch)];
    for step in 0..n_steps {
        env.step(&actions(&env, step), &mut batch).expect("a step");
        all.push(sums(&batch));
    }
    all
}

/// The score of three frames, two steps apart, whose weights are 1, 2 and 3, that of the newest one the greatest.
fn window(colour: &dyn Fn(usize) -> f32, step: usize) -> f32 {
    let older = |age: usize, weight: f32| step.checked_sub(age).map_or(0.0, |step| weight * colour(step));
    older(4, 1.0) + older(2, 2.0) + 3.0 * colour(step)
}

/// The reward of a step, from the colour of the frame of each step and the number of the step.
type Expected = dyn Fn(&dyn Fn(usize) -> f32, usize) -> f32;

#[test]
fn rewards_are_those_of_frames_that_another_env_observes() {
    let colours = colours(5, AutoresetMode::SameStep);
    let camera = VecEnv::new(&config(1, AutoresetMode::SameStep), RewardSource::None).expect("an env");
    let cameras = vec![camera.task_spec().reward_cameras[0].clone()];
    let run = |frames, schedule, every_n_steps| {
        let scoring = ScoringConfig {
            schedule,
            every_n_steps,
            cameras: cameras.clone(),
            discount: 0.5,
            ..ScoringConfig::default()
        };
        let mut env = make(&config(3, AutoresetMode::SameStep), &(frames, scoring));
        reset(&mut env, 7, None);
        rewards(&mut env, 5)
    };
    let expect = |frames, schedule, every_n_steps, expected: &Expected| {
        let got = run(frames, schedule, every_n_steps);
        for env_idx in 0..3 {
            let colour = |step: usize| colours[step][env_idx];
            for step in 1..=5 {
                let (got, expected) = (got[step - 1][env_idx], expected(&colour, step));
                let tolerance = 1e-4 * expected.abs().max(100.0);
                assert!(
                    (got - expected).abs() < tolerance,
                    "{frames:?} {schedule:?}, step {step}: {got} for {expected}"
                );
            }
        }
    };
    use RewardSchedule::{Difference, EpisodeEnd, HoldLast, Potential};
    let last = FrameSelection::Last;
    expect(last, HoldLast, 1, &|c, t| c(t));
    expect(last, HoldLast, 2, &|c, t| if t < 2 { 0.0 } else { c(t / 2 * 2) });
    expect(last, Difference, 2, &|c, t| if t % 2 == 0 { c(t) - c(t - 2) } else { 0.0 });
    expect(last, EpisodeEnd, 1, &|c, t| if t == 5 { c(5) } else { 0.0 });
    expect(last, Potential, 1, &|c, t| 0.5 * c(t) - c(t - 1));
    expect(SELECTIONS[1], HoldLast, 1, &|c, t| window(c, t));
    expect(SELECTIONS[1], Difference, 1, &|c, t| window(c, t) - window(c, t - 1));
    expect(SELECTIONS[2], HoldLast, 1, &|c, t| 2.0 * c(t) + if t < 2 { 0.0 } else { c(t - 2) });
    // At most three frames: 0, 2 and 3, then 0 and 4, then 0, 4 and 5.
    expect(SELECTIONS[3], HoldLast, 1, &|c, t| match t {
        1 => 2.0 * c(0) + 3.0 * c(1),
        2 => c(0) + 2.0 * c(1) + 3.0 * c(2),
        3 => c(0) + 2.0 * c(2) + 3.0 * c(3),
        4 => c(0) + 2.0 * c(2) + 3.0 * c(4),
        _ => c(0) + 2.0 * c(4) + 3.0 * c(5),
    });
}

/// Makes the state of one env NaN in the next step.
fn break_env(env: &mut VecEnv, env_idx: usize) {
    let joint = env.task().scene().joints[0].name.clone();
    for world in env.worlds_mut() {
        let mut envs = world.query::<(&Slot, &mut SimWorld)>();
        for (_, mut sim_world) in envs.iter_mut(world).filter(|(slot, _)| slot.0.0 == env_idx) {
            let joint = sim_world.joint(&joint).expect("a joint");
            sim_world.set_joint_velocity(joint, f32::NAN);
        }
    }
}

#[test]
fn the_episode_after_a_quarantine_is_rewarded_like_any_other_and_other_envs_are_not_touched() {
    for plan in plans() {
        for (autoreset, n_resets) in [(AutoresetMode::SameStep, 0), (AutoresetMode::NextStep, 1)] {
            let mut whole = make(&instructed(3, autoreset), &plan);
            reset(&mut whole, 7, None);
            // Two episodes of five steps.
            let expected = rewards(&mut whole, 10 + n_resets);

            let mut env = make(&instructed(3, autoreset), &plan);
            let mut batch = reset(&mut env, 7, None);
            let mut got = Vec::new();
            for step in 0..8 + n_resets {
                // The actions of the second episode are those of the other run's second episode.
                let same = if step < 3 { step } else { step + 2 };
                if step == 2 {
                    break_env(&mut env, 1);
                }
                let mut all = actions(&env, step);
                if let (Actions::Continuous(all), Actions::Continuous(own)) = (&mut all, actions(&env, same))
                {
                    let dim = all.len() / 3;
                    all[dim..2 * dim].copy_from_slice(&own[dim..2 * dim]);
                }
                env.step(&all, &mut batch).expect("a step");
                assert_eq!(batch.info.quarantined[1], step == 2, "{plan:?}");
                got.push(batch.rewards.clone());
            }
            let own =
                |rows: &[Vec<f32>], env_idx: usize| rows.iter().map(|row| row[env_idx]).collect::<Vec<_>>();
            for other in [0, 2] {
                assert_eq!(own(&got, other), own(&expected[..got.len()], other), "{autoreset:?} {plan:?}");
            }
            let of_broken = own(&got, 1);
            assert_eq!(of_broken[..2], own(&expected[..2], 1), "{autoreset:?} {plan:?}");
            assert_eq!(of_broken[2], 0.0);
            assert_eq!(of_broken[3..], own(&expected[5..], 1), "{autoreset:?} {plan:?}");
        }
    }
}

#[test]
fn masked_resets_and_disabled_autoreset_start_histories_anew() {
    for plan in plans() {
        let mut env = make(&instructed(2, AutoresetMode::Disabled), &plan);
        reset(&mut env, 7, None);
        let expected = rewards(&mut env, 5);
        // Env 1 goes through an episode first; then env 0 is reset alone, and both are compared with the first run.
        let mut env = make(&instructed(2, AutoresetMode::Disabled), &plan);
        reset(&mut env, 3, None);
        rewards(&mut env, 2);
        reset(&mut env, 7, Some(vec![false, true]));
        let own = |rows: &[Vec<f32>], env_idx: usize| rows.iter().map(|row| row[env_idx]).collect::<Vec<_>>();
        let rows = rewards(&mut env, 3);
        assert_eq!(own(&rows, 1), own(&expected[..3], 1), "{plan:?}");
        reset(&mut env, 7, Some(vec![true, false]));
        let rows = rewards(&mut env, 2);
        assert_eq!(own(&rows, 0), own(&expected[..2], 0), "{plan:?}");
    }
}
