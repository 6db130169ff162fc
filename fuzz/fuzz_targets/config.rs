//! Configurations of runs and of pretraining, in TOML above a preset. A valid one is the same after it is saved and read.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use sayso::config::{Layers, RunConfig, presets};
use sayso::pretrain::PretrainConfig;
use sayso::sim::render::RenderDevice;

fuzz_target!(|text: &str| {
    for (preset, algorithm) in presets::names().zip(["sac", "ppo", "ppo"]) {
        let preset = presets::by_name(preset).expect("a preset that exists");
        let mut layers = preset.layers(Some(algorithm)).expect("presets are TOML");
        if layers.add_text(text, Path::new("fuzz.toml")).is_err() {
            return;
        }
        let Ok(mut config) = layers.finish::<RunConfig>() else { continue };
        config.env.device = RenderDevice::Cpu;
        let Ok(config) = config.resolve() else { continue };
        let saved = config.to_toml().expect("a valid configuration can be saved");
        let mut layers = Layers::default();
        layers.add_text(&saved, Path::new("config.toml")).expect("a saved configuration is TOML");
        let again = layers.finish::<RunConfig>().and_then(RunConfig::resolve);
        assert_eq!(again.expect("a saved configuration is valid"), config);
    }
    let mut layers = Layers::default();
    if layers.add_text(text, Path::new("fuzz.toml")).is_ok()
        && let Ok(config) = layers.finish::<PretrainConfig>()
    {
        let _ = config.validate();
    }
});
