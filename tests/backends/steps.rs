//! What a renderer keeps between calls must never show.

use sayso_sim::math::{Pose, Quat, Vec3};
use sayso_sim::render::{Drawing, GpuRenderer, Light, Pattern, RenderSpec, RenderTarget, Shape, View};

use crate::compare::{check_same, gpu, on_cpu, on_gpu};
use crate::scenes::{add, assorted, spec};
use crate::worlds::around;

fn batch() -> (Vec<Drawing>, Vec<View>) {
    let drawings: Vec<Drawing> = (0..5).map(assorted).collect();
    let views = around(15, 1.4);
    let views = views.into_iter().enumerate().map(|(k, view)| View { drawing_idx: k % 5, ..view });
    (drawings, views.collect())
}

fn assert_equal(what: &str, a: &RenderTarget, b: &RenderTarget) {
    assert!(a.rgb == b.rgb, "{what}: colours differ");
    assert!(a.depth == b.depth, "{what}: depths differ");
    assert!(a.segmentation == b.segmentation, "{what}: labels differ");
    assert!(a.normals == b.normals, "{what}: normals differ");
}

/// A renderer with a past draws what a new one draws, and what the CPU draws.
fn check_past(what: &str, old: &mut GpuRenderer, drawings: &[Drawing], views: &[View], spec: &RenderSpec) {
    let kept = on_gpu(old, drawings, views, spec);
    assert_equal(what, &kept, &on_gpu(&mut gpu(), drawings, views, spec));
    check_same(what, &on_cpu(drawings, views, spec), &kept, spec);
}

pub fn changes_between_calls() {
    let (mut drawings, mut views) = batch();
    let spec = spec(48, 48);
    let renderer = &mut gpu();
    check_past("first call", renderer, &drawings, &views, &spec);
    check_past("again", renderer, &drawings, &views, &spec);
    drawings[2].world_from_instance[7] =
        Pose::from_parts(Vec3::new(0.1, 0.1, 0.3), Quat::from_axis_angle(Vec3::X, 0.5));
    check_past("one part moved", renderer, &drawings, &views, &spec);
    drawings[0].materials[1].colour = [0.9, 0.1, 0.8];
    drawings[4].materials[3].pattern = Pattern::Wood { other: [0.1; 3], ring: 0.01 };
    check_past("two materials changed", renderer, &drawings, &views, &spec);
    drawings[1].light = Light { sun_direction: [-0.5, 0.1, 0.4], ..Light::default() };
    check_past("the sun moved", renderer, &drawings, &views, &spec);
    drawings[3].instances[5].shape = Shape::Sphere { radius: 0.11 };
    check_past("a part changed its shape", renderer, &drawings, &views, &spec);
    add(
        &mut drawings[3],
        Shape::Disc { radius: 0.2 },
        Pose::translation(0.0, 0.0, 0.6),
        [0.5; 3],
        Pattern::Plain,
    );
    check_past("a part was added", renderer, &drawings, &views, &spec);
    drawings[1].world_from_instance[4] = Pose::translation(f32::NAN, 0.0, 0.0);
    check_past("a pose that is not finite", renderer, &drawings, &views, &spec);
    drawings[1].world_from_instance[4] = Pose::translation(0.0, 0.0, 0.2);
    check_past("and finite again", renderer, &drawings, &views, &spec);
    for view in &mut views {
        view.fov_y *= 1.2;
    }
    check_past("the cameras zoomed", renderer, &drawings, &views, &spec);
    views.retain(|view| view.drawing_idx == 2);
    drawings[0].world_from_instance.reverse();
    check_past("one env in sight", renderer, &drawings, &views, &spec);
    let (_, views) = batch();
    check_past("all in sight again", renderer, &drawings, &views, &spec);
    drawings.truncate(3);
    let views: Vec<View> = views.into_iter().filter(|view| view.drawing_idx < 3).collect();
    check_past("fewer envs", renderer, &drawings, &views, &spec);
    let plain = RenderSpec { shadows: false, ..spec };
    drawings[0].light.sun_direction = [0.9, 0.1, 0.4];
    check_past("no shadows", renderer, &drawings, &views, &plain);
    check_past("shadows again", renderer, &drawings, &views, &spec);
}

pub fn batches() {
    let (drawings, views) = batch();
    let spec = spec(27, 41);
    let renderer = &mut gpu();
    let whole = on_gpu(renderer, &drawings, &views, &spec);
    for (k, view) in views.iter().enumerate() {
        let single = on_gpu(renderer, &drawings, &[*view], &spec);
        let pixels = k * 27 * 41..(k + 1) * 27 * 41;
        assert!(single.rgb.view(0) == whole.rgb.view(k), "colours of view {k}");
        assert!(single.depth == whole.depth[pixels.clone()], "depths of view {k}");
        assert!(single.segmentation == whole.segmentation[pixels], "labels of view {k}");
    }
    // Several submits a call, with parts that moved since the last one.
    let (mut drawings, mut views) = (drawings, views);
    views.reverse();
    for (k, max_views) in [1, 4, 100].into_iter().enumerate() {
        for drawing in &mut drawings {
            drawing.world_from_instance[5].translation.x += 0.03 * (k + 1) as f32;
        }
        renderer.limit_groups(max_views * 27 * 41 * 24);
        let split = on_gpu(renderer, &drawings, &views, &spec);
        assert_equal("split", &split, &on_gpu(&mut gpu(), &drawings, &views, &spec));
    }
    // What failed was not drawn, and what follows does not rely on it.
    let by_reference: Vec<&Drawing> = drawings.iter().collect();
    let renderer = &mut gpu();
    assert!(renderer.draw(&by_reference, &views, &RenderSpec { width: 70_000, ..spec }).is_err());
    let after = on_gpu(renderer, &drawings, &views, &spec);
    assert_equal("after a failure", &after, &on_gpu(&mut gpu(), &drawings, &views, &spec));
    let nothing = on_gpu(renderer, &drawings, &[], &spec);
    assert_eq!((nothing.rgb.n_views(), nothing.depth.len()), (0, 0));
}
