//! Env steps per second: physics alone, with pixels, and with a language reward, in every environment.

use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sayso_envs::{
    AutoresetMode, EnvConfig, JudgeConfig, ObservationMode, ResetOptions, RewardSource, StepBatch, VecEnv,
    VectorEnv, registry,
};
use sayso_rewards::{FrameReward, GoalBaselineConfig, LanguageReward};

const N_ENVS: usize = 64;

fn stepping(criterion: &mut Criterion) {
    let model = sayso::models::load("bundled").expect("the bundled model");
    let mut group = criterion.benchmark_group("stepping");
    group.sample_size(10).throughput(Throughput::Elements(N_ENVS as u64));
    for id in registry::ids() {
        let task = registry::task(id, &toml::Table::new()).expect("a registered environment");
        let goal = &task.spec().goals[0];
        let prompts = GoalBaselineConfig {
            goal: vec![goal.goal_prompt.clone()],
            baseline: vec![goal.baseline_prompt.clone()],
            alpha: 0.5,
        };
        let reward: Arc<dyn FrameReward> =
            Arc::new(LanguageReward::new(Arc::clone(&model), &prompts).expect("known words"));
        let cases = [
            ("physics", ObservationMode::State, RewardSource::GroundTruth),
            ("pixels", ObservationMode::Pixels, RewardSource::GroundTruth),
            ("language", ObservationMode::State, RewardSource::Language(reward, JudgeConfig::default())),
        ];
        for (name, observation, source) in cases {
            let config = EnvConfig {
                id: (*id).to_owned(),
                n_envs: N_ENVS,
                observation,
                autoreset: AutoresetMode::SameStep,
                ..EnvConfig::default()
            };
            let mut env = VecEnv::new(&config, source).expect("a registered environment");
            let mut batch = StepBatch::default();
            env.reset(&ResetOptions { seed: Some(1), mask: None }, &mut batch).expect("reset");
            let mut rng = sayso_sim::seed::stream(&[1]);
            let actions: Vec<_> = (0..16)
                .map(|_| env.single_action_space().sample_actions(N_ENVS, &mut rng).expect("an action space"))
                .collect();
            let mut step = 0;
            group.bench_function(BenchmarkId::new(name, id), |bencher| {
                bencher.iter(|| {
                    env.step(&actions[step % actions.len()], &mut batch).expect("step");
                    step += 1;
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, stepping);
criterion_main!(benches);
