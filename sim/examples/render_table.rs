//! Renders a table with balls and an arm. `render_table FOLDER` writes images; `render_table SIZE N_VIEWS` renders that
//! many views and prints the views per second of processor time and of wall-clock time.
#![expect(clippy::disallowed_types, reason = "it times the rendering; the simulation reads no clock")]

use std::f32::consts::{FRAC_PI_2, PI};
use std::path::Path;
use std::time::Instant;

use sayso_sim::math::{Pose, Quat, Vec3};
use sayso_sim::render::{
    CpuRenderer, Instance, Light, Material, Outputs, Pattern, RenderScene, RenderSpec, RenderTarget, Samples,
    Shape, View,
};

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [folder] => images(Path::new(folder)),
        [size, n_views] => time(size.parse()?, n_views.parse()?),
        _ => Err("usage: render_table FOLDER | render_table SIZE N_VIEWS".into()),
    }
}

fn images(folder: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(folder)?;
    let render_scene = table();
    let mut renderer = CpuRenderer::new();
    let mut target = RenderTarget::default();
    for (size, samples) in [
        (64, Samples::One),
        (128, Samples::One),
        (224, Samples::One),
        (64, Samples::Four),
        (512, Samples::Four),
    ] {
        let spec = spec(size, samples);
        renderer.render(&[&render_scene], &views(1, 1), &spec, &mut target);
        let name = if samples == Samples::Four { format!("{size}-4.png") } else { format!("{size}.png") };
        let side = size as u32;
        image::save_buffer(folder.join(name), target.rgb.view(0), side, side, image::ColorType::Rgb8)?;
    }
    Ok(())
}

fn time(size: usize, n_views: usize) -> Result<(), Error> {
    const BATCH: usize = 64;
    let render_scene = table();
    let render_scenes: Vec<RenderScene> = (0..BATCH).map(|_| render_scene.clone()).collect();
    let render_scenes: Vec<&RenderScene> = render_scenes.iter().collect();
    let (mut renderer, mut target) = (CpuRenderer::new(), RenderTarget::default());
    let (spec, views) = (spec(size, Samples::One), views(BATCH, BATCH));
    renderer.render(&render_scenes, &views, &spec, &mut target);
    let (start, start_cpu) = (Instant::now(), processor_secs()?);
    for _ in 0..n_views.div_ceil(BATCH) {
        renderer.render(&render_scenes, &views, &spec, &mut target);
    }
    let n_views = (n_views.div_ceil(BATCH) * BATCH) as f64;
    let (wall, cpu) = (start.elapsed().as_secs_f64(), processor_secs()? - start_cpu);
    println!(
        "{size}x{size}: {:.0} views per second of processor time, {:.0} views per second",
        n_views / cpu,
        n_views / wall
    );
    Ok(())
}

/// User and system time of this process, from Linux's `/proc`; its tick is 10 ms.
fn processor_secs() -> Result<f64, Error> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit(')').next().ok_or("no process name")?;
    let field = |k: usize| after_name.split_whitespace().nth(k).ok_or("too few fields");
    Ok((field(11)?.parse::<f64>()? + field(12)?.parse::<f64>()?) / 100.0)
}

fn spec(size: usize, samples: Samples) -> RenderSpec {
    RenderSpec { height: size, width: size, samples, shadows: true, outputs: Outputs::RGB }
}

fn views(n_views: usize, n_scenes: usize) -> Vec<View> {
    let world_from_camera = camera_at(Vec3::new(1.25, -0.75, 0.85), Vec3::new(0.02, 0.0, 0.12));
    (0..n_views).map(|k| View { scene_idx: k % n_scenes, world_from_camera, fov_y: 0.75 }).collect()
}

fn camera_at(eye: Vec3, target: Vec3) -> Pose {
    let back = (eye - target).normalize();
    let right = Vec3::Z.cross(back).normalize();
    let axes = sayso_sim::math::Mat3::from_cols(right, back.cross(right), back);
    Pose::from_parts(eye, Quat::from_mat3(&axes))
}

fn table() -> RenderScene {
    let mut render_scene = RenderScene { light: Light::default(), ..RenderScene::default() };
    let floor = Pattern::Checker { other: [0.30, 0.31, 0.33], cell: 0.25 };
    let wood = Pattern::Wood { other: [0.24, 0.12, 0.05], ring: 0.035 };
    let speckle = Pattern::Noise { other: [0.46, 0.44, 0.40], cell: 0.02 };
    add(&mut render_scene, Shape::Plane, Pose::translation(0.0, 0.0, -0.5), [0.62, 0.62, 0.60], 1.0, floor);
    let top = Shape::Box { half_extents: Vec3::new(0.42, 0.6, 0.02) };
    add(
        &mut render_scene,
        top,
        turned(Vec3::new(0.0, 0.0, -0.02), Vec3::Z, FRAC_PI_2),
        [0.55, 0.34, 0.17],
        0.5,
        wood,
    );
    for (x, y) in [(-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0)] {
        let leg = Shape::Box { half_extents: Vec3::new(0.025, 0.025, 0.23) };
        let at = Vec3::new(0.53 * x, 0.36 * y, -0.27);
        add(&mut render_scene, leg, Pose::from_translation(at), [0.30, 0.17, 0.08], 0.7, Pattern::Plain);
    }
    let wall = Shape::Box { half_extents: Vec3::new(0.05, 4.0, 1.5) };
    add(&mut render_scene, wall, Pose::translation(-1.8, 0.0, 1.0), [0.72, 0.70, 0.64], 1.0, speckle);
    arm(&mut render_scene);
    let balls = [
        ([0.75, 0.04, 0.03], 0.12, -0.20),
        ([0.03, 0.12, 0.70], 0.24, 0.10),
        ([0.06, 0.50, 0.07], 0.02, 0.28),
    ];
    for (colour, x, y) in balls {
        let at = Pose::translation(x, y, 0.035);
        add(&mut render_scene, Shape::Sphere { radius: 0.035 }, at, colour, 0.25, Pattern::Plain);
    }
    let yellow = [0.80, 0.55, 0.04];
    let cube = Shape::Box { half_extents: Vec3::splat(0.03) };
    add(
        &mut render_scene,
        cube,
        turned(Vec3::new(0.30, -0.05, 0.03), Vec3::Z, 0.5),
        yellow,
        0.6,
        Pattern::Plain,
    );
    let can = Shape::Cylinder { radius: 0.03, half_length: 0.05 };
    add(
        &mut render_scene,
        can,
        Pose::translation(-0.05, -0.34, 0.05),
        [0.10, 0.45, 0.48],
        0.3,
        Pattern::Plain,
    );
    let cone = Shape::Cone { radius: 0.04, half_length: 0.05 };
    add(
        &mut render_scene,
        cone,
        Pose::translation(0.32, 0.30, 0.05),
        [0.75, 0.28, 0.05],
        0.5,
        Pattern::Plain,
    );
    let mat = Shape::Disc { radius: 0.09 };
    let rings = Pattern::Grid { line: [0.9, 0.9, 0.9], cell: 0.03, width: 0.004 };
    add(&mut render_scene, mat, Pose::translation(0.05, 0.02, 0.001), [0.16, 0.17, 0.20], 0.9, rings);
    render_scene
}

/// Seven links between joints, and a gripper of three boxes.
fn arm(render_scene: &mut RenderScene) {
    let joints = [
        [-0.35, 0.0, 0.02],
        [-0.35, 0.0, 0.22],
        [-0.33, 0.0, 0.36],
        [-0.20, -0.02, 0.47],
        [-0.07, -0.05, 0.46],
        [0.03, -0.09, 0.38],
        [0.08, -0.13, 0.27],
        [0.09, -0.15, 0.20],
    ]
    .map(Vec3::from_array);
    let base = Shape::Cylinder { radius: 0.09, half_length: 0.02 };
    add(render_scene, base, Pose::translation(-0.35, 0.0, 0.02), [0.13, 0.13, 0.14], 0.4, Pattern::Plain);
    for (k, ends) in joints.windows(2).enumerate() {
        let (middle, along) = ((ends[0] + ends[1]) * 0.5, ends[1] - ends[0]);
        let pose = Pose::from_parts(middle, Quat::from_rotation_arc(Vec3::Z, along.normalize()));
        let link = Shape::Capsule { radius: 0.052 - 0.003 * k as f32, half_length: 0.5 * along.length() };
        add(render_scene, link, pose, [0.80, 0.80, 0.78], 0.35, Pattern::Plain);
        let joint = Shape::Sphere { radius: 0.056 - 0.003 * k as f32 };
        add(render_scene, joint, Pose::from_translation(ends[1]), [0.22, 0.24, 0.28], 0.4, Pattern::Plain);
    }
    let tip = joints[7];
    let palm = Shape::Box { half_extents: Vec3::new(0.02, 0.05, 0.012) };
    add(
        render_scene,
        palm,
        Pose::from_translation(tip - Vec3::Z * 0.045),
        [0.15, 0.15, 0.16],
        0.5,
        Pattern::Plain,
    );
    for side in [-1.0, 1.0] {
        let finger = Shape::Box { half_extents: Vec3::new(0.012, 0.007, 0.04) };
        let at = tip + Vec3::new(0.0, 0.042 * side, -0.095);
        add(render_scene, finger, turned(at, Vec3::X, PI), [0.55, 0.56, 0.58], 0.3, Pattern::Plain);
    }
}

fn turned(at: Vec3, axis: Vec3, angle: f32) -> Pose {
    Pose::from_parts(at, Quat::from_axis_angle(axis, angle))
}

fn add(
    render_scene: &mut RenderScene,
    shape: Shape,
    pose: Pose,
    colour: [f32; 3],
    roughness: f32,
    pattern: Pattern,
) {
    let idx = render_scene.instances.len() as u32;
    render_scene.materials.push(Material { colour, roughness, pattern });
    render_scene.instances.push(Instance { shape, material_idx: idx, object_id: idx + 1 });
    render_scene.world_from_instance.push(pose);
}
