//! SigLIP: CLIP's towers without class token, projection and causal mask. The output of the image tower is pooled by
//! attention with one learnt query; the output of the text tower is its last token.

use candle_core::{Result as TensorResult, Tensor};
use candle_nn::{Init, VarBuilder};
use serde_json::{Value, json};

use super::config::{TextConfig, VisionConfig};
use super::encoder::{Encoder, Norm, normal};
use crate::Result;
use crate::ops::{Activation, linear};

/// `config.json` of a SigLIP checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct SiglipConfig {
    /// The text tower; `eos_token_id` has no meaning.
    pub text: TextConfig,
    /// The image tower.
    pub vision: VisionConfig,
    /// Width that the text tower projects to, which is the width of the image tower.
    pub projection_size: usize,
    /// Token that pads a text to the context length, if the config names one. Only the tokenizer's files know it for
    /// certain: `transformers` ignores this field, and often writes its default.
    pub pad_token_id: Option<u32>,
}

impl SiglipConfig {
    /// Reads a `config.json`; missing fields have the defaults of Hugging Face's `SiglipConfig`.
    ///
    /// # Errors
    /// Names the field that is malformed or not supported.
    pub fn from_json(json: &Value) -> std::result::Result<Self, String> {
        let tower = |key: &str, defaults: Value| {
            let mut merged = defaults;
            if let (Some(merged), Some(given)) =
                (merged.as_object_mut(), json.get(key).and_then(Value::as_object))
            {
                // Checkpoints may contain CLIP's end token, which SigLIP does not use.
                let given = given.iter().filter(|(k, v)| *k != "eos_token_id" && !v.is_null());
                merged.extend(given.map(|(k, v)| (k.clone(), v.clone())));
            }
            merged
        };
        let text = tower(
            "text_config",
            json!({ "vocab_size": 32000, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
                    "num_attention_heads": 12, "max_position_embeddings": 64, "hidden_act": "gelu_pytorch_tanh",
                    "layer_norm_eps": 1e-6 }),
        );
        let vision = tower(
            "vision_config",
            json!({ "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
                    "num_attention_heads": 12, "num_channels": 3, "image_size": 224, "patch_size": 16,
                    "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6 }),
        );
        if vision.get("vision_use_head") == Some(&Value::Bool(false)) {
            return Err("vision_config.vision_use_head = false; expected true".into());
        }
        let number = |key: &str| text.get(key).and_then(Value::as_u64);
        let projection_size = number("projection_size");
        let pad_token_id = match text.get("pad_token_id") {
            None => None,
            Some(value) => {
                let token = value.as_u64().and_then(|token| u32::try_from(token).ok());
                let token = token
                    .ok_or_else(|| format!("text_config.pad_token_id = {value}; expected a token number"));
                Some(token?)
            }
        };
        let text: TextConfig = serde_json::from_value(text).map_err(|e| format!("text_config: {e}"))?;
        let vision = serde_json::from_value(vision).map_err(|e| format!("vision_config: {e}"))?;
        let projection_size = projection_size.map_or(text.hidden_size, |size| size as usize);
        Ok(Self { text, vision, projection_size, pad_token_id })
    }
}

/// The towers of a checkpoint.
#[derive(Clone, Debug)]
pub struct Siglip {
    patch_weight: Tensor,
    patch_bias: Tensor,
    patch_positions: Tensor,
    vision: Encoder,
    post_norm: Norm,
    pool: AttentionPool,
    token_embedding: Tensor,
    token_positions: Tensor,
    text: Encoder,
    final_norm: Norm,
    text_head: Linear,
}

impl Siglip {
    /// Builds the towers under Hugging Face's keys.
    ///
    /// # Errors
    /// If the config is out of range, or a parameter is missing or has another shape.
    pub fn new(config: &SiglipConfig, vb: VarBuilder) -> Result<Self> {
        config.text.validate()?;
        config.vision.validate()?;
        // Scale and bias of the training loss: part of every checkpoint, not used by a reward.
        for name in ["logit_scale", "logit_bias"] {
            vb.get(1, name)?;
        }
        let (text, vision) = (&config.text, &config.vision);
        let (vb_text, vb_vision) = (vb.pp("text_model"), vb.pp("vision_model"));
        let (width, patch, eps) = (vision.hidden_size, vision.patch_size, vision.layer_norm_eps);
        let embed = |vb: &VarBuilder, shape: (usize, usize), name: &str| {
            vb.get_with_hints(shape, &format!("embeddings.{name}.weight"), normal(0.02))
        };
        let text_spec = crate::ops::LayerSpec { causal: false, ..text.layer_spec() };
        Ok(Self {
            patch_weight: vb_vision.get_with_hints(
                (width, 3, patch, patch),
                "embeddings.patch_embedding.weight",
                normal(0.02),
            )?,
            patch_bias: vb_vision.get_with_hints(
                width,
                "embeddings.patch_embedding.bias",
                Init::Const(0.0),
            )?,
            patch_positions: embed(&vb_vision, (vision.n_patches(), width), "position_embedding")?,
            vision: Encoder::new(
                vision.layer_spec(),
                vision.num_hidden_layers,
                vb_vision.pp("encoder.layers"),
            )?,
            post_norm: Norm::new(width, eps, vb_vision.pp("post_layernorm"))?,
            pool: AttentionPool::new(vision, vb_vision.pp("head"))?,
            token_embedding: embed(&vb_text, (text.vocab_size, text.hidden_size), "token_embedding")?,
            token_positions: embed(
                &vb_text,
                (text.max_position_embeddings, text.hidden_size),
                "position_embedding",
            )?,
            text: Encoder::new(text_spec, text.num_hidden_layers, vb_text.pp("encoder.layers"))?,
            final_norm: Norm::new(text.hidden_size, text.layer_norm_eps, vb_text.pp("final_layer_norm"))?,
            text_head: Linear::new(text.hidden_size, config.projection_size, vb_text.pp("head"))?,
        })
    }

    /// Embeddings of the patches of [`crate::ops::patchify`], `[n, hidden_size]`, not normalised.
    ///
    /// # Errors
    /// If the patches do not fit the tower.
    pub fn embed_images(&self, patches: &Tensor) -> Result<Tensor> {
        let x = linear(patches, &self.patch_weight.flatten_from(1)?)?;
        let x = x.broadcast_add(&self.patch_positions.broadcast_add(&self.patch_bias)?)?;
        Ok(self.pool.forward(&self.post_norm.forward(&self.vision.forward(&x)?)?)?)
    }

    /// Embeddings of texts, `[n, projection_size]`, not normalised. `ids` are `[n, max_position_embeddings]` u32.
    ///
    /// # Errors
    /// If a token is outside the vocabulary or the length differs.
    pub fn embed_texts(&self, ids: &Tensor) -> Result<Tensor> {
        let (n, n_tokens) = ids.dims2()?;
        let tokens = self.token_embedding.index_select(&ids.flatten_all()?, 0)?;
        let x = tokens.reshape((n, n_tokens, ()))?.broadcast_add(&self.token_positions)?;
        let last = self.text.forward(&x)?.narrow(1, n_tokens - 1, 1)?.squeeze(1)?;
        Ok(self.text_head.forward(&self.final_norm.forward(&last)?)?)
    }
}

/// A linear layer with bias.
#[derive(Clone, Debug)]
struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    fn new(n_in: usize, n_out: usize, vb: VarBuilder) -> TensorResult<Self> {
        let weight = vb.get_with_hints((n_out, n_in), "weight", normal((n_in as f64).powf(-0.5)))?;
        Ok(Self { weight, bias: vb.get_with_hints(n_out, "bias", Init::Const(0.0))? })
    }

    fn forward(&self, x: &Tensor) -> TensorResult<Tensor> {
        linear(x, &self.weight)?.broadcast_add(&self.bias)
    }
}

/// Attention with one learnt query, then a residual MLP.
#[derive(Clone, Debug)]
struct AttentionPool {
    probe: Tensor,
    in_proj: Linear,
    out_proj: Linear,
    norm: Norm,
    fc1: Linear,
    fc2: Linear,
    activation: Activation,
    n_heads: usize,
}

impl AttentionPool {
    fn new(config: &VisionConfig, vb: VarBuilder) -> TensorResult<Self> {
        let (width, mlp_width) = (config.hidden_size, config.intermediate_size);
        let attention = vb.pp("attention");
        let std = normal((width as f64).powf(-0.5));
        Ok(Self {
            probe: vb.get_with_hints((1, 1, width), "probe", std)?,
            in_proj: Linear {
                weight: attention.get_with_hints((3 * width, width), "in_proj_weight", std)?,
                bias: attention.get_with_hints(3 * width, "in_proj_bias", Init::Const(0.0))?,
            },
            out_proj: Linear::new(width, width, attention.pp("out_proj"))?,
            norm: Norm::new(width, config.layer_norm_eps, vb.pp("layernorm"))?,
            fc1: Linear::new(width, mlp_width, vb.pp("mlp.fc1"))?,
            fc2: Linear::new(mlp_width, width, vb.pp("mlp.fc2"))?,
            activation: config.hidden_act,
            n_heads: config.num_attention_heads,
        })
    }

    /// `[n, n_tokens, width]` to `[n, width]`.
    fn forward(&self, x: &Tensor) -> TensorResult<Tensor> {
        let (n, n_tokens, width) = x.dims3()?;
        let head_dim = width / self.n_heads;
        let part = |i: usize, n_parts: usize| -> TensorResult<Linear> {
            Ok(Linear {
                weight: self.in_proj.weight.narrow(0, i * width, n_parts * width)?,
                bias: self.in_proj.bias.narrow(0, i * width, n_parts * width)?,
            })
        };
        let query = part(0, 1)?.forward(&self.probe.reshape((1, width))?)?;
        let query = (query.reshape((1, self.n_heads, 1, head_dim))? * (head_dim as f64).powf(-0.5))?;
        let query = query.broadcast_as((n, self.n_heads, 1, head_dim))?.contiguous()?;
        let key_value = part(1, 2)?.forward(x)?.reshape((n, n_tokens, 2, self.n_heads, head_dim))?;
        let key_value = key_value.permute((2, 0, 3, 1, 4))?;
        let (key, value) = (key_value.get(0)?.contiguous()?, key_value.get(1)?.contiguous()?);
        let probs = candle_nn::ops::softmax_last_dim(&query.matmul(&key.t()?)?)?;
        let mixed = probs.matmul(&value)?.reshape((n, width))?;
        let pooled = self.out_proj.forward(&mixed)?;
        let hidden = self.activation.apply(&self.fc1.forward(&self.norm.forward(&pooled)?)?)?;
        pooled + self.fc2.forward(&hidden)?
    }
}
