//! Kernel 0, once per scene: instances become parts, and the parts get their light grid.

use super::light_grid::LightGrid;
use super::parts::Part;
use crate::render::RenderScene;

/// Data that all views of a scene share.
#[derive(Debug, Default)]
pub(super) struct PreparedScene {
    /// The visible instances; those with a pose or a size that is not finite are left out.
    pub parts: Vec<Part>,
    /// The parts that may shade each point.
    pub light_grid: LightGrid,
}

impl PreparedScene {
    /// Replaces the contents by those of `render_scene`; the buffers are reused.
    pub fn prepare(&mut self, render_scene: &RenderScene, shadows: bool) {
        assert_eq!(
            render_scene.instances.len(),
            render_scene.world_from_instance.len(),
            "one pose per instance"
        );
        self.parts.clear();
        for (instance, world_from_instance) in
            render_scene.instances.iter().zip(&render_scene.world_from_instance)
        {
            let part = Part::new(instance, world_from_instance, render_scene);
            if part.local_from_world.is_finite() {
                self.parts.push(part);
            }
        }
        self.light_grid.build(&self.parts, &render_scene.light, shadows);
    }
}
