//! Image-text models loaded from checkpoints.

use candle_core::{DType, Tensor};
use candle_nn::VarBuilder;
use image::RgbImage;
use sayso_sim::render::DeviceFrames;
use sayso_sim::{FrameRequest, Frames, ImageSpec};
use serde_json::Value;

use super::open_clip::{self, OpenClipConfig};
use super::weights;
use crate::files::ModelFiles;
use crate::preprocess::{Fit, Preprocess, stack};
use crate::tokens::{Ending, PromptTokenizer};
use crate::towers::params::{Place, StrictTensors};
use crate::towers::{Clip, ClipConfig, Siglip, SiglipConfig, unit_rows};
use crate::{Embeddings, FrameReader, ImageTextModel, ModelDevice, Result, RewardError};

/// A CLIP or SigLIP checkpoint with its tokenizer and its preprocessing.
#[derive(Clone, Debug)]
pub struct CheckpointModel {
    towers: Towers,
    tokenizer: PromptTokenizer,
    preprocess: Preprocess,
    reader: FrameReader,
    embed_dim: usize,
}

#[derive(Clone, Debug)]
enum Towers {
    Clip(Box<Clip>),
    Siglip(Box<Siglip>),
}

const HUGGING_FACE: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];
const OPEN_CLIP: [&str; 3] =
    ["open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin"];

impl CheckpointModel {
    /// Loads a checkpoint in the format of Hugging Face (CLIP, SigLIP) or of `open_clip` (CLIP) onto `model_device`.
    ///
    /// # Errors
    /// Names the file, and the tensor or key, that is missing, unexpected, damaged, or inconsistent with the others.
    pub fn load(files: &ModelFiles, model_device: &ModelDevice) -> Result<Self> {
        let config: Option<Value> = files.json("config.json")?;
        let model_type = config.as_ref().and_then(|c| c.get("model_type")).and_then(Value::as_str);
        match (&config, model_type) {
            (Some(config), Some("clip")) => Self::load_clip(files, config, model_device),
            (Some(config), Some("siglip")) => Self::load_siglip(files, config, model_device),
            (Some(_), Some(other)) => {
                Err(files
                    .error("config.json", format!("model_type = '{other}'; expected 'clip' or 'siglip'")))
            }
            _ => match files.json::<OpenClipConfig>("open_clip_config.json")? {
                Some(config) => Self::load_open_clip(files, &config, model_device),
                None if config.is_some() => Err(files.error("config.json", "model_type is missing")),
                None => Err(files.error("config.json", "no such file, nor open_clip_config.json")),
            },
        }
    }

    fn load_clip(files: &ModelFiles, config: &Value, model_device: &ModelDevice) -> Result<Self> {
        let config: ClipConfig =
            serde_json::from_value(config.clone()).map_err(|error| files.error("config.json", error))?;
        let preprocess = hugging_face_preprocess(files, config.vision_config.image_size)?;
        let weights = Weights::load(files, &HUGGING_FACE, "config.json", Place::same)?;
        Self::from_clip(files, &config, preprocess, weights, model_device)
    }

    fn load_open_clip(
        files: &ModelFiles,
        config: &OpenClipConfig,
        model_device: &ModelDevice,
    ) -> Result<Self> {
        let clip_config = config.clip_config();
        let image_size = clip_config.vision_config.image_size;
        let preprocess = Preprocess::from_open_clip(&config.preprocess_cfg, image_size)
            .map_err(|reason| files.error("open_clip_config.json", reason))?;
        let weights = Weights::load(files, &OPEN_CLIP, "open_clip_config.json", open_clip::place_of)?;
        Self::from_clip(files, &clip_config, preprocess, weights, model_device)
    }

    fn from_clip(
        files: &ModelFiles,
        config: &ClipConfig,
        preprocess: Preprocess,
        weights: Weights,
        model_device: &ModelDevice,
    ) -> Result<Self> {
        let text = &config.text_config;
        let ending = if text.eos_token_id == 2 { Ending::Highest } else { Ending::Token(text.eos_token_id) };
        Ok(Self {
            towers: Towers::Clip(Box::new(weights.build(files, model_device, |vb| Clip::new(config, vb))?)),
            tokenizer: PromptTokenizer::load(files, text.vocab_size, text.max_position_embeddings, ending)?,
            reader: FrameReader::new(
                preprocess.spec.clone(),
                config.vision_config.patch_size,
                model_device.clone(),
            ),
            preprocess,
            embed_dim: config.projection_dim,
        })
    }

    fn load_siglip(files: &ModelFiles, config: &Value, model_device: &ModelDevice) -> Result<Self> {
        let config = SiglipConfig::from_json(config).map_err(|reason| files.error("config.json", reason))?;
        let preprocess = hugging_face_preprocess(files, config.vision.image_size)?;
        let weights = Weights::load(files, &HUGGING_FACE, "config.json", Place::same)?;
        let siglip = weights.build(files, model_device, |vb| Siglip::new(&config, vb))?;
        let text = &config.text;
        let ending = Ending::Padding { configured: config.pad_token_id };
        Ok(Self {
            towers: Towers::Siglip(Box::new(siglip)),
            tokenizer: PromptTokenizer::load(files, text.vocab_size, text.max_position_embeddings, ending)?,
            reader: FrameReader::new(preprocess.spec.clone(), config.vision.patch_size, model_device.clone()),
            preprocess,
            embed_dim: config.projection_size,
        })
    }

    /// The tokenizer of prompts.
    pub fn tokenizer(&self) -> &PromptTokenizer {
        &self.tokenizer
    }

    /// The preprocessing of images.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    fn embed_patches(&self, patches: &Tensor) -> Result<Tensor> {
        match &self.towers {
            Towers::Clip(clip) => clip.embed_images(patches),
            Towers::Siglip(siglip) => siglip.embed_images(patches),
        }
    }

    fn embed_tokens(&self, sequences: &[Vec<u32>]) -> Result<Tensor> {
        match &self.towers {
            Towers::Clip(clip) => {
                clip.embed_texts(&clip.token_batch(sequences, self.reader.model_device().device())?)
            }
            Towers::Siglip(siglip) => {
                let ids = sequences.concat();
                siglip.embed_texts(&Tensor::from_vec(
                    ids,
                    (sequences.len(), ()),
                    self.reader.model_device().device(),
                )?)
            }
        }
    }
}

impl ImageTextModel for CheckpointModel {
    fn image_spec(&self) -> &ImageSpec {
        &self.preprocess.spec
    }

    fn embed_dim(&self) -> usize {
        self.embed_dim
    }

    fn embed_frames(&self, frames: &Frames) -> Result<Embeddings> {
        let values = self.reader.embed(frames, |patches| self.embed_patches(patches))?;
        Ok(Embeddings::from_values(self.embed_dim, values))
    }

    fn frame_request(&self) -> FrameRequest {
        self.reader.request()
    }

    fn embed_device_frames(&self, frames: &DeviceFrames) -> Result<Embeddings> {
        let values = self.reader.embed_on_device(frames, |patches| self.embed_patches(patches))?;
        Ok(Embeddings::from_values(self.embed_dim, values))
    }

    fn embed_prompts(&self, prompts: &[String]) -> Result<Embeddings> {
        let sequences = prompts.iter().map(|p| self.tokenizer.encode(p)).collect::<Result<Vec<_>>>()?;
        let values =
            if sequences.is_empty() { Vec::new() } else { rows_of(&self.embed_tokens(&sequences)?)? };
        Ok(Embeddings::from_values(self.embed_dim, values))
    }

    fn prepare(&self, images: &[RgbImage], fit: Fit) -> Frames {
        let fitted: Vec<RgbImage> = images.iter().map(|image| self.preprocess.fit(image, fit)).collect();
        stack(&fitted, &self.preprocess.spec).unwrap_or_default()
    }
}

/// Rows of unit length, f32 in host memory.
fn rows_of(embeddings: &Tensor) -> Result<Vec<f32>> {
    Ok(unit_rows(&embeddings.to_dtype(DType::F32)?)?.flatten_all()?.to_vec1()?)
}

/// The tensors of a checkpoint, and the files that its errors name.
struct Weights {
    file: String,
    config_file: &'static str,
    tensors: StrictTensors,
}

impl Weights {
    /// Reads the first of `names` that exists. `place_of` is the file's naming of Hugging Face's parameters.
    fn load(
        files: &ModelFiles,
        names: &[&str],
        config_file: &'static str,
        place_of: fn(&str) -> Place,
    ) -> Result<Self> {
        let (file, tensors) = weights::load(files, names)?;
        Ok(Self { file, config_file, tensors: StrictTensors::new(tensors, place_of) })
    }

    /// Builds towers; a tensor that is missing or unused is an error.
    fn build<T>(
        self,
        files: &ModelFiles,
        model_device: &ModelDevice,
        build: impl FnOnce(VarBuilder) -> Result<T>,
    ) -> Result<T> {
        let vb = VarBuilder::from_backend(
            Box::new(self.tensors.clone()),
            model_device.dtype(),
            model_device.device().clone(),
        );
        let towers = build(vb).map_err(|error| match error {
            RewardError::Tensor(_) => files.error(&self.file, error),
            RewardError::OutOfRange { .. } => files.error(self.config_file, error),
            other => other,
        })?;
        match self.tensors.unused().as_slice() {
            [] => Ok(towers),
            [first, rest @ ..] => {
                let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
                Err(files.error(
                    &self.file,
                    format!("tensor '{first}'{more} is not part of the model that the config describes"),
                ))
            }
        }
    }
}

/// `preprocessor_config.json`, or the part of `processor_config.json` that recent versions write instead.
fn hugging_face_preprocess(files: &ModelFiles, image_size: usize) -> Result<Preprocess> {
    let file = "preprocessor_config.json";
    if let Some(json) = files.json::<Value>(file)? {
        return Preprocess::from_hugging_face(&json, image_size).map_err(|reason| files.error(file, reason));
    }
    let file = "processor_config.json";
    match files.json::<Value>(file)?.as_ref().and_then(|json| json.get("image_processor")) {
        Some(json) => {
            Preprocess::from_hugging_face(json, image_size).map_err(|reason| files.error(file, reason))
        }
        None => {
            Err(files.error("preprocessor_config.json", "no such file; it defines how images are normalised"))
        }
    }
}
