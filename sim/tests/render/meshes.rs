//! Triangle meshes against analytic shapes.

use std::sync::Arc;

use sayso_sim::math::{Pose, Quat, Vec3};
use sayso_sim::render::{Mesh, Pattern, RenderScene, RenderTarget, Shape};

use crate::scenes::{GREY, RED, add, cube, directions, empty, look, render_view, single, spec, sphere};

fn with_mesh(mesh: Mesh, scale: Vec3, pose: Pose) -> RenderScene {
    let mut render_scene = single(Shape::Mesh { mesh_idx: 0, scale }, pose);
    render_scene.meshes.push(Arc::new(mesh));
    render_scene
}

fn pose() -> Pose {
    Pose::from_parts(Vec3::new(0.1, 0.2, 0.3), Quat::from_axis_angle(Vec3::new(0.36, 0.48, 0.8), 1.0))
}

/// Shares of pixels whose labels agree and, among those that show the shape in both, whose depths and normals agree.
fn agreement(a: &RenderTarget, b: &RenderTarget, depth_tolerance: f32, least_cosine: f32) -> [f32; 3] {
    let n = a.depth.len();
    let both: Vec<usize> = (0..n).filter(|&k| a.segmentation[k] == 1 && b.segmentation[k] == 1).collect();
    assert!(n < 10 * both.len(), "only {} of {n} pixels show the shape", both.len());
    let normal = |t: &RenderTarget, k: usize| Vec3::from_slice(&t.normals[3 * k..]);
    let labels = (0..n).filter(|&k| a.segmentation[k] == b.segmentation[k]).count();
    let depths = both.iter().filter(|&&k| (a.depth[k] - b.depth[k]).abs() <= depth_tolerance).count();
    let normals = both.iter().filter(|&&k| least_cosine < normal(a, k).dot(normal(b, k))).count();
    let share = |count: usize, of: usize| count as f32 / of as f32;
    [share(labels, n), share(depths, both.len()), share(normals, both.len())]
}

#[test]
fn a_mesh_cube_looks_like_the_analytic_box() {
    let half_extents = Vec3::new(0.3, 0.2, 0.1);
    let analytic = single(Shape::Box { half_extents }, pose());
    let meshed = with_mesh(cube(), half_extents, pose());
    for direction in directions(9) {
        let view = look(pose().translation + direction * 1.2, pose().translation, 0.6);
        let (a, b) =
            (render_view(&analytic, view, &spec(90, 110)), render_view(&meshed, view, &spec(90, 110)));
        let [labels, depths, normals] = agreement(&a, &b, 1e-4, 0.9999);
        assert!(0.999 <= labels && 0.999 <= depths && 0.995 <= normals, "{labels} {depths} {normals}");
    }
}

#[test]
fn a_smooth_mesh_sphere_looks_like_the_analytic_sphere() {
    let analytic = single(Shape::Sphere { radius: 0.4 }, pose());
    let meshed = with_mesh(sphere(64), Vec3::splat(0.4), pose());
    for direction in directions(5) {
        let view = look(pose().translation + direction * 1.5, pose().translation, 0.7);
        let (a, b) = (render_view(&analytic, view, &spec(96, 96)), render_view(&meshed, view, &spec(96, 96)));
        let [labels, depths, normals] = agreement(&a, &b, 3e-3, 0.998);
        assert!(0.99 <= labels && 0.99 <= depths && 0.99 <= normals, "{labels} {depths} {normals}");
    }
}

#[test]
fn a_mirrored_mesh_keeps_its_outward_normals() {
    let analytic = single(Shape::Box { half_extents: Vec3::splat(0.3) }, pose());
    let mirrored = with_mesh(cube(), Vec3::new(-0.3, 0.3, 0.3), pose());
    let view = look(Vec3::new(1.0, 1.1, 1.2), pose().translation, 0.7);
    let [labels, depths, normals] = agreement(
        &render_view(&analytic, view, &spec(64, 64)),
        &render_view(&mirrored, view, &spec(64, 64)),
        1e-4,
        0.9999,
    );
    assert!(0.999 <= labels && 0.999 <= depths && 0.99 <= normals);
}

#[test]
fn meshes_cast_and_receive_shadows() {
    let scene = |is_mesh: bool| {
        let mut render_scene = empty();
        render_scene.light.sun_direction = [0.5, 0.3, 0.8];
        render_scene.meshes.push(Arc::new(cube()));
        let shape = |half_extents: Vec3| match is_mesh {
            true => Shape::Mesh { mesh_idx: 0, scale: half_extents },
            false => Shape::Box { half_extents },
        };
        let floor = shape(Vec3::new(2.0, 2.0, 0.1));
        add(&mut render_scene, floor, Pose::translation(0.0, 0.0, -0.1), GREY, Pattern::Plain);
        add(
            &mut render_scene,
            shape(Vec3::splat(0.2)),
            Pose::translation(0.0, 0.0, 0.5),
            RED,
            Pattern::Plain,
        );
        render_scene
    };
    let view = look(Vec3::new(1.0, -2.0, 2.0), Vec3::ZERO, 0.8);
    let (a, b) =
        (render_view(&scene(false), view, &spec(90, 90)), render_view(&scene(true), view, &spec(90, 90)));
    let differ = a.rgb.pixels().chunks(3).zip(b.rgb.pixels().chunks(3));
    let n_differ = differ.filter(|(a, b)| (0..3).any(|c| 3 < a[c].abs_diff(b[c]))).count();
    assert!(n_differ <= 20, "{n_differ} pixels differ");
}

#[test]
fn equal_triangles_and_single_triangles_build() {
    let corners = vec![[0.0, -1.0, -1.0], [0.0, 1.0, -1.0], [0.0, 0.0, 1.0]];
    for n in [1, 2, 5, 3000] {
        let mesh = Mesh::new(corners.clone(), vec![[0, 1, 2]; n]).unwrap();
        assert_eq!(mesh.n_triangles(), n);
        let target = render_view(
            &with_mesh(mesh, Vec3::ONE, Pose::IDENTITY),
            look(Vec3::X * 3.0, Vec3::ZERO, 0.9),
            &spec(40, 40),
        );
        assert!((target.depth[20 * 40 + 20] - 3.0).abs() < 1e-4);
        assert_eq!(target.depth[0], f32::INFINITY);
    }
}
