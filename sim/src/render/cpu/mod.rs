//! The CPU backend: kernels over packets of eight rays, views in parallel.
//!
//! `prepare` and `light_grid` run once per scene, `cull` once per view, `cast` and `shade` once per tile.

mod bit_grid;
mod camera;
mod cast;
mod cull;
mod encode;
mod light_grid;
mod mesh_trace;
mod noise;
mod occlusion;
mod packet;
mod parts;
mod pattern;
mod prepare;
mod primitives;
mod render_view;
mod shade;

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use self::cull::VisibleParts;
use self::encode::Encoder;
use self::prepare::PreparedScene;
use self::render_view::{Images, render_view};
use super::{RenderScene, RenderSpec, RenderTarget, View};

/// Renders batches of views on the CPU, in parallel over views and eight rays at a time.
///
/// The frames depend neither on the number of threads nor on how views are batched. Buffers are kept from call to
/// call: nothing is allocated once the largest batch has been rendered.
#[derive(Debug)]
pub struct CpuRenderer {
    encoder: Encoder,
    /// One per scene.
    prepared: Vec<PreparedScene>,
    is_seen: Vec<bool>,
    /// One per thread; only that thread ever locks it.
    scratch: Vec<Mutex<VisibleParts>>,
}

impl Default for CpuRenderer {
    fn default() -> Self {
        Self::new()
    }
}

impl CpuRenderer {
    /// A renderer with empty buffers.
    pub fn new() -> Self {
        Self { encoder: Encoder::new(), prepared: Vec::new(), is_seen: Vec::new(), scratch: Vec::new() }
    }

    /// Renders every view into `target`, which is resized as needed.
    ///
    /// # Panics
    /// If the `scene_idx` of a view is out of range, or a scene is inconsistent: see [`RenderScene::check`].
    pub fn render(
        &mut self,
        render_scenes: &[&RenderScene],
        views: &[View],
        spec: &RenderSpec,
        target: &mut RenderTarget,
    ) {
        let n_pixels = target.reshape(views.len(), spec);
        if n_pixels == 0 {
            return;
        }
        self.prepare(render_scenes, views, spec);
        let images = Images {
            rgb: target.rgb.pixels_mut(),
            depth: &mut target.depth,
            segmentation: &mut target.segmentation,
            normals: &mut target.normals,
        };
        Batch { renderer: self, render_scenes, spec }.render(views, images);
    }

    fn prepare(&mut self, render_scenes: &[&RenderScene], views: &[View], spec: &RenderSpec) {
        self.is_seen.clear();
        self.is_seen.resize(render_scenes.len(), false);
        for view in views {
            self.is_seen[view.scene_idx] = true;
        }
        if self.prepared.len() < render_scenes.len() {
            self.prepared.resize_with(render_scenes.len(), PreparedScene::default);
        }
        let n_threads = rayon::current_num_threads();
        if self.scratch.len() < n_threads {
            self.scratch.resize_with(n_threads, Mutex::default);
        }
        let shadows = spec.shadows && spec.outputs.rgb;
        self.prepared.par_iter_mut().zip(render_scenes).zip(&self.is_seen).with_min_len(4).for_each(
            |((prepared, render_scene), is_seen)| {
                if *is_seen {
                    prepared.prepare(render_scene, shadows);
                }
            },
        );
    }
}

/// Data that all views of a call share.
struct Batch<'a> {
    renderer: &'a CpuRenderer,
    render_scenes: &'a [&'a RenderScene],
    spec: &'a RenderSpec,
}

impl Batch<'_> {
    /// Halves the views recursively until one is left; idle threads take halves.
    fn render(&self, views: &[View], mut images: Images) {
        if let [view] = views {
            let thread_idx = rayon::current_thread_index().unwrap_or(0);
            let scratch = &self.renderer.scratch[thread_idx];
            let mut visible = scratch.lock().unwrap_or_else(PoisonError::into_inner);
            let (render_scene, prepared) =
                (self.render_scenes[view.scene_idx], &self.renderer.prepared[view.scene_idx]);
            let encoder = &self.renderer.encoder;
            render_view(render_scene, prepared, view, self.spec, encoder, &mut visible, &mut images);
            return;
        }
        let middle = views.len() / 2;
        let (first, second) = images.split_at(middle, views.len());
        rayon::join(|| self.render(&views[..middle], first), || self.render(&views[middle..], second));
    }
}
