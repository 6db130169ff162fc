use std::ops::ControlFlow;

use candle_core::Device;
use rand::SeedableRng;
use rand_pcg::Pcg64;
use sayso_agents::algorithm::{Cadence, TrainProgress, UpdateStats};
use sayso_agents::policy::{ActorCritic, NetworkConfig, NetworkInputs, PolicySpaces, PolicySpec};
use sayso_agents::ppo::rollout::Rollout;
use sayso_agents::steps::{StepFlags, Steps, collect};
use sayso_agents::{
    Algorithm, EvalConfig, EvalReport, Policy, PpoConfig, RandomPolicy, Result, SavedState, TrainConfig,
    TrainOutcome, evaluate, train,
};
use sayso_envs::{Actions, AutoresetMode, Observations, ResetOptions, Space, StepBatch, VectorEnv};
use sayso_rewards::RewardSchedule;
use sayso_rewards::nn::Activation;

use crate::point_env::PointEnv;

pub fn small_config(total_steps: u64) -> TrainConfig {
    TrainConfig::new(&small_ppo(), total_steps, 11).unwrap()
}

pub fn small_ppo() -> PpoConfig {
    let network =
        NetworkConfig { hidden_sizes: vec![32], activation: Activation::Tanh, ..NetworkConfig::sb3() };
    PpoConfig {
        n_steps: 32,
        learning_rate: 3e-3,
        linear_decay: true,
        normalize_observations: true,
        normalize_rewards: true,
        network,
        ..PpoConfig::sb3()
    }
}

/// One epoch, and a small encoder.
pub fn small_pixels_ppo() -> PpoConfig {
    let network = NetworkConfig { pixel_features: 16, ..small_ppo().network };
    PpoConfig { n_epochs: 1, network, ..small_ppo() }
}

/// The parameters of the policy.
pub fn parameters(outcome: &TrainOutcome) -> Vec<Vec<f32>> {
    let state = outcome.checkpoint.algorithm();
    let names = state.tensor_names().filter(|name| name.starts_with("policy."));
    names.map(|name| state.f32_values(name).unwrap()).collect()
}

fn eval(env: &mut PointEnv, policy: &mut dyn Policy) -> EvalReport {
    let config = EvalConfig { n_episodes: 101, seed: 5 };
    evaluate(env, policy, &config, &mut |_| ControlFlow::Continue(())).unwrap()
}

fn assert_solves(make: fn(usize) -> PointEnv) {
    let mut outcome = train(&mut make(8), None, &small_config(20_000), None, &mut ()).unwrap();
    let random = eval(&mut make(4), &mut RandomPolicy::new(&make(4)));
    let trained = eval(&mut make(4), &mut *outcome.policy);
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
    let trained = eval(&mut PointEnv::discrete(4), &mut *outcome.policy);
    assert!(trained.goals[0].at_end.rate > 0.95, "{:?}", trained.goals);
}

#[test]
fn ppo_learns_from_pixels_and_state_together() {
    let trained = |total_steps| {
        let config = TrainConfig::new(&small_pixels_ppo(), total_steps, 11).unwrap();
        train(&mut PointEnv::continuous(4).with_pixels(), None, &config, None, &mut ()).unwrap()
    };
    let (after_four, after_one) = (trained(512), trained(128));
    assert_ne!(parameters(&after_four), parameters(&after_one), "further updates change the parameters");
    let fits = after_four.checkpoint.spaces().check_fits(&PointEnv::continuous(4));
    assert!(fits.is_err(), "a policy with pixels needs pixels");
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
            let spaces = PolicySpaces::new(&observations, &actions).unwrap();
            let spec = PolicySpec { network: network.clone(), spaces };
            let expected = spec.n_parameters();
            let policy = ActorCritic::new(spec, &mut Pcg64::seed_from_u64(0), &Device::Cpu).unwrap();
            let n_parameters: usize = policy.parameters().iter().map(|(_, var)| var.elem_count()).sum();
            assert_eq!(expected, Some(n_parameters), "{observations:?}, {actions:?}");
        }
    }
}

/// One rollout with a new policy, whose values are not zero, and its steps.
fn rollout(env: &mut PointEnv) -> (Rollout, Steps) {
    let network = NetworkConfig { hidden_sizes: vec![8], ..NetworkConfig::sb3() };
    let spec = PolicySpec { network, spaces: PolicySpaces::of(env).unwrap() };
    let rng = &mut Pcg64::seed_from_u64(1);
    let policy = ActorCritic::new(spec, rng, &Device::Cpu).unwrap();
    let mut recorder = Recorder { policy, rng: rng.clone(), rollout: Rollout::default() };
    let (mut batch, mut steps) = (StepBatch::default(), Steps::new(env.n_envs()));
    env.reset(&ResetOptions { seed: Some(2.into()), mask: None }, &mut batch).unwrap();
    collect(env, &mut recorder, None, &mut batch, &mut steps, 33).unwrap();
    (recorder.rollout, steps)
}

/// Acts, and does not learn.
struct Recorder {
    policy: ActorCritic,
    rng: Pcg64,
    rollout: Rollout,
}

impl Algorithm for Recorder {
    fn cadence(&self) -> Cadence {
        Cadence { n_steps: 33, learns_before_rewards: false }
    }

    fn act(&mut self, observations: &Observations) -> Result<Actions> {
        let mut inputs = NetworkInputs::default();
        inputs.read(observations, self.policy.spec().spaces.n_rows(observations), None);
        let sampled = self.policy.sample(&inputs, &mut self.rng)?;
        Ok(self.rollout.push(&inputs, sampled))
    }

    fn observe(&mut self, flags: &StepFlags<'_>, last: &Observations) -> Result<()> {
        self.rollout.push_final_values(&self.policy, None, flags, last)
    }

    fn add_rewards(&mut self, _steps: &Steps, _observations: &Observations) -> Result<()> {
        Ok(())
    }

    fn update(&mut self, _progress: TrainProgress) -> Result<UpdateStats> {
        Ok(UpdateStats::new())
    }

    fn into_policy(self: Box<Self>) -> Box<dyn Policy> {
        unreachable!("it is not trained")
    }

    fn save(&self, _state: &mut SavedState) -> Result<()> {
        Ok(())
    }

    fn load(&mut self, _state: &SavedState) -> Result<()> {
        Ok(())
    }
}

#[test]
fn timeouts_have_a_final_value_and_terminations_none() {
    let (rollout_of_timeouts, timeouts) = rollout(&mut PointEnv::discrete(2));
    let ends: Vec<usize> = (0..timeouts.n_rows()).filter(|&row| timeouts.truncated[row]).collect();
    assert!(!ends.is_empty());
    for row in 0..timeouts.n_rows() {
        assert_eq!(rollout_of_timeouts.final_values[row] != 0.0, timeouts.truncated[row], "row {row}");
    }
    let mut env = PointEnv::discrete(2);
    env.terminates_at_timeout = true;
    let (terminations, _) = rollout(&mut env);
    assert_eq!(terminations.values, rollout_of_timeouts.values, "the rollouts differ in their flags only");
    assert!(terminations.final_values.iter().all(|value| *value == 0.0));
}

#[test]
fn reset_rows_are_not_transitions() {
    let (_, same_step) = rollout(&mut PointEnv::discrete(2));
    assert!(same_step.valid.iter().all(|valid| *valid));
    let mut env = PointEnv::discrete(2);
    env.autoreset = AutoresetMode::NextStep;
    let (columns, next_step) = rollout(&mut env);
    for row in 2..next_step.n_rows() {
        assert_eq!(!next_step.valid[row], next_step.done(row - 2), "row {row}");
    }
    let first_end = (0..66).find(|&row| next_step.truncated[row]).unwrap();
    assert_eq!(
        columns.final_values[first_end],
        columns.values[first_end + 2],
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
