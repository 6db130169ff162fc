//! Import of frames that a GPU rendered into tensors of CUDA.

use std::sync::{Mutex, PoisonError};

use candle_core::backend::BackendStorage as _;
use candle_core::{CpuStorage, CudaStorage, CustomOp1, DType, Device, Layout, Shape, Tensor};
use sayso_sim::SimError;
use sayso_sim::render::DeviceFrames;

use crate::Result;

/// Copies the frames into a tensor on the same GPU.
pub fn tensor(frames: &DeviceFrames, shape: (usize, usize, usize), device: &Device) -> Result<Tensor> {
    // A custom op is candle's only public way to create a tensor from device memory, and it needs an input tensor.
    let anchor = Tensor::zeros(1, DType::F16, device)?;
    let import = Import { frames, shape: shape.into(), failure: Mutex::new(None) };
    let tensor = anchor.apply_op1_no_bwd(&import);
    let failure = import.failure.into_inner().unwrap_or_else(PoisonError::into_inner);
    match failure {
        Some(failure) => Err(failure.into()),
        None => Ok(tensor?),
    }
}

struct Import<'a> {
    frames: &'a DeviceFrames,
    shape: Shape,
    /// The original error, which candle's error would keep only as text.
    failure: Mutex<Option<SimError>>,
}

impl CustomOp1 for Import<'_> {
    fn name(&self) -> &'static str {
        "import-frames"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        candle_core::bail!("frames in GPU memory cannot be imported into a CPU tensor")
    }

    fn cuda_fwd(&self, anchor: &CudaStorage, _: &Layout) -> candle_core::Result<(CudaStorage, Shape)> {
        let device = anchor.device().clone();
        match self.frames.to_cuda(&device.cuda_stream()) {
            Ok(values) => Ok((CudaStorage::wrap_cuda_slice(values, device), self.shape.clone())),
            Err(error) => {
                let message = error.to_string();
                *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                candle_core::bail!("{message}")
            }
        }
    }
}
