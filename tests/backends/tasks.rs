//! The registered environments on either backend.

use sayso_envs::{
    Actions, AutoresetMode, EnvConfig, ObservationConfig, ResetOptions, RewardSource, Space, StepBatch,
    VecEnv, VectorEnv as _, registry,
};
use sayso_sim::app::{Slot, in_slot_order};
use sayso_sim::render::{DeviceChoice, Outputs, RenderDevice, RenderScene, RenderSpec, Samples, View};

use crate::compare::{check, check_same};
use crate::scenes::spec;

fn env(id: &str, device: RenderDevice, autoreset: AutoresetMode) -> VecEnv {
    let config = EnvConfig {
        id: id.into(),
        n_envs: 6,
        seed: 3,
        observation: ObservationConfig::BOTH,
        max_episode_steps: Some(4),
        autoreset,
        device,
        ..EnvConfig::default()
    };
    VecEnv::new(&config, RewardSource::None).unwrap()
}

/// Actions that differ from env to env.
pub fn actions(env: &VecEnv, step: usize) -> Actions {
    let value = |k: usize| ((k * 7 + step * 3) % 11) as f32 / 5.5 - 1.0;
    match env.single_action_space() {
        Space::Discrete { n } => Actions::Discrete((0..6).map(|k| ((k + step) % n) as u32).collect()),
        space => Actions::Continuous((0..6 * space.dim()).map(value).collect()),
    }
}

pub fn registered_environments() {
    for id in registry::ids() {
        let mut env = env(id, RenderDevice::Cpu, AutoresetMode::NextStep);
        let mut out = StepBatch::default();
        env.reset(&ResetOptions { seed: Some(5.into()), ..ResetOptions::default() }, &mut out).unwrap();
        for step in 0..3 {
            env.step(&actions(&env, step), &mut out).unwrap();
        }
        let n_cameras = env.task().scene().cameras.len();
        let world = env.worlds_mut().next().unwrap();
        let mut envs = world.query::<(&Slot, &sayso_sim::SimWorld)>();
        let envs = envs.query(world);
        let worlds = in_slot_order(&envs);
        let render_scenes: Vec<RenderScene> =
            worlds.iter().map(|world| world.render_scene().clone()).collect();
        let views: Vec<View> = (0..n_cameras)
            .flat_map(|camera| (0..6).map(move |env_idx| (camera, env_idx)))
            .map(|(camera, env_idx)| worlds[env_idx].view(sayso_sim::CameraIdx(camera), env_idx))
            .collect();
        check(id, &render_scenes, &views, &spec(96, 96));
    }
}

pub fn stepping() {
    let spec =
        RenderSpec { height: 64, width: 64, samples: Samples::One, shadows: true, outputs: Outputs::RGB };
    for autoreset in [AutoresetMode::NextStep, AutoresetMode::SameStep] {
        let mut envs = [RenderDevice::Cpu, RenderDevice::Gpu(DeviceChoice::First)]
            .map(|on| env("Reach-v1", on, autoreset));
        let mut outs = [StepBatch::default(), StepBatch::default()];
        for (env, out) in envs.iter_mut().zip(&mut outs) {
            env.reset(&ResetOptions { seed: Some(5.into()), ..ResetOptions::default() }, out).unwrap();
        }
        for step in 0..7 {
            for (env, out) in envs.iter_mut().zip(&mut outs) {
                env.step(&actions(env, step), out).unwrap();
            }
            assert_eq!(outs[0].observations.state, outs[1].observations.state, "the state of step {step}");
            let [cpu, gpu] = outs.each_ref().map(|out| sayso_sim::render::RenderTarget {
                rgb: out.observations.pixels[0].clone(),
                ..Default::default()
            });
            check_same(&format!("step {step} of {autoreset:?}"), &cpu, &gpu, &spec);
        }
    }
}
