//! Rates of image towers with random weights, on patches that are already on their device.

use std::fmt;
use std::str::FromStr;

use sayso_rewards::ops::Activation;
use sayso_rewards::towers::{ClipConfig, TextConfig, VisionConfig};
use sayso_rewards::{Clip, Embeddings, FrameReader, ImageTextModel, ModelDevice, RewardError, Tensor};
use sayso_sim::render::DeviceFrames;
use sayso_sim::{FrameRequest, Frames, ImageSpec};

use super::{Figure, Plan, Rate, rate};
use crate::error::Result;

/// A published image tower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tower {
    /// ViT-B/32.
    B32,
    /// ViT-L/14.
    L14,
    /// ViT-H/14.
    H14,
}

impl fmt::Display for Tower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::B32 => "b32",
            Self::L14 => "l14",
            Self::H14 => "h14",
        })
    }
}

impl FromStr for Tower {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        [Self::B32, Self::L14, Self::H14]
            .into_iter()
            .find(|tower| tower.to_string() == text)
            .ok_or_else(|| format!("'{text}' is not a tower; expected b32, l14 or h14"))
    }
}

impl Tower {
    /// Its configuration, with a minimal text tower, which is not measured.
    fn config(self) -> ClipConfig {
        let (width, n_layers, n_heads, patch_size, projection_dim) = match self {
            Self::B32 => (768, 12, 12, 32, 512),
            Self::L14 => (1024, 24, 16, 14, 768),
            Self::H14 => (1280, 32, 16, 14, 1024),
        };
        let hidden_act = if self == Self::H14 { Activation::Gelu } else { Activation::QuickGelu };
        let vision_config = VisionConfig {
            hidden_size: width,
            intermediate_size: 4 * width,
            num_hidden_layers: n_layers,
            num_attention_heads: n_heads,
            patch_size,
            hidden_act,
            ..VisionConfig::default()
        };
        let text_config = TextConfig {
            vocab_size: 8,
            hidden_size: 8,
            intermediate_size: 8,
            num_hidden_layers: 1,
            num_attention_heads: 1,
            eos_token_id: 7,
            ..TextConfig::default()
        };
        ClipConfig { projection_dim, vision_config, text_config, ..ClipConfig::default() }
    }
}

/// A tower with random weights, for benchmarks.
pub(super) struct RandomTower {
    clip: Clip,
    reader: FrameReader,
}

impl RandomTower {
    pub fn new(tower: Tower, model_device: &ModelDevice) -> Result<Self> {
        let config = tower.config();
        let clip = Clip::with_random_weights(&config, 0, model_device.dtype(), model_device.device())?;
        let VisionConfig { image_size: side, patch_size, .. } = config.vision_config;
        let spec = ImageSpec { height: side, width: side, mean: [0.5; 3], std: [0.25; 3] };
        Ok(Self { clip, reader: FrameReader::new(spec, patch_size, model_device.clone()) })
    }

    /// Random patches of `n_images` images, on the tower's device.
    fn patches(&self, n_images: usize) -> Result<Tensor> {
        let VisionConfig { image_size, patch_size, .. } = self.clip.config().vision_config;
        let shape = (n_images, (image_size / patch_size).pow(2), 3 * patch_size * patch_size);
        let model_device = self.reader.model_device();
        let values = Tensor::randn(0f32, 1.0, shape, model_device.device()).map_err(RewardError::from)?;
        Ok(values.to_dtype(model_device.dtype()).map_err(RewardError::from)?)
    }

    /// Images per second, from patches that are on the tower's device.
    pub fn images_per_sec(&self, plan: &Plan, n_images: usize) -> Result<Rate> {
        let patches = self.patches(n_images)?;
        rate(plan.window, n_images, &mut || {
            self.reader.embed_patches(&patches, |patches| self.clip.embed_images(patches))?;
            Ok(())
        })
    }

    fn embeddings(&self, values: Vec<f32>) -> Embeddings {
        Embeddings::from_values(self.embed_dim(), values)
    }
}

impl ImageTextModel for RandomTower {
    fn image_spec(&self) -> &ImageSpec {
        self.reader.spec()
    }

    fn embed_dim(&self) -> usize {
        self.clip.config().projection_dim
    }

    fn embed_frames(&self, frames: &Frames) -> sayso_rewards::Result<Embeddings> {
        Ok(self.embeddings(self.reader.embed(frames, |patches| self.clip.embed_images(patches))?))
    }

    fn frame_request(&self) -> FrameRequest {
        self.reader.request()
    }

    fn embed_device_frames(&self, frames: &DeviceFrames) -> sayso_rewards::Result<Embeddings> {
        let values = self.reader.embed_on_device(frames, |patches| self.clip.embed_images(patches))?;
        Ok(self.embeddings(values))
    }

    /// Placeholders: unit vectors along the axes in turn.
    fn embed_prompts(&self, prompts: &[String]) -> sayso_rewards::Result<Embeddings> {
        let dim = self.embed_dim();
        let axis = |k: usize| (0..dim).map(move |i| if i == k % dim { 1.0 } else { 0.0 });
        Ok(self.embeddings((0..prompts.len()).flat_map(axis).collect()))
    }
}

/// Measures every tower and batch size of the plan.
pub(super) fn measure(plan: &Plan, model_device: &ModelDevice, add: &mut impl FnMut(Figure)) -> Result<()> {
    for &tower in &plan.towers {
        let random = RandomTower::new(tower, model_device)?;
        for &n_images in &plan.n_images {
            let what = format!(
                "image tower {tower}, 224², {}, batch {n_images}, patches on the device",
                model_device.dtype().as_str()
            );
            add(Figure::of(what, "images/s", random.images_per_sec(plan, n_images))?);
        }
    }
    Ok(())
}
