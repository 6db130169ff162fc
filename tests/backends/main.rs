//! Both backends draw the same pictures: every scene through the CPU caster and through the GPU's kernels.
//!
//! Without a graphics processor (software such as lavapipe counts as one) all of this is reported as ignored.

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
        ("stored pictures, near and far", worlds::textures),
        ("four samples a pixel", worlds::four_samples),
        ("no shadows, and no sun", worlds::shadowless),
        ("hundreds of instances", worlds::crowds),
        ("more parts than one pass of a tile looks through", worlds::thousands),
        ("any size of picture and any outputs", worlds::sizes_and_outputs),
        ("what registered environments look like", tasks::registered_environments),
        ("an environment steps and restarts on either", tasks::stepping),
        ("changes between calls arrive, and nothing else moves", steps::changes_between_calls),
        ("batches split and reordered", steps::batches),
        ("what a model reads, byte for byte", model::inputs),
        ("frames on the device are drawn over only when nobody holds them", device_frames::buffers),
        ("an env needs little of the device's memory", device_frames::memory),
        ("two batches of envs share a device", device_frames::side_by_side),
        ("what is exported is what was drawn", device_frames::export),
        ("rewards do not depend on how frames reach the judge", device_frames::judges),
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
