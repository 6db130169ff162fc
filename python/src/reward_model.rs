//! Reward models for frames of any origin.

use std::sync::Arc;

use image::RgbImage;
use numpy::ndarray::{ArrayView3, ArrayView4};
use numpy::{PyArray1, PyArray2, PyArrayMethods as _, PyReadonlyArray4};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use sayso::envs::{EnvConfig, EnvError};
use sayso::rewards::{
    CheckpointModel, Embeddings, Fit, FrameReward as _, GoalBaselineConfig, ImageTextModel as _,
    LanguageReward,
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
        let images = Images::copied(&frames.as_array(), self.model.image_spec())?;
        let mut rewards = Vec::new();
        detached(py, || {
            self.reward.score(&images.fitted(&self.model).into(), 1, &mut rewards).map_err(raise)
        })?;
        Ok(PyArray1::from_vec(py, rewards))
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
