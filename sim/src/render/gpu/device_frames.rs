//! Frames that stay on the device that rendered them.

#[cfg(target_os = "linux")]
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::bridge::Link;
use super::device::Gpu;
use super::model_input::ModelInput;
use super::read_back::ReadBack;
use crate::Result;

/// A batch of frames in the format that a model reads, on the device that rendered them. Their buffer is reused for a later
/// batch once they are dropped.
#[derive(Debug)]
pub struct DeviceFrames {
    slot: Arc<Slot>,
    gpu: Arc<Gpu>,
    input: ModelInput,
    n_views: usize,
    rendered: wgpu::SubmissionIndex,
}

impl DeviceFrames {
    pub(super) fn new(
        slot: Arc<Slot>,
        gpu: Arc<Gpu>,
        input: ModelInput,
        n_views: usize,
        rendered: wgpu::SubmissionIndex,
    ) -> Self {
        Self { slot, gpu, input, n_views, rendered }
    }

    /// Number of views.
    pub fn n_views(&self) -> usize {
        self.n_views
    }

    /// Size, layout and type of their values.
    pub fn input(&self) -> &ModelInput {
        &self.input
    }

    /// The device.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// Waits until they are rendered.
    ///
    /// # Errors
    /// If the device is lost.
    pub fn wait(&self) -> Result<()> {
        self.gpu.wait(self.rendered.clone())
    }

    /// Copies the values to the host, as bytes in native byte order: for models that do not run on the device.
    ///
    /// # Errors
    /// If the device is lost or out of memory.
    pub fn read(&self) -> Result<Vec<u8>> {
        let n_bytes = self.n_views * self.input.n_bytes();
        let size = n_bytes.next_multiple_of(4) as u64;
        let mut read_back = ReadBack::default();
        read_back.bytes(&self.gpu, &self.slot.buffer, size, |bytes| bytes[..n_bytes].to_vec())
    }

    /// The memory that starts with the values, for another API to map: a file descriptor of Vulkan's handle type
    /// `OPAQUE_FD`, and the size of the memory in bytes. `None` if the device cannot export memory. Call [`Self::wait`]
    /// before reading it.
    ///
    /// # Errors
    /// If the process has no file descriptor left.
    #[cfg(target_os = "linux")]
    pub fn export(&self) -> Result<Option<(OwnedFd, u64)>> {
        let failed = |error| crate::SimError::Gpu(format!("memory cannot be shared: {error}"));
        self.slot.link.as_ref().map(Link::export).transpose().map_err(failed)
    }

    /// Copies the values into CUDA memory, `[n_views * n_values]` f16, as the next work of `stream`. The host does not wait
    /// for the copy, and the frames may be dropped at once.
    ///
    /// # Errors
    /// If the device cannot export memory, is lost, or is out of memory.
    ///
    /// # Panics
    /// If the values are not f16.
    #[cfg(feature = "cuda")]
    pub fn to_cuda(
        &self,
        stream: &Arc<cudarc::driver::CudaStream>,
    ) -> Result<cudarc::driver::CudaSlice<half::f16>> {
        assert_eq!(self.input.dtype, super::PixelType::F16, "models on CUDA read f16 values");
        let Some(link) = &self.slot.link else {
            let device = &self.gpu.adapter().name;
            return Err(crate::SimError::Gpu(format!("{device} does not share its memory with CUDA")));
        };
        link.copy(&self.gpu, self.n_views * self.input.n_values(), stream, || self.wait())
    }
}

/// A buffer for one batch.
#[derive(Debug)]
pub(super) struct Slot {
    /// Declared before the buffer, so that it is dropped first and nothing uses the memory when it is freed.
    pub link: Option<Link>,
    pub buffer: wgpu::Buffer,
}

impl Slot {
    fn new(gpu: &Gpu, size: u64) -> Result<Self> {
        Ok(match Link::new(gpu, size)? {
            Some((buffer, link)) => Self { link: Some(link), buffer },
            None => {
                let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
                Self { link: None, buffer: gpu.buffer("a model input", size, usage)? }
            }
        })
    }
}

/// The buffers of a renderer's batches: as many as were ever in use at the same time.
#[derive(Debug, Default)]
pub(super) struct BufferPool {
    slots: Vec<Arc<Slot>>,
}

impl BufferPool {
    /// A free buffer of at least `size` bytes.
    pub fn take(&mut self, gpu: &Gpu, size: u64) -> Result<Arc<Slot>> {
        let is_free = |slot: &Arc<Slot>| Arc::strong_count(slot) == 1;
        let mut free = self.slots.iter().filter(|slot| is_free(slot));
        if let Some(slot) = free.find(|slot| size <= slot.buffer.size()) {
            return Ok(slot.clone());
        }
        // All free ones are too small.
        self.slots.retain(|slot| !is_free(slot));
        let slot = Arc::new(Slot::new(gpu, size.next_multiple_of(256).max(256))?);
        self.slots.push(slot.clone());
        Ok(slot)
    }

    /// Bytes on the device.
    pub fn size(&self) -> u64 {
        self.slots.iter().map(|slot| slot.buffer.size()).sum()
    }
}
