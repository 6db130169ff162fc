//! Which of the two backends draws.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{CpuRenderer, DeviceChoice, Drawing, Gpu, GpuRenderer, RenderSpec, RenderTarget, View, adapters};
use crate::{Result, SimError};

/// Where pictures are drawn, as a configuration says it: `auto`, `cpu`, `gpu`, `gpu:1` (the number of a device),
/// `gpu:0000:01:00.0` (its PCI bus id) or `gpu:GPU-…` (its UUID).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DrawOn {
    /// The first graphics processor, if that is not software; else the CPU.
    Auto,
    /// The CPU.
    #[default]
    Cpu,
    /// A graphics processor.
    Gpu(DeviceChoice),
}

impl DrawOn {
    /// Replaces [`Self::Auto`] by what it stands for on this machine.
    pub fn resolve(self) -> Self {
        match self {
            Self::Auto if may_have_card() && adapters().first().is_some_and(|it| it.kind != "software") => {
                Self::Gpu(DeviceChoice::First)
            }
            Self::Auto => Self::Cpu,
            chosen => chosen,
        }
    }
}

/// Whether it is worth asking the drivers: that takes time, and some of them complain where there is no display.
fn may_have_card() -> bool {
    let has_node = |path: &str| std::path::Path::new(path).exists();
    !cfg!(target_os = "linux") || ["/dev/dri", "/dev/nvidiactl", "/dev/dxg"].into_iter().any(has_node)
}

impl FromStr for DrawOn {
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

impl TryFrom<String> for DrawOn {
    type Error = SimError;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<DrawOn> for String {
    fn from(draw_on: DrawOn) -> Self {
        draw_on.to_string()
    }
}

impl fmt::Display for DrawOn {
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
    pub fn allow_smaller_groups(&mut self, may_shrink: bool) {
        if let Self::Gpu(renderer) = self {
            renderer.allow_smaller_groups(may_shrink);
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
    pub fn open(draw_on: &DrawOn) -> Result<Self> {
        match draw_on.clone().resolve() {
            DrawOn::Gpu(choice) => Ok(Self::Gpu(Box::new(GpuRenderer::new(Gpu::shared(&choice)?)?))),
            DrawOn::Cpu | DrawOn::Auto => Ok(Self::default()),
        }
    }

    /// Draws every view into `target`, which is resized as needed.
    ///
    /// # Errors
    /// If a graphics processor is lost or out of memory. The CPU does not fail.
    ///
    /// # Panics
    /// If a view names a drawing that is not there, or a drawing does not hold together: see [`Drawing::check`].
    pub fn render(
        &mut self,
        drawings: &[&Drawing],
        views: &[View],
        spec: &RenderSpec,
        target: &mut RenderTarget,
    ) -> Result<()> {
        match self {
            Self::Cpu(renderer) => {
                renderer.render(drawings, views, spec, target);
                Ok(())
            }
            Self::Gpu(renderer) => renderer.render(drawings, views, spec, target),
        }
    }
}
