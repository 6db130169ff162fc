//! Tasks: scene, goals, observations, actions and ground truth.
//!
//! A task cannot know whether it is rendered, and ground truth is never rendered.

use std::sync::Arc;

use sayso_sim::SimWorld;
use sayso_sim::math::Vec3;
use sayso_sim::scene::SceneSpec;
use sayso_sim::seed::Rng;

use crate::Result;
use crate::goals::GoalSpace;
use crate::language::{Caption, Goal};
use crate::space::Space;

/// A task, shared by every env of a batch.
pub trait Task: Send + Sync {
    /// The specification of the task.
    fn spec(&self) -> &TaskSpec;

    /// The scene that every env starts from.
    fn scene(&self) -> Arc<SceneSpec>;

    /// Makes the per-env part of the task. Called once per world.
    ///
    /// # Errors
    /// If the world was not made from this task's scene.
    fn instance(&self, world: &SimWorld) -> Result<Box<dyn TaskInstance>>;
}

/// The specification of a task: what does not change between envs and episodes.
#[derive(Clone, Debug)]
pub struct TaskSpec {
    /// Id in the registry.
    pub id: &'static str,
    /// Description in one sentence.
    pub summary: &'static str,
    /// Control steps after which an episode is truncated.
    pub max_episode_steps: u32,
    /// Space of the state observation.
    pub state_space: Space,
    /// Name and unit of each value of the state observation.
    pub state_names: Vec<String>,
    /// Space of an action.
    pub action_space: Space,
    /// Goals that the agent may be given; ground truth is measured for each.
    pub goals: Vec<Goal>,
    /// Goals as values; `None` if the task has none.
    pub goal_space: Option<GoalSpace>,
    /// Captions that may be true of a state.
    pub captions: Vec<Caption>,
    /// Names of the points of [`TaskInstance::landmarks`].
    pub landmark_names: Vec<String>,
    /// Names of [`Measurement::metrics`].
    pub metric_names: Vec<String>,
    /// Camera of pixel observations.
    pub pixel_camera: &'static str,
    /// Reward cameras: a reward model scores their frames; scores are averaged over them.
    pub reward_cameras: Vec<String>,
    /// Camera of videos.
    pub video_camera: &'static str,
}

/// Bound of state values that have no tighter one, in their own units: far above values that occur, but finite, as learners
/// expect. Observations are clipped to their space.
pub const STATE_BOUND: f32 = 100.0;

/// The per-env part of a task.
pub trait TaskInstance: Send + Sync {
    /// Sets the initial state of an episode in a world that was just reset.
    fn reset(&mut self, world: &mut SimWorld, rng: &mut Rng);

    /// Turns one env's action into motor targets and forces for the next control step.
    ///
    /// Values outside the action space are clipped to it.
    fn act(&mut self, world: &mut SimWorld, action: ActionRow<'_>);

    /// Called once after the physics of a step, before observations and ground truth are read.
    fn after_step(&mut self, _world: &mut SimWorld) {}

    /// Writes the state observation, as many values as the state space has.
    fn observe(&self, world: &SimWorld, out: &mut [f32]);

    /// Computes ground truth from the state.
    fn measure(&self, world: &SimWorld, out: &mut Measurement);

    /// Writes what the agent has achieved, and what it would have to achieve for a goal, as many values each as
    /// [`TaskSpec::goal_space`] has. A task with a goal space must implement it.
    fn goal(&self, _world: &SimWorld, _goal_idx: usize, _achieved: &mut [f32], _desired: &mut [f32]) {}

    /// Samples a state from all that an agent could reach, also unlikely ones, with varied cameras, light and surfaces.
    /// For training and evaluating reward models, not for episodes.
    fn sample_pretraining_state(&mut self, world: &mut SimWorld, rng: &mut Rng);

    /// Degree of truth of each of [`TaskSpec::captions`] in this state, 0 to 1.
    fn caption_truth(&self, world: &SimWorld, out: &mut [f32]);

    /// Positions of the objects that captions mention, world frame, metres; `None` for an absent object. A training signal
    /// for localising objects in frames, never an input of a reward model.
    fn landmarks(&self, world: &SimWorld, out: &mut [Option<Vec3>]);

    /// State that this instance keeps outside the world, for a snapshot.
    fn save(&self) -> Vec<f32> {
        Vec::new()
    }

    /// Restores what [`Self::save`] returned.
    fn load(&mut self, _values: &[f32]) {}
}

/// One env's action.
#[derive(Clone, Copy, Debug)]
pub enum ActionRow<'a> {
    /// `[dim]` f32.
    Continuous(&'a [f32]),
    /// Index of the choice.
    Discrete(u32),
}

impl ActionRow<'_> {
    /// A value of a continuous action, clipped to [-1, 1]; 0 if there is none.
    pub fn unit(&self, value_idx: usize) -> f32 {
        match self {
            Self::Continuous(values) => values.get(value_idx).map_or(0.0, |v| v.clamp(-1.0, 1.0)),
            Self::Discrete(_) => 0.0,
        }
    }
}

/// Ground truth of one state. For evaluation; never part of a reward model's score.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measurement {
    /// `[n_goals]`: whether each goal is met.
    pub success: Vec<bool>,
    /// `[n_goals]`: dense reward of each goal; NaN in a sampled state without the object that the goal names.
    pub reward: Vec<f32>,
    /// `[n_metrics]`: values of the metrics; NaN in the same case.
    pub metrics: Vec<f32>,
    /// Whether the state ends the episode, by the rules of the task.
    pub is_terminal: bool,
}

impl Measurement {
    /// Zeros, in the shapes of a task.
    pub fn new(spec: &TaskSpec) -> Self {
        Self {
            success: vec![false; spec.goals.len()],
            reward: vec![0.0; spec.goals.len()],
            metrics: vec![0.0; spec.metric_names.len()],
            is_terminal: false,
        }
    }
}
