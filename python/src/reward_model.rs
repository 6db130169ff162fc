//! Reward models for frames of any origin.

use std::sync::Arc;

use image::RgbImage;
use numpy::ndarray::{ArrayView3, ArrayView4};
use numpy::{PyArray1, PyArray2, PyArrayMethods as _, PyReadonlyArray1, PyReadonlyArray4};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use sayso::envs::{EnvConfig, EnvError};
use sayso::rewards::{
    CheckpointModel, Embeddings, FailureConfig, Fit, FrameRow, FrameScorer, FrameSelection,
    ImageTextModel as _, LatestScore, RewardFrames, RewardSchedule, RewardText, Score, ScoredStep, Scorer,
    ScoringPlan, VlmRmModel,
};
use sayso::sim::render::RenderDevice;
use sayso::sim::{Frames, ImageSpec, SimError};
use sayso::{models, setup};

use crate::errors::raise;
use crate::process::{detached, use_device};

/// An image tower and a text tower with a shared embedding space.
#[pyclass(module = "sayso._core", frozen)]
pub struct RewardModel {
    model: Arc<CheckpointModel>,
    device: RenderDevice,
}

#[pymethods]
impl RewardModel {
    /// Loads `bundled`, a folder, or a name on the Hugging Face hub, on the device that reads the frames of the render
    /// device `device` fastest.
    #[new]
    fn new(py: Python<'_>, name: &str, device: &str) -> PyResult<Self> {
        let device: RenderDevice = device.parse().map_err(|error: SimError| raise(EnvError::from(error)))?;
        let device = device.resolve();
        use_device(&device)?;
        let env = EnvConfig { device: device.clone(), ..EnvConfig::default() };
        let model =
            detached(py, || models::load(name, &setup::model_device(&env).map_err(raise)?).map_err(raise))?;
        Ok(Self { model, device })
    }

    /// Height and width of the image tower's input, in pixels.
    #[getter]
    fn image_size(&self) -> (usize, usize) {
        let spec = self.model.image_spec();
        (spec.height, spec.width)
    }

    /// Dimension of the embeddings.
    #[getter]
    fn embed_dim(&self) -> usize {
        self.model.embed_dim()
    }

    /// Unit embeddings, f32 `[n, embed_dim]`, of u8 images `[n, height, width, 3]`.
    fn embed<'py>(
        &self,
        py: Python<'py>,
        frames: PyReadonlyArray4<'py, u8>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        use_device(&self.device)?;
        let images = Images::copied(&frames.as_array(), self.model.image_spec())?;
        let embedded = detached(py, || self.model.embed_frames(&images.fitted(&self.model)).map_err(raise))?;
        rows(py, embedded)
    }

    /// Unit embeddings, f32 `[n, embed_dim]`, of texts.
    fn embed_prompts<'py>(
        &self,
        py: Python<'py>,
        prompts: Vec<String>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        use_device(&self.device)?;
        let embedded = detached(py, || self.model.embed_prompts(&prompts).map_err(raise))?;
        rows(py, embedded)
    }

    /// The reward of goal prompts: cosine similarity, with goal-baseline regularisation of strength `alpha`.
    fn with_prompts(
        &self,
        py: Python<'_>,
        goal_prompts: Vec<String>,
        baseline_prompts: Vec<String>,
        alpha: f32,
    ) -> PyResult<PromptedReward> {
        use_device(&self.device)?;
        let text = text_of(goal_prompts, baseline_prompts);
        let reward_model = Arc::new(VlmRmModel::new(self.model.clone(), alpha));
        let scorer = detached(py, || FrameScorer::new(reward_model, &text).map_err(raise))?;
        Ok(PromptedReward { model: self.model.clone(), device: self.device.clone(), scorer })
    }

    /// The rewards of `n_envs` envs that are stepped elsewhere, from the same reward.
    #[pyo3(signature = (n_envs, goal_prompts, baseline_prompts, alpha, schedule, every_n_steps, discount))]
    #[expect(clippy::too_many_arguments, reason = "the settings of a wrapper")]
    fn episodes(
        &self,
        py: Python<'_>,
        n_envs: usize,
        goal_prompts: Vec<String>,
        baseline_prompts: Vec<String>,
        alpha: f32,
        schedule: &str,
        every_n_steps: u32,
        discount: f32,
    ) -> PyResult<EpisodeRewards> {
        use_device(&self.device)?;
        let schedule = schedule_of(schedule)?;
        let texts = [text_of(goal_prompts, baseline_prompts)];
        let reward_model = Arc::new(VlmRmModel::new(self.model.clone(), alpha));
        let scorer = detached(py, || {
            let plan = ScoringPlan::new(FrameSelection::Last, schedule, every_n_steps).map_err(raise)?;
            Scorer::new(reward_model, plan, FailureConfig::default(), n_envs, 1, &texts).map_err(raise)
        })?;
        Ok(EpisodeRewards {
            model: self.model.clone(),
            device: self.device.clone(),
            scorer,
            discount,
            latest: vec![None; n_envs],
            n_steps: vec![0; n_envs],
            is_started: vec![false; n_envs],
            steps: vec![Step::default(); n_envs],
            rows: Vec::new(),
        })
    }
}

impl RewardModel {
    /// The model, shared.
    pub fn shared(&self) -> Arc<CheckpointModel> {
        self.model.clone()
    }
}

/// A reward model with its prompts.
#[pyclass(module = "sayso._core", frozen)]
pub struct PromptedReward {
    model: Arc<CheckpointModel>,
    device: RenderDevice,
    scorer: FrameScorer,
}

#[pymethods]
impl PromptedReward {
    /// Rewards, f32 `[n]`, of u8 images `[n, height, width, 3]`.
    fn score<'py>(
        &self,
        py: Python<'py>,
        frames: PyReadonlyArray4<'py, u8>,
    ) -> PyResult<Bound<'py, PyArray1<f32>>> {
        use_device(&self.device)?;
        let images = Images::copied(&frames.as_array(), self.model.image_spec())?;
        let rewards = detached(py, || self.scorer.score(&images.fitted(&self.model).into()).map_err(raise))?;
        Ok(PyArray1::from_vec(py, rewards))
    }
}

/// The text of prompts without an instruction of their own: the first goal prompt is what the agent is to do.
fn text_of(goal_prompts: Vec<String>, baseline_prompts: Vec<String>) -> RewardText {
    let instruction = goal_prompts.first().cloned().unwrap_or_default();
    RewardText { instruction, goal_prompts, baseline_prompts }
}

fn schedule_of(name: &str) -> PyResult<RewardSchedule> {
    let unknown = || {
        PyValueError::new_err(format!(
            "schedule = {name:?}; expected one of {}",
            RewardSchedule::NAMES.join(", ")
        ))
    };
    RewardSchedule::from_name(name).ok_or_else(unknown)
}

/// Rewards of envs that are stepped elsewhere: which frames are needed, their scores, and the rewards that these become. Every
/// [`Self::start`] and [`Self::step`] is followed by [`Self::score`].
#[pyclass(module = "sayso._core")]
pub struct EpisodeRewards {
    model: Arc<CheckpointModel>,
    device: RenderDevice,
    scorer: Scorer,
    discount: f32,
    latest: Vec<Option<LatestScore>>,
    /// Whether each env has started an episode.
    is_started: Vec<bool>,
    /// Control steps of each env's episode.
    n_steps: Vec<u32>,
    /// The step that each env has made since the last call of `score`.
    steps: Vec<Step>,
    /// The frames that the next call of `score` needs.
    rows: Vec<FrameRow>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    /// None.
    #[default]
    None,
    /// The start of an episode.
    Start,
    /// A control step, which may have ended the episode.
    Control { is_terminated: bool, is_last: bool },
}

#[pymethods]
impl EpisodeRewards {
    /// Starts episodes in the envs of `mask`. Returns the indices of the envs whose frames are needed.
    fn start<'py>(
        &mut self,
        py: Python<'py>,
        mask: PyReadonlyArray1<'py, bool>,
    ) -> PyResult<Bound<'py, PyArray1<i64>>> {
        for (env_idx, &is_started) in self.expect_len(&mask)?.iter().enumerate() {
            self.steps[env_idx] = if is_started { Step::Start } else { Step::None };
        }
        Ok(self.needed(py))
    }

    /// A control step of every env, whose flags are given; the envs of `started` started an episode instead. Returns the
    /// indices of the envs whose frames are needed.
    fn step<'py>(
        &mut self,
        py: Python<'py>,
        terminated: PyReadonlyArray1<'py, bool>,
        truncated: PyReadonlyArray1<'py, bool>,
        started: PyReadonlyArray1<'py, bool>,
    ) -> PyResult<Bound<'py, PyArray1<i64>>> {
        let (terminated, truncated) = (self.expect_len(&terminated)?, self.expect_len(&truncated)?);
        for (env_idx, is_started) in self.expect_len(&started)?.into_iter().enumerate() {
            let is_terminated = terminated[env_idx];
            let is_last = is_terminated || truncated[env_idx];
            if !is_started && !self.is_started[env_idx] {
                return Err(PyValueError::new_err("step before reset: call reset first"));
            }
            self.steps[env_idx] =
                if is_started { Step::Start } else { Step::Control { is_terminated, is_last } };
        }
        Ok(self.needed(py))
    }

    /// The rewards of the step, f32 `[n_envs]`. `frames` are those of the envs that are needed, u8 `[n, height, width, 3]`.
    fn score<'py>(
        &mut self,
        py: Python<'py>,
        frames: PyReadonlyArray4<'py, u8>,
    ) -> PyResult<Bound<'py, PyArray1<f32>>> {
        use_device(&self.device)?;
        let rows = std::mem::take(&mut self.rows);
        let mut scores = Vec::new();
        if !rows.is_empty() {
            let images = Images::copied(&frames.as_array(), self.model.image_spec())?;
            let (model, scorer) = (&self.model, &mut self.scorer);
            detached(py, || {
                let frames = images.fitted(model).into();
                let frames = RewardFrames { frames, rows, ..RewardFrames::default() };
                scorer.score(&frames, &mut scores).map_err(raise)
            })?;
        }
        let mut by_env = vec![None; self.latest.len()];
        for Score { row, score } in scores {
            by_env[row.env_idx as usize] = Some(score);
        }
        let schedule = self.scorer.plan().schedule();
        let envs = self.latest.iter_mut().zip(&self.steps).zip(by_env);
        let rewards = envs.map(|((latest, step), score)| match *step {
            Step::None => 0.0,
            Step::Start => {
                *latest = score.map(|score| LatestScore { score, text_idx: 0 });
                0.0
            }
            Step::Control { is_terminated, is_last } => {
                let step = ScoredStep { score, is_terminated, is_last, ..ScoredStep::default() };
                schedule.reward(latest, step, self.discount)
            }
        });
        Ok(PyArray1::from_vec(py, rewards.collect()))
    }
}

impl EpisodeRewards {
    fn expect_len(&self, column: &PyReadonlyArray1<'_, bool>) -> PyResult<Vec<bool>> {
        let (expected, got) = (self.latest.len(), column.len()?);
        if got == expected {
            return Ok(column.as_array().to_vec());
        }
        Err(PyValueError::new_err(format!("a column of {got} envs; expected {expected}")))
    }

    /// Counts the steps, and lists the envs whose frames are needed.
    fn needed<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyArray1<i64>> {
        self.rows.clear();
        for (env_idx, step) in self.steps.iter().enumerate() {
            let n_steps = &mut self.n_steps[env_idx];
            let is_last = match *step {
                Step::None => continue,
                Step::Start => {
                    *n_steps = 0;
                    self.is_started[env_idx] = true;
                    false
                }
                Step::Control { is_last, .. } => {
                    *n_steps += 1;
                    is_last
                }
            };
            if self.scorer.plan().is_embedded(*n_steps, is_last) {
                self.rows.push(FrameRow { env_idx: env_idx as u32, n_steps: *n_steps, is_last, text_idx: 0 });
            }
        }
        PyArray1::from_iter(py, self.rows.iter().map(|row| i64::from(row.env_idx)))
    }
}

/// Images copied from an array, once: another thread of Python may write to the array while they are scored.
enum Images {
    /// Of the model's input size.
    Frames(Frames),
    /// Of another size.
    ToResize(Vec<RgbImage>),
}

impl Images {
    /// Copies u8 images `[n, height, width, 3]` of any strides.
    ///
    /// # Errors
    /// If the array has another shape, or no pixels.
    fn copied(array: &ArrayView4<'_, u8>, spec: &ImageSpec) -> PyResult<Self> {
        let wrong_shape = || {
            PyValueError::new_err(format!(
                "frames have shape {:?}; expected [n, height, width, 3] with height and width of 1 or more",
                array.shape()
            ))
        };
        let (n, height, width, channels) = array.dim();
        if channels != Frames::N_CHANNELS || height == 0 || width == 0 {
            return Err(wrong_shape());
        }
        if (height, width) == (spec.height, spec.width) {
            let mut pixels = Vec::with_capacity(array.len());
            array.outer_iter().for_each(|image| append_pixels(image, &mut pixels));
            let frames = Frames::from_pixels(n, height, width, pixels);
            return frames.map(Self::Frames).ok_or_else(wrong_shape);
        }
        let image = |image: ArrayView3<'_, u8>| {
            let mut pixels = Vec::with_capacity(image.len());
            append_pixels(image, &mut pixels);
            RgbImage::from_raw(u32::try_from(width).ok()?, u32::try_from(height).ok()?, pixels)
        };
        let images: Option<_> = array.outer_iter().map(image).collect();
        images.map(Self::ToResize).ok_or_else(wrong_shape)
    }

    /// Frames of the model's input size, resized as the checkpoint specifies if necessary.
    fn fitted(self, model: &CheckpointModel) -> Frames {
        match self {
            Self::Frames(frames) => frames,
            Self::ToResize(images) => model.prepare(&images, Fit::Checkpoint),
        }
    }
}

/// Appends the pixels of an image with three channels: the whole image, a row or a pixel at once, whichever is contiguous.
fn append_pixels(image: ArrayView3<'_, u8>, out: &mut Vec<u8>) {
    if let Some(pixels) = image.as_slice() {
        return out.extend_from_slice(pixels);
    }
    for row in image.outer_iter() {
        match row.as_slice() {
            Some(pixels) => out.extend_from_slice(pixels),
            None => row.outer_iter().for_each(|pixel| out.extend_from_slice(&[pixel[0], pixel[1], pixel[2]])),
        }
    }
}

fn rows(py: Python<'_>, embeddings: Embeddings) -> PyResult<Bound<'_, PyArray2<f32>>> {
    let shape = [embeddings.n_rows(), embeddings.dim()];
    PyArray1::from_vec(py, embeddings.into_values()).reshape(shape)
}
