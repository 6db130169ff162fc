//! Env steps per second: physics alone, with pixels, and with a reward model; images per second of the bundled model.

use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sayso::models;
use sayso_envs::{
    AutoresetMode, EnvConfig, ObservationConfig, ResetOptions, RewardSource, ScoringConfig, StepBatch,
    VecEnv, VectorEnv,
};
use sayso_rewards::{ImageTextModel as _, ModelDevice, VlmRmModel};
use sayso_sim::{Frames, seed};

const N_ENVS: usize = 64;

fn stepping(criterion: &mut Criterion) {
    let model = models::load("bundled", &ModelDevice::cpu()).expect("the bundled model");
    let scoring = ScoringConfig {
        goal_prompts: vec!["the gripper touching the red ball".to_owned()],
        baseline_prompts: vec!["the gripper far from the red ball".to_owned()],
        ..ScoringConfig::default()
    };
    let language = RewardSource::Model(Arc::new(VlmRmModel::new(model, 0.5)), scoring);
    let cases = [
        ("Reach-v1", "state", ObservationConfig::STATE, RewardSource::GroundTruth),
        ("Reach-v1", "pixels", ObservationConfig::PIXELS, RewardSource::GroundTruth),
        ("Reach-v1", "language", ObservationConfig::STATE, language),
        ("GoTo-v1", "state", ObservationConfig::STATE, RewardSource::GroundTruth),
        ("CartPole-v1", "state", ObservationConfig::STATE, RewardSource::GroundTruth),
    ];
    let mut group = criterion.benchmark_group("stepping");
    group.sample_size(20);
    group.throughput(Throughput::Elements(N_ENVS as u64));
    for (id, what, observation, reward) in cases {
        let config = EnvConfig {
            id: id.to_owned(),
            n_envs: N_ENVS,
            observation,
            autoreset: AutoresetMode::SameStep,
            ..EnvConfig::default()
        };
        let mut env = VecEnv::new(&config, reward).expect("a registered environment");
        let mut batch = StepBatch::default();
        env.reset(&ResetOptions { seed: Some(1.into()), mask: None }, &mut batch).expect("a reset");
        let space = env.single_action_space().clone();
        let mut rng = seed::stream(&[1]);
        group.bench_function(BenchmarkId::new(id, what), |bencher| {
            bencher.iter(|| {
                let actions = space.sample_actions(N_ENVS, &mut rng).expect("a space with samples");
                env.step(&actions, &mut batch).expect("a step");
            });
        });
    }
    group.finish();
}

fn embedding(criterion: &mut Criterion) {
    let model = models::load("bundled", &ModelDevice::cpu()).expect("the bundled model");
    let spec = model.image_spec().clone();
    let mut group = criterion.benchmark_group("embedding");
    group.sample_size(20);
    for n_views in [1, 32, 128] {
        let frames = Frames::new(n_views, spec.height, spec.width);
        group.throughput(Throughput::Elements(n_views as u64));
        group.bench_function(BenchmarkId::new("bundled", n_views), |bencher| {
            bencher.iter(|| model.embed_frames(&frames).expect("embeddings"));
        });
    }
    group.finish();
}

criterion_group!(benches, stepping, embedding);
criterion_main!(benches);
