//! Columns of observations: images of several cameras, and the values of goals.

use std::collections::BTreeMap;

use sayso_envs::{
    Actions, AutoresetMode, EnvConfig, GoalReward, Instruction, InstructionChoice, ObservationConfig,
    Observations, ResetOptions, RewardSource, Space, StepBatch, VecEnv, VectorEnv as _, registry,
};

fn reset(env: &mut VecEnv) -> StepBatch {
    let mut batch = StepBatch::default();
    env.reset(&ResetOptions { seed: Some(5.into()), mask: None }, &mut batch).expect("a reset");
    batch
}

fn actions(env: &VecEnv, step: usize) -> Actions {
    let n = env.n_envs() * env.single_action_space().dim();
    Actions::Continuous((0..n).map(|i| ((i * 5 + step * 3) % 9) as f32 / 4.0 - 1.0).collect())
}

#[test]
fn each_camera_has_an_image_of_its_own_size() {
    let camera = |names: &[&str], autoreset, n_groups| EnvConfig {
        n_envs: 3,
        n_groups,
        autoreset,
        observation: ObservationConfig::BOTH,
        pixel_size: [16, 24],
        pixel_sizes: names
            .iter()
            .filter(|name| **name == "wrist")
            .map(|_| ("wrist".into(), [20, 12]))
            .collect(),
        pixel_camera: names.iter().map(|&name| name.to_owned()).collect(),
        max_episode_steps: Some(3),
        ..EnvConfig::default()
    };
    for (autoreset, n_groups) in
        [(AutoresetMode::SameStep, 1), (AutoresetMode::SameStep, 2), (AutoresetMode::NextStep, 2)]
    {
        let envs =
            [&["front", "wrist"][..], &["front"], &["wrist"]].map(|names| camera(names, autoreset, n_groups));
        let [mut both, mut front, mut wrist] =
            envs.map(|config| VecEnv::new(&config, RewardSource::None).expect("an env"));
        let mut batches = [reset(&mut both), reset(&mut front), reset(&mut wrist)];
        for step in 0..8 {
            let [of_both, of_front, of_wrist] = &batches;
            assert_eq!(
                (of_both.observations.pixels[0].height(), of_both.observations.pixels[1].height()),
                (16, 20)
            );
            assert_eq!(of_both.observations.pixels[0], of_front.observations.pixels[0]);
            assert_eq!(of_both.observations.pixels[1], of_wrist.observations.pixels[0]);
            if autoreset == AutoresetMode::SameStep && 0 < step && of_both.done(0) {
                assert_eq!(of_both.final_observations.pixels[1], of_wrist.final_observations.pixels[0]);
                assert_ne!(of_both.final_observations.pixels[1], of_both.observations.pixels[1]);
            }
            let actions = actions(&both, step);
            for (env, batch) in [&mut both, &mut front, &mut wrist].into_iter().zip(&mut batches) {
                env.step(&actions, batch).expect("a step");
            }
        }
        let mut again = Observations::default();
        both.render_observations(&mut again).expect("observations");
        assert_eq!(again.pixels, batches[0].observations.pixels);
    }
    let config = camera(&["front", "wrist"], AutoresetMode::NextStep, 1);
    let env = VecEnv::new(&config, RewardSource::None).expect("an env");
    let Space::Dict(columns) = env.single_observation_space() else { panic!("a dict") };
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["state", "pixels_front", "pixels_wrist"]);
}

#[test]
fn cameras_that_do_not_fit_are_refused() {
    let message = |cameras: &[&str], sizes: &[(&str, [usize; 2])]| {
        let config = EnvConfig {
            observation: ObservationConfig::PIXELS,
            pixel_camera: cameras.iter().map(|&name| name.to_owned()).collect(),
            pixel_sizes: sizes
                .iter()
                .map(|(name, size)| ((*name).to_owned(), *size))
                .collect::<BTreeMap<_, _>>(),
            ..EnvConfig::default()
        };
        VecEnv::new(&config, RewardSource::None).err().expect("an error").to_string()
    };
    assert!(message(&["front", "front"], &[]).contains("'front' twice"));
    assert!(message(&["frnt"], &[]).contains("did you mean 'front'?"));
    assert!(message(&["front"], &[("wrist", [8, 8])]).contains("env.pixel_sizes 'wrist'"));
    assert!(message(&["front"], &[("front", [8, 0])]).contains("env.pixel_sizes.front = [8, 0]"));
}

fn goal_env(id: &str, reward: GoalReward, autoreset: AutoresetMode) -> VecEnv {
    let config = EnvConfig {
        id: id.to_owned(),
        n_envs: 4,
        n_groups: 2,
        autoreset,
        instruction: Some(InstructionChoice::All),
        observation: ObservationConfig::STATE.with_goal(),
        max_episode_steps: Some(6),
        ..EnvConfig::default()
    };
    VecEnv::new(&config, RewardSource::Goal(reward)).expect("an env")
}

#[test]
fn the_reward_of_every_step_is_that_of_its_achieved_and_desired_goal() {
    let mut n_rewarded = 0;
    for id in ["Reach-v1", "GoTo-v1"] {
        let space = registry::task(id, &toml::Table::new()).expect("a task").spec().goal_space.clone();
        let space = space.expect("goals have values");
        for reward in [GoalReward::Sparse, GoalReward::Dense] {
            for autoreset in [AutoresetMode::SameStep, AutoresetMode::NextStep] {
                let mut env = goal_env(id, reward, autoreset);
                let mut batch = reset(&mut env);
                for step in 0..15 {
                    env.step(&actions(&env, step), &mut batch).expect("a step");
                    for env_idx in 0..4 {
                        let is_final = autoreset == AutoresetMode::SameStep && batch.done(env_idx);
                        let of = if is_final { &batch.final_observations } else { &batch.observations };
                        let row = |goals: &[f32]| goals[env_idx * space.dim()..][..space.dim()].to_vec();
                        let (achieved, desired) = (row(&of.achieved_goal), row(&of.desired_goal));
                        let expected = match batch.info.is_reset[env_idx] {
                            true => 0.0,
                            false => reward.of(&space, &achieved, &desired),
                        };
                        assert_eq!(batch.rewards[env_idx], expected, "{id} {autoreset:?}, step {step}");
                        n_rewarded += u32::from(expected != 0.0);
                    }
                }
            }
        }
    }
    assert!(100 < n_rewarded, "{n_rewarded} rewards are not 0");
}

#[test]
fn the_desired_goal_is_the_place_of_the_object_that_the_instruction_names() {
    let mut env = goal_env("Reach-v1", GoalReward::Dense, AutoresetMode::NextStep);
    let mut batch = reset(&mut env);
    let Observations { state, achieved_goal, desired_goal, instruction, .. } = &batch.observations;
    for env_idx in 0..4 {
        let state = &state[env_idx * 36..][..36];
        assert_eq!(achieved_goal[env_idx * 3..][..3], state[14..17], "the tip");
        let goal_idx = env.instructions()[instruction[env_idx] as usize].goal_idx.expect("a goal");
        // Of the balls, the one with the colour that the goal names: linear RGB with its greatest value there.
        let ball = state[18..].chunks(6).find(|ball| (0..3).all(|c| ball[3 + c] <= ball[3 + goal_idx]));
        let ball = ball.expect("a ball of each colour");
        for axis in 0..3 {
            let place = state[14 + axis] + ball[axis];
            assert!((place - desired_goal[env_idx * 3 + axis]).abs() < 1e-5);
        }
    }
    let before = batch.observations.desired_goal.clone();
    let other = env.instructions().iter().position(|it| {
        it.goal_idx != env.instructions()[batch.observations.instruction[2] as usize].goal_idx
    });
    let other: Instruction = env.instructions()[other.expect("another goal")].clone();
    env.set_instruction(2, other, &mut batch.observations).expect("an instruction");
    let changed: Vec<bool> =
        before.chunks(3).zip(batch.observations.desired_goal.chunks(3)).map(|(a, b)| a != b).collect();
    assert_eq!(changed, [false, false, true, false], "the present observation has the new goal");
}

#[test]
fn goals_without_values_and_instructions_without_a_goal_are_refused() {
    let message = |id: &str, text: Option<&str>, reward| {
        let config = EnvConfig {
            id: id.to_owned(),
            instruction_text: text.map(str::to_owned),
            observation: ObservationConfig::STATE.with_goal(),
            ..EnvConfig::default()
        };
        VecEnv::new(&config, reward).err().expect("an error").to_string()
    };
    assert!(message("CartPole-v1", None, RewardSource::None).contains("a goal of CartPole-v1"));
    let reward = RewardSource::Goal(GoalReward::Sparse);
    assert!(message("Reach-v1", Some("lift it"), reward).contains("a goal for 'lift it'"));
}
