//! Scene files in TOML. A valid scene can be built, stepped, rendered, and restored from a snapshot.

#![no_main]

use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use sayso::sim::math::Vec3;
use sayso::sim::render::{Backend, Outputs, RenderSpec, RenderTarget, Samples};
use sayso::sim::scene::{CameraSpec, SceneSpec, TextureSpec};
use sayso::sim::{CameraIdx, SimWorld};

const SPEC: RenderSpec =
    RenderSpec { height: 12, width: 12, samples: Samples::One, shadows: true, outputs: Outputs::ALL };

// The simulator catches a panic of rapier, which the fuzzer's hook would turn into an abort; panics that are not caught still abort.
fuzz_target!(init: drop(std::panic::take_hook()), |text: &str| {
    let Ok(mut scene) = SceneSpec::parse(text, Path::new("fuzz.toml")) else { return };
    // Image files have a target of their own, and the time of a step grows with its substeps and bodies.
    let has_images = scene.materials.iter().any(|m| matches!(m.texture, TextureSpec::Image { .. }));
    if has_images || scene.bodies.len() > 12 || scene.physics.n_substeps > 20 {
        return;
    }
    scene.cameras.push(CameraSpec::looking_at("fuzz", Vec3::new(1.0, 2.0, 1.0), Vec3::ZERO, 60.0));
    let Ok(mut world) = SimWorld::new(Arc::new(scene)) else { return };
    for _ in 0..3 {
        world.step();
    }
    world.sync_render_scene();
    let view = world.view(CameraIdx(world.spec().cameras.len() - 1), 0);
    let mut target = RenderTarget::default();
    Backend::default()
        .render(&[world.render_scene()], &[view], &SPEC, &mut target)
        .expect("the CPU does not fail");
    let snapshot = world.snapshot().expect("any world can be saved");
    let hash = world.state_hash();
    world.reset();
    world.restore(&snapshot).expect("its own snapshot");
    assert_eq!(world.state_hash(), hash);
});
