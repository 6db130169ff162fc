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
        let file_error =
            |e: &dyn std::fmt::Display| SimError::File { path: path.to_owned(), reason: e.to_string() };
        let text = std::fs::read_to_string(path).map_err(|e| file_error(&e))?;
        let mut spec: Self = toml::from_str(&text).map_err(|e| file_error(&e))?;
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
