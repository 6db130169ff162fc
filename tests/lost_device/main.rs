//! A device that is lost during training: training ends with its own error, and the last checkpoint is intact. This is a
//! separate program, because devices are shared within a process.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::ControlFlow;

use libtest_mimic::{Arguments, Trial};
use sayso_agents::{AgentError, Checkpoint, TrainConfig, TrainObserver, UpdateReport, train};
use sayso_envs::{AutoresetMode, EnvConfig, EnvError, ObservationConfig, RewardSource, VecEnv};
use sayso_sim::SimError;
use sayso_sim::render::{DeviceChoice, Gpu, RenderDevice, adapters};

/// Destroys the device after the second update.
struct LoseDevice;

impl TrainObserver for LoseDevice {
    fn on_update(&mut self, report: &UpdateReport) -> ControlFlow<()> {
        if report.n_updates == 2 {
            Gpu::shared(&DeviceChoice::First).unwrap().lose();
        }
        ControlFlow::Continue(())
    }
}

fn lost_during_training() {
    let env = EnvConfig {
        n_envs: 4,
        autoreset: AutoresetMode::SameStep,
        observation: ObservationConfig::BOTH,
        pixel_size: [40, 40],
        device: RenderDevice::Gpu(DeviceChoice::First),
        ..EnvConfig::default()
    };
    let mut env = VecEnv::new(&env, RewardSource::GroundTruth).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ppo = sayso_agents::PpoConfig { n_steps: 8, minibatch_size: 16, ..sayso_agents::PpoConfig::sb3() };
    let config = TrainConfig {
        checkpoint_every: 1,
        checkpoint_folder: Some(folder.path().to_owned()),
        ..TrainConfig::new(&ppo, 1000, 0).unwrap()
    };
    let error = train(&mut env, None, &config, None, &mut LoseDevice).unwrap_err();
    assert!(matches!(error, AgentError::Env(EnvError::Sim(SimError::GpuLost { .. }))), "{error}");
    let saved = Checkpoint::latest(folder.path()).unwrap().unwrap();
    let saved = Checkpoint::load(&saved).unwrap();
    assert_eq!(saved.n_steps(), 2 * 8 * 4, "the last checkpoint is intact");
}

fn main() {
    let trial = Trial::test("a device is lost during training", || {
        lost_during_training();
        Ok(())
    });
    let trial = trial.with_ignored_flag(adapters().is_empty());
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit();
}
