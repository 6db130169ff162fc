//! Loads models by name.

use std::path::Path;

use sayso_sim::names;

use super::model::CheckpointModel;
use crate::files::ModelFiles;
use crate::hub::HubName;
use crate::{ModelDevice, Result, RewardError};

/// Loads a model by name: `bundled` (the first of `bundled`), the name of one of `bundled`, a folder, or a repository of the
/// Hugging Face hub, `owner/name` or `owner/name@revision` (a branch, a tag or a commit). An existing folder takes
/// precedence over the hub.
///
/// # Errors
/// If the name cannot be resolved, with a similar name or the accepted forms, or the checkpoint is incomplete.
pub fn load_model(name: &str, bundled: &[ModelFiles], model_device: &ModelDevice) -> Result<CheckpointModel> {
    let by_name = bundled.iter().find(|files| files.name() == name);
    let first = if name == "bundled" { bundled.first() } else { None };
    if let Some(files) = by_name.or(first) {
        return CheckpointModel::load(files, model_device);
    }
    if Path::new(name).is_dir() {
        return CheckpointModel::load(&ModelFiles::folder(name), model_device);
    }
    if HubName::parse(name).is_some() {
        return CheckpointModel::load(&ModelFiles::hub(name)?, model_device);
    }
    Err(RewardError::UnknownModel { name: name.into(), reason: advice(name, bundled) })
}

fn advice(name: &str, bundled: &[ModelFiles]) -> String {
    let known: Vec<&str> = std::iter::once("bundled").chain(bundled.iter().map(ModelFiles::name)).collect();
    match names::nearest(name, known.iter().copied()) {
        Some(known) => format!("did you mean '{known}'?"),
        None => format!(
            "there is no such folder; expected {}, a folder with a checkpoint, or {}",
            known.iter().map(|known| format!("'{known}'")).collect::<Vec<_>>().join(", "),
            HubName::FORMS
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(name: &str) -> String {
        let bundled = [ModelFiles::embedded("tiny-clip", &[])];
        load_model(name, &bundled, &ModelDevice::cpu()).err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn unknown_names_get_advice() {
        assert_eq!(message("bundeld"), "no model 'bundeld': did you mean 'bundled'?");
        assert_eq!(message("tiny_clip"), "no model 'tiny_clip': did you mean 'tiny-clip'?");
        assert!(message("./zzz/qqq/www").contains("there is no such folder"));
        assert!(message("bundled").contains("tiny-clip/config.json: no such file"));
    }
}
