#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! Compares every stage of every kind of checkpoint with the reference libraries; the values are from `golden/make.py`.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use image::RgbImage;
use sayso_rewards::ops::patchify;
use sayso_rewards::{
    CheckpointModel, Embeddings, Fit, GoalBaseline, GoalBaselineConfig, ImageTextModel, ModelDevice,
    ModelFiles, load_model,
};
use serde::Deserialize;

const TOLERANCE: f32 = 1e-4;

#[derive(Deserialize)]
struct Golden {
    prompts: Vec<String>,
    tokens: Vec<Vec<u32>>,
    text_embeddings: Vec<Vec<f32>>,
    image_embeddings: Vec<Vec<f32>>,
    pixel_values: Vec<Vec<f32>>,
    reward: Option<GoldenReward>,
}

#[derive(Deserialize)]
struct GoldenReward {
    goal: Vec<String>,
    baseline: Vec<String>,
    alpha: f32,
    values: Vec<f32>,
}

fn golden_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn images() -> Vec<RgbImage> {
    let open = |i| image::open(golden_folder().join(format!("image{i}.png"))).unwrap().into_rgb8();
    (0..3).map(open).collect()
}

fn load(case: &str) -> (CheckpointModel, Golden) {
    let folder = golden_folder().join(case);
    let model = CheckpointModel::load(&ModelFiles::folder(&folder), &ModelDevice::cpu()).unwrap();
    let golden = std::fs::read_to_string(folder.join("golden.json")).unwrap();
    (model, serde_json::from_str(&golden).unwrap())
}

fn assert_rows(what: &str, got: &Embeddings, want: &[Vec<f32>]) {
    assert_eq!(got.n_rows(), want.len(), "{what}");
    for (i, (got, want)) in got.rows().zip(want).enumerate() {
        assert_values(&format!("{what} {i}"), got, want);
    }
}

fn assert_values(what: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{what}");
    let error = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(error < TOLERANCE, "{what} is off by {error:e}: {got:?} not {want:?}");
}

fn check(case: &str) {
    let (model, golden) = load(case);

    let frames = model.prepare(&images(), Fit::Checkpoint);
    let spec = model.image_spec();
    for (i, want) in golden.pixel_values.iter().enumerate() {
        // One patch per pixel keeps the rows in reading order; the reference is channel by channel.
        let pixels = patchify(&frames, i..i + 1, spec, 1, DType::F32, &Device::Cpu).unwrap();
        let planes = pixels.squeeze(0).unwrap().t().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let got: Vec<f32> = planes.into_iter().step_by(97).collect();
        assert_values(&format!("{case}: pixels of image {i}"), &got, want);
    }

    for (prompt, want) in golden.prompts.iter().zip(&golden.tokens) {
        assert_eq!(&model.tokenizer().encode(prompt).unwrap(), want, "{case}: tokens of '{prompt}'");
    }

    let images = model.embed_frames(&frames).unwrap();
    assert_rows(&format!("{case}: image"), &images, &golden.image_embeddings);
    let texts = model.embed_prompts(&golden.prompts).unwrap();
    assert_rows(&format!("{case}: text"), &texts, &golden.text_embeddings);

    if let Some(GoldenReward { goal, baseline, alpha, values }) = golden.reward {
        let reward = GoalBaseline::new(
            &model,
            &GoalBaselineConfig { goal_prompts: goal, baseline_prompts: baseline, alpha },
        )
        .unwrap();
        let mut got = Vec::new();
        reward.score(&images, &mut got).unwrap();
        assert_values(&format!("{case}: reward"), &got, &values);
    }
}

#[test]
fn clip_with_quick_gelu_and_vocab_with_merges() {
    check("clip_quick_gelu");
}

#[test]
fn clip_with_gelu_and_the_legacy_end_token_in_two_shards() {
    check("clip_gelu");
}

#[test]
fn clip_with_a_closed_vocabulary_in_a_pickle() {
    check("clip_words");
}

#[test]
fn open_clip_with_its_own_keys_and_head_width() {
    check("open_clip");
}

#[test]
fn siglip_with_its_attention_pool_and_padding() {
    check("siglip");
}

#[test]
fn siglip_2_is_padded_with_the_pad_token_of_its_tokenizer() {
    let (model, golden) = load("siglip2");
    assert!(golden.tokens.iter().all(|tokens| tokens.last() == Some(&0)));
    assert_eq!(model.tokenizer().encode("a").unwrap().last(), Some(&0));
    check("siglip2");
}

#[test]
fn a_batch_embeds_as_its_parts() {
    let (model, _) = load("clip_quick_gelu");
    let images = images();
    let many: Vec<RgbImage> = images.iter().cycle().take(70).cloned().collect();
    let all = model.embed_frames(&model.prepare(&many, Fit::Squash)).unwrap();
    for (i, row) in all.rows().enumerate() {
        let one = model.embed_frames(&model.prepare(&many[i..=i], Fit::Squash)).unwrap();
        assert_values(&format!("image {i}"), row, one.values());
    }
}

#[test]
fn prompts_that_a_model_cannot_read_are_errors() {
    let (model, _) = load("clip_words");
    let message = |prompt: &str| model.embed_prompts(&[prompt.to_owned()]).unwrap_err().to_string();
    let unknown = message("a redd purple Ball");
    assert!(
        unknown.contains("does not know 'redd', 'purple'") && unknown.contains("among them 'red'"),
        "{unknown}"
    );
    let long = message("a red ball on top of the cart a red ball on top");
    assert!(long.contains("15 tokens long and the model reads 12; 3 would be cut"), "{long}");
    assert!(model.tokenizer().closed_vocabulary().unwrap().contains(&"upright".to_owned()));
    assert_eq!(load("siglip").0.tokenizer().closed_vocabulary(), None);
}

#[test]
fn frames_of_another_size_are_an_error() {
    let (model, _) = load("clip_words");
    let error = model.embed_frames(&sayso_sim::Frames::new(1, 32, 31)).unwrap_err().to_string();
    assert_eq!(error, "the model reads (32, 32) pixels (height, width) and got (32, 31)");
}

#[test]
fn a_folder_is_a_model_name() {
    let folder = golden_folder().join("siglip");
    let model = load_model(folder.to_str().unwrap(), &[], &ModelDevice::cpu()).unwrap();
    assert_eq!(model.embed_dim(), 32);
}
