//! Trains PPO on CartPole with Stable-Baselines3's network and batch settings, and prints the env steps per second.
//!
//! ```text
//! cargo run --release -p sayso-agents --example cart_pole_speed -- [STEPS] [ENVS]
//! ```

use std::ops::ControlFlow;

use sayso_agents::{PpoConfig, TrainConfig, TrainObserver, UpdateReport, train};
use sayso_envs::{AutoresetMode, EnvConfig, RewardSource, VecEnv};

struct Print {
    rates: Vec<f64>,
}

impl TrainObserver for Print {
    fn on_update(&mut self, report: &UpdateReport) -> ControlFlow<()> {
        self.rates.push(report.steps_per_sec);
        println!(
            "{:>8} steps  {:>7.0} steps/s  rollout {:.3} s  update {:.3} s  return {:.1}",
            report.n_steps,
            report.steps_per_sec,
            report.rollout_secs,
            report.update_secs,
            report.mean_return.unwrap_or(0.0),
        );
        ControlFlow::Continue(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let total_steps = args.next().map_or(Ok(40_960), |arg| arg.parse())?;
    let n_envs: usize = args.next().map_or(Ok(8), |arg| arg.parse())?;
    let env = EnvConfig {
        id: "CartPole-v1".to_owned(),
        n_envs,
        autoreset: AutoresetMode::SameStep,
        ..EnvConfig::default()
    };
    let mut env = VecEnv::new(&env, RewardSource::GroundTruth)?;
    let ppo = PpoConfig { n_steps: (2048 / n_envs).max(1), ..PpoConfig::sb3() };
    let mut print = Print { rates: vec![] };
    train(&mut env, None, &TrainConfig::new(&ppo, total_steps, 1)?, None, &mut print)?;
    print.rates.sort_by(f64::total_cmp);
    println!("median {:.0} steps/s", print.rates[print.rates.len() / 2]);
    Ok(())
}
