//! Image towers with random weights: from pixels on the host to embeddings.

use std::fmt;
use std::str::FromStr;

use sayso_rewards::ops::{Activation, patchify};
use sayso_rewards::towers::{ClipConfig, TextConfig, VisionConfig};
use sayso_rewards::{Clip, DType, Device, RewardError};
use sayso_sim::{Frames, ImageSpec};

use super::{Figure, Plan, rate};
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
            .ok_or_else(|| format!("'{text}' is no tower; expected b32, l14 or h14"))
    }
}

impl Tower {
    /// Its shape, beside the smallest text tower that there can be: that one is not measured.
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

/// Every tower and batch of the plan.
pub(super) fn measure(plan: &Plan, add: &mut impl FnMut(Figure)) -> Result<()> {
    for &tower in &plan.towers {
        let clip = Clip::with_random_weights(&tower.config(), 0, &Device::Cpu)?;
        let vision = &clip.config().vision_config;
        let size = vision.image_size;
        let spec = ImageSpec { height: size, width: size, mean: [0.5; 3], std: [0.25; 3] };
        for &n_images in &plan.n_images {
            let frames = Frames::new(n_images, size, size);
            let measured = rate(plan.window, n_images, || {
                let patches =
                    patchify(&frames, 0..n_images, &spec, vision.patch_size, DType::F32, &Device::Cpu);
                clip.embed_images(&patches.map_err(RewardError::from)?)?;
                Ok(())
            })?;
            add(Figure::new(
                format!("image tower {tower}, 224², f32, batch {n_images}"),
                "images/s",
                measured,
            ));
        }
    }
    Ok(())
}
