//! Recorded episodes: the view of the task's video camera, the frames that the reward model scored, and the reward.

use std::ops::ControlFlow;

use image::RgbImage;
use image::imageops::overlay;
use rand::SeedableRng as _;
use rand_pcg::Pcg64;
use sayso_agents::Policy;
use sayso_envs::{Instruction, ResetOptions, StepBatch, VecEnv, VectorEnv as _};
use sayso_rewards::{FrameRow, RewardFrames};
use sayso_sim::Frames;

use crate::error::Result;
use crate::report::ScoredFrame;
use crate::video::{Caption, PAPER, captioned_image, contact_sheet, encode_mp4, enlarge, to_png, view_image};

/// Rows and columns of the video camera's view.
const VIEW_SIDE: usize = 384;
/// Largest side of a reward camera's view in a video, and of a single frame.
const REWARD_VIEW_SIDE: u32 = 192;

/// One recorded step of an episode.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedStep {
    /// Index of the episode, from 0.
    pub episode_idx: usize,
    /// Control steps since its start.
    pub step: u32,
    /// The view of the video camera after the step.
    pub view: RgbImage,
    /// The views of the reward cameras that were scored last, of one size in every step; blank before the first score of the
    /// episode, and absent without a reward model.
    pub reward_views: Vec<RgbImage>,
    /// Whether they were scored in this step.
    pub is_scored: bool,
    /// The reward of the step: of the reward model, or of the task without one.
    pub score: f32,
    /// `[n_goals]`, ground truth.
    pub success: Vec<bool>,
    /// Index of the instruction.
    pub instruction: usize,
}

/// Recorded episodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    /// Steps in order, episode after episode.
    pub steps: Vec<RecordedStep>,
    /// Names of the goals.
    pub goal_names: Vec<String>,
    /// The instructions of the episodes.
    pub instructions: Vec<Instruction>,
    /// Control steps per second; the frame rate of videos.
    pub control_hz: u32,
}

/// Runs one episode in every env of `env`, which must not reset in the step that ends an episode. `on_step` is called after
/// every step and may stop the recording, which is `None` then.
///
/// # Errors
/// If the env or the policy fails.
pub fn record(
    env: &mut VecEnv,
    policy: &mut dyn Policy,
    seed: u64,
    on_step: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<Option<Recording>> {
    let n_envs = env.n_envs();
    let goal_names = env.goal_names().to_vec();
    let camera = env.task_spec().video_camera;
    let plan = env.scoring_plan();
    let mut rng = Pcg64::seed_from_u64(seed);
    let (mut batch, mut scored) = (StepBatch::default(), RewardFrames::default());
    let mut episodes: Vec<Vec<RecordedStep>> = vec![Vec::new(); n_envs];
    let mut is_over = vec![false; n_envs];

    env.reset(&ResetOptions { seed: Some(seed.into()), mask: None }, &mut batch)?;
    (0..n_envs).for_each(|env_idx| policy.start_episode(env_idx));
    while is_over.contains(&false) {
        let actions = policy.act(&batch.observations, &mut rng)?;
        env.step(&actions, &mut batch)?;
        let views = env.render(camera, VIEW_SIDE, VIEW_SIDE)?;
        env.swap_reward_frames(&mut scored);
        let reward_frames = scored.frames.on_host();
        let n_reward_views = reward_frames.map_or(0, Frames::n_views) / scored.rows.len().max(1);
        for env_idx in (0..n_envs).filter(|&env_idx| !is_over[env_idx]) {
            let of_env = |row: &FrameRow| row.env_idx as usize == env_idx;
            let scored_row = scored.rows.iter().position(of_env);
            // A frame may be there for a later score only.
            let is_scored = |row: usize| {
                let FrameRow { n_steps, is_last, .. } = scored.rows[row];
                plan.is_some_and(|plan| plan.is_scored(n_steps, is_last))
            };
            let last = episodes[env_idx].last();
            let reward_views = match (reward_frames, scored_row) {
                (Some(frames), Some(row)) => {
                    let seen = row * n_reward_views..(row + 1) * n_reward_views;
                    seen.map(|idx| view_image(frames, idx)).collect()
                }
                _ => last.map(|step| step.reward_views.clone()).unwrap_or_default(),
            };
            episodes[env_idx].push(RecordedStep {
                episode_idx: env_idx,
                step: batch.info.episode_steps[env_idx],
                view: view_image(&views, env_idx),
                reward_views,
                is_scored: scored_row.is_some_and(is_scored),
                score: batch.rewards[env_idx],
                success: batch.info.success[env_idx * goal_names.len()..][..goal_names.len()].to_vec(),
                instruction: batch.info.instruction[env_idx] as usize,
            });
        }
        for (env_idx, over) in is_over.iter_mut().enumerate() {
            *over |= batch.done(env_idx);
        }
        if on_step().is_break() {
            return Ok(None);
        }
    }
    let mut steps = episodes.concat();
    fill_missing_views(&mut steps);
    let (instructions, control_hz) = (env.instructions().to_vec(), env.control_hz());
    Ok(Some(Recording { steps, goal_names, instructions, control_hz }))
}

/// Gives the steps before the first score of their episode blank reward views, so that all images have one size.
fn fill_missing_views(steps: &mut [RecordedStep]) {
    let Some(scored) = steps.iter().find(|step| step.is_scored) else { return };
    let blank: Vec<RgbImage> = scored
        .reward_views
        .iter()
        .map(|view| RgbImage::from_pixel(view.width(), view.height(), PAPER))
        .collect();
    for step in steps.iter_mut().filter(|step| step.reward_views.is_empty()) {
        step.reward_views.clone_from(&blank);
    }
}

impl Recording {
    /// Least and greatest score, for the bars of captions.
    pub fn score_range(&self) -> (f32, f32) {
        let fold = |(low, high): (f32, f32), step: &RecordedStep| (low.min(step.score), high.max(step.score));
        self.steps.iter().fold((f32::INFINITY, f32::NEG_INFINITY), fold)
    }

    /// Whether the goal of the instruction is met; `None` if that is of none.
    pub fn is_success(&self, step: &RecordedStep) -> Option<bool> {
        let goal_idx = self.instructions.get(step.instruction)?.goal_idx?;
        step.success.get(goal_idx).copied()
    }

    /// The recording as an MP4 file that plays at the speed of the simulation. `title` begins every caption; bars are scaled to `score_range`.
    ///
    /// # Errors
    /// If the encoder fails.
    pub fn to_mp4(&self, title: &str, score_range: (f32, f32)) -> Result<Vec<u8>> {
        let images: Vec<RgbImage> =
            self.steps.iter().map(|step| self.captioned(step, title, score_range)).collect();
        encode_mp4(&images, self.control_hz)
    }

    /// One step: the view, the reward views beside it, and the caption below both.
    pub fn captioned(&self, step: &RecordedStep, title: &str, score_range: (f32, f32)) -> RgbImage {
        let (low, high) = score_range;
        let met: Vec<&str> = self
            .goal_names
            .iter()
            .zip(&step.success)
            .filter(|(_, met)| **met)
            .map(|(name, _)| name.as_str())
            .collect();
        let truth = if met.is_empty() { "none".to_owned() } else { met.join(", ") };
        let mut lines = vec![
            format!("episode {}  step {}", step.episode_idx + 1, step.step),
            format!("ground truth, goals met: {truth}"),
        ];
        if let (Some(instruction), true) =
            (self.instructions.get(step.instruction), 1 < self.instructions.len())
        {
            lines.insert(1, format!("\"{}\"", instruction.text));
        }
        let caption = Caption {
            title: format!("{title}  reward {:.3}", step.score),
            lines,
            bar: Some((step.score - low) / (high - low).max(f32::EPSILON)),
            success: self.is_success(step) == Some(true),
        };
        captioned_image(&side_by_side(step), &caption)
    }

    /// Up to `n` steps whose frames were scored, evenly spaced from the lowest reward to the highest; of all steps without a
    /// reward model.
    pub fn spread_over_scores(&self, n: usize) -> Vec<&RecordedStep> {
        let has_scores = self.steps.iter().any(|step| step.is_scored);
        let mut by_score: Vec<&RecordedStep> =
            self.steps.iter().filter(|step| step.is_scored || !has_scores).collect();
        by_score.sort_by(|a, b| a.score.total_cmp(&b.score));
        let n = n.min(by_score.len());
        let at = |idx: usize| by_score[idx * (by_score.len() - 1) / (n - 1).max(1)];
        (0..n).map(at).collect()
    }

    /// [`Self::spread_over_scores`], as the report shows them.
    ///
    /// # Errors
    /// If the PNG encoder fails.
    pub fn scored_frames(&self, n: usize) -> Result<Vec<ScoredFrame>> {
        let frame = |step: &RecordedStep| {
            Ok(ScoredFrame {
                png: to_png(&reward_views(step))?,
                score: f64::from(step.score),
                note: format!("episode {}, step {}", step.episode_idx + 1, step.step),
                success: self.is_success(step),
            })
        };
        self.spread_over_scores(n).into_iter().map(frame).collect()
    }

    /// The steps of [`Self::spread_over_scores`] in one image.
    pub fn sheet(&self, title: &str, n: usize, n_columns: usize) -> RgbImage {
        let range = self.score_range();
        let cells: Vec<RgbImage> =
            self.spread_over_scores(n).into_iter().map(|step| self.captioned(step, title, range)).collect();
        contact_sheet(&cells, n_columns)
    }
}

/// The reward views, enlarged, side by side; the view of the video camera without a reward model.
fn reward_views(step: &RecordedStep) -> RgbImage {
    let views = enlarged_views(step);
    if views.is_empty() { step.view.clone() } else { contact_sheet(&views, views.len()) }
}

fn side_by_side(step: &RecordedStep) -> RgbImage {
    let views = enlarged_views(step);
    let Some(column_width) = views.iter().map(RgbImage::width).max() else { return step.view.clone() };
    let (width, height) = step.view.dimensions();
    let column_height: u32 = views.iter().map(RgbImage::height).sum();
    let mut out = RgbImage::from_pixel(width + column_width, height.max(column_height), PAPER);
    overlay(&mut out, &step.view, 0, 0);
    let mut y = 0;
    for view in &views {
        overlay(&mut out, view, width.into(), y);
        y += i64::from(view.height());
    }
    out
}

fn enlarged_views(step: &RecordedStep) -> Vec<RgbImage> {
    step.reward_views.iter().map(|view| enlarge(view, REWARD_VIEW_SIDE)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_that_names_no_goal_is_not_reported_as_success_on_the_first() {
        let view = RgbImage::from_pixel(4, 4, PAPER);
        let step = RecordedStep {
            episode_idx: 0,
            step: 1,
            view,
            reward_views: Vec::new(),
            is_scored: false,
            score: 0.5,
            success: vec![true, false],
            instruction: 0,
        };
        let goal_names = vec!["red".to_owned(), "blue".to_owned()];
        let mut recording = Recording { steps: vec![step], goal_names, ..Recording::default() };
        for (goal_idx, expected) in [(None, None), (Some(0), Some(true)), (Some(1), Some(false))] {
            recording.instructions = vec![Instruction { goal_idx, ..Instruction::default() }];
            let frames = recording.scored_frames(1).expect("a PNG file");
            assert_eq!(frames[0].success, expected, "{goal_idx:?}");
        }
    }
}
