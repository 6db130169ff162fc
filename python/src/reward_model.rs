//! Reward models for frames of any origin.

use std::sync::Arc;

use image::RgbImage;
use numpy::{PyArray1, PyArray2, PyArrayMethods as _, PyReadonlyArray4};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use sayso::envs::{EnvConfig, EnvError};
use sayso::rewards::{
    CheckpointModel, Embeddings, Fit, FrameReward as _, GoalBaselineConfig, ImageTextModel as _,
    LanguageReward,
};
use sayso::sim::render::RenderDevice;
use sayso::sim::{Frames, SimError};
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
        let frames = images(&frames)?;
        let embedded = detached(py, || self.model.embed_frames(&fitted(&self.model, frames)).map_err(raise))?;
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
        let config = GoalBaselineConfig { goal_prompts, baseline_prompts, alpha };
        let reward = detached(py, || LanguageReward::new(self.model.clone(), &config).map_err(raise))?;
        Ok(PromptedReward { model: self.model.clone(), device: self.device.clone(), reward })
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
    reward: LanguageReward,
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
        let frames = images(&frames)?;
        let mut rewards = Vec::new();
        detached(py, || {
            self.reward.score(&fitted(&self.model, frames).into(), 1, &mut rewards).map_err(raise)
        })?;
        Ok(PyArray1::from_vec(py, rewards))
    }
}

fn images(frames: &PyReadonlyArray4<'_, u8>) -> PyResult<Frames> {
    let array = frames.as_array();
    let (n, height, width, channels) = array.dim();
    let pixels = array.iter().copied().collect();
    let are_images = channels == Frames::N_CHANNELS && height > 0 && width > 0;
    let frames = are_images.then(|| Frames::from_pixels(n, height, width, pixels));
    frames.flatten().ok_or_else(|| {
        PyValueError::new_err(format!(
            "frames have shape {:?}; expected [n, height, width, 3] with height and width of 1 or more",
            array.shape()
        ))
    })
}

/// Frames of the model's input size, resized as the checkpoint specifies if necessary.
fn fitted(model: &CheckpointModel, frames: Frames) -> Frames {
    let spec = model.image_spec();
    if (frames.height(), frames.width()) == (spec.height, spec.width) {
        return frames;
    }
    let side = |n: usize| n as u32;
    let image =
        |i: usize| RgbImage::from_raw(side(frames.width()), side(frames.height()), frames.view(i).to_vec());
    let images: Vec<RgbImage> = (0..frames.n_views()).filter_map(image).collect();
    model.prepare(&images, Fit::Checkpoint)
}

fn rows(py: Python<'_>, embeddings: Embeddings) -> PyResult<Bound<'_, PyArray2<f32>>> {
    let shape = [embeddings.n_rows(), embeddings.dim()];
    PyArray1::from_vec(py, embeddings.into_values()).reshape(shape)
}
