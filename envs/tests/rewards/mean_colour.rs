//! A small reward model, and envs with it.

use std::sync::Arc;

use sayso_envs::{
    Actions, AutoresetMode, EnvConfig, InstructionChoice, Paraphrases, ResetOptions, RewardSource,
    ScoringConfig, Seed, Space, StepBatch, VecEnv, VectorEnv as _,
};
use sayso_rewards::{
    Embeddings, Feature, FrameSelection, Result, RewardModel, RewardSchedule, RewardText, Windows,
};
use sayso_sim::{FrameBatch, FrameRequest, ImageSpec};

/// Embeds a frame by its mean colour; the score sums over the frames of a window, each with its own weight, and is multiplied
/// by a factor that depends on the instruction: 1 for that of the default configuration.
pub struct MeanColour(pub FrameSelection);

/// The factor of a score.
pub fn factor(instruction: &str) -> f32 {
    if instruction == "touch the red ball" {
        1.0
    } else {
        instruction.bytes().map(f32::from).sum::<f32>() / 1e3
    }
}

impl RewardModel for MeanColour {
    fn frame_request(&self) -> FrameRequest {
        FrameRequest::on_host(ImageSpec { height: 8, width: 8, mean: [0.0; 3], std: [1.0; 3] })
    }

    fn feature(&self) -> Feature {
        Feature::Embedding(3)
    }

    fn frames(&self) -> FrameSelection {
        self.0
    }

    fn embed_frames(&self, frames: &FrameBatch) -> Result<Embeddings> {
        let host = frames.parts.iter().filter_map(|part| match part {
            sayso_sim::FramePart::Host(frames) => Some(frames),
            sayso_sim::FramePart::Device(_) => None,
        });
        let views = host.flat_map(|frames| (0..frames.n_views()).map(|view| frames.view(view)));
        let mean = |view: &[u8], c: usize| {
            view.iter().skip(c).step_by(3).map(|&v| f32::from(v)).sum::<f32>() / (view.len() / 3) as f32
        };
        let values = views.flat_map(|view| [0, 1, 2].map(|channel| mean(view, channel))).collect();
        Ok(Embeddings::from_values(3, values))
    }

    fn embed_text(&self, text: &RewardText) -> Result<Vec<f32>> {
        Ok(vec![factor(&text.instruction)])
    }

    fn score(&self, windows: &Windows<'_>, out: &mut [f32]) -> Result<()> {
        for (row, score) in out.iter_mut().enumerate() {
            let sum: f32 = (0..windows.n_frames())
                .filter_map(|frame| Some((frame, windows.embeddings(row, frame)?)))
                .map(|(frame, views)| (frame + 1) as f32 * views.iter().sum::<f32>())
                .sum();
            *score = windows.text_features(row)[0] * sum;
        }
        Ok(())
    }
}

pub const SELECTIONS: [FrameSelection; 4] = [
    FrameSelection::Last,
    FrameSelection::Window { n_frames: 3, stride: 2 },
    FrameSelection::Pair { lag: 2 },
    FrameSelection::Episode { n_frames: 3 },
];

/// Every selection with every schedule and interval that fit together.
pub fn plans() -> impl Iterator<Item = (FrameSelection, ScoringConfig)> {
    let schedules = [
        (RewardSchedule::HoldLast, 1),
        (RewardSchedule::HoldLast, 3),
        (RewardSchedule::Difference, 1),
        (RewardSchedule::Difference, 2),
        (RewardSchedule::EpisodeEnd, 1),
        (RewardSchedule::Potential, 2),
    ];
    SELECTIONS.into_iter().flat_map(move |frames| {
        schedules.into_iter().map(move |(schedule, every_n_steps)| {
            (frames, ScoringConfig { schedule, every_n_steps, discount: 0.9, ..ScoringConfig::default() })
        })
    })
}

/// Episodes of five steps with the same instruction.
pub fn config(n_envs: usize, autoreset: AutoresetMode) -> EnvConfig {
    EnvConfig { n_envs, autoreset, max_episode_steps: Some(5), ..EnvConfig::default() }
}

/// Episodes of five steps with an instruction of their own.
pub fn instructed(n_envs: usize, autoreset: AutoresetMode) -> EnvConfig {
    let (instruction, paraphrases) = (Some(InstructionChoice::All), Paraphrases::All);
    EnvConfig { instruction, paraphrases, ..config(n_envs, autoreset) }
}

pub fn make(config: &EnvConfig, (frames, scoring): &(FrameSelection, ScoringConfig)) -> VecEnv {
    let model = Arc::new(MeanColour(*frames));
    VecEnv::new(config, RewardSource::Model(model, scoring.clone())).expect("an env")
}

/// The same actions for every env.
pub fn actions(env: &VecEnv, step: usize) -> Actions {
    match env.single_action_space() {
        Space::Discrete { n } => Actions::Discrete(vec![(step % n) as u32; env.n_envs()]),
        space => {
            let values = (0..space.dim()).map(|k| ((k * 7 + step * 3) % 11) as f32 / 5.5 - 1.0);
            Actions::Continuous(values.collect::<Vec<_>>().repeat(env.n_envs()))
        }
    }
}

pub fn reset(env: &mut VecEnv, seed: u64, mask: Option<Vec<bool>>) -> StepBatch {
    let mut batch = StepBatch::default();
    env.reset(&ResetOptions { seed: Some(Seed::Batch(seed)), mask }, &mut batch).expect("a reset");
    batch
}

/// The rewards of `n_steps` steps, one row per step.
pub fn rewards(env: &mut VecEnv, n_steps: usize) -> Vec<Vec<f32>> {
    let mut batch = StepBatch::default();
    let mut step = |step| {
        env.step(&actions(env, step), &mut batch).expect("a step");
        batch.rewards.clone()
    };
    (0..n_steps).map(&mut step).collect()
}
