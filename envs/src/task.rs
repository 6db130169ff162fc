//! What a task is: a scene, what an agent is told, sees and does in it, and how well it did.
//!
//! A task cannot know whether it is rendered, and nothing that its metric knows is ever drawn.

use std::sync::Arc;

use sayso_sim::SimWorld;
use sayso_sim::math::Vec3;
use sayso_sim::scene::SceneSpec;
use sayso_sim::seed::Rng;

use crate::Result;
use crate::language::{Caption, Goal};
use crate::space::Space;

/// One kind of environment; the same for every env of a batch.
pub trait Task: Send + Sync {
    /// What is fixed about it.
    fn spec(&self) -> &TaskSpec;

    /// The scene that every env starts from.
    fn scene(&self) -> Arc<SceneSpec>;

    /// The part of the task that lives in one env. Called once a world.
    ///
    /// # Errors
    /// If the world is not of this task's scene.
    fn instance(&self, world: &SimWorld) -> Result<Box<dyn TaskInstance>>;
}

/// What is fixed about a task.
#[derive(Clone, Debug)]
pub struct TaskSpec {
    /// The id it is registered under.
    pub id: &'static str,
    /// One sentence for a table.
    pub summary: &'static str,
    /// Control steps after which an episode is truncated.
    pub max_episode_steps: u32,
    /// Space of the state observation.
    pub state_space: Space,
    /// What each value of the state observation is, with its unit; as many as the space has.
    pub state_names: Vec<String>,
    /// Space of an action.
    pub action_space: Space,
    /// What an agent may be asked for; ground truth is kept for each.
    pub goals: Vec<Goal>,
    /// What may be said about a state; the vocabulary of captions.
    pub captions: Vec<Caption>,
    /// Names of the points that [`TaskInstance::landmarks`] gives.
    pub landmark_names: Vec<String>,
    /// Names of [`Measurement::metrics`].
    pub metric_names: Vec<String>,
    /// Camera of pixel observations.
    pub pixel_camera: &'static str,
    /// Cameras whose pictures a reward model judges; scores are averaged over them.
    pub reward_cameras: Vec<String>,
    /// Camera of videos.
    pub video_camera: &'static str,
}

/// Bound of a state's values where nothing smaller is known, in their own units: far beyond what happens, and finite, as
/// learners want it. Observations are clipped to their space.
pub(crate) const STATE_BOUND: f32 = 100.0;

/// The part of a task that lives in one env.
pub trait TaskInstance: Send + Sync {
    /// Arranges a fresh world for a new episode.
    fn reset(&mut self, world: &mut SimWorld, rng: &mut Rng);

    /// Turns one env's action into motor targets and forces for the coming control step.
    ///
    /// Values outside the action space are clipped to it.
    fn act(&mut self, world: &mut SimWorld, action: ActionRow<'_>);

    /// Called once after the physics of a step, before anything is read.
    fn after_step(&mut self, _world: &mut SimWorld) {}

    /// Writes the state observation, as many values as the state space has.
    fn observe(&self, world: &SimWorld, out: &mut [f32]);

    /// Reads ground truth off the state.
    fn measure(&self, world: &SimWorld, out: &mut Measurement);

    /// Arranges any state that an agent could ever bring about, however unlikely, in looks that vary: positions,
    /// cameras, light and surfaces. For training and examining reward models, not for episodes.
    fn sample_pretraining_state(&mut self, world: &mut SimWorld, rng: &mut Rng);

    /// Degree of truth of each of [`TaskSpec::captions`] in this state, 0 to 1.
    fn caption_truth(&self, world: &SimWorld, out: &mut [f32]);

    /// Where the things that sentences speak of are, world frame; `None` for one that is absent. A training signal about
    /// pictures (where is what is seen?), never an input of a reward model.
    fn landmarks(&self, world: &SimWorld, out: &mut [Option<Vec3>]);

    /// Values that only this instance knows, for a snapshot.
    fn save(&self) -> Vec<f32> {
        Vec::new()
    }

    /// Takes back what [`Self::save`] gave.
    fn load(&mut self, _values: &[f32]) {}
}

/// One env's action.
#[derive(Clone, Copy, Debug)]
pub enum ActionRow<'a> {
    /// `[dim]` f32.
    Continuous(&'a [f32]),
    /// A choice.
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

/// Ground truth of one state. For evaluation; never part of a reward that a model gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measurement {
    /// `[n_goals]`: whether each goal is met.
    pub success: Vec<bool>,
    /// `[n_goals]`: dense reward of each goal; NaN in a scattered state without the thing that the goal names.
    pub reward: Vec<f32>,
    /// `[n_metrics]`; NaN likewise.
    pub metrics: Vec<f32>,
    /// Whether the episode is over, by the rules of the task.
    pub is_terminal: bool,
}

impl Measurement {
    /// Zeros, in the shape that a task needs.
    pub fn new(spec: &TaskSpec) -> Self {
        Self {
            success: vec![false; spec.goals.len()],
            reward: vec![0.0; spec.goals.len()],
            metrics: vec![0.0; spec.metric_names.len()],
            is_terminal: false,
        }
    }
}
