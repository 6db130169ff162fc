//! Where the towers of a judge compute, and how frames get there.

use std::fmt;
use std::sync::Arc;

use candle_core::{DType, Device};
use sayso_sim::render::{DeviceUuid, Gpu};

use crate::Result;

/// Where a judge computes.
#[derive(Clone, Debug)]
pub struct ModelDevice {
    device: Device,
    route: Route,
    may_shrink: bool,
}

/// How frames get from where they are drawn to the towers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// They never leave the host.
    Host,
    /// CUDA maps what Vulkan drew on this card.
    Cuda(DeviceUuid),
    /// Through the host, for the reason that is given.
    ReadBack(String),
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("frames stay on the host"),
            Self::Cuda(_) => f.write_str("frames stay on the card (CUDA maps them)"),
            Self::ReadBack(reason) => write!(f, "frames are read back to the host: {reason}"),
        }
    }
}

impl ModelDevice {
    /// The CPU, for frames that are there.
    pub fn cpu() -> Self {
        Self::new(Device::Cpu, Route::Host)
    }

    /// The best that this program and this machine offer for frames that `gpu` draws, or the CPU draws if there is none: CUDA
    /// on the same card; else Metal, which is untested; else the CPU, with the reason. Frames stay on the card only if a picture was read there first.
    ///
    /// # Errors
    /// If an NVIDIA card draws, this program was built for CUDA, and the driver cannot run it: then the CPU would be a
    /// slow surprise.
    pub fn beside(gpu: Option<&Arc<Gpu>>) -> Result<Self> {
        let Some(gpu) = gpu else { return Ok(Self::cpu()) };
        let reason = match cuda::beside(gpu)? {
            Ok(model_device) => return Ok(model_device),
            Err(reason) => reason,
        };
        metal::beside(reason)
    }

    fn new(device: Device, route: Route) -> Self {
        Self { device, route, may_shrink: false }
    }

    /// Sets whether a device that is out of memory goes on with fewer pictures at a time, rather than fail.
    pub fn set_shrink_on_oom(self, may_shrink: bool) -> Self {
        Self { may_shrink, ..self }
    }

    pub(crate) fn may_shrink(&self) -> bool {
        self.may_shrink
    }

    /// The tensor library's device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// How frames get there.
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// What the towers compute in: f32 on the CPU; f16 elsewhere, where products, norms and softmaxes sum in f32.
    pub fn dtype(&self) -> DType {
        if self.device.is_cpu() { DType::F32 } else { DType::F16 }
    }

    /// The device that draws, if frames are read where it left them.
    pub(crate) fn shared_with(&self) -> Option<DeviceUuid> {
        match self.route {
            Route::Cuda(uuid) => Some(uuid),
            Route::Host | Route::ReadBack(_) => None,
        }
    }
}

impl fmt::Display for ModelDevice {
    /// What computes.
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
    use crate::reader::imported;
    use crate::{Result, RewardError};

    /// How long a card may take for a first small picture.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// CUDA on the card that draws, or why not.
    pub fn beside(gpu: &Arc<Gpu>) -> Result<Result<ModelDevice, String>> {
        match open(gpu) {
            Err(reason) if gpu.adapter().is_nvidia() => {
                Err(RewardError::Cuda { device: gpu.adapter().name.clone(), reason })
            }
            opened => Ok(opened),
        }
    }

    fn open(gpu: &Arc<Gpu>) -> Result<ModelDevice, String> {
        let driver = CudaDriver::get()?;
        let uuid = gpu.adapter().uuid.ok_or("the device that draws has no UUID")?;
        let found = driver.devices.iter().position(|device| *device == uuid);
        let ordinal = found.ok_or_else(|| format!("CUDA does not see {uuid}, which draws"))?;
        // A stream of its own: the default one waits for all others.
        let device = Device::new_cuda_with_stream(ordinal).map_err(|error| error.to_string())?;
        try_kernels(&device).map_err(|error| {
            format!("its kernels do not run on this card ({error}): build for it with CUDA_COMPUTE_CAP")
        })?;
        if !gpu.shares_memory() {
            let reason = "this driver exports no memory from Vulkan".to_owned();
            return Ok(ModelDevice::new(device, Route::ReadBack(reason)));
        }
        // Whoever waits for a card waits without end, so somebody else does.
        let (tried, outcome) = channel();
        let (gpu, tried_device) = (gpu.clone(), device.clone());
        std::thread::spawn(move || tried.send(try_sharing(&gpu, &tried_device)));
        match outcome.recv_timeout(PATIENCE) {
            Ok(Ok(())) => Ok(ModelDevice::new(device, Route::Cuda(uuid))),
            Ok(Err(error)) => {
                let reason = format!("CUDA cannot read what Vulkan draws: {error}");
                Ok(ModelDevice::new(device, Route::ReadBack(reason)))
            }
            Err(RecvTimeoutError::Timeout) => {
                Err(format!("no picture reached it within {} s", PATIENCE.as_secs()))
            }
            Err(RecvTimeoutError::Disconnected) => Err("reading a picture there panicked".to_owned()),
        }
    }

    /// The first use of a kernel loads it, which fails if it was compiled for another card or a newer driver.
    fn try_kernels(device: &Device) -> candle_core::Result<()> {
        let ones = Tensor::ones((8, 8), DType::F32, device)?.to_dtype(DType::F16)?;
        (ones.matmul(&ones)? + &ones)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        Ok(())
    }

    /// Reads a picture through either door, in the same buffer several times, so that the turns with it alternate.
    fn try_sharing(gpu: &Arc<Gpu>, device: &Device) -> Result<()> {
        let (side, patch) = (32, 8);
        let shape = (1, (side / patch) * (side / patch), 3 * patch * patch);
        let renderer = &mut GpuRenderer::new(gpu.clone())?;
        for mean in [0.1, 0.5, 0.9] {
            let image = ImageSpec { height: side, width: side, mean: [mean; 3], std: [0.25; 3] };
            let layout = PixelLayout::Patches { size: patch };
            let frames = renderer.render_sky(&ModelInput { image, layout, dtype: PixelType::F16 })?;
            let mapped = imported::tensor(&frames, shape, device)?;
            let dims = [shape.0, shape.1, shape.2];
            let copied = Tensor::from_raw_buffer(&frames.read()?, DType::F16, &dims, &Device::Cpu)?;
            let [mapped, copied] = [mapped, copied].map(|values| -> candle_core::Result<Vec<f32>> {
                values.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
            });
            if mapped? != copied? {
                return Err(candle_core::Error::msg("it sees other values than were drawn").into());
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

    pub fn beside(_: &Arc<Gpu>) -> Result<Result<ModelDevice, String>> {
        Ok(Err("this program was built without CUDA (feature `cuda`)".to_owned()))
    }
}

/// Metal reads frames through memory that the host and the card share. Untested: nobody has run it.
#[cfg(feature = "metal")]
mod metal {
    use candle_core::Device;

    use super::{ModelDevice, Route};
    use crate::Result;

    pub fn beside(_: String) -> Result<ModelDevice> {
        let reason = "Metal's tensors are filled from there".to_owned();
        Ok(ModelDevice::new(Device::new_metal(0)?, Route::ReadBack(reason)))
    }
}

#[cfg(not(feature = "metal"))]
mod metal {
    use candle_core::Device;

    use super::{ModelDevice, Route};
    use crate::Result;

    pub fn beside(reason: String) -> Result<ModelDevice> {
        Ok(ModelDevice::new(Device::Cpu, Route::ReadBack(reason)))
    }
}
