//! Evaluation of a reward model on held-out scenes: rank correlation of its rewards with ground truth, AUC of success, and
//! retrieval of captions.
//!
//! Scenes are sampled with [`sayso_envs::TaskInstance::sample_pretraining_state`] from a seed that training does not use.
//! Ground truth is compared with the scores; it is never an input of the model.

use sayso_envs::language::Goal;
use sayso_envs::{Measurement, Task, TaskInstance};
use sayso_rewards::{GoalBaseline, GoalBaselineConfig, ImageTextModel};
use sayso_sim::render::{CpuRenderer, Outputs, RenderScene, RenderSpec, RenderTarget, Samples, View};
use sayso_sim::{CameraIdx, PreparedScene, SimWorld, seed};
use serde::Serialize;

use crate::Result;

/// Configuration of an evaluation.
#[derive(Clone, Copy, Debug)]
pub struct ModelEvalConfig {
    /// Seed of the scenes.
    pub seed: u64,
    /// Number of scenes per task.
    pub n_scenes: usize,
    /// Regularisation of the reward, see [`GoalBaselineConfig::alpha`].
    pub alpha: f32,
}

impl Default for ModelEvalConfig {
    fn default() -> Self {
        Self { seed: 0x6865_6c64_5f6f_7574, n_scenes: 1000, alpha: 0.5 }
    }
}

/// Results of one goal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GoalEval {
    /// Id of the environment.
    pub task: String,
    /// Name of the goal.
    pub goal: String,
    /// Spearman's rank correlation of the reward with the ground-truth dense reward, for each reward camera.
    pub by_camera: Vec<(String, f64)>,
    /// The same with the scores of all reward cameras averaged, as in the training of a policy.
    pub averaged: f64,
    /// The lowest of [`Self::averaged`] with the instruction, or one of its paraphrases, in place of the goal prompt.
    pub worst_instruction: f64,
    /// Probability that a scene which meets the goal scores higher than one that does not.
    pub auc: f64,
    /// The same against the nearest tenth of the scenes that do not meet the goal, by ground truth.
    pub auc_near: f64,
    /// Number of scenes that meet the goal.
    pub n_met: usize,
    /// Total number of scenes.
    pub n_scenes: usize,
}

/// Results of one axis: how often the best-scoring caption of an image is its truest one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AxisEval {
    /// Id of the environment.
    pub task: String,
    /// The first caption of the axis.
    pub axis: String,
    /// Fraction of the images whose truest level scores best among the levels of the axis.
    pub top_1: f64,
    /// The same, counting a neighbouring level as correct.
    pub within_one: f64,
    /// Whether a level of the axis was held out of training.
    pub has_held_out: bool,
}

/// Results of an evaluation.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ModelEvalReport {
    /// One entry per goal.
    pub goals: Vec<GoalEval>,
    /// One entry per axis.
    pub axes: Vec<AxisEval>,
}

/// Evaluates a model on sampled states of a task, rendered from its reward cameras at the model's image size.
///
/// # Errors
/// If a scene cannot be created, or the model cannot embed a prompt.
pub fn evaluate_model(
    task: &dyn Task,
    model: &dyn ImageTextModel,
    config: &ModelEvalConfig,
) -> Result<ModelEvalReport> {
    let scenes = Scenes::sample(task, model, config)?;
    let embeddings = model.embed_frames(&scenes.target.rgb)?;
    let mut report = ModelEvalReport::default();
    for (goal_idx, goal) in task.spec().goals.iter().enumerate() {
        let scores_of = |prompt: &String| {
            let prompts =
                GoalBaselineConfig { goal_prompts: vec![prompt.clone()], ..goal_prompts(goal, config.alpha) };
            let mut scores = Vec::new();
            GoalBaseline::new(model, &prompts)?.score(&embeddings, &mut scores)?;
            Ok::<_, crate::PretrainError>(scores)
        };
        let mut evaluation = scenes.evaluate_goal(task, goal_idx, &scores_of(&goal.goal_prompt)?);
        for instruction in goal.wordings() {
            let averaged = scenes.evaluate_goal(task, goal_idx, &scores_of(instruction)?).averaged;
            evaluation.worst_instruction = evaluation.worst_instruction.min(averaged);
        }
        report.goals.push(evaluation);
    }
    report.axes = scenes.evaluate_axes(task, model, embeddings.values())?;
    Ok(report)
}

/// Configuration of a goal's reward, with the prompts of its task.
pub fn goal_prompts(goal: &Goal, alpha: f32) -> GoalBaselineConfig {
    GoalBaselineConfig {
        goal_prompts: vec![goal.goal_prompt.clone()],
        baseline_prompts: vec![goal.baseline_prompt.clone()],
        alpha,
    }
}

/// Sampled states with their ground truth, and their rendered frames.
struct Scenes {
    measurements: Vec<Measurement>,
    truth: Vec<Vec<f32>>,
    n_cameras: usize,
    target: RenderTarget,
}

impl Scenes {
    fn sample(task: &dyn Task, model: &dyn ImageTextModel, config: &ModelEvalConfig) -> Result<Self> {
        let spec = task.spec();
        let scene = PreparedScene::new(task.scene()).map_err(sayso_envs::EnvError::from)?;
        let mut worlds = Vec::with_capacity(config.n_scenes);
        let (mut measurements, mut truth) = (Vec::new(), Vec::new());
        for scene_idx in 0..config.n_scenes {
            let mut world = scene.world().map_err(sayso_envs::EnvError::from)?;
            let mut instance: Box<dyn TaskInstance> = task.instance(&world)?;
            instance
                .sample_pretraining_state(&mut world, &mut seed::stream(&[config.seed, scene_idx as u64]));
            let mut measurement = Measurement::new(spec);
            instance.measure(&world, &mut measurement);
            let mut degrees = vec![0.0; spec.captions.len()];
            instance.caption_truth(&world, &mut degrees);
            measurements.push(measurement);
            truth.push(degrees);
            worlds.push(world);
        }
        let cameras = spec.reward_cameras.iter().map(|name| worlds[0].camera(name));
        let cameras: Vec<CameraIdx> =
            cameras.collect::<Result<_, _>>().map_err(sayso_envs::EnvError::from)?;
        let views: Vec<View> = worlds
            .iter()
            .enumerate()
            .flat_map(|(idx, world)| cameras.iter().map(move |&camera| world.view(camera, idx)))
            .collect();
        let render_scenes: Vec<&RenderScene> = worlds.iter().map(SimWorld::render_scene).collect();
        let size = model.image_spec();
        let render = RenderSpec {
            height: size.height,
            width: size.width,
            samples: Samples::One,
            shadows: true,
            outputs: Outputs::RGB,
        };
        let mut target = RenderTarget::default();
        CpuRenderer::default().render(&render_scenes, &views, &render, &mut target);
        Ok(Self { measurements, truth, n_cameras: cameras.len(), target })
    }

    fn evaluate_goal(&self, task: &dyn Task, goal_idx: usize, scores: &[f32]) -> GoalEval {
        let spec = task.spec();
        let n_cameras = self.n_cameras;
        // A scene without the object that the goal names has no ground truth, and is left out.
        let scenes: Vec<(&Measurement, &[f32])> = self
            .measurements
            .iter()
            .zip(scores.chunks_exact(n_cameras))
            .filter(|(truth, _)| !truth.reward[goal_idx].is_nan())
            .collect();
        // Where every reward is 0 or 1, ground truth is the first metric of the task; a smaller magnitude is better.
        let is_dense = scenes.iter().any(|(truth, _)| ![0.0, 1.0].contains(&truth.reward[goal_idx]));
        let quality = scenes.iter().map(|(truth, _)| match is_dense {
            true => truth.reward[goal_idx],
            false => -truth.metrics.first().copied().unwrap_or(0.0).abs(),
        });
        let quality: Vec<f32> = quality.collect();
        let of_camera = |camera: usize| scenes.iter().map(|(_, scores)| scores[camera]).collect::<Vec<_>>();
        let averaged: Vec<f32> = scenes.iter().map(|(_, scores)| scores.iter().sum()).collect();
        let is_met: Vec<bool> = scenes.iter().map(|(truth, _)| truth.success[goal_idx]).collect();
        GoalEval {
            task: spec.id.to_owned(),
            goal: spec.goals[goal_idx].name.clone(),
            by_camera: spec
                .reward_cameras
                .iter()
                .enumerate()
                .map(|(camera, name)| (name.clone(), rank_correlation(&of_camera(camera), &quality)))
                .collect(),
            averaged: rank_correlation(&averaged, &quality),
            worst_instruction: f64::INFINITY,
            auc: auc(&averaged, &is_met),
            auc_near: auc_of_nearest(&averaged, &is_met, &quality),
            n_met: is_met.iter().filter(|met| **met).count(),
            n_scenes: is_met.len(),
        }
    }

    fn evaluate_axes(
        &self,
        task: &dyn Task,
        model: &dyn ImageTextModel,
        images: &[f32],
    ) -> Result<Vec<AxisEval>> {
        let spec = task.spec();
        let dim = model.embed_dim();
        let mut evaluations = Vec::new();
        let mut first = 0;
        for group in spec.captions.chunk_by(|a, b| a.axis == b.axis) {
            let range = first..first + group.len();
            first = range.end;
            if group[0].axis.is_none() {
                continue;
            }
            let prompts: Vec<String> = group.iter().map(|s| s.phrasings[0].clone()).collect();
            let texts = model.embed_prompts(&prompts)?;
            let (mut n, mut n_right, mut n_near) = (0.0, 0.0, 0.0);
            for (view_idx, image) in images.chunks_exact(dim).enumerate() {
                let truth = &self.truth[view_idx / self.n_cameras][range.clone()];
                if truth.iter().all(|&t| t == 0.0) {
                    continue;
                }
                let cosines =
                    texts.rows().map(|text| text.iter().zip(image).map(|(a, b)| a * b).sum::<f32>());
                let (best, truest) = (arg_max(cosines), arg_max(truth.iter().copied()));
                n += 1.0;
                n_right += f64::from(u8::from(best == truest));
                n_near += f64::from(u8::from(best.abs_diff(truest) <= 1));
            }
            evaluations.push(AxisEval {
                task: spec.id.to_owned(),
                axis: group[0].phrasings[0].clone(),
                top_1: n_right / f64::max(n, 1.0),
                within_one: n_near / f64::max(n, 1.0),
                has_held_out: group.iter().any(|s| s.is_held_out),
            });
        }
        Ok(evaluations)
    }
}

fn arg_max(values: impl Iterator<Item = f32>) -> usize {
    values.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(idx, _)| idx)
}

/// Spearman's rank correlation; ties share their mean rank. 0 if either side is constant.
pub fn rank_correlation(a: &[f32], b: &[f32]) -> f64 {
    let (a, b) = (ranks(a), ranks(b));
    let mean = (a.len() as f64 - 1.0) / 2.0;
    let product = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum::<f64>();
    let spread = (product(&a, &a) * product(&b, &b)).sqrt();
    if spread > 0.0 { product(&a, &b) / spread } else { 0.0 }
}

/// Area under the receiver operating characteristic; 0.5 if all or none are positive.
pub fn auc(scores: &[f32], is_positive: &[bool]) -> f64 {
    let ranks = ranks(scores);
    let n_positive = is_positive.iter().filter(|p| **p).count() as f64;
    let n_negative = is_positive.len() as f64 - n_positive;
    if n_positive == 0.0 || n_negative == 0.0 {
        return 0.5;
    }
    let sum: f64 = ranks.iter().zip(is_positive).filter(|(_, p)| **p).map(|(r, _)| r).sum();
    (sum - n_positive * (n_positive - 1.0) / 2.0) / (n_positive * n_negative)
}

/// [`auc`] of the positive scenes and the tenth of the negative ones that has the highest quality.
fn auc_of_nearest(scores: &[f32], is_positive: &[bool], quality: &[f32]) -> f64 {
    let mut negative: Vec<usize> = (0..scores.len()).filter(|&idx| !is_positive[idx]).collect();
    negative.sort_by(|&i, &j| quality[j].total_cmp(&quality[i]));
    negative.truncate(negative.len().div_ceil(10));
    let positive = (0..scores.len()).filter(|&idx| is_positive[idx]);
    let (scores, is_positive): (Vec<f32>, Vec<bool>) =
        positive.chain(negative).map(|idx| (scores[idx], is_positive[idx])).unzip();
    auc(&scores, &is_positive)
}

/// Ranks from 0; equal values share their mean rank.
fn ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    for group in order.chunk_by(|&i, &j| values[i] == values[j]) {
        let rank = start as f64 + (group.len() as f64 - 1.0) / 2.0;
        group.iter().for_each(|&i| ranks[i] = rank);
        start += group.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    // scipy.stats.spearmanr([3, 1, 4, 1, 5], [2, 7, 1, 8, 2]).statistic = -0.7894736842105263
    // sklearn.metrics.roc_auc_score([0, 1, 0, 1, 1], [3, 1, 4, 1, 5]) = 1/3
    #[test]
    fn rank_statistics_equal_the_references() {
        let (a, b) = ([3.0, 1.0, 4.0, 1.0, 5.0], [2.0, 7.0, 1.0, 8.0, 2.0]);
        assert!((rank_correlation(&a, &b) + 0.789_473_684_210_526_3).abs() < 1e-9);
        assert!((auc(&a, &[false, true, false, true, true]) - 1.0 / 3.0).abs() < 1e-9);
        assert_eq!(rank_correlation(&a, &[1.0; 5]), 0.0, "a constant has no order");
        // Of the two negative scenes the second has the higher quality, and scores higher than one of the three positive ones.
        let near = auc_of_nearest(&a, &[false, true, false, true, true], &[0.1, 1.0, 0.9, 1.0, 1.0]);
        assert!((near - 1.0 / 3.0).abs() < 1e-9, "{near}");
    }
}
