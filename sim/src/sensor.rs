//! Cameras that a batch of worlds shares: the same views of every env, rendered together.

use crate::frame_batch::FramePart;
use crate::index::CameraIdx;
use crate::render::{Backend, DeviceFrames, ModelInput, RenderScene, RenderSpec, RenderTarget, View};
use crate::{Result, SimWorld};

/// The same cameras in every env, and the frames of the last render.
pub struct Sensor {
    /// The cameras; frames are env-major, in this order within an env.
    pub cameras: Vec<CameraIdx>,
    /// Size, quality and outputs.
    pub spec: RenderSpec,
    /// The envs that a step renders.
    pub selection: Selection,
    /// `[n_selected * n_cameras, ..]`, the frames of the last render.
    pub target: RenderTarget,
    /// On a GPU, frames are rendered in this format and stay on the device; `target` is unchanged.
    model_input: Option<ModelInput>,
    device_frames: Option<DeviceFrames>,
    views: Vec<View>,
    patch: RenderTarget,
}

/// The envs whose views a sensor renders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All envs of the batch.
    All,
    /// Those in these slots, in this order; the step does not render the sensor if there are none.
    Slots(Vec<usize>),
}

impl Sensor {
    /// A sensor of all envs.
    pub fn new(cameras: Vec<CameraIdx>, spec: RenderSpec) -> Self {
        Self {
            cameras,
            spec,
            selection: Selection::All,
            target: RenderTarget::default(),
            model_input: None,
            device_frames: None,
            views: Vec::new(),
            patch: RenderTarget::default(),
        }
    }

    /// The same sensor for a reward model on the device that renders: frames are rendered in the model's size and format and
    /// stay on the device. Only the GPU backend supports this.
    pub fn for_model(self, model_input: Option<ModelInput>) -> Self {
        Self { model_input, ..self }
    }

    /// Whether any env is selected.
    pub fn is_active(&self) -> bool {
        match &self.selection {
            Selection::All => true,
            Selection::Slots(slots) => !slots.is_empty(),
        }
    }

    /// Renders the selected envs into [`Self::target`], or starts to render the frames that a model on the device reads.
    ///
    /// # Errors
    /// If the GPU fails.
    pub fn render(&mut self, backend: &mut Backend, worlds: &[&SimWorld]) -> Result<()> {
        self.device_frames = None;
        self.collect_selected_views(worlds);
        let render_scenes = render_scenes(worlds);
        match (&self.model_input, backend) {
            (Some(input), Backend::Gpu(renderer)) => {
                let RenderSpec { samples, shadows, .. } = self.spec;
                let frames =
                    renderer.render_for_model(&render_scenes, &self.views, input, samples, shadows)?;
                self.device_frames = Some(frames);
                Ok(())
            }
            (_, backend) => backend.render(&render_scenes, &self.views, &self.spec, &mut self.target),
        }
    }

    /// Renders some envs of a sensor of all envs again; the frames of the others are kept. Only RGB is updated.
    ///
    /// # Errors
    /// If the GPU fails.
    pub fn render_again(
        &mut self,
        backend: &mut Backend,
        worlds: &[&SimWorld],
        envs: &[usize],
    ) -> Result<()> {
        self.collect_views(worlds, envs.iter().copied());
        backend.render(&render_scenes(worlds), &self.views, &self.spec, &mut self.patch)?;
        let n_cameras = self.cameras.len();
        for (row, &env) in envs.iter().enumerate() {
            for camera in 0..n_cameras {
                let image = self.patch.rgb.view(row * n_cameras + camera);
                self.target.rgb.view_mut(env * n_cameras + camera).copy_from_slice(image);
            }
        }
        Ok(())
    }

    /// Exchanges the frames of the last render, on the host or on a device, for a buffer that the next render may overwrite.
    pub fn swap_frames(&mut self, part: &mut FramePart) {
        let rendered = match self.device_frames.take() {
            Some(frames) => FramePart::Device(frames),
            None => FramePart::Host(std::mem::take(&mut self.target.rgb)),
        };
        match std::mem::replace(part, rendered) {
            FramePart::Device(frames) => self.device_frames = Some(frames),
            FramePart::Host(frames) => self.target.rgb = frames,
        }
    }

    fn collect_selected_views(&mut self, worlds: &[&SimWorld]) {
        match std::mem::replace(&mut self.selection, Selection::All) {
            Selection::All => self.collect_views(worlds, 0..worlds.len()),
            Selection::Slots(slots) => {
                self.collect_views(worlds, slots.iter().copied());
                self.selection = Selection::Slots(slots);
            }
        }
    }

    fn collect_views(&mut self, worlds: &[&SimWorld], envs: impl Iterator<Item = usize>) {
        self.views.clear();
        for env in envs {
            self.views.extend(self.cameras.iter().map(|&camera| worlds[env].view(camera, env)));
        }
    }
}

/// The render scenes of all worlds.
fn render_scenes<'a>(worlds: &[&'a SimWorld]) -> Vec<&'a RenderScene> {
    worlds.iter().map(|world| world.render_scene()).collect()
}
