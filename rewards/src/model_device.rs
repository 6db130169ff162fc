//! The device that a reward model computes on, and how frames are transferred to it.

use std::fmt;
use std::sync::Arc;

use candle_core::{DType, Device};
use sayso_sim::render::{DeviceUuid, Gpu};

use crate::Result;

/// The device that a reward model computes on.
#[derive(Clone, Debug)]
pub struct ModelDevice {
    device: Device,
    route: Route,
    may_shrink: bool,
}

/// How frames are transferred from the renderer to the reward model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Frames stay in host memory.
    Host,
    /// Frames stay in the memory of this GPU; CUDA maps the buffers of Vulkan.
    Cuda(DeviceUuid),
    /// Frames are copied through the host, for the given reason.
    ReadBack(String),
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("frames stay on the host"),
            Self::Cuda(_) => f.write_str("frames stay on the GPU (CUDA maps them)"),
            Self::ReadBack(reason) => write!(f, "frames are read back to the host: {reason}"),
        }
    }
}

impl ModelDevice {
    /// The CPU, for frames in host memory.
    pub fn cpu() -> Self {
        Self::new(Device::Cpu, Route::Host)
    }

    /// The best available device for frames that are rendered on `gpu`, or on the CPU if `gpu` is `None`.
    ///
    /// This is CUDA on the same GPU; else Metal, which is untested; else the CPU, with the reason in [`Self::route`]. Frames
    /// stay on the GPU only after a test frame was read there correctly.
    ///
    /// # Errors
    /// If frames are rendered on an NVIDIA GPU, this program was built with CUDA, and CUDA cannot run on that GPU. There is
    /// no silent fallback to the CPU, which would be much slower.
    pub fn for_renderer(gpu: Option<&Arc<Gpu>>) -> Result<Self> {
        let Some(gpu) = gpu else { return Ok(Self::cpu()) };
        let reason = match cuda::for_renderer(gpu)? {
            Ok(model_device) => return Ok(model_device),
            Err(reason) => reason,
        };
        metal::for_renderer(reason)
    }

    fn new(device: Device, route: Route) -> Self {
        Self { device, route, may_shrink: false }
    }

    /// Sets whether embedding continues with fewer frames per batch when the device is out of memory, instead of failing.
    pub fn with_shrink_on_oom(self, may_shrink: bool) -> Self {
        Self { may_shrink, ..self }
    }

    pub(crate) fn may_shrink(&self) -> bool {
        self.may_shrink
    }

    /// The underlying candle device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// How frames are transferred to the device.
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// Data type of the towers: f32 on the CPU; f16 elsewhere, with sums in matrix products, norms and softmaxes
    /// accumulated in f32.
    pub fn dtype(&self) -> DType {
        if self.device.is_cpu() { DType::F32 } else { DType::F16 }
    }

    /// The rendering GPU, if frames are read in its memory.
    pub(crate) fn shared_with(&self) -> Option<DeviceUuid> {
        match self.route {
            Route::Cuda(uuid) => Some(uuid),
            Route::Host | Route::ReadBack(_) => None,
        }
    }
}

impl fmt::Display for ModelDevice {
    /// Name of the compute backend.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.device {
            Device::Cpu => "the CPU",
            Device::Cuda(_) => "CUDA",
            Device::Metal(_) => "Metal",
        })
    }
}

#[cfg(feature = "cuda")]
mod cuda {
    use std::sync::Arc;
    use std::sync::mpsc::{RecvTimeoutError, channel};
    use std::time::Duration;

    use candle_core::{DType, Device, Tensor};
    use sayso_sim::ImageSpec;
    use sayso_sim::render::{CudaDriver, Gpu, GpuRenderer, ModelInput, PixelLayout, PixelType};

    use super::{ModelDevice, Route};
    use crate::cuda_import;
    use crate::{Result, RewardError};

    /// Time limit for reading a test frame.
    const TEST_TIMEOUT: Duration = Duration::from_secs(60);

    /// CUDA on the rendering GPU, or the reason why it cannot be used.
    pub fn for_renderer(gpu: &Arc<Gpu>) -> Result<Result<ModelDevice, String>> {
        match open(gpu) {
            Err(reason) if gpu.adapter().is_nvidia() => {
                Err(RewardError::Cuda { device: gpu.adapter().name.clone(), reason })
            }
            opened => Ok(opened),
        }
    }

    fn open(gpu: &Arc<Gpu>) -> Result<ModelDevice, String> {
        let driver = CudaDriver::get()?;
        let uuid = gpu.adapter().uuid.ok_or("the driver of the rendering GPU reports no UUID")?;
        let found = driver.devices.iter().position(|device| *device == uuid);
        let ordinal = found.ok_or_else(|| format!("CUDA does not list the rendering GPU, {uuid}"))?;
        // A separate stream, because CUDA's default stream synchronises with all others.
        let device = Device::new_cuda_with_stream(ordinal).map_err(|error| error.to_string())?;
        try_kernels(&device).map_err(|error| {
            format!("the kernels do not run on this GPU ({error}); rebuild with CUDA_COMPUTE_CAP set for it")
        })?;
        if !gpu.shares_memory() {
            let reason = "this Vulkan driver cannot export memory".to_owned();
            return Ok(ModelDevice::new(device, Route::ReadBack(reason)));
        }
        // Waiting for a GPU has no timeout, so another thread waits.
        let (sender, receiver) = channel();
        let (gpu, test_device) = (gpu.clone(), device.clone());
        std::thread::spawn(move || sender.send(try_sharing(&gpu, &test_device)));
        match receiver.recv_timeout(TEST_TIMEOUT) {
            Ok(Ok(())) => Ok(ModelDevice::new(device, Route::Cuda(uuid))),
            Ok(Err(error)) => {
                let reason = format!("CUDA cannot read frames rendered by Vulkan: {error}");
                Ok(ModelDevice::new(device, Route::ReadBack(reason)))
            }
            Err(RecvTimeoutError::Timeout) => {
                Err(format!("no test frame was read within {} s", TEST_TIMEOUT.as_secs()))
            }
            Err(RecvTimeoutError::Disconnected) => Err("reading a test frame panicked".to_owned()),
        }
    }

    /// Runs a few kernels. Loading a kernel fails if it was compiled for another GPU or a newer driver.
    fn try_kernels(device: &Device) -> candle_core::Result<()> {
        let ones = Tensor::ones((8, 8), DType::F32, device)?.to_dtype(DType::F16)?;
        (ones.matmul(&ones)? + &ones)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        Ok(())
    }

    /// Compares test frames read through CUDA with the same frames read back through Vulkan. Several frames share one
    /// buffer, so that Vulkan and CUDA access it in turn.
    fn try_sharing(gpu: &Arc<Gpu>, device: &Device) -> Result<()> {
        let (side, patch) = (32, 8);
        let shape = (1, (side / patch) * (side / patch), 3 * patch * patch);
        let renderer = &mut GpuRenderer::new(gpu.clone())?;
        for mean in [0.1, 0.5, 0.9] {
            let image = ImageSpec { height: side, width: side, mean: [mean; 3], std: [0.25; 3] };
            let layout = PixelLayout::Patches { size: patch };
            let frames = renderer.render_sky(&ModelInput { image, layout, dtype: PixelType::F16 })?;
            let mapped = cuda_import::tensor(&frames, shape, device)?;
            let dims = [shape.0, shape.1, shape.2];
            let copied = Tensor::from_raw_buffer(&frames.read()?, DType::F16, &dims, &Device::Cpu)?;
            let [mapped, copied] = [mapped, copied].map(|values| -> candle_core::Result<Vec<f32>> {
                values.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
            });
            if mapped? != copied? {
                return Err(candle_core::Error::msg("the values differ from those that were rendered").into());
            }
        }
        Ok(())
    }
}

#[cfg(not(feature = "cuda"))]
mod cuda {
    use std::sync::Arc;

    use sayso_sim::render::Gpu;

    use super::ModelDevice;
    use crate::Result;

    pub fn for_renderer(_: &Arc<Gpu>) -> Result<Result<ModelDevice, String>> {
        Ok(Err("this program was built without CUDA (feature `cuda`)".to_owned()))
    }
}

/// Metal reads frames from memory that the host and the GPU share. Untested.
#[cfg(feature = "metal")]
mod metal {
    use candle_core::Device;

    use super::{ModelDevice, Route};
    use crate::Result;

    pub fn for_renderer(_: String) -> Result<ModelDevice> {
        let reason = "Metal tensors are created from host memory".to_owned();
        Ok(ModelDevice::new(Device::new_metal(0)?, Route::ReadBack(reason)))
    }
}

#[cfg(not(feature = "metal"))]
mod metal {
    use candle_core::Device;

    use super::{ModelDevice, Route};
    use crate::Result;

    pub fn for_renderer(reason: String) -> Result<ModelDevice> {
        Ok(ModelDevice::new(Device::Cpu, Route::ReadBack(reason)))
    }
}
