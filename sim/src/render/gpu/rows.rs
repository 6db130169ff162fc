//! Rows of the columns that the kernels read: the twins of those in `shaders/rows.wgsl`, which documents their fields.

use bytemuck::{Pod, Zeroable};

use crate::math::{Mat3, Pose, Vec3};
use crate::render::mesh::{MeshNode, Triangle};
use crate::render::{Instance, Light, Material, Pattern, RenderSpec, Shape, View};

/// Parameters of all kernels of a submission.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub(super) struct ParamsRow {
    pub height: u32,
    pub width: u32,
    pub n_views: u32,
    pub first_view: u32,
    pub n_moved: u32,
    pub n_dirty: u32,
    pub max_parts: u32,
    pub set_words: u32,
    pub n_samples: u32,
    pub has_shadows: u32,
    pub outputs: u32,
    pub depth_at: u32,
    pub segmentation_at: u32,
    pub normals_at: u32,
    pub patch_size: u32,
    pub unused: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
pub(super) struct ShapeRow {
    size: [f32; 3],
    kind: u32,
    material: u32,
    object_id: u32,
    mesh: u32,
    unused: u32,
}

impl ShapeRow {
    /// `first_material` is where the scene's materials start; `roots` has the root node of each of its meshes.
    pub fn new(instance: &Instance, first_material: usize, roots: &[u32]) -> Self {
        let round = |radius: f32, half_length: f32| [radius, radius, half_length];
        let (kind, size, mesh) = match instance.shape {
            Shape::Plane => (0, [0.0; 3], 0),
            Shape::Box { half_extents } => (1, half_extents.to_array(), 0),
            Shape::Sphere { radius } => (2, round(radius, 0.0), 0),
            Shape::Capsule { radius, half_length } => (3, round(radius, half_length), 0),
            Shape::Cylinder { radius, half_length } => (4, round(radius, half_length), 0),
            Shape::Cone { radius, half_length } => (5, round(radius, half_length), 0),
            Shape::Disc { radius } => (6, round(radius, 0.0), 0),
            Shape::Mesh { mesh_idx, scale } => (7, scale.to_array(), roots[mesh_idx as usize]),
        };
        let material = first_material as u32 + instance.material_idx;
        Self { size, kind, material, object_id: instance.object_id, mesh, unused: 0 }
    }
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
pub(super) struct MovedRow {
    position: [f32; 3],
    slot: u32,
    rotation: [f32; 4],
}

impl MovedRow {
    /// Flag of a part that is left out because its pose is NaN or infinite.
    const NOWHERE: u32 = 1 << 31;

    pub fn new(part_idx: usize, world_from_instance: &Pose) -> Self {
        let (position, rotation) =
            (world_from_instance.translation.to_array(), world_from_instance.rotation.to_array());
        let is_finite = position.iter().chain(&rotation).all(|v| v.is_finite());
        if is_finite {
            return Self { position, slot: part_idx as u32, rotation };
        }
        Self { slot: part_idx as u32 | Self::NOWHERE, ..Self::default() }
    }
}

/// Bytes of a part, which only the device writes.
pub(super) const PART_SIZE: u64 = 112;

/// Bytes of a part as prepared for a view.
pub(super) const VIEW_PART_SIZE: u64 = 64;

/// Bytes of a part as prepared for shadows.
pub(super) const CASTER_SIZE: u64 = 32;

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
pub(super) struct SceneRow {
    sun: [f32; 3],
    first_part: u32,
    across_u: [f32; 3],
    n_parts: u32,
    across_v: [f32; 4],
    sun_colour: [f32; 4],
    ambient: [f32; 4],
    zenith: [f32; 4],
    horizon: [f32; 4],
}

impl SceneRow {
    pub fn new(light: &Light, first_part: usize, n_parts: usize) -> Self {
        let sun = Vec3::from_array(light.sun_direction).normalize_or_zero();
        let (u, v) = if sun == Vec3::ZERO { (Vec3::X, Vec3::Y) } else { sun.any_orthonormal_pair() };
        let padded = |[x, y, z]: [f32; 3]| [x, y, z, 0.0];
        Self {
            sun: sun.to_array(),
            first_part: first_part as u32,
            across_u: u.to_array(),
            n_parts: n_parts as u32,
            across_v: padded(v.to_array()),
            sun_colour: padded(light.sun_colour),
            ambient: padded(light.ambient_colour),
            zenith: padded(light.sky_zenith),
            horizon: padded(light.sky_horizon),
        }
    }
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
pub(super) struct MaterialRow {
    colour: [f32; 3],
    roughness: f32,
    other: [f32; 3],
    pattern: u32,
    cell: f32,
    width: f32,
    texture: u32,
    unused: u32,
}

impl MaterialRow {
    /// `textures` has the table row of each of the scene's textures.
    pub fn new(material: &Material, textures: &[u32]) -> Self {
        let (pattern, other, cell, width, texture) = match material.pattern {
            Pattern::Plain => (0, [0.0; 3], 1.0, 0.0, 0),
            Pattern::Checker { other, cell } => (1, other, cell, 0.0, 0),
            Pattern::Grid { line, cell, width } => (2, line, cell, width, 0),
            Pattern::Wood { other, ring } => (3, other, ring, 0.0, 0),
            Pattern::Noise { other, cell } => (4, other, cell, 0.0, 0),
            Pattern::Image { texture_idx, size } => (5, [0.0; 3], size, 0.0, textures[texture_idx as usize]),
        };
        let (colour, roughness) = (material.colour, material.roughness);
        Self { colour, roughness, other, pattern, cell, width, texture, unused: 0 }
    }
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
pub(super) struct ViewRow {
    eye: [f32; 3],
    render_scene: u32,
    right: [f32; 3],
    pixel_size: f32,
    up: [f32; 4],
    forward: [f32; 4],
}

impl ViewRow {
    pub fn new(view: &View, spec: &RenderSpec) -> Self {
        let axes = Mat3::from_quat(view.world_from_camera.rotation);
        let padded = |v: Vec3| [v.x, v.y, v.z, 0.0];
        Self {
            eye: view.world_from_camera.translation.to_array(),
            render_scene: view.scene_idx as u32,
            right: axes.x_axis.to_array(),
            pixel_size: view.pixel_size(spec),
            up: padded(axes.y_axis),
            forward: padded(-axes.z_axis),
        }
    }
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub(super) struct NodeRow {
    low: [f32; 3],
    first: u32,
    high: [f32; 3],
    n_triangles: u32,
}

impl NodeRow {
    /// `first_node` and `first_triangle` are where the mesh starts in the columns.
    pub fn new(node: &MeshNode, first_node: usize, first_triangle: usize) -> Self {
        let start = if node.n_triangles == 0 { first_node } else { first_triangle };
        Self {
            low: node.min.to_array(),
            first: start as u32 + node.first,
            high: node.max.to_array(),
            n_triangles: node.n_triangles,
        }
    }
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub(super) struct TriangleRow {
    corner: [f32; 3],
    normal_0x: f32,
    edge_a: [f32; 3],
    normal_0y: f32,
    edge_b: [f32; 3],
    normal_0z: f32,
    normal_1: [f32; 4],
    normal_2: [f32; 4],
}

impl TriangleRow {
    pub fn new(triangle: &Triangle) -> Self {
        let [a, b] = triangle.edges;
        let [n0, n1, n2] = triangle.normals;
        Self {
            corner: triangle.corner.to_array(),
            normal_0x: n0.x,
            edge_a: a.to_array(),
            normal_0y: n0.y,
            edge_b: b.to_array(),
            normal_0z: n0.z,
            normal_1: [n1.x, n1.y, n1.z, 0.0],
            normal_2: [n2.x, n2.y, n2.z, 0.0],
        }
    }
}
