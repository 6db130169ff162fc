//! The configuration of a CLIP checkpoint, its `config.json`.

use serde::{Deserialize, Serialize};

use crate::ops::{Activation, LayerSpec};
use crate::{Result, RewardError};

/// `config.json` of a CLIP checkpoint in Hugging Face format. Missing fields have the defaults of Hugging Face's
/// `CLIPConfig`; fields about training and generation are ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClipConfig {
    /// Model type, `clip`.
    pub model_type: String,
    /// Classes of `transformers` that read the checkpoint.
    pub architectures: Vec<String>,
    /// Width of the shared embedding space.
    pub projection_dim: usize,
    /// Initial logit scale: natural logarithm of the factor on cosines.
    pub logit_scale_init_value: f64,
    /// The text tower.
    pub text_config: TextConfig,
    /// The image tower.
    pub vision_config: VisionConfig,
}

/// The text tower of a [`ClipConfig`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TextConfig {
    /// Number of tokens in the vocabulary.
    pub vocab_size: usize,
    /// Width of a token.
    pub hidden_size: usize,
    /// Width inside the MLPs.
    pub intermediate_size: usize,
    /// Number of transformer layers.
    pub num_hidden_layers: usize,
    /// Number of attention heads; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Maximum sequence length in tokens, including start and end tokens.
    pub max_position_embeddings: usize,
    /// Nonlinearity of the MLPs.
    pub hidden_act: Activation,
    /// Added to the variance in the norms.
    pub layer_norm_eps: f64,
    /// End token: the output of the tower is taken at its first occurrence. 2, which early checkpoints have by mistake,
    /// means the token with the highest number.
    pub eos_token_id: u32,
}

/// The image tower of a [`ClipConfig`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VisionConfig {
    /// Width of a token.
    pub hidden_size: usize,
    /// Width inside the MLPs.
    pub intermediate_size: usize,
    /// Number of transformer layers.
    pub num_hidden_layers: usize,
    /// Number of attention heads; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Channels of an image: 3.
    pub num_channels: usize,
    /// Height and width of an image in pixels.
    pub image_size: usize,
    /// Height and width of a patch in pixels.
    pub patch_size: usize,
    /// Nonlinearity of the MLPs.
    pub hidden_act: Activation,
    /// Added to the variance in the norms.
    pub layer_norm_eps: f64,
}

impl Default for ClipConfig {
    fn default() -> Self {
        Self {
            model_type: "clip".into(),
            architectures: vec!["CLIPModel".into()],
            projection_dim: 512,
            logit_scale_init_value: 2.6592,
            text_config: TextConfig::default(),
            vision_config: VisionConfig::default(),
        }
    }
}

impl Default for TextConfig {
    fn default() -> Self {
        Self {
            vocab_size: 49408,
            hidden_size: 512,
            intermediate_size: 2048,
            num_hidden_layers: 12,
            num_attention_heads: 8,
            max_position_embeddings: 77,
            hidden_act: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
            eos_token_id: 49407,
        }
    }
}

impl Default for VisionConfig {
    fn default() -> Self {
        Self {
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            num_channels: 3,
            image_size: 224,
            patch_size: 32,
            hidden_act: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
        }
    }
}

impl ClipConfig {
    /// Checks the ranges of all fields.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    pub fn validate(&self) -> Result<()> {
        self.text_config.validate()?;
        self.vision_config.validate()?;
        at_least_one("projection_dim", self.projection_dim)
    }
}

impl TextConfig {
    /// Shape of a layer of the tower.
    pub fn layer_spec(&self) -> LayerSpec {
        LayerSpec {
            width: self.hidden_size,
            n_heads: self.num_attention_heads,
            mlp_width: self.intermediate_size,
            activation: self.hidden_act,
            eps: self.layer_norm_eps,
            causal: true,
        }
    }

    pub(super) fn validate(&self) -> Result<()> {
        at_least_one("text_config.vocab_size", self.vocab_size)?;
        at_least_one("text_config.max_position_embeddings", self.max_position_embeddings)?;
        at_least_one("text_config.intermediate_size", self.intermediate_size)?;
        whole_heads("text_config", self.hidden_size, self.num_attention_heads)
    }
}

impl VisionConfig {
    /// Shape of a layer of the tower.
    pub fn layer_spec(&self) -> LayerSpec {
        LayerSpec {
            width: self.hidden_size,
            n_heads: self.num_attention_heads,
            mlp_width: self.intermediate_size,
            activation: self.hidden_act,
            eps: self.layer_norm_eps,
            causal: false,
        }
    }

    /// Number of patches per image.
    pub fn n_patches(&self) -> usize {
        (self.image_size / self.patch_size).pow(2)
    }

    pub(super) fn validate(&self) -> Result<()> {
        at_least_one("vision_config.patch_size", self.patch_size)?;
        at_least_one("vision_config.intermediate_size", self.intermediate_size)?;
        if self.image_size < self.patch_size {
            return Err(out_of_range("vision_config.image_size", self.image_size, "at least patch_size"));
        }
        if self.num_channels != 3 {
            return Err(out_of_range("vision_config.num_channels", self.num_channels, "3"));
        }
        whole_heads("vision_config", self.hidden_size, self.num_attention_heads)
    }
}

fn at_least_one(field: &str, value: usize) -> Result<()> {
    if value == 0 { Err(out_of_range(field, value, "at least 1")) } else { Ok(()) }
}

fn whole_heads(tower: &str, hidden_size: usize, n_heads: usize) -> Result<()> {
    at_least_one(&format!("{tower}.hidden_size"), hidden_size)?;
    if n_heads == 0 || !hidden_size.is_multiple_of(n_heads) {
        let expected = format!("a divisor of hidden_size = {hidden_size}");
        return Err(out_of_range(&format!("{tower}.num_attention_heads"), n_heads, &expected));
    }
    Ok(())
}

fn out_of_range(field: &str, got: usize, expected: &str) -> RewardError {
    RewardError::OutOfRange { field: field.into(), got: got.to_string(), expected: expected.into() }
}
