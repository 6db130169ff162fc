//! Rates of rendering: the Reach scene, and the same with an arm of triangle meshes.

use std::sync::Arc;

use sayso_envs::{EnvError, registry};
use sayso_sim::math::Vec3;
use sayso_sim::render::{
    Backend, Mesh, Outputs, RenderScene, RenderSpec, RenderTarget, Samples, Shape, View,
};
use sayso_sim::{SimWorld, seed};

use super::{Figure, Plan, rate};
use crate::error::Result;

/// Triangles of an arm, over all links.
const ARM_TRIANGLES: usize = 20_000;

/// A scene at two instants, so that rendering them in turn uploads new poses every time.
struct Scene {
    name: &'static str,
    instants: [Vec<RenderScene>; 2],
    views: Vec<View>,
}

/// Measures every scene, frame size and batch size of the plan.
pub(super) fn measure(plan: &Plan, add: &mut impl FnMut(Figure)) -> Result<()> {
    let most = plan.n_views.iter().copied().max().unwrap_or(0);
    if most == 0 || plan.sizes.is_empty() {
        return Ok(());
    }
    let primitives = reach(most)?;
    let meshes = with_triangles(&primitives)?;
    for scene in [&primitives, &meshes] {
        for &size in &plan.sizes {
            for &n_views in &plan.n_views {
                for is_moving in [false, true] {
                    add(figure(plan, scene, size, n_views, is_moving)?);
                }
            }
        }
    }
    Ok(())
}

fn figure(plan: &Plan, scene: &Scene, size: usize, n_views: usize, is_moving: bool) -> Result<Figure> {
    let motion = if is_moving { "all poses new" } else { "static" };
    let what = format!("rendering {}, {size}², {n_views} views, shadows, {motion}", scene.name);
    let spec =
        RenderSpec { height: size, width: size, samples: Samples::One, shadows: true, outputs: Outputs::RGB };
    let render_scenes = scene.instants.each_ref().map(|all| all[..n_views].iter().collect::<Vec<_>>());
    let views = &scene.views[..n_views];
    let mut backend = Backend::open(&plan.device).map_err(EnvError::from)?;
    let (mut n_calls, mut target) = (0, RenderTarget::default());
    let measured = rate(plan.window, n_views, &mut || {
        n_calls += 1;
        let render_scenes = &render_scenes[if is_moving { n_calls % 2 } else { 0 }];
        match &mut backend {
            Backend::Gpu(renderer) => renderer.render_on_device(render_scenes, views, &spec),
            backend => backend.render(render_scenes, views, &spec, &mut target),
        }
        .map_err(|error| EnvError::from(error).into())
    });
    let mut figure = Figure::of(what, "views/s", measured)?;
    if let (Backend::Gpu(renderer), None) = (&backend, &figure.skipped) {
        figure.bytes_per_view = Some(renderer.device_bytes() / n_views as u64);
    }
    Ok(figure)
}

/// `Reach-v1` with every env in its own state, and the same with every part moved by a millimetre.
fn reach(n_envs: usize) -> Result<Scene> {
    let task = registry::task("Reach-v1", &toml::Table::new())?;
    let (mut first, mut second, mut views) = (Vec::new(), Vec::new(), Vec::new());
    for env_idx in 0..n_envs {
        let mut world = SimWorld::new(task.scene()).map_err(EnvError::from)?;
        let mut instance = task.instance(&world)?;
        instance.reset(&mut world, &mut seed::stream(&[1, env_idx as u64]));
        world.sync_render_scene();
        first.push(world.render_scene().clone());
        let mut later = world.render_scene().clone();
        for pose in &mut later.world_from_instance {
            pose.translation.x += 0.001;
        }
        second.push(later);
        let camera = world.camera("front").map_err(EnvError::from)?;
        views.push(world.view(camera, env_idx));
    }
    Ok(Scene { name: "primitives", instants: [first, second], views })
}

/// The same with every round part as a triangle mesh, 20,000 triangles per env.
fn with_triangles(scene: &Scene) -> Result<Scene> {
    let is_round = |shape: &Shape| {
        matches!(shape, Shape::Sphere { .. } | Shape::Capsule { .. } | Shape::Cylinder { .. })
    };
    let n_round = scene.instants[0][0].instances.iter().filter(|part| is_round(&part.shape)).count().max(1);
    let mesh = Arc::new(ball(ARM_TRIANGLES / n_round)?);
    let convert = |render_scene: &RenderScene| {
        let mut render_scene = render_scene.clone();
        render_scene.meshes = vec![mesh.clone()];
        for part in &mut render_scene.instances {
            let scale = match part.shape {
                Shape::Sphere { radius } => Vec3::splat(radius),
                Shape::Capsule { radius, half_length } => Vec3::new(radius, radius, half_length + radius),
                Shape::Cylinder { radius, half_length } => Vec3::new(radius, radius, half_length),
                _ => continue,
            };
            part.shape = Shape::Mesh { mesh_idx: 0, scale };
        }
        render_scene
    };
    let instants = scene.instants.each_ref().map(|all| all.iter().map(convert).collect());
    Ok(Scene { name: "20,000 triangles", instants, views: scene.views.clone() })
}

/// A unit sphere of about `n_triangles` triangles: a grid of latitudes and longitudes.
fn ball(n_triangles: usize) -> Result<Mesh> {
    let n = (0.5 * (n_triangles as f32).sqrt()).round().max(4.0) as u32;
    let angle = |k: u32| k as f32 * std::f32::consts::PI / n as f32;
    let vertices: Vec<[f32; 3]> = (0..=n)
        .flat_map(|i| (0..2 * n).map(move |j| (angle(i), angle(j))))
        .map(|(polar, azimuth)| [polar.sin() * azimuth.cos(), polar.sin() * azimuth.sin(), polar.cos()])
        .collect();
    let at = |i: u32, j: u32| i * 2 * n + j % (2 * n);
    let triangles = (0..n)
        .flat_map(|i| (0..2 * n).map(move |j| (i, j)))
        .flat_map(|(i, j)| {
            [[at(i, j), at(i + 1, j), at(i + 1, j + 1)], [at(i, j), at(i + 1, j + 1), at(i, j + 1)]]
        })
        .collect();
    let mesh = Mesh::with_normals(vertices.clone(), vertices, triangles);
    Ok(mesh.map_err(EnvError::from)?)
}
