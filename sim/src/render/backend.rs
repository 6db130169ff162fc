//! Selection of the CPU or the GPU backend.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    CpuRenderer, DeviceChoice, Gpu, GpuRenderer, RenderScene, RenderSpec, RenderTarget, View, adapters,
};
use crate::{Result, SimError};

/// The device that renders. In a configuration: `auto`, `cpu`, `gpu`, `gpu:1` (the number of a device),
/// `gpu:0000:01:00.0` (its PCI bus id) or `gpu:GPU-…` (its UUID).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RenderDevice {
    /// The first GPU, unless it is a software implementation; otherwise the CPU.
    Auto,
    /// The CPU.
    #[default]
    Cpu,
    /// A GPU.
    Gpu(DeviceChoice),
}

impl RenderDevice {
    /// Replaces [`Self::Auto`] by the device that it selects on this machine.
    pub fn resolve(self) -> Self {
        match self {
            Self::Auto if may_have_gpu() && adapters().first().is_some_and(|it| it.kind != "software") => {
                Self::Gpu(DeviceChoice::First)
            }
            Self::Auto => Self::Cpu,
            chosen => chosen,
        }
    }
}

/// Whether the machine may have a GPU. Querying the drivers is slow, and some print warnings without a display.
fn may_have_gpu() -> bool {
    let has_node = |path: &str| std::path::Path::new(path).exists();
    !cfg!(target_os = "linux") || ["/dev/dri", "/dev/nvidiactl", "/dev/dxg"].into_iter().any(has_node)
}

impl FromStr for RenderDevice {
    type Err = SimError;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "gpu" => Ok(Self::Gpu(DeviceChoice::First)),
            _ => match text.strip_prefix("gpu:").map(DeviceChoice::from_str) {
                Some(Ok(choice)) => Ok(Self::Gpu(choice)),
                _ => Err(SimError::OutOfRange {
                    field: "device".into(),
                    got: format!("'{text}'"),
                    expected:
                        "'auto', 'cpu', 'gpu', 'gpu:1' (the number of a device), 'gpu:0000:01:00.0' (its PCI \
                               bus id) or 'gpu:GPU-…' (its UUID)"
                            .into(),
                }),
            },
        }
    }
}

impl TryFrom<String> for RenderDevice {
    type Error = SimError;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<RenderDevice> for String {
    fn from(render_device: RenderDevice) -> Self {
        render_device.to_string()
    }
}

impl fmt::Display for RenderDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Gpu(DeviceChoice::First) => f.write_str("gpu"),
            Self::Gpu(choice) => write!(f, "gpu:{choice}"),
        }
    }
}

/// A renderer; both variants render the same frames.
#[derive(Debug)]
pub enum Backend {
    /// On the CPU, on all cores.
    Cpu(CpuRenderer),
    /// On a GPU.
    Gpu(Box<GpuRenderer>),
}

impl Default for Backend {
    fn default() -> Self {
        Self::Cpu(CpuRenderer::new())
    }
}

impl Backend {
    /// Human-readable name of the device that renders.
    pub fn name(&self) -> String {
        match self {
            Self::Cpu(_) => "the CPU".into(),
            Self::Gpu(renderer) => renderer.gpu().adapter().to_string(),
        }
    }

    /// Sets whether a GPU that is out of memory continues with smaller groups of views instead of failing.
    pub fn set_shrink_on_oom(&mut self, may_shrink: bool) {
        if let Self::Gpu(renderer) = self {
            renderer.set_shrink_on_oom(may_shrink);
        }
    }

    /// The GPU that renders; `None` on the CPU.
    pub fn gpu(&self) -> Option<&Arc<Gpu>> {
        match self {
            Self::Cpu(_) => None,
            Self::Gpu(renderer) => Some(renderer.gpu()),
        }
    }

    /// Opens a backend. Backends on the same GPU share it.
    ///
    /// # Errors
    /// If there is no such device, or it cannot be opened.
    pub fn open(render_device: &RenderDevice) -> Result<Self> {
        match render_device.clone().resolve() {
            RenderDevice::Gpu(choice) => Ok(Self::Gpu(Box::new(GpuRenderer::new(Gpu::shared(&choice)?)?))),
            RenderDevice::Cpu | RenderDevice::Auto => Ok(Self::default()),
        }
    }

    /// Renders every view into `target`, which is resized as needed.
    ///
    /// # Errors
    /// If the GPU is lost or out of memory. The CPU does not fail.
    ///
    /// # Panics
    /// If the `scene_idx` of a view is out of range, or a scene is inconsistent: see [`RenderScene::check`].
    pub fn render(
        &mut self,
        render_scenes: &[&RenderScene],
        views: &[View],
        spec: &RenderSpec,
        target: &mut RenderTarget,
    ) -> Result<()> {
        match self {
            Self::Cpu(renderer) => {
                renderer.render(render_scenes, views, spec, target);
                Ok(())
            }
            Self::Gpu(renderer) => renderer.render(render_scenes, views, spec, target),
        }
    }
}
