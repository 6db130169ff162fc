//! Training data: images of sampled states, with the ground truth of each.

use std::ops::Range;

use rand::Rng as _;
use rand::seq::IndexedRandom as _;
use rayon::prelude::*;
use sayso_envs::{Task, TaskInstance, registry};
use sayso_sim::math::Vec3;
use sayso_sim::render::{CpuRenderer, Outputs, RenderScene, RenderSpec, RenderTarget, Samples, View};
use sayso_sim::{CameraIdx, Frames, PreparedScene, SimWorld, seed};

use crate::Result;
use crate::catalogue::{CONTEXT, Catalogue};
use crate::config::PretrainConfig;

/// Renders the batches. A batch depends on the seed and its index alone.
pub struct ImageSource {
    seed: u64,
    slots: Vec<Slot>,
    renderer: CpuRenderer,
    spec: RenderSpec,
    n_captions: usize,
    n_landmarks: usize,
}

/// One image of every batch, rendered from a world of one task.
struct Slot {
    world: SimWorld,
    instance: Box<dyn TaskInstance>,
    cameras: Vec<CameraIdx>,
    first_caption: usize,
    n_captions: usize,
    landmarks: Range<usize>,
}

/// Images and their ground truth.
#[derive(Clone, Debug, Default)]
pub struct ImageBatch {
    /// `[n, image_size, image_size, 3]` u8, RGB.
    pub frames: Frames,
    /// `[n, n_captions]` f32: degree of truth of every caption of the catalogue.
    pub truth: Vec<f32>,
    /// `[n, 3 * n_landmarks]` f32: position of each landmark in the image, see [`project`]; NaN where it is absent or out of
    /// view.
    pub landmarks: Vec<f32>,
}

impl ImageSource {
    /// Creates the worlds: each task gets its share of the slots.
    ///
    /// # Errors
    /// If a task or one of its options is unknown.
    pub fn new(config: &PretrainConfig, tasks: &[Box<dyn Task>], catalogue: &Catalogue) -> Result<Self> {
        let total: f64 = config.tasks.iter().map(|t| t.share).sum();
        let mut slots = Vec::with_capacity(config.batch_size);
        let mut share_so_far = 0.0;
        for (task_idx, task) in tasks.iter().enumerate() {
            share_so_far += config.tasks[task_idx].share / total;
            let end = (share_so_far * config.batch_size as f64).round() as usize;
            let scene = PreparedScene::new(task.scene()).map_err(sayso_envs::EnvError::from)?;
            while slots.len() < end {
                let world = scene.world().map_err(sayso_envs::EnvError::from)?;
                let cameras = task.spec().reward_cameras.iter().map(|name| world.camera(name));
                let cameras = cameras.collect::<Result<_, _>>().map_err(sayso_envs::EnvError::from)?;
                let captions = catalogue.tasks[task_idx].clone();
                slots.push(Slot {
                    instance: task.instance(&world)?,
                    world,
                    cameras,
                    first_caption: captions.start,
                    n_captions: captions.len(),
                    landmarks: catalogue.landmarks[task_idx].clone(),
                });
            }
        }
        let size = config.image_size;
        Ok(Self {
            seed: config.seed,
            slots,
            renderer: CpuRenderer::default(),
            spec: RenderSpec {
                height: size,
                width: size,
                samples: Samples::One,
                shadows: true,
                outputs: Outputs::RGB,
            },
            n_captions: catalogue.captions.len(),
            n_landmarks: catalogue.n_landmarks(),
        })
    }

    /// Renders a batch.
    pub fn render(&mut self, batch_idx: u64) -> ImageBatch {
        let (seed, n_captions) = (self.seed, self.n_captions);
        let mut truth = vec![0.0; self.slots.len() * n_captions];
        let n_coordinates = 3 * self.n_landmarks;
        let mut landmarks = vec![f32::NAN; self.slots.len() * n_coordinates];
        let views: Vec<View> = self
            .slots
            .par_iter_mut()
            .zip(truth.par_chunks_exact_mut(n_captions))
            .zip(landmarks.par_chunks_exact_mut(n_coordinates.max(1)))
            .enumerate()
            .map(|(slot_idx, ((slot, truth), coordinates))| {
                let mut rng = seed::stream(&[seed, batch_idx, slot_idx as u64, PURPOSE]);
                slot.instance.sample_pretraining_state(&mut slot.world, &mut rng);
                let own = &mut truth[slot.first_caption..][..slot.n_captions];
                slot.instance.caption_truth(&slot.world, own);
                let camera = slot.cameras.choose(&mut rng).copied().unwrap_or(CameraIdx(0));
                let view = slot.world.view(camera, slot_idx);
                let mut points = vec![None; slot.landmarks.len()];
                slot.instance.landmarks(&slot.world, &mut points);
                let own = &mut coordinates[3 * slot.landmarks.start..3 * slot.landmarks.end];
                for (out, point) in own.chunks_exact_mut(3).zip(points) {
                    if let Some(seen) = point.and_then(|point| project(&view, point)) {
                        out.copy_from_slice(&seen);
                    }
                }
                view
            })
            .collect();
        let render_scenes: Vec<&RenderScene> =
            self.slots.iter().map(|slot| slot.world.render_scene()).collect();
        let mut target = RenderTarget::default();
        self.renderer.render(&render_scenes, &views, &self.spec, &mut target);
        ImageBatch { frames: target.rgb, truth, landmarks }
    }
}

/// Position of a point of the world in a square image: right and up from the centre in units of half the image's edge, and
/// the logarithm of its distance along the optical axis in metres. `None` if it is behind the camera, or 1.2 of these units
/// or more to a side of the centre.
pub fn project(view: &View, point_in_world: Vec3) -> Option<[f32; 3]> {
    let point = view.world_from_camera.inverse_transform_point(point_in_world);
    let depth = -point.z;
    let half_edge = depth * (0.5 * view.fov_y).tan();
    let seen = [point.x / half_edge, point.y / half_edge, depth.ln()];
    (depth > 0.0 && seen[0].abs() < 1.2 && seen[1].abs() < 1.2).then_some(seen)
}

/// Keeps these random streams apart from those of episodes.
const PURPOSE: u64 = 0x7069_6374;

/// The tasks of a configuration.
///
/// # Errors
/// If one is unknown.
pub fn tasks(config: &PretrainConfig) -> Result<Vec<Box<dyn Task>>> {
    let tasks = config.tasks.iter().map(|task| registry::task(&task.id, &task.options));
    Ok(tasks.collect::<Result<_, _>>()?)
}

/// One step in this many has long sentences.
const LONG_EVERY: u64 = 8;

/// A sentence for every caption, sampled anew for each step: one of its phrasings. In one step of eight, sentences that are
/// always true of the task's scene stand before and after it, up to the context of the text tower, so that every position of
/// the context is trained.
pub fn phrase(catalogue: &Catalogue, seed: u64, batch_idx: u64) -> Vec<String> {
    let mut rng = seed::stream(&[seed, batch_idx, PURPOSE]);
    let is_long = batch_idx % LONG_EVERY == LONG_EVERY - 1;
    let mut sentences = Vec::with_capacity(catalogue.captions.len());
    for task in &catalogue.tasks {
        let captions = &catalogue.captions[task.clone()];
        let scenes: Vec<&String> =
            captions.iter().filter(|caption| caption.axis.is_none()).flat_map(|c| &c.phrasings).collect();
        for caption in captions {
            let mut sentence = caption.phrasings.choose(&mut rng).cloned().unwrap_or_default();
            if is_long {
                lengthen(&mut sentence, &scenes, &mut rng);
            }
            sentences.push(sentence);
        }
    }
    sentences
}

/// Puts scene sentences before and after a sentence, up to a random number of words.
fn lengthen(sentence: &mut String, scenes: &[&String], rng: &mut seed::Rng) {
    let n_words = |text: &str| text.split_whitespace().count();
    // The start and the end token take two places.
    let limit = rng.random_range(0..=CONTEXT - 2);
    while let Some(scene) = scenes.choose(rng) {
        if n_words(sentence) + n_words(scene) > limit {
            return;
        }
        *sentence =
            if rng.random_bool(0.5) { format!("{scene} {sentence}") } else { format!("{sentence} {scene}") };
    }
}
