//! Which of the two backends draws.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    CpuRenderer, DeviceChoice, Gpu, GpuRenderer, RenderScene, RenderSpec, RenderTarget, View, adapters,
};
use crate::{Result, SimError};

/// Where pictures are drawn, as a configuration says it: `auto`, `cpu`, `gpu`, `gpu:1` (the number of a device),
/// `gpu:0000:01:00.0` (its PCI bus id) or `gpu:GPU-…` (its UUID).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RenderDevice {
    /// The first graphics processor, if that is not software; else the CPU.
    Auto,
    /// The CPU.
    #[default]
    Cpu,
    /// A graphics processor.
    Gpu(DeviceChoice),
}

impl RenderDevice {
    /// Replaces [`Self::Auto`] by what it stands for on this machine.
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

/// Whether it is worth asking the drivers: that takes time, and some of them complain where there is no display.
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

/// One of the two casters; both draw the same pictures.
#[derive(Debug)]
pub enum Backend {
    /// On all cores.
    Cpu(CpuRenderer),
    /// On a graphics processor.
    Gpu(Box<GpuRenderer>),
}

impl Default for Backend {
    fn default() -> Self {
        Self::Cpu(CpuRenderer::new())
    }
}

impl Backend {
    /// What draws, for people.
    pub fn name(&self) -> String {
        match self {
            Self::Cpu(_) => "the CPU".into(),
            Self::Gpu(renderer) => renderer.gpu().adapter().to_string(),
        }
    }

    /// Sets whether a graphics processor that is out of memory goes on in smaller groups of views, rather than fail.
    pub fn set_shrink_on_oom(&mut self, may_shrink: bool) {
        if let Self::Gpu(renderer) = self {
            renderer.set_shrink_on_oom(may_shrink);
        }
    }

    /// The graphics processor that draws; `None` on the CPU.
    pub fn gpu(&self) -> Option<&Arc<Gpu>> {
        match self {
            Self::Cpu(_) => None,
            Self::Gpu(renderer) => Some(renderer.gpu()),
        }
    }

    /// A backend that is ready to draw. Backends on the same graphics processor share it.
    ///
    /// # Errors
    /// If there is no such device, or it cannot be opened.
    pub fn open(render_device: &RenderDevice) -> Result<Self> {
        match render_device.clone().resolve() {
            RenderDevice::Gpu(choice) => Ok(Self::Gpu(Box::new(GpuRenderer::new(Gpu::shared(&choice)?)?))),
            RenderDevice::Cpu | RenderDevice::Auto => Ok(Self::default()),
        }
    }

    /// Draws every view into `target`, which is resized as needed.
    ///
    /// # Errors
    /// If a graphics processor is lost or out of memory. The CPU does not fail.
    ///
    /// # Panics
    /// If a view names a drawing that is not there, or a drawing does not hold together: see [`RenderScene::check`].
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
