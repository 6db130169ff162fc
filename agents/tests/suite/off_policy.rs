use std::ops::ControlFlow;

use sayso_agents::policy::NetworkConfig;
use sayso_agents::{DqnConfig, EvalConfig, RandomPolicy, SacConfig, TrainConfig, evaluate, train};
use sayso_envs::AutoresetMode;
use sayso_rewards::RewardSchedule;

use crate::checkpoints::assert_resumes_exactly;
use crate::learning::parameters;
use crate::point_env::PointEnv;

pub fn small_sac() -> SacConfig {
    SacConfig {
        n_steps: 2,
        n_gradient_steps: 4,
        minibatch_size: 64,
        replay_size: 2_000,
        n_random_steps: 96,
        learning_rate: 3e-3,
        discount: 0.9,
        network: NetworkConfig { hidden_sizes: vec![32, 32], ..NetworkConfig::default() },
        ..SacConfig::default()
    }
}

fn config(sac: &SacConfig, total_steps: u64) -> TrainConfig {
    TrainConfig::new(sac, total_steps, 11).unwrap()
}

fn success(env: &mut PointEnv, policy: &mut dyn sayso_agents::Policy) -> f64 {
    let eval = EvalConfig { n_episodes: 101, seed: 5 };
    let report = evaluate(env, policy, &eval, &mut |_| ControlFlow::Continue(())).unwrap();
    report.goals[0].at_end.rate
}

#[test]
fn sac_solves_continuous_actions() {
    for (autoreset, n_step_return) in [(AutoresetMode::SameStep, 1), (AutoresetMode::NextStep, 3)] {
        let mut env = PointEnv::continuous(8);
        env.autoreset = autoreset;
        let sac = SacConfig { n_step_return, ..small_sac() };
        let mut outcome = train(&mut env, None, &config(&sac, 5_000), None, &mut ()).unwrap();
        let random = success(&mut PointEnv::continuous(4), &mut RandomPolicy::new(&PointEnv::continuous(4)));
        let trained = success(&mut PointEnv::continuous(4), &mut *outcome.policy);
        assert!(random < 0.5 && 0.95 < trained, "{autoreset:?}: from {random} to {trained}");
    }
}

#[test]
fn sac_resumes_exactly() {
    let sac = SacConfig { n_random_steps: 12, ..small_sac() };
    assert_resumes_exactly(&sac, |config, resume, observer| {
        train(&mut PointEnv::continuous(3), None, config, resume, observer).unwrap()
    });
    // The replay is full before the end.
    let sac = SacConfig { replay_size: 40, normalize_observations: true, ..sac };
    assert_resumes_exactly(&sac, |config, resume, observer| {
        let (mut env, scorer) = PointEnv::continuous(3).scored(RewardSchedule::HoldLast, 1);
        train(&mut env, Some(scorer), config, resume, observer).unwrap()
    });
}

#[test]
fn sac_with_scores_equals_sac_with_the_same_rewards() {
    for schedule in [RewardSchedule::HoldLast, RewardSchedule::Difference] {
        let make = || {
            let mut env = PointEnv::continuous(4);
            env.schedule = schedule;
            env
        };
        let config = config(&small_sac(), 1_000);
        let with_rewards = train(&mut make(), None, &config, None, &mut ()).unwrap();
        let (mut hidden, scorer) = make().scored(schedule, 1);
        let with_scores = train(&mut hidden, Some(scorer), &config, None, &mut ()).unwrap();
        assert_eq!(parameters(&with_rewards), parameters(&with_scores), "{schedule:?}");
    }
}

#[test]
fn sac_refuses_discrete_actions_and_pixels() {
    let error = |env: &mut PointEnv| {
        train(env, None, &config(&small_sac(), 100), None, &mut ()).unwrap_err().to_string()
    };
    let discrete = error(&mut PointEnv::discrete(2));
    assert!(discrete.contains("actions of SAC: expected a box with finite bounds"), "{discrete}");
    let pixels = error(&mut PointEnv::continuous(2).with_pixels());
    assert!(pixels.contains("observations of SAC: expected states without pixels"), "{pixels}");
}

fn small_dqn() -> DqnConfig {
    DqnConfig {
        n_steps: 2,
        n_gradient_steps: 4,
        minibatch_size: 64,
        replay_size: 2_000,
        n_random_steps: 96,
        learning_rate: 3e-3,
        discount: 0.9,
        network: NetworkConfig { hidden_sizes: vec![32, 32], ..NetworkConfig::default() },
        ..DqnConfig::default()
    }
}

#[test]
fn dqn_solves_discrete_actions() {
    for (autoreset, n_step_return) in [(AutoresetMode::SameStep, 1), (AutoresetMode::NextStep, 3)] {
        let mut env = PointEnv::discrete(8);
        env.autoreset = autoreset;
        let dqn = DqnConfig { n_step_return, ..small_dqn() };
        let config = TrainConfig::new(&dqn, 5_000, 11).unwrap();
        let mut outcome = train(&mut env, None, &config, None, &mut ()).unwrap();
        let random = success(&mut PointEnv::discrete(4), &mut RandomPolicy::new(&PointEnv::discrete(4)));
        let trained = success(&mut PointEnv::discrete(4), &mut *outcome.policy);
        assert!(random < 0.5 && 0.95 < trained, "{autoreset:?}: from {random} to {trained}");
    }
}

#[test]
fn dqn_resumes_exactly() {
    let dqn = DqnConfig { n_random_steps: 12, replay_size: 40, normalize_observations: true, ..small_dqn() };
    assert_resumes_exactly(&dqn, |config, resume, observer| {
        let (mut env, scorer) = PointEnv::discrete(3).scored(RewardSchedule::HoldLast, 1);
        train(&mut env, Some(scorer), config, resume, observer).unwrap()
    });
}

#[test]
fn dqn_refuses_continuous_actions() {
    let config = TrainConfig::new(&small_dqn(), 100, 11).unwrap();
    let error = train(&mut PointEnv::continuous(2), None, &config, None, &mut ()).unwrap_err().to_string();
    assert!(error.contains("actions of DQN: expected discrete ones"), "{error}");
}

#[test]
fn a_checkpoint_of_another_algorithm_is_refused() {
    let checkpoint = train(
        &mut PointEnv::discrete(2),
        None,
        &TrainConfig::new(&small_dqn(), 100, 11).unwrap(),
        None,
        &mut (),
    );
    let checkpoint = checkpoint.unwrap().checkpoint;
    let ppo = TrainConfig::new(&crate::learning::small_ppo(), 1_000, 11).unwrap();
    let error =
        train(&mut PointEnv::discrete(2), None, &ppo, Some(&checkpoint), &mut ()).unwrap_err().to_string();
    assert!(error.contains("algorithm") && error.contains("dqn") && error.contains("ppo"), "{error}");
}
