//! `sayso score` and `sayso pretrain`; closed pipes.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use image::RgbImage;
use sayso::envs::{EnvConfig, ResetOptions, RewardSource, StepBatch, VecEnv, VectorEnv as _};
use sayso::models;
use sayso::rewards::{FrameScorer, ImageTextModel as _, ModelDevice, RewardText, VlmRmModel};

use crate::program::{command, sayso, stderr, stdout};

const GOAL: &str = "the gripper touching the red ball";
const BASELINE: &str = "the gripper far from the red ball";

/// Scores from `sayso score --json`, in the order of the images.
fn rewards(folder: &Path, images: &[String], more: &[&str]) -> Vec<f32> {
    let mut args = vec!["score", "--json", "--goal-prompt", GOAL, "--baseline-prompt", BASELINE];
    args.extend(images.iter().map(String::as_str));
    args.extend(more);
    let output = sayso(folder, &args);
    assert!(output.status.success(), "{}", stderr(&output));
    let reward = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).expect("one JSON object per line");
        line["score"].as_f64().expect("a number") as f32
    };
    stdout(&output).lines().map(reward).collect()
}

/// Writes the first frames of a few episodes as PNG files; returns the file names and the frames.
fn write_frames(folder: &Path, n_envs: usize, size: usize) -> (Vec<String>, sayso::sim::Frames) {
    let config = EnvConfig { n_envs, ..EnvConfig::default() };
    let mut env = VecEnv::new(&config, RewardSource::None).expect("an env");
    let reset = ResetOptions { seed: Some(5.into()), mask: None };
    env.reset(&reset, &mut StepBatch::default()).expect("a reset");
    let frames = env.render("front", size, size).expect("frames");
    let mut names = Vec::new();
    for idx in 0..n_envs {
        let side = size as u32;
        let image = RgbImage::from_raw(side, side, frames.view(idx).to_vec()).expect("an image");
        names.push(format!("{idx}.png"));
        image.save(folder.join(&names[idx])).expect("saves");
    }
    (names, frames)
}

/// The writing end of a pipe without a reader.
fn closed_pipe() -> std::io::PipeWriter {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer
}

#[test]
fn a_closed_pipe_ends_a_command_without_an_error() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let (names, _) = write_frames(dir.path(), 2, 64);
    let score = ["score", "--json", "--goal-prompt", GOAL, &names[0], &names[1]];
    for args in [&score[..], &["envs"], &["envs", "Reach-v1"]] {
        let output = command(dir.path(), args).stdout(closed_pipe()).output().expect("ends");
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
        assert_eq!(stderr(&output), "", "{args:?}");
    }
}

#[test]
fn a_panic_exits_with_the_code_of_internal_errors() {
    let dir = tempfile::tempdir().expect("temporary folder");
    // `eprintln!` panics if nobody reads stderr.
    let status = command(dir.path(), &["eval", "none"]).stderr(closed_pipe()).status().expect("ends");
    assert_eq!(status.code(), Some(1));
}

#[test]
fn images_have_the_scores_of_the_same_frames_in_training() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let model = models::load("bundled", &ModelDevice::cpu()).expect("the bundled model");
    let size = model.image_spec().width;
    let text = RewardText {
        instruction: GOAL.into(),
        goal_prompts: vec![GOAL.into()],
        baseline_prompts: vec![BASELINE.into()],
    };
    let scorer = FrameScorer::new(Arc::new(VlmRmModel::new(model, 0.25)), &text).expect("its prompts");
    let (names, frames) = write_frames(dir.path(), 3, size);
    let expected = scorer.score(&frames.into()).expect("scores");
    let got = rewards(dir.path(), &names, &["--alpha", "0.25"]);
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(&expected) {
        assert!((got - expected).abs() < 1e-6, "{got} for {expected}");
    }
    assert!(got[0] != got[1], "different images, different scores");
}

#[test]
fn bad_images_and_prompts_are_refused() {
    let dir = tempfile::tempdir().expect("temporary folder");
    write_frames(dir.path(), 1, 80);
    fs::write(dir.path().join("broken.png"), b"\x89PNG\r\n\x1a\nnot really").expect("writes");
    let long = format!("the gripper {} the red ball", "touching ".repeat(200));
    let cases: [(&[&str], &[&str]); 5] = [
        (&["broken.png", "--goal-prompt", GOAL, "--alpha", "0"], &["broken.png"]),
        (&["missing.png", "--goal-prompt", GOAL, "--alpha", "0"], &["missing.png"]),
        (&["0.png", "--goal-prompt", GOAL, "--alpha", "0.5"], &["--alpha needs a --baseline-prompt"]),
        (&["0.png", "--goal-prompt", &long, "--alpha", "0"], &["token"]),
        (&["0.png", "--goal-prompt", "a zebra", "--alpha", "0"], &["zebra"]),
    ];
    for (args, expected) in cases {
        let output = sayso(dir.path(), &[&["score"], args].concat());
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {message}");
        for part in expected {
            assert!(message.contains(part), "{args:?}: '{part}' is missing in: {message}");
        }
    }
}

#[test]
fn a_pretrained_model_is_exported_described_and_used() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let config = "n_images = 32\nbatch_size = 16\nwidth = 32\nn_layers = 1\ntext_width = 32\nn_text_layers = 1\n\
                  embed_dim = 16\n\n[[tasks]]\nid = 'Reach-v1'\nshare = 1.0\n";
    fs::write(dir.path().join("small.toml"), config).expect("writes");
    let output = sayso(dir.path(), &["pretrain", "--config", "small.toml", "--out", "made"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("Rank correlation"), "{}", stdout(&output));
    let model = dir.path().join("made/model");
    for part in ["config.json", "preprocessor_config.json", "tokenizer.json", "model.safetensors"] {
        assert!(model.join(part).exists(), "{part} is missing");
    }
    let card = fs::read_to_string(model.join("README.md")).expect("a model card");
    assert!(card.contains("Reach-v1") && !card.contains("GoTo-v1"), "{card}");

    let (names, _) = write_frames(dir.path(), 2, 100);
    let got = rewards(dir.path(), &names, &["--model", "made/model"]);
    assert!(got.len() == 2 && got.iter().all(|reward| reward.is_finite()), "{got:?}");
    let output = sayso(dir.path(), &["pretrain", "--resume", "made"]);
    assert!(output.status.success(), "a finished pretraining run is exported again: {}", stderr(&output));

    let further = ["pretrain", "--from", "made", "--images", "16", "--seed", "1", "--out", "further"];
    let output = sayso(dir.path(), &further);
    assert!(output.status.success(), "{}", stderr(&output));
    let card = fs::read_to_string(dir.path().join("further/model/README.md")).expect("a model card");
    assert!(
        card.contains("48 images") && card.contains("| 2 | 1 | 16 |"),
        "the card lists both runs: {card}"
    );
    let output = sayso(dir.path(), &["pretrain", "--from", "nowhere"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));

    let output = sayso(dir.path(), &["pretrain", "--config", "small.toml", "--out", "made"]);
    assert_eq!(output.status.code(), Some(2), "an occupied folder is refused: {}", stderr(&output));
}
