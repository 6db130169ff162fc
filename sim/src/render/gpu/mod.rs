//! The GPU backend: the ray caster of the CPU backend as four WGSL kernels that render a whole batch per submission.
//!
//! The scenes of a batch are stored on the device as columns ([`scene_buffers`]). A call uploads what changed and dispatches
//! `prepare` (once per part that moved), `light` (once per scene that changed), `cull` (once per view) and `render` (once
//! per tile). Frames stay on the device until they are read back.

mod bridge;
mod choice;
mod column;
mod device;
mod device_frames;
mod kernel;
mod library;
mod model_input;
mod read_back;
mod rows;
mod scene_buffers;

#[cfg(test)]
mod tests;

#[cfg(feature = "cuda")]
pub use bridge::{CudaDriver, CudaVersion};
pub use choice::{Adapter, DeviceChoice, DeviceUuid, PciBusId, adapters};
pub use device::Gpu;
pub use device_frames::DeviceFrames;
pub use model_input::{ModelInput, PixelLayout, PixelType};

use std::sync::Arc;

use self::column::{Column, Store};
use self::device_frames::{BufferPool, Slot};
use self::read_back::{Layout, ReadBack};
use self::rows::{ParamsRow, VIEW_PART_SIZE};
use self::scene_buffers::SceneBuffers;
use super::{Outputs, RenderScene, RenderSpec, RenderTarget, Samples, View};
use crate::math::{Pose, Quat};
use crate::{Result, SimError};

/// Side of a tile, pixels.
const TILE: usize = 8;

/// Workgroups per dimension of a dispatch that every device supports.
const MAX_GROUPS: usize = 65_535;

/// Longest side of a frame, pixels: pixel ranges are stored in 16 bits.
const MAX_SIDE: usize = 65_535;

/// Default of [`GpuRenderer::limit_groups`], bytes.
const READ_BACK_BYTES: u64 = 256 << 20;

/// Renders whole batches of views on a GPU.
///
/// Frames do not depend on how views are batched. Buffers are kept between calls, and only what changed since the last
/// call is uploaded.
#[derive(Debug)]
pub struct GpuRenderer {
    gpu: Arc<Gpu>,
    scenes: SceneBuffers,
    params: wgpu::Buffer,
    sort_keys: Store,
    view_parts: Store,
    n_view_parts: Store,
    images: Store,
    pixel_values: Column<u32>,
    model_inputs: BufferPool,
    /// Bound where no model input is written.
    no_model_input: Store,
    max_group_bytes: u64,
    may_shrink: bool,
    read_back: ReadBack,
}

impl GpuRenderer {
    /// A renderer on an open device. Several may share one.
    ///
    /// # Errors
    /// If the device refuses the kernels.
    pub fn new(gpu: Arc<Gpu>) -> Result<Self> {
        gpu.kernels()?;
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let params = gpu.buffer("parameters", size_of::<ParamsRow>() as u64, usage)?;
        let written = wgpu::BufferUsages::empty();
        Ok(Self {
            gpu,
            scenes: SceneBuffers::new(),
            params,
            sort_keys: Store::new("sort keys", written),
            view_parts: Store::new("view parts", written),
            n_view_parts: Store::new("view part counts", written),
            images: Store::new("frames", wgpu::BufferUsages::COPY_SRC),
            pixel_values: Column::new("values of a model input"),
            model_inputs: BufferPool::default(),
            no_model_input: Store::new("unused model input", written),
            max_group_bytes: READ_BACK_BYTES,
            may_shrink: false,
            read_back: ReadBack::default(),
        })
    }

    /// The device that it renders on.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// Limits the bytes of frames that a submission of [`Self::render`] writes (default 256 MiB): a lower limit needs less
    /// memory and more submissions. Every submission renders at least one view.
    pub fn limit_groups(&mut self, n_bytes: u64) {
        self.max_group_bytes = n_bytes;
    }

    /// Sets whether [`Self::render`] continues in smaller groups when the device is out of memory, instead of failing.
    pub fn set_shrink_on_oom(&mut self, may_shrink: bool) {
        self.may_shrink = may_shrink;
    }

    /// Bytes allocated on the device.
    pub fn device_bytes(&self) -> u64 {
        let scratch = self.sort_keys.size() + self.view_parts.size() + self.n_view_parts.size();
        let written = self.images.size() + self.model_inputs.size() + self.pixel_values.size();
        self.scenes.size() + scratch + written
    }

    /// Renders every view and reads the frames back into `target`, which is resized as needed. A batch that is larger
    /// than the device's buffers is rendered in several submissions.
    ///
    /// # Errors
    /// If the device is lost or out of memory, or one view is larger than its buffers. The renderer may be used again
    /// unless the device is lost.
    ///
    /// # Panics
    /// If a view refers to a scene that does not exist, or a scene is inconsistent: see [`RenderScene::check`].
    pub fn render(
        &mut self,
        render_scenes: &[&RenderScene],
        views: &[View],
        spec: &RenderSpec,
        target: &mut RenderTarget,
    ) -> Result<()> {
        if views.is_empty() || spec.height * spec.width == 0 {
            target.reshape(views.len(), spec);
            return Ok(());
        }
        loop {
            let rendered = self.render_groups(render_scenes, views, spec, target);
            let error = match self.forget_failed(rendered) {
                Err(error @ SimError::GpuMemory { .. }) => error,
                rendered => return rendered,
            };
            let bytes_per_view = (Layout::new(1, spec).n_words as u64 * 4).max(1);
            let group = (self.max_group_bytes / bytes_per_view).clamp(1, views.len() as u64);
            if !self.may_shrink || group == 1 {
                return Err(self.add_what_fits(error, group as usize, bytes_per_view));
            }
            self.max_group_bytes = group / 2 * bytes_per_view;
        }
    }

    /// Adds to an out-of-memory error how many views would fit.
    fn add_what_fits(&self, error: SimError, n_views: usize, bytes_per_view: u64) -> SimError {
        let SimError::GpuMemory { device, what, need, .. } = error else { return error };
        let halves = std::iter::successors(Some(n_views / 2), |n| Some(n / 2)).take_while(|&n| 0 < n);
        let mut fitting = halves.filter(|&n| {
            let trial =
                self.gpu.buffer("a test allocation", n as u64 * bytes_per_view, wgpu::BufferUsages::STORAGE);
            trial.is_ok()
        });
        SimError::GpuMemory { device, what, need, fits: fitting.next() }
    }

    /// On failure, forgets what the device has: some of what was recorded as uploaded may not have arrived.
    fn forget_failed<T>(&mut self, rendered: Result<T>) -> Result<T> {
        rendered.inspect_err(|_| self.scenes.forget())
    }

    fn render_groups(
        &mut self,
        render_scenes: &[&RenderScene],
        views: &[View],
        spec: &RenderSpec,
        target: &mut RenderTarget,
    ) -> Result<()> {
        self.gpu.check()?;
        self.scenes.update(render_scenes, views, spec);
        let max_views = self.views_per_group(spec, self.max_group_bytes.min(self.gpu.max_buffer()))?;
        target.reshape(views.len(), spec);
        for first in (0..views.len()).step_by(max_views) {
            let n_views = max_views.min(views.len() - first);
            let (images, _) = self.submit(first, n_views, spec, None)?;
            self.read_back.read(&self.gpu, &images, first, n_views, spec, target)?;
        }
        Ok(())
    }

    /// Renders every view, keeps the frames on the device, and returns when they are done. For benchmarks.
    ///
    /// # Errors
    /// Those of [`Self::render`]; also if the batch is larger than the device's buffers.
    pub fn render_on_device(
        &mut self,
        render_scenes: &[&RenderScene],
        views: &[View],
        spec: &RenderSpec,
    ) -> Result<()> {
        let rendered = self.render_whole(render_scenes, views, spec, None)?;
        self.gpu.wait(rendered)
    }

    /// Starts to render every view at the size that a model reads, normalised and in the layout that it reads; the frames
    /// stay on the device. Does not wait for them. `samples` and `shadows` are as in [`RenderSpec`].
    ///
    /// # Errors
    /// Those of [`Self::render_on_device`]; also if the input has a shape that the kernel cannot write.
    pub fn render_for_model(
        &mut self,
        render_scenes: &[&RenderScene],
        views: &[View],
        input: &ModelInput,
        samples: Samples,
        shadows: bool,
    ) -> Result<DeviceFrames> {
        input.check()?;
        let outputs = Outputs { rgb: false, depth: false, segmentation: false, normals: false };
        let (height, width) = (input.image.height, input.image.width);
        let spec = RenderSpec { height, width, samples, shadows, outputs };
        let bytes_per_view = input.n_bytes();
        let slot = self.model_inputs.take(&self.gpu, (views.len() * bytes_per_view) as u64);
        let slot = slot.map_err(|error| self.add_what_fits(error, views.len(), bytes_per_view as u64))?;
        let rendered = self.render_whole(render_scenes, views, &spec, Some((input, &slot)))?;
        Ok(DeviceFrames::new(slot, self.gpu.clone(), input.clone(), views.len(), rendered))
    }

    /// Starts to render an empty sky from the horizon up: a test frame, to check that another API can read what this device
    /// renders.
    ///
    /// # Errors
    /// Those of [`Self::render_for_model`].
    pub fn render_sky(&mut self, input: &ModelInput) -> Result<DeviceFrames> {
        let upright = Quat::from_rotation_x(std::f32::consts::FRAC_PI_2);
        let world_from_camera = Pose { rotation: upright, ..Pose::IDENTITY };
        let view = View { scene_idx: 0, world_from_camera, fov_y: 1.0 };
        self.render_for_model(&[&RenderScene::default()], &[view], input, Samples::One, false)
    }

    /// Starts to render a whole batch in one submission.
    fn render_whole(
        &mut self,
        render_scenes: &[&RenderScene],
        views: &[View],
        spec: &RenderSpec,
        model: Option<(&ModelInput, &Slot)>,
    ) -> Result<wgpu::SubmissionIndex> {
        self.gpu.check()?;
        if views.is_empty() || spec.height * spec.width == 0 {
            return Ok(self.gpu.submit(None, None));
        }
        self.scenes.update(render_scenes, views, spec);
        let n_views = views.len();
        let rendered = self.views_per_group(spec, self.gpu.max_buffer()).and_then(|max_views| {
            if n_views <= max_views {
                return self.submit(0, n_views, spec, model);
            }
            let hint = "use fewer envs, or more groups of them (env.n_groups)";
            Err(self.limit("views of one batch", n_views as u64, max_views as u64, hint))
        });
        Ok(self.forget_failed(rendered)?.1)
    }

    fn limit(&self, what: &str, need: u64, limit: u64, hint: &str) -> SimError {
        let what = format!("{}: {what}", self.gpu.adapter().name);
        SimError::GpuLimit { what, need, limit, hint: hint.into() }
    }

    /// Number of views that one submission can render if their frames may take `max_bytes`.
    fn views_per_group(&self, spec: &RenderSpec, max_bytes: u64) -> Result<usize> {
        for (field, side) in [("height", spec.height), ("width", spec.width)] {
            if MAX_SIDE < side {
                let expected = format!("at most {MAX_SIDE} pixels");
                return Err(SimError::OutOfRange { field: field.into(), got: side.to_string(), expected });
            }
        }
        let image = (Layout::new(1, spec).n_words as u64 * 4).max(1);
        if self.gpu.max_buffer() < image {
            let hint = "render smaller frames or fewer outputs";
            return Err(self.limit("bytes of one frame", image, self.gpu.max_buffer(), hint));
        }
        let parts = VIEW_PART_SIZE * self.scenes.max_parts.max(1) as u64;
        let by_parts = self.gpu.max_buffer() / parts;
        if by_parts == 0 {
            let hint = "use fewer bodies";
            return Err(self.limit("bytes of one view's parts", parts, self.gpu.max_buffer(), hint));
        }
        // A group has at least one view, whatever the limit.
        let by_images = (max_bytes / image).max(1);
        Ok(by_images.min(by_parts).min(MAX_GROUPS as u64) as usize)
    }

    /// Uploads what changed and dispatches the kernels for `n_views` of the views.
    fn submit(
        &mut self,
        first_view: usize,
        n_views: usize,
        spec: &RenderSpec,
        model: Option<(&ModelInput, &Slot)>,
    ) -> Result<(wgpu::Buffer, wgpu::SubmissionIndex)> {
        let device = self.gpu.clone();
        device.checked(|| {
            let Self { gpu, scenes, .. } = self;
            let (model, slot) = model.unzip();
            let kernels = gpu.kernels()?;
            let layout = Layout::new(n_views, spec);
            let has_shadows = spec.shadows && (spec.outputs.rgb || model.is_some());
            scenes.reserve(gpu)?;
            let n_dirty = if has_shadows { scenes.take_dirty() } else { 0 };
            let params = ParamsRow {
                height: spec.height as u32,
                width: spec.width as u32,
                n_views: n_views as u32,
                first_view: first_view as u32,
                n_moved: scenes.moved.len() as u32,
                n_dirty: n_dirty as u32,
                max_parts: scenes.max_parts as u32,
                set_words: scenes.set_words() as u32,
                n_samples: if spec.samples == Samples::Four { 4 } else { 1 },
                has_shadows: u32::from(has_shadows),
                outputs: layout.outputs | model.map_or(0, ModelInput::output_bit),
                depth_at: layout.depth_at as u32,
                segmentation_at: layout.segmentation_at as u32,
                normals_at: layout.normals_at as u32,
                patch_size: model.map_or(0, ModelInput::patch_size) as u32,
                unused: 0,
            };
            gpu.queue.write_buffer(&self.params, 0, bytemuck::bytes_of(&params));

            let n_slots = (n_views * scenes.max_parts) as u64;
            self.sort_keys.reserve(gpu, n_slots * 4)?;
            self.view_parts.reserve(gpu, n_slots * VIEW_PART_SIZE)?;
            self.n_view_parts.reserve(gpu, n_views as u64 * 4)?;
            self.images.reserve(gpu, layout.n_words as u64 * 4)?;
            if let Some(input) = model {
                self.pixel_values.replace(input.table());
            }

            let params = &self.params;
            let (render_scenes, shapes) = (&scenes.render_scenes.upload(gpu)?, &scenes.shapes.upload(gpu)?);
            let (materials, views) = (&scenes.materials.upload(gpu)?, &scenes.views.upload(gpu)?);
            let (moved, dirty) = (&scenes.moved.upload(gpu)?, &scenes.dirty.upload(gpu)?);
            let (nodes, triangles) =
                (&scenes.library.nodes.upload(gpu)?, &scenes.library.triangles.upload(gpu)?);
            let (texels, tables) = (&scenes.library.texels.upload(gpu)?, &scenes.library.tables.upload(gpu)?);
            let (parts, casters) = (&scenes.parts.get(gpu)?, &scenes.casters.get(gpu)?);
            let grids = &scenes.grids.get(gpu)?;
            let (sort_keys, view_parts) = (&self.sort_keys.get(gpu)?, &self.view_parts.get(gpu)?);
            let (n_view_parts, images) = (&self.n_view_parts.get(gpu)?, &self.images.get(gpu)?);
            let pixel_values = &self.pixel_values.upload(gpu)?;
            let no_model_input = &self.no_model_input.get(gpu)?;
            let model_input = slot.map_or(no_model_input, |slot| &slot.buffer);

            let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            {
                let pass = &mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                if 0 < scenes.moved.len() {
                    let groups = line_of_groups(scenes.moved.len().div_ceil(64));
                    kernels.prepare.dispatch(
                        &gpu.device,
                        pass,
                        &[params, shapes, moved, nodes, parts],
                        groups,
                    );
                }
                if 0 < n_dirty {
                    let buffers = [params, render_scenes, parts, dirty, casters, grids];
                    kernels.light.dispatch(&gpu.device, pass, &buffers, line_of_groups(n_dirty));
                }
                let buffers = [params, render_scenes, parts, views, sort_keys, view_parts, n_view_parts];
                kernels.cull.dispatch(&gpu.device, pass, &buffers, line_of_groups(n_views));
                let buffers = [
                    params,
                    render_scenes,
                    shapes,
                    parts,
                    materials,
                    views,
                    casters,
                    grids,
                    view_parts,
                    n_view_parts,
                    nodes,
                    triangles,
                    texels,
                    tables,
                    pixel_values,
                    images,
                    model_input,
                ];
                let render =
                    if scenes.library.has_meshes() { &kernels.render } else { &kernels.render_shapes };
                let tiles = [spec.width, spec.height].map(|side| side.div_ceil(TILE) as u32);
                render.dispatch(&gpu.device, pass, &buffers, [tiles[0], tiles[1], n_views as u32]);
            }
            let rendered = gpu.submit(Some(encoder.finish()), slot.and_then(|slot| slot.link.as_ref()));
            // The next groups of this call use the parts that are already on the device.
            scenes.moved.replace(std::iter::empty());
            Ok((images.clone(), rendered))
        })
    }
}

/// `n` workgroups in as many rows as the limit per dimension requires; the last row may have surplus ones.
fn line_of_groups(n: usize) -> [u32; 3] {
    let columns = n.clamp(1, MAX_GROUPS);
    [columns as u32, n.div_ceil(columns) as u32, 1]
}
