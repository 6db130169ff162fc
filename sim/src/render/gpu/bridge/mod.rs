//! Export of device memory: buffers that another API on the same GPU can map.
//!
//! ```text
//! render ─► buffer in exported memory ─► CUDA maps it ─► one copy on the GPU ─► tensor
//!   ▲       turns alternate on a timeline semaphore that both sides share          │
//!   └──────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! All `unsafe` code of the project is in `linux.rs`. Other platforms export nothing, and frames go through the host.

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "elsewhere.rs")]
mod platform;

pub(super) use platform::{Link, open, shares_memory, uuid};

#[cfg(feature = "cuda")]
mod driver;
#[cfg(feature = "cuda")]
pub use driver::{CudaDriver, CudaVersion};

#[cfg(all(feature = "cuda", not(target_os = "linux")))]
compile_error!("the feature `cuda` is for Linux; Windows has other handles than file descriptors");

#[cfg(target_os = "linux")]
fn vulkan_failure(gpu: &super::Gpu, size: u64, error: ash::vk::Result) -> crate::SimError {
    use ash::vk::Result as Vulkan;
    match error {
        Vulkan::ERROR_OUT_OF_DEVICE_MEMORY | Vulkan::ERROR_OUT_OF_HOST_MEMORY => {
            gpu.out_of_memory("a model input", size)
        }
        error => {
            let device = &gpu.adapter().name;
            crate::SimError::Gpu(format!("{device}: memory cannot be shared: {error}"))
        }
    }
}

#[cfg(feature = "cuda")]
fn cuda_failure(gpu: &super::Gpu, n_values: usize, error: cudarc::driver::DriverError) -> crate::SimError {
    use cudarc::driver::sys::CUresult;
    match error.0 {
        CUresult::CUDA_ERROR_OUT_OF_MEMORY => gpu.out_of_memory("a model input", n_values as u64 * 2),
        _ => {
            let device = &gpu.adapter().name;
            crate::SimError::Gpu(format!("{device}: frames cannot be copied to CUDA: {error}"))
        }
    }
}
