//! Triangle meshes and their bounding volume hierarchy.

/// A triangle mesh, ready to be traced.
#[derive(Debug)]
pub struct Mesh {}
