//! A reward model in a crate of its own: how bright the frames of the last steps are.

use std::sync::Arc;

use sayso::rewards::{
    Feature, FrameSelection, Resources, Result, RewardError, RewardModel, RewardOptions, Windows, register,
};
use sayso::sim::{FrameRequest, ImageSpec};
use serde::Deserialize;

/// Options in `[reward]`, beside `kind = "brightness"`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Brightness {
    /// Number of frames.
    n_frames: u32,
    /// Rows and columns of the frames that are rendered.
    size: usize,
}

impl RewardOptions for Brightness {
    fn validate(&self) -> Result<()> {
        if (1..=256).contains(&self.size) {
            return self.frames().validate();
        }
        let (field, got) = ("reward.size".to_owned(), self.size.to_string());
        Err(RewardError::OutOfRange { field, got, expected: "a number in [1, 256]".to_owned() })
    }

    fn load(&self, _: &Resources<'_>) -> Result<Arc<dyn RewardModel>> {
        Ok(Arc::new(Self { ..*self }))
    }
}

impl RewardModel for Brightness {
    fn frame_request(&self) -> FrameRequest {
        let image = ImageSpec { height: self.size, width: self.size, mean: [0.0; 3], std: [1.0; 3] };
        FrameRequest::on_host(image)
    }

    fn feature(&self) -> Feature {
        Feature::Pixels
    }

    fn frames(&self) -> FrameSelection {
        FrameSelection::Window { n_frames: self.n_frames, stride: 1 }
    }

    fn score(&self, windows: &Windows<'_>, out: &mut [f32]) -> Result<()> {
        for (row, score) in out.iter_mut().enumerate() {
            let frames = (0..windows.n_frames()).filter_map(|frame| windows.pixels(row, frame));
            let (sum, n) = frames.flatten().fold((0, 0), |(sum, n), &value| (sum + u64::from(value), n + 1));
            *score = sum as f32 / n as f32 / 255.0;
        }
        Ok(())
    }
}

/// Makes the kind known to every configuration of this process.
pub fn register_kind() -> Result<()> {
    register::<Brightness>("brightness", "Brightness of the last frames, in [0, 1].")
}
