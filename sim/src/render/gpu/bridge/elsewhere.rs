//! Platforms without export of device memory.

use crate::Result;
use crate::render::gpu::choice::DeviceUuid;
use crate::render::gpu::device::Gpu;

/// Opens a device.
pub fn open(adapter: &wgpu::Adapter, limits: &wgpu::Limits) -> Result<(wgpu::Device, wgpu::Queue), String> {
    let descriptor = wgpu::DeviceDescriptor { required_limits: limits.clone(), ..Default::default() };
    pollster::block_on(adapter.request_device(&descriptor)).map_err(|error| error.to_string())
}

/// Not available on this platform.
pub fn uuid(_: &wgpu::Adapter) -> Option<DeviceUuid> {
    None
}

/// No memory is exported on this platform.
pub fn shares_memory(_: &wgpu::Device) -> bool {
    false
}

/// Has no values on this platform.
#[derive(Debug)]
pub enum Link {}

impl Link {
    /// Always `None`.
    pub fn new(_: &Gpu, _: u64) -> Result<Option<(wgpu::Buffer, Self)>> {
        Ok(None)
    }

    /// Never called.
    pub fn stage_turn(&self, _: &wgpu::Queue) {
        match *self {}
    }

    /// Never called.
    pub fn unstage_turn(&self, _: &wgpu::Queue) {
        match *self {}
    }
}
