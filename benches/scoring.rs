//! What scoring a window costs beside the embedding of its frames: `cargo bench --bench scoring`.
//!
//! The kind `mean_pooled` with the bundled encoder, 16 frames, two views, 1,024 envs. Frames are embedded once; then the time of
//! a step with embeddings that are already there (history, windows, scores) is compared with that of embedding them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sayso::models;
use sayso_rewards::registry::{self, Resources};
use sayso_rewards::{
    Embeddings, FailureConfig, Feature, FrameRow, FrameSelection, ModelDevice, Result, RewardFrames,
    RewardModel, RewardSchedule, RewardText, Scorer, ScoringPlan, Windows,
};
use sayso_sim::{FrameBatch, FrameRequest, Frames};

const N_ENVS: u32 = 1024;
const N_VIEWS: usize = 2;
const N_FRAMES: u32 = 16;
const N_ROUNDS: usize = 5;
const N_STEPS: u32 = 50;

/// A model whose frames are embedded already.
struct Embedded {
    model: Arc<dyn RewardModel>,
    embeddings: Embeddings,
}

impl RewardModel for Embedded {
    fn frame_request(&self) -> FrameRequest {
        self.model.frame_request()
    }

    fn feature(&self) -> Feature {
        self.model.feature()
    }

    fn frames(&self) -> FrameSelection {
        self.model.frames()
    }

    fn embed_frames(&self, _: &FrameBatch) -> Result<Embeddings> {
        Ok(self.embeddings.clone())
    }

    fn embed_text(&self, text: &RewardText) -> Result<Vec<f32>> {
        self.model.embed_text(text)
    }

    fn score(&self, windows: &Windows<'_>, out: &mut [f32]) -> Result<()> {
        self.model.score(windows, out)
    }
}

fn main() -> anyhow::Result<()> {
    let options = format!("n_frames = {N_FRAMES}").parse()?;
    let resources = Resources { device: &ModelDevice::cpu(), bundled: &models::bundled() };
    let model = registry::kind("mean_pooled")?.options(&options)?.load(&resources)?;
    let image = model.frame_request().image;
    let frames = FrameBatch::from(Frames::new(N_ENVS as usize * N_VIEWS, image.height, image.width));
    let goal_prompts = vec!["the gripper touching the red ball".to_owned()];
    let text = RewardText { goal_prompts, ..RewardText::default() };

    let (mut embedding, mut scoring) = (Vec::new(), Vec::new());
    for _ in 0..N_ROUNDS {
        let started = Instant::now();
        let embeddings = model.embed_frames(&frames)?;
        embedding.push(started.elapsed());

        let plan = ScoringPlan::new(model.frames(), RewardSchedule::HoldLast, 1)?;
        let embedded = Arc::new(Embedded { model: Arc::clone(&model), embeddings });
        let texts = std::slice::from_ref(&text);
        let mut scorer =
            Scorer::new(embedded, plan, FailureConfig::default(), N_ENVS as usize, N_VIEWS, texts)?;
        let mut step = RewardFrames {
            frames: FrameBatch::from(Frames::new(N_ENVS as usize * N_VIEWS, image.height, image.width)),
            ..RewardFrames::default()
        };
        let mut scores = Vec::new();
        let started = Instant::now();
        for n_steps in 0..N_STEPS {
            step.rows.clear();
            step.rows.extend((0..N_ENVS).map(|env_idx| FrameRow { env_idx, n_steps, ..FrameRow::default() }));
            scorer.score(&step, &mut scores)?;
        }
        scoring.push(started.elapsed() / N_STEPS);
    }
    let (embedding, scoring) = (median(embedding), median(scoring));
    println!("embedding {} frames: {embedding:.1?}", frames.n_views());
    println!("history, windows and scores of {N_ENVS} envs: {scoring:.2?}");
    println!("ratio: {:.2}%", 100.0 * scoring.as_secs_f64() / embedding.as_secs_f64());
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
