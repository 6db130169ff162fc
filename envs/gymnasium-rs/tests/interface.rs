//! Spaces, frames and errors.

use gymnasium_rs::core::{Env, Options, Space};
use ndarray::{Array1, Array3, s};
use sayso_envs::{
    Actions, AutoresetMode, EnvConfig, ObservationConfig, RewardSource, Space as SaysoSpace, registry,
};
use sayso_gymnasium_rs::{Action, GymnasiumEnv, Observation};
use serde_json::json;

type Cart = GymnasiumEnv<Array1<f32>, i32>;
type Arm = GymnasiumEnv<Array1<f32>, Array1<f32>>;

/// Dimension of an action of `Reach-v1`.
const ARM_DIM: usize = 3;

/// A cart whose episodes have two steps.
fn cart_config() -> EnvConfig {
    EnvConfig { id: "CartPole-v1".to_owned(), max_episode_steps: Some(2), ..EnvConfig::default() }
}

fn cart() -> Cart {
    Cart::from_config(&cart_config(), RewardSource::GroundTruth).expect("an env")
}

fn arm() -> Arm {
    Arm::from_config(&EnvConfig::default(), RewardSource::None).expect("an env")
}

/// The message of an error.
fn error_message<T>(result: sayso_envs::Result<T>) -> String {
    match result {
        Ok(_) => panic!("expected an error"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn spaces_are_those_of_the_task() {
    let task = registry::task("Reach-v1", &EnvConfig::default().options).expect("registered");
    let boxed = |space: &SaysoSpace| match space {
        SaysoSpace::Box { low, high } => Space::Box { low: low.clone().into(), high: high.clone().into() },
        other => panic!("{other:?} is no box"),
    };
    assert_eq!(arm().observation_space(), boxed(&task.spec().state_space));
    assert_eq!(arm().action_space(), boxed(&task.spec().action_space));
    assert_eq!(cart().action_space(), Space::Discrete(2));
}

#[test]
fn the_space_of_pixels_is_that_of_the_flattened_image() {
    let config = EnvConfig { observation: ObservationConfig::PIXELS, pixel_size: [24, 32], ..cart_config() };
    let mut env = GymnasiumEnv::<Array3<u8>, i32>::from_config(&config, RewardSource::None).expect("an env");
    let (image, _) = env.reset_default();
    assert_eq!(image.dim(), (24, 32, 3));
    let (low, high) = (Array1::zeros(image.len()), Array1::from_elem(image.len(), 255.0));
    assert_eq!(env.observation_space(), Space::Box { low, high });
}

#[test]
fn render_shows_the_current_state() {
    let mut env = arm();
    assert_eq!(error_message(env.try_render()), "render before reset: call reset first");
    env.reset_default();
    let before = env.render().expect("a frame");
    assert_eq!(before.dim(), (240, 240, 3));
    assert_eq!(before, env.try_render().expect("the same frame"), "rendering changes nothing");
    for _ in 0..5 {
        env.step(Array1::ones(ARM_DIM));
    }
    assert_ne!(before, env.render().expect("a frame"), "the arm has moved");
}

#[test]
fn an_episode_that_has_ended_needs_a_reset() {
    let mut env = cart();
    assert_eq!(error_message(env.try_step(1)), "step before reset: call reset first");
    for _ in 0..2 {
        env.reset_default();
        let (.., truncated, _) = env.step(1);
        assert!(!truncated);
        let (_, _, terminated, truncated, _) = env.step(1);
        assert!(truncated && !terminated);
        assert_eq!(error_message(env.try_step(1)), "the episode is over: call reset first");
    }
}

#[test]
fn invalid_seeds_and_options_are_errors() {
    let mut env = cart();
    assert_eq!(
        error_message(env.try_reset(Some(-1), &Options::new())),
        "seed = -1 is out of range; expected 0 or more"
    );
    let options = Options::from([("low".to_owned(), json!(-0.1))]);
    assert_eq!(
        error_message(env.try_reset(None, &options)),
        "options.low = -0.1 is out of range; expected no options: these envs have none"
    );
}

#[test]
fn after_an_invalid_action_the_episode_continues() {
    let mut env = cart();
    env.reset_default();
    assert_eq!(error_message(env.try_step(-1)), "actions: expected a choice of 0 or more, got -1");
    assert_eq!(error_message(env.try_step(2)), "actions: expected 1 choices below 2, got [2]");
    env.try_step(1).expect("a valid choice");

    let mut env = arm();
    env.reset_default();
    assert!(error_message(env.try_step(Array1::zeros(ARM_DIM + 1))).contains("[n_envs, 3], got 4 values"));
    assert!(error_message(env.try_step(Array1::from_elem(ARM_DIM, f32::NAN))).contains("not finite"));
    env.try_step(Array1::zeros(ARM_DIM)).expect("a valid action");
}

#[test]
fn an_action_from_a_slice_keeps_the_order_of_its_elements() {
    let reversed_slice = Array1::from(vec![0.9, -0.1, -0.6, 0.2, 0.4, 0.7]).slice_move(s![..;-2]);
    let actions = reversed_slice.into_actions().expect("an action");
    assert_eq!(actions, Actions::Continuous(vec![0.7, 0.2, -0.1]));
}

#[test]
#[should_panic(expected = "the episode is over: call reset first")]
fn the_trait_panics_with_the_same_message() {
    let mut env = cart();
    env.reset_default();
    for _ in 0..3 {
        env.step(1);
    }
}

#[test]
fn calls_of_a_closed_env_are_errors() {
    let mut env = cart();
    env.reset_default();
    env.close();
    env.close();
    for message in [
        error_message(env.try_reset(None, &Options::new())),
        error_message(env.try_step(1)),
        error_message(env.try_render()),
    ] {
        assert_eq!(message, "this env is closed: make a new one");
    }
    assert_eq!(env.action_space(), Space::Discrete(2));
}

#[test]
fn configurations_that_the_trait_cannot_express_are_errors() {
    fn error_of<Obs: Observation, A: Action>(config: EnvConfig) -> String {
        error_message(GymnasiumEnv::<Obs, A>::from_config(&config, RewardSource::None))
    }
    type State = Array1<f32>;
    type Pixels = Array3<u8>;
    assert_eq!(
        error_of::<State, i32>(EnvConfig { n_envs: 2, ..cart_config() }),
        "n_envs = 2 is out of range; expected 1"
    );
    assert_eq!(
        error_of::<State, i32>(EnvConfig { autoreset: AutoresetMode::SameStep, ..cart_config() }),
        "autoreset = same_step is out of range; expected next_step or disabled"
    );
    assert_eq!(
        error_of::<State, i32>(EnvConfig { observation: ObservationConfig::BOTH, ..cart_config() }),
        "observation = state and pixels is out of range; expected the state, as Obs is Array1<f32>"
    );
    assert_eq!(
        error_of::<Pixels, i32>(cart_config()),
        "observation = a box of 4 values is out of range; expected pixels, as Obs is Array3<u8>"
    );
    assert_eq!(
        error_of::<State, Array1<f32>>(cart_config()),
        "action = one of 2 choices is out of range; expected a box, as Action is Array1<f32>"
    );
    assert_eq!(
        error_of::<State, i32>(EnvConfig::default()),
        "action = a box of 3 values is out of range; expected choices, as Action is i32"
    );
    assert!(
        error_of::<State, i32>(EnvConfig { id: "CartPol-v1".to_owned(), ..cart_config() })
            .contains("did you mean 'CartPole-v1'?")
    );
}
