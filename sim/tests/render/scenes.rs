//! Small scenes and cameras that the tests share.

use sayso_sim::math::{Mat3, Pose, Quat, Vec3};
use sayso_sim::render::{
    CpuRenderer, Instance, Light, Material, Mesh, Outputs, Pattern, RenderScene, RenderSpec, RenderTarget,
    Samples, Shape, View,
};

pub const RED: [f32; 3] = [0.8, 0.05, 0.05];
pub const GREY: [f32; 3] = [0.5, 0.5, 0.5];

/// Every output, one sample, shadows on.
pub fn spec(height: usize, width: usize) -> RenderSpec {
    RenderSpec { height, width, samples: Samples::One, shadows: true, outputs: Outputs::ALL }
}

/// An empty scene with the sun at the zenith.
pub fn empty() -> RenderScene {
    let light = Light { sun_direction: [0.0, 0.0, 1.0], ..Light::default() };
    RenderScene { light, ..RenderScene::default() }
}

/// Adds a matt instance; its label is its number in the scene, from 1.
pub fn add(render_scene: &mut RenderScene, shape: Shape, pose: Pose, colour: [f32; 3], pattern: Pattern) {
    let idx = render_scene.instances.len() as u32;
    render_scene.materials.push(Material { colour, roughness: 1.0, pattern });
    render_scene.instances.push(Instance { shape, material_idx: idx, object_id: idx + 1 });
    render_scene.world_from_instance.push(pose);
}

/// One plain red instance.
pub fn single(shape: Shape, pose: Pose) -> RenderScene {
    let mut render_scene = empty();
    add(&mut render_scene, shape, pose, RED, Pattern::Plain);
    render_scene
}

/// A camera at `eye` that looks at `target`; up in the frame is up in the world, or +y for a camera that looks up or down.
pub fn look(eye: Vec3, target: Vec3, fov_y: f32) -> View {
    let back = (eye - target).normalize();
    let up = if back.z.abs() < 0.999 { Vec3::Z } else { Vec3::Y };
    let right = up.cross(back).normalize();
    let rotation = Quat::from_mat3(&Mat3::from_cols(right, back.cross(right), back));
    View { scene_idx: 0, world_from_camera: Pose::from_parts(eye, rotation), fov_y }
}

/// Renders one view on the CPU.
pub fn render_view(render_scene: &RenderScene, view: View, spec: &RenderSpec) -> RenderTarget {
    let mut target = RenderTarget::default();
    CpuRenderer::new().render(&[render_scene], &[view], spec, &mut target);
    target
}

/// Directions over the whole sphere, none of them along an axis.
pub fn directions(n: usize) -> impl Iterator<Item = Vec3> {
    // Fibonacci's lattice on the sphere.
    (0..n).map(move |k| {
        let z = 1.0 - (2.0 * k as f32 + 1.0) / n as f32;
        let angle = k as f32 * 2.399_963;
        let r = (1.0 - z * z).sqrt();
        Vec3::new(r * angle.cos(), r * angle.sin(), z)
    })
}

/// A table scene with every analytic shape, several patterns, and instances outside of the frame.
pub fn assorted(seed: u32) -> RenderScene {
    let mut render_scene = RenderScene::default();
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(1);
    let mut random = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32
    };
    let checker = Pattern::Checker { other: [0.1, 0.1, 0.1], cell: 0.3 };
    add(&mut render_scene, Shape::Plane, Pose::translation(0.0, 0.0, -0.3), GREY, checker);
    let table = Shape::Box { half_extents: Vec3::new(0.6, 0.6, 0.03) };
    let wood = Pattern::Wood { other: [0.2, 0.1, 0.04], ring: 0.04 };
    add(&mut render_scene, table, Pose::translation(0.0, 0.0, -0.03), [0.6, 0.4, 0.2], wood);
    for k in 0..24 {
        let at = Vec3::new(random() - 0.5, random() - 0.5, 0.05 + 0.3 * random());
        let axis = Vec3::new(random() - 0.5, random() - 0.5, random() + 0.1).normalize();
        let pose = Pose::from_parts(at, Quat::from_axis_angle(axis, 6.0 * random()));
        let (radius, half_length) = (0.03 + 0.04 * random(), 0.04 + 0.05 * random());
        let shape = match k % 6 {
            0 => Shape::Sphere { radius },
            1 => Shape::Capsule { radius, half_length },
            2 => Shape::Cylinder { radius, half_length },
            3 => Shape::Cone { radius, half_length },
            4 => Shape::Disc { radius },
            _ => Shape::Box { half_extents: Vec3::new(radius, half_length, 0.02) },
        };
        let pattern = match k % 4 {
            0 => Pattern::Noise { other: [0.1, 0.2, 0.3], cell: 0.02 },
            1 => Pattern::Grid { line: [0.9, 0.9, 0.9], cell: 0.03, width: 0.005 },
            _ => Pattern::Plain,
        };
        add(&mut render_scene, shape, pose, [random(), random(), random()], pattern);
        if let Some(material) = render_scene.materials.last_mut() {
            material.roughness = random();
        }
    }
    render_scene
}

/// The cube from -1 to 1, two triangles per face.
pub fn cube() -> Mesh {
    let vertices =
        (0..8).map(|k| [0, 1, 2].map(|axis| if k >> axis & 1 == 0 { -1.0 } else { 1.0 })).collect();
    let quads = [[0, 4, 6, 2], [1, 3, 7, 5], [0, 1, 5, 4], [2, 6, 7, 3], [0, 2, 3, 1], [4, 5, 7, 6]];
    let triangles = quads.iter().flat_map(|&[a, b, c, d]| [[a, b, c], [a, c, d]]).collect();
    Mesh::new(vertices, triangles).unwrap()
}

/// The unit sphere as a grid of latitudes and longitudes, with smooth normals.
pub fn sphere(n: u32) -> Mesh {
    let mut vertices = Vec::new();
    for (i, j) in (0..=n).flat_map(|i| (0..2 * n).map(move |j| (i, j))) {
        let (polar, azimuth) = (i as f32, j as f32);
        let (polar, azimuth) =
            (polar * std::f32::consts::PI / n as f32, azimuth * std::f32::consts::PI / n as f32);
        vertices.push([polar.sin() * azimuth.cos(), polar.sin() * azimuth.sin(), polar.cos()]);
    }
    let mut triangles = Vec::new();
    for (i, j) in (0..n).flat_map(|i| (0..2 * n).map(move |j| (i, j))) {
        let at = |i: u32, j: u32| i * 2 * n + j % (2 * n);
        triangles
            .extend([[at(i, j), at(i + 1, j), at(i + 1, j + 1)], [at(i, j), at(i + 1, j + 1), at(i, j + 1)]]);
    }
    Mesh::with_normals(vertices.clone(), vertices, triangles).unwrap()
}
