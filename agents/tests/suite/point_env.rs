//! A toy env with every feature that learners use: a point on a line that should move to the middle.

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use sayso_agents::{FrameScorer, Result, RewardSchedule, ScoredReward};
use sayso_envs::{
    Actions, AutoresetMode, EnvError, Observations, ResetOptions, Seed, Space, StepBatch, VectorEnv,
};
use sayso_sim::{FrameBatch, FramePart, Frames};

const EPISODE_STEPS: u32 = 10;
const OUTSIDE: f32 = 1.5;

/// The observation is the position. Frames for the scorer are one pixel per env, as bright as the reward.
pub struct PointEnv {
    observation_space: Space,
    action_space: Space,
    goal_names: Vec<String>,
    pub autoreset: AutoresetMode,
    /// Frames for the scorer are rendered in every n-th step.
    pub renders_every: u64,
    /// The env's own rewards are 0; only frames show them.
    pub hides_rewards: bool,
    /// Episodes terminate at the time limit instead of being truncated.
    pub terminates_at_timeout: bool,
    n_rendered_steps: u64,
    points: Vec<Point>,
    frames: Frames,
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
            renders_every: 1,
            hides_rewards: false,
            terminates_at_timeout: false,
            n_rendered_steps: 0,
            points: vec![point; n_envs],
            frames: Frames::default(),
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
        let mut pixels = Frames::default();
        if matches!(self.observation_space, Space::Dict(_)) {
            pixels = Frames::new(self.points.len(), 40, 40);
            for (env_idx, point) in self.points.iter().enumerate() {
                let column = ((point.position + OUTSIDE) / (2.0 * OUTSIDE) * 39.0).clamp(0.0, 39.0) as usize;
                (0..40).for_each(|row| pixels.view_mut(env_idx)[(row * 40 + column) * 3] = 255);
            }
        }
        Observations { state, pixels }
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
        for (env_idx, point) in self.points.iter_mut().enumerate() {
            if let Some(Seed::Batch(seed)) = options.seed {
                point.rng = Pcg64::seed_from_u64(seed * 1000 + env_idx as u64);
            }
            if options.mask.as_ref().is_none_or(|mask| mask[env_idx]) {
                point.restart();
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
        self.frames.resize(n_envs, 1, 1);
        for (env_idx, point) in self.points.iter_mut().enumerate() {
            if point.waits_for_reset {
                point.restart();
                out.info.is_reset[env_idx] = true;
                continue;
            }
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
            self.frames.view_mut(env_idx).fill(brightness);
            if !self.hides_rewards {
                out.rewards[env_idx] = f32::from(brightness) / 255.0;
            }
            out.info.success[env_idx] = point.position.abs() < 0.2;
        }
        self.n_rendered_steps += 1;
        if !self.n_rendered_steps.is_multiple_of(self.renders_every) {
            self.frames.resize(0, 1, 1);
        }
        out.observations = self.observe();
        out.final_observations = out.observations.clone();
        for env_idx in 0..n_envs {
            if out.done(env_idx) && self.autoreset == AutoresetMode::SameStep {
                self.points[env_idx].restart();
            } else if out.done(env_idx) && self.autoreset == AutoresetMode::NextStep {
                self.points[env_idx].waits_for_reset = true;
            }
        }
        if self.autoreset == AutoresetMode::SameStep {
            out.observations = self.observe();
        }
        Ok(())
    }

    fn swap_reward_frames(&mut self, frames: &mut FrameBatch) {
        frames.parts = vec![FramePart::Host(std::mem::take(&mut self.frames))];
    }

    fn render_observations(&mut self, out: &mut Frames) -> Result<(), EnvError> {
        *out = self.observe().pixels;
        Ok(())
    }

    fn snapshot(&self) -> Result<Vec<u8>, EnvError> {
        let points: Vec<_> = self
            .points
            .iter()
            .map(|point| (point.position.to_bits(), point.n_steps, point.waits_for_reset, &point.rng))
            .collect();
        Ok(serde_json::to_vec(&(self.n_rendered_steps, points)).unwrap())
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), EnvError> {
        type Saved = (u64, Vec<(u32, u32, bool, Pcg64)>);
        let (n_rendered_steps, points): Saved = serde_json::from_slice(snapshot).unwrap();
        self.n_rendered_steps = n_rendered_steps;
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

/// Rewards from the brightness of the frames.
pub fn brightness(schedule: RewardSchedule) -> ScoredReward {
    ScoredReward { scorer: Box::new(Brightness { n_calls: 0 }), schedule }
}

/// Scores a frame by its brightness; every seventh call takes longer.
struct Brightness {
    n_calls: u64,
}

impl FrameScorer for Brightness {
    fn score(&mut self, frames: &FrameBatch, rewards: &mut Vec<f32>) -> Result<()> {
        self.n_calls += 1;
        if self.n_calls.is_multiple_of(7) {
            std::thread::sleep(std::time::Duration::from_micros(300));
        }
        let frames = frames.on_host().expect("frames on the host");
        rewards.extend((0..frames.n_views()).map(|view_idx| f32::from(frames.view(view_idx)[0]) / 255.0));
        Ok(())
    }
}
