//! Comparison of one batch on both backends, and its tolerances.

use std::path::{Path, PathBuf};

use sayso_sim::render::{
    CpuRenderer, DeviceChoice, Gpu, GpuRenderer, RenderScene, RenderSpec, RenderTarget, View,
};

/// Minimum share of pixels with the same label.
const LABELS: f64 = 0.999;
/// Minimum share of pixels, among those with the same label, whose depths agree to one part in 10,000. Beyond [`FAR`] the
/// tolerance is that of inverse depth at `FAR`: on a floor near the horizon the last bit of a ray amounts to metres.
const DEPTHS: f64 = 0.999;
/// Metres.
const FAR: f32 = 20.0;
/// Minimum share of pixels whose colours agree to two codes of 255.
const COLOURS: f64 = 0.995;
/// Minimum share of pixels, among those with the same label, whose normals are within 2.5 degrees.
const NORMALS: f64 = 0.995;

/// A renderer on the first device; its kernels are compiled once per process.
pub fn gpu() -> GpuRenderer {
    GpuRenderer::new(Gpu::shared(&DeviceChoice::First).unwrap()).unwrap()
}

/// Renders a batch on the CPU.
pub fn on_cpu(render_scenes: &[RenderScene], views: &[View], spec: &RenderSpec) -> RenderTarget {
    let mut target = RenderTarget::default();
    CpuRenderer::new().render(&render_scenes.iter().collect::<Vec<_>>(), views, spec, &mut target);
    target
}

/// Renders a batch with `renderer`.
pub fn on_gpu(
    renderer: &mut GpuRenderer,
    render_scenes: &[RenderScene],
    views: &[View],
    spec: &RenderSpec,
) -> RenderTarget {
    let mut target = RenderTarget::default();
    renderer.render(&render_scenes.iter().collect::<Vec<_>>(), views, spec, &mut target).unwrap();
    target
}

/// Renders a batch with both backends and compares.
pub fn check(what: &str, render_scenes: &[RenderScene], views: &[View], spec: &RenderSpec) {
    let cpu = on_cpu(render_scenes, views, spec);
    let gpu = on_gpu(&mut gpu(), render_scenes, views, spec);
    check_same(what, &cpu, &gpu, spec);
}

/// Compares two renderings of one batch; on failure both are written as images.
pub fn check_same(what: &str, cpu: &RenderTarget, gpu: &RenderTarget, spec: &RenderSpec) {
    let mut failures = Vec::new();
    let mut expect = |name: &str, share: f64, least: f64| {
        if share < least {
            failures.push(format!(
                "{name} agree on {:.3}% of pixels, expected {}%",
                share * 1e2,
                least * 1e2
            ));
        }
    };
    assert_eq!(cpu.rgb.pixels().len(), gpu.rgb.pixels().len(), "{what}: colours");
    assert_eq!(cpu.depth.len(), gpu.depth.len(), "{what}: depths");
    assert_eq!(cpu.segmentation.len(), gpu.segmentation.len(), "{what}: labels");
    assert_eq!(cpu.normals.len(), gpu.normals.len(), "{what}: normals");

    let is_near = |(a, b): (&[u8], &[u8])| a.iter().zip(b).all(|(a, b)| a.abs_diff(*b) <= 2);
    let pixels = || cpu.rgb.pixels().chunks(3).zip(gpu.rgb.pixels().chunks(3));
    expect("colours", share(pixels().map(is_near)), COLOURS);

    let labels = || cpu.segmentation.iter().zip(&gpu.segmentation);
    expect("labels", share(labels().map(|(a, b)| a == b)), LABELS);

    // If labels were not requested, all pixels are compared.
    let is_same_part = |k: usize| cpu.segmentation.get(k) == gpu.segmentation.get(k);
    let depths = cpu.depth.iter().zip(&gpu.depth).enumerate().filter(|(k, _)| is_same_part(*k));
    let agrees = |a: f32, b: f32| {
        a == b || (a.is_finite() && b.is_finite() && (a - b).abs() <= 1e-4 * a * (a / FAR).max(1.0))
    };
    expect("depths", share(depths.map(|(_, (a, b))| agrees(*a, *b))), DEPTHS);

    let normals = cpu.normals.chunks(3).zip(gpu.normals.chunks(3)).enumerate();
    let is_aligned = |a: &[f32], b: &[f32]| {
        let dot: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
        0.999 < dot || a.iter().chain(b).all(|v| *v == 0.0)
    };
    let normals = normals.filter(|(k, _)| is_same_part(*k)).map(|(_, (a, b))| is_aligned(a, b));
    expect("normals", share(normals), NORMALS);

    if !failures.is_empty() {
        let folder = write_images(what, cpu, gpu, spec);
        panic!("{what}: {}; images are in {}", failures.join("; "), folder.display());
    }
}

/// Share of true values; 1 if there are none.
fn share(agreements: impl Iterator<Item = bool>) -> f64 {
    let (mut n, mut n_true) = (0, 0);
    for agrees in agreements {
        n += 1;
        n_true += usize::from(agrees);
    }
    if n == 0 { 1.0 } else { f64::from(n_true as u32) / f64::from(n as u32) }
}

/// Writes colours and labels of both, all views one below the other.
fn write_images(what: &str, cpu: &RenderTarget, gpu: &RenderTarget, spec: &RenderSpec) -> PathBuf {
    let name: String = what.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("backends").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let save = |name: &str, pixels: &[u8]| {
        let rows = pixels.len() / (3 * spec.width);
        if 0 < rows {
            let path = folder.join(name);
            let (width, height) = (spec.width as u32, rows as u32);
            image::save_buffer(path, pixels, width, height, image::ColorType::Rgb8).unwrap();
        }
    };
    let tint = |label: &u32| label.wrapping_mul(0x9e37_79b1).to_le_bytes()[..3].to_vec();
    for (name, target) in [("cpu", cpu), ("gpu", gpu)] {
        save(&format!("{name}-colour.png"), target.rgb.pixels());
        let labels: Vec<u8> = target.segmentation.iter().flat_map(tint).collect();
        save(&format!("{name}-labels.png"), &labels);
    }
    folder
}
