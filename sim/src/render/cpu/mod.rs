//! The CPU backend: kernels over packets of eight rays, views in parallel.
//!
//! `prepare` and `light_grid` run once per drawing, `cull` once per view, `cast` and `shade` once per tile.

mod bit_grid;
mod camera;
mod cast;
mod cull;
mod draw;
mod encode;
mod light_grid;
mod mesh_trace;
mod noise;
mod occlusion;
mod packet;
mod pattern;
mod prepare;
mod primitives;
mod shade;

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use self::cull::VisibleParts;
use self::draw::{Pictures, draw_view};
use self::encode::Encoder;
use self::prepare::Scene;
use super::{Drawing, RenderSpec, RenderTarget, View};

/// Draws whole batches of views on the CPU, in parallel over views and eight rays at a time.
///
/// The pictures depend neither on the number of threads nor on how views are batched. Buffers are kept from call to
/// call: nothing is allocated once the largest batch has been drawn.
#[derive(Debug)]
pub struct CpuRenderer {
    encoder: Encoder,
    /// One per drawing.
    scenes: Vec<Scene>,
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
        Self { encoder: Encoder::new(), scenes: Vec::new(), is_seen: Vec::new(), scratch: Vec::new() }
    }

    /// Draws every view into `target`, which is resized as needed.
    ///
    /// # Panics
    /// If a view names a drawing that is not there, or a drawing does not hold together: see [`Drawing::check`].
    pub fn render(
        &mut self,
        drawings: &[&Drawing],
        views: &[View],
        spec: &RenderSpec,
        target: &mut RenderTarget,
    ) {
        let n_pixels = target.reshape(views.len(), spec);
        if n_pixels == 0 {
            return;
        }
        self.prepare(drawings, views, spec);
        let pictures = Pictures {
            rgb: target.rgb.pixels_mut(),
            depth: &mut target.depth,
            segmentation: &mut target.segmentation,
            normals: &mut target.normals,
        };
        Batch { renderer: self, drawings, spec }.draw(views, pictures);
    }

    fn prepare(&mut self, drawings: &[&Drawing], views: &[View], spec: &RenderSpec) {
        self.is_seen.clear();
        self.is_seen.resize(drawings.len(), false);
        for view in views {
            self.is_seen[view.drawing_idx] = true;
        }
        if self.scenes.len() < drawings.len() {
            self.scenes.resize_with(drawings.len(), Scene::default);
        }
        let n_threads = rayon::current_num_threads();
        if self.scratch.len() < n_threads {
            self.scratch.resize_with(n_threads, Mutex::default);
        }
        let shadows = spec.shadows && spec.outputs.rgb;
        self.scenes.par_iter_mut().zip(drawings).zip(&self.is_seen).with_min_len(4).for_each(
            |((scene, drawing), is_seen)| {
                if *is_seen {
                    scene.prepare(drawing, shadows);
                }
            },
        );
    }
}

/// What all views of a call share.
struct Batch<'a> {
    renderer: &'a CpuRenderer,
    drawings: &'a [&'a Drawing],
    spec: &'a RenderSpec,
}

impl Batch<'_> {
    /// Halves the views until one is left; idle threads take halves.
    fn draw(&self, views: &[View], mut pictures: Pictures) {
        if let [view] = views {
            let thread_idx = rayon::current_thread_index().unwrap_or(0);
            let scratch = &self.renderer.scratch[thread_idx];
            let mut visible = scratch.lock().unwrap_or_else(PoisonError::into_inner);
            let (drawing, scene) = (self.drawings[view.drawing_idx], &self.renderer.scenes[view.drawing_idx]);
            let encoder = &self.renderer.encoder;
            draw_view(drawing, scene, view, self.spec, encoder, &mut visible, &mut pictures);
            return;
        }
        let middle = views.len() / 2;
        let (first, second) = pictures.split_at(middle, views.len());
        rayon::join(|| self.draw(&views[..middle], first), || self.draw(&views[middle..], second));
    }
}
