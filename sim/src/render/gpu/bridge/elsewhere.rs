//! Devices whose memory stays their own.

use crate::Result;
use crate::render::gpu::choice::DeviceUuid;
use crate::render::gpu::device::Gpu;

/// Opens a device.
pub fn open(adapter: &wgpu::Adapter, limits: &wgpu::Limits) -> Result<(wgpu::Device, wgpu::Queue), String> {
    let descriptor = wgpu::DeviceDescriptor { required_limits: limits.clone(), ..Default::default() };
    pollster::block_on(adapter.request_device(&descriptor)).map_err(|error| error.to_string())
}

/// Not known here.
pub fn uuid(_: &wgpu::Adapter) -> Option<DeviceUuid> {
    None
}

/// Nothing is shared here.
pub fn shares_memory(_: &wgpu::Device) -> bool {
    false
}

/// There is none here.
#[derive(Debug)]
pub enum Link {}

impl Link {
    /// None here.
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
