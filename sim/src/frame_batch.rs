//! Frame requests of reward models, and the batches of frames that answer them.

use crate::frames::{Frames, ImageSpec};
use crate::render::{DeviceFrames, DeviceUuid, ModelInput, PixelLayout, PixelType};

/// The frames that a reward model requires.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameRequest {
    /// Size and normalisation.
    pub image: ImageSpec,
    /// Device and format, if the model reads frames on a GPU; `None` if it reads them on the host.
    pub on_device: Option<DeviceRequest>,
}

/// Device and format of the frames that a model on a GPU reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeviceRequest {
    /// The model's device.
    pub uuid: DeviceUuid,
    /// Order of the values.
    pub layout: PixelLayout,
    /// Type of the values.
    pub dtype: PixelType,
}

impl FrameRequest {
    /// A request for frames on the host, whichever device renders them.
    pub fn on_host(image: ImageSpec) -> Self {
        Self { image, on_device: None }
    }

    /// The format that a renderer on `device` must write; `None` if frames must go through the host, because the model reads
    /// them there or is on another device.
    pub fn model_input(&self, device: Option<DeviceUuid>) -> Option<ModelInput> {
        let DeviceRequest { uuid, layout, dtype } = self.on_device?;
        (device == Some(uuid)).then(|| ModelInput { image: self.image.clone(), layout, dtype })
    }
}

/// Frames for a reward model, on the host or on the device that rendered them.
#[derive(Debug)]
pub enum FramePart {
    /// On the host: u8, sRGB.
    Host(Frames),
    /// On the device that rendered them, in the format of [`ModelInput`].
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

    /// Removes all views. A buffer on the host is kept for reuse; frames on a device are released.
    pub fn clear(&mut self) {
        match self {
            Self::Host(frames) => frames.resize(0, 0, 0),
            Self::Device(_) => *self = Self::default(),
        }
    }
}

/// The frames of one step, env-major; one part per group of envs that steps together.
#[derive(Debug, Default)]
pub struct FrameBatch {
    /// The parts, in the order of their envs; a part without frames is empty.
    pub parts: Vec<FramePart>,
}

impl FrameBatch {
    /// Number of views, over all parts.
    pub fn n_views(&self) -> usize {
        self.parts.iter().map(FramePart::n_views).sum()
    }

    /// All frames, if there is a single part and it is on the host.
    pub fn on_host(&self) -> Option<&Frames> {
        match self.parts.as_slice() {
            [FramePart::Host(frames)] => Some(frames),
            _ => None,
        }
    }

    /// Releases frames on a device, so that their buffers can be reused; buffers on the host are kept.
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
