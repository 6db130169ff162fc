//! Frames do not depend on what a renderer keeps between calls.

use sayso_sim::math::{Pose, Quat, Vec3};
use sayso_sim::render::{GpuRenderer, Light, Pattern, RenderScene, RenderSpec, RenderTarget, Shape, View};

use crate::compare::{check_same, gpu, on_cpu, on_gpu};
use crate::scenes::{add, assorted, spec};
use crate::worlds::around;

fn batch() -> (Vec<RenderScene>, Vec<View>) {
    let render_scenes: Vec<RenderScene> = (0..5).map(assorted).collect();
    let views = around(15, 1.4);
    let views = views.into_iter().enumerate().map(|(k, view)| View { scene_idx: k % 5, ..view });
    (render_scenes, views.collect())
}

fn assert_equal(what: &str, a: &RenderTarget, b: &RenderTarget) {
    assert!(a.rgb == b.rgb, "{what}: colours differ");
    assert!(a.depth == b.depth, "{what}: depths differ");
    assert!(a.segmentation == b.segmentation, "{what}: labels differ");
    assert!(a.normals == b.normals, "{what}: normals differ");
}

/// A renderer that was used before renders the same as a new one, and as the CPU.
fn check_reused(
    what: &str,
    old: &mut GpuRenderer,
    render_scenes: &[RenderScene],
    views: &[View],
    spec: &RenderSpec,
) {
    let kept = on_gpu(old, render_scenes, views, spec);
    assert_equal(what, &kept, &on_gpu(&mut gpu(), render_scenes, views, spec));
    check_same(what, &on_cpu(render_scenes, views, spec), &kept, spec);
}

pub fn changes_between_calls() {
    let (mut render_scenes, mut views) = batch();
    let spec = spec(48, 48);
    let renderer = &mut gpu();
    check_reused("first call", renderer, &render_scenes, &views, &spec);
    check_reused("again", renderer, &render_scenes, &views, &spec);
    render_scenes[2].world_from_instance[7] =
        Pose::from_parts(Vec3::new(0.1, 0.1, 0.3), Quat::from_axis_angle(Vec3::X, 0.5));
    check_reused("one part moved", renderer, &render_scenes, &views, &spec);
    render_scenes[0].materials[1].colour = [0.9, 0.1, 0.8];
    render_scenes[4].materials[3].pattern = Pattern::Wood { other: [0.1; 3], ring: 0.01 };
    check_reused("two materials changed", renderer, &render_scenes, &views, &spec);
    render_scenes[1].light = Light { sun_direction: [-0.5, 0.1, 0.4], ..Light::default() };
    check_reused("the sun moved", renderer, &render_scenes, &views, &spec);
    render_scenes[3].instances[5].shape = Shape::Sphere { radius: 0.11 };
    check_reused("a part changed its shape", renderer, &render_scenes, &views, &spec);
    add(
        &mut render_scenes[3],
        Shape::Disc { radius: 0.2 },
        Pose::translation(0.0, 0.0, 0.6),
        [0.5; 3],
        Pattern::Plain,
    );
    check_reused("a part was added", renderer, &render_scenes, &views, &spec);
    render_scenes[1].world_from_instance[4] = Pose::translation(f32::NAN, 0.0, 0.0);
    check_reused("a pose that is not finite", renderer, &render_scenes, &views, &spec);
    render_scenes[1].world_from_instance[4] = Pose::translation(0.0, 0.0, 0.2);
    check_reused("and finite again", renderer, &render_scenes, &views, &spec);
    for view in &mut views {
        view.fov_y *= 1.2;
    }
    check_reused("the cameras zoomed", renderer, &render_scenes, &views, &spec);
    views.retain(|view| view.scene_idx == 2);
    render_scenes[0].world_from_instance.reverse();
    check_reused("one env with views", renderer, &render_scenes, &views, &spec);
    let (_, views) = batch();
    check_reused("all envs with views again", renderer, &render_scenes, &views, &spec);
    render_scenes.truncate(3);
    let views: Vec<View> = views.into_iter().filter(|view| view.scene_idx < 3).collect();
    check_reused("fewer envs", renderer, &render_scenes, &views, &spec);
    let plain = RenderSpec { shadows: false, ..spec };
    render_scenes[0].light.sun_direction = [0.9, 0.1, 0.4];
    check_reused("no shadows", renderer, &render_scenes, &views, &plain);
    check_reused("shadows again", renderer, &render_scenes, &views, &spec);
}

pub fn batches() {
    let (render_scenes, views) = batch();
    let spec = spec(27, 41);
    let renderer = &mut gpu();
    let whole = on_gpu(renderer, &render_scenes, &views, &spec);
    for (k, view) in views.iter().enumerate() {
        let single = on_gpu(renderer, &render_scenes, &[*view], &spec);
        let pixels = k * 27 * 41..(k + 1) * 27 * 41;
        assert!(single.rgb.view(0) == whole.rgb.view(k), "colours of view {k}");
        assert!(single.depth == whole.depth[pixels.clone()], "depths of view {k}");
        assert!(single.segmentation == whole.segmentation[pixels], "labels of view {k}");
    }
    // Several submissions per call, with parts that moved since the last call.
    let (mut render_scenes, mut views) = (render_scenes, views);
    views.reverse();
    for (k, max_views) in [1, 4, 100].into_iter().enumerate() {
        for render_scene in &mut render_scenes {
            render_scene.world_from_instance[5].translation.x += 0.03 * (k + 1) as f32;
        }
        renderer.limit_groups(max_views * 27 * 41 * 24);
        let split = on_gpu(renderer, &render_scenes, &views, &spec);
        assert_equal("split", &split, &on_gpu(&mut gpu(), &render_scenes, &views, &spec));
    }
    // After a failed call, nothing counts as uploaded by it.
    let by_reference: Vec<&RenderScene> = render_scenes.iter().collect();
    let renderer = &mut gpu();
    assert!(renderer.render_on_device(&by_reference, &views, &RenderSpec { width: 70_000, ..spec }).is_err());
    let after = on_gpu(renderer, &render_scenes, &views, &spec);
    assert_equal("after a failure", &after, &on_gpu(&mut gpu(), &render_scenes, &views, &spec));
    let nothing = on_gpu(renderer, &render_scenes, &[], &spec);
    assert_eq!((nothing.rgb.n_views(), nothing.depth.len()), (0, 0));
}
