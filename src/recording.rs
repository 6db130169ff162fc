//! Episodes on record: what happened, drawn from the task's video camera, beside what the judge saw and said.

use rand::SeedableRng as _;
use rand_pcg::Pcg64;
use sayso_agents::Policy;
use sayso_envs::{ResetOptions, StepBatch, VecEnv, VectorEnv as _};
use sayso_sim::{FrameBatch, Frames};

use crate::error::Result;
use crate::report::ScoredFrame;
use crate::video::{Caption, Picture, captioned_picture, contact_sheet, encode_mp4, enlarge};

/// Rows and columns of the video camera's picture.
const VIEW_SIDE: usize = 384;
/// Greatest side of a judge's view in a video, and of a single frame.
const JUDGE_SIDE: usize = 192;

/// One state of one episode.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    /// Which episode, from 0.
    pub episode_idx: usize,
    /// Control steps since its start.
    pub step: u32,
    /// The video camera's picture.
    pub view: Picture,
    /// What the judge saw; empty without a judge.
    pub judged: Vec<Picture>,
    /// What the judge said, or the task's reward without one.
    pub score: f32,
    /// `[n_goals]`, ground truth.
    pub success: Vec<bool>,
}

/// A few whole episodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    /// Episode by episode, in time.
    pub moments: Vec<Moment>,
    /// Names of the goals.
    pub goal_names: Vec<String>,
    /// The goal that the envs were made for.
    pub goal_idx: usize,
}

/// Runs one episode in every env of `env`, which must not reset in the step that ends an episode.
///
/// # Errors
/// If the env or the policy fails.
pub fn record(env: &mut VecEnv, policy: &mut dyn Policy, seed: u64) -> Result<Recording> {
    let n_envs = env.n_envs();
    let goal_names = env.goal_names().to_vec();
    let camera = env.task_spec().video_camera;
    let mut rng = Pcg64::seed_from_u64(seed);
    let (mut batch, mut judged) = (StepBatch::default(), FrameBatch::default());
    let mut episodes: Vec<Vec<Moment>> = vec![Vec::new(); n_envs];
    let mut is_over = vec![false; n_envs];

    env.reset(&ResetOptions { seed: Some(seed.into()), mask: None }, &mut batch)?;
    (0..n_envs).for_each(|env_idx| policy.start_episode(env_idx));
    while is_over.contains(&false) {
        let actions = policy.act(&batch.observations, &mut rng)?;
        env.step(&actions, &mut batch)?;
        let views = env.render(camera, VIEW_SIDE, VIEW_SIDE)?;
        env.swap_judge_frames(&mut judged);
        let seen_by_judge = judged.on_host();
        let n_judged = seen_by_judge.map_or(0, Frames::n_views) / n_envs;
        for env_idx in (0..n_envs).filter(|&env_idx| !is_over[env_idx]) {
            let seen = env_idx * n_judged..(env_idx + 1) * n_judged;
            episodes[env_idx].push(Moment {
                episode_idx: env_idx,
                step: batch.info.episode_steps[env_idx],
                view: Picture::from_view(&views, env_idx),
                judged: seen_by_judge
                    .map(|frames| seen.map(|view_idx| Picture::from_view(frames, view_idx)).collect())
                    .unwrap_or_default(),
                score: batch.rewards[env_idx],
                success: batch.info.success[env_idx * goal_names.len()..][..goal_names.len()].to_vec(),
            });
        }
        for (env_idx, over) in is_over.iter_mut().enumerate() {
            *over |= batch.done(env_idx);
        }
    }
    Ok(Recording { moments: episodes.concat(), goal_names, goal_idx: env.goal_idx() })
}

impl Recording {
    /// Least and greatest score, for the bars of captions.
    pub fn score_range(&self) -> (f32, f32) {
        let fold = |(low, high): (f32, f32), moment: &Moment| (low.min(moment.score), high.max(moment.score));
        self.moments.iter().fold((f32::INFINITY, f32::NEG_INFINITY), fold)
    }

    /// Whether the envs' goal is met.
    pub fn is_success(&self, moment: &Moment) -> bool {
        moment.success.get(self.goal_idx).copied().unwrap_or(false)
    }

    /// The recording as an MP4 file. `title` begins every caption; bars are drawn over `score_range`.
    ///
    /// # Errors
    /// If the encoder fails.
    pub fn to_mp4(&self, title: &str, score_range: (f32, f32), fps: f32) -> Result<Vec<u8>> {
        let pictures: Vec<Picture> =
            self.moments.iter().map(|moment| self.captioned(moment, title, score_range)).collect();
        encode_mp4(&pictures, fps)
    }

    /// One moment: the view, the judge's views beside it, and the caption below both.
    pub fn captioned(&self, moment: &Moment, title: &str, score_range: (f32, f32)) -> Picture {
        let (low, high) = score_range;
        let met: Vec<&str> = self
            .goal_names
            .iter()
            .zip(&moment.success)
            .filter(|(_, met)| **met)
            .map(|(name, _)| name.as_str())
            .collect();
        let truth = if met.is_empty() { "none".to_owned() } else { met.join(", ") };
        let caption = Caption {
            title: format!("{title}  reward {:.3}", moment.score),
            lines: vec![
                format!("episode {}  step {}", moment.episode_idx + 1, moment.step),
                format!("ground truth, goals met: {truth}"),
            ],
            bar: Some((moment.score - low) / (high - low).max(f32::EPSILON)),
            success: self.is_success(moment),
        };
        captioned_picture(&side_by_side(moment), &caption)
    }

    /// Up to `n` moments, evenly spaced from the lowest score to the highest.
    pub fn spread_over_scores(&self, n: usize) -> Vec<&Moment> {
        let mut by_score: Vec<&Moment> = self.moments.iter().collect();
        by_score.sort_by(|a, b| a.score.total_cmp(&b.score));
        let n = n.min(by_score.len());
        let at = |idx: usize| by_score[idx * (by_score.len() - 1) / (n - 1).max(1)];
        (0..n).map(at).collect()
    }

    /// [`Self::spread_over_scores`], as the report shows them.
    ///
    /// # Errors
    /// If the encoder of pictures fails.
    pub fn scored_frames(&self, n: usize) -> Result<Vec<ScoredFrame>> {
        let frame = |moment: &Moment| {
            Ok(ScoredFrame {
                png: what_was_judged(moment).to_png()?,
                score: f64::from(moment.score),
                note: format!("episode {}, step {}", moment.episode_idx + 1, moment.step),
                success: self.is_success(moment),
            })
        };
        self.spread_over_scores(n).into_iter().map(frame).collect()
    }

    /// The moments of [`Self::spread_over_scores`] in one picture.
    pub fn sheet(&self, title: &str, n: usize, n_columns: usize) -> Picture {
        let range = self.score_range();
        let cells: Vec<Picture> = self
            .spread_over_scores(n)
            .into_iter()
            .map(|moment| self.captioned(moment, title, range))
            .collect();
        contact_sheet(&cells, n_columns)
    }
}

/// The judge's views, enlarged, one below the other; the video camera's without a judge.
fn what_was_judged(moment: &Moment) -> Picture {
    let views: Vec<Picture> = moment.judged.iter().map(|view| enlarge(view, JUDGE_SIDE)).collect();
    if views.is_empty() { moment.view.clone() } else { contact_sheet(&views, views.len()) }
}

fn side_by_side(moment: &Moment) -> Picture {
    let views: Vec<Picture> = moment.judged.iter().map(|view| enlarge(view, JUDGE_SIDE)).collect();
    let Some(column_width) = views.iter().map(|view| view.width).max() else { return moment.view.clone() };
    let height: usize = views.iter().map(|view| view.height).sum();
    let mut out =
        Picture::filled(moment.view.width + column_width, moment.view.height.max(height), [17, 19, 24]);
    out.paste(&moment.view, 0, 0);
    let mut y = 0;
    for view in &views {
        out.paste(view, moment.view.width, y);
        y += view.height;
    }
    out
}
