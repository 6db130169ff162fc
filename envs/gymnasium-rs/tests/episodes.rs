//! Episodes of the adapter equal those of the engine.

use std::path::Path;
use std::sync::Arc;

use gymnasium_rs::core::{Env, Info, Options, Space};
use gymnasium_rs::envs::cartpole::CartPole;
use gymnasium_rs::wrappers::timelimit::TimeLimitWrapper;
use ndarray::{Array1, Array3};
use sayso_envs::{
    EnvConfig, ObservationConfig, ResetOptions, RewardSource, ScoringConfig, StepBatch, VecEnv,
    VectorEnv as _,
};
use sayso_gymnasium_rs::{Action, GymnasiumEnv, Observation};
use sayso_rewards::{ModelDevice, VlmRmModel, load_model};
use serde_json::Value;

/// An environment with episodes of four steps.
fn config(id: &str) -> EnvConfig {
    EnvConfig { id: id.to_owned(), pixel_size: [24, 32], max_episode_steps: Some(4), ..EnvConfig::default() }
}

/// The reward of a goal prompt, by the bundled model.
fn language_reward() -> RewardSource {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/models/sayso-clip-64");
    let model = load_model(&folder.to_string_lossy(), &[], &ModelDevice::cpu()).expect("the bundled model");
    let goal_prompts = vec!["pole vertically upright on top of the cart".to_owned()];
    let scoring = ScoringConfig { goal_prompts, ..ScoringConfig::default() };
    RewardSource::Model(Arc::new(VlmRmModel::new(Arc::new(model), 0.0)), scoring)
}

/// Runs an episode with a seed and the next one of its series, in the adapter and in the engine; returns the rewards.
fn assert_equals_the_engine<Obs, A>(config: &EnvConfig, reward: RewardSource, action: A) -> Vec<f32>
where
    Obs: Observation + PartialEq + std::fmt::Debug,
    A: Action + Clone,
{
    let mut env = GymnasiumEnv::<Obs, A>::from_config(config, reward.clone()).expect("an env");
    let mut engine = VecEnv::new(config, reward).expect("a batch");
    let mut batch = StepBatch::default();
    let mut rewards = Vec::new();
    for seed in [Some(11), None] {
        let options = ResetOptions { seed: seed.map(|seed| (seed as u64).into()), mask: None };
        engine.reset(&options, &mut batch).expect("reset");
        let (first, info) = env.reset(seed, Options::new());
        assert_eq!(first, Obs::take(&mut batch.observations));
        assert_info(&info, &engine, &batch);
        loop {
            let actions = action.clone().into_actions().expect("an action");
            engine.step(&actions, &mut batch).expect("step");
            let (observation, reward, terminated, truncated, info) = env.step(action.clone());
            assert_eq!(observation, Obs::take(&mut batch.observations));
            assert_eq!((reward, terminated), (batch.rewards[0], batch.terminated[0]));
            assert_eq!(truncated, batch.truncated[0]);
            assert_info(&info, &engine, &batch);
            rewards.push(reward);
            if terminated || truncated {
                break;
            }
        }
    }
    assert_eq!(rewards.len(), 8, "both episodes are truncated after four steps");
    rewards
}

fn assert_info(info: &Info, engine: &VecEnv, batch: &StepBatch) {
    let instruction = &engine.instructions()[batch.info.instruction[0] as usize];
    assert_eq!(info["instruction"], Value::from(instruction.text.as_str()));
    let success = instruction.goal_idx.map(|goal_idx| Value::from(batch.info.success[goal_idx]));
    assert_eq!(info.get("success"), success.as_ref());
    for (name, value) in engine.metric_names().iter().zip(&batch.info.metrics) {
        assert_eq!(info[name], *value, "{name}");
    }
    assert_eq!(info.len(), 1 + usize::from(success.is_some()) + engine.metric_names().len());
}

#[test]
fn states_equal_those_of_the_engine() {
    let arm = EnvConfig { instruction: Some("blue".into()), ..config("Reach-v1") };
    let action = Array1::from_elem(action_dim(&arm), 0.5);
    let rewards = assert_equals_the_engine::<Array1<f32>, _>(&arm, RewardSource::GroundTruth, action);
    assert_ne!(rewards[..4], rewards[4..], "the second episode differs");
    assert_equals_the_engine::<Array1<f32>, _>(&config("CartPole-v1"), RewardSource::GroundTruth, 1);
}

#[test]
fn frames_equal_those_of_the_engine() {
    let pixels = |id| EnvConfig { observation: ObservationConfig::PIXELS, ..config(id) };
    let car = pixels("GoTo-v1");
    let action = Array1::from_elem(action_dim(&car), 0.5);
    let rewards = assert_equals_the_engine::<Array3<u8>, _>(&car, RewardSource::None, action);
    assert_eq!(rewards, [0.0; 8]);
    assert_equals_the_engine::<Array3<u8>, _>(&pixels("CartPole-v1"), RewardSource::GroundTruth, 0);
}

#[test]
fn rewards_of_a_goal_prompt_equal_those_of_the_engine() {
    let rewards = assert_equals_the_engine::<Array1<f32>, _>(&config("CartPole-v1"), language_reward(), 1);
    assert!(rewards.iter().all(|reward| *reward != 0.0 && reward.abs() <= 1.0), "cosines: {rewards:?}");
    assert_ne!(rewards[0], rewards[3], "the pole leans more and more");
}

fn action_dim(config: &EnvConfig) -> usize {
    let env = VecEnv::new(config, RewardSource::None).expect("a batch");
    env.single_action_space().dim()
}

/// Pushes the cart right until the episode ends; returns its number of steps, `terminated` and `truncated`.
fn push_right(env: &mut dyn Env<Array1<f32>, i32>) -> (usize, bool, bool) {
    let Space::Box { low, high } = env.observation_space() else { panic!("the state is a box") };
    let (first, _) = env.reset_seed(3);
    assert_eq!((first.len(), first.len(), env.action_space()), (low.len(), high.len(), Space::Discrete(2)));
    let mut n_steps = 0;
    loop {
        let (_, _, terminated, truncated, _) = env.step(1);
        n_steps += 1;
        if terminated || truncated {
            return (n_steps, terminated, truncated);
        }
    }
}

#[test]
fn code_for_the_cart_pole_of_gymnasium_rs_runs_ours() {
    let full_episodes = EnvConfig { max_episode_steps: None, ..config("CartPole-v1") };
    let mut ours = GymnasiumEnv::from_config(&full_episodes, RewardSource::GroundTruth).expect("an env");
    let (n_ours, ..) = push_right(&mut ours);
    let (n_theirs, ..) = push_right(&mut CartPole::new());
    for n_steps in [n_ours, n_theirs] {
        assert!((8..=12).contains(&n_steps), "the pole falls after {n_steps} steps to one side");
    }

    assert_eq!(push_right(&mut TimeLimitWrapper::new(&mut ours, 5)), (5, false, true));
    // The limit is the wrapper's only: the episode of the env continues.
    let (_, _, terminated, truncated, _) = ours.step(1);
    assert!(!terminated && !truncated);
}
