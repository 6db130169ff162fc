use std::ops::ControlFlow;

use candle_core::Device;
use rand::SeedableRng;
use rand_pcg::Pcg64;
use sayso_agents::policy::{ActorCritic, NetworkConfig, PolicySpec};
use sayso_agents::rollout::{Rollout, collect};
use sayso_agents::{
    EvalConfig, EvalReport, Policy, PpoConfig, RandomPolicy, TrainConfig, TrainOutcome, evaluate, train,
};
use sayso_envs::{AutoresetMode, ResetOptions, Space, StepBatch, VectorEnv};
use sayso_rewards::RewardSchedule;
use sayso_rewards::nn::Activation;

use crate::point_env::PointEnv;

pub fn small_config(total_steps: u64) -> TrainConfig {
    let network =
        NetworkConfig { hidden_sizes: vec![32], activation: Activation::Tanh, ..NetworkConfig::sb3() };
    let ppo = PpoConfig {
        n_steps: 32,
        learning_rate: 3e-3,
        linear_decay: true,
        normalize_observations: true,
        normalize_rewards: true,
        network,
        ..PpoConfig::sb3()
    };
    TrainConfig::new(ppo, total_steps, 11)
}

pub fn parameters(outcome: &TrainOutcome) -> Vec<Vec<f32>> {
    let flat = |var: &candle_core::Var| var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    outcome.policy.network().parameters().iter().map(|(_, var)| flat(var)).collect()
}

fn eval(env: &mut PointEnv, policy: &mut dyn Policy) -> EvalReport {
    let config = EvalConfig { n_episodes: 101, seed: 5 };
    evaluate(env, policy, &config, &mut |_| ControlFlow::Continue(())).unwrap()
}

fn assert_solves(make: fn(usize) -> PointEnv) {
    let mut outcome = train(&mut make(8), None, &small_config(20_000), None, &mut ()).unwrap();
    let random = eval(&mut make(4), &mut RandomPolicy::new(&make(4)));
    let trained = eval(&mut make(4), &mut outcome.policy);
    assert_eq!(trained.episodes.len(), 101);
    assert!(random.goals[0].at_end.rate < 0.5, "random: {:?}", random.goals);
    assert!(trained.goals[0].at_end.rate > 0.95, "trained: {:?}", trained.goals);
    assert!(trained.mean_return > random.mean_return + 2.0);
    let report = outcome.last_report.unwrap();
    assert_eq!(report.n_steps, 20_224, "whole rollouts");
    assert!(report.goals[0].at_end > 0.8, "{report:?}");
}

#[test]
fn ppo_solves_continuous_actions() {
    assert_solves(PointEnv::continuous);
}

#[test]
fn ppo_solves_discrete_actions() {
    assert_solves(PointEnv::discrete);
}

#[test]
fn ppo_solves_with_next_step_autoreset() {
    let mut env = PointEnv::discrete(8);
    env.autoreset = AutoresetMode::NextStep;
    let mut outcome = train(&mut env, None, &small_config(20_000), None, &mut ()).unwrap();
    let trained = eval(&mut PointEnv::discrete(4), &mut outcome.policy);
    assert!(trained.goals[0].at_end.rate > 0.95, "{:?}", trained.goals);
}

#[test]
fn ppo_learns_from_pixels_and_state_together() {
    let mut config = small_config(512);
    config.ppo.n_epochs = 1;
    config.ppo.network.pixel_features = 16;
    let outcome = train(&mut PointEnv::continuous(4).with_pixels(), None, &config, None, &mut ()).unwrap();
    let before =
        train(&mut PointEnv::continuous(4).with_pixels(), None, &small_pixels_start(), None, &mut ());
    assert_ne!(parameters(&outcome), parameters(&before.unwrap()), "further updates change the parameters");
    assert!(
        outcome.policy.check_fits(&PointEnv::continuous(4)).is_err(),
        "a policy with pixels needs pixels"
    );
}

fn small_pixels_start() -> TrainConfig {
    let mut config = small_config(128);
    config.ppo.n_epochs = 1;
    config.ppo.network.pixel_features = 16;
    config
}

#[test]
fn policies_are_equal_for_the_same_seed_and_differ_for_others() {
    let run = |seed| {
        let config = TrainConfig { seed, ..small_config(2_000) };
        parameters(&train(&mut PointEnv::continuous(4), None, &config, None, &mut ()).unwrap())
    };
    let first = run(1);
    assert_eq!(first, run(1));
    assert_ne!(first, run(2));
}

#[test]
fn training_with_scores_equals_training_with_the_same_rewards() {
    use RewardSchedule::{Difference, EpisodeEnd, HoldLast, Potential};
    let config = small_config(2_000);
    for schedule in [HoldLast, Difference, EpisodeEnd, Potential] {
        for autoreset in [AutoresetMode::SameStep, AutoresetMode::NextStep] {
            let make = || {
                let mut env = PointEnv::continuous(4);
                (env.schedule, env.autoreset) = (schedule, autoreset);
                env
            };
            let with_rewards = train(&mut make(), None, &config, None, &mut ()).unwrap();
            let (mut hidden, scorer) = make().scored(schedule, 1);
            let with_scores = train(&mut hidden, Some(scorer), &config, None, &mut ()).unwrap();
            let case = format!("{schedule:?}, {autoreset:?}");
            assert_eq!(parameters(&with_rewards), parameters(&with_scores), "{case}");
            let (rewards, scores) = (with_rewards.last_report.unwrap(), with_scores.last_report.unwrap());
            assert_eq!(rewards.mean_reward, scores.mean_reward, "{case}");
            assert_eq!(rewards.mean_return, scores.mean_return, "{case}");
            assert_ne!(rewards.mean_reward, 0.0, "{case}");
        }
    }
}

#[test]
fn the_number_of_parameters_is_known_before_a_policy_is_made() {
    let state = || Space::uniform_box(5, -1.0, 1.0);
    let image = || Space::Image { height: 41, width: 52 };
    let both = Space::Dict(vec![("state".into(), state()), ("pixels".into(), image())]);
    let reading = Space::Dict(vec![
        ("state".into(), state()),
        ("pixels".into(), image()),
        ("instruction".into(), Space::uniform_box(9, -1.0, 1.0)),
    ]);
    let network = NetworkConfig {
        hidden_sizes: vec![8, 7],
        pixel_features: 6,
        instruction_features: 4,
        ..NetworkConfig::sb3()
    };
    for observations in [state(), image(), both, reading] {
        for actions in [Space::Discrete { n: 3 }, Space::uniform_box(2, -1.0, 1.0)] {
            let spec = PolicySpec::new(network.clone(), &observations, &actions).unwrap();
            let expected = spec.n_parameters();
            let policy = ActorCritic::new(spec, &mut Pcg64::seed_from_u64(0), &Device::Cpu).unwrap();
            let n_parameters: usize = policy.parameters().iter().map(|(_, var)| var.elem_count()).sum();
            assert_eq!(expected, Some(n_parameters), "{observations:?}, {actions:?}");
        }
    }
}

/// One rollout with a new policy, whose values are not zero.
fn rollout(env: &mut PointEnv) -> Rollout {
    let network = NetworkConfig { hidden_sizes: vec![8], ..NetworkConfig::sb3() };
    let spec = PolicySpec::new(network, env.single_observation_space(), env.single_action_space()).unwrap();
    let rng = &mut Pcg64::seed_from_u64(1);
    let policy = ActorCritic::new(spec, rng, &Device::Cpu).unwrap();
    let (mut batch, mut rollout) = (StepBatch::default(), Rollout::new(33, env.n_envs()));
    env.reset(&ResetOptions { seed: Some(2.into()), mask: None }, &mut batch).unwrap();
    collect(env, &policy, None, rng, None, &mut batch, &mut rollout).unwrap();
    rollout
}

#[test]
fn timeouts_have_a_final_value_and_terminations_none() {
    let timeouts = rollout(&mut PointEnv::discrete(2));
    let ends: Vec<usize> = (0..timeouts.n_rows()).filter(|&row| timeouts.truncated[row]).collect();
    assert!(!ends.is_empty());
    for row in 0..timeouts.n_rows() {
        assert_eq!(timeouts.final_values[row] != 0.0, timeouts.truncated[row], "row {row}");
    }
    let mut env = PointEnv::discrete(2);
    env.terminates_at_timeout = true;
    let terminations = rollout(&mut env);
    assert_eq!(terminations.values, timeouts.values, "the rollouts differ in their flags only");
    assert!(terminations.final_values.iter().all(|value| *value == 0.0));
}

#[test]
fn reset_rows_are_not_transitions() {
    let same_step = rollout(&mut PointEnv::discrete(2));
    assert!(same_step.valid.iter().all(|valid| *valid));
    let mut env = PointEnv::discrete(2);
    env.autoreset = AutoresetMode::NextStep;
    let next_step = rollout(&mut env);
    for row in 2..next_step.n_rows() {
        assert_eq!(!next_step.valid[row], next_step.done(row - 2), "row {row}");
    }
    let first_end = (0..66).find(|&row| next_step.truncated[row]).unwrap();
    assert_eq!(
        next_step.final_values[first_end],
        next_step.values[first_end + 2],
        "the last observation's value"
    );
}

#[test]
fn evaluation_shares_episodes_equally_in_every_autoreset_mode() {
    for autoreset in [AutoresetMode::SameStep, AutoresetMode::NextStep, AutoresetMode::Disabled] {
        let mut env = PointEnv::discrete(4);
        env.autoreset = autoreset;
        let mut random = RandomPolicy::new(&env);
        let report = eval(&mut env, &mut random);
        assert_eq!(report.episodes.len(), 101, "{autoreset:?}");
        assert!(report.episodes.iter().all(|episode| 1 <= episode.n_steps && episode.n_steps <= 10));
        let goal = &report.goals[0];
        assert!(goal.at_end.n_success <= goal.ever.n_success && goal.ever.n_episodes == 101);
        assert!(goal.at_end.interval.0 < goal.at_end.rate && goal.at_end.rate < goal.at_end.interval.1);
    }
}

#[test]
fn evaluation_can_be_stopped() {
    let mut env = PointEnv::discrete(4);
    let mut random = RandomPolicy::new(&env);
    let config = EvalConfig { n_episodes: 100, seed: 5 };
    let stop = &mut |n_done| if 10 <= n_done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let report = evaluate(&mut env, &mut random, &config, stop).unwrap();
    assert!((10..20).contains(&report.episodes.len()));
    assert_eq!(report.goals[0].ever.n_episodes, report.episodes.len());
}
