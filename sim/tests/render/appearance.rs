//! Colours, patterns, images, sky and samples.

use std::sync::Arc;

use sayso_sim::math::{Pose, Vec3};
use sayso_sim::render::{
    CpuRenderer, Light, Outputs, Pattern, RenderScene, RenderSpec, RenderTarget, Samples, Shape, Texture,
    View,
};

use crate::scenes::{GREY, RED, add, empty, look, render_view, single, spec};

/// A floor seen from straight above, `extent` metres high and wide, without shading: +x to the right, +y up.
fn floor_plan(
    pattern: Pattern,
    base: [f32; 3],
    texture: Option<Texture>,
    extent: f32,
    size: usize,
) -> RenderTarget {
    let mut render_scene = empty();
    render_scene.light.sun_colour = [0.0; 3];
    render_scene.light.ambient_colour = [1.0; 3];
    render_scene.textures.extend(texture.map(Arc::new));
    add(&mut render_scene, Shape::Plane, Pose::IDENTITY, base, pattern);
    let view = look(Vec3::new(0.0, 0.0, 100.0), Vec3::ZERO, 2.0 * (extent / 200.0).atan());
    render_view(&render_scene, view, &spec(size, size))
}

fn red(target: &RenderTarget, row: usize, col: usize) -> u8 {
    target.rgb.pixels()[(row * target.rgb.width() + col) * 3]
}

#[test]
fn radiance_is_encoded_as_srgb() {
    for (linear, code) in [(0.0, 0), (0.002, 7), (0.0123, 29), (0.2140, 127), (0.5, 188), (0.7, 218)] {
        let target = floor_plan(Pattern::Plain, [linear; 3], None, 1.0, 8);
        assert!(red(&target, 4, 4).abs_diff(code) <= 1, "{linear}: {} not {code}", red(&target, 4, 4));
    }
}

#[test]
fn a_checker_alternates_and_repeats() {
    let target = floor_plan(Pattern::Checker { other: [0.0; 3], cell: 1.0 }, [0.7; 3], None, 8.0, 64);
    for (row, col) in (0..8).flat_map(|row| (0..8).map(move |col| (row, col))) {
        let is_base = red(&target, row * 8 + 4, col * 8 + 4) > 128;
        let other = red(&target, 4, 4) > 128;
        assert_eq!(is_base == other, (row + col) % 2 == 0);
    }
}

#[test]
fn a_checker_on_a_box_does_not_flicker_where_a_face_lies_between_two_cells() {
    let mut render_scene = empty();
    let checker = Pattern::Checker { other: [0.0; 3], cell: 0.25 };
    add(&mut render_scene, Shape::Box { half_extents: Vec3::splat(0.5) }, Pose::IDENTITY, [0.7; 3], checker);
    let target = render_view(&render_scene, look(Vec3::new(0.0, 0.0, 20.5), Vec3::ZERO, 0.04), &spec(80, 80));
    // The centre of a cell has one colour or the other.
    let values = (0..9).map(|k| red(&target, 25 + 15 * (k / 3), 25 + 15 * (k % 3)));
    assert!(values.clone().any(|v| v > 150) || values.clone().all(|v| v < 100));
    let pixels = target.rgb.pixels().chunks(3).filter(|p| (60..140).contains(&p[0])).count();
    assert!(pixels < 80 * 80 / 8, "{pixels} pixels between the two colours");
}

#[test]
fn a_grid_has_lines_of_its_width() {
    let target =
        floor_plan(Pattern::Grid { line: [0.8; 3], cell: 1.0, width: 0.25 }, [0.0; 3], None, 4.0, 64);
    let share = target.rgb.pixels().chunks(3).filter(|p| p[0] > 100).count() as f32 / 4096.0;
    assert!((share - (1.0 - 0.75 * 0.75)).abs() < 0.03, "{share}");
}

#[test]
fn noise_and_wood_vary_between_their_two_colours_and_are_the_same_every_time() {
    for pattern in [
        Pattern::Noise { other: [0.6, 0.0, 0.0], cell: 0.5 },
        Pattern::Wood { other: [0.6, 0.0, 0.0], ring: 0.5 },
    ] {
        let target = floor_plan(pattern, [0.1, 0.0, 0.0], None, 8.0, 64);
        let values: Vec<u8> = target.rgb.pixels().chunks(3).map(|p| p[0]).collect();
        let (min, max) = (values.iter().min().unwrap(), values.iter().max().unwrap());
        assert!(85 <= *min && *max <= 205 && 60 < max - min, "{pattern:?}: {min} to {max}");
        assert_eq!(target.rgb, floor_plan(pattern, [0.1, 0.0, 0.0], None, 8.0, 64).rgb);
    }
}

#[test]
fn an_image_is_upright_and_repeats() {
    // Four quarters: bright and dark above, mid and black below.
    let quarters = [[250, 90], [160, 0]];
    let rgb: Vec<u8> = (0..16 * 16).flat_map(|k| [quarters[k / 128][k % 16 / 8]; 3]).collect();
    let texture = Texture::new(16, 16, &rgb).unwrap();
    let target = floor_plan(Pattern::Image { texture_idx: 0, size: 2.0 }, [0.79; 3], Some(texture), 4.0, 64);
    // One repetition is 32 pixels; its upper left corner is in the middle of the view, at the origin.
    for (row, col) in [(0, 0), (32, 32), (0, 32)] {
        let quarter = |i: usize, j: usize| red(&target, row + 8 + 16 * i, col + 8 + 16 * j);
        assert!(
            quarter(0, 0) > quarter(1, 0) && quarter(1, 0) > quarter(0, 1) && quarter(0, 1) > quarter(1, 1)
        );
        assert!(quarter(0, 0).abs_diff(225) < 8 && quarter(1, 1) < 4);
    }
}

#[test]
fn far_patterns_fade_into_their_mean() {
    for pattern in
        [Pattern::Checker { other: [0.0; 3], cell: 0.01 }, Pattern::Noise { other: [0.0; 3], cell: 0.005 }]
    {
        let target = floor_plan(pattern, [0.6; 3], None, 8.0, 64);
        let values = target.rgb.pixels().chunks(3).map(|p| p[0]);
        let (min, max) = (values.clone().min().unwrap(), values.max().unwrap());
        assert!(max - min < 30, "{pattern:?}: {min} to {max}");
    }
}

#[test]
fn the_sky_changes_from_horizon_to_zenith() {
    let light = Light { sky_zenith: [0.0, 0.0, 0.5], sky_horizon: [0.5, 0.0, 0.0], ..Light::default() };
    let render_scene = RenderScene { light, ..RenderScene::default() };
    let up = render_view(&render_scene, look(Vec3::ZERO, Vec3::Z, 0.1), &spec(8, 8));
    assert_eq!(up.rgb.pixels()[..3], [0, 0, 188]);
    let down = render_view(&render_scene, look(Vec3::ZERO, Vec3::NEG_Z, 0.1), &spec(8, 8));
    assert_eq!(down.rgb.pixels()[..3], [188, 0, 0]);
}

#[test]
fn a_smooth_surface_has_a_highlight() {
    let brightest = |roughness: f32| {
        let mut render_scene = single(Shape::Sphere { radius: 0.5 }, Pose::IDENTITY);
        render_scene.light.sun_direction = [0.7, -0.7, 0.4];
        render_scene.materials[0].roughness = roughness;
        let target =
            render_view(&render_scene, look(Vec3::new(2.0, -2.0, 0.5), Vec3::ZERO, 0.6), &spec(96, 96));
        let lit = (0..96 * 96).filter(|&k| target.segmentation[k] == 1);
        lit.map(|k| target.rgb.pixels()[3 * k + 1]).max().unwrap()
    };
    assert!(brightest(0.2) > brightest(1.0) + 60, "{} and {}", brightest(0.2), brightest(1.0));
}

#[test]
fn four_samples_change_only_the_colours_of_edges() {
    let mut render_scene = single(Shape::Sphere { radius: 0.5 }, Pose::IDENTITY);
    render_scene.light.ambient_colour = [1.0; 3];
    render_scene.light.sun_colour = [0.0; 3];
    let view = look(Vec3::new(2.0, 0.0, 0.0), Vec3::ZERO, 0.8);
    let one = render_view(&render_scene, view, &spec(64, 64));
    let four = render_view(&render_scene, view, &RenderSpec { samples: Samples::Four, ..spec(64, 64) });
    assert_eq!(
        (&one.depth, &one.segmentation, &one.normals),
        (&four.depth, &four.segmentation, &four.normals)
    );
    let (mut n_edge, mut n_changed) = (0, 0);
    for (k, (a, b)) in one.rgb.pixels().chunks(3).zip(four.rgb.pixels().chunks(3)).enumerate() {
        let is_edge = [1, 64, 65, 63].iter().any(|step| {
            let label = |k: usize| one.segmentation.get(k).copied().unwrap_or(0);
            label(k) != label(k + step) || label(k) != label(k.wrapping_sub(*step))
        });
        let changes = (0..3).any(|c| 3 < a[c].abs_diff(b[c]));
        n_edge += usize::from(is_edge && changes);
        n_changed += usize::from(changes);
    }
    assert!(40 < n_edge && n_edge == n_changed, "{n_edge} edge pixels among {n_changed} that changed");
}

#[test]
fn an_empty_scene_is_sky_and_an_empty_batch_has_no_frames() {
    let target = render_view(&empty(), look(Vec3::ZERO, Vec3::X, 0.8), &spec(60, 80));
    assert!(target.depth.iter().all(|depth| *depth == f32::INFINITY));
    assert!(target.segmentation.iter().all(|&label| label == 0));
    let mut target = target;
    let views: [View; 0] = [];
    CpuRenderer::new().render(&[], &views, &spec(60, 80), &mut target);
    assert_eq!((target.rgb.n_views(), target.depth.len()), (0, 0));
}

#[test]
fn buffers_of_outputs_that_are_not_requested_are_empty() {
    let render_scene = single(Shape::Sphere { radius: 0.5 }, Pose::IDENTITY);
    let view = look(Vec3::new(2.0, 0.0, 0.0), Vec3::ZERO, 0.8);
    let mut target = render_view(&render_scene, view, &spec(16, 16));
    let rgb = target.rgb.clone();
    let mut renderer = CpuRenderer::default();
    renderer.render(
        &[&render_scene],
        &[view],
        &RenderSpec { outputs: Outputs::RGB, ..spec(16, 16) },
        &mut target,
    );
    assert_eq!(target.rgb, rgb);
    assert!(target.depth.is_empty() && target.segmentation.is_empty() && target.normals.is_empty());
    let outputs = Outputs { rgb: false, ..Outputs::ALL };
    renderer.render(&[&render_scene], &[view], &RenderSpec { outputs, ..spec(16, 16) }, &mut target);
    assert!(target.rgb.pixels().is_empty() && target.depth.len() == 256 && target.normals.len() == 768);
}

#[test]
fn a_part_with_a_pose_that_is_not_finite_is_left_out() {
    let mut render_scene = single(Shape::Sphere { radius: 0.5 }, Pose::IDENTITY);
    add(&mut render_scene, Shape::Plane, Pose::translation(0.0, 0.0, f32::NAN), GREY, Pattern::Plain);
    add(
        &mut render_scene,
        Shape::Sphere { radius: 0.5 },
        Pose::translation(f32::INFINITY, 0.0, 0.0),
        RED,
        Pattern::Plain,
    );
    let target = render_view(&render_scene, look(Vec3::new(2.0, 0.0, 0.0), Vec3::ZERO, 0.8), &spec(32, 32));
    assert!(target.segmentation.iter().all(|&label| label <= 1));
    assert_eq!(target.segmentation[16 * 32 + 16], 1);
}
