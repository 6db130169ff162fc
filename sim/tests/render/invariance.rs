//! Frames are bit-identical for any number of threads and any batching of views.

use sayso_sim::math::Vec3;
use sayso_sim::render::{CpuRenderer, RenderScene, RenderSpec, RenderTarget, Samples, View};

use crate::scenes::{assorted, directions, look, render_view, spec};

fn batch() -> (Vec<RenderScene>, Vec<View>) {
    let render_scenes = (0..3).map(assorted).collect();
    let eyes = directions(40).filter(|d| 0.05 < d.z).take(17);
    let views = eyes.enumerate().map(|(k, direction)| View {
        scene_idx: k % 3,
        ..look(direction * 1.4, Vec3::new(0.0, 0.0, 0.1), 0.5 + 0.02 * k as f32)
    });
    (render_scenes, views.collect())
}

fn render(renderer: &mut CpuRenderer, views: &[View], spec: &RenderSpec) -> RenderTarget {
    let (render_scenes, _) = batch();
    let mut target = RenderTarget::default();
    renderer.render(&render_scenes.iter().collect::<Vec<_>>(), views, spec, &mut target);
    target
}

fn assert_equal(a: &RenderTarget, b: &RenderTarget) {
    assert!(a.rgb == b.rgb, "colours differ");
    assert!(a.depth == b.depth, "depths differ");
    assert!(a.segmentation == b.segmentation, "labels differ");
    assert!(a.normals == b.normals, "normals differ");
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let (_, views) = batch();
    let on = |n_threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| render(&mut CpuRenderer::new(), &views, &spec(60, 80)))
    };
    let one = on(1);
    assert_equal(&one, &on(2));
    assert_equal(&one, &on(5));
}

#[test]
fn splitting_the_batch_and_reusing_the_renderer_change_nothing() {
    let (_, views) = batch();
    let spec = RenderSpec { samples: Samples::Four, ..spec(27, 41) };
    let mut renderer = CpuRenderer::new();
    let whole = render(&mut renderer, &views, &spec);
    for (k, view) in views.iter().enumerate() {
        let single = render(&mut renderer, &[*view], &spec);
        let pixels = k * 27 * 41..(k + 1) * 27 * 41;
        assert!(single.rgb.view(0) == whole.rgb.view(k));
        assert!(single.depth == whole.depth[pixels.clone()]);
        assert!(single.segmentation == whole.segmentation[pixels]);
    }
}

#[test]
fn a_smaller_frame_is_a_crop_of_a_larger_one() {
    // With the same pixel size, a frame that is two pixels smaller on every side shows the same centre.
    let render_scene = assorted(7);
    let eye = Vec3::new(1.0, -0.8, 0.9);
    let of = |height: usize, width: usize| {
        let fov_y = 2.0 * (0.01 * height as f32 / 2.0).atan();
        render_view(&render_scene, look(eye, Vec3::ZERO, fov_y), &spec(height, width))
    };
    let (large, small) = (of(76, 92), of(72, 88));
    let mut n_differ = 0;
    for (row, col) in (0..72).flat_map(|row| (0..88).map(move |col| (row, col))) {
        let (a, b) = (small.segmentation[row * 88 + col], large.segmentation[(row + 2) * 92 + col + 2]);
        n_differ += usize::from(a != b);
    }
    assert!(n_differ <= 3, "{n_differ} labels differ");
    for (height, width) in [(1, 1), (1, 9), (9, 1), (8, 8), (7, 15), (224, 224)] {
        let target = of(height, width);
        assert_eq!(target.depth.len(), height * width);
        assert_eq!(target.rgb.pixels().len(), height * width * 3);
    }
}

#[test]
fn hundreds_of_instances_are_all_seen() {
    use sayso_sim::math::Pose;
    use sayso_sim::render::{Pattern, Shape};
    let mut render_scene = crate::scenes::empty();
    for k in 0..400 {
        let at = Vec3::new((k % 20) as f32 - 9.5, (k / 20) as f32 - 9.5, 0.0);
        crate::scenes::add(
            &mut render_scene,
            Shape::Sphere { radius: 0.4 },
            Pose::from_translation(at),
            [0.5; 3],
            Pattern::Plain,
        );
    }
    let target =
        render_view(&render_scene, look(Vec3::new(0.0, 0.0, 40.0), Vec3::ZERO, 0.6), &spec(160, 160));
    let mut seen = vec![false; 401];
    target.segmentation.iter().for_each(|&label| seen[label as usize] = true);
    assert!(seen.iter().all(|&is_seen| is_seen));
}
