//! The scenes and views of a batch on the device, as columns.

use std::ops::Range;

use super::column::{Column, Store};
use super::device::Gpu;
use super::library::{Library, SceneAssets};
use super::rows::{CASTER_SIZE, MaterialRow, MovedRow, PART_SIZE, SceneRow, ShapeRow, ViewRow};
use crate::Result;
use crate::math::Pose;
use crate::render::{RenderScene, RenderSpec, View};

/// Words of a light grid before its sets, and cells along its sides: equal to those of `shaders/light_grid.wgsl`.
pub(super) const GRID_HEAD: usize = 4;
pub(super) const N_CELLS: usize = 24;
const N_GRID_SETS: usize = N_CELLS * N_CELLS + 1;

/// The columns of a batch.
#[derive(Debug)]
pub(super) struct SceneBuffers {
    pub library: Library,
    pub shapes: Column<ShapeRow>,
    pub materials: Column<MaterialRow>,
    pub render_scenes: Column<SceneRow>,
    pub views: Column<ViewRow>,
    /// The parts that moved since the last call.
    pub moved: Column<MovedRow>,
    /// The scenes whose light grids are out of date.
    pub dirty: Column<u32>,
    /// Written by the kernels.
    pub parts: Store,
    pub casters: Store,
    pub grids: Store,
    pub max_parts: usize,
    poses: Vec<Pose>,
    /// Scratch.
    newly_moved: Vec<MovedRow>,
    layout: Vec<Layout>,
    is_dirty: Vec<bool>,
    is_seen: Vec<bool>,
}

/// Where one scene is stored in the columns.
#[derive(Debug)]
struct Layout {
    parts: Range<usize>,
    materials: Range<usize>,
    assets: SceneAssets,
}

impl Layout {
    fn is_of(&self, render_scene: &RenderScene) -> bool {
        self.parts.len() == render_scene.instances.len()
            && self.materials.len() == render_scene.materials.len()
            && self.assets.is_of(render_scene)
    }
}

impl SceneBuffers {
    pub fn new() -> Self {
        let written = wgpu::BufferUsages::empty();
        Self {
            library: Library::new(),
            shapes: Column::new("instances"),
            materials: Column::new("materials"),
            render_scenes: Column::new("scenes"),
            views: Column::new("views"),
            moved: Column::new("new poses"),
            dirty: Column::new("changed scenes"),
            parts: Store::new("parts", written),
            casters: Store::new("shadow casters", written),
            grids: Store::new("light grids", written),
            max_parts: 0,
            poses: Vec::new(),
            newly_moved: Vec::new(),
            layout: Vec::new(),
            is_dirty: Vec::new(),
            is_seen: Vec::new(),
        }
    }

    /// Updates the host's copy of the columns and records what changed.
    pub fn update(&mut self, render_scenes: &[&RenderScene], views: &[View], spec: &RenderSpec) {
        for render_scene in render_scenes {
            assert_eq!(
                render_scene.instances.len(),
                render_scene.world_from_instance.len(),
                "one pose per instance"
            );
        }
        let is_same_batch = self.layout.len() == render_scenes.len()
            && self.layout.iter().zip(render_scenes).all(|(layout, render_scene)| layout.is_of(render_scene));
        if !is_same_batch {
            self.lay_out(render_scenes);
        }
        self.is_seen.clear();
        self.is_seen.resize(render_scenes.len(), false);
        for view in views {
            self.is_seen[view.scene_idx] = true;
        }
        let mut moved = std::mem::take(&mut self.newly_moved);
        moved.clear();
        for (scene_idx, render_scene) in render_scenes.iter().enumerate() {
            if self.is_seen[scene_idx] {
                self.update_scene(scene_idx, render_scene, &mut moved);
            }
        }
        self.moved.replace(moved.iter().copied());
        self.newly_moved = moved;
        if self.views.len() != views.len() {
            self.views.replace(views.iter().map(|view| ViewRow::new(view, spec)));
        } else {
            for (idx, view) in views.iter().enumerate() {
                self.views.set(idx, ViewRow::new(view, spec));
            }
        }
    }

    /// Lists the scenes with a view whose light grids must be built; they count as built afterwards.
    pub fn take_dirty(&mut self) -> usize {
        let dirty = (0..self.is_dirty.len()).filter(|&k| self.is_dirty[k] && self.is_seen[k]);
        self.dirty.replace(dirty.map(|k| k as u32));
        for (is_dirty, is_seen) in self.is_dirty.iter_mut().zip(&self.is_seen) {
            *is_dirty &= !is_seen;
        }
        self.dirty.len()
    }

    /// 32-bit words of a set of parts of one scene.
    pub fn set_words(&self) -> usize {
        self.max_parts.div_ceil(32).max(1)
    }

    /// Makes room for what the kernels write. A buffer that grows loses its contents; only a new layout causes this, and
    /// then all parts count as moved.
    pub fn reserve(&mut self, gpu: &Gpu) -> Result<()> {
        let (n_parts, n_scenes) = (self.shapes.len() as u64, self.render_scenes.len() as u64);
        let grid = (GRID_HEAD + N_GRID_SETS * self.set_words()) as u64 * 4;
        self.parts.reserve(gpu, n_parts * PART_SIZE)?;
        self.casters.reserve(gpu, n_parts * CASTER_SIZE)?;
        self.grids.reserve(gpu, n_scenes * grid)?;
        Ok(())
    }

    /// Bytes on the device.
    pub fn size(&self) -> u64 {
        let columns =
            self.shapes.size() + self.materials.size() + self.render_scenes.size() + self.views.size();
        let moving = self.moved.size() + self.dirty.size();
        let written = self.parts.size() + self.casters.size() + self.grids.size();
        self.library.size() + columns + moving + written
    }

    /// Forgets what the device has, so that the next update uploads everything.
    pub fn forget(&mut self) {
        self.layout.clear();
    }

    fn lay_out(&mut self, render_scenes: &[&RenderScene]) {
        let all_assets = self.library.fill(render_scenes);
        self.layout.clear();
        let (mut n_parts, mut n_materials) = (0, 0);
        for (render_scene, assets) in render_scenes.iter().zip(all_assets) {
            let parts = n_parts..n_parts + render_scene.instances.len();
            let materials = n_materials..n_materials + render_scene.materials.len();
            (n_parts, n_materials) = (parts.end, materials.end);
            self.layout.push(Layout { parts, materials, assets });
        }
        self.max_parts = self.layout.iter().map(|layout| layout.parts.len()).max().unwrap_or(0);
        // NaN equals no pose, so that all parts count as moved.
        let nowhere = Pose::from_translation(crate::math::Vec3::NAN);
        self.poses.clear();
        self.poses.resize(n_parts, nowhere);
        self.shapes.replace(std::iter::repeat_n(ShapeRow::default(), n_parts));
        self.materials.replace(std::iter::repeat_n(MaterialRow::default(), n_materials));
        self.render_scenes.replace(std::iter::repeat_n(SceneRow::default(), render_scenes.len()));
        self.is_dirty.clear();
        self.is_dirty.resize(render_scenes.len(), true);
    }

    fn update_scene(&mut self, scene_idx: usize, render_scene: &RenderScene, moved: &mut Vec<MovedRow>) {
        let Layout { parts, materials, assets } = &self.layout[scene_idx];
        let mut is_changed = false;
        for (part_idx, (instance, pose)) in
            parts.clone().zip(render_scene.instances.iter().zip(&render_scene.world_from_instance))
        {
            assert!((instance.material_idx as usize) < materials.len(), "material_idx is out of range");
            let shape = ShapeRow::new(instance, materials.start, &assets.roots);
            let is_reshaped = self.shapes.set(part_idx, shape);
            if is_reshaped || self.poses[part_idx] != *pose {
                self.poses[part_idx] = *pose;
                moved.push(MovedRow::new(part_idx, pose));
                is_changed = true;
            }
        }
        for (idx, material) in materials.clone().zip(&render_scene.materials) {
            self.materials.set(idx, MaterialRow::new(material, &assets.texture_rows));
        }
        let row = SceneRow::new(&render_scene.light, parts.start, parts.len());
        is_changed |= self.render_scenes.set(scene_idx, row);
        self.is_dirty[scene_idx] |= is_changed;
    }
}
