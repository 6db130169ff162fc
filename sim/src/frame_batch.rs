//! What a reward model asks for, and what it is given.

use crate::frames::{Frames, ImageSpec};
use crate::render::{DeviceFrames, DeviceUuid, ModelInput, PixelLayout, PixelType};

/// How a reward model wants its frames.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameRequest {
    /// Their size, and how values are normalised.
    pub image: ImageSpec,
    /// How it reads them on the device that draws; `None` if it wants them on the host.
    pub on_device: Option<DeviceRequest>,
}

/// How a model that lives on a graphics processor reads what is drawn there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeviceRequest {
    /// The device that it lives on.
    pub uuid: DeviceUuid,
    /// The order of the values.
    pub layout: PixelLayout,
    /// What a value is.
    pub dtype: PixelType,
}

impl FrameRequest {
    /// Frames on the host, wherever they are drawn.
    pub fn on_host(image: ImageSpec) -> Self {
        Self { image, on_device: None }
    }

    /// What a device must write for the request to be met there; `None` if frames must go through the host.
    pub fn model_input(&self, device: Option<DeviceUuid>) -> Option<ModelInput> {
        let DeviceRequest { uuid, layout, dtype } = self.on_device?;
        (device == Some(uuid)).then(|| ModelInput { image: self.image.clone(), layout, dtype })
    }
}

/// Frames for a reward model, where they were drawn.
#[derive(Debug)]
pub enum FramePart {
    /// On the host, as codes.
    Host(Frames),
    /// On the device that drew them, as the model reads them.
    Device(DeviceFrames),
}

impl Default for FramePart {
    fn default() -> Self {
        Self::Host(Frames::default())
    }
}

impl FramePart {
    /// Number of views.
    pub fn n_views(&self) -> usize {
        match self {
            Self::Host(frames) => frames.n_views(),
            Self::Device(frames) => frames.n_views(),
        }
    }

    /// Forgets all views. A buffer on the host stays, to be reused; what lies on a device is let go.
    pub fn clear(&mut self) {
        match self {
            Self::Host(frames) => frames.resize(0, 0, 0),
            Self::Device(_) => *self = Self::default(),
        }
    }
}

/// The frames of one step, env-major, in parts that follow one another: one for every group of envs that steps together.
#[derive(Debug, Default)]
pub struct FrameBatch {
    /// The parts, in the order of their envs.
    pub parts: Vec<FramePart>,
}

impl FrameBatch {
    /// Number of views, over all parts.
    pub fn n_views(&self) -> usize {
        self.parts.iter().map(FramePart::n_views).sum()
    }

    /// All frames, if one group drew them and they are on the host.
    pub fn on_host(&self) -> Option<&Frames> {
        match self.parts.as_slice() {
            [FramePart::Host(frames)] => Some(frames),
            _ => None,
        }
    }

    /// Lets go of what lies on a device, so that it can be drawn into again; buffers on the host stay, to be reused.
    pub fn release(&mut self) {
        for part in &mut self.parts {
            if matches!(part, FramePart::Device(_)) {
                *part = FramePart::default();
            }
        }
    }
}

impl From<Frames> for FrameBatch {
    fn from(frames: Frames) -> Self {
        Self { parts: vec![FramePart::Host(frames)] }
    }
}
