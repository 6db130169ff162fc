//! Scoring allocates nothing once its buffers have their size, and little per env.

use std::sync::Arc;

use sayso_rewards::{
    FailureConfig, Feature, FrameRow, FrameSelection, Result, RewardFrames, RewardModel, RewardSchedule,
    RewardText, Scorer, ScoringPlan, Windows,
};
use sayso_sim::{FramePart, FrameRequest, ImageSpec};

const SIZE: usize = 4;
const N_VIEWS: usize = 2;
const N_FRAMES: u32 = 16;

/// Keeps pixels, so that it allocates nothing itself.
struct Sum(FrameSelection);

impl RewardModel for Sum {
    fn frame_request(&self) -> FrameRequest {
        FrameRequest::on_host(ImageSpec { height: SIZE, width: SIZE, mean: [0.0; 3], std: [1.0; 3] })
    }

    fn feature(&self) -> Feature {
        Feature::Pixels
    }

    fn frames(&self) -> FrameSelection {
        self.0
    }

    fn score(&self, windows: &Windows<'_>, out: &mut [f32]) -> Result<()> {
        for (row, score) in out.iter_mut().enumerate() {
            let frames = (0..windows.n_frames()).filter_map(|frame| windows.pixels(row, frame));
            *score = frames.flatten().map(|&value| f32::from(value)).sum();
        }
        Ok(())
    }
}

fn scorer(frames: FrameSelection, n_envs: usize) -> Scorer {
    let plan = ScoringPlan::new(frames, RewardSchedule::Difference, 1).expect("a plan");
    let texts = [RewardText::default()];
    Scorer::new(Arc::new(Sum(frames)), plan, FailureConfig::default(), n_envs, N_VIEWS, &texts)
        .expect("a scorer")
}

/// The frames of a step of every env; episodes have 50 steps, and the last step also has the first frames of the next ones.
fn fill(step: u32, n_envs: u32, texts: &Arc<[RewardText]>, out: &mut RewardFrames) {
    out.texts = Arc::clone(texts);
    let row = |env_idx, n_steps| FrameRow { env_idx, n_steps, is_last: n_steps == 50, text_idx: 0 };
    let n_steps = step % 50;
    out.rows.clear();
    if n_steps == 0 && 0 < step {
        out.rows.extend((0..n_envs).map(|env_idx| row(env_idx, 50)));
    }
    out.rows.extend((0..n_envs).map(|env_idx| row(env_idx, n_steps)));
    out.frames.parts.resize_with(1, Default::default);
    if let FramePart::Host(frames) = &mut out.frames.parts[0] {
        frames.resize(out.rows.len() * N_VIEWS, SIZE, SIZE);
    }
}

#[test]
fn a_step_allocates_nothing() {
    let selections = [
        FrameSelection::Last,
        FrameSelection::Window { n_frames: N_FRAMES, stride: 2 },
        FrameSelection::Pair { lag: 3 },
        FrameSelection::Episode { n_frames: N_FRAMES },
    ];
    for frames in selections {
        let texts: Arc<[RewardText]> = Arc::from([RewardText::default()]);
        let mut scorer = scorer(frames, 64);
        let (mut step_frames, mut scores) = (RewardFrames::default(), Vec::new());
        let mut steps = |range: std::ops::Range<u32>| {
            for step in range {
                fill(step, 64, &texts, &mut step_frames);
                scorer.score(&step_frames, &mut scores).expect("scores");
            }
        };
        // Two episodes: all buffers have had their greatest length.
        steps(0..110);
        let counted = allocation_counter::measure(|| steps(110..220));
        assert_eq!(counted.count_total, 0, "{frames:?}");
    }
}

#[test]
fn an_env_takes_the_memory_of_its_frames_and_little_more() {
    let texts: Arc<[RewardText]> = Arc::from([RewardText::default()]);
    let bytes = |n_envs| {
        let frames = FrameSelection::Window { n_frames: N_FRAMES, stride: 1 };
        let mut made = None;
        let counted = allocation_counter::measure(|| {
            let mut scorer = scorer(frames, n_envs as usize);
            let (mut step_frames, mut scores) = (RewardFrames::default(), Vec::new());
            for step in 0..3 {
                fill(step, n_envs, &texts, &mut step_frames);
                scorer.score(&step_frames, &mut scores).expect("scores");
            }
            made = Some(scorer);
        });
        counted.bytes_current
    };
    let frame_bytes = (N_VIEWS * SIZE * SIZE * 3) as i64;
    let per_env = (bytes(512) - bytes(256)) / 256;
    // The frames of a step, not yet stored, are a buffer of the batch.
    let expected = (i64::from(N_FRAMES) + 1) * frame_bytes;
    assert!(
        expected <= per_env && per_env <= expected + 256,
        "{per_env} bytes per env, {expected} of them frames"
    );
}
