//! `sayso score`: scores of a reward model for image files.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::rewards::{
    Fit, FrameScorer, GoalBaselineConfig, ImageTextModel as _, ModelDevice, RewardText, VlmRmModel,
};
use crate::sim::read_image;
use crate::{Error, models};
use anyhow::Result;

use super::Outcome;
use super::failure::BadInput;
use super::tables::table;

/// Maximum height and width of an image, pixels.
const MAX_SIDE: usize = 32_768;
/// Number of images in memory at once.
const BATCH: usize = 64;

/// Score image files against a goal prompt
///
/// The score is that of VLM-RM: with --alpha 0 the cosine similarity to the goal prompt; above, the image's embedding is partly
/// projected onto the line through both prompts. Each image is one view; images of any size are resized as the model's
/// configuration says.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// PNG or JPEG files
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Goal prompt: a description of the goal state; repeat it to average several
    #[arg(long, required = true, value_name = "TEXT")]
    goal_prompt: Vec<String>,
    /// Baseline prompt: a description without the goal, one for each goal prompt; required if --alpha is above 0
    #[arg(long, value_name = "TEXT")]
    baseline_prompt: Vec<String>,
    /// Strength of goal-baseline regularisation [default: 0.5 with a baseline prompt, 0 without]
    #[arg(long, value_name = "0..1")]
    alpha: Option<f32>,
    /// Reward model: `bundled`, a folder, or `owner/name[@revision]` on the Hugging Face hub
    #[arg(long, value_name = "MODEL", default_value = "bundled")]
    model: String,
    /// Print one JSON object per line instead of a table
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  sayso score view.png --goal-prompt 'the gripper touching the red ball' --baseline-prompt 'the gripper far from the red ball'
  sayso score cat.jpg --goal-prompt 'a photo of a cat' --alpha 0 --model openai/clip-vit-base-patch32 --json";

/// Runs the command.
pub fn run(args: &Args) -> Result<Outcome> {
    let default_alpha = if args.baseline_prompt.is_empty() { 0.0 } else { 0.5 };
    let prompts = GoalBaselineConfig {
        goal_prompts: args.goal_prompt.clone(),
        baseline_prompts: args.baseline_prompt.clone(),
        alpha: args.alpha.unwrap_or(default_alpha),
    };
    check(&prompts)?;
    let model = models::load(&args.model, &ModelDevice::cpu())?;
    let text = RewardText {
        instruction: args.goal_prompt[0].clone(),
        goal_prompts: prompts.goal_prompts,
        baseline_prompts: prompts.baseline_prompts,
    };
    let reward_model = Arc::new(VlmRmModel::new(model.clone(), prompts.alpha));
    let scorer = FrameScorer::new(reward_model, &text).map_err(Error::from)?;
    let mut scores = Vec::with_capacity(args.images.len());
    for paths in args.images.chunks(BATCH) {
        let images = paths.iter().map(|path| read_image(path, MAX_SIDE)).collect::<Result<Vec<_>, _>>();
        let images = images.map_err(Error::from)?;
        let frames = model.prepare(&images, Fit::Checkpoint);
        scores.extend(scorer.score(&frames.into()).map_err(Error::from)?);
    }
    print(args, &scores)?;
    Ok(Outcome::Done)
}

/// Checks the prompts before the model is loaded, which may take long.
fn check(prompts: &GoalBaselineConfig) -> Result<()> {
    if prompts.goal_prompts.iter().chain(&prompts.baseline_prompts).any(|prompt| prompt.trim().is_empty()) {
        return Err(BadInput::refuse("a prompt is empty", "describe the goal state in words"));
    }
    if !(0.0..=1.0).contains(&prompts.alpha) {
        let message = format!("--alpha {} is out of range; expected a number in [0, 1]", prompts.alpha);
        return Err(BadInput::refuse(message, "0 is plain cosine similarity, 1 full projection"));
    }
    if prompts.alpha > 0.0 && prompts.baseline_prompts.is_empty() {
        return Err(BadInput::refuse(
            "--alpha needs a --baseline-prompt",
            "describe the scene without the goal, or use --alpha 0",
        ));
    }
    Ok(prompts.validate().map_err(Error::from)?)
}

fn print(args: &Args, scores: &[f32]) -> io::Result<()> {
    if args.json {
        for (path, score) in args.images.iter().zip(scores) {
            print_line!("{}", serde_json::json!({ "image": path.display().to_string(), "score": score }))?;
        }
        return Ok(());
    }
    let mut table = table(["Image", "Score"]);
    for (path, score) in args.images.iter().zip(scores) {
        table.add_row([path.display().to_string(), format!("{score:.4}")]);
    }
    print_line!("{table}")
}
