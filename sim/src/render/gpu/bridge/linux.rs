//! Export of Vulkan memory and semaphores as file descriptors, and their import into CUDA.
//!
//! Sources: Vulkan, `VK_KHR_external_memory_fd` and `VK_KHR_external_semaphore_fd`; CUDA driver API, "External Resources".

#![allow(unsafe_code, reason = "neither driver has a safe interface for sharing memory")]

use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use ash::vk;
use wgpu_hal::vulkan as hal;

use crate::Result;
use crate::render::gpu::choice::DeviceUuid;
use crate::render::gpu::device::Gpu;

const MEMORY_HANDLE: vk::ExternalMemoryHandleTypeFlags = vk::ExternalMemoryHandleTypeFlags::OPAQUE_FD;
const SEMAPHORE_HANDLE: vk::ExternalSemaphoreHandleTypeFlags =
    vk::ExternalSemaphoreHandleTypeFlags::OPAQUE_FD;

const BUFFER_USAGE: vk::BufferUsageFlags = vk::BufferUsageFlags::from_raw(
    vk::BufferUsageFlags::STORAGE_BUFFER.as_raw() | vk::BufferUsageFlags::TRANSFER_SRC.as_raw(),
);

/// How long dropping a buffer waits for its last turn, nanoseconds.
const LAST_TURN_TIMEOUT_NS: u64 = 2_000_000_000;

/// Opens a device; with Vulkan, enables what export needs and the driver supports.
pub fn open(adapter: &wgpu::Adapter, limits: &wgpu::Limits) -> Result<(wgpu::Device, wgpu::Queue), String> {
    let features = adapter.features() & wgpu::Features::VULKAN_EXTERNAL_MEMORY_FD;
    let descriptor = wgpu::DeviceDescriptor {
        required_features: features,
        required_limits: limits.clone(),
        ..Default::default()
    };
    // SAFETY: the handle is used to open a device, which does not change the adapter.
    let Some(raw) = (unsafe { adapter.as_hal::<hal::Api>() }) else {
        return pollster::block_on(adapter.request_device(&descriptor)).map_err(|error| error.to_string());
    };
    let name = ash::khr::external_semaphore_fd::NAME;
    let has_semaphores = raw.physical_device_capabilities().supports_extension(name);
    let add_extension = move |args: hal::CreateDeviceCallbackArgs| {
        if has_semaphores {
            args.extensions.push(name);
        }
    };
    // SAFETY: features and limits are the adapter's own, and the only extension that is added is one that it supports.
    let device = unsafe {
        raw.open_with_callback(features, limits, &descriptor.memory_hints, Some(Box::new(add_extension)))
    };
    drop(raw);
    let device = device.map_err(|error| error.to_string())?;
    // SAFETY: the device was opened from this adapter, with these features.
    unsafe { adapter.create_device_from_hal::<hal::Api>(device, &descriptor) }
        .map_err(|error| error.to_string())
}

/// The UUID that identifies the device in Vulkan and in CUDA.
pub fn uuid(adapter: &wgpu::Adapter) -> Option<DeviceUuid> {
    // SAFETY: the handle is only queried.
    let adapter = unsafe { adapter.as_hal::<hal::Api>() }?;
    if adapter.shared_instance().instance_api_version() < vk::API_VERSION_1_1 {
        return None;
    }
    let mut id = vk::PhysicalDeviceIDProperties::default();
    let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut id);
    let instance = adapter.shared_instance().raw_instance();
    // SAFETY: the physical device is of this instance, whose version has the call.
    unsafe { instance.get_physical_device_properties2(adapter.raw_physical_device(), &mut properties) };
    Some(DeviceUuid(id.device_uuid))
}

/// Whether memory of this device can be exported.
pub fn shares_memory(device: &wgpu::Device) -> bool {
    // SAFETY: the handle is only queried.
    let raw = unsafe { device.as_hal::<hal::Api>() };
    let has_feature = device.features().contains(wgpu::Features::VULKAN_EXTERNAL_MEMORY_FD);
    has_feature && raw.is_some_and(|device| exports_buffers(&device))
}

/// The exported memory of a buffer, and the order of the accesses to it.
///
/// Every access is a turn: a submission that renders into the buffer, or a copy out of it. Each turn waits on the GPU for
/// the end of the previous one and signals its own end.
#[derive(Debug)]
pub struct Link {
    /// Declared first, so that CUDA releases the memory before Vulkan does.
    #[cfg(feature = "cuda")]
    imported: Mutex<Option<cuda::Imported>>,
    memory: OwnedFd,
    size: u64,
    /// `None` if the driver has no timeline semaphores: the host waits instead.
    timeline: Option<Timeline>,
    /// Number of turns so far.
    n_turns: Mutex<u64>,
}

impl Link {
    /// A storage buffer of at least `size` bytes in its own memory, and its link; `None` if the device exports no memory.
    ///
    /// # Errors
    /// If the device is out of memory.
    pub fn new(gpu: &Gpu, size: u64) -> Result<Option<(wgpu::Buffer, Self)>> {
        gpu.check_request("a model input", size)?;
        if !shares_memory(&gpu.device) {
            return Ok(None);
        }
        // SAFETY: the handle is used to create objects of this device, which does not change it.
        let Some(device) = (unsafe { gpu.device.as_hal::<hal::Api>() }) else { return Ok(None) };
        let failed = |error| super::vulkan_failure(gpu, size, error);
        let (buffer, memory, memory_size) = exported_buffer(&device, size).map_err(failed)?;
        // SAFETY: buffer and memory were created for this call, are bound to each other, and nothing else refers to them.
        let raw = unsafe { hal::Buffer::from_raw_managed(buffer, memory, 0, memory_size) };
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
        let descriptor =
            wgpu::BufferDescriptor { label: Some("a model input"), size, usage, mapped_at_creation: false };
        // SAFETY: the raw buffer is of this device, matches the descriptor, and is written before it is read.
        let buffer = unsafe { gpu.device.create_buffer_from_hal::<hal::Api>(raw, &descriptor) };
        let memory = memory_fd(&device, memory).map_err(failed)?;
        let timeline = Timeline::new(&gpu.device, &device).map_err(failed)?;
        let link = Self {
            #[cfg(feature = "cuda")]
            imported: Mutex::new(None),
            memory,
            size: memory_size,
            timeline,
            n_turns: Mutex::new(0),
        };
        Ok(Some((buffer, link)))
    }

    /// The memory, for another API to map: Vulkan's opaque handle, and its size in bytes.
    ///
    /// # Errors
    /// If the process has no file descriptor left.
    pub fn export(&self) -> std::io::Result<(OwnedFd, u64)> {
        Ok((self.memory.try_clone()?, self.size))
    }

    /// Stages the next turn: the next submission to the queue, from any thread, takes it. The caller must be the only user
    /// of the buffer. Stages nothing if the host waits instead.
    pub fn stage_turn(&self, queue: &wgpu::Queue) {
        let Some(timeline) = &self.timeline else { return };
        // SAFETY: the handle is only used to register semaphores.
        let Some(queue) = (unsafe { queue.as_hal::<hal::Api>() }) else { return };
        let mut n_turns = self.n_turns.lock().unwrap_or_else(PoisonError::into_inner);
        if 0 < *n_turns {
            let everything = vk::PipelineStageFlags::ALL_COMMANDS;
            queue.add_wait_semaphore(timeline.semaphore, Some(*n_turns), everything);
        }
        *n_turns += 1;
        queue.add_signal_semaphore(timeline.semaphore, Some(*n_turns));
    }

    /// Call after the submission: cancels the turn if the submission was refused and did not take it.
    pub fn unstage_turn(&self, queue: &wgpu::Queue) {
        let Some(timeline) = &self.timeline else { return };
        // SAFETY: as above.
        let Some(queue) = (unsafe { queue.as_hal::<hal::Api>() }) else { return };
        queue.remove_wait_semaphore(timeline.semaphore);
        if queue.remove_signal_semaphore(timeline.semaphore) {
            *self.n_turns.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let n_turns = *self.n_turns.get_mut().unwrap_or_else(PoisonError::into_inner);
        if self.timeline.as_ref().is_none_or(|timeline| timeline.wait(n_turns)) {
            return;
        }
        // The GPU does not respond. Releasing what it may still use would block forever, so it is leaked.
        std::mem::forget(self.timeline.take());
        #[cfg(feature = "cuda")]
        std::mem::forget(self.imported.get_mut().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// A timeline semaphore that counts turns.
#[derive(Debug)]
struct Timeline {
    semaphore: vk::Semaphore,
    /// `None` if the driver cannot export it: then it counts only Vulkan's turns.
    #[cfg_attr(not(feature = "cuda"), allow(dead_code, reason = "only CUDA uses it"))]
    handle: Option<OwnedFd>,
    /// Keeps the device open.
    device: wgpu::Device,
}

impl Timeline {
    /// `None` if this device has no timeline semaphores.
    fn new(owner: &wgpu::Device, device: &hal::Device) -> Result<Option<Self>, vk::Result> {
        let (raw, instance) = (device.raw_device(), device.shared_instance().raw_instance());
        // SAFETY: the physical device is of this instance.
        let properties = unsafe { instance.get_physical_device_properties(device.raw_physical_device()) };
        if properties.api_version < vk::API_VERSION_1_2 {
            return Ok(None);
        }
        let is_exported = exports_timelines(device);
        let mut export = vk::ExportSemaphoreCreateInfo::default().handle_types(SEMAPHORE_HANDLE);
        let mut kind = vk::SemaphoreTypeCreateInfo::default().semaphore_type(vk::SemaphoreType::TIMELINE);
        let info = vk::SemaphoreCreateInfo::default().push_next(&mut kind);
        let info = if is_exported { info.push_next(&mut export) } else { info };
        // SAFETY: devices of this version have timeline semaphores, and wgpu enables them; export is requested if supported.
        let semaphore = unsafe { raw.create_semaphore(&info, None) }?;
        let mut timeline = Self { semaphore, handle: None, device: owner.clone() };
        if is_exported {
            let functions = ash::khr::external_semaphore_fd::Device::new(instance, raw);
            let info =
                vk::SemaphoreGetFdInfoKHR::default().semaphore(semaphore).handle_type(SEMAPHORE_HANDLE);
            // SAFETY: the semaphore was created for this export, and the returned descriptor has no other owner.
            timeline.handle = Some(unsafe { OwnedFd::from_raw_fd(functions.get_semaphore_fd(&info)?) });
        }
        Ok(Some(timeline))
    }

    /// Waits for a turn to end; `false` if it does not end in time.
    fn wait(&self, turn: u64) -> bool {
        // SAFETY: the handle is only queried.
        let Some(device) = (unsafe { self.device.as_hal::<hal::Api>() }) else { return false };
        let (semaphores, values) = ([self.semaphore], [turn]);
        let info = vk::SemaphoreWaitInfo::default().semaphores(&semaphores).values(&values);
        // SAFETY: the semaphore is of this device.
        unsafe { device.raw_device().wait_semaphores(&info, LAST_TURN_TIMEOUT_NS) }.is_ok()
    }
}

impl Drop for Timeline {
    fn drop(&mut self) {
        // SAFETY: the handle is used to destroy an object that was created from it.
        let Some(device) = (unsafe { self.device.as_hal::<hal::Api>() }) else { return };
        // SAFETY: the last turn has ended, and no other can be staged.
        unsafe { device.raw_device().destroy_semaphore(self.semaphore, None) };
    }
}

/// Whether this device can export the memory of buffers that are not dedicated allocations.
fn exports_buffers(device: &hal::Device) -> bool {
    let instance = device.shared_instance();
    if instance.instance_api_version() < vk::API_VERSION_1_1 {
        return false;
    }
    let info = vk::PhysicalDeviceExternalBufferInfo::default().usage(BUFFER_USAGE).handle_type(MEMORY_HANDLE);
    let mut properties = vk::ExternalBufferProperties::default();
    // SAFETY: the physical device is of this instance, whose version has the call.
    unsafe {
        instance.raw_instance().get_physical_device_external_buffer_properties(
            device.raw_physical_device(),
            &info,
            &mut properties,
        );
    }
    let features = properties.external_memory_properties.external_memory_features;
    features.contains(vk::ExternalMemoryFeatureFlags::EXPORTABLE)
        && !features.contains(vk::ExternalMemoryFeatureFlags::DEDICATED_ONLY)
}

/// Whether this device, of version 1.2 or later, can export timeline semaphores.
fn exports_timelines(device: &hal::Device) -> bool {
    if !device.enabled_device_extensions().contains(&ash::khr::external_semaphore_fd::NAME) {
        return false;
    }
    let (instance, physical) = (device.shared_instance().raw_instance(), device.raw_physical_device());
    let mut kind = vk::SemaphoreTypeCreateInfo::default().semaphore_type(vk::SemaphoreType::TIMELINE);
    let info =
        vk::PhysicalDeviceExternalSemaphoreInfo::default().handle_type(SEMAPHORE_HANDLE).push_next(&mut kind);
    let mut properties = vk::ExternalSemaphoreProperties::default();
    // SAFETY: the physical device is of this instance, and both are of versions that have the call.
    unsafe {
        instance.get_physical_device_external_semaphore_properties(physical, &info, &mut properties);
    }
    let features = properties.external_semaphore_features;
    features.contains(vk::ExternalSemaphoreFeatureFlags::EXPORTABLE)
}

/// A buffer in its own, exportable device memory, and the size of that memory in bytes.
fn exported_buffer(
    device: &hal::Device,
    size: u64,
) -> Result<(vk::Buffer, vk::DeviceMemory, u64), vk::Result> {
    let (raw, instance) = (device.raw_device(), device.shared_instance().raw_instance());
    let mut external = vk::ExternalMemoryBufferCreateInfo::default().handle_types(MEMORY_HANDLE);
    let info = vk::BufferCreateInfo::default().size(size).usage(BUFFER_USAGE).push_next(&mut external);
    // SAFETY: the size is above 0, and the device exports buffers of this usage.
    let buffer = unsafe { raw.create_buffer(&info, None) }?;
    // SAFETY: the buffer is of this device, and the physical device of this instance.
    let (needs, types) = unsafe {
        let types = instance.get_physical_device_memory_properties(device.raw_physical_device());
        (raw.get_buffer_memory_requirements(buffer), types)
    };
    let is_local = |i: &u32| {
        let flags = types.memory_types[*i as usize].property_flags;
        needs.memory_type_bits & (1 << i) != 0 && flags.contains(vk::MemoryPropertyFlags::DEVICE_LOCAL)
    };
    let allocate = || {
        let memory_type =
            (0..types.memory_type_count).find(is_local).ok_or(vk::Result::ERROR_FEATURE_NOT_PRESENT)?;
        let mut export = vk::ExportMemoryAllocateInfo::default().handle_types(MEMORY_HANDLE);
        let info = vk::MemoryAllocateInfo::default()
            .allocation_size(needs.size)
            .memory_type_index(memory_type)
            .push_next(&mut export);
        // SAFETY: the memory type is one of this device's, which supports this export.
        let memory = unsafe { raw.allocate_memory(&info, None) }?;
        // SAFETY: the memory is as large as the buffer needs and of a type that it allows; neither is bound yet.
        match unsafe { raw.bind_buffer_memory(buffer, memory, 0) } {
            Ok(()) => Ok(memory),
            Err(error) => {
                // SAFETY: nothing uses it.
                unsafe { raw.free_memory(memory, None) };
                Err(error)
            }
        }
    };
    match allocate() {
        Ok(memory) => Ok((buffer, memory, needs.size)),
        Err(error) => {
            // SAFETY: nothing uses it.
            unsafe { raw.destroy_buffer(buffer, None) };
            Err(error)
        }
    }
}

fn memory_fd(device: &hal::Device, memory: vk::DeviceMemory) -> Result<OwnedFd, vk::Result> {
    let (raw, instance) = (device.raw_device(), device.shared_instance().raw_instance());
    let functions = ash::khr::external_memory_fd::Device::new(instance, raw);
    let info = vk::MemoryGetFdInfoKHR::default().memory(memory).handle_type(MEMORY_HANDLE);
    // SAFETY: the extension is enabled, the memory was allocated for this export, and the descriptor has no other owner.
    unsafe { functions.get_memory_fd(&info).map(|fd| OwnedFd::from_raw_fd(fd)) }
}

/// The side of CUDA.
#[cfg(feature = "cuda")]
pub(in crate::render::gpu) mod cuda {
    use std::fs::File;
    use std::os::fd::{AsRawFd as _, OwnedFd};
    use std::sync::{Arc, PoisonError};

    use cudarc::driver::{
        CudaContext, CudaSlice, CudaStream, DevicePtr as _, DevicePtrMut as _, DriverError, MappedBuffer,
        result, sys,
    };
    use half::f16;

    use super::Link;
    use crate::Result;
    use crate::render::gpu::device::Gpu;

    /// Whether a CUDA library can be loaded.
    pub(in crate::render::gpu) fn has_library(name: &str) -> bool {
        // SAFETY: CUDA's libraries may be loaded at any time.
        let library = unsafe { libloading::Library::new(name) };
        // The library stays loaded for later calls.
        library.map(std::mem::forget).is_ok()
    }

    /// The latest CUDA version that the driver supports, as `1000 * major + 10 * minor`. The driver must be installed.
    pub(in crate::render::gpu) fn driver_version() -> Result<u32, DriverError> {
        let mut version = 0;
        // SAFETY: the call writes one number, and may come before the driver is initialised.
        unsafe { sys::cuDriverGetVersion(&raw mut version) }.result()?;
        Ok(version as u32)
    }

    /// A link's memory and semaphore, imported into CUDA.
    #[derive(Debug)]
    pub(in crate::render::gpu) struct Imported {
        memory: MappedBuffer,
        semaphore: Option<sys::CUexternalSemaphore>,
        context: Arc<CudaContext>,
    }

    // SAFETY: the driver's handles may be used by any thread that has bound the context, which every use here does first.
    unsafe impl Send for Imported {}

    impl Imported {
        fn new(link: &Link, context: &Arc<CudaContext>) -> Result<Self, DriverError> {
            context.bind_to_thread()?;
            let failed = |_| DriverError(sys::CUresult::CUDA_ERROR_OPERATING_SYSTEM);
            let file = File::from(link.memory.try_clone().map_err(failed)?);
            // SAFETY: the size is the one that the memory was allocated with.
            let memory = unsafe { context.import_external_memory(file, link.size) }?.map_all()?;
            let semaphore = match link.semaphore_handle() {
                Some(handle) => Some(import_semaphore(handle.try_clone().map_err(failed)?)?),
                None => None,
            };
            Ok(Self { memory, semaphore, context: context.clone() })
        }
    }

    fn import_semaphore(handle: OwnedFd) -> Result<sys::CUexternalSemaphore, DriverError> {
        let info = sys::CUDA_EXTERNAL_SEMAPHORE_HANDLE_DESC {
            type_:
                sys::CUexternalSemaphoreHandleType::CU_EXTERNAL_SEMAPHORE_HANDLE_TYPE_TIMELINE_SEMAPHORE_FD,
            handle: sys::CUDA_EXTERNAL_SEMAPHORE_HANDLE_DESC_st__bindgen_ty_1 { fd: handle.as_raw_fd() },
            flags: 0,
            reserved: [0; 16],
        };
        let mut semaphore = std::ptr::null_mut();
        // SAFETY: the description is complete, and the context is bound.
        unsafe { sys::cuImportExternalSemaphore(&raw mut semaphore, &raw const info) }.result()?;
        // The driver owns the descriptor from here on.
        std::mem::forget(handle);
        Ok(semaphore)
    }

    impl Drop for Imported {
        fn drop(&mut self) {
            let Some(semaphore) = self.semaphore else { return };
            let destroy = || -> Result<(), DriverError> {
                self.context.bind_to_thread()?;
                self.context.synchronize()?;
                // SAFETY: no work is left on the GPU that waits for the semaphore or signals it.
                unsafe { sys::cuDestroyExternalSemaphore(semaphore) }.result()
            };
            // `drop` cannot return the error; the context returns it from its next call.
            self.context.record_err(destroy());
        }
    }

    impl Link {
        fn semaphore_handle(&self) -> Option<&OwnedFd> {
            self.timeline.as_ref()?.handle.as_ref()
        }

        /// Copies the first `n_values` f16 values on the GPU, as the next work of `stream`. The host does not wait, unless
        /// the driver cannot export semaphores: then it waits with `rendered` before the copy, and for the copy.
        ///
        /// # Errors
        /// If the GPU is out of memory, or the driver fails.
        pub fn copy(
            &self,
            gpu: &Gpu,
            n_values: usize,
            stream: &Arc<CudaStream>,
            rendered: impl FnOnce() -> Result<()>,
        ) -> Result<CudaSlice<f16>> {
            if self.semaphore_handle().is_none() {
                rendered()?;
            }
            assert!(n_values as u64 * 2 <= self.size, "more values than the memory holds");
            self.take_turn(n_values, stream).map_err(|error| super::super::cuda_failure(gpu, n_values, error))
        }

        fn take_turn(
            &self,
            n_values: usize,
            stream: &Arc<CudaStream>,
        ) -> Result<CudaSlice<f16>, DriverError> {
            stream.context().bind_to_thread()?;
            let mut slot = self.imported.lock().unwrap_or_else(PoisonError::into_inner);
            let imported = match slot.take().filter(|it| Arc::ptr_eq(&it.context, stream.context())) {
                Some(imported) => imported,
                None => Imported::new(self, stream.context())?,
            };
            let Imported { memory, semaphore, .. } = slot.insert(imported);
            // SAFETY: all of it is written by the copy below, which the stream runs before anything else that reads it.
            let mut values = unsafe { stream.alloc::<f16>(n_values) }?;
            let mut n_turns = self.n_turns.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(semaphore) = semaphore {
                // SAFETY: plain data, for which all zeros are valid.
                let mut info: sys::CUDA_EXTERNAL_SEMAPHORE_WAIT_PARAMS = unsafe { std::mem::zeroed() };
                info.params.fence.value = *n_turns;
                // SAFETY: the semaphore is alive, and the turn that is waited for has been submitted.
                let wait = unsafe {
                    sys::cuWaitExternalSemaphoresAsync(semaphore, &raw const info, 1, stream.cu_stream())
                };
                wait.result()?;
            }
            {
                let (from, _read) = memory.device_ptr(stream);
                let (to, _written) = values.device_ptr_mut(stream);
                // SAFETY: both ranges hold `n_values` f16 values, and they do not overlap.
                unsafe { result::memcpy_dtod_async(to, from, n_values * 2, stream.cu_stream()) }?;
            }
            match semaphore {
                Some(semaphore) => {
                    // SAFETY: plain data, for which all zeros are valid.
                    let mut info: sys::CUDA_EXTERNAL_SEMAPHORE_SIGNAL_PARAMS = unsafe { std::mem::zeroed() };
                    info.params.fence.value = *n_turns + 1;
                    // SAFETY: the semaphore is alive; turns are numbered in order under the lock, so its value only grows.
                    let signal = unsafe {
                        sys::cuSignalExternalSemaphoresAsync(
                            semaphore,
                            &raw const info,
                            1,
                            stream.cu_stream(),
                        )
                    };
                    signal.result()?;
                    *n_turns += 1;
                }
                None => stream.synchronize()?,
            }
            Ok(values)
        }
    }
}
