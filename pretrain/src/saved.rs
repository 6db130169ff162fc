//! Checkpoints of pretraining: one safetensors file, with the configuration in its header.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use sayso_sim::atomic_write;

use crate::config::PretrainConfig;
use crate::{PretrainError, Result};

/// Name of the checkpoint file in the folder of a run.
pub const CHECKPOINT: &str = "pretrain.safetensors";

/// Contents of a checkpoint.
pub(super) struct Saved {
    pub config: PretrainConfig,
    pub n_steps: u64,
    /// Configurations of the earlier runs that the initial weights come from, oldest first.
    pub earlier: Vec<PretrainConfig>,
    pub tensors: HashMap<String, Tensor>,
}

impl Saved {
    /// Writes the file atomically; its folder is created if missing.
    pub fn save(&self, path: &Path) -> Result<()> {
        let error = |e: &dyn std::fmt::Display| failure(path, format!("cannot be written: {e}"));
        let header = HashMap::from([
            ("config".to_owned(), serde_json::to_string(&self.config).map_err(|e| error(&e))?),
            ("earlier".to_owned(), serde_json::to_string(&self.earlier).map_err(|e| error(&e))?),
            ("n_steps".to_owned(), self.n_steps.to_string()),
        ]);
        let bytes = safetensors::serialize(&self.tensors, Some(header)).map_err(|e| error(&e))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(|e| error(&e))?;
        atomic_write(path, &bytes).map_err(|e| error(&e))
    }

    /// Reads a file that [`Self::save`] wrote.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| failure(path, e.to_string()))?;
        let (_, header) =
            safetensors::SafeTensors::read_metadata(&bytes).map_err(|e| failure(path, e.to_string()))?;
        let metadata = header.metadata().as_ref();
        let entry = |name: &str| {
            metadata
                .and_then(|m| m.get(name))
                .ok_or_else(|| failure(path, format!("its header has no '{name}'")))
        };
        let config = entry("config")?;
        if config.contains("\"n_pictures\"") {
            let reason = "was written by an older program: 'n_pictures' is now 'n_images'; pretrain again";
            return Err(failure(path, reason.to_owned()));
        }
        let config = serde_json::from_str(config).map_err(|e| failure(path, format!("config: {e}")))?;
        let earlier =
            serde_json::from_str(entry("earlier")?).map_err(|e| failure(path, format!("earlier: {e}")))?;
        let n_steps = entry("n_steps")?.parse().map_err(|e| failure(path, format!("n_steps: {e}")))?;
        let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)
            .map_err(|e| failure(path, e.to_string()))?;
        Ok(Self { config, n_steps, earlier, tensors })
    }

    /// A tensor of the file.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let path = PathBuf::from(CHECKPOINT);
        let tensor =
            self.tensors.get(name).ok_or_else(|| failure(&path, format!("tensor '{name}' is missing")))?;
        if tensor.dims() != shape {
            let reason = format!("tensor '{name}' has shape {:?}, expected {shape:?}", tensor.dims());
            return Err(failure(&path, reason));
        }
        Ok(tensor.clone())
    }
}

fn failure(path: &Path, reason: String) -> PretrainError {
    PretrainError::Checkpoint { path: path.to_owned(), reason }
}
