//! A device that is lost in the middle of a training: an error of its own, and the last checkpoint is intact. A program of its
//! own, because devices are shared within one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::ControlFlow;

use libtest_mimic::{Arguments, Trial};
use sayso_agents::{AgentError, Checkpoint, TrainConfig, TrainObserver, UpdateReport, train};
use sayso_envs::{AutoresetMode, EnvConfig, EnvError, ObservationMode, RewardSource, VecEnv};
use sayso_sim::SimError;
use sayso_sim::render::{DeviceChoice, Gpu, RenderDevice, adapters};

/// Gives the device up after the second update.
struct Loser;

impl TrainObserver for Loser {
    fn on_update(&mut self, report: &UpdateReport) -> ControlFlow<()> {
        if report.n_updates == 2 {
            Gpu::shared(&DeviceChoice::First).unwrap().lose();
        }
        ControlFlow::Continue(())
    }
}

fn in_the_middle_of_a_training() {
    let env = EnvConfig {
        n_envs: 4,
        autoreset: AutoresetMode::SameStep,
        observation: ObservationMode::Both,
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
        ..TrainConfig::new(ppo, 1000, 0)
    };
    let error = train(&mut env, None, &config, None, &mut Loser).unwrap_err();
    assert!(matches!(error, AgentError::Env(EnvError::Sim(SimError::GpuLost { .. }))), "{error}");
    let saved = Checkpoint::latest(folder.path()).unwrap().unwrap();
    let saved = Checkpoint::load(&saved).unwrap();
    assert_eq!(saved.n_steps(), 2 * 8 * 4, "what was saved last is whole");
}

fn main() {
    let trial = Trial::test("in the middle of a training", || {
        in_the_middle_of_a_training();
        Ok(())
    });
    let trial = trial.with_ignored_flag(adapters().is_empty());
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit();
}
