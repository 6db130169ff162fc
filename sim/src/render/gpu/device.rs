//! A graphics processor that has been opened, and what it says when something goes wrong.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use super::bridge::{self, Link};
use super::choice::{Adapter, DeviceChoice, find};
use super::kernel::Kernels;
use crate::{Result, SimError};

/// How long the host waits for one batch of pictures before it gives the device up.
const PATIENCE: Duration = Duration::from_secs(120);

/// Storage buffers that the drawing kernel reads and writes.
const N_STORAGE_BUFFERS: u32 = 16;

/// A graphics processor that has been opened. Several renderers may share one, and a process may open several.
#[derive(Debug)]
pub struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) limits: wgpu::Limits,
    adapter: Adapter,
    /// Its place among [`adapters`].
    index: usize,
    kernels: OnceLock<Kernels>,
    /// The first thing that went wrong.
    failure: Arc<Mutex<Option<Failure>>>,
    /// Held while something is submitted: what a submission waits for is noted apart from it.
    submitting: Mutex<()>,
    n_read_backs: AtomicU64,
    refused_above: AtomicU64,
}

/// The devices that are open in this process, for those who share.
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
    /// If there is no such device (the message lists those that there are), it lacks what the kernels need, or its
    /// driver refuses.
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
                hint: "draw on the CPU".into(),
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

    /// The device that this process has open already, if it works; else opens it. Renderers that share a device
    /// share its compiled kernels, too.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub fn shared(choice: &DeviceChoice) -> Result<Arc<Self>> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.retain(|gpu| gpu.upgrade().is_some_and(|gpu| gpu.check().is_ok()));
        let is_meant = |gpu: &Arc<Self>| choice.means(gpu.index, &gpu.adapter);
        if let Some(gpu) = shared.iter().filter_map(Weak::upgrade).find(is_meant) {
            return Ok(gpu);
        }
        let (adapter, index) = find(choice)?;
        let gpu = Self::open_adapter(&adapter, index)?;
        shared.push(Arc::downgrade(&gpu));
        Ok(gpu)
    }

    /// The kernels, compiled at their first use.
    pub(super) fn kernels(&self) -> Result<&Kernels> {
        let kernels = self.kernels.get_or_init(|| Kernels::new(&self.device));
        self.check()?;
        Ok(kernels)
    }

    /// What the device says about itself.
    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    /// Gives the device up, as a driver that fails does. For tests of what happens then.
    pub fn lose(&self) {
        self.device.destroy();
        note(&self.failure, Failure::Lost("it was given up".into()));
    }

    /// From here on refuses buffers of more bytes, as a device that is out of memory does. For tests of what happens then.
    pub fn refuse_above(&self, n_bytes: u64) {
        self.refused_above.store(n_bytes, Ordering::Relaxed);
    }

    pub(super) fn out_of_memory(&self, what: &str, size: u64) -> SimError {
        let device = self.adapter.name.clone();
        SimError::GpuMemory { device, what: what.into(), need: Some(size), fits: None }
    }

    /// The largest buffer that a kernel can be given, bytes.
    pub(super) fn max_buffer(&self) -> u64 {
        self.limits.max_storage_buffer_binding_size.min(self.limits.max_buffer_size)
    }

    /// Refuses buffers that are larger than the device allows.
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

    /// A buffer of so many bytes.
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

    /// Whether the device still works. A lost one never does again; other failures are told once.
    pub(super) fn check(&self) -> Result<()> {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        let device = self.adapter.name.clone();
        if let Some(Failure::Lost(reason)) = &*failure {
            return Err(SimError::GpuLost { device, reason: reason.clone() });
        }
        match failure.take() {
            None => Ok(()),
            Some(Failure::Memory) => Err(SimError::GpuMemory {
                device,
                what: "a batch of pictures".into(),
                need: None,
                fits: None,
            }),
            Some(Failure::Lost(message) | Failure::Other(message)) => {
                Err(SimError::Gpu(format!("{device}: {message}")))
            }
        }
    }

    /// Submits work; with a link it is the link's next turn.
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

    /// Calls `work`, and returns what the device had to say against it: to this caller, and not to another who shares it.
    pub(super) fn checked<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.check()?;
        let scopes =
            [wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Validation, wgpu::ErrorFilter::Internal]
                .map(|filter| self.device.push_error_scope(filter));
        let outcome = work();
        // Scopes end in the reverse of the order in which they began.
        let errors: Vec<_> =
            scopes.into_iter().rev().filter_map(|scope| pollster::block_on(scope.pop())).collect();
        self.check()?;
        match errors.into_iter().next() {
            None => outcome,
            Some(wgpu::Error::OutOfMemory { .. }) => Err(SimError::GpuMemory {
                device: self.adapter.name.clone(),
                what: "a batch of pictures".into(),
                need: None,
                fits: None,
            }),
            Some(error) => Err(SimError::Gpu(format!("{}: {error}", self.adapter.name))),
        }
    }

    /// Whether what it draws can be mapped by another interface of the same card.
    pub fn shares_memory(&self) -> bool {
        bridge::shares_memory(&self.device)
    }

    /// How often pictures of this device were copied to the host.
    pub fn n_read_backs(&self) -> u64 {
        self.n_read_backs.load(Ordering::Relaxed)
    }

    pub(super) fn count_read_back(&self) {
        self.n_read_backs.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits for what was submitted.
    ///
    /// wgpu panics when a device is lost while it waits; that is caught, because whoever draws wants to end in good order.
    pub(super) fn wait(&self, submission: wgpu::SubmissionIndex) -> Result<()> {
        let wait = wgpu::PollType::Wait { submission_index: Some(submission), timeout: Some(PATIENCE) };
        let reason = match catch_unwind(AssertUnwindSafe(|| self.device.poll(wait))) {
            Ok(Ok(_)) => return self.check(),
            Ok(Err(wgpu::PollError::Timeout)) => {
                // To close a device that hangs would wait for it without an end: it is left as it is.
                std::mem::forget((self.device.clone(), self.queue.clone()));
                format!("no answer within {} s", PATIENCE.as_secs())
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it failed while it was waited for".to_owned(),
        };
        note(&self.failure, Failure::Lost(reason));
        self.check()
    }
}

/// Keeps the first failure: those that follow are its consequences. A lost device matters more than what it says.
fn note(slot: &Mutex<Option<Failure>>, failure: Failure) {
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    if matches!((&*slot, &failure), (None, _) | (Some(Failure::Other(_) | Failure::Memory), Failure::Lost(_)))
    {
        *slot = Some(failure);
    }
}
