//! Render scenes: instances, materials, light, meshes and textures.

use std::sync::Arc;

use super::{Light, Material, Mesh, Texture};
use crate::math::{Pose, Vec3};

/// The visible state of one env at one instant.
///
/// `instances`, `meshes` and `textures` are fixed when the scene is built; poses, materials and light may change
/// at every step (domain randomisation).
#[derive(Clone, Debug, Default)]
pub struct RenderScene {
    /// The drawable parts, in creation order.
    pub instances: Vec<Instance>,
    /// Pose of each instance; one entry per instance.
    pub world_from_instance: Vec<Pose>,
    /// Materials that instances refer to by index.
    pub materials: Vec<Material>,
    /// Sun, ambient light and sky.
    pub light: Light,
    /// Triangle meshes that [`Shape::Mesh`] refers to by index.
    pub meshes: Vec<Arc<Mesh>>,
    /// Images that [`Pattern::Image`](super::Pattern::Image) refers to by index.
    pub textures: Vec<Arc<Texture>>,
}

/// One drawable part of an env.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Instance {
    /// Geometry, in its own frame.
    pub shape: Shape,
    /// Index into [`RenderScene::materials`].
    pub material_idx: u32,
    /// The segmentation label: index of the body it belongs to, plus one; 0 is the sky.
    pub object_id: u32,
}

/// Geometry of one instance, centred on its own origin, metres. Axes of revolution are z.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// The half-space boundary z = 0, infinite, normal +z.
    Plane,
    /// An axis-aligned box.
    Box {
        /// Half of the edge lengths.
        half_extents: Vec3,
    },
    /// A sphere.
    Sphere {
        /// Radius.
        radius: f32,
    },
    /// A cylinder with hemispherical caps.
    Capsule {
        /// Radius of the cylinder and of the caps.
        radius: f32,
        /// Half of the distance between the centres of the caps.
        half_length: f32,
    },
    /// A closed cylinder.
    Cylinder {
        /// Radius.
        radius: f32,
        /// Half of the height.
        half_length: f32,
    },
    /// A closed cone, apex at +z.
    Cone {
        /// Radius of the base, which is at z = -half_length.
        radius: f32,
        /// Half of the height.
        half_length: f32,
    },
    /// A flat disc in the plane z = 0, visible from both sides.
    Disc {
        /// Radius.
        radius: f32,
    },
    /// A triangle mesh.
    Mesh {
        /// Index into [`RenderScene::meshes`].
        mesh_idx: u32,
        /// Scale of the vertices along each axis.
        scale: Vec3,
    },
}
