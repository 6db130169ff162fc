//! Loads models by name.

use std::path::Path;

use sayso_sim::names;

use super::model::CheckpointModel;
use crate::files::ModelFiles;
use crate::{ModelDevice, Result, RewardError};

/// Loads a model by name: `bundled` (the first of `bundled`), the name of one of `bundled`, a folder, or a repository of the
/// Hugging Face hub, `owner/name`. An existing folder takes precedence over the hub.
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
    if is_hub_name(name) {
        return CheckpointModel::load(&ModelFiles::hub(name)?, model_device);
    }
    Err(RewardError::UnknownModel { name: name.into(), reason: advice(name, bundled) })
}

/// Whether a name has the form `owner/name` that the hub allows.
fn is_hub_name(name: &str) -> bool {
    let is_part = |part: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !part.is_empty() && part.chars().all(allowed) && !part.starts_with('.') && !part.ends_with('.')
    };
    name.split_once('/').is_some_and(|(owner, rest)| is_part(owner) && is_part(rest))
}

fn advice(name: &str, bundled: &[ModelFiles]) -> String {
    let known: Vec<&str> = std::iter::once("bundled").chain(bundled.iter().map(ModelFiles::name)).collect();
    match names::nearest(name, known.iter().copied()) {
        Some(known) => format!("did you mean '{known}'?"),
        None => format!(
            "there is no such folder; expected {}, a folder with a checkpoint, or 'owner/name' of the Hugging Face hub",
            known.iter().map(|known| format!("'{known}'")).collect::<Vec<_>>().join(", ")
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

    #[test]
    fn hub_names_have_an_owner_and_a_name() {
        assert!(is_hub_name("openai/clip-vit-base-patch32") && is_hub_name("laion/CLIP-ViT-B-32_s34B.b79K"));
        for name in ["clip", "/tmp", "./model", "a/b/c", "../x", "owner/", "a b/c"] {
            assert!(!is_hub_name(name), "{name}");
        }
    }
}
