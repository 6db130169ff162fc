//! One env behind the trait [`Env`] of gymnasium-rs.

use std::cell::RefCell;
use std::marker::PhantomData;

use gymnasium_rs::core::{Env, Info, Options, Reward, Space};
use ndarray::Array3;
use sayso_envs::{
    AutoresetMode, EnvConfig, EnvError, ResetOptions, Result, RewardSource, StepBatch, VecEnv, VectorEnv as _,
};
use serde_json::Value;

use crate::convert::{self, Action, Observation};

/// Rows and columns of the frames of [`GymnasiumEnv::try_render`].
pub const RENDER_SIZE: [usize; 2] = [240, 240];

/// A batch of one env that implements gymnasium-rs's [`Env`].
///
/// The methods of that trait cannot return an error: they panic with a message that says what was wrong and what to do.
/// The methods with the prefix `try_` return the error instead.
///
/// `info` holds `instruction`, the sentence of the episode, and ground truth, for evaluation: `success`, whether the goal of the
/// instruction is met (left out if it is of no goal), and each of the task's metrics by name, in SI units; one that is not finite
/// is `null`.
pub struct GymnasiumEnv<Obs, Action> {
    /// `None` once closed. In a cell, because rendering needs a mutable reference and the trait's `render` takes `&self`.
    env: RefCell<Option<VecEnv>>,
    observation_space: Space,
    action_space: Space,
    episode: Episode,
    columns: StepBatch,
    kinds: PhantomData<fn(Action) -> Obs>,
}

/// Episode state of the env.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Episode {
    NotStarted,
    Running,
    Over,
}

impl<Obs: Observation, A: Action> GymnasiumEnv<Obs, A> {
    /// Wraps a batch of one env.
    ///
    /// With [`RewardSource::Deferred`] all rewards are 0: the frames are not scored.
    ///
    /// # Errors
    /// If the batch has more than one env, resets in the last step of an episode ([`AutoresetMode::SameStep`]), or has
    /// spaces that do not match `Obs` and `A`.
    pub fn new(env: VecEnv) -> Result<Self> {
        let out_of_range = |field: &str, got: String, expected: &str| EnvError::OutOfRange {
            field: field.to_owned(),
            got,
            expected: expected.to_owned(),
        };
        if env.n_envs() != 1 {
            return Err(out_of_range("n_envs", env.n_envs().to_string(), "1"));
        }
        if env.autoreset_mode() == AutoresetMode::SameStep {
            return Err(out_of_range("autoreset", "same_step".to_owned(), "next_step or disabled"));
        }
        Ok(Self {
            observation_space: Obs::space(env.single_observation_space())?,
            action_space: A::space(env.single_action_space())?,
            env: RefCell::new(Some(env)),
            episode: Episode::NotStarted,
            columns: StepBatch::default(),
            kinds: PhantomData,
        })
    }

    /// Makes the env from a configuration.
    ///
    /// # Errors
    /// As [`VecEnv::new`] and [`Self::new`].
    pub fn from_config(config: &EnvConfig, reward: RewardSource) -> Result<Self> {
        Self::new(VecEnv::new(config, reward)?)
    }

    /// Starts an episode. The same seed starts the same series of episodes; without a seed the series continues, at first
    /// that of [`EnvConfig::seed`].
    ///
    /// # Errors
    /// If the seed is negative, there is any option (these envs have none), the env is closed, or rendering fails.
    pub fn try_reset(&mut self, seed: Option<i32>, options: &Options) -> Result<(Obs, Info)> {
        if let Some((name, value)) = options.iter().next() {
            return Err(EnvError::OutOfRange {
                field: format!("options.{name}"),
                got: value.to_string(),
                expected: "no options: these envs have none".to_owned(),
            });
        }
        let seed = seed.map(u64::try_from).transpose().map_err(|_| EnvError::OutOfRange {
            field: "seed".to_owned(),
            got: seed.unwrap_or_default().to_string(),
            expected: "0 or more".to_owned(),
        })?;
        let env = open(self.env.get_mut())?;
        env.reset(&ResetOptions { seed: seed.map(Into::into), mask: None }, &mut self.columns)?;
        self.episode = Episode::Running;
        let info = info(env, &self.columns);
        Ok((Obs::take(&mut self.columns.observations), info))
    }

    /// Advances the env by one control step; returns observation, reward, `terminated`, `truncated` and info, all of the
    /// state after the action. Values outside the action space are clipped to it.
    ///
    /// # Errors
    /// If the action does not fit the action space, no episode is running, the env is closed, or rendering or scoring fails.
    pub fn try_step(&mut self, action: A) -> Result<(Obs, Reward, bool, bool, Info)> {
        let env = open(self.env.get_mut())?;
        match self.episode {
            Episode::NotStarted => return Err(EnvError::WrongOrder("step before reset: call reset first")),
            Episode::Over => return Err(EnvError::WrongOrder("the episode is over: call reset first")),
            Episode::Running => {}
        }
        env.step(&action.into_actions()?, &mut self.columns)?;
        let columns = &mut self.columns;
        let (reward, terminated, truncated) =
            (columns.rewards[0], columns.terminated[0], columns.truncated[0]);
        if terminated || truncated {
            self.episode = Episode::Over;
        }
        let info = info(env, columns);
        Ok((Obs::take(&mut columns.observations), reward, terminated, truncated, info))
    }

    /// Renders the current state with the task's video camera, `[240, 240, 3]` u8 sRGB.
    ///
    /// # Errors
    /// If there was no reset yet, the env is closed, or rendering fails.
    pub fn try_render(&self) -> Result<Array3<u8>> {
        let mut env = self.env.borrow_mut();
        let env = open(&mut env)?;
        if self.episode == Episode::NotStarted {
            return Err(EnvError::WrongOrder("render before reset: call reset first"));
        }
        let [height, width] = RENDER_SIZE;
        Ok(convert::image(env.render(env.task_spec().video_camera, height, width)?))
    }
}

impl<Obs: Observation, A: Action> Env<Obs, A> for GymnasiumEnv<Obs, A> {
    fn observation_space(&self) -> Space {
        self.observation_space.clone()
    }

    fn action_space(&self) -> Space {
        self.action_space.clone()
    }

    /// # Panics
    /// Where [`GymnasiumEnv::try_reset`] returns an error.
    #[track_caller]
    fn reset(&mut self, seed: Option<i32>, options: Options) -> (Obs, Info) {
        or_panic(self.try_reset(seed, &options))
    }

    /// # Panics
    /// Where [`GymnasiumEnv::try_step`] returns an error.
    #[track_caller]
    fn step(&mut self, action: A) -> (Obs, Reward, bool, bool, Info) {
        or_panic(self.try_step(action))
    }

    /// Always a frame, never `None`.
    ///
    /// # Panics
    /// Where [`GymnasiumEnv::try_render`] returns an error.
    #[track_caller]
    fn render(&self) -> Option<Array3<u8>> {
        Some(or_panic(self.try_render()))
    }

    /// Frees the env. Closing a closed env has no effect; the spaces are still available.
    fn close(&mut self) {
        *self.env.get_mut() = None;
    }
}

fn open(env: &mut Option<VecEnv>) -> Result<&mut VecEnv> {
    env.as_mut().ok_or(EnvError::WrongOrder("this env is closed: make a new one"))
}

fn info(env: &VecEnv, columns: &StepBatch) -> Info {
    let instruction = env.instructions().get(columns.info.instruction[0] as usize);
    let sentence = instruction.map(|it| ("instruction".to_owned(), Value::from(it.text.as_str())));
    let goal_idx = instruction.and_then(|it| it.goal_idx);
    let success = goal_idx.map(|idx| ("success".to_owned(), Value::from(columns.info.success[idx])));
    let metrics = env.metric_names().iter().zip(&columns.info.metrics);
    let metrics = metrics.map(|(name, value)| (name.clone(), Value::from(*value)));
    sentence.into_iter().chain(success).chain(metrics).collect()
}

#[track_caller]
fn or_panic<T>(result: Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}
