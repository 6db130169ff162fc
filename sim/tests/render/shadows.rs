//! Outlines of hard shadows.

use sayso_sim::math::{Pose, Quat, Vec3};
use sayso_sim::render::{Light, Pattern, RenderScene, RenderSpec, RenderTarget, Shape};

use crate::scenes::{GREY, RED, add, empty, look, render_view, spec};

fn floor() -> RenderScene {
    let mut render_scene = empty();
    add(&mut render_scene, Shape::Plane, Pose::IDENTITY, GREY, Pattern::Plain);
    render_scene
}

/// Renders with and without shadows; returns the target with shadows, and which pixels of label 1 are darker in it.
fn shaded(
    render_scene: &RenderScene,
    view: sayso_sim::render::View,
    spec: &RenderSpec,
) -> (RenderTarget, Vec<bool>) {
    let lit = render_view(render_scene, view, &RenderSpec { shadows: false, ..*spec });
    let target = render_view(render_scene, view, spec);
    let is_dark = |k: usize| target.rgb.pixels()[3 * k] + 20 < lit.rgb.pixels()[3 * k];
    let dark = (0..spec.height * spec.width).map(|k| target.segmentation[k] == 1 && is_dark(k)).collect();
    (target, dark)
}

/// The point of the plane z = 0 under a pixel.
fn floor_point(view: &sayso_sim::render::View, spec: &RenderSpec, k: usize, depth: f32) -> Vec3 {
    let pixel = 2.0 * (0.5 * view.fov_y).tan() / spec.height as f32;
    let x = ((k % spec.width) as f32 + 0.5 - 0.5 * spec.width as f32) * pixel;
    let y = (0.5 * spec.height as f32 - (k / spec.width) as f32 - 0.5) * pixel;
    view.world_from_camera.transform_point(Vec3::new(x, y, -1.0) * depth)
}

/// Renders a caster above the floor and compares its shadow with `is_dark`, a test of a floor point.
fn check_shadow(render_scene: &RenderScene, is_dark: impl Fn(Vec3) -> bool) {
    let view = look(Vec3::new(1.5, -4.0, 3.0), Vec3::new(0.3, 0.0, 0.0), 0.7);
    let spec = spec(120, 150);
    let (target, dark) = shaded(render_scene, view, &spec);
    let (mut n_dark, mut n_differ) = (0, 0);
    for k in (0..dark.len()).filter(|&k| target.segmentation[k] == 1) {
        let expected = is_dark(floor_point(&view, &spec, k, target.depth[k]));
        n_dark += usize::from(expected);
        n_differ += usize::from(expected != dark[k]);
    }
    assert!(150 < n_dark, "{n_dark} pixels in the shadow");
    assert!(n_differ * 100 <= n_dark, "{n_differ} of {n_dark} differ");
}

#[test]
fn a_sphere_casts_an_ellipse() {
    let mut render_scene = floor();
    let sun = Vec3::new(-0.5, 0.2, 0.9).normalize();
    render_scene.light.sun_direction = sun.to_array();
    let centre = Vec3::new(0.2, 0.1, 1.0);
    add(
        &mut render_scene,
        Shape::Sphere { radius: 0.3 },
        Pose::from_translation(centre),
        RED,
        Pattern::Plain,
    );
    check_shadow(&render_scene, |p| (centre - p).cross(sun).length() < 0.3);
}

#[test]
fn a_box_straight_under_the_sun_casts_its_base() {
    let mut render_scene = floor();
    let half_extents = Vec3::new(0.5, 0.3, 0.1);
    add(
        &mut render_scene,
        Shape::Box { half_extents },
        Pose::translation(0.0, 0.0, 0.8),
        RED,
        Pattern::Plain,
    );
    check_shadow(&render_scene, |p| p.x.abs() < 0.5 && p.y.abs() < 0.3);
}

#[test]
fn a_turned_cylinder_and_a_capsule_cast_their_outlines() {
    let along_x = Quat::from_rotation_y(std::f32::consts::FRAC_PI_2);
    let pose = Pose::from_parts(Vec3::new(0.0, 0.0, 0.9), along_x);
    let mut render_scene = floor();
    add(&mut render_scene, Shape::Cylinder { radius: 0.2, half_length: 0.5 }, pose, RED, Pattern::Plain);
    check_shadow(&render_scene, |p| p.x.abs() < 0.5 && p.y.abs() < 0.2);
    let mut render_scene = floor();
    add(&mut render_scene, Shape::Capsule { radius: 0.2, half_length: 0.5 }, pose, RED, Pattern::Plain);
    check_shadow(&render_scene, |p| (p.x.abs() - 0.5).max(0.0).hypot(p.y) < 0.2);
}

#[test]
fn a_lying_cone_and_a_disc_cast_their_outlines() {
    let along_x = Quat::from_rotation_y(std::f32::consts::FRAC_PI_2);
    let mut render_scene = floor();
    let cone = Shape::Cone { radius: 0.4, half_length: 0.5 };
    add(&mut render_scene, cone, Pose::from_parts(Vec3::new(0.0, 0.0, 0.9), along_x), RED, Pattern::Plain);
    check_shadow(&render_scene, |p| p.x.abs() < 0.5 && p.y.abs() < 0.4 * (0.5 - p.x));
    let mut render_scene = floor();
    add(
        &mut render_scene,
        Shape::Disc { radius: 0.4 },
        Pose::translation(0.0, 0.0, 0.9),
        RED,
        Pattern::Plain,
    );
    check_shadow(&render_scene, |p| p.x.hypot(p.y) < 0.4);
}

#[test]
fn nothing_is_dark_without_a_caster() {
    let mut render_scene = floor();
    render_scene.light = Light::default();
    let (_, dark) = shaded(&render_scene, look(Vec3::new(1.0, -2.0, 1.0), Vec3::ZERO, 0.8), &spec(64, 64));
    assert!(dark.iter().all(|&is_dark| !is_dark));
}

#[test]
fn convex_shapes_on_their_own_do_not_darken_themselves() {
    for shape in [
        Shape::Box { half_extents: Vec3::splat(0.3) },
        Shape::Sphere { radius: 0.3 },
        Shape::Capsule { radius: 0.2, half_length: 0.2 },
        Shape::Cylinder { radius: 0.3, half_length: 0.3 },
        Shape::Cone { radius: 0.3, half_length: 0.3 },
        Shape::Disc { radius: 0.3 },
    ] {
        let mut render_scene = empty();
        render_scene.light = Light::default();
        add(&mut render_scene, shape, Pose::IDENTITY, GREY, Pattern::Plain);
        let (_, dark) = shaded(&render_scene, look(Vec3::new(1.0, 0.5, 1.0), Vec3::ZERO, 0.7), &spec(80, 80));
        assert!(dark.iter().all(|&is_dark| !is_dark), "{shape:?}");
    }
}

#[test]
fn a_far_and_a_huge_caster_reach_the_floor_too() {
    // Many small things near the origin make the grid fine; the two others are far outside of it.
    let mut render_scene = floor();
    for k in 0..40 {
        let at = Vec3::new((k % 8) as f32 * 0.05, (k / 8) as f32 * 0.05, 0.02);
        add(
            &mut render_scene,
            Shape::Sphere { radius: 0.02 },
            Pose::from_translation(at),
            RED,
            Pattern::Plain,
        );
    }
    let slab = Shape::Box { half_extents: Vec3::new(30.0, 30.0, 0.5) };
    add(&mut render_scene, slab, Pose::translation(-100.0, 0.0, 20.0), RED, Pattern::Plain);
    add(
        &mut render_scene,
        Shape::Sphere { radius: 0.1 },
        Pose::translation(60.0, 5.0, 7.0),
        RED,
        Pattern::Plain,
    );
    let at = |x: f32, y: f32| {
        let view = look(Vec3::new(x, y - 0.2, 4.0), Vec3::new(x, y, 0.0), 0.03);
        shaded(&render_scene, view, &spec(9, 9)).1[4 * 9 + 4]
    };
    assert!(at(-100.0, 0.0) && at(-71.0, 29.0) && at(60.0, 5.0));
    assert!(!at(-69.0, 0.0) && !at(60.2, 5.0) && !at(20.0, 0.0) && !at(0.025, 0.025));
}

#[test]
fn a_caster_under_the_floor_darkens_nothing() {
    let mut render_scene = floor();
    add(
        &mut render_scene,
        Shape::Sphere { radius: 0.3 },
        Pose::translation(0.0, 0.0, -0.5),
        RED,
        Pattern::Plain,
    );
    let (_, dark) = shaded(&render_scene, look(Vec3::new(0.0, -1.0, 2.0), Vec3::ZERO, 0.8), &spec(40, 40));
    assert!(dark.iter().all(|&is_dark| !is_dark));
}
