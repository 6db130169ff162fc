//! Conformance tests of the stepping engine, run for every registered environment.

use rand::SeedableRng as _;
use rand_pcg::Pcg64;
use sayso_envs::{
    Actions, AutoresetMode, EnvConfig, ObservationConfig, ResetOptions, RewardSource, Seed, Space, StepBatch,
    VecEnv, VectorEnv, registry,
};
/// A batch of an environment with short episodes.
fn make(id: &str, n_envs: usize, autoreset: AutoresetMode, observation: ObservationConfig) -> VecEnv {
    let config = EnvConfig {
        id: id.to_owned(),
        n_envs,
        autoreset,
        observation,
        pixel_size: [24, 32],
        max_episode_steps: Some(6),
        ..EnvConfig::default()
    };
    VecEnv::new(&config, RewardSource::GroundTruth).expect("a registered environment")
}

fn reset(env: &mut VecEnv, seed: u64) -> StepBatch {
    let mut batch = StepBatch::default();
    env.reset(&ResetOptions { seed: Some(seed.into()), mask: None }, &mut batch).expect("reset");
    batch
}

/// Random actions for `n_envs` envs that do not depend on `n_envs`: each env has its own random stream.
fn actions(env: &VecEnv, step: u64) -> Actions {
    let per_env = (0..env.n_envs()).map(|env_idx| {
        let mut rng = Pcg64::seed_from_u64(step * 1000 + env_idx as u64);
        env.single_action_space().sample_actions(1, &mut rng).expect("an action space")
    });
    let mut continuous = Vec::new();
    let mut discrete = Vec::new();
    for action in per_env {
        match action {
            Actions::Continuous(values) => continuous.extend(values),
            Actions::Discrete(choices) => discrete.extend(choices),
        }
    }
    if discrete.is_empty() { Actions::Continuous(continuous) } else { Actions::Discrete(discrete) }
}

#[test]
fn specifications_are_consistent() {
    for id in registry::ids() {
        let task = registry::task(id, &toml::Table::new()).expect("default options");
        let spec = task.spec();
        assert_eq!(spec.id, id);
        assert_eq!(spec.state_names.len(), spec.state_space.dim(), "{id}: a name for each value");
        assert!(!spec.goals.is_empty() && !spec.reward_cameras.is_empty(), "{id}");
        for goal in &spec.goals {
            let is_caption =
                |prompt: &str| spec.captions.iter().any(|s| s.phrasings.iter().any(|p| p == prompt));
            assert!(
                is_caption(&goal.goal_prompt),
                "{id}: '{}' is not a caption of the task",
                goal.goal_prompt
            );
            assert!(
                is_caption(&goal.baseline_prompt),
                "{id}: '{}' is not a caption of the task",
                goal.baseline_prompt
            );
            assert!(!goal.paraphrases.is_empty(), "{id}: goal {} has no paraphrase", goal.name);
            assert!(!goal.held_out_paraphrases.is_empty(), "{id}: goal {} holds out none", goal.name);
            for instruction in goal.wordings() {
                assert!(is_caption(instruction), "{id}: '{instruction}' is not a caption of the task");
            }
        }
        let scene = task.scene();
        let env = make(id, 1, AutoresetMode::SameStep, ObservationConfig::STATE);
        let steps_per_sec = 1.0 / f64::from(scene.physics.control_dt_secs());
        assert!((f64::from(env.control_hz()) - steps_per_sec).abs() < 1e-3, "{id}: {steps_per_sec} Hz");
        for camera in
            spec.reward_cameras.iter().map(String::as_str).chain([spec.pixel_camera, spec.video_camera])
        {
            assert!(scene.cameras.iter().any(|c| c.name == camera), "{id}: no camera '{camera}'");
        }
    }
}

#[test]
fn observations_are_finite_fit_their_space_and_vary() {
    for id in registry::ids() {
        let mut env = make(id, 5, AutoresetMode::SameStep, ObservationConfig::BOTH);
        let mut batch = reset(&mut env, 3);
        let first = batch.observations.clone();
        let state_dim = env.task_spec().state_space.dim();
        assert_eq!(first.state.len(), 5 * state_dim);
        let image = &first.pixels[0];
        assert_eq!((image.n_views(), image.height(), image.width()), (5, 24, 32));
        assert_ne!(
            first.state[..state_dim],
            first.state[state_dim..2 * state_dim],
            "{id}: envs start differently"
        );
        assert!(image.view(0).iter().any(|&p| p != image.view(0)[0]), "{id}: the image is not blank");
        for step in 0..5 {
            let actions = actions(&env, step);
            env.step(&actions, &mut batch).expect("step");
            assert!(batch.observations.state.iter().all(|v| v.is_finite()), "{id}");
            assert!(batch.rewards.iter().all(|v| v.is_finite()), "{id}");
            if let Space::Box { low, high } = &env.task_spec().state_space {
                for row in batch.observations.state.chunks_exact(state_dim) {
                    let fits = row
                        .iter()
                        .zip(low.iter().zip(high))
                        .all(|(v, (low, high))| (low..=high).contains(&v));
                    assert!(fits, "{id}: {row:?} is outside its space");
                }
            }
        }
        assert_ne!(first.state, batch.observations.state, "{id}: actions have an effect");
        assert_ne!(first.pixels, batch.observations.pixels, "{id}: actions change the frames");
    }
}

#[test]
fn equal_seeds_give_equal_states_at_any_batch_size_and_thread_count() {
    for id in registry::ids() {
        let run = |n_envs: usize, n_threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().expect("a pool");
            pool.install(|| {
                let mut env = make(id, n_envs, AutoresetMode::SameStep, ObservationConfig::STATE);
                let mut batch = reset(&mut env, 11);
                for step in 0..15 {
                    let actions = actions(&env, step);
                    env.step(&actions, &mut batch).expect("step");
                }
                env.state_hashes()
            })
        };
        let reference = run(64, 2);
        assert_eq!(run(64, 1), reference, "{id}: one thread or two");
        assert_eq!(run(7, 2)[..], reference[..7], "{id}: 7 envs or 64");
        assert_eq!(run(1, 1)[..], reference[..1], "{id}: one env or 64");
        assert_ne!(reference[0], reference[1], "{id}: envs differ");
    }
}

#[test]
fn next_step_autoreset_resets_in_a_step_of_its_own() {
    for id in registry::ids() {
        let mut env = make(id, 2, AutoresetMode::NextStep, ObservationConfig::BOTH);
        let mut batch = reset(&mut env, 5);
        let start = batch.observations.clone();
        assert!(batch.info.is_reset.iter().all(|r| *r));
        let mut step = 0;
        while !batch.done(0) {
            let actions = actions(&env, step);
            env.step(&actions, &mut batch).expect("step");
            assert!(!batch.info.is_reset[0], "{id}");
            step += 1;
        }
        assert!(step <= 6, "{id}: episodes are truncated");
        let last = batch.observations.clone();
        let next = actions(&env, step);
        env.step(&next, &mut batch).expect("step");
        assert!(batch.info.is_reset[0] && !batch.done(0), "{id}");
        assert_eq!(batch.rewards[0], 0.0, "{id}: no action led here");
        assert_eq!(batch.info.episode_steps[0], 0, "{id}");
        assert_ne!(batch.observations.state, last.state, "{id}: a new episode");
        assert_ne!(batch.observations.state, start.state, "{id}: not the first episode again");
        let again = actions(&env, step + 1);
        env.step(&again, &mut batch).expect("step");
        assert_eq!((batch.info.is_reset[0], batch.info.episode_steps[0]), (false, 1), "{id}");
    }
}

#[test]
fn next_step_autoreset_keeps_the_last_state_until_the_next_step() {
    for id in registry::ids() {
        let mut env = make(id, 2, AutoresetMode::NextStep, ObservationConfig::STATE);
        let mut batch = reset(&mut env, 3);
        let camera = env.task_spec().video_camera;
        let first = env.render(camera, 24, 24).expect("frames");
        let mut hashes = Vec::new();
        for step in 0..6 {
            env.step(&actions(&env, step), &mut batch).expect("step");
            hashes = env.state_hashes();
        }
        assert!(batch.done(0) && batch.done(1), "{id}: six steps are an episode");
        assert_eq!(env.measure()[0].success, batch.info.success[..env.goal_names().len()], "{id}");
        let last = env.render(camera, 24, 24).expect("frames");
        assert_ne!(last, first, "{id}");
        env.step(&actions(&env, 6), &mut batch).expect("step");
        assert_ne!(env.state_hashes(), hashes, "{id}: a new episode");
        assert!(batch.info.is_reset.iter().all(|&is_reset| is_reset), "{id}");
    }
}

#[test]
fn same_step_autoreset_keeps_the_last_observation_of_the_old_episode() {
    for id in registry::ids() {
        let mut same = make(id, 3, AutoresetMode::SameStep, ObservationConfig::BOTH);
        let mut manual = make(id, 3, AutoresetMode::Disabled, ObservationConfig::BOTH);
        let (mut batch, mut expected) = (reset(&mut same, 8), reset(&mut manual, 8));
        assert_eq!(batch.observations, expected.observations, "{id}");
        for step in 0..14 {
            let actions = actions(&same, step);
            same.step(&actions, &mut batch).expect("step");
            manual.step(&actions, &mut expected).expect("step");
            let ended: Vec<bool> = (0..3).map(|env_idx| batch.done(env_idx)).collect();
            let expected_ends: Vec<bool> = (0..3).map(|env_idx| expected.done(env_idx)).collect();
            assert_eq!(ended, expected_ends, "{id}");
            assert_eq!(
                batch.rewards, expected.rewards,
                "{id}: the reward is that of the state before the reset"
            );
            if ended.iter().any(|e| *e) {
                for env_idx in (0..3).filter(|i| ended[*i]) {
                    let pixels = batch.final_observations.pixels[0].view(env_idx);
                    assert_eq!(
                        pixels,
                        expected.observations.pixels[0].view(env_idx),
                        "{id}: the last frame is kept"
                    );
                }
                let options = ResetOptions { seed: None, mask: Some(ended) };
                manual.reset(&options, &mut expected).expect("reset");
                assert_eq!(batch.restart_info, expected.info, "{id}: info of the next episode's first state");
            }
            assert_eq!(batch.observations, expected.observations, "{id} at step {step}");
        }
    }
}

#[test]
fn calls_in_the_wrong_order_and_wrong_actions_are_errors() {
    for id in registry::ids() {
        let mut env = make(id, 2, AutoresetMode::Disabled, ObservationConfig::STATE);
        let mut batch = StepBatch::default();
        let good = actions(&env, 0);
        let error = env.step(&good, &mut batch).expect_err("no reset yet").to_string();
        assert!(error.contains("reset first"), "{error}");
        batch = reset(&mut env, 1);
        let error =
            env.step(&Actions::Continuous(vec![0.0; 99]), &mut batch).expect_err("too many").to_string();
        assert!(error.contains("actions: expected"), "{error}");
        if let Actions::Continuous(values) = &good {
            let error = env.step(&Actions::Continuous(vec![f32::NAN; values.len()]), &mut batch);
            assert!(error.is_err(), "{id}: NaN is an error");
        }
        for step in 0..6 {
            let actions = actions(&env, step);
            if env.step(&actions, &mut batch).is_err() || batch.done(0) {
                break;
            }
        }
        let error = env.step(&good, &mut batch).expect_err("the episode is over").to_string();
        assert!(error.contains("reset it with a mask"), "{error}");
        let wrong_mask = ResetOptions { seed: None, mask: Some(vec![true]) };
        assert!(env.reset(&wrong_mask, &mut batch).is_err());
    }
}

#[test]
fn a_restored_batch_continues_bit_exactly() {
    for id in registry::ids() {
        let mut env = make(id, 3, AutoresetMode::NextStep, ObservationConfig::STATE);
        let mut batch = reset(&mut env, 2);
        for step in 0..4 {
            let actions = actions(&env, step);
            env.step(&actions, &mut batch).expect("step");
        }
        let snapshot = env.snapshot().expect("snapshot");
        let mut twin = make(id, 3, AutoresetMode::NextStep, ObservationConfig::STATE);
        twin.restore(&snapshot).expect("restore");
        let mut twin_batch = StepBatch::default();
        for step in 4..12 {
            let actions = actions(&env, step);
            env.step(&actions, &mut batch).expect("step");
            twin.step(&actions, &mut twin_batch).expect("step");
            assert_eq!(env.state_hashes(), twin.state_hashes(), "{id} at step {step}");
            assert_eq!(batch.observations, twin_batch.observations, "{id}");
            assert_eq!(batch.truncated, twin_batch.truncated, "{id}");
        }
        let mut other = make(id, 2, AutoresetMode::NextStep, ObservationConfig::STATE);
        assert!(other.restore(&snapshot).is_err(), "{id}: a snapshot of three envs does not fit two");
        assert!(other.restore(&snapshot[..40]).is_err(), "{id}: half a snapshot is an error");
    }
}

/// Every row of a step, with final observations where an episode ended.
fn rows(batch: &StepBatch) -> impl PartialEq + std::fmt::Debug + use<> {
    let n_envs = batch.rewards.len();
    let width = batch.final_observations.state.len() / n_envs;
    let last: Vec<Vec<f32>> = (0..n_envs)
        .filter(|&env_idx| batch.done(env_idx) && 0 < width)
        .map(|env_idx| batch.final_observations.state[env_idx * width..][..width].to_vec())
        .collect();
    let last_pixels: Vec<Vec<u8>> = (0..n_envs)
        .filter(|&env_idx| batch.done(env_idx) && 0 < width)
        .map(|env_idx| batch.final_observations.pixels[0].view(env_idx).to_vec())
        .collect();
    (
        (
            batch.observations.clone(),
            batch.rewards.clone(),
            batch.terminated.clone(),
            batch.truncated.clone(),
        ),
        (batch.info.clone(), last, last_pixels),
    )
}

#[test]
fn results_do_not_depend_on_the_number_of_groups() {
    for id in registry::ids() {
        for autoreset in [AutoresetMode::NextStep, AutoresetMode::SameStep] {
            let [mut alone, mut grouped] = [1, 3].map(|n_groups| {
                let config = EnvConfig {
                    id: (*id).to_owned(),
                    n_envs: 7,
                    autoreset,
                    observation: ObservationConfig::BOTH,
                    pixel_size: [12, 16],
                    max_episode_steps: Some(4),
                    n_groups,
                    ..EnvConfig::default()
                };
                VecEnv::new(&config, RewardSource::GroundTruth).expect("a registered environment")
            });
            let (mut one, mut three) = (reset(&mut alone, 8), reset(&mut grouped, 8));
            assert_eq!(rows(&one), rows(&three), "{id}: reset");
            for step in 0..9 {
                let actions = actions(&alone, step);
                alone.step(&actions, &mut one).expect("step");
                grouped.step(&actions, &mut three).expect("step");
                assert_eq!(rows(&one), rows(&three), "{id}, {autoreset:?}: step {step}");
                if step == 5 {
                    let mask = Some((0..7).map(|env_idx| env_idx % 2 == 0).collect());
                    let options = ResetOptions { seed: None, mask };
                    alone.reset(&options, &mut one).expect("a partial reset");
                    grouped.reset(&options, &mut three).expect("a partial reset");
                    assert_eq!(rows(&one), rows(&three), "{id}: partial reset");
                }
            }
            assert_eq!(alone.state_hashes(), grouped.state_hashes(), "{id}");
            let snapshots = [&alone, &grouped].map(|env| env.snapshot().expect("a snapshot"));
            assert!(snapshots[0] == snapshots[1], "{id}: snapshots");
            grouped.restore(&snapshots[0]).expect("a snapshot of other groups");
            let camera = alone.task_spec().video_camera;
            let [one, three] =
                [&mut alone, &mut grouped].map(|env| env.render(camera, 9, 9).expect("frames"));
            assert_eq!(one, three, "{id}: frames");
        }
    }
}

#[test]
fn an_env_with_its_own_seed_equals_a_batch_of_one() {
    for id in registry::ids() {
        let mut together = make(id, 3, AutoresetMode::SameStep, ObservationConfig::STATE);
        let seeds = [5, 11, 5];
        let options = ResetOptions { seed: Some(Seed::PerEnv(seeds.map(Some).to_vec())), mask: None };
        let mut all = StepBatch::default();
        together.reset(&options, &mut all).expect("a reset");
        let mut alone: Vec<(VecEnv, StepBatch)> = seeds
            .iter()
            .map(|&seed| {
                let mut env = make(id, 1, AutoresetMode::SameStep, ObservationConfig::STATE);
                let batch = reset(&mut env, seed);
                (env, batch)
            })
            .collect();
        for step in 0..9 {
            let rows: Vec<f32> =
                alone.iter().flat_map(|(_, batch)| batch.observations.state.clone()).collect();
            assert_eq!(all.observations.state, rows, "{id}: before step {step}");
            let one = actions(&alone[0].0, step);
            for (env, batch) in &mut alone {
                env.step(&one, batch).expect("step");
            }
            let three = match &one {
                Actions::Continuous(values) => Actions::Continuous(values.repeat(3)),
                Actions::Discrete(choices) => Actions::Discrete(choices.repeat(3)),
            };
            together.step(&three, &mut all).expect("step");
        }
        let options = ResetOptions { seed: Some(Seed::PerEnv(vec![Some(1)])), mask: None };
        assert!(together.reset(&options, &mut all).is_err(), "{id}: one seed for three envs");
        let options = ResetOptions { seed: Some(Seed::PerEnv(vec![None, Some(5), None])), mask: None };
        together.reset(&options, &mut all).expect("a reset");
        let (env, batch) = &mut alone[0];
        env.reset(&ResetOptions::default(), batch).expect("a reset");
        let dim = batch.observations.state.len();
        assert_eq!(
            all.observations.state[..dim],
            batch.observations.state,
            "{id}: continues its series of episodes"
        );
        let again = reset(env, 5);
        assert_eq!(
            all.observations.state[dim..2 * dim],
            again.observations.state,
            "{id}: restarts its series of episodes"
        );
    }
}

#[test]
fn errors_suggest_the_nearest_known_name() {
    let config = EnvConfig { id: "Raech-v1".to_owned(), ..EnvConfig::default() };
    let error = VecEnv::new(&config, RewardSource::None).err().expect("unknown").to_string();
    assert!(error.contains("did you mean 'Reach-v1'?"), "{error}");
    let config = EnvConfig { n_envs: 100, n_groups: 65, ..EnvConfig::default() };
    let error = VecEnv::new(&config, RewardSource::None).err().expect("too many groups").to_string();
    assert!(error.contains("env.n_groups = 65"), "{error}");
    let config = EnvConfig { instruction: Some("blu".into()), ..EnvConfig::default() };
    let error = VecEnv::new(&config, RewardSource::None).err().expect("unknown").to_string();
    assert!(error.contains("did you mean 'blue'?"), "{error}");
    let config = EnvConfig {
        options: toml::from_str("contrl = \"joint_delta_pos\"").expect("TOML"),
        ..EnvConfig::default()
    };
    let error = VecEnv::new(&config, RewardSource::None).err().expect("unknown").to_string();
    assert!(error.contains("contrl") && error.contains("control"), "{error}");
}
