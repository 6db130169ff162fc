//! CLIP's image tower: a vision transformer whose output is its class token.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::config::VisionConfig;
use super::encoder::{Encoder, Norm, normal};
use crate::ops::linear;

/// `vision_model` of a checkpoint.
#[derive(Clone, Debug)]
pub struct VisionTower {
    patch_embedding: Tensor,
    class_embedding: Tensor,
    position_embedding: Tensor,
    pre_norm: Norm,
    encoder: Encoder,
    post_norm: Norm,
}

impl VisionTower {
    /// Builds the tower under the keys of `vision_model`.
    ///
    /// # Errors
    /// If a parameter is missing or has another shape.
    pub fn new(config: &VisionConfig, vb: VarBuilder) -> Result<Self> {
        let (width, patch, eps) = (config.hidden_size, config.patch_size, config.layer_norm_eps);
        let embeddings = vb.pp("embeddings");
        let patch_shape = (width, config.num_channels, patch, patch);
        Ok(Self {
            patch_embedding: embeddings.get_with_hints(
                patch_shape,
                "patch_embedding.weight",
                normal(0.02),
            )?,
            class_embedding: embeddings.get_with_hints(
                width,
                "class_embedding",
                normal((width as f64).powf(-0.5)),
            )?,
            position_embedding: embeddings.get_with_hints(
                (config.n_patches() + 1, width),
                "position_embedding.weight",
                normal(0.02),
            )?,
            pre_norm: Norm::new(width, eps, vb.pp("pre_layrnorm"))?,
            encoder: Encoder::new(config.layer_spec(), config.num_hidden_layers, vb.pp("encoder.layers"))?,
            post_norm: Norm::new(width, eps, vb.pp("post_layernorm"))?,
        })
    }

    /// The class token after the last norm, `[n, hidden_size]`, from the patches of [`crate::ops::patchify`],
    /// `[n, n_patches, 3 * patch_size²]`.
    ///
    /// # Errors
    /// If the patches do not fit the tower.
    pub fn forward(&self, patches: &Tensor) -> Result<Tensor> {
        self.post_norm.forward(&self.encoder.forward_first_token(&self.embed(patches)?)?)
    }

    /// [`Self::forward`], and the tokens of the patches after the last layer, `[n, n_patches, hidden_size]`.
    ///
    /// # Errors
    /// If the patches do not fit the tower.
    pub fn forward_with_tokens(&self, patches: &Tensor) -> Result<(Tensor, Tensor)> {
        let x = self.encoder.forward(&self.embed(patches)?)?;
        let pooled = self.post_norm.forward(&x.narrow(1, 0, 1)?.squeeze(1)?)?;
        Ok((pooled, x.narrow(1, 1, x.dim(1)? - 1)?))
    }

    /// Tokens of class and patches, the input of the first layer.
    fn embed(&self, patches: &Tensor) -> Result<Tensor> {
        let x = linear(patches, &self.patch_embedding.flatten_from(1)?)?;
        let (n, _, width) = x.dims3()?;
        let class = self.class_embedding.reshape((1, 1, width))?.broadcast_as((n, 1, width))?;
        let x = Tensor::cat(&[&class, &x], 1)?.broadcast_add(&self.position_embedding)?;
        self.pre_norm.forward(&x)
    }
}
