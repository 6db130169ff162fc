//! Cameras that a batch of worlds shares: the same views of every env, rendered together.

use crate::frame_batch::FramePart;
use crate::index::CameraIdx;
use crate::render::{Backend, DeviceFrames, ModelInput, RenderScene, RenderSpec, RenderTarget, View};
use crate::{Result, SimWorld};

/// The same cameras in every env, and the pictures of the last draw.
pub struct Sensor {
    /// Which cameras; pictures come env-major, in this order within an env.
    pub cameras: Vec<CameraIdx>,
    /// Size, quality and outputs.
    pub spec: RenderSpec,
    /// Whether the step draws it.
    pub is_enabled: bool,
    /// `[n_envs * n_cameras, ..]`, the pictures of the last draw.
    pub target: RenderTarget,
    /// If a GPU draws, pictures are rendered as this model reads them, stay there, and `target` stays as it is.
    model_input: Option<ModelInput>,
    device_frames: Option<DeviceFrames>,
    views: Vec<View>,
    patch: RenderTarget,
}

impl Sensor {
    /// A sensor that draws in every step.
    pub fn new(cameras: Vec<CameraIdx>, spec: RenderSpec) -> Self {
        Self {
            cameras,
            spec,
            is_enabled: true,
            target: RenderTarget::default(),
            model_input: None,
            device_frames: None,
            views: Vec::new(),
            patch: RenderTarget::default(),
        }
    }

    /// The same for a model on the device that draws: its pictures have the model's size, are rendered as it reads them, and
    /// stay there. Only a GPU can do that.
    pub fn for_model(self, model_input: Option<ModelInput>) -> Self {
        Self { model_input, ..self }
    }

    /// Draws every env into [`Self::target`], or begins to draw what a model on the device will read.
    ///
    /// # Errors
    /// If a graphics processor fails.
    pub fn render(&mut self, backend: &mut Backend, worlds: &[&SimWorld]) -> Result<()> {
        self.device_frames = None;
        let render_scenes = self.look_at(worlds, 0..worlds.len());
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

    /// Draws some of the envs again; the pictures of the others stay. Only colour is kept.
    ///
    /// # Errors
    /// If a graphics processor fails.
    pub fn render_again(
        &mut self,
        backend: &mut Backend,
        worlds: &[&SimWorld],
        envs: &[usize],
    ) -> Result<()> {
        let render_scenes = self.look_at(worlds, envs.iter().copied());
        backend.render(&render_scenes, &self.views, &self.spec, &mut self.patch)?;
        let n_cameras = self.cameras.len();
        for (row, &env) in envs.iter().enumerate() {
            for camera in 0..n_cameras {
                let image = self.patch.rgb.view(row * n_cameras + camera);
                self.target.rgb.view_mut(env * n_cameras + camera).copy_from_slice(image);
            }
        }
        Ok(())
    }

    /// Exchanges the pictures of the last draw, wherever they are, for a buffer that the next one may draw into.
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

    /// Notes the views of some envs, and returns what there is to see in all of them.
    fn look_at<'a>(
        &mut self,
        worlds: &[&'a SimWorld],
        envs: impl Iterator<Item = usize>,
    ) -> Vec<&'a RenderScene> {
        self.views.clear();
        for env in envs {
            self.views.extend(self.cameras.iter().map(|&camera| worlds[env].view(camera, env)));
        }
        worlds.iter().map(|world| world.render_scene()).collect()
    }
}
