//! Cameras that a batch of worlds shares: the same views of every env, drawn together.

use crate::SimWorld;
use crate::index::CameraIdx;
use crate::render::{CpuRenderer, Drawing, RenderSpec, RenderTarget, View};

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
    pub fn draw(&mut self, renderer: &mut CpuRenderer, worlds: &[&SimWorld]) {
        let drawings = self.collect_views(worlds);
        renderer.render(&drawings, &self.views, &self.spec, &mut self.target);
    }

    /// Draws some envs again, those of `envs`, whose worlds are `worlds`; the pictures of the others stay. Only
    /// colour is kept.
    pub fn redraw(&mut self, renderer: &mut CpuRenderer, worlds: &[&SimWorld], envs: &[usize]) {
        let drawings = self.collect_views(worlds);
        renderer.render(&drawings, &self.views, &self.spec, &mut self.patch);
        let n_cameras = self.cameras.len();
        for (row, &env) in envs.iter().enumerate() {
            for camera in 0..n_cameras {
                let picture = self.patch.rgb.view(row * n_cameras + camera);
                self.target.rgb.view_mut(env * n_cameras + camera).copy_from_slice(picture);
            }
        }
    }

    fn collect_views<'a>(&mut self, worlds: &[&'a SimWorld]) -> Vec<&'a Drawing> {
        self.views.clear();
        for (drawing_idx, world) in worlds.iter().enumerate() {
            self.views.extend(self.cameras.iter().map(|&camera| world.view(camera, drawing_idx)));
        }
        worlds.iter().map(|world| world.drawing()).collect()
    }
}
