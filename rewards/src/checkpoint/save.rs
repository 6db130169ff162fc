//! Saves a trained model in the format of `transformers`.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::PoisonError;

use candle_core::Tensor;
use candle_nn::VarMap;
use safetensors::tensor::serialize;

use crate::preprocess::Preprocess;
use crate::towers::ClipConfig;
use crate::{Result, RewardError};
use sayso_sim::atomic_write;

/// Writes `config.json`, `preprocessor_config.json`, `tokenizer.json` and `model.safetensors` into `folder`, which is
/// created if necessary. The weights are written last, by [`save_weights`]. `tokenizer` is the content of a
/// `tokenizer.json`.
///
/// # Errors
/// If a file cannot be written.
pub fn save_clip(
    folder: &Path,
    config: &ClipConfig,
    preprocess: &Preprocess,
    tokenizer: &str,
    vars: &VarMap,
) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    let pretty = |value: &serde_json::Value| format!("{value:#}\n");
    let config = serde_json::to_value(config).map_err(|error| failed(folder, &error))?;
    let texts = [
        ("config.json", pretty(&config)),
        ("preprocessor_config.json", pretty(&preprocess.to_hugging_face())),
        ("tokenizer.json", tokenizer.to_owned()),
    ];
    for (name, text) in texts {
        let path = folder.join(name);
        atomic_write(&path, text.as_bytes()).map_err(|error| failed(&path, &error))?;
    }
    save_weights(vars, &folder.join("model.safetensors"))
}

/// Writes the variables of [`crate::Clip::trainable`] as a `model.safetensors` under Hugging Face's keys, by an atomic
/// write. Variables that are not part of the towers (auxiliary heads) are left out.
///
/// # Errors
/// If the file cannot be written.
pub fn save_weights(vars: &VarMap, path: &Path) -> Result<()> {
    const KEYS: [&str; 5] =
        ["text_model.", "vision_model.", "text_projection.", "visual_projection.", "logit_scale"];
    let tensors: BTreeMap<String, Tensor> = vars
        .data()
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .iter()
        .filter(|(name, _)| KEYS.iter().any(|key| name.starts_with(key)))
        .map(|(name, var)| (name.clone(), var.as_detached_tensor()))
        .collect();
    // `transformers` rejects a file without this entry.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let bytes = serialize(tensors, Some(metadata)).map_err(|error| failed(path, &error))?;
    atomic_write(path, &bytes).map_err(|error| failed(path, &error))
}

fn failed(path: &Path, reason: &dyn std::fmt::Display) -> RewardError {
    RewardError::Checkpoint { path: path.into(), reason: reason.to_string() }
}
