//! CLIP's image tower ViT-B/32 with random weights: ours, and candle-transformers'.

use candle_core::{DType, Device, Tensor};
use candle_nn::{VarBuilder, VarMap};
use candle_transformers::models::clip::text_model::Activation;
use candle_transformers::models::clip::vision_model::{ClipVisionConfig, ClipVisionTransformer};
use sayso_rewards::{Clip, ClipConfig};

use crate::pair;

const BATCH: usize = 16;

pub fn compare() -> anyhow::Result<()> {
    let device = &Device::Cpu;
    let clip = Clip::with_random_weights(&ClipConfig::default(), 0, DType::F32, device)?;
    let patches = Tensor::randn(0f32, 1.0, (BATCH, 49, 3 * 32 * 32), device)?;
    let config = ClipVisionConfig {
        embed_dim: 768,
        activation: Activation::QuickGelu,
        intermediate_size: 3072,
        num_hidden_layers: 12,
        num_attention_heads: 12,
        projection_dim: 512,
        num_channels: 3,
        image_size: 224,
        patch_size: 32,
    };
    let vars = VarMap::new();
    let theirs = ClipVisionTransformer::new(VarBuilder::from_varmap(&vars, DType::F32, device), &config)?;
    let pixels = Tensor::randn(0f32, 1.0, (BATCH, 3, 224, 224), device)?;
    let run_ours = || {
        std::hint::black_box(clip.embed_images(&patches)?);
        Ok(())
    };
    let run_theirs = || {
        use candle_nn::Module as _;
        std::hint::black_box(theirs.forward(&pixels)?);
        Ok(())
    };
    pair("CLIP ViT-B/32, batches of 16", "candle-transformers", Box::new(run_ours), Box::new(run_theirs))
}
