//! An open GPU and its errors.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use super::bridge::{self, Link};
use super::choice::{Adapter, DeviceChoice, find};
use super::kernel::Kernels;
use crate::{Result, SimError};

/// How long the host waits for one batch of frames before it treats the device as lost.
const WAIT_TIMEOUT: Duration = Duration::from_secs(120);

/// Storage buffers of the render kernel.
const N_STORAGE_BUFFERS: u32 = 16;

/// An open GPU. Several renderers may share one, and a process may open several.
#[derive(Debug)]
pub struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) limits: wgpu::Limits,
    adapter: Adapter,
    /// Its index in `adapters`.
    index: usize,
    kernels: OnceLock<Kernels>,
    /// The first failure.
    failure: Arc<Mutex<Option<Failure>>>,
    /// Locked during a submission: the semaphores that it waits for are registered in a separate call.
    submitting: Mutex<()>,
    n_read_backs: AtomicU64,
    refused_above: AtomicU64,
}

/// The devices that are open in this process, for [`Gpu::shared`].
static SHARED: Mutex<Vec<Weak<Gpu>>> = Mutex::new(Vec::new());

#[derive(Clone, Debug)]
enum Failure {
    Lost(String),
    Memory,
    Other(String),
}

impl Gpu {
    /// Opens a device.
    ///
    /// # Errors
    /// If there is no such device (the message lists the available ones), it lacks what the kernels need, or its driver
    /// fails.
    pub fn open(choice: &DeviceChoice) -> Result<Arc<Self>> {
        let (adapter, index) = find(choice)?;
        Self::open_adapter(&adapter, index)
    }

    fn open_adapter(adapter: &wgpu::Adapter, index: usize) -> Result<Arc<Self>> {
        let info = Adapter::new(adapter);
        let limits = adapter.limits();
        let buffers = limits.max_storage_buffers_per_shader_stage;
        if buffers < N_STORAGE_BUFFERS {
            let what = format!("{}: storage buffers of a kernel", info.name);
            return Err(SimError::GpuLimit {
                what,
                need: N_STORAGE_BUFFERS.into(),
                limit: buffers.into(),
                hint: "render on the CPU".into(),
            });
        }
        let (device, queue) = bridge::open(adapter, &limits)
            .map_err(|reason| SimError::Gpu(format!("{} cannot be opened: {reason}", info.name)))?;
        let failure = Arc::new(Mutex::new(None));
        let lost = failure.clone();
        device.set_device_lost_callback(move |reason, message| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                note(&lost, Failure::Lost(message));
            }
        });
        let uncaptured = failure.clone();
        device.on_uncaptured_error(Arc::new(move |error| match error {
            wgpu::Error::OutOfMemory { .. } => note(&uncaptured, Failure::Memory),
            error => note(&uncaptured, Failure::Other(error.to_string())),
        }));
        Ok(Arc::new(Self {
            device,
            queue,
            limits,
            adapter: info,
            index,
            kernels: OnceLock::new(),
            failure,
            submitting: Mutex::new(()),
            n_read_backs: AtomicU64::new(0),
            refused_above: AtomicU64::new(u64::MAX),
        }))
    }

    /// Returns the device if this process has it open and it works, else opens it. Renderers that share a device also
    /// share its compiled kernels.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub fn shared(choice: &DeviceChoice) -> Result<Arc<Self>> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.retain(|gpu| gpu.upgrade().is_some_and(|gpu| gpu.check().is_ok()));
        let is_selected = |gpu: &Arc<Self>| choice.selects(gpu.index, &gpu.adapter);
        if let Some(gpu) = shared.iter().filter_map(Weak::upgrade).find(is_selected) {
            return Ok(gpu);
        }
        let (adapter, index) = find(choice)?;
        let gpu = Self::open_adapter(&adapter, index)?;
        shared.push(Arc::downgrade(&gpu));
        Ok(gpu)
    }

    /// The kernels, compiled on first use.
    pub(super) fn kernels(&self) -> Result<&Kernels> {
        let kernels = self.kernels.get_or_init(|| Kernels::new(&self.device));
        self.check()?;
        Ok(kernels)
    }

    /// Properties of the device.
    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    /// Destroys the device, as if its driver had failed. For tests of lost devices.
    pub fn lose(&self) {
        self.device.destroy();
        note(&self.failure, Failure::Lost("it was destroyed on request".into()));
    }

    /// Refuses buffers of more than `n_bytes` from now on, as if the device were out of memory. For tests.
    pub fn refuse_above(&self, n_bytes: u64) {
        self.refused_above.store(n_bytes, Ordering::Relaxed);
    }

    pub(super) fn out_of_memory(&self, what: &str, size: u64) -> SimError {
        let device = self.adapter.name.clone();
        SimError::GpuMemory { device, what: what.into(), need: Some(size), fits: None }
    }

    /// The largest buffer that a kernel can bind, bytes.
    pub(super) fn max_buffer(&self) -> u64 {
        self.limits.max_storage_buffer_binding_size.min(self.limits.max_buffer_size)
    }

    /// Returns an error if a buffer is larger than the device allows.
    pub(super) fn check_request(&self, what: &str, size: u64) -> Result<()> {
        if self.max_buffer() < size {
            let (what, limit) = (format!("{}: bytes of {what}", self.adapter.name), self.max_buffer());
            return Err(SimError::GpuLimit {
                what,
                need: size,
                limit,
                hint: "use fewer envs or views".into(),
            });
        }
        if self.refused_above.load(Ordering::Relaxed) < size {
            return Err(self.out_of_memory(what, size));
        }
        Ok(())
    }

    /// Allocates a buffer of `size` bytes.
    pub(super) fn buffer(&self, what: &str, size: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        self.check_request(what, size)?;
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let descriptor = wgpu::BufferDescriptor { label: Some(what), size, usage, mapped_at_creation: false };
        let buffer = self.device.create_buffer(&descriptor);
        match pollster::block_on(scope.pop()) {
            None => Ok(buffer),
            Some(_) => Err(self.out_of_memory(what, size)),
        }
    }

    /// Returns an error if the device has failed. A lost device stays lost; other failures are reported once.
    pub(super) fn check(&self) -> Result<()> {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        let device = self.adapter.name.clone();
        if let Some(Failure::Lost(reason)) = &*failure {
            return Err(SimError::GpuLost { device, reason: reason.clone() });
        }
        match failure.take() {
            None => Ok(()),
            Some(Failure::Memory) => {
                Err(SimError::GpuMemory { device, what: "a batch of frames".into(), need: None, fits: None })
            }
            Some(Failure::Lost(message) | Failure::Other(message)) => {
                Err(SimError::Gpu(format!("{device}: {message}")))
            }
        }
    }

    /// Submits work; with a link, the submission is the link's next turn.
    pub(super) fn submit(
        &self,
        commands: Option<wgpu::CommandBuffer>,
        link: Option<&Link>,
    ) -> wgpu::SubmissionIndex {
        let _alone = self.submitting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = link {
            link.stage_turn(&self.queue);
        }
        let submission = self.queue.submit(commands);
        if let Some(link) = link {
            link.unstage_turn(&self.queue);
        }
        submission
    }

    /// Calls `work` and returns the errors of the device to this caller, not to others that share the device.
    pub(super) fn checked<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.check()?;
        let scopes =
            [wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Validation, wgpu::ErrorFilter::Internal]
                .map(|filter| self.device.push_error_scope(filter));
        let outcome = work();
        // Error scopes are popped in the reverse order of their creation.
        let errors: Vec<_> =
            scopes.into_iter().rev().filter_map(|scope| pollster::block_on(scope.pop())).collect();
        self.check()?;
        match errors.into_iter().next() {
            None => outcome,
            Some(wgpu::Error::OutOfMemory { .. }) => Err(SimError::GpuMemory {
                device: self.adapter.name.clone(),
                what: "a batch of frames".into(),
                need: None,
                fits: None,
            }),
            Some(error) => Err(SimError::Gpu(format!("{}: {error}", self.adapter.name))),
        }
    }

    /// Whether another API on the same GPU can map the memory of its frames.
    pub fn shares_memory(&self) -> bool {
        bridge::shares_memory(&self.device)
    }

    /// How often frames of this device were copied to the host.
    pub fn n_read_backs(&self) -> u64 {
        self.n_read_backs.load(Ordering::Relaxed)
    }

    pub(super) fn count_read_back(&self) {
        self.n_read_backs.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits for a submission.
    ///
    /// wgpu panics if the device is lost during the wait; the panic is caught and returned as an error.
    pub(super) fn wait(&self, submission: wgpu::SubmissionIndex) -> Result<()> {
        let wait = wgpu::PollType::Wait { submission_index: Some(submission), timeout: Some(WAIT_TIMEOUT) };
        let reason = match catch_unwind(AssertUnwindSafe(|| self.device.poll(wait))) {
            Ok(Ok(_)) => return self.check(),
            Ok(Err(wgpu::PollError::Timeout)) => {
                // Closing a device that hangs would block forever, so it is leaked.
                std::mem::forget((self.device.clone(), self.queue.clone()));
                format!("no response within {} s", WAIT_TIMEOUT.as_secs())
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it failed during a wait".to_owned(),
        };
        note(&self.failure, Failure::Lost(reason));
        self.check()
    }
}

/// Keeps the first failure, as later ones follow from it. A lost device replaces other failures.
fn note(slot: &Mutex<Option<Failure>>, failure: Failure) {
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    if matches!((&*slot, &failure), (None, _) | (Some(Failure::Other(_) | Failure::Memory), Failure::Lost(_)))
    {
        *slot = Some(failure);
    }
}
