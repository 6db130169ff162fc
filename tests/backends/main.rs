//! Both backends render the same frames: every scene is rendered by the CPU caster and by the GPU kernels.
//!
//! Without a GPU (software such as lavapipe counts as one) all tests are reported as ignored.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod compare;
mod device;
mod device_frames;
mod model;
#[path = "../../sim/tests/render/scenes.rs"]
#[allow(dead_code, reason = "shared with the tests of the CPU caster")]
mod scenes;
mod steps;
mod tasks;
mod worlds;

use libtest_mimic::{Arguments, Trial};
use sayso_sim::render::adapters;

fn main() {
    let arguments = Arguments::from_args();
    let has_device = !adapters().is_empty();
    let tests: [(&str, fn()); 21] = [
        ("every analytic shape with every pattern", worlds::assorted),
        ("one shape at a time, from all around", worlds::single_shapes),
        ("meshes, flat and smooth, scaled and mirrored", worlds::meshes),
        ("textures, near and far", worlds::textures),
        ("four samples per pixel", worlds::four_samples),
        ("no shadows, and no sun", worlds::shadowless),
        ("hundreds of instances", worlds::crowds),
        ("more parts than one pass of a tile tests", worlds::thousands),
        ("any frame size and any outputs", worlds::sizes_and_outputs),
        ("registered environments", tasks::registered_environments),
        ("an environment steps and restarts on either backend", tasks::stepping),
        ("changes between calls are rendered, and nothing else changes", steps::changes_between_calls),
        ("batches split and reordered", steps::batches),
        ("model inputs, byte for byte", model::inputs),
        ("frames on the device are not overwritten while in use", device_frames::buffers),
        ("an env needs little device memory", device_frames::memory),
        ("two batches of envs share a device", device_frames::side_by_side),
        ("exported memory contains the rendered frames", device_frames::export),
        ("rewards do not depend on how frames reach the reward model", device_frames::reward_routes),
        ("frames for another model are refused", device_frames::mismatches),
        ("a device that is lost or absent is an error", device::failures),
    ];
    let trials = tests.map(|(name, test)| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
        .with_ignored_flag(!has_device)
    });
    libtest_mimic::run(&arguments, trials.into()).exit();
}
