//! Stored pictures that materials repeat over surfaces.

/// A picture, linear RGB.
#[derive(Debug)]
pub struct Texture {}

impl Texture {
    /// Reads a PNG or JPEG file.
    ///
    /// # Errors
    /// If the file cannot be read or decoded.
    pub fn load(_path: &std::path::Path) -> crate::Result<Self> {
        Ok(Self {})
    }
}
