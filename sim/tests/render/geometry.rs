//! Depth, labels and normals of the analytic shapes.

use sayso_sim::math::{Pose, Quat, Vec3};
use sayso_sim::render::Shape;

use crate::scenes::{add, directions, empty, look, render_view, single, spec};

/// The ray through the centre of a pixel: origin, and direction with unit length along the optical axis.
fn pixel_ray(view: &sayso_sim::render::View, row: usize, col: usize, size: [usize; 2]) -> (Vec3, Vec3) {
    let pixel = 2.0 * (0.5 * view.fov_y).tan() / size[0] as f32;
    let x = (col as f32 + 0.5 - 0.5 * size[1] as f32) * pixel;
    let y = (0.5 * size[0] as f32 - row as f32 - 0.5) * pixel;
    (view.world_from_camera.translation, view.world_from_camera.transform_vector(Vec3::new(x, y, -1.0)))
}

/// Sphere tracing with a function that never exceeds the distance to the surface; returns the depth and the normal.
fn march(distance: &dyn Fn([f64; 3]) -> f64, origin: Vec3, along: Vec3) -> Option<(f64, [f64; 3])> {
    let (origin, along) = (origin.to_array().map(f64::from), along.to_array().map(f64::from));
    let at = |t: f64| [0, 1, 2].map(|k| origin[k] + t * along[k]);
    let length = along.iter().map(|x| x * x).sum::<f64>().sqrt();
    let mut t = 0.0;
    while t < 10.0 {
        let step = distance(at(t));
        if step < 1e-7 {
            let slope = [0, 1, 2].map(|k| {
                let (mut ahead, mut behind) = (at(t), at(t));
                (ahead[k], behind[k]) = (ahead[k] + 1e-6, behind[k] - 1e-6);
                (distance(ahead) - distance(behind)) / 2e-6
            });
            return Some((t, slope));
        }
        t += step / length;
    }
    None
}

/// Compares every pixel of views from all sides with sphere tracing of the same rays in double precision.
fn check_against_distance(shape: Shape, distance: &dyn Fn([f64; 3]) -> f64) {
    let pose =
        Pose::from_parts(Vec3::new(0.3, -0.2, 0.5), Quat::from_axis_angle(Vec3::new(0.6, 0.0, 0.8), 0.9));
    let render_scene = single(shape, pose);
    let size = [41, 56];
    let (mut n_hits, mut n_differ) = (0, 0);
    for direction in directions(23).chain([Vec3::X, Vec3::Z, Vec3::NEG_Z]) {
        let view = look(pose.transform_point(direction * 1.1), pose.translation, 0.6);
        let target = render_view(&render_scene, view, &spec(size[0], size[1]));
        for k in 0..size[0] * size[1] {
            let (origin, along) = pixel_ray(&view, k / size[1], k % size[1], size);
            let (origin, along) =
                (pose.inverse_transform_point(origin), pose.inverse_transform_vector(along));
            let depth = target.depth[k];
            assert_eq!(depth.is_finite(), target.segmentation[k] == 1);
            let Some((expected, slope)) = march(distance, origin, along) else {
                n_differ += usize::from(depth.is_finite());
                continue;
            };
            n_hits += 1;
            let normal = pose.inverse_transform_vector(Vec3::from_slice(&target.normals[k * 3..]));
            let cosine: f64 = (0..3).map(|k| f64::from(normal[k]) * slope[k]).sum();
            let agrees = (f64::from(depth) - expected).abs() < 1e-4 && (cosine - 1.0).abs() < 1e-3;
            n_differ += usize::from(!agrees);
        }
    }
    assert!(3000 < n_hits, "{shape:?}: {n_hits} hits");
    // Pixels on an edge may show either side of it.
    assert!(n_differ * 500 < n_hits, "{shape:?}: {n_differ} of {n_hits} differ");
}

/// Distance of a point from the segment on the z axis from `-half_length` to `half_length`.
fn segment_distance(p: [f64; 3], half_length: f64) -> f64 {
    let past = (p[2].abs() - half_length).max(0.0);
    p[0].hypot(p[1]).hypot(past)
}

#[test]
fn a_sphere_agrees_with_its_distance_function() {
    check_against_distance(Shape::Sphere { radius: 0.2 }, &|p| segment_distance(p, 0.0) - 0.2);
}

#[test]
fn a_box_agrees_with_its_distance_function() {
    let half_extents = Vec3::new(0.2, 0.12, 0.07);
    check_against_distance(Shape::Box { half_extents }, &|p| {
        (p[0].abs() - 0.2).max(p[1].abs() - 0.12).max(p[2].abs() - 0.07)
    });
}

#[test]
fn a_capsule_agrees_with_its_distance_function() {
    check_against_distance(Shape::Capsule { radius: 0.1, half_length: 0.12 }, &|p| {
        segment_distance(p, 0.12) - 0.1
    });
}

#[test]
fn a_cylinder_agrees_with_its_distance_function() {
    check_against_distance(Shape::Cylinder { radius: 0.15, half_length: 0.12 }, &|p| {
        (p[0].hypot(p[1]) - 0.15).max(p[2].abs() - 0.12)
    });
}

#[test]
fn a_cone_agrees_with_its_distance_function() {
    check_against_distance(Shape::Cone { radius: 0.18, half_length: 0.2 }, &|p| {
        let slant = 0.18f64.hypot(0.4);
        let side = (p[0].hypot(p[1]) * 0.4 + (p[2] - 0.2) * 0.18) / slant;
        side.max(-0.2 - p[2])
    });
}

#[test]
fn a_sphere_covers_the_pixels_of_its_exact_outline() {
    let render_scene = single(Shape::Sphere { radius: 0.5 }, Pose::IDENTITY);
    let view = look(Vec3::new(0.0, -3.0, 0.0), Vec3::ZERO, 0.8);
    let target = render_view(&render_scene, view, &spec(96, 128));
    // The outline is a circle of radius r / sqrt(d² - r²) at depth one.
    let pixel = 2.0 * 0.4f32.tan() / 96.0;
    let radius = 0.5 / (9.0f32 - 0.25).sqrt() / pixel;
    let expected = (0..96 * 128)
        .filter(|k| {
            let (x, y) = ((k % 128) as f32 + 0.5 - 64.0, (k / 128) as f32 + 0.5 - 48.0);
            x * x + y * y < radius * radius
        })
        .count();
    let got = target.segmentation.iter().filter(|&&label| label == 1).count();
    assert!(expected.abs_diff(got) <= 2, "{got} pixels, expected {expected}");
    assert!((target.depth[48 * 128 + 64] - 2.5).abs() < 1e-3);
    assert!((target.normals[(48 * 128 + 64) * 3 + 1] + 1.0).abs() < 1e-3);
}

#[test]
fn a_box_covers_the_pixels_of_its_face() {
    let render_scene = single(Shape::Box { half_extents: Vec3::new(0.5, 0.1, 0.25) }, Pose::IDENTITY);
    let view = look(Vec3::new(0.0, -2.1, 0.0), Vec3::ZERO, 0.9);
    let target = render_view(&render_scene, view, &spec(100, 100));
    let pixel = 2.0 * 0.45f32.tan() / 100.0;
    // Pixel centres, at half-integer offsets from the middle, between the edges of the near face at depth 2.
    let covered = |half: f32| 2 * (half / 2.0 / pixel + 0.5).floor() as usize;
    let got = target.segmentation.iter().filter(|&&label| label == 1).count();
    assert_eq!(got, covered(0.5) * covered(0.25));
    assert!(target.depth.iter().filter(|depth| depth.is_finite()).all(|depth| (depth - 2.0).abs() < 1e-5));
}

#[test]
fn depth_is_measured_along_the_optical_axis() {
    // A wall perpendicular to the optical axis has the same depth at every pixel.
    let wall = Shape::Box { half_extents: Vec3::new(0.1, 50.0, 50.0) };
    let target = render_view(
        &single(wall, Pose::translation(4.1, 0.0, 0.0)),
        look(Vec3::ZERO, Vec3::X, 1.8),
        &spec(33, 47),
    );
    assert!(target.depth.iter().all(|depth| (depth - 4.0).abs() < 1e-4));
}

#[test]
fn a_plane_is_seen_from_above_only() {
    let render_scene = single(Shape::Plane, Pose::IDENTITY);
    let above = render_view(&render_scene, look(Vec3::new(0.0, 0.0, 2.0), Vec3::ZERO, 0.8), &spec(24, 24));
    assert!(above.depth.iter().all(|depth| (depth - 2.0).abs() < 1e-4));
    assert!(above.normals.chunks(3).all(|n| n == [0.0, 0.0, 1.0]));
    let below = render_view(&render_scene, look(Vec3::new(0.0, 0.0, -2.0), Vec3::ZERO, 0.8), &spec(24, 24));
    assert!(below.depth.iter().all(|depth| *depth == f32::INFINITY));
    // At the horizon: sky above, plane below.
    let level = render_view(
        &render_scene,
        look(Vec3::new(0.0, 0.0, 2.0), Vec3::new(9.0, 0.0, 2.0), 0.8),
        &spec(24, 24),
    );
    assert!((0..24 * 24).all(|k| level.depth[k].is_finite() == (12 <= k / 24)));
}

#[test]
fn a_disc_is_seen_from_both_sides() {
    let render_scene = single(Shape::Disc { radius: 0.5 }, Pose::IDENTITY);
    for side in [-1.0, 1.0] {
        let target =
            render_view(&render_scene, look(Vec3::new(0.0, 0.0, 2.0 * side), Vec3::ZERO, 0.8), &spec(80, 80));
        let area = target.segmentation.iter().filter(|&&label| label == 1).count() as f32;
        let radius = 0.25 / (2.0 * 0.4f32.tan() / 80.0);
        assert!((area / (std::f32::consts::PI * radius * radius) - 1.0).abs() < 0.02);
        assert_eq!(target.normals[(40 * 80 + 40) * 3 + 2], side);
    }
}

#[test]
fn a_camera_inside_of_a_closed_shape_sees_through_it() {
    let mut render_scene = empty();
    let shapes = [
        Shape::Box { half_extents: Vec3::splat(0.3) },
        Shape::Sphere { radius: 0.3 },
        Shape::Capsule { radius: 0.3, half_length: 0.2 },
        Shape::Cylinder { radius: 0.3, half_length: 0.3 },
        Shape::Cone { radius: 0.6, half_length: 0.6 },
    ];
    for shape in shapes {
        add(&mut render_scene, shape, Pose::IDENTITY, [0.5; 3], sayso_sim::render::Pattern::Plain);
    }
    let far = Shape::Sphere { radius: 0.5 };
    add(
        &mut render_scene,
        far,
        Pose::translation(3.0, 0.0, 0.0),
        [0.5; 3],
        sayso_sim::render::Pattern::Plain,
    );
    let target = render_view(&render_scene, look(Vec3::ZERO, Vec3::X, 0.8), &spec(32, 32));
    assert!(target.segmentation.iter().all(|&label| label == 0 || label == 6));
    assert_eq!(target.segmentation[16 * 32 + 16], 6);
}

#[test]
fn the_nearest_instance_gives_the_label() {
    let mut render_scene = empty();
    for (k, x) in [5.0, 2.0, 3.0, 4.0].into_iter().enumerate() {
        let shape = Shape::Sphere { radius: 0.2 * x };
        add(
            &mut render_scene,
            shape,
            Pose::translation(x, 0.0, 0.0),
            [0.5; 3],
            sayso_sim::render::Pattern::Plain,
        );
        render_scene.instances[k].object_id = 10 * (k as u32 + 1);
    }
    let target = render_view(&render_scene, look(Vec3::ZERO, Vec3::X, 0.8), &spec(48, 48));
    assert_eq!(target.segmentation[24 * 48 + 24], 20);
    assert_eq!(target.segmentation[0], 0);
    assert_eq!(target.depth[0], f32::INFINITY);
    assert_eq!(target.normals[..3], [0.0; 3]);
}

#[test]
fn small_far_shapes_keep_their_size() {
    let mut render_scene = empty();
    let capsule = Shape::Capsule { radius: 0.1, half_length: 0.1 };
    add(
        &mut render_scene,
        capsule,
        Pose::translation(100.0, 0.0, 0.0),
        [0.5; 3],
        sayso_sim::render::Pattern::Plain,
    );
    let target = render_view(&render_scene, look(Vec3::ZERO, Vec3::X, 0.005), &spec(100, 100));
    let area = target.segmentation.iter().filter(|&&label| label == 1).count() as f32;
    let expected = (0.1 * 0.1 * std::f32::consts::PI + 0.2 * 0.2) / (0.5f32 / 100.0).powi(2);
    assert!((area / expected - 1.0).abs() < 0.02, "{area} pixels, expected {expected}");
}
