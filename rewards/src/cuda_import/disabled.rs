//! Programs built without CUDA.

use candle_core::{Device, Tensor};
use sayso_sim::render::DeviceFrames;

use crate::Result;

pub fn tensor(_: &DeviceFrames, _: (usize, usize, usize), _: &Device) -> Result<Tensor> {
    Err(candle_core::Error::msg("this program was built without CUDA").into())
}
