//! What every image-text model offers, whatever its towers look like.

use image::RgbImage;
use sayso_sim::render::DeviceFrames;
use sayso_sim::{FrameBatch, FramePart, FrameRequest, Frames, ImageSpec};

use crate::preprocess::{Fit, Preprocess, stack};
use crate::{Result, RewardError};

/// An image tower and a text tower that embed into one space.
pub trait ImageTextModel: Send + Sync {
    /// How pictures must be drawn for it.
    fn image_spec(&self) -> &ImageSpec;

    /// Width of the shared space.
    fn embed_dim(&self) -> usize;

    /// Embeds every picture; the rows have unit length.
    ///
    /// # Errors
    /// If the pictures are not of the size that [`Self::image_spec`] asks for.
    fn embed_frames(&self, frames: &Frames) -> Result<Embeddings>;

    /// How frames should be drawn so that nothing is copied that need not be.
    fn frame_request(&self) -> FrameRequest {
        FrameRequest::on_host(self.image_spec().clone())
    }

    /// [`Self::embed_frames`] for pictures that were drawn as [`Self::frame_request`] asks and stayed on their device.
    ///
    /// # Errors
    /// If the model reads none there, they were drawn for another one, or a device fails.
    fn embed_device_frames(&self, frames: &DeviceFrames) -> Result<Embeddings> {
        Err(RewardError::OutOfRange {
            field: "frames".into(),
            got: format!("{} views on {}", frames.n_views(), frames.gpu().adapter()),
            expected: "frames on the host".into(),
        })
    }

    /// Embeds every picture of a step, part by part.
    ///
    /// # Errors
    /// Those of [`Self::embed_frames`] and [`Self::embed_device_frames`].
    fn embed_batch(&self, frames: &FrameBatch) -> Result<Embeddings> {
        let embed = |part: &FramePart| match part {
            FramePart::Host(frames) => self.embed_frames(frames),
            FramePart::Device(frames) => self.embed_device_frames(frames),
        };
        match frames.parts.as_slice() {
            [part] => embed(part),
            parts => {
                let values = parts.iter().map(|part| Ok(embed(part)?.values)).collect::<Result<Vec<_>>>()?;
                Ok(Embeddings::from_values(self.embed_dim(), values.concat()))
            }
        }
    }

    /// Embeds every prompt; the rows have unit length.
    ///
    /// # Errors
    /// If a prompt is longer than the text tower's context.
    fn embed_prompts(&self, prompts: &[String]) -> Result<Embeddings>;

    /// Makes pictures of any size fit [`Self::image_spec`].
    fn prepare(&self, images: &[RgbImage], fit: Fit) -> Frames {
        let preprocess = Preprocess::squashing(self.image_spec().clone());
        let fitted: Vec<RgbImage> = images.iter().map(|image| preprocess.fit(image, fit)).collect();
        stack(&fitted, self.image_spec()).unwrap_or_default()
    }
}

/// Rows of one matrix: `[n_rows, dim]` f32.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Embeddings {
    dim: usize,
    values: Vec<f32>,
}

impl Embeddings {
    /// Wraps row-major values; the length must be a multiple of `dim`.
    pub fn from_values(dim: usize, values: Vec<f32>) -> Self {
        debug_assert_eq!(values.len() % dim.max(1), 0, "rows must be whole");
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

    /// All values, row-major, given away.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// All values, row-major.
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}

/// A reward that is read off frames and knows nothing else: no state, no task.
pub trait FrameReward: Send + Sync {
    /// How pictures must be drawn for it.
    fn image_spec(&self) -> &ImageSpec;

    /// How frames should be drawn so that nothing is copied that need not be.
    fn frame_request(&self) -> FrameRequest {
        FrameRequest::on_host(self.image_spec().clone())
    }

    /// One reward per env: the mean over the env's views. `frames` are env-major, `n_views_per_env` each; `out` is
    /// resized.
    ///
    /// # Errors
    /// If the pictures have another size than [`Self::image_spec`] asks for.
    fn score(&self, frames: &FrameBatch, n_views_per_env: usize, out: &mut Vec<f32>) -> Result<()>;
}
