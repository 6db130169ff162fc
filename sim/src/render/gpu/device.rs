//! Graphics processors: which there are, which one is taken, and what it says when something goes wrong.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
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
    /// By where it sits on the PCI bus.
    PciBus(PciBusId),
}

/// Where a card sits on the PCI bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PciBusId {
    /// Usually 0.
    pub domain: u32,
    /// The bus.
    pub bus: u8,
    /// The slot.
    pub device: u8,
    /// The function of the slot.
    pub function: u8,
}

impl PciBusId {
    /// Reads `0000:01:00.0`, with a domain of any length or none.
    fn parse(text: &str) -> Option<Self> {
        let (rest, function) = text.rsplit_once('.')?;
        let (rest, device) = rest.rsplit_once(':')?;
        let (domain, bus) = rest.rsplit_once(':').unwrap_or(("0", rest));
        let byte = |digits: &str| u8::from_str_radix(digits, 16).ok();
        let domain = u32::from_str_radix(domain, 16).ok()?;
        Some(Self { domain, bus: byte(bus)?, device: byte(device)?, function: byte(function)? })
    }
}

impl fmt::Display for PciBusId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{:x}", self.domain, self.bus, self.device, self.function)
    }
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
        if let Some(bus_id) = PciBusId::parse(text) {
            return Ok(Self::PciBus(bus_id));
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
    /// Where it sits, if that is known.
    pub pci_bus_id: Option<PciBusId>,
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
        let pci_bus_id = PciBusId::parse(&info.device_pci_bus_id);
        Self { name: info.name.clone(), kind, driver, pci_bus_id }
    }
}

impl fmt::Display for Adapter {
    /// `name (kind, bus)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.name, self.kind)?;
        match self.pci_bus_id {
            Some(bus_id) => write!(f, ", {bus_id})"),
            None => f.write_str(")"),
        }
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
    /// Its place among [`adapters`].
    index: usize,
    kernels: OnceLock<Kernels>,
    /// The first thing that went wrong.
    failure: Arc<Mutex<Option<Failure>>>,
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
        let info = Adapter::new(&adapter.get_info());
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
        Ok(Arc::new(Self { device, queue, limits, adapter: info, index, kernels: OnceLock::new(), failure }))
    }

    /// The device that this process has open already, if it works; else opens it. Renderers that share a device
    /// share its compiled kernels, too.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub fn shared(choice: &DeviceChoice) -> Result<Arc<Self>> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.retain(|gpu| gpu.upgrade().is_some_and(|gpu| gpu.check().is_ok()));
        let (adapter, index) = find(choice)?;
        if let Some(gpu) = shared.iter().filter_map(Weak::upgrade).find(|gpu| gpu.index == index) {
            return Ok(gpu);
        }
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
            Some(_) => Err(SimError::GpuMemory {
                device: self.adapter.name.clone(),
                what: what.into(),
                need: Some(size),
            }),
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
            Some(Failure::Memory) => {
                Err(SimError::GpuMemory { device, what: "a batch of pictures".into(), need: None })
            }
            Some(Failure::Lost(message) | Failure::Other(message)) => {
                Err(SimError::Gpu(format!("{device}: {message}")))
            }
        }
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

/// The device that is meant, and its place among [`adapters`].
fn find(choice: &DeviceChoice) -> Result<(wgpu::Adapter, usize)> {
    let mut found = found();
    let infos: Vec<Adapter> = found.iter().map(|adapter| Adapter::new(&adapter.get_info())).collect();
    let index = match choice {
        DeviceChoice::First => (!found.is_empty()).then_some(0),
        DeviceChoice::Index(index) => (*index < found.len()).then_some(*index),
        DeviceChoice::PciBus(bus_id) => infos.iter().position(|info| info.pci_bus_id == Some(*bus_id)),
    };
    index.map(|index| (found.swap_remove(index), index)).ok_or_else(|| no_device(choice, &infos))
}

fn no_device(choice: &DeviceChoice, found: &[Adapter]) -> SimError {
    let wanted = match choice {
        DeviceChoice::First => "a graphics processor".to_owned(),
        DeviceChoice::Index(index) => format!("device {index}"),
        DeviceChoice::PciBus(bus_id) => format!("a device at PCI bus {bus_id}"),
    };
    let found = found.iter().enumerate().map(|(k, info)| format!("{k}: {info}"));
    SimError::NoGpu { wanted, found: found.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bus_id_is_read_as_tools_write_it_and_not_by_halves() {
        let id = PciBusId { domain: 0, bus: 0x0a, device: 0, function: 1 };
        for text in ["0000:0a:00.1", "00000000:0A:00.1", "0a:00.1"] {
            assert_eq!(text.parse::<DeviceChoice>().ok(), Some(DeviceChoice::PciBus(id)), "{text}");
        }
        assert_eq!(id.to_string(), "0000:0a:00.1");
        assert_eq!("2".parse::<DeviceChoice>().ok(), Some(DeviceChoice::Index(2)));
        for text in [":00.1", "0a:00", "0a.1", "card", "-1", ""] {
            assert!(text.parse::<DeviceChoice>().is_err(), "{text}");
        }
    }
}
