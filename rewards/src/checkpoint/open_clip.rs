//! Checkpoints of `open_clip`: configuration and tensor names are translated into Hugging Face's.

use candle_core::Tensor;
use serde::Deserialize;
use serde_json::Value;

use super::weights::Tensors;
use crate::ops::Activation;
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

/// Renames tensors to Hugging Face's keys: splits `in_proj` into query, key and value, and transposes the projections. An
/// unknown key keeps its name, and the strict loader reports it.
pub(super) fn to_hugging_face(tensors: Tensors) -> candle_core::Result<Tensors> {
    let mut out = Tensors::with_capacity(tensors.len());
    for (key, tensor) in tensors {
        rename(&key, tensor, &mut out)?;
    }
    Ok(out)
}

fn rename(key: &str, tensor: Tensor, out: &mut Tensors) -> candle_core::Result<()> {
    let (tower, rest) = match key.strip_prefix("visual.") {
        Some(rest) => ("vision_model", rest),
        None => ("text_model", key),
    };
    if let Some(layer) = rest.strip_prefix("transformer.resblocks.")
        && let Some((index, part)) = layer.split_once('.')
    {
        let prefix = format!("{tower}.encoder.layers.{index}");
        if let Some(kind) = part.strip_prefix("attn.in_proj_") {
            for (name, part) in ["q_proj", "k_proj", "v_proj"].iter().zip(tensor.chunk(3, 0)?) {
                out.insert(format!("{prefix}.self_attn.{name}.{kind}"), part);
            }
            return Ok(());
        }
        const PARTS: [(&str, &str); 5] = [
            ("ln_1.", "layer_norm1."),
            ("ln_2.", "layer_norm2."),
            ("attn.out_proj.", "self_attn.out_proj."),
            ("mlp.c_fc.", "mlp.fc1."),
            ("mlp.c_proj.", "mlp.fc2."),
        ];
        let renamed = PARTS.iter().find_map(|(from, to)| Some(format!("{to}{}", part.strip_prefix(from)?)));
        out.insert(renamed.map_or_else(|| key.to_owned(), |part| format!("{prefix}.{part}")), tensor);
        return Ok(());
    }
    let transposed = matches!(key, "visual.proj" | "text_projection");
    let name = match key {
        "visual.class_embedding" => "vision_model.embeddings.class_embedding",
        "visual.conv1.weight" => "vision_model.embeddings.patch_embedding.weight",
        "visual.positional_embedding" => "vision_model.embeddings.position_embedding.weight",
        "visual.ln_pre.weight" => "vision_model.pre_layrnorm.weight",
        "visual.ln_pre.bias" => "vision_model.pre_layrnorm.bias",
        "visual.ln_post.weight" => "vision_model.post_layernorm.weight",
        "visual.ln_post.bias" => "vision_model.post_layernorm.bias",
        "visual.proj" => "visual_projection.weight",
        "token_embedding.weight" => "text_model.embeddings.token_embedding.weight",
        "positional_embedding" => "text_model.embeddings.position_embedding.weight",
        "ln_final.weight" => "text_model.final_layer_norm.weight",
        "ln_final.bias" => "text_model.final_layer_norm.bias",
        "text_projection" => "text_projection.weight",
        // The causal mask, which early versions saved.
        "attn_mask" => return Ok(()),
        _ => key,
    };
    out.insert(name.to_owned(), if transposed { tensor.t()?.contiguous()? } else { tensor });
    Ok(())
}
