//! Instances in the form that the kernels read: with the transform into the part's frame and a bound in the world.

use super::packet::Rows;
use crate::math::{Mat3, Pose, Vec3};
use crate::render::{Instance, Material, Pattern, RenderScene, Shape};

/// One instance, prepared for the kernels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// Transform into the frame of the shape; it includes the inverse of a mesh's scale.
    pub local_from_world: Rows,
    pub shape: Shape,
    pub material: Material,
    pub object_id: u32,
    pub bound: Bound,
}

/// A bounding volume of a part, in the world.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bound {
    /// No bound: a plane.
    Everywhere,
    /// All points within `radius` of a segment.
    Capsule { ends: [Vec3; 2], radius: f32 },
    /// An oriented box.
    Box { centre: Vec3, half_axes: [Vec3; 3] },
}

impl Part {
    /// An instance of `render_scene` at its pose. Its transform is not finite if the pose or the size is not.
    pub fn new(instance: &Instance, world_from_instance: &Pose, render_scene: &RenderScene) -> Self {
        let (scale, bound) = frame(&instance.shape, world_from_instance, render_scene);
        Self {
            local_from_world: local_from_world(world_from_instance, scale),
            shape: instance.shape,
            material: render_scene.materials[instance.material_idx as usize],
            object_id: instance.object_id,
            bound,
        }
    }

    /// Whether the base colour is uniform.
    pub fn is_plain(&self) -> bool {
        self.material.pattern == Pattern::Plain
    }

    /// Whether the shape is convex: a point that faces the sun cannot be in the part's own shadow.
    pub fn is_convex(&self) -> bool {
        !matches!(self.shape, Shape::Mesh { .. })
    }

    /// The scale of its frame: 1 except for meshes.
    pub fn scale(&self) -> Vec3 {
        match self.shape {
            Shape::Mesh { scale, .. } => scale,
            _ => Vec3::ONE,
        }
    }
}

impl Bound {
    /// The range of `p · direction` over all points of the bound, for a unit `direction`.
    pub fn range(&self, direction: Vec3) -> [f32; 2] {
        match *self {
            Bound::Everywhere => [f32::NEG_INFINITY, f32::INFINITY],
            Bound::Capsule { ends: [a, b], radius } => {
                let (a, b) = (a.dot(direction), b.dot(direction));
                [a.min(b) - radius, a.max(b) + radius]
            }
            Bound::Box { centre, half_axes } => {
                let reach: f32 = half_axes.iter().map(|axis| axis.dot(direction).abs()).sum();
                [centre.dot(direction) - reach, centre.dot(direction) + reach]
            }
        }
    }
}

fn local_from_world(world_from_instance: &Pose, scale: Vec3) -> Rows {
    let columns = Mat3::from_quat(world_from_instance.rotation).to_cols_array_2d();
    let row = |k: usize| {
        let axis = Vec3::from_array(columns[k]) / scale[k];
        [axis.x, axis.y, axis.z, -axis.dot(world_from_instance.translation)]
    };
    Rows([row(0), row(1), row(2)])
}

/// The scale of the shape's frame, and the bound of the shape in the world.
fn frame(shape: &Shape, world_from_instance: &Pose, render_scene: &RenderScene) -> (Vec3, Bound) {
    let capsule = |radius: f32, half_length: f32| {
        let end = Vec3::new(0.0, 0.0, half_length);
        let ends = [end, -end].map(|p| world_from_instance.transform_point(p));
        Bound::Capsule { ends, radius }
    };
    let turned_box = |centre: Vec3, half: Vec3| Bound::Box {
        centre: world_from_instance.transform_point(centre),
        half_axes: [Vec3::X * half.x, Vec3::Y * half.y, Vec3::Z * half.z]
            .map(|axis| world_from_instance.transform_vector(axis)),
    };
    let bound = match *shape {
        Shape::Plane => Bound::Everywhere,
        Shape::Box { half_extents } => turned_box(Vec3::ZERO, half_extents),
        Shape::Sphere { radius } => capsule(radius, 0.0),
        Shape::Capsule { radius, half_length } => capsule(radius, half_length),
        Shape::Cylinder { radius, half_length } | Shape::Cone { radius, half_length } => {
            turned_box(Vec3::ZERO, Vec3::new(radius, radius, half_length))
        }
        Shape::Disc { radius } => turned_box(Vec3::ZERO, Vec3::new(radius, radius, 0.0)),
        Shape::Mesh { mesh_idx, scale } => {
            let [min, max] = render_scene.meshes[mesh_idx as usize].bounds();
            return (scale, turned_box((min + max) * 0.5 * scale, (max - min) * 0.5 * scale.abs()));
        }
    };
    (Vec3::ONE, bound)
}
