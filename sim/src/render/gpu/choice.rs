//! The available GPUs, and the choice of one.

use std::fmt;
use std::str::FromStr;

use super::bridge;
use crate::{Result, SimError};

/// Choice of the GPU that renders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first of [`adapters`]: discrete GPUs come first, then integrated ones, software last.
    #[default]
    First,
    /// By index into [`adapters`].
    Index(usize),
    /// By PCI bus id.
    PciBus(PciBusId),
    /// By UUID, which Vulkan and CUDA report alike.
    Uuid(DeviceUuid),
}

impl DeviceChoice {
    /// Whether it selects the device at `index` in [`adapters`].
    pub(super) fn selects(&self, index: usize, adapter: &Adapter) -> bool {
        match self {
            Self::First => index == 0,
            Self::Index(chosen) => index == *chosen,
            Self::PciBus(bus_id) => adapter.pci_bus_id == Some(*bus_id),
            Self::Uuid(uuid) => adapter.uuid == Some(*uuid),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = SimError;

    /// Parses `first`, an index, a PCI bus id, or a UUID.
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
        if let Some(uuid) = DeviceUuid::parse(text) {
            return Ok(Self::Uuid(uuid));
        }
        let expected = "'first', the number of a device, a PCI bus id like 0000:01:00.0, or a UUID like \
                        GPU-01234567-89ab-cdef-0123-456789abcdef"
            .into();
        Err(SimError::OutOfRange { field: "gpu".into(), got: format!("'{text}'"), expected })
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => f.write_str("first"),
            Self::Index(index) => index.fmt(f),
            Self::PciBus(bus_id) => bus_id.fmt(f),
            Self::Uuid(uuid) => uuid.fmt(f),
        }
    }
}

/// Address of a device on the PCI bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PciBusId {
    /// The domain, usually 0.
    pub domain: u32,
    /// The bus.
    pub bus: u8,
    /// The slot.
    pub device: u8,
    /// The function of the slot.
    pub function: u8,
}

impl PciBusId {
    /// Parses `0000:01:00.0`, with a domain of any length or none.
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

/// The UUID of a device, the same in Vulkan and CUDA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceUuid(pub [u8; 16]);

impl DeviceUuid {
    /// Parses `GPU-01234567-89ab-cdef-0123-456789abcdef`, in lower or upper case, with `GPU-` or without.
    fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix("GPU-").unwrap_or(text);
        let lengths: Vec<usize> = text.split('-').map(str::len).collect();
        if lengths != [8, 4, 4, 4, 12] {
            return None;
        }
        let digits: Vec<u8> =
            text.chars().filter(|c| *c != '-').map(|c| Some(c.to_digit(16)? as u8)).collect::<Option<_>>()?;
        Some(Self(std::array::from_fn(|i| digits[2 * i] << 4 | digits[2 * i + 1])))
    }
}

impl fmt::Display for DeviceUuid {
    /// As NVIDIA's tools write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GPU")?;
        for (i, byte) in self.0.iter().enumerate() {
            let dash = if [0, 4, 6, 8, 10].contains(&i) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

/// Properties of a GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adapter {
    /// The name that the driver reports.
    pub name: String,
    /// `gpu`, `integrated`, `virtual`, `software` or `other`.
    pub kind: &'static str,
    /// The API and the driver.
    pub driver: String,
    /// The PCI bus id, if known.
    pub pci_bus_id: Option<PciBusId>,
    /// The UUID, if the API reports it.
    pub uuid: Option<DeviceUuid>,
    /// The PCI vendor id.
    pub vendor: u32,
}

impl Adapter {
    /// NVIDIA's PCI vendor id.
    const NVIDIA: u32 = 0x10de;

    /// Whether it is an NVIDIA GPU, which CUDA should support.
    pub fn is_nvidia(&self) -> bool {
        self.vendor == Self::NVIDIA
    }

    pub(super) fn new(adapter: &wgpu::Adapter) -> Self {
        let info = adapter.get_info();
        let kind = match info.device_type {
            wgpu::DeviceType::DiscreteGpu => "gpu",
            wgpu::DeviceType::IntegratedGpu => "integrated",
            wgpu::DeviceType::VirtualGpu => "virtual",
            wgpu::DeviceType::Cpu => "software",
            wgpu::DeviceType::Other => "other",
        };
        let driver = format!("{} {} {}", info.backend, info.driver, info.driver_info).trim().to_owned();
        let pci_bus_id = PciBusId::parse(&info.device_pci_bus_id);
        Self { name: info.name, kind, driver, pci_bus_id, uuid: bridge::uuid(adapter), vendor: info.vendor }
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

/// The GPUs that this process may use, in the order of [`DeviceChoice::Index`]. Of NVIDIA GPUs, only those that
/// `CUDA_VISIBLE_DEVICES` names, in its order, so that indices agree with CUDA's.
pub fn adapters() -> Vec<Adapter> {
    found().iter().map(Adapter::new).collect()
}

/// The selected device and its index in [`adapters`].
pub(super) fn find(choice: &DeviceChoice) -> Result<(wgpu::Adapter, usize)> {
    let mut found = found();
    let infos: Vec<Adapter> = found.iter().map(Adapter::new).collect();
    let index = (0..infos.len()).find(|&index| choice.selects(index, &infos[index]));
    index.map(|index| (found.swap_remove(index), index)).ok_or_else(|| no_device(choice, &infos))
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
        (rank(info.device_type), PciBusId::parse(&info.device_pci_bus_id))
    });
    match visible_devices() {
        Some(names) => only_visible(adapters, &names),
        None => adapters,
    }
}

fn visible_devices() -> Option<String> {
    std::env::var("CUDA_VISIBLE_DEVICES").ok()
}

/// Leaves out NVIDIA GPUs that `names` does not name, and sorts those that remain by the order of `names`.
fn only_visible(adapters: Vec<wgpu::Adapter>, names: &str) -> Vec<wgpu::Adapter> {
    let (gpus, others): (Vec<_>, Vec<_>) =
        adapters.into_iter().partition(|adapter| adapter.get_info().vendor == Adapter::NVIDIA);
    let uuids: Vec<Option<DeviceUuid>> = gpus.iter().map(bridge::uuid).collect();
    let mut gpus: Vec<Option<wgpu::Adapter>> = gpus.into_iter().map(Some).collect();
    let mut visible: Vec<wgpu::Adapter> =
        named(names, &uuids).into_iter().filter_map(|k| gpus[k].take()).collect();
    visible.extend(others);
    visible
}

/// The GPUs that a value of `CUDA_VISIBLE_DEVICES` names: indices or UUID prefixes, up to the first that matches no GPU
/// (CUDA C++ Programming Guide, "CUDA Environment Variables"). Indices follow the PCI bus, as CUDA numbers equal GPUs and,
/// with `CUDA_DEVICE_ORDER=PCI_BUS_ID`, all GPUs.
fn named(names: &str, gpus: &[Option<DeviceUuid>]) -> Vec<usize> {
    let gpu = |name: &str| -> Option<usize> {
        if let Ok(index) = name.parse::<usize>() {
            return (index < gpus.len()).then_some(index);
        }
        let prefix = name.strip_prefix("GPU-").filter(|prefix| !prefix.is_empty())?.to_ascii_lowercase();
        let has_prefix =
            |gpu: &Option<DeviceUuid>| gpu.is_some_and(|uuid| uuid.to_string()[4..].starts_with(&prefix));
        let mut matches = gpus.iter().enumerate().filter(|(_, gpu)| has_prefix(gpu)).map(|(k, _)| k);
        // A prefix that two GPUs share names neither.
        matches.next().filter(|_| matches.next().is_none())
    };
    let mut visible = Vec::new();
    for found in names.split(',').map(|name| gpu(name.trim())) {
        match found {
            Some(k) if !visible.contains(&k) => visible.push(k),
            _ => break,
        }
    }
    visible
}

fn no_device(choice: &DeviceChoice, found: &[Adapter]) -> SimError {
    let wanted = match choice {
        DeviceChoice::First => "GPU".to_owned(),
        DeviceChoice::Index(index) => format!("device {index}"),
        DeviceChoice::PciBus(bus_id) => format!("device at PCI bus {bus_id}"),
        DeviceChoice::Uuid(uuid) => format!("device {uuid}"),
    };
    let wanted = match visible_devices() {
        Some(names) => format!("{wanted} with CUDA_VISIBLE_DEVICES='{names}'"),
        None => wanted,
    };
    let found = found.iter().enumerate().map(|(k, info)| format!("{k}: {info}"));
    SimError::NoGpu { wanted, found: found.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complete_bus_ids_are_parsed_as_tools_write_them() {
        let id = PciBusId { domain: 0, bus: 0x0a, device: 0, function: 1 };
        for text in ["0000:0a:00.1", "00000000:0A:00.1", "0a:00.1"] {
            assert_eq!(text.parse::<DeviceChoice>().ok(), Some(DeviceChoice::PciBus(id)), "{text}");
        }
        assert_eq!(id.to_string(), "0000:0a:00.1");
        assert_eq!("2".parse::<DeviceChoice>().ok(), Some(DeviceChoice::Index(2)));
        for text in [":00.1", "0a:00", "0a.1", "gpu", "-1", ""] {
            assert!(text.parse::<DeviceChoice>().is_err(), "{text}");
        }
    }

    #[test]
    fn uuids_are_parsed_as_tools_write_them() {
        let uuid = DeviceUuid(std::array::from_fn(|i| 0x11 * i as u8));
        let text = "GPU-00112233-4455-6677-8899-aabbccddeeff";
        assert_eq!(uuid.to_string(), text);
        for text in [text, &text[4..], &text.to_uppercase()] {
            assert_eq!(text.parse::<DeviceChoice>().ok(), Some(DeviceChoice::Uuid(uuid)), "{text}");
        }
        for text in [&text[..39], "GPU-", "GPU-0011223-34455-6677-8899-aabbccddeeff", &text.replace('a', "x")]
        {
            assert!(text.parse::<DeviceChoice>().is_err(), "{text}");
        }
    }

    #[test]
    fn visible_devices_are_parsed_as_in_cuda() {
        let uuid = |first: u8| Some(DeviceUuid(std::array::from_fn(|i| if i == 0 { first } else { 7 })));
        let gpus = [uuid(0xab), uuid(0xac), uuid(0x12)];
        let cases: [(&str, &[usize]); 10] = [
            ("0,1,2", &[0, 1, 2]),
            ("2, 0", &[2, 0]),
            ("", &[]),
            ("-1", &[]),
            ("0,-1,2", &[0]),
            ("1,9,0", &[1]),
            ("1,1", &[1]),
            ("GPU-AC0707,GPU-12", &[1, 2]),
            ("GPU-a", &[]),
            ("GPU-", &[]),
        ];
        for (names, expected) in cases {
            assert_eq!(named(names, &gpus), expected, "CUDA_VISIBLE_DEVICES={names}");
        }
    }
}
