//! The interface of image-text models.

use image::RgbImage;
use sayso_sim::render::DeviceFrames;
use sayso_sim::{FrameBatch, FramePart, FrameRequest, Frames, ImageSpec};

use crate::preprocess::{Fit, Preprocess, stack};
use crate::{Result, RewardError};

/// An image tower and a text tower that embed into one space.
pub trait ImageTextModel: Send + Sync {
    /// Size and normalisation of the images that the model reads.
    fn image_spec(&self) -> &ImageSpec;

    /// Width of the shared embedding space.
    fn embed_dim(&self) -> usize;

    /// Embeds every frame: `[n_views, embed_dim]`, rows of unit length.
    ///
    /// # Errors
    /// If the frame size differs from [`Self::image_spec`], or a device fails.
    fn embed_frames(&self, frames: &Frames) -> Result<Embeddings>;

    /// Size and memory layout in which frames should be rendered to avoid copies.
    fn frame_request(&self) -> FrameRequest {
        FrameRequest::on_host(self.image_spec().clone())
    }

    /// [`Self::embed_frames`] for frames in GPU memory, rendered according to [`Self::frame_request`].
    ///
    /// # Errors
    /// If the model does not read frames in GPU memory, they were rendered for another model, or a device fails.
    fn embed_device_frames(&self, frames: &DeviceFrames) -> Result<Embeddings> {
        Err(RewardError::OutOfRange {
            field: "frames".into(),
            got: format!("{} views on {}", frames.n_views(), frames.gpu().adapter()),
            expected: "frames on the host".into(),
        })
    }

    /// Embeds all frames of a step, part by part; parts may be empty.
    ///
    /// # Errors
    /// Those of [`Self::embed_frames`] and [`Self::embed_device_frames`].
    fn embed_batch(&self, frames: &FrameBatch) -> Result<Embeddings> {
        let embed = |part: &FramePart| match part {
            FramePart::Host(frames) => self.embed_frames(frames),
            FramePart::Device(frames) => self.embed_device_frames(frames),
        };
        let mut parts = frames.parts.iter().filter(|part| 0 < part.n_views());
        match (parts.next(), parts.next()) {
            (None, _) => Ok(Embeddings::from_values(self.embed_dim(), Vec::new())),
            (Some(part), None) => embed(part),
            (Some(first), Some(second)) => {
                let parts = [first, second].into_iter().chain(parts);
                let values = parts.map(|part| Ok(embed(part)?.values)).collect::<Result<Vec<_>>>()?;
                Ok(Embeddings::from_values(self.embed_dim(), values.concat()))
            }
        }
    }

    /// Embeds every prompt: `[n_prompts, embed_dim]`, rows of unit length.
    ///
    /// # Errors
    /// If a prompt is longer than the text tower's context, or has words outside a closed vocabulary.
    fn embed_prompts(&self, prompts: &[String]) -> Result<Embeddings>;

    /// Resizes and crops images to the size of [`Self::image_spec`].
    fn prepare(&self, images: &[RgbImage], fit: Fit) -> Frames {
        let preprocess = Preprocess::squashing(self.image_spec().clone());
        let fitted: Vec<RgbImage> = images.iter().map(|image| preprocess.fit(image, fit)).collect();
        stack(&fitted, self.image_spec()).unwrap_or_default()
    }
}

/// Embeddings, one per row: `[n_rows, dim]` f32, row-major.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Embeddings {
    dim: usize,
    values: Vec<f32>,
}

impl Embeddings {
    /// Wraps row-major values; the length must be a multiple of `dim`.
    pub fn from_values(dim: usize, values: Vec<f32>) -> Self {
        debug_assert_eq!(values.len() % dim.max(1), 0, "the length must be a multiple of dim");
        Self { dim, values }
    }

    /// Width of a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.values.len().checked_div(self.dim).unwrap_or(0)
    }

    /// The rows, in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.dim.max(1))
    }

    /// Consumes the embeddings and returns all values, row-major.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// All values, row-major.
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}
