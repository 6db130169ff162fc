//! Consistency check of a render scene.

use super::{Pattern, RenderScene, Shape};
use crate::{Result, SimError};

impl RenderScene {
    /// Checks that every instance has a pose, that all indices are in range, and that sizes are positive.
    ///
    /// Renderers rely on this; the code that builds a scene checks it once.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn check(&self) -> Result<()> {
        let (expected, got) = (self.instances.len(), self.world_from_instance.len());
        if expected != got {
            return Err(SimError::WrongLength { what: "poses of a render scene", expected, got });
        }
        for (k, instance) in self.instances.iter().enumerate() {
            let field = |name: &str| format!("instances[{k}].{name}");
            index(|| field("material_idx"), instance.material_idx, self.materials.len())?;
            if let Shape::Mesh { mesh_idx, .. } = instance.shape {
                index(|| field("shape.mesh_idx"), mesh_idx, self.meshes.len())?;
            }
            for size in shape_sizes(&instance.shape) {
                positive(|| field("shape"), size, &instance.shape)?;
            }
        }
        for (k, material) in self.materials.iter().enumerate() {
            let field = |name: &str| format!("materials[{k}].pattern.{name}");
            let sizes = match material.pattern {
                Pattern::Plain => [("", 1.0); 2],
                Pattern::Checker { cell, .. } | Pattern::Noise { cell, .. } => [("cell", cell); 2],
                Pattern::Grid { cell, width, .. } => [("cell", cell), ("width", width)],
                Pattern::Wood { ring, .. } => [("ring", ring); 2],
                Pattern::Image { texture_idx, size } => {
                    index(|| field("texture_idx"), texture_idx, self.textures.len())?;
                    [("size", size); 2]
                }
            };
            for (name, size) in sizes {
                positive(|| field(name), size, &size)?;
            }
        }
        Ok(())
    }
}

/// Lengths that must be positive.
fn shape_sizes(shape: &Shape) -> [f32; 3] {
    match *shape {
        Shape::Plane => [1.0; 3],
        Shape::Box { half_extents } => half_extents.to_array(),
        Shape::Sphere { radius } | Shape::Disc { radius } => [radius; 3],
        // A capsule of length zero is a sphere.
        Shape::Capsule { radius, half_length } => [radius, radius, half_length + f32::MIN_POSITIVE],
        Shape::Cylinder { radius, half_length } | Shape::Cone { radius, half_length } => {
            [radius, half_length, half_length]
        }
        // A negative scale mirrors the mesh.
        Shape::Mesh { scale, .. } => scale.abs().to_array(),
    }
}

fn positive(field: impl Fn() -> String, size: f32, got: &impl std::fmt::Debug) -> Result<()> {
    if 0.0 < size && size.is_finite() {
        return Ok(());
    }
    let expected = "positive lengths in metres".into();
    Err(SimError::OutOfRange { field: field(), got: format!("{got:?}"), expected })
}

fn index(field: impl Fn() -> String, idx: u32, len: usize) -> Result<()> {
    if (idx as usize) < len {
        return Ok(());
    }
    let expected = format!("an index below {len}");
    Err(SimError::OutOfRange { field: field(), got: idx.to_string(), expected })
}
