//! The training loop: render, embed, compute the losses, update, save.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarMap;
use crossbeam_channel::bounded;
use sayso_envs::Task;
use sayso_rewards::nn::{self, Adam, Linear, Parameters};
use sayso_rewards::ops::{Activation, patchify};
use sayso_rewards::towers::{Clip, ClipConfig, TextConfig, VisionConfig, unit_rows};
use sayso_rewards::{Preprocess, save_clip};
use sayso_sim::ImageSpec;
use serde::Serialize;

use crate::catalogue::{CONTEXT, Catalogue};
use crate::config::{HEAD_WIDTH, PretrainConfig};
use crate::images::{ImageBatch, ImageSource, phrase, tasks};
use crate::objective::losses;
use crate::saved::{CHECKPOINT, Saved};
use crate::{PretrainError, Result};

/// Largest norm of a step's gradient.
const MAX_GRAD_NORM: f64 = 1.0;

/// Statistics of a step, passed to the observer of [`Pretraining::run`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PretrainReport {
    /// Number of steps so far.
    pub n_steps: u64,
    /// Total number of steps.
    pub total_steps: u64,
    /// Training images per second, rendering included.
    pub images_per_sec: f64,
    /// Contrastive loss of this step.
    pub contrastive: f32,
    /// Cross-entropy over the levels of the axes.
    pub axes: f32,
    /// Mean squared error of an image's position between the first and the last level of an axis, in cosines.
    pub order: f32,
    /// Mean squared error of the auxiliary head's positions on axes, in units of an axis's length.
    pub positions: f32,
    /// Mean squared error of its landmark coordinates, in the units of [`crate::images::project`].
    pub landmarks: f32,
    /// Cross-entropy over the patches of the position of each landmark.
    pub patches: f32,
    /// Learning rate of this step.
    pub learning_rate: f64,
}

/// A pretraining run: the towers, the optimiser and the progress.
pub struct Pretraining {
    config: PretrainConfig,
    catalogue: Catalogue,
    tasks: Vec<Box<dyn Task>>,
    clip: Clip,
    vars: VarMap,
    head: Linear,
    patch_head: Linear,
    parameters: Parameters,
    adam: Adam,
    n_steps: u64,
    earlier: Vec<PretrainConfig>,
}

impl Pretraining {
    /// A run with new weights.
    ///
    /// # Errors
    /// If a field of the config is out of its range or a task is unknown.
    pub fn new(config: PretrainConfig) -> Result<Self> {
        config.validate()?;
        let tasks = tasks(&config)?;
        let specs: Vec<_> = tasks.iter().map(|t| t.spec()).collect();
        let catalogue = Catalogue::new(&specs);
        let device = Device::Cpu;
        let vars = VarMap::new();
        let clip = Clip::trainable(&clip_config(&config, &catalogue), &vars, config.seed, &device)?;
        let mut parameters = Parameters::default();
        let mut named: Vec<(String, Var)> = {
            let data = vars.data().lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            data.iter().map(|(name, var)| (name.clone(), var.clone())).collect()
        };
        named.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, var) in named {
            parameters.add(name, var);
        }
        let mut rng = sayso_sim::seed::stream(&[config.seed, HEAD]);
        let shape = (config.width, catalogue.axes.len() + 3 * catalogue.n_landmarks());
        let activation = nn::Activation::Identity;
        let head = Linear::new(&mut parameters, "auxiliary_head", shape, activation, 1.0, &mut rng, &device)?;
        let shape = (config.width, catalogue.n_landmarks());
        let patch_head =
            Linear::new(&mut parameters, "auxiliary_patch_head", shape, activation, 1.0, &mut rng, &device)?;
        let adam = Adam::new(&parameters)?;
        Ok(Self {
            config,
            catalogue,
            tasks,
            clip,
            vars,
            head,
            patch_head,
            parameters,
            adam,
            n_steps: 0,
            earlier: Vec::new(),
        })
    }

    /// Resumes from the checkpoint in the folder of a run.
    ///
    /// # Errors
    /// If it is missing or damaged, or its tensors do not fit its configuration.
    pub fn resume(folder: &Path) -> Result<Self> {
        let saved = Saved::load(&folder.join(CHECKPOINT))?;
        let mut training = Self::new(saved.config.clone())?;
        let mut moments = Vec::new();
        for (name, var) in training.parameters.iter() {
            var.set(&saved.tensor(name, var.dims())?)?;
            moments.push(saved.tensor(&format!("{name}.adam"), &[2, var.elem_count()])?);
        }
        training.adam.set_state(moments, saved.n_steps);
        training.n_steps = saved.n_steps;
        training.earlier = saved.earlier;
        Ok(training)
    }

    /// A new run that starts from the weights of another one, heads included: to continue with other images or other
    /// settings.
    ///
    /// # Errors
    /// If a field of the config is out of its range, or the weights in the folder do not fit it.
    pub fn starting_from(config: PretrainConfig, folder: &Path) -> Result<Self> {
        let saved = Saved::load(&folder.join(CHECKPOINT))?;
        let mut training = Self::new(config)?;
        for (name, var) in training.parameters.iter() {
            var.set(&saved.tensor(name, var.dims())?)?;
        }
        training.earlier = saved.earlier;
        training.earlier.push(saved.config);
        Ok(training)
    }

    /// The configuration of the pretraining whose checkpoint is in a folder.
    ///
    /// # Errors
    /// If the checkpoint is missing or damaged.
    pub fn saved_config(folder: &Path) -> Result<PretrainConfig> {
        Ok(Saved::load(&folder.join(CHECKPOINT))?.config)
    }

    /// Configurations of the runs that trained the weights before this one, oldest first.
    pub fn earlier(&self) -> &[PretrainConfig] {
        &self.earlier
    }

    /// The configuration.
    pub fn config(&self) -> &PretrainConfig {
        &self.config
    }

    /// Captions and vocabulary of the tasks.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The tasks whose images are trained on.
    pub fn tasks(&self) -> &[Box<dyn Task>] {
        &self.tasks
    }

    /// Number of steps so far.
    pub fn n_steps(&self) -> u64 {
        self.n_steps
    }

    /// Number of parameters of the exported model; the auxiliary heads are not counted.
    pub fn n_parameters(&self) -> usize {
        self.vars.all_vars().iter().map(|var| var.elem_count()).sum()
    }

    /// Trains to the end, or until the observer returns `Break`; saves a checkpoint into `folder` every
    /// [`PretrainConfig::checkpoint_every`] steps and at the end.
    ///
    /// The next batch is rendered while the current one is trained on.
    ///
    /// # Errors
    /// If a gradient is NaN or infinite, or a checkpoint cannot be written.
    pub fn run(
        &mut self,
        folder: &Path,
        mut observer: impl FnMut(&PretrainReport) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut source = ImageSource::new(&self.config, &self.tasks, &self.catalogue)?;
        let (first, total) = (self.n_steps, self.config.n_steps());
        std::thread::scope(|scope| {
            let (sender, receiver) = bounded::<ImageBatch>(1);
            scope.spawn(move || {
                for batch_idx in first..total {
                    if sender.send(source.render(batch_idx)).is_err() {
                        return;
                    }
                }
            });
            let mut started = Instant::now();
            for batch in receiver {
                let mut report = self.learn(&batch)?;
                report.images_per_sec = self.config.batch_size as f64 / started.elapsed().as_secs_f64();
                started = Instant::now();
                let flow = observer(&report);
                let is_end = self.n_steps == total || flow.is_break();
                if is_end || self.n_steps.is_multiple_of(self.config.checkpoint_every) {
                    self.save(folder)?;
                }
                if flow.is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    fn learn(&mut self, batch: &ImageBatch) -> Result<PretrainReport> {
        let device = Device::Cpu;
        let step = self.n_steps;
        let (frames, spec) = (&batch.frames, image_spec(&self.config));
        let patches =
            patchify(frames, 0..frames.n_views(), &spec, self.config.patch_size, DType::F32, &device)?;
        let (features, patch_tokens) = self.clip.image_features_and_tokens(&patches)?;
        let images = unit_rows(&self.clip.project_image(&features)?)?;
        let phrases = phrase(&self.catalogue, self.config.seed, step);
        let kept: Vec<u32> = (0..self.catalogue.captions.len() as u32)
            .filter(|&idx| !self.catalogue.captions[idx as usize].is_held_out)
            .collect();
        let tokens: Vec<_> = kept.iter().map(|&idx| self.catalogue.encode(&phrases[idx as usize])).collect();
        let texts = unit_rows(&self.clip.embed_texts(&self.clip.token_batch(&tokens, &device)?)?)?;
        let n_captions = self.catalogue.captions.len();
        let truth = Tensor::from_slice(&batch.truth, (batch.frames.n_views(), n_captions), &device)?;
        let n_coordinates = 3 * self.catalogue.n_landmarks();
        let landmarks =
            Tensor::from_slice(&batch.landmarks, (batch.frames.n_views(), n_coordinates), &device)?;
        let answers = self.head.forward(&features)?;
        let (n, n_patches, width) = patch_tokens.dims3()?;
        let patch_logits =
            self.patch_head.forward(&patch_tokens.contiguous()?.reshape((n * n_patches, width))?)?;
        let patch_logits = patch_logits.reshape((n, n_patches, ()))?;
        let parts = losses(
            &self.catalogue,
            &kept,
            (&images, &texts),
            self.clip.logit_scale(),
            (&truth, &landmarks),
            (&answers, &patch_logits),
        )?;
        // The squared errors are of fractions, so they are small compared with the cross-entropies.
        let retrieval = ((&parts.contrastive + &parts.axes)? + (&parts.order * 10.0)?)?;
        let auxiliary = (((&parts.positions * 20.0)? + (&parts.landmarks * 10.0)?)? + &parts.patches)?;
        let auxiliary = (auxiliary * self.config.auxiliary_weight)?;
        let loss = (retrieval + auxiliary)?;
        let grads = loss.backward()?;
        let learning_rate = self.config.learning_rate_at(step);
        let norm = self.adam.step(&grads, learning_rate, MAX_GRAD_NORM)?;
        if !norm.is_finite() {
            return Err(PretrainError::NonFinite { step });
        }
        self.n_steps += 1;
        Ok(PretrainReport {
            n_steps: self.n_steps,
            total_steps: self.config.n_steps(),
            images_per_sec: 0.0,
            contrastive: parts.contrastive.to_scalar()?,
            axes: parts.axes.to_scalar()?,
            order: parts.order.to_scalar()?,
            positions: parts.positions.to_scalar()?,
            landmarks: parts.landmarks.to_scalar()?,
            patches: parts.patches.to_scalar()?,
            learning_rate,
        })
    }

    /// Writes the checkpoint, atomically.
    fn save(&self, folder: &Path) -> Result<()> {
        let (moments, _) = self.adam.state();
        let mut tensors = HashMap::new();
        for ((name, var), moments) in self.parameters.iter().zip(moments) {
            tensors.insert(name.to_owned(), var.as_tensor().clone());
            tensors.insert(format!("{name}.adam"), moments.clone());
        }
        let saved = Saved {
            config: self.config.clone(),
            n_steps: self.n_steps,
            earlier: self.earlier.clone(),
            tensors,
        };
        saved.save(&folder.join(CHECKPOINT))
    }

    /// Writes the model in Hugging Face form: `config.json`, `preprocessor_config.json`, `tokenizer.json`,
    /// `model.safetensors`. The auxiliary heads are left out.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn export(&self, folder: &Path) -> Result<()> {
        let preprocess = Preprocess::squashing(image_spec(&self.config));
        let tokenizer = format!("{:#}\n", self.catalogue.tokenizer_json());
        Ok(save_clip(folder, self.clip.config(), &preprocess, &tokenizer, &self.vars)?)
    }
}

/// Keeps the random stream of the heads apart from that of the images.
const HEAD: u64 = 0x6865_6164;

/// Size and normalisation of images: the mean and standard deviation are closer to the simulator's images than CLIP's.
fn image_spec(config: &PretrainConfig) -> ImageSpec {
    ImageSpec { height: config.image_size, width: config.image_size, mean: [0.5; 3], std: [0.25; 3] }
}

fn clip_config(config: &PretrainConfig, catalogue: &Catalogue) -> ClipConfig {
    ClipConfig {
        projection_dim: config.embed_dim,
        vision_config: VisionConfig {
            hidden_size: config.width,
            intermediate_size: 4 * config.width,
            num_hidden_layers: config.n_layers,
            num_attention_heads: config.width / HEAD_WIDTH,
            image_size: config.image_size,
            patch_size: config.patch_size,
            hidden_act: Activation::QuickGelu,
            ..VisionConfig::default()
        },
        text_config: TextConfig {
            vocab_size: catalogue.vocab_size(),
            hidden_size: config.text_width,
            intermediate_size: 4 * config.text_width,
            num_hidden_layers: config.n_text_layers,
            num_attention_heads: config.text_width / HEAD_WIDTH,
            max_position_embeddings: CONTEXT,
            hidden_act: Activation::QuickGelu,
            eos_token_id: Catalogue::END,
            ..TextConfig::default()
        },
        ..ClipConfig::default()
    }
}
