//! The files of a checkpoint: in a folder, embedded in the program, or on the Hugging Face hub.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::hub::Hub;
use crate::{Result, RewardError};

/// The files of a checkpoint, by name.
#[derive(Clone, Debug)]
pub struct ModelFiles {
    name: String,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Folder(PathBuf),
    Embedded(&'static [(&'static str, &'static [u8])]),
    Hub(Hub),
}

impl ModelFiles {
    /// The files of a folder.
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { name: path.display().to_string(), source: Source::Folder(path) }
    }

    /// Files embedded in the program, `(file name, content)`.
    pub fn embedded(name: &str, files: &'static [(&'static str, &'static [u8])]) -> Self {
        Self { name: name.into(), source: Source::Embedded(files) }
    }

    /// The files of the hub repository `owner/name`; the local cache is searched first.
    ///
    /// # Errors
    /// If the program was built without the feature `hub`.
    pub fn hub(name: &str) -> Result<Self> {
        Ok(Self { name: name.into(), source: Source::Hub(Hub::new(name)?) })
    }

    /// Name of the model.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Path of a file in error messages, `{name}/{file}`.
    pub fn path_of(&self, file: &str) -> PathBuf {
        Path::new(&self.name).join(file)
    }

    /// The content of a file, `None` if there is no such file.
    ///
    /// # Errors
    /// If it exists but cannot be read, or the hub cannot be reached.
    pub fn get(&self, file: &str) -> Result<Option<Cow<'static, [u8]>>> {
        if let Source::Embedded(files) = &self.source {
            return Ok(files.iter().find(|(name, _)| *name == file).map(|(_, bytes)| Cow::Borrowed(*bytes)));
        }
        let Some(path) = self.local_path(file)? else { return Ok(None) };
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(Cow::Owned(bytes))),
            Err(error) => Err(RewardError::Checkpoint { path, reason: error.to_string() }),
        }
    }

    /// The path of a file on this machine, `None` if there is no such file or it is embedded in the program.
    ///
    /// # Errors
    /// If the hub cannot be reached.
    pub fn local_path(&self, file: &str) -> Result<Option<PathBuf>> {
        match &self.source {
            Source::Embedded(_) => Ok(None),
            Source::Folder(folder) => Ok(Some(folder.join(file)).filter(|path| path.is_file())),
            Source::Hub(hub) => hub.path(file),
        }
    }

    /// An error about one of the files.
    pub fn error(&self, file: &str, reason: impl ToString) -> RewardError {
        RewardError::Checkpoint { path: self.path_of(file), reason: reason.to_string() }
    }

    /// The content of a required file.
    ///
    /// # Errors
    /// If it is missing or cannot be read.
    pub fn require(&self, file: &str) -> Result<Cow<'static, [u8]>> {
        self.get(file)?.ok_or_else(|| self.error(file, "no such file"))
    }

    /// The content of a JSON file, `None` if there is no such file.
    ///
    /// # Errors
    /// If it cannot be read or is not JSON of the type `T`.
    pub fn json<T: serde::de::DeserializeOwned>(&self, file: &str) -> Result<Option<T>> {
        let Some(bytes) = self.get(file)? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| self.error(file, error))
    }
}
