//! The renderer: a ray caster over analytic primitives and triangle meshes, on the CPU or on a GPU.
//!
//! Inputs: a [`RenderScene`] per env, a list of [`View`]s (the cameras) and a [`RenderSpec`] (size, quality, outputs).
//! Output: a [`RenderTarget`]. The renderer does not depend on the physics.

mod light;
mod material;
mod mesh;
mod scene;
mod target;
mod texture;
mod view;

mod backend;
mod check;
mod codes;
mod cpu;
mod gpu;

pub use backend::{Backend, RenderDevice};
pub use cpu::CpuRenderer;
pub use gpu::{
    Adapter, DeviceChoice, DeviceFrames, DeviceUuid, Gpu, GpuRenderer, ModelInput, PciBusId, PixelLayout,
    PixelType, adapters,
};
#[cfg(feature = "cuda")]
pub use gpu::{CudaDriver, CudaVersion};
pub use light::Light;
pub use material::{Material, Pattern};
pub use mesh::Mesh;
pub use scene::{Instance, RenderScene, Shape};
pub use target::RenderTarget;
pub use texture::Texture;
pub use view::{Outputs, RenderSpec, Samples, View};
