//! Reward models by name, including the bundled one.

use std::sync::Arc;
use std::time::Instant;

use sayso_rewards::{
    CheckpointModel, ImageTextModel, ModelDevice, ModelFiles, Resources, RewardModel, load_model,
};
use sayso_sim::Frames;

use crate::config::RewardConfig;
use crate::error::Result;

/// Name of the bundled model; its model card is in `assets/models/`.
pub const BUNDLED: &str = "sayso-clip-64";

/// Files of the bundled model, embedded in the program.
const BUNDLED_FILES: &[(&str, &[u8])] = &[
    ("config.json", include_bytes!("../assets/models/sayso-clip-64/config.json")),
    ("preprocessor_config.json", include_bytes!("../assets/models/sayso-clip-64/preprocessor_config.json")),
    ("tokenizer.json", include_bytes!("../assets/models/sayso-clip-64/tokenizer.json")),
    ("model.safetensors", include_bytes!("../assets/models/sayso-clip-64/model.safetensors")),
];

/// The models embedded in the program; `bundled` is a name of the first one.
pub fn bundled() -> Vec<ModelFiles> {
    vec![ModelFiles::embedded(BUNDLED, BUNDLED_FILES)]
}

/// Whether a name of a model is that of the bundled one.
pub fn is_bundled(name: &str) -> bool {
    [BUNDLED, "bundled"].contains(&name)
}

/// Batch size of [`frames_per_sec`].
const N_TIMED: usize = 128;

/// Frames per second that the image tower embeds on this machine.
///
/// # Errors
/// If the tensor library fails.
pub fn frames_per_sec(model: &dyn ImageTextModel) -> Result<f64> {
    let spec = model.image_spec();
    let frames = Frames::new(N_TIMED, spec.height, spec.width);
    // The first batch also allocates buffers; the second one is timed.
    model.embed_frames(&frames)?;
    let started = Instant::now();
    model.embed_frames(&frames)?;
    Ok(N_TIMED as f64 / started.elapsed().as_secs_f64())
}

/// Loads a model: `bundled`, a folder, or a name on the Hugging Face hub, `owner/name` or `owner/name@revision`.
///
/// # Errors
/// If the name is unknown, or the checkpoint is damaged.
pub fn load(name: &str, device: &ModelDevice) -> Result<Arc<CheckpointModel>> {
    Ok(Arc::new(load_model(name, &bundled(), device)?))
}

/// The reward model of a configuration; `None` for the task's ground truth.
///
/// # Errors
/// If the kind or an option is unknown, or as [`load`].
pub fn reward_model(config: &RewardConfig, device: &ModelDevice) -> Result<Option<Arc<dyn RewardModel>>> {
    let Some(options) = config.model_options()? else { return Ok(None) };
    Ok(Some(options.load(&Resources { device, bundled: &bundled() })?))
}
