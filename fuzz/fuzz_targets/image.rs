//! Image files, as textures and as images to score.

#![no_main]

use std::fs;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use sayso::rewards::{CheckpointModel, Fit, ImageTextModel as _, ModelDevice};
use sayso::sim::read_image;
use sayso::sim::render::Texture;
use sayso_fuzz::MAX_SIDE;
use tempfile::TempDir;

struct Fixture {
    folder: TempDir,
    model: Arc<CheckpointModel>,
}

thread_local! {
    static FIXTURE: Fixture = Fixture {
        folder: sayso_fuzz::scratch_folder(),
        model: sayso::models::load("bundled", &ModelDevice::cpu()).expect("the bundled model"),
    };
}

fuzz_target!(|data: &[u8]| {
    FIXTURE.with(|fixture| {
        let path = fixture.folder.path().join("image.png");
        fs::write(&path, data).expect("a write to memory");
        let Ok(image) = read_image(&path, MAX_SIDE) else { return };
        Texture::load(&path).expect("a texture is an image");
        let frames = fixture.model.prepare(&[image], Fit::Checkpoint);
        assert_eq!(frames.n_views(), 1);
    });
});
