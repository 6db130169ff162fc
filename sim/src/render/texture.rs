//! Stored pictures that materials repeat over surfaces.

/// A picture, linear RGB.
#[derive(Debug)]
pub struct Texture {}
