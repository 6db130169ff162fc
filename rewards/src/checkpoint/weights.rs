//! The tensors of a checkpoint's weight files.

use std::collections::{BTreeSet, HashMap};

use candle_core::safetensors::Load;
use candle_core::{Device, Tensor};
use safetensors::SafeTensors;
use serde::Deserialize;

use super::torch_file;
use crate::Result;
use crate::error::tensor_message;
use crate::files::ModelFiles;

/// Tensors by name, on the CPU, with their stored dtype.
pub(super) type Tensors = HashMap<String, Tensor>;

/// `model.safetensors.index.json`: the file of each tensor.
#[derive(Deserialize)]
struct Index {
    weight_map: HashMap<String, String>,
}

/// Reads the first of `names` that exists: `*.safetensors` (one file, or the shards that an index lists), or a PyTorch
/// pickle (`*.bin`, `*.pt`), of which only tensors are read. Also returns its name.
pub(super) fn load(files: &ModelFiles, names: &[&str]) -> Result<(String, Tensors)> {
    for name in names {
        let tensors =
            if name.ends_with(".safetensors") { safetensors(files, name)? } else { pickle(files, name)? };
        if let Some(tensors) = tensors {
            return Ok(((*name).to_owned(), tensors));
        }
    }
    Err(files.error(
        names.first().unwrap_or(&"model.safetensors"),
        "no such file; the weights of the checkpoint are missing",
    ))
}

fn safetensors(files: &ModelFiles, name: &str) -> Result<Option<Tensors>> {
    let index_name = format!("{name}.index.json");
    if let Some(bytes) = files.get(name)? {
        return parse(files, name, &bytes).map(Some);
    }
    let Some(index) = files.json::<Index>(&index_name)? else { return Ok(None) };
    let mut tensors = Tensors::new();
    for part in index.weight_map.values().collect::<BTreeSet<_>>() {
        if part.contains(['/', '\\']) {
            return Err(files.error(&index_name, format!("'{part}' is not a file name in the same folder")));
        }
        tensors.extend(parse(files, part, &files.require(part)?)?);
    }
    if let Some(absent) = index.weight_map.keys().find(|name| !tensors.contains_key(*name)) {
        return Err(files.error(&index_name, format!("lists tensor '{absent}', which no shard contains")));
    }
    Ok(Some(tensors))
}

fn parse(files: &ModelFiles, name: &str, bytes: &[u8]) -> Result<Tensors> {
    let damaged = |error: &dyn std::fmt::Display| files.error(name, format!("damaged or cut short: {error}"));
    let parsed = SafeTensors::deserialize(bytes).map_err(|error| damaged(&error))?;
    parsed
        .iter()
        .map(|(key, view)| match view.load(&Device::Cpu) {
            Ok(tensor) => Ok((key.to_owned(), tensor)),
            Err(error) => Err(files.error(name, format!("tensor '{key}': {}", tensor_message(&error)))),
        })
        .collect()
}

fn pickle(files: &ModelFiles, name: &str) -> Result<Option<Tensors>> {
    let Some(path) = files.local_path(name)? else { return Ok(None) };
    let mut tensors = Tensors::new();
    for (key, tensor) in torch_file::read(&path).map_err(|reason| files.error(name, reason))? {
        // `DataParallel` puts this before every name.
        let key = key.strip_prefix("module.").unwrap_or(&key).to_owned();
        if tensors.insert(key.clone(), tensor).is_some() {
            return Err(
                files.error(name, format!("tensor '{key}' is there twice, with and without 'module.'"))
            );
        }
    }
    Ok(Some(tensors))
}
