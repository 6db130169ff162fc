//! The CUDA driver: its version and its devices.

use std::fmt;
use std::sync::OnceLock;

use cudarc::driver::{DriverError, result, sys};

use super::platform::cuda::{driver_version, has_library};
use crate::render::gpu::choice::DeviceUuid;

/// The CUDA driver of this machine and the devices that are visible to this process.
#[derive(Clone, Debug)]
pub struct CudaDriver {
    /// The latest version that it supports.
    pub version: CudaVersion,
    /// UUIDs of the devices, in CUDA's order.
    pub devices: Vec<DeviceUuid>,
}

/// A version of CUDA, as `1000 * major + 10 * minor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CudaVersion(pub u32);

impl fmt::Display for CudaVersion {
    /// `13.0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 1000, self.0 % 1000 / 10)
    }
}

impl CudaDriver {
    /// The version that this program was built for.
    pub const BUILT_FOR: CudaVersion = CudaVersion(sys::CUDA_VERSION);

    /// Queries the driver once per process.
    ///
    /// # Errors
    /// Why CUDA cannot be used here: no driver, one that is too old for this program's kernels, or one that fails.
    pub fn get() -> Result<&'static Self, String> {
        static DRIVER: OnceLock<Result<CudaDriver, String>> = OnceLock::new();
        DRIVER.get_or_init(Self::query).as_ref().map_err(Clone::clone)
    }

    fn query() -> Result<Self, String> {
        if !has_library("libcuda.so.1") {
            return Err("there is no NVIDIA driver (libcuda.so.1)".to_owned());
        }
        let version = CudaVersion(driver_version().map_err(|error| error.to_string())?);
        if version < Self::BUILT_FOR {
            let built_for = Self::BUILT_FOR;
            return Err(format!(
                "the driver supports CUDA {version}, and this program was built for {built_for}: update the driver"
            ));
        }
        // The libraries that candle calls. A program built with `scripts/cuda/build.sh` would exit at the first call.
        let major = Self::BUILT_FOR.0 / 1000;
        let needed = ["cublas", "cublasLt", "nvrtc"].map(|name| format!("lib{name}.so.{major}"));
        let needed = needed.into_iter().chain(["libcurand.so.10".to_owned()]);
        if let Some(absent) = needed.into_iter().find(|name| !has_library(name)) {
            return Err(format!(
                "{absent} is not found: install CUDA {major}'s libraries, or set LD_LIBRARY_PATH"
            ));
        }
        let uuid = |i| result::device::get_uuid(result::device::get(i)?);
        let devices = || -> Result<Vec<DeviceUuid>, DriverError> {
            result::init()?;
            let n_devices = result::device::get_count()?;
            (0..n_devices).map(|i| Ok(DeviceUuid(uuid(i)?.bytes.map(|byte| byte as u8)))).collect()
        };
        Ok(Self { version, devices: devices().map_err(|error| error.to_string())? })
    }
}
