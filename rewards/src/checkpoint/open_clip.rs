//! Checkpoints of `open_clip`: the configuration in Hugging Face's terms, and where the file holds each parameter.

use serde::Deserialize;
use serde_json::Value;

use crate::ops::Activation;
use crate::towers::params::{Part, Place};
use crate::towers::{ClipConfig, TextConfig, VisionConfig};

/// `open_clip_config.json`.
#[derive(Deserialize)]
pub(super) struct OpenClipConfig {
    model_cfg: ModelCfg,
    /// Input of [`crate::preprocess::Preprocess::from_open_clip`].
    pub preprocess_cfg: Value,
}

/// The supported keys. Any other key would change the result and is an error.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelCfg {
    embed_dim: usize,
    vision_cfg: VisionCfg,
    text_cfg: TextCfg,
    #[serde(default)]
    quick_gelu: bool,
    #[serde(default = "clip_logit_scale")]
    init_logit_scale: f64,
    #[serde(default, rename = "init_logit_bias")]
    _init_logit_bias: (),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VisionCfg {
    image_size: usize,
    layers: usize,
    width: usize,
    #[serde(default = "head_width")]
    head_width: usize,
    #[serde(default = "mlp_ratio")]
    mlp_ratio: f64,
    patch_size: usize,
    /// Regularisation in training; has no effect here.
    #[serde(default, rename = "patch_dropout")]
    _patch_dropout: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TextCfg {
    #[serde(default = "context_length")]
    context_length: usize,
    #[serde(default = "vocab_size")]
    vocab_size: usize,
    width: usize,
    heads: usize,
    layers: usize,
    #[serde(default = "mlp_ratio")]
    mlp_ratio: f64,
}

fn clip_logit_scale() -> f64 {
    2.6592
}

fn head_width() -> usize {
    64
}

fn mlp_ratio() -> f64 {
    4.0
}

fn context_length() -> usize {
    77
}

fn vocab_size() -> usize {
    49408
}

impl OpenClipConfig {
    /// The equivalent Hugging Face configuration. The output of the text tower is taken at the token with the highest
    /// number, which `eos_token_id = 2` stands for.
    pub fn clip_config(&self) -> ClipConfig {
        let ModelCfg { embed_dim, vision_cfg: vision, text_cfg: text, quick_gelu, init_logit_scale, .. } =
            &self.model_cfg;
        let hidden_act = if *quick_gelu { Activation::QuickGelu } else { Activation::Gelu };
        ClipConfig {
            projection_dim: *embed_dim,
            logit_scale_init_value: *init_logit_scale,
            text_config: TextConfig {
                vocab_size: text.vocab_size,
                hidden_size: text.width,
                intermediate_size: (text.width as f64 * text.mlp_ratio) as usize,
                num_hidden_layers: text.layers,
                num_attention_heads: text.heads,
                max_position_embeddings: text.context_length,
                hidden_act,
                eos_token_id: 2,
                ..TextConfig::default()
            },
            vision_config: VisionConfig {
                hidden_size: vision.width,
                intermediate_size: (vision.width as f64 * vision.mlp_ratio) as usize,
                num_hidden_layers: vision.layers,
                num_attention_heads: vision.width / vision.head_width.max(1),
                image_size: vision.image_size,
                patch_size: vision.patch_size,
                hidden_act,
                ..VisionConfig::default()
            },
            ..ClipConfig::default()
        }
    }
}

/// Where `open_clip` holds the parameter that Hugging Face calls `name`. It fuses query, key and value, and its projections
/// are transposed. A name that is not in the table stays as it is.
pub(super) fn place_of(name: &str) -> Place {
    layer_place(name).unwrap_or_else(|| {
        let (tensor, part) = match name {
            "vision_model.embeddings.class_embedding" => ("visual.class_embedding", Part::All),
            "vision_model.embeddings.patch_embedding.weight" => ("visual.conv1.weight", Part::All),
            "vision_model.embeddings.position_embedding.weight" => ("visual.positional_embedding", Part::All),
            "vision_model.pre_layrnorm.weight" => ("visual.ln_pre.weight", Part::All),
            "vision_model.pre_layrnorm.bias" => ("visual.ln_pre.bias", Part::All),
            "vision_model.post_layernorm.weight" => ("visual.ln_post.weight", Part::All),
            "vision_model.post_layernorm.bias" => ("visual.ln_post.bias", Part::All),
            "visual_projection.weight" => ("visual.proj", Part::Transpose),
            "text_model.embeddings.token_embedding.weight" => ("token_embedding.weight", Part::All),
            "text_model.embeddings.position_embedding.weight" => ("positional_embedding", Part::All),
            "text_model.final_layer_norm.weight" => ("ln_final.weight", Part::All),
            "text_model.final_layer_norm.bias" => ("ln_final.bias", Part::All),
            "text_projection.weight" => ("text_projection", Part::Transpose),
            _ => (name, Part::All),
        };
        Place { tensor: tensor.to_owned(), part }
    })
}

/// The place of a parameter of a transformer layer, `{tower}.encoder.layers.{index}.{module}.{kind}`.
fn layer_place(name: &str) -> Option<Place> {
    let (tower, layer) = name.split_once(".encoder.layers.")?;
    let prefix = match tower {
        "vision_model" => "visual.",
        "text_model" => "",
        _ => return None,
    };
    let (index, parameter) = layer.split_once('.')?;
    let (module, kind) = parameter.rsplit_once('.')?;
    let (stored, part) = match module {
        "layer_norm1" => ("ln_1.", Part::All),
        "self_attn.q_proj" => ("attn.in_proj_", Part::Third(0)),
        "self_attn.k_proj" => ("attn.in_proj_", Part::Third(1)),
        "self_attn.v_proj" => ("attn.in_proj_", Part::Third(2)),
        "self_attn.out_proj" => ("attn.out_proj.", Part::All),
        "layer_norm2" => ("ln_2.", Part::All),
        "mlp.fc1" => ("mlp.c_fc.", Part::All),
        "mlp.fc2" => ("mlp.c_proj.", Part::All),
        _ => return None,
    };
    Some(Place { tensor: format!("{prefix}transformer.resblocks.{index}.{stored}{kind}"), part })
}
