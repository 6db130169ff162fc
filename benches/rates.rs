//! Sayso's side of the comparison with peers: one figure per line, `name rate`, each measured over a fixed time after a
//! warm-up.
//!
//! `benches/peers/run.sh` runs it in turn with the peers and prints the table of ratios.

use std::time::{Duration, Instant};

use rand::RngCore as _;
use sayso_agents::{PpoConfig, TrainConfig};
use sayso_envs::{
    AutoresetMode, EnvConfig, ObservationConfig, ResetOptions, RewardSource, StepBatch, VecEnv, VectorEnv,
};
use sayso_rewards::ops::patchify;
use sayso_rewards::{Clip, ClipConfig, DType, Device};
use sayso_sim::render::{CpuRenderer, Outputs, RenderScene, RenderSpec, RenderTarget, Samples, View};
use sayso_sim::{Frames, ImageSpec, SimWorld, seed};

const TIME: Duration = Duration::from_secs(4);
const N_ENVS: usize = 64;
const SIZE: usize = 64;

/// Measures one figure.
type Bench = fn() -> anyhow::Result<f64>;

fn main() -> anyhow::Result<()> {
    let requested: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let benches: [(&str, Bench); 5] = [
        ("ours.render", render),
        ("ours.step_with_pixels", step_with_pixels),
        ("ours.step", step),
        ("ours.ppo_steps", ppo_steps),
        ("ours.clip_b32_images", clip_images),
    ];
    for (name, bench) in benches {
        if requested.is_empty() || requested.iter().any(|a| a == name) {
            println!("{name} {:.1}", bench()?);
        }
    }
    Ok(())
}

/// Calls per second times `per_call`.
fn rate(per_call: usize, mut call: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    for _ in 0..3 {
        call()?;
    }
    let start = Instant::now();
    let mut n_calls = 0;
    while start.elapsed() < TIME {
        call()?;
        n_calls += 1;
    }
    Ok((n_calls * per_call) as f64 / start.elapsed().as_secs_f64())
}

fn render() -> anyhow::Result<f64> {
    let task = sayso_envs::registry::task("Reach-v1", &toml::Table::new())?;
    let mut worlds = Vec::with_capacity(N_ENVS);
    for env_idx in 0..N_ENVS {
        let mut world = SimWorld::new(task.scene())?;
        task.instance(&world)?.reset(&mut world, &mut seed::stream(&[1, env_idx as u64]));
        world.sync_render_scene();
        worlds.push(world);
    }
    let render_scenes: Vec<&RenderScene> = worlds.iter().map(SimWorld::render_scene).collect();
    let camera = worlds[0].camera("front")?;
    let views: Vec<View> = worlds.iter().enumerate().map(|(idx, world)| world.view(camera, idx)).collect();
    let spec =
        RenderSpec { height: SIZE, width: SIZE, samples: Samples::One, shadows: true, outputs: Outputs::RGB };
    let (mut renderer, mut target) = (CpuRenderer::default(), RenderTarget::default());
    rate(N_ENVS, || {
        renderer.render(&render_scenes, &views, &spec, &mut target);
        Ok(())
    })
}

fn step_with_pixels() -> anyhow::Result<f64> {
    stepping(ObservationConfig::PIXELS)
}

fn step() -> anyhow::Result<f64> {
    stepping(ObservationConfig::STATE)
}

fn stepping(observation: ObservationConfig) -> anyhow::Result<f64> {
    let config = EnvConfig {
        n_envs: N_ENVS,
        observation,
        pixel_size: [SIZE, SIZE],
        autoreset: AutoresetMode::SameStep,
        ..EnvConfig::default()
    };
    let mut env = VecEnv::new(&config, RewardSource::GroundTruth)?;
    let mut batch = StepBatch::default();
    env.reset(&ResetOptions { seed: Some(1.into()), mask: None }, &mut batch)?;
    let space = env.single_action_space().clone();
    let mut rng = seed::stream(&[1]);
    rate(N_ENVS, || {
        if let Some(actions) = space.sample_actions(N_ENVS, &mut rng) {
            env.step(&actions, &mut batch)?;
        }
        Ok(())
    })
}

fn ppo_steps() -> anyhow::Result<f64> {
    const N_PPO_ENVS: usize = 8;
    const N_STEPS: u64 = 40_960;
    let config = EnvConfig {
        id: "CartPole-v1".to_owned(),
        n_envs: N_PPO_ENVS,
        autoreset: AutoresetMode::SameStep,
        ..EnvConfig::default()
    };
    let mut env = VecEnv::new(&config, RewardSource::GroundTruth)?;
    let sb3 = PpoConfig::sb3();
    let ppo = PpoConfig { n_steps: sb3.n_steps / N_PPO_ENVS, ..sb3 };
    let config = TrainConfig::new(&ppo, N_STEPS, 0)?;
    let start = Instant::now();
    sayso_agents::train(&mut env, None, &config, None, &mut ())?;
    Ok(N_STEPS as f64 / start.elapsed().as_secs_f64())
}

/// From pixels to embeddings, with fixed weights, as in a reward model.
fn clip_images() -> anyhow::Result<f64> {
    const BATCH: usize = 32;
    let device = Device::Cpu;
    let config = ClipConfig::default();
    let clip = Clip::with_random_weights(&config, 0, DType::F32, &device)?;
    let vision = &config.vision_config;
    let size = vision.image_size;
    let spec = ImageSpec { height: size, width: size, mean: [0.5; 3], std: [0.25; 3] };
    let mut frames = Frames::new(BATCH, size, size);
    seed::stream(&[1]).fill_bytes(frames.pixels_mut());
    rate(BATCH, || {
        let patches = patchify(&frames, 0..BATCH, &spec, vision.patch_size, DType::F32, &device)?;
        clip.embed_images(&patches)?;
        Ok(())
    })
}
