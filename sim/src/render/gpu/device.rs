//! Graphics processors: which there are, which one is taken, and what it says when something goes wrong.

use std::str::FromStr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use super::kernel::Kernels;
use crate::{Result, SimError};

/// How long the host waits for one batch of pictures before it gives the device up.
const PATIENCE: Duration = Duration::from_secs(120);

/// Storage buffers that the drawing kernel reads and writes.
const N_STORAGE_BUFFERS: u32 = 16;

/// Which graphics processor draws.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first of [`adapters`]: a card before a processor's own graphics before software.
    #[default]
    First,
    /// By its place in [`adapters`].
    Index(usize),
    /// By its PCI bus id, `0000:01:00.0`.
    PciBus(String),
}

impl FromStr for DeviceChoice {
    type Err = SimError;

    /// `first`, a number, or a PCI bus id.
    fn from_str(text: &str) -> Result<Self> {
        if text == "first" {
            return Ok(Self::First);
        }
        if let Ok(index) = text.parse() {
            return Ok(Self::Index(index));
        }
        let is_bus_id =
            text.contains(':') && text.chars().all(|c| c.is_ascii_hexdigit() || c == ':' || c == '.');
        if is_bus_id {
            return Ok(Self::PciBus(text.to_ascii_lowercase()));
        }
        let expected = "'first', the number of a device, or a PCI bus id like 0000:01:00.0".into();
        Err(SimError::OutOfRange { field: "gpu".into(), got: format!("'{text}'"), expected })
    }
}

/// What a graphics processor says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adapter {
    /// As its driver calls it.
    pub name: String,
    /// `card`, `integrated`, `virtual`, `software` or `other`.
    pub kind: &'static str,
    /// The interface and the driver.
    pub driver: String,
    /// Where it sits, `0000:01:00.0`; empty if unknown.
    pub pci_bus_id: String,
}

impl Adapter {
    fn new(info: &wgpu::AdapterInfo) -> Self {
        let kind = match info.device_type {
            wgpu::DeviceType::DiscreteGpu => "card",
            wgpu::DeviceType::IntegratedGpu => "integrated",
            wgpu::DeviceType::VirtualGpu => "virtual",
            wgpu::DeviceType::Cpu => "software",
            wgpu::DeviceType::Other => "other",
        };
        let driver = format!("{} {} {}", info.backend, info.driver, info.driver_info).trim().to_owned();
        let pci_bus_id = info.device_pci_bus_id.to_ascii_lowercase();
        Self { name: info.name.clone(), kind, driver, pci_bus_id }
    }
}

/// The graphics processors of this machine, in the order that [`DeviceChoice::Index`] counts in.
pub fn adapters() -> Vec<Adapter> {
    found().iter().map(|adapter| Adapter::new(&adapter.get_info())).collect()
}

fn found() -> Vec<wgpu::Adapter> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL;
    descriptor.flags = wgpu::InstanceFlags::empty();
    let instance = wgpu::Instance::new(descriptor);
    let mut adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
    let rank = |kind: wgpu::DeviceType| match kind {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    };
    adapters.sort_by_key(|adapter| {
        let info = adapter.get_info();
        (rank(info.device_type), info.device_pci_bus_id)
    });
    adapters
}

/// A graphics processor that has been opened. Several renderers may share one, and a process may open several.
#[derive(Debug)]
pub struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) limits: wgpu::Limits,
    adapter: Adapter,
    kernels: OnceLock<Kernels>,
    /// The first thing that went wrong.
    failure: Arc<Mutex<Option<Failure>>>,
}

/// The devices that are open in this process, for those who share.
static SHARED: Mutex<Vec<(DeviceChoice, Weak<Gpu>)>> = Mutex::new(Vec::new());

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
        let found = found();
        let infos: Vec<Adapter> = found.iter().map(|adapter| Adapter::new(&adapter.get_info())).collect();
        let position = match choice {
            DeviceChoice::First => (!found.is_empty()).then_some(0),
            DeviceChoice::Index(index) => (*index < found.len()).then_some(*index),
            DeviceChoice::PciBus(bus_id) => infos.iter().position(|info| info.pci_bus_id.ends_with(bus_id)),
        };
        let Some(position) = position else { return Err(no_device(choice, &infos)) };
        let (adapter, info) = (&found[position], infos[position].clone());
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
        let descriptor = wgpu::DeviceDescriptor { required_limits: limits.clone(), ..Default::default() };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))
            .map_err(|error| SimError::Gpu(format!("{} cannot be opened: {error}", info.name)))?;
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
        Ok(Arc::new(Self { device, queue, limits, adapter: info, kernels: OnceLock::new(), failure }))
    }

    /// The device that this process has open already, if it works; else opens it. Renderers that share a device
    /// share its compiled kernels, too.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub fn shared(choice: &DeviceChoice) -> Result<Arc<Self>> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.retain(|(_, gpu)| gpu.upgrade().is_some_and(|gpu| gpu.check().is_ok()));
        let known = shared.iter().find(|(other, _)| other == choice);
        if let Some(gpu) = known.and_then(|(_, gpu)| gpu.upgrade()) {
            return Ok(gpu);
        }
        let gpu = Self::open(choice)?;
        shared.push((choice.clone(), Arc::downgrade(&gpu)));
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

    /// The largest buffer that a kernel can be given, bytes.
    pub(super) fn max_buffer(&self) -> u64 {
        self.limits.max_storage_buffer_binding_size.min(self.limits.max_buffer_size)
    }

    /// A buffer of so many bytes.
    pub(super) fn buffer(&self, what: &str, size: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        if self.max_buffer() < size {
            let (what, limit) = (format!("{}: bytes of {what}", self.adapter.name), self.max_buffer());
            return Err(SimError::GpuLimit {
                what,
                need: size,
                limit,
                hint: "use fewer envs or views".into(),
            });
        }
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let descriptor = wgpu::BufferDescriptor { label: Some(what), size, usage, mapped_at_creation: false };
        let buffer = self.device.create_buffer(&descriptor);
        match pollster::block_on(scope.pop()) {
            None => Ok(buffer),
            Some(_) => {
                Err(SimError::GpuMemory { device: self.adapter.name.clone(), what: what.into(), need: size })
            }
        }
    }

    /// Whether the device still works.
    pub(super) fn check(&self) -> Result<()> {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        let device = self.adapter.name.clone();
        match &*failure {
            None => Ok(()),
            Some(Failure::Lost(reason)) => Err(SimError::GpuLost { device, reason: reason.clone() }),
            Some(Failure::Memory) => {
                Err(SimError::GpuMemory { device, what: "a batch of pictures".into(), need: 0 })
            }
            Some(Failure::Other(message)) => Err(SimError::Gpu(format!("{device}: {message}"))),
        }
    }

    /// Waits for what was submitted.
    pub(super) fn wait(&self, submission: wgpu::SubmissionIndex) -> Result<()> {
        let wait = wgpu::PollType::Wait { submission_index: Some(submission), timeout: Some(PATIENCE) };
        if let Err(error) = self.device.poll(wait) {
            self.check()?;
            let reason = format!("no answer within {} s: {error}", PATIENCE.as_secs());
            return Err(SimError::GpuLost { device: self.adapter.name.clone(), reason });
        }
        self.check()
    }
}

/// Keeps the first failure: those that follow are its consequences. A lost device matters more than what it says.
fn note(slot: &Mutex<Option<Failure>>, failure: Failure) {
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    if slot.is_none() || matches!((&*slot, &failure), (Some(Failure::Other(_)), Failure::Lost(_))) {
        *slot = Some(failure);
    }
}

fn no_device(choice: &DeviceChoice, found: &[Adapter]) -> SimError {
    let wanted = match choice {
        DeviceChoice::First => "a graphics processor".to_owned(),
        DeviceChoice::Index(index) => format!("device {index}"),
        DeviceChoice::PciBus(bus_id) => format!("a device at PCI bus {bus_id}"),
    };
    let found = found.iter().enumerate().map(|(k, info)| format!("{k}: {} ({})", info.name, info.kind));
    SimError::NoGpu { wanted, found: found.collect() }
}
