//! Drawing: a ray caster over analytic primitives and triangle meshes.
//!
//! Data flows one way: a [`Drawing`] per env (what there is to see), a list of [`View`]s (who looks), a
//! [`RenderSpec`] (at what size, which outputs) go in; a [`RenderTarget`] comes out. Nothing here knows physics.

mod backend;
mod check;
mod codes;
mod cpu;
mod gpu;
mod mesh;
mod texture;

pub use backend::{Backend, DrawOn};
pub use cpu::CpuRenderer;
pub use gpu::{
    Adapter, DeviceChoice, DeviceFrames, DeviceUuid, Gpu, GpuRenderer, ModelInput, PciBusId, PixelLayout,
    PixelType, adapters,
};
#[cfg(feature = "cuda")]
pub use gpu::{CudaDriver, CudaVersion};
pub use mesh::Mesh;
pub use texture::Texture;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Frames;
use crate::math::{Pose, Vec3};

/// What one env looks like at one instant.
///
/// `instances`, `meshes` and `textures` are fixed when the scene is built; poses, materials and light may change
/// at every step (domain randomisation).
#[derive(Clone, Debug, Default)]
pub struct Drawing {
    /// The drawable parts, in creation order.
    pub instances: Vec<Instance>,
    /// Where each instance is now; one entry per instance.
    pub world_from_instance: Vec<Pose>,
    /// Surfaces that instances refer to by index.
    pub materials: Vec<Material>,
    /// Sun, ambient light and sky.
    pub light: Light,
    /// Triangle meshes that [`Shape::Mesh`] refers to by index.
    pub meshes: Vec<Arc<Mesh>>,
    /// Pictures that [`Pattern::Image`] refers to by index.
    pub textures: Vec<Arc<Texture>>,
}

/// One drawable part of an env.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Instance {
    /// Its geometry, in its own frame.
    pub shape: Shape,
    /// Index into [`Drawing::materials`].
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
    /// A ball.
    Sphere {
        /// Its radius.
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
        /// Its radius.
        radius: f32,
        /// Half of its height.
        half_length: f32,
    },
    /// A closed cone, apex at +z.
    Cone {
        /// Radius of the base, which lies at z = -half_length.
        radius: f32,
        /// Half of its height.
        half_length: f32,
    },
    /// A flat disc in the plane z = 0, visible from both sides.
    Disc {
        /// Its radius.
        radius: f32,
    },
    /// A triangle mesh.
    Mesh {
        /// Index into [`Drawing::meshes`].
        mesh_idx: u32,
        /// Multiplies the vertices, an axis at a time.
        scale: Vec3,
    },
}

/// A surface: a base colour, how it scatters light, and an optional pattern.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Material {
    /// Base colour, linear RGB, each in [0, 1].
    pub colour: [f32; 3],
    /// 0 is a mirror-like highlight, 1 is matt.
    pub roughness: f32,
    /// What modulates the base colour.
    pub pattern: Pattern,
}

/// A texture, procedural or stored. Lengths in metres, in the frame of the instance.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Pattern {
    /// The base colour everywhere.
    #[default]
    Plain,
    /// Squares that alternate between the base colour and `other`.
    Checker {
        /// The second colour, linear RGB.
        other: [f32; 3],
        /// Edge of a square.
        cell: f32,
    },
    /// Thin lines of colour `line` on the base colour.
    Grid {
        /// Colour of the lines, linear RGB.
        line: [f32; 3],
        /// Distance between lines.
        cell: f32,
        /// Width of a line.
        width: f32,
    },
    /// Rings and grain between the base colour and `other`.
    Wood {
        /// The dark colour of the grain, linear RGB.
        other: [f32; 3],
        /// Distance between rings.
        ring: f32,
    },
    /// Smooth value noise between the base colour and `other`.
    Noise {
        /// The second colour, linear RGB.
        other: [f32; 3],
        /// Size of a blob.
        cell: f32,
    },
    /// A picture, repeated; multiplies the base colour.
    Image {
        /// Index into [`Drawing::textures`].
        texture_idx: u32,
        /// Edge that one repetition covers.
        size: f32,
    },
}

/// One sun, uniform ambient light, and a sky of two colours. All colours are linear RGB.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Light {
    /// Unit vector from the scene towards the sun, world frame.
    pub sun_direction: [f32; 3],
    /// Radiance of the sun on a surface that faces it.
    pub sun_colour: [f32; 3],
    /// Light that arrives from everywhere.
    pub ambient_colour: [f32; 3],
    /// Colour of the sky straight up.
    pub sky_zenith: [f32; 3],
    /// Colour of the sky at the horizon and below.
    pub sky_horizon: [f32; 3],
}

impl Default for Light {
    fn default() -> Self {
        Self {
            sun_direction: [0.42, 0.34, 0.84],
            sun_colour: [0.85, 0.82, 0.76],
            ambient_colour: [0.32, 0.34, 0.38],
            sky_zenith: [0.30, 0.48, 0.80],
            sky_horizon: [0.72, 0.80, 0.90],
        }
    }
}

/// One camera of one env at one instant: a pinhole that looks along -z of its own frame, +y up (OpenGL's convention).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// Index into the slice of drawings.
    pub drawing_idx: usize,
    /// Where the camera is.
    pub world_from_camera: Pose,
    /// Vertical field of view, radians.
    pub fov_y: f32,
}

impl View {
    /// Edge of a pixel at depth one.
    fn pixel_size(&self, spec: &RenderSpec) -> f32 {
        2.0 * (0.5 * self.fov_y).tan() / spec.height as f32
    }
}

/// Size, quality and outputs of a batch of views.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RenderSpec {
    /// Rows, in pixels.
    pub height: usize,
    /// Columns, in pixels.
    pub width: usize,
    /// Rays per pixel for RGB.
    pub samples: Samples,
    /// Whether the sun casts hard shadows.
    pub shadows: bool,
    /// What to write.
    pub outputs: Outputs,
}

/// Rays per pixel for RGB. Depth, segmentation and normals always come from the ray through the pixel's centre.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Samples {
    /// One ray, through the centre.
    One,
    /// Four rays, on a 2 x 2 grid.
    Four,
}

/// Which pictures a render call writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Outputs {
    /// Colour, into [`RenderTarget::rgb`].
    pub rgb: bool,
    /// Distance along the view direction, into [`RenderTarget::depth`].
    pub depth: bool,
    /// Labels, into [`RenderTarget::segmentation`].
    pub segmentation: bool,
    /// Surface normals, into [`RenderTarget::normals`].
    pub normals: bool,
}

impl Outputs {
    /// Colour only.
    pub const RGB: Self = Self { rgb: true, depth: false, segmentation: false, normals: false };
    /// Everything.
    pub const ALL: Self = Self { rgb: true, depth: true, segmentation: true, normals: true };
}

/// Caller-owned buffers that a render call fills; those that were not asked for are left empty.
#[derive(Clone, Debug, Default)]
pub struct RenderTarget {
    /// `[n_views, height, width, 3]` u8, sRGB.
    pub rgb: Frames,
    /// `[n_views, height, width]` f32, metres along the optical axis (not along the ray); infinite where the sky is.
    pub depth: Vec<f32>,
    /// `[n_views, height, width]` u32, [`Instance::object_id`], 0 where the sky is.
    pub segmentation: Vec<u32>,
    /// `[n_views, height, width, 3]` f32, unit normals in the world frame, zero where the sky is.
    pub normals: Vec<f32>,
}

impl RenderTarget {
    /// Gives every buffer the length that a batch needs, and returns the number of pixels.
    fn reshape(&mut self, n_views: usize, spec: &RenderSpec) -> usize {
        let n_pixels = n_views * spec.height * spec.width;
        let len = |is_wanted: bool, per_pixel: usize| if is_wanted { n_pixels * per_pixel } else { 0 };
        self.rgb.resize(if spec.outputs.rgb { n_views } else { 0 }, spec.height, spec.width);
        self.depth.resize(len(spec.outputs.depth, 1), 0.0);
        self.segmentation.resize(len(spec.outputs.segmentation, 1), 0);
        self.normals.resize(len(spec.outputs.normals, 3), 0.0);
        n_pixels
    }
}
