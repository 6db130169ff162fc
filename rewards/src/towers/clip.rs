//! CLIP: an image and a text tower, each with a projection into the shared space.

use std::sync::PoisonError;

use candle_core::{DType, Device, Tensor};
use candle_nn::{Init, VarBuilder, VarMap};

use super::config::ClipConfig;
use super::encoder::normal;
use super::params::SeededVars;
use super::text::{TextTower, TokenBatch};
use super::vision::VisionTower;
use crate::Result;
pub use crate::checkpoint::save_weights;
use crate::ops::linear;

/// The towers of a checkpoint, or of a model in training.
#[derive(Clone, Debug)]
pub struct Clip {
    config: ClipConfig,
    vision: VisionTower,
    text: TextTower,
    visual_projection: Tensor,
    text_projection: Tensor,
    logit_scale: Tensor,
}

impl Clip {
    /// Builds the towers under Hugging Face's keys from the parameters of `vb`.
    ///
    /// # Errors
    /// If the config is out of range, or a parameter is missing or has another shape.
    pub fn new(config: &ClipConfig, vb: VarBuilder) -> Result<Self> {
        config.validate()?;
        let (vision_width, text_width) = (config.vision_config.hidden_size, config.text_config.hidden_size);
        let project = |width: usize, name: &str| {
            vb.get_with_hints((config.projection_dim, width), name, normal((width as f64).powf(-0.5)))
        };
        Ok(Self {
            vision: VisionTower::new(&config.vision_config, vb.pp("vision_model"))?,
            text: TextTower::new(&config.text_config, vb.pp("text_model"))?,
            visual_projection: project(vision_width, "visual_projection.weight")?,
            text_projection: project(text_width, "text_projection.weight")?,
            logit_scale: vb.get_with_hints((), "logit_scale", Init::Const(config.logit_scale_init_value))?,
            config: config.clone(),
        })
    }

    /// Towers whose parameters are the variables of `vars`, f32. A missing variable is added and sampled with `seed` from
    /// CLIP's initial distribution; an existing one is kept, so that training can resume.
    ///
    /// # Errors
    /// If the config is out of range, or `vars` holds a variable of another shape.
    pub fn trainable(config: &ClipConfig, vars: &VarMap, seed: u64, device: &Device) -> Result<Self> {
        let backend = Box::new(SeededVars::new(vars, seed));
        Self::new(config, VarBuilder::from_backend(backend, DType::F32, device.clone()))
    }

    /// Untrained towers with constant weights, sampled with `seed` from CLIP's initial distributions: for benchmarks.
    ///
    /// # Errors
    /// If the config is out of range, or the device fails.
    pub fn with_random_weights(
        config: &ClipConfig,
        seed: u64,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let vars = VarMap::new();
        Self::trainable(config, &vars, seed, &Device::Cpu)?;
        // Variables would keep the intermediate results that gradients need.
        let weights = {
            let vars = vars.data().lock().unwrap_or_else(PoisonError::into_inner);
            vars.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect()
        };
        Self::new(config, VarBuilder::from_tensors(weights, dtype, device))
    }

    /// The configuration of the towers.
    pub fn config(&self) -> &ClipConfig {
        &self.config
    }

    /// Pooled image features, `[n, vision_config.hidden_size]`: after the last norm, before the projection. The input is the
    /// patches of [`crate::ops::patchify`].
    ///
    /// # Errors
    /// If the patches do not fit the tower.
    pub fn image_features(&self, patches: &Tensor) -> Result<Tensor> {
        Ok(self.vision.forward(patches)?)
    }

    /// [`Self::image_features`], and the tokens of the patches after the last layer, `[n, n_patches, hidden_size]`: for
    /// training signals about positions.
    ///
    /// # Errors
    /// If the patches do not fit the tower.
    pub fn image_features_and_tokens(&self, patches: &Tensor) -> Result<(Tensor, Tensor)> {
        Ok(self.vision.forward_with_tokens(patches)?)
    }

    /// Embeddings of [`Self::image_features`], `[n, projection_dim]`, not normalised.
    ///
    /// # Errors
    /// If the widths do not fit.
    pub fn project_image(&self, features: &Tensor) -> Result<Tensor> {
        Ok(linear(features, &self.visual_projection)?)
    }

    /// Embeddings of patches, `[n, projection_dim]`, not normalised.
    ///
    /// # Errors
    /// If the patches do not fit the tower.
    pub fn embed_images(&self, patches: &Tensor) -> Result<Tensor> {
        self.project_image(&self.image_features(patches)?)
    }

    /// Makes a batch for [`Self::embed_texts`] of token sequences, which include start and end tokens.
    ///
    /// # Errors
    /// If there is no sequence, or one is empty.
    pub fn token_batch(&self, sequences: &[Vec<u32>], device: &Device) -> Result<TokenBatch> {
        Ok(self.text.batch(sequences, device)?)
    }

    /// Pooled text features, `[n, text_config.hidden_size]`: after the last norm, before the projection.
    ///
    /// # Errors
    /// If a token is outside the vocabulary or a sequence is too long.
    pub fn text_features(&self, batch: &TokenBatch) -> Result<Tensor> {
        Ok(self.text.forward(batch)?)
    }

    /// Embeddings of texts, `[n, projection_dim]`, not normalised.
    ///
    /// # Errors
    /// If a token is outside the vocabulary or a sequence is too long.
    pub fn embed_texts(&self, batch: &TokenBatch) -> Result<Tensor> {
        Ok(linear(&self.text_features(batch)?, &self.text_projection)?)
    }

    /// Natural logarithm of the factor on cosines in the training loss, a scalar.
    pub fn logit_scale(&self) -> &Tensor {
        &self.logit_scale
    }
}

/// Scales the rows to unit length.
///
/// # Errors
/// If the device fails.
pub fn unit_rows(x: &Tensor) -> Result<Tensor> {
    Ok(x.broadcast_div(&x.sqr()?.sum_keepdim(candle_core::D::Minus1)?.sqrt()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Activation;
    use crate::towers::config::{TextConfig, VisionConfig};

    fn small() -> ClipConfig {
        ClipConfig {
            projection_dim: 16,
            text_config: TextConfig {
                vocab_size: 20,
                hidden_size: 24,
                intermediate_size: 48,
                num_hidden_layers: 2,
                num_attention_heads: 3,
                max_position_embeddings: 8,
                hidden_act: Activation::Gelu,
                eos_token_id: 1,
                ..TextConfig::default()
            },
            vision_config: VisionConfig {
                hidden_size: 32,
                intermediate_size: 64,
                num_hidden_layers: 2,
                num_attention_heads: 2,
                image_size: 16,
                patch_size: 8,
                ..VisionConfig::default()
            },
            ..ClipConfig::default()
        }
    }

    #[test]
    fn every_variable_gets_a_gradient_and_a_step_lowers_the_loss() -> Result<()> {
        let vars = VarMap::new();
        let clip = Clip::trainable(&small(), &vars, 3, &Device::Cpu)?;
        let pixels: Vec<f32> = (0..2 * 4 * 192).map(|i| (i as f32 * 0.37).sin()).collect();
        let patches = Tensor::from_vec(pixels, (2, 4, 192), &Device::Cpu)?;
        let tokens = clip.token_batch(&[vec![0, 5, 1], vec![0, 7, 9, 1]], &Device::Cpu)?;
        let loss = || -> Result<Tensor> {
            let images = unit_rows(&clip.embed_images(&patches)?)?;
            let texts = unit_rows(&clip.embed_texts(&tokens)?)?;
            let logits = images.matmul(&texts.t()?)?.broadcast_mul(&clip.logit_scale().exp()?)?;
            let targets = Tensor::new(&[0u32, 1], &Device::Cpu)?;
            Ok(candle_nn::loss::cross_entropy(&logits, &targets)?)
        };
        let before = loss()?;
        let grads = before.backward()?;
        for var in vars.all_vars() {
            let Some(grad) = grads.get(&var) else {
                panic!("no gradient for a variable of {:?}", var.shape())
            };
            var.set(&(var.as_tensor() - (grad * 1e-3)?)?)?;
        }
        assert!(loss()?.to_scalar::<f32>()? < before.to_scalar::<f32>()?);
        Ok(())
    }

    #[test]
    fn the_same_seed_gives_the_same_towers() -> Result<()> {
        let embed = |seed: u64| -> Result<Vec<f32>> {
            let clip = Clip::trainable(&small(), &VarMap::new(), seed, &Device::Cpu)?;
            Ok(clip
                .embed_images(&Tensor::ones((1, 4, 192), DType::F32, &Device::Cpu)?)?
                .flatten_all()?
                .to_vec1()?)
        };
        assert_eq!(embed(1)?, embed(1)?);
        assert_ne!(embed(1)?, embed(2)?);
        Ok(())
    }

    #[test]
    fn a_config_out_of_range_names_its_field() {
        let mut config = small();
        config.text_config.num_attention_heads = 5;
        let error = Clip::trainable(&config, &VarMap::new(), 0, &Device::Cpu).err().map(|e| e.to_string());
        assert!(error.is_some_and(|e| e.contains("text_config.num_attention_heads = 5")));
    }
}
