//! Triangle meshes and their bounding volume hierarchy.

/// A triangle mesh, ready to be traced.
#[derive(Debug)]
pub struct Mesh {}

impl Mesh {
    /// Checks and indexes a mesh.
    ///
    /// # Errors
    /// If an index is out of range or a vertex is not finite.
    pub fn new(_vertices: Vec<[f32; 3]>, _triangles: Vec<[u32; 3]>) -> crate::Result<Self> {
        Ok(Self {})
    }
}
