//! The whole step: physics, drawing, the judge's embeddings, for `Reach-v0` with random actions.

use sayso_envs::{
    AutoresetMode, EnvConfig, JudgeConfig, ResetOptions, RewardSource, StepBatch, VecEnv, VectorEnv as _,
};
use sayso_rewards::ImageTextModel as _;
use sayso_sim::{Frames, seed};

use super::drawing::skip;
use super::{Figure, Plan, rate};
use crate::error::Result;
use crate::models;

/// Every batch of the plan: without pictures, with the judge's pictures, and with their embeddings by the bundled model.
pub(super) fn measure(plan: &Plan, add: &mut impl FnMut(Figure)) -> Result<()> {
    for &n_envs in &plan.n_envs {
        for part in [Part::Physics, Part::Drawing, Part::Judging] {
            let what = format!("Reach-v0, {n_envs} envs, {}", part.name());
            match steps_per_sec(plan, n_envs, part) {
                Ok(measured) => add(Figure::new(what, "env steps/s", measured)),
                Err(error) => add(skip(what, "env steps/s", error)?),
            }
        }
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Physics,
    Drawing,
    Judging,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Physics => "physics",
            Self::Drawing => "physics and drawing for the bundled judge, read back",
            Self::Judging => "physics, drawing and the bundled judge's embeddings",
        }
    }
}

fn steps_per_sec(plan: &Plan, n_envs: usize, part: Part) -> Result<(f64, [f64; 2])> {
    let model = models::load("bundled")?;
    let config = EnvConfig {
        n_envs,
        autoreset: AutoresetMode::SameStep,
        device: plan.device.clone(),
        ..EnvConfig::default()
    };
    let source = match part {
        Part::Physics => RewardSource::None,
        _ => RewardSource::Deferred(model.image_spec().clone(), JudgeConfig::default()),
    };
    let mut env = VecEnv::new(&config, source)?;
    let (mut batch, mut frames) = (StepBatch::default(), Frames::default());
    env.reset(&ResetOptions { seed: Some(1), mask: None }, &mut batch)?;
    let space = env.single_action_space().clone();
    let mut rng = seed::stream(&[1]);
    rate(plan.window, n_envs, || {
        if let Some(actions) = space.sample_actions(n_envs, &mut rng) {
            env.step(&actions, &mut batch)?;
        }
        if part == Part::Judging {
            env.swap_judge_frames(&mut frames);
            model.embed_frames(&frames)?;
        }
        Ok(())
    })
}
