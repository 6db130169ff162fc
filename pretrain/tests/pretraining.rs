//! A small pretraining run resumes bit-exactly, and its losses fall.

#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::ops::ControlFlow;
use std::path::Path;

use sayso_pretrain::{PretrainConfig, PretrainReport, Pretraining, TaskShare};

fn small() -> PretrainConfig {
    PretrainConfig {
        n_images: 64,
        batch_size: 16,
        image_size: 32,
        width: 32,
        n_layers: 1,
        text_width: 32,
        n_text_layers: 1,
        embed_dim: 16,
        tasks: ["Reach-v1", "CartPole-v1"]
            .map(|id| TaskShare { id: id.to_owned(), options: toml::Table::new(), share: 0.5 })
            .to_vec(),
        ..PretrainConfig::default()
    }
}

/// Runs up to step `n_steps`, and returns the exported weights.
fn run(mut training: Pretraining, folder: &Path, n_steps: u64) -> Vec<u8> {
    let stop = |n_done| if n_done == n_steps { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    training.run(folder, |report| stop(report.n_steps)).unwrap();
    training.export(&folder.join("model")).unwrap();
    std::fs::read(folder.join("model/model.safetensors")).unwrap()
}

#[test]
fn an_interrupted_pretraining_resumes_bit_exactly() {
    let (whole, halves) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let expected = run(Pretraining::new(small()).unwrap(), whole.path(), 4);
    let half = run(Pretraining::new(small()).unwrap(), halves.path(), 2);
    let resumed = Pretraining::resume(halves.path()).unwrap();
    assert_eq!((resumed.n_steps(), resumed.config()), (2, &small()));
    let got = run(resumed, halves.path(), 4);
    assert!(half != expected, "two more steps change the weights");
    assert!(got == expected, "the resumed run ends with other weights");
}

#[test]
fn the_losses_fall() {
    let config = PretrainConfig { n_images: 64 * 40, batch_size: 64, ..small() };
    let folder = tempfile::tempdir().unwrap();
    let mut reports = Vec::new();
    let mut training = Pretraining::new(config).unwrap();
    training
        .run(folder.path(), |report| {
            reports.push(*report);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(reports.len(), 40);
    let parts: [fn(&PretrainReport) -> f32; 3] = [|r| r.contrastive, |r| r.patches, |r| r.positions];
    for part in parts {
        let mean = |reports: &[PretrainReport]| reports.iter().map(part).sum::<f32>() / reports.len() as f32;
        let (before, after) = (mean(&reports[..5]), mean(&reports[35..]));
        assert!(after < 0.95 * before, "{before} became {after}");
    }
}
