//! A toy env with every feature that learners use: a point on a line that should move to the middle.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use sayso_envs::{
    Actions, AutoresetMode, EnvError, Observations, ResetOptions, Seed, Space, StepBatch, VectorEnv,
};
use sayso_rewards::{
    FailureConfig, Feature, FrameRow, FrameSelection, RewardFrames, RewardModel, RewardSchedule, RewardText,
    Scorer, ScoringPlan, Windows,
};
use sayso_sim::{FramePart, FrameRequest, Frames, ImageSpec};

use crate::learning::small_ppo;

const EPISODE_STEPS: u32 = 10;
const OUTSIDE: f32 = 1.5;

/// The observation is the position. Frames for the scorer are one pixel per env, as bright as the reward.
pub struct PointEnv {
    observation_space: Space,
    action_space: Space,
    goal_names: Vec<String>,
    pub autoreset: AutoresetMode,
    /// Which frames are rendered for the scorer; none if absent.
    pub plan: Option<ScoringPlan>,
    /// The env's own rewards are 0; only frames show them.
    pub hides_rewards: bool,
    /// How the env's own rewards depend on the brightness of the points.
    pub schedule: RewardSchedule,
    /// Episodes terminate at the time limit instead of being truncated.
    pub terminates_at_timeout: bool,
    points: Vec<Point>,
    /// Rows and pixel values of the frames for the scorer.
    frames: Vec<(FrameRow, u8)>,
}

#[derive(Clone)]
struct Point {
    position: f32,
    n_steps: u32,
    waits_for_reset: bool,
    rng: Pcg64,
}

impl PointEnv {
    pub fn continuous(n_envs: usize) -> Self {
        Self::new(n_envs, Space::uniform_box(1, -0.5, 0.5))
    }

    pub fn discrete(n_envs: usize) -> Self {
        Self::new(n_envs, Space::Discrete { n: 3 })
    }

    fn new(n_envs: usize, action_space: Space) -> Self {
        let point = Point { position: 0.0, n_steps: 0, waits_for_reset: false, rng: Pcg64::seed_from_u64(0) };
        Self {
            observation_space: Space::uniform_box(1, f32::NEG_INFINITY, f32::INFINITY),
            action_space,
            goal_names: vec!["middle".to_owned()],
            autoreset: AutoresetMode::SameStep,
            plan: None,
            hides_rewards: false,
            schedule: RewardSchedule::HoldLast,
            terminates_at_timeout: false,
            points: vec![point; n_envs],
            frames: Vec::new(),
        }
    }

    /// Hides the rewards, and renders the frames that a scorer of their brightness needs.
    pub fn scored(self, schedule: RewardSchedule, every_n_steps: u32) -> (Self, Scorer) {
        self.scored_over(FrameSelection::Last, schedule, every_n_steps)
    }

    /// The same for the mean brightness of several frames.
    pub fn scored_over(
        mut self,
        frames: FrameSelection,
        schedule: RewardSchedule,
        every_n_steps: u32,
    ) -> (Self, Scorer) {
        self.hides_rewards = true;
        let model = Brightness { frames, n_calls: AtomicU64::new(0) };
        let scorer = scorer(model, schedule, every_n_steps, self.points.len());
        self.plan = Some(scorer.plan());
        (self, scorer)
    }

    /// Renders the frame of a point if the scorer needs it.
    fn render(&mut self, env_idx: usize, is_last: bool) {
        let Point { n_steps, position, .. } = self.points[env_idx];
        if self.plan.is_some_and(|plan| plan.is_embedded(n_steps, is_last)) {
            let row = FrameRow { env_idx: env_idx as u32, n_steps, is_last, text_idx: 0 };
            self.frames.push((row, pixel(position)));
        }
    }

    /// Also observes 40x40 images of the position.
    pub fn with_pixels(mut self) -> Self {
        self.observation_space = Space::Dict(vec![
            ("state".to_owned(), self.observation_space),
            ("pixels".to_owned(), Space::Image { height: 40, width: 40 }),
        ]);
        self
    }

    fn observe(&self) -> Observations {
        let state = self.points.iter().map(|point| point.position).collect();
        let mut pixels = Vec::new();
        if matches!(self.observation_space, Space::Dict(_)) {
            let mut frames = Frames::new(self.points.len(), 40, 40);
            for (env_idx, point) in self.points.iter().enumerate() {
                let column = ((point.position + OUTSIDE) / (2.0 * OUTSIDE) * 39.0).clamp(0.0, 39.0) as usize;
                (0..40).for_each(|row| frames.view_mut(env_idx)[(row * 40 + column) * 3] = 255);
            }
            pixels.push(frames);
        }
        Observations { state, pixels, ..Observations::default() }
    }
}

/// The reward as a pixel value, in 255ths.
fn pixel(position: f32) -> u8 {
    (255.0 * (1.0 - position.abs().min(1.0))).round() as u8
}

impl VectorEnv for PointEnv {
    fn n_envs(&self) -> usize {
        self.points.len()
    }

    fn single_observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn single_action_space(&self) -> &Space {
        &self.action_space
    }

    fn autoreset_mode(&self) -> AutoresetMode {
        self.autoreset
    }

    fn goal_names(&self) -> &[String] {
        &self.goal_names
    }

    fn metric_names(&self) -> &[String] {
        &[]
    }

    fn reset(&mut self, options: &ResetOptions, out: &mut StepBatch) -> Result<(), EnvError> {
        self.frames.clear();
        for env_idx in 0..self.points.len() {
            let point = &mut self.points[env_idx];
            if let Some(Seed::Batch(seed)) = options.seed {
                point.rng = Pcg64::seed_from_u64(seed * 1000 + env_idx as u64);
            }
            if options.mask.as_ref().is_none_or(|mask| mask[env_idx]) {
                point.restart();
                self.render(env_idx, false);
            }
        }
        let n_envs = self.points.len();
        out.observations = self.observe();
        out.info.success = vec![false; n_envs];
        out.info.is_reset = vec![true; n_envs];
        Ok(())
    }

    fn step(&mut self, actions: &Actions, out: &mut StepBatch) -> Result<(), EnvError> {
        let n_envs = self.points.len();
        for column in [&mut out.terminated, &mut out.truncated, &mut out.info.is_reset] {
            *column = vec![false; n_envs];
        }
        out.rewards = vec![0.0; n_envs];
        out.info.success = vec![false; n_envs];
        self.frames.clear();
        for env_idx in 0..n_envs {
            let point = &mut self.points[env_idx];
            if point.waits_for_reset {
                point.restart();
                out.info.is_reset[env_idx] = true;
                self.render(env_idx, false);
                continue;
            }
            let before = f32::from(pixel(point.position)) / 255.0;
            point.position += match actions {
                Actions::Continuous(values) => {
                    assert!(values[env_idx].abs() <= 0.5, "actions are within the box: {values:?}");
                    values[env_idx]
                }
                Actions::Discrete(choices) => [-0.3, 0.0, 0.3][choices[env_idx] as usize],
            };
            point.n_steps += 1;
            let is_timeout = EPISODE_STEPS <= point.n_steps;
            out.terminated[env_idx] =
                OUTSIDE < point.position.abs() || (is_timeout && self.terminates_at_timeout);
            out.truncated[env_idx] = is_timeout && !out.terminated[env_idx];
            let brightness = pixel(point.position);
            let now = f32::from(brightness) / 255.0;
            let reward = match self.schedule {
                RewardSchedule::HoldLast => now,
                RewardSchedule::Difference => now - before,
                RewardSchedule::EpisodeEnd if out.done(env_idx) => now,
                RewardSchedule::EpisodeEnd => 0.0,
                RewardSchedule::Potential if out.terminated[env_idx] => -before,
                RewardSchedule::Potential => small_ppo().discount as f32 * now - before,
            };
            if !self.hides_rewards {
                out.rewards[env_idx] = reward;
            }
            out.info.success[env_idx] = point.position.abs() < 0.2;
            self.render(env_idx, out.done(env_idx));
        }
        out.observations = self.observe();
        out.final_observations = out.observations.clone();
        for env_idx in 0..n_envs {
            if out.done(env_idx) && self.autoreset == AutoresetMode::SameStep {
                self.points[env_idx].restart();
                self.render(env_idx, false);
            } else if out.done(env_idx) && self.autoreset == AutoresetMode::NextStep {
                self.points[env_idx].waits_for_reset = true;
            }
        }
        if self.autoreset == AutoresetMode::SameStep {
            out.observations = self.observe();
        }
        Ok(())
    }

    fn swap_reward_frames(&mut self, frames: &mut RewardFrames) {
        let pixels = self.frames.iter().flat_map(|(_, pixel)| [*pixel; 3]).collect();
        let images = Frames::from_pixels(self.frames.len(), 1, 1, pixels).unwrap_or_default();
        frames.frames.parts = vec![FramePart::Host(images)];
        frames.rows = self.frames.drain(..).map(|(row, _)| row).collect();
    }

    fn render_observations(&mut self, out: &mut Observations) -> Result<(), EnvError> {
        out.pixels = self.observe().pixels;
        Ok(())
    }

    fn snapshot(&self) -> Result<Vec<u8>, EnvError> {
        let points: Vec<_> = self
            .points
            .iter()
            .map(|point| (point.position.to_bits(), point.n_steps, point.waits_for_reset, &point.rng))
            .collect();
        Ok(serde_json::to_vec(&points).unwrap())
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), EnvError> {
        let points: Vec<(u32, u32, bool, Pcg64)> = serde_json::from_slice(snapshot).unwrap();
        self.points = points
            .into_iter()
            .map(|(position, n_steps, waits_for_reset, rng)| Point {
                position: f32::from_bits(position),
                n_steps,
                waits_for_reset,
                rng,
            })
            .collect();
        Ok(())
    }
}

impl Point {
    fn restart(&mut self) {
        self.position = self.rng.random_range(-1.0..=1.0);
        self.n_steps = 0;
        self.waits_for_reset = false;
    }
}

/// A scorer of any model.
pub fn scorer(
    model: impl RewardModel + 'static,
    schedule: RewardSchedule,
    every_n_steps: u32,
    n_envs: usize,
) -> Scorer {
    scorer_with(model, schedule, every_n_steps, n_envs, FailureConfig::default())
}

pub fn scorer_with(
    model: impl RewardModel + 'static,
    schedule: RewardSchedule,
    every_n_steps: u32,
    n_envs: usize,
    failures: FailureConfig,
) -> Scorer {
    let plan = ScoringPlan::new(model.frames(), schedule, every_n_steps).unwrap();
    Scorer::new(Arc::new(model), plan, failures, n_envs, 1, &[RewardText::default()]).unwrap()
}

/// A request for images of one pixel.
pub fn one_pixel() -> FrameRequest {
    FrameRequest::on_host(ImageSpec { height: 1, width: 1, mean: [0.0; 3], std: [1.0; 3] })
}

/// Scores frames by their mean brightness; every seventh call takes longer.
struct Brightness {
    frames: FrameSelection,
    n_calls: AtomicU64,
}

impl RewardModel for Brightness {
    fn frames(&self) -> FrameSelection {
        self.frames
    }

    fn frame_request(&self) -> FrameRequest {
        one_pixel()
    }

    fn feature(&self) -> Feature {
        Feature::Pixels
    }

    fn score(&self, windows: &Windows<'_>, out: &mut [f32]) -> sayso_rewards::Result<()> {
        if self.n_calls.fetch_add(1, Ordering::Relaxed) % 7 == 6 {
            std::thread::sleep(std::time::Duration::from_micros(300));
        }
        for (row, score) in out.iter_mut().enumerate() {
            let frames = (0..windows.n_frames()).filter_map(|frame| windows.pixels(row, frame));
            let pixels: Vec<f32> = frames.map(|pixels| f32::from(pixels[0]) / 255.0).collect();
            *score = pixels.iter().sum::<f32>() / pixels.len() as f32;
        }
        Ok(())
    }
}
