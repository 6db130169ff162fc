//! Writing a trained model in the form that `transformers` reads.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::PoisonError;

use candle_core::Tensor;
use candle_nn::VarMap;
use safetensors::tensor::serialize_to_file;

use crate::preprocess::Preprocess;
use crate::towers::ClipConfig;
use crate::{Result, RewardError};

/// Writes `config.json`, `preprocessor_config.json`, `tokenizer.json` and `model.safetensors` into `folder`, which is made if it
/// is absent. The weights are written last and moved into place whole.
///
/// `vars` are the variables of [`crate::Clip::trainable`]; those whose name starts with none of the towers' keys (auxiliary
/// heads) are left out. `tokenizer` is the content of a `tokenizer.json`.
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
    const KEYS: [&str; 5] =
        ["text_model.", "vision_model.", "text_projection.", "visual_projection.", "logit_scale"];
    let at = |path: &Path, reason: &dyn std::fmt::Display| RewardError::Checkpoint {
        path: path.into(),
        reason: reason.to_string(),
    };
    std::fs::create_dir_all(folder).map_err(|error| at(folder, &error))?;
    let pretty = |value: &serde_json::Value| format!("{value:#}\n");
    let config = serde_json::to_value(config).map_err(|error| at(folder, &error))?;
    let texts = [
        ("config.json", pretty(&config)),
        ("preprocessor_config.json", pretty(&preprocess.to_hugging_face())),
        ("tokenizer.json", tokenizer.to_owned()),
    ];
    for (name, text) in texts {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|error| at(&path, &error))?;
    }
    let tensors: BTreeMap<String, Tensor> = vars
        .data()
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .iter()
        .filter(|(name, _)| KEYS.iter().any(|key| name.starts_with(key)))
        .map(|(name, var)| (name.clone(), var.as_detached_tensor()))
        .collect();
    let (path, part) = (folder.join("model.safetensors"), folder.join("model.safetensors.part"));
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    serialize_to_file(tensors, Some(metadata), &part).map_err(|error| at(&part, &error))?;
    std::fs::rename(&part, &path).map_err(|error| at(&path, &error))
}
