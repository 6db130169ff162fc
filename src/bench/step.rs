//! Rates of the whole step of `Reach-v1` with random actions: physics, rendering, and the scores of a reward model.

use std::sync::Arc;

use rand_pcg::Pcg64;
use sayso_envs::{
    AutoresetMode, EnvConfig, EnvError, ResetOptions, RewardSource, ScoringConfig, StepBatch, VecEnv,
    VectorEnv as _, registry,
};
use sayso_rewards::{
    ImageTextModel, ModelDevice, RewardFrames, RewardModel, RewardWorker, Route, VlmRmModel,
};
use sayso_sim::render::Backend;
use sayso_sim::{FramePart, seed};

use super::encoder::RandomTower;
use super::{Figure, Plan, Work, rate};
use crate::error::{Error, Result};
use crate::models;

/// Measures every batch size of the plan: physics alone, with frames for the reward model, and with the scores of the
/// bundled model and of every tower of the plan.
pub(super) fn measure(
    plan: &Plan,
    backend: &Backend,
    model_device: &ModelDevice,
    add: &mut impl FnMut(Figure),
) -> Result<()> {
    let bundled = reward(models::load("bundled", model_device)?);
    let n_views_per_env = registry::task("Reach-v1", &toml::Table::new())?.spec().reward_cameras.len();
    for &n_envs in &plan.n_envs {
        let what = |part: &str| format!("Reach-v1, {n_envs} envs, {part}");
        add(steps(plan, n_envs, what("physics"), RewardSource::None)?);
        let source = RewardSource::Deferred(Arc::clone(&bundled), scoring());
        add(steps(plan, n_envs, what("physics and rendering for the bundled model"), source)?);
        let scored = what("physics, rendering and scores of the bundled model");
        add(scored_steps(plan, n_envs, scored, backend, model_device, &bundled, None)?);
    }
    for &tower in &plan.step_towers {
        let random = Arc::new(RandomTower::new(tower, model_device)?);
        let scorer = reward(random.clone());
        for &n_envs in &plan.n_envs {
            let n_images = n_envs * n_views_per_env;
            let what = format!("image tower {tower}, batch {n_images}, patches on the device");
            let alone = Figure::of(what, "images/s", random.images_per_sec(plan, n_images))?;
            let envs_alone = alone.rate.map(|images_per_sec| images_per_sec / n_views_per_env as f64);
            add(alone);
            let what = format!("Reach-v1, {n_envs} envs, physics, rendering and scores of {tower}");
            add(scored_steps(plan, n_envs, what, backend, model_device, &scorer, envs_alone)?);
        }
    }
    Ok(())
}

fn reward(model: Arc<dyn ImageTextModel>) -> Arc<dyn RewardModel> {
    Arc::new(VlmRmModel::new(model, 0.0))
}

fn scoring() -> ScoringConfig {
    let goal_prompts = vec!["the gripper touching the red ball".to_owned()];
    ScoringConfig { goal_prompts, ..ScoringConfig::default() }
}

/// Envs that step with random actions.
struct Stepping {
    env: VecEnv,
    batch: StepBatch,
    rng: Pcg64,
}

impl Stepping {
    fn new(plan: &Plan, n_envs: usize, source: RewardSource) -> Result<Self> {
        let config = EnvConfig {
            n_envs,
            autoreset: AutoresetMode::SameStep,
            device: plan.device.clone(),
            ..EnvConfig::default()
        };
        let mut env = VecEnv::new(&config, source)?;
        let mut batch = StepBatch::default();
        env.reset(&ResetOptions { seed: Some(1.into()), mask: None }, &mut batch)?;
        Ok(Self { env, batch, rng: seed::stream(&[1]) })
    }

    fn step(&mut self) -> Result<()> {
        let space = self.env.single_action_space();
        if let Some(actions) = space.sample_actions(self.env.n_envs(), &mut self.rng) {
            self.env.step(&actions, &mut self.batch)?;
        }
        Ok(())
    }
}

/// Envs whose frames are rendered and not scored. The frames of a step are waited for after the next step has begun.
struct Rendered {
    stepping: Stepping,
    frames: [RewardFrames; 2],
}

impl Rendered {
    fn wait(&self) -> Result<()> {
        for part in &self.frames[1].frames.parts {
            if let FramePart::Device(frames) = part {
                frames.wait().map_err(EnvError::from)?;
            }
        }
        Ok(())
    }
}

impl Work for Rendered {
    fn call(&mut self) -> Result<()> {
        self.stepping.step()?;
        self.stepping.env.swap_reward_frames(&mut self.frames[0]);
        self.wait()?;
        self.frames.swap(0, 1);
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.wait()
    }
}

fn steps(plan: &Plan, n_envs: usize, what: String, source: RewardSource) -> Result<Figure> {
    let measured = Stepping::new(plan, n_envs, source).and_then(|stepping| {
        rate(plan.window, n_envs, &mut Rendered { stepping, frames: Default::default() })
    });
    Figure::of(what, "env steps/s", measured)
}

/// Envs that continue to step while a reward worker scores their frames, as in training.
struct Scored {
    stepping: Stepping,
    worker: RewardWorker,
}

impl Work for Scored {
    fn call(&mut self) -> Result<()> {
        self.stepping.step()?;
        let mut frames = self.worker.buffer()?;
        self.stepping.env.swap_reward_frames(&mut frames);
        Ok(self.worker.send(0, frames)?)
    }

    fn finish(&mut self) -> Result<()> {
        self.worker.drain(&mut |_, _| ())?;
        Ok(())
    }
}

/// `alone` is the number of envs per second that the tower alone can embed, from patches on its device.
fn scored_steps(
    plan: &Plan,
    n_envs: usize,
    what: String,
    backend: &Backend,
    model_device: &ModelDevice,
    reward: &Arc<dyn RewardModel>,
    alone: Option<f64>,
) -> Result<Figure> {
    let n_read_backs = || backend.gpu().map_or(0, |gpu| gpu.n_read_backs());
    let before = n_read_backs();
    let work = || -> Result<Scored> {
        let scoring = scoring();
        let source = RewardSource::Deferred(Arc::clone(reward), scoring.clone());
        let stepping = Stepping::new(plan, n_envs, source)?;
        let scorer = scoring.scorer(Arc::clone(reward), &stepping.env)?;
        Ok(Scored { stepping, worker: RewardWorker::spawn(scorer)? })
    };
    let measured = work().and_then(|mut scored| rate(plan.window, n_envs, &mut scored));
    let n_read_backs = n_read_backs() - before;
    if matches!(model_device.route(), Route::Cuda(_)) && 0 < n_read_backs {
        return Err(Error::ReadBack { what, n: n_read_backs });
    }
    let mut figure = Figure::of(what, "env steps/s", measured)?;
    figure.n_read_backs = backend.gpu().is_some().then_some(n_read_backs);
    figure.of_tower_alone = figure.rate.zip(alone).map(|(whole, alone)| whole / alone);
    Ok(figure)
}
