//! Loading of scene files.

use std::path::Path;

use super::{SceneSpec, TextureSpec};
use crate::{Result, SimError};

impl SceneSpec {
    /// Reads and checks a scene in TOML. Paths of images are relative to the file's folder.
    ///
    /// # Errors
    /// If the file cannot be read, is not TOML with the fields of a scene, or the scene is invalid ([`SceneSpec::check`]).
    pub fn load(path: &Path) -> Result<Self> {
        let unreadable = |e: std::io::Error| SimError::File { path: path.to_owned(), reason: e.to_string() };
        Self::parse(&std::fs::read_to_string(path).map_err(unreadable)?, path)
    }

    /// As [`Self::load`], from the text of the file `path`.
    ///
    /// # Errors
    /// As those of [`Self::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let file_error = |e: toml::de::Error| SimError::File { path: path.to_owned(), reason: e.to_string() };
        let mut spec: Self = toml::from_str(text).map_err(file_error)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        for material in &mut spec.materials {
            if let TextureSpec::Image { path, .. } = &mut material.texture {
                *path = folder.join(&*path);
            }
        }
        spec.check()?;
        Ok(spec)
    }
}
