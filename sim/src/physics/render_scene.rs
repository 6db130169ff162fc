//! The render scene of a world: parts become instances, cameras become views.

use std::sync::Arc;

use super::SimWorld;
use crate::Result;
use crate::index::{BodyIdx, CameraIdx};
use crate::math::{Pose, Vec3};
use crate::render::{Instance, Material, Mesh, Pattern, RenderScene, Shape, Texture, View};
use crate::scene::{CameraSpec, MaterialSpec, SceneSpec, ShapeSpec, TextureSpec};

/// A visible part: its body and its pose in the body.
#[derive(Clone, Copy, Debug)]
pub(super) struct RenderedPart {
    body: BodyIdx,
    body_from_part: Pose,
}

/// A camera and the body that it is mounted on.
#[derive(Clone, Debug)]
pub(super) struct MountedCamera {
    pub spec: CameraSpec,
    mount: Option<BodyIdx>,
}

pub(super) fn build(spec: &SceneSpec) -> Result<(RenderScene, Vec<RenderedPart>, Vec<MountedCamera>)> {
    let mut render_scene = RenderScene { light: spec.light, ..RenderScene::default() };
    for material in &spec.materials {
        let material = build_material(material, &mut render_scene.textures)?;
        render_scene.materials.push(material);
    }
    let mut parts = Vec::new();
    for (body_idx, body) in spec.bodies.iter().enumerate() {
        for part in &body.parts {
            let Some(name) = &part.material else { continue };
            let material_idx = spec.materials.iter().position(|m| m.name == *name).unwrap_or_default() as u32;
            let shape = build_shape(&part.shape, &mut render_scene.meshes)?;
            render_scene.instances.push(Instance { shape, material_idx, object_id: body_idx as u32 + 1 });
            parts.push(RenderedPart { body: BodyIdx(body_idx), body_from_part: part.pose.to_pose() });
        }
    }
    let find_body = |name: &String| spec.bodies.iter().position(|b| b.name == *name).map(BodyIdx);
    let cameras = spec
        .cameras
        .iter()
        .map(|camera| MountedCamera {
            spec: camera.clone(),
            mount: camera.mount.as_ref().and_then(find_body),
        })
        .collect();
    Ok((render_scene, parts, cameras))
}

/// Restores materials, light and cameras, which a task may have randomised.
pub(super) fn reset_appearance(
    spec: &SceneSpec,
    render_scene: &mut RenderScene,
    cameras: &mut [MountedCamera],
) {
    render_scene.light = spec.light;
    let mut texture_idx = 0;
    for (material, spec) in render_scene.materials.iter_mut().zip(&spec.materials) {
        *material = surface(spec, &mut texture_idx);
    }
    for (camera, spec) in cameras.iter_mut().zip(&spec.cameras) {
        camera.spec.clone_from(spec);
    }
}

fn build_material(spec: &MaterialSpec, textures: &mut Vec<Arc<Texture>>) -> Result<Material> {
    let mut texture_idx = textures.len() as u32;
    let material = surface(spec, &mut texture_idx);
    if let TextureSpec::Image { path, .. } = &spec.texture {
        textures.push(Arc::new(Texture::load(path)?));
    }
    Ok(material)
}

/// Converts a material; `texture_idx` counts the image textures, which are in the order of the materials.
fn surface(spec: &MaterialSpec, texture_idx: &mut u32) -> Material {
    let pattern = match spec.texture {
        TextureSpec::Plain => Pattern::Plain,
        TextureSpec::Checker { other, cell } => Pattern::Checker { other, cell },
        TextureSpec::Grid { line, cell, width } => Pattern::Grid { line, cell, width },
        TextureSpec::Wood { other, ring } => Pattern::Wood { other, ring },
        TextureSpec::Noise { other, cell } => Pattern::Noise { other, cell },
        TextureSpec::Image { size, .. } => {
            *texture_idx += 1;
            Pattern::Image { texture_idx: *texture_idx - 1, size }
        }
    };
    Material { colour: spec.colour, roughness: spec.roughness, pattern }
}

fn build_shape(shape: &ShapeSpec, meshes: &mut Vec<Arc<Mesh>>) -> Result<Shape> {
    Ok(match *shape {
        ShapeSpec::Plane => Shape::Plane,
        ShapeSpec::Box { half_extents } => Shape::Box { half_extents: Vec3::from_array(half_extents) },
        ShapeSpec::Sphere { radius } => Shape::Sphere { radius },
        ShapeSpec::Capsule { radius, half_length } => Shape::Capsule { radius, half_length },
        ShapeSpec::Cylinder { radius, half_length } => Shape::Cylinder { radius, half_length },
        ShapeSpec::Cone { radius, half_length } => Shape::Cone { radius, half_length },
        ShapeSpec::Disc { radius } => Shape::Disc { radius },
        ShapeSpec::Mesh { ref vertices, ref triangles } => {
            meshes.push(Arc::new(Mesh::new(vertices.clone(), triangles.clone())?));
            Shape::Mesh { mesh_idx: meshes.len() as u32 - 1, scale: Vec3::ONE }
        }
    })
}

impl SimWorld {
    /// Copies the poses of all visible parts from the physics to [`Self::render_scene`].
    pub fn sync_render_scene(&mut self) {
        let Self { render_scene, parts, physics, bodies, .. } = self;
        render_scene.world_from_instance.resize(parts.len(), Pose::identity());
        for (pose, part) in render_scene.world_from_instance.iter_mut().zip(parts.iter()) {
            *pose = *physics.bodies[bodies[part.body.0]].position() * part.body_from_part;
        }
    }

    /// The current view of a camera; `scene_idx` is the index of this world's render scene in the caller's list.
    pub fn view(&self, camera: CameraIdx, scene_idx: usize) -> View {
        let MountedCamera { spec, mount } = &self.cameras[camera.0];
        let mount_from_camera = spec.pose.to_pose();
        let world_from_camera = match *mount {
            Some(body) => self.body_pose(body) * mount_from_camera,
            None => mount_from_camera,
        };
        View { scene_idx, world_from_camera, fov_y: spec.fov_y }
    }

    /// A camera, to read or to randomise; [`Self::reset`] restores it.
    pub fn camera_mut(&mut self, camera: CameraIdx) -> &mut CameraSpec {
        &mut self.cameras[camera.0].spec
    }
}
