//! Scenes of the tests: every shape, pattern, light and option.

use std::sync::Arc;

use sayso_sim::math::{Pose, Quat, Vec3};
use sayso_sim::render::{Light, Outputs, Pattern, RenderScene, RenderSpec, Samples, Shape, Texture, View};

use crate::compare::check;
use crate::scenes::{GREY, add, assorted as assortment, cube, directions, empty, look, single, spec, sphere};

/// `n` views of one scene from above, all around.
pub fn around(n: usize, distance: f32) -> Vec<View> {
    let eyes = directions(2 * n).filter(|d| 0.0 < d.z).take(n);
    eyes.map(|direction| look(direction * distance, Vec3::new(0.0, 0.0, 0.1), 0.7)).collect()
}

pub fn assorted() {
    for seed in 0..4 {
        check(&format!("assortment {seed}"), &[assortment(seed)], &around(6, 1.4), &spec(96, 128));
    }
}

pub fn single_shapes() {
    let (radius, half_length) = (0.3, 0.4);
    let shapes = [
        ("plane", Shape::Plane),
        ("box", Shape::Box { half_extents: Vec3::new(0.2, 0.3, 0.4) }),
        ("sphere", Shape::Sphere { radius }),
        ("capsule", Shape::Capsule { radius, half_length }),
        ("cylinder", Shape::Cylinder { radius, half_length }),
        ("cone", Shape::Cone { radius, half_length }),
        ("disc", Shape::Disc { radius }),
    ];
    let turn = Quat::from_axis_angle(Vec3::new(0.36, 0.48, 0.8), 0.7);
    for (name, shape) in shapes {
        let render_scene = single(shape, Pose::from_parts(Vec3::new(0.0, 0.1, -0.1), turn));
        let views: Vec<View> = directions(12).map(|d| look(d * 1.7, Vec3::ZERO, 0.7)).collect();
        check(name, &[render_scene], &views, &spec(64, 64));
    }
}

pub fn meshes() {
    let mut render_scene = empty();
    add(&mut render_scene, Shape::Plane, Pose::translation(0.0, 0.0, -0.4), GREY, Pattern::Plain);
    render_scene.light.sun_direction = [0.4, 0.3, 0.8];
    render_scene.meshes = vec![Arc::new(cube()), Arc::new(sphere(24))];
    let scales = [Vec3::new(0.2, 0.1, 0.15), Vec3::splat(0.25), Vec3::new(-0.15, 0.3, 0.1)];
    for (k, scale) in scales.into_iter().enumerate() {
        let at = Vec3::new(0.5 * k as f32 - 0.5, 0.0, 0.1);
        let turn = Quat::from_axis_angle(Vec3::new(0.6, 0.0, 0.8), 1.0 + k as f32);
        let shape = Shape::Mesh { mesh_idx: k as u32 % 2, scale };
        add(&mut render_scene, shape, Pose::from_parts(at, turn), [0.7, 0.4, 0.2], Pattern::Plain);
        render_scene.materials[k + 1].roughness = 0.3;
    }
    render_scene.materials[2].pattern = Pattern::Checker { other: [0.1; 3], cell: 0.05 };
    check("meshes", &[render_scene], &around(8, 1.8), &spec(96, 96));
}

pub fn textures() {
    let mut render_scene = empty();
    let image: Vec<u8> =
        (0..48 * 32 * 3).map(|k| (k * 37 % 251) as u8 / 2 + if k / 48 % 2 == 0 { 100 } else { 0 }).collect();
    render_scene.textures.push(Arc::new(Texture::new(48, 32, &image).unwrap()));
    let pattern = |size: f32| Pattern::Image { texture_idx: 0, size };
    add(&mut render_scene, Shape::Plane, Pose::IDENTITY, [1.0; 3], pattern(0.5));
    let shape = Shape::Box { half_extents: Vec3::splat(0.3) };
    add(&mut render_scene, shape, Pose::translation(0.0, 0.0, 0.3), [0.9, 0.9, 1.0], pattern(0.2));
    let shape = Shape::Sphere { radius: 0.2 };
    add(&mut render_scene, shape, Pose::translation(0.7, 0.0, 0.2), [0.9; 3], pattern(0.1));
    let views = [around(3, 1.2), around(3, 4.0), around(3, 12.0)].concat();
    check("textures", &[render_scene], &views, &spec(96, 96));
}

pub fn four_samples() {
    let spec = RenderSpec { samples: Samples::Four, ..spec(64, 64) };
    check("four samples", &[assortment(5)], &around(4, 1.4), &spec);
    let outputs = Outputs::RGB;
    check("four samples, colour only", &[assortment(5)], &around(4, 1.4), &RenderSpec { outputs, ..spec });
}

pub fn shadowless() {
    let spec = RenderSpec { shadows: false, ..spec(64, 64) };
    check("no shadows", &[assortment(6)], &around(4, 1.4), &spec);
    let light = Light { sun_direction: [0.0; 3], ..Light::default() };
    check("no sun", &[RenderScene { light, ..assortment(6) }], &around(4, 1.4), &crate::scenes::spec(64, 64));
}

fn crowd(n_across: usize) -> RenderScene {
    let mut render_scene = empty();
    render_scene.light.sun_direction = [0.3, 0.2, 0.9];
    add(&mut render_scene, Shape::Plane, Pose::translation(0.0, 0.0, -0.5), GREY, Pattern::Plain);
    for k in 0..n_across * n_across {
        let middle = 0.5 * (n_across as f32 - 1.0);
        let at = Vec3::new((k % n_across) as f32 - middle, (k / n_across) as f32 - middle, 0.0);
        let colour = [0.3 + 0.05 * (k % 7) as f32, 0.5, 0.2 + 0.1 * (k % 5) as f32];
        let shape = match k % 3 {
            0 => Shape::Sphere { radius: 0.4 },
            1 => Shape::Box { half_extents: Vec3::new(0.3, 0.2, 0.4) },
            _ => Shape::Capsule { radius: 0.2, half_length: 0.2 },
        };
        add(&mut render_scene, shape, Pose::from_translation(at), colour, Pattern::Plain);
    }
    render_scene
}

pub fn crowds() {
    check("400 instances", &[crowd(20)], &around(4, 28.0), &spec(96, 96));
}

pub fn thousands() {
    let view = look(Vec3::new(20.0, 5.0, 34.0), Vec3::ZERO, 0.8);
    check("1,296 instances", &[crowd(36)], &[view], &spec(64, 64));
}

pub fn sizes_and_outputs() {
    let render_scene = [assortment(7)];
    for (height, width) in [(1, 1), (1, 9), (9, 1), (7, 15), (33, 65)] {
        // A share of 99.9% needs many pixels: small frames need many views.
        let n_views = (20_000 / (height * width)).clamp(2, 400);
        check(&format!("{height} x {width}"), &render_scene, &around(n_views, 1.4), &spec(height, width));
    }
    for bits in 1..16u8 {
        let is_set = |bit: u8| bits >> bit & 1 == 1;
        let (rgb, depth, segmentation, normals) = (is_set(0), is_set(1), is_set(2), is_set(3));
        let outputs = Outputs { rgb, depth, segmentation, normals };
        // Without labels, pixels of different parts cannot be left out: then compare with the same outputs of a full rendering.
        let what = format!("outputs {outputs:?}");
        let spec = RenderSpec { outputs, ..spec(40, 56) };
        if segmentation || !(depth || normals) {
            check(&what, &render_scene, &around(3, 1.4), &spec);
        } else {
            let mut all = crate::compare::on_gpu(
                &mut crate::compare::gpu(),
                &render_scene,
                &around(3, 1.4),
                &RenderSpec { outputs: Outputs::ALL, ..spec },
            );
            let some =
                crate::compare::on_gpu(&mut crate::compare::gpu(), &render_scene, &around(3, 1.4), &spec);
            if depth {
                assert!(all.depth == some.depth, "{what}");
            }
            if normals {
                assert!(all.normals == some.normals, "{what}");
            }
            if rgb {
                assert!(std::mem::take(&mut all.rgb) == some.rgb, "{what}");
            }
        }
    }
}
