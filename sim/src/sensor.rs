//! Cameras that a batch of worlds shares: the same views of every env, drawn together.

use crate::index::CameraIdx;
use crate::render::{Backend, Drawing, RenderSpec, RenderTarget, View};
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
    views: Vec<View>,
    patch: RenderTarget,
}

impl Sensor {
    /// A sensor that draws in every step.
    pub fn new(cameras: Vec<CameraIdx>, spec: RenderSpec) -> Self {
        let (target, patch) = (RenderTarget::default(), RenderTarget::default());
        Self { cameras, spec, is_enabled: true, target, views: Vec::new(), patch }
    }

    /// Draws every env into [`Self::target`].
    ///
    /// # Errors
    /// If a graphics processor fails.
    pub fn draw(&mut self, backend: &mut Backend, worlds: &[&SimWorld]) -> Result<()> {
        self.views.clear();
        self.collect_views(worlds, 0..worlds.len());
        let drawings: Vec<&Drawing> = worlds.iter().map(|world| world.drawing()).collect();
        backend.render(&drawings, &self.views, &self.spec, &mut self.target)
    }

    /// Draws some of the envs again; the pictures of the others stay. Only colour is kept.
    ///
    /// # Errors
    /// If a graphics processor fails.
    pub fn redraw(&mut self, backend: &mut Backend, worlds: &[&SimWorld], envs: &[usize]) -> Result<()> {
        self.views.clear();
        self.collect_views(worlds, envs.iter().copied());
        let drawings: Vec<&Drawing> = worlds.iter().map(|world| world.drawing()).collect();
        backend.render(&drawings, &self.views, &self.spec, &mut self.patch)?;
        let n_cameras = self.cameras.len();
        for (row, &env) in envs.iter().enumerate() {
            for camera in 0..n_cameras {
                let picture = self.patch.rgb.view(row * n_cameras + camera);
                self.target.rgb.view_mut(env * n_cameras + camera).copy_from_slice(picture);
            }
        }
        Ok(())
    }

    fn collect_views(&mut self, worlds: &[&SimWorld], envs: impl Iterator<Item = usize>) {
        for env in envs {
            self.views.extend(self.cameras.iter().map(|&camera| worlds[env].view(camera, env)));
        }
    }
}
