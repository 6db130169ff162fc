//! Varied appearance: light, cameras and surfaces, for training and evaluating reward models.

use rand::Rng as _;
use sayso_sim::math::{Pose, Quat, Vec3};
use sayso_sim::render::Pattern;
use sayso_sim::scene::PoseSpec;
use sayso_sim::seed::Rng;
use sayso_sim::{CameraIdx, MaterialIdx, SimWorld};

/// Named colours, linear RGB.
pub const NAMED_COLOURS: [(&str, [f32; 3]); 6] = [
    ("red", [0.75, 0.03, 0.03]),
    ("green", [0.04, 0.45, 0.06]),
    ("blue", [0.03, 0.08, 0.70]),
    ("yellow", [0.85, 0.62, 0.03]),
    ("purple", [0.28, 0.04, 0.42]),
    ("white", [0.85, 0.85, 0.85]),
];

/// Varies the appearance of a world: in half of the cases the light, and then each of `surfaces` with the given
/// probability; and each camera with its shift and turn, see [`vary_camera`]. Updates the render scene.
pub fn vary_appearance(
    world: &mut SimWorld,
    surfaces: &[MaterialIdx],
    surface_probability: f64,
    cameras: impl IntoIterator<Item = (CameraIdx, f32, f32)>,
    rng: &mut Rng,
) {
    if rng.random_bool(0.5) {
        vary_light(world, rng);
        for &surface in surfaces {
            if rng.random_bool(surface_probability) {
                vary_surface(world, surface, rng);
            }
        }
    }
    for (camera, shift, turn) in cameras {
        vary_camera(world, camera, rng, shift, turn);
    }
    world.sync_render_scene();
}

/// Samples the sun's direction, and varies strength and colour of the sun, the ambient light and the sky.
fn vary_light(world: &mut SimWorld, rng: &mut Rng) {
    let azimuth = rng.random_range(0.0..std::f32::consts::TAU);
    let height: f32 = rng.random_range(0.55..0.97);
    let across = (1.0 - height * height).sqrt();
    let light = world.light_mut();
    light.sun_direction = [across * azimuth.cos(), across * azimuth.sin(), height];
    let mut scale = |colour: &mut [f32; 3], low: f32, high: f32| {
        let gain = rng.random_range(low..high);
        colour.iter_mut().for_each(|c| *c = (*c * gain * rng.random_range(0.92..1.08)).min(1.0));
    };
    scale(&mut light.sun_colour, 0.7, 1.15);
    scale(&mut light.ambient_colour, 0.7, 1.3);
    scale(&mut light.sky_zenith, 0.6, 1.2);
    scale(&mut light.sky_horizon, 0.6, 1.2);
}

/// Shifts a camera by up to `shift` metres and turns it by up to `turn` rad along each axis, and varies its field of view.
fn vary_camera(world: &mut SimWorld, camera: CameraIdx, rng: &mut Rng, shift: f32, turn: f32) {
    let mut jitter = |size: f32| Vec3::from_array([0; 3].map(|_| rng.random_range(-1.0..1.0) * size));
    let (shift, turn) = (jitter(shift), jitter(turn));
    let zoom = rng.random_range(0.94..1.06);
    let spec = world.camera_mut(camera);
    let pose = spec.pose.to_pose();
    let varied = Pose::from_parts(pose.translation + shift, Quat::from_scaled_axis(turn) * pose.rotation);
    spec.pose = PoseSpec::new(varied.translation, varied.rotation.normalize());
    spec.fov_y *= zoom;
}

/// Varies a named colour slightly, so that its name stands for a range of colours.
pub fn vary_named_colour(world: &mut SimWorld, material: MaterialIdx, colour: [f32; 3], rng: &mut Rng) {
    let gain = rng.random_range(0.8..1.15);
    let varied = colour.map(|c| (c * gain + rng.random_range(-0.02..0.02)).clamp(0.0, 1.0));
    world.material_mut(material).colour = varied;
}

/// Gives a surface a random muted colour and a random pattern.
fn vary_surface(world: &mut SimWorld, material: MaterialIdx, rng: &mut Rng) {
    let material = world.material_mut(material);
    let grey: f32 = rng.random_range(0.15..0.7);
    let mut muted =
        || -> [f32; 3] { [0; 3].map(|_| (grey + rng.random_range(-0.12..0.12_f32)).clamp(0.02, 0.95)) };
    let (colour, other) = (muted(), muted());
    let cell = rng.random_range(0.08..0.4);
    material.colour = colour;
    material.pattern = match rng.random_range(0..5) {
        0 => Pattern::Plain,
        1 => Pattern::Checker { other, cell },
        2 => Pattern::Wood { other, ring: cell * 0.25 },
        3 => Pattern::Noise { other, cell },
        _ => Pattern::Grid { line: other, cell, width: cell * 0.08 },
    };
}
