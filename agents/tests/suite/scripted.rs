//! The scripted policy of every registered environment reaches every goal, and random actions do not.

use std::ops::ControlFlow;

use sayso_agents::{EvalConfig, Policy, RandomPolicy, ScriptedPolicy, evaluate};
use sayso_envs::{EnvConfig, RewardSource, VecEnv, VectorEnv as _, registry};

fn success(env: &mut VecEnv, policy: &mut dyn Policy, goal_idx: usize) -> f64 {
    let config = EvalConfig { n_episodes: 40, seed: 11 };
    let report = evaluate(env, policy, &config, &mut |_| ControlFlow::Continue(())).unwrap();
    report.goals[goal_idx].at_end.rate
}

#[test]
fn scripted_policies_reach_every_goal_of_every_environment() {
    for id in registry::ids() {
        let config = EnvConfig { id: id.to_string(), n_envs: 20, ..EnvConfig::default() };
        let mut env = VecEnv::new(&config, RewardSource::None).unwrap();
        for goal_idx in 0..env.goal_names().len() {
            let mut scripted = ScriptedPolicy::new(env.task_spec(), goal_idx).unwrap();
            let scripted_rate = success(&mut env, &mut scripted, goal_idx);
            let mut random = RandomPolicy::new(&env);
            let random_rate = success(&mut env, &mut random, goal_idx);
            // The scripted policy of GoTo-v1 drives straight to the object, and furniture is sometimes in its way.
            assert!(
                0.75 <= scripted_rate && random_rate <= 0.3,
                "{id}, goal {goal_idx}: {scripted_rate}, {random_rate}"
            );
        }
    }
}
