//! The files of a checkpoint: in a folder, embedded in the program, or on the Hugging Face hub.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::hub::{Hub, HubName};
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

    /// The files of the hub repository `owner/name`, or of its revision `owner/name@revision`: a branch, a tag or a commit,
    /// by default the branch `main`. The local cache is searched first, so that a branch stays at the commit that was
    /// downloaded first.
    ///
    /// # Errors
    /// If the name has another form, or the program was built without the feature `hub`.
    pub fn hub(name: &str) -> Result<Self> {
        match HubName::parse(name) {
            Some(name) => Ok(Self::of_hub(Hub::new(name)?)),
            None => Err(RewardError::UnknownModel {
                name: name.into(),
                reason: format!("expected {}", HubName::FORMS),
            }),
        }
    }

    pub(crate) fn of_hub(hub: Hub) -> Self {
        Self { name: hub.name().to_string(), source: Source::Hub(hub) }
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
    /// If the folder cannot be searched or the hub cannot be reached, so that it is not known whether there is such a file.
    pub fn local_path(&self, file: &str) -> Result<Option<PathBuf>> {
        match &self.source {
            Source::Embedded(_) => Ok(None),
            Source::Folder(folder) => {
                let path = folder.join(file);
                match exists(&path) {
                    Ok(true) => Ok(Some(path)),
                    Ok(false) => Ok(None),
                    Err(error) => Err(RewardError::Checkpoint { path, reason: error.to_string() }),
                }
            }
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

/// Whether a file exists. A link whose target is missing is an error, because the file was meant to be there.
pub(crate) fn exists(path: &Path) -> std::io::Result<bool> {
    match std::fs::metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Err(error) if path.is_symlink() => {
            Err(std::io::Error::new(error.kind(), "the target of this link does not exist"))
        }
        Err(_) => Ok(false),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_that_cannot_be_read_is_not_taken_for_an_absent_one() {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let files = ModelFiles::folder(folder.path());
        assert_eq!(files.local_path("config.json").ok(), Some(None));
        for (name, target, reason) in [
            ("vocab.json", "deleted", "the target of this link does not exist"),
            ("tokenizer.json", "tokenizer.json", "symbolic link"),
        ] {
            symlink(target, folder.path().join(name)).unwrap_or_else(|error| panic!("{error}"));
            let error = files.get(name).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(name) && error.contains(reason), "{error}");
        }
    }
}
