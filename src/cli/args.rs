//! Arguments that several commands share, and how they become a configuration.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use sayso::config::{Layers, RunConfig, parse_assignment, presets};
use sayso::envs::registry;
use sayso::sim::render::DrawOn;
use toml::Value;

use super::failure::BadInput;

const HEADING: &str = "What to learn";

/// What to learn, where, and from what.
#[derive(Clone, Debug, Default, Args)]
pub struct ConfigArgs {
    /// The sentence that rewards are computed from; repeat it to average several
    #[arg(long, value_name = "SENTENCE", help_heading = HEADING)]
    pub prompt: Vec<String>,
    /// The scene without the goal, one for each prompt [default: the task's own]
    #[arg(long, value_name = "SENTENCE", help_heading = HEADING)]
    pub baseline: Vec<String>,
    /// Strength of goal-baseline regularisation: 0 is plain cosine similarity, 1 only the direction from baseline to goal
    #[arg(long, value_name = "0..1", help_heading = HEADING)]
    pub alpha: Option<f64>,
    /// The environment, see `sayso envs` [default: Reach-v0]
    #[arg(long, value_name = "ID", help_heading = HEADING)]
    pub env: Option<String>,
    /// The reward model: `bundled`, a folder, or a name on the Hugging Face hub
    #[arg(long, value_name = "MODEL", help_heading = HEADING)]
    pub model: Option<String>,
    /// Learn from the task's own ground-truth reward instead of a sentence, for comparison
    #[arg(long, conflicts_with_all = ["prompt", "baseline", "alpha", "model"], help_heading = HEADING)]
    pub ground_truth: bool,
    /// What the policy sees
    #[arg(long, value_enum, value_name = "WHAT", help_heading = HEADING)]
    pub obs: Option<Obs>,
    /// Seed of everything that is random
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..), help_heading = HEADING)]
    pub seed: Option<i64>,
    /// Environments that step together
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..), help_heading = HEADING)]
    pub envs: Option<i64>,
    /// Start from this preset instead of the environment's own
    #[arg(long, value_name = "NAME", help_heading = "Settings")]
    pub preset: Option<String>,
    /// A TOML file laid over the preset; flags are laid over the file
    #[arg(long, value_name = "FILE.toml", help_heading = "Settings")]
    pub config: Option<PathBuf>,
    /// Set any key of the configuration, as in --set train.ppo.n_epochs=4
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_assignment, help_heading = "Settings")]
    pub set: Vec<(String, Value)>,
}

/// What the policy sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Obs {
    /// Joints, positions, colours: the task's state vector
    State,
    /// Pictures
    Pixels,
    /// Both
    Both,
}

/// Where pictures are drawn.
#[derive(Clone, Debug, Default, Args)]
pub struct DeviceArgs {
    /// What draws the pictures: `auto`, `cpu`, `gpu`, `gpu:1` (a number that `sayso doctor` lists) or `gpu:0000:01:00.0` (a
    /// PCI bus id) [default: for a new run the first graphics processor that is not software, else the CPU; for an old one what it
    /// was trained on]
    #[arg(long, value_name = "DEVICE", help_heading = "Where it runs")]
    pub device: Option<DrawOn>,
}

impl DeviceArgs {
    /// What was asked for, as a key of the configuration.
    pub fn setting(&self) -> Option<(&'static str, Value)> {
        self.device.as_ref().map(|device| ("env.device", Value::from(device.to_string())))
    }
}

impl ConfigArgs {
    /// Lays preset, file and flags over each other, and checks what comes out.
    pub fn resolve(&self, further: &[(&str, Value)]) -> Result<RunConfig> {
        let mut above = Layers::default();
        if let Some(path) = &self.config {
            above.add_file(path)?;
        }
        self.lay_flags(&mut above);
        for (key, value) in further {
            above.set(key, value.clone());
        }
        for (key, value) in &self.set {
            above.set(key, value.clone());
        }

        let mut layers = Layers::default();
        let (name, text) = self.preset(&above)?;
        layers.add_text(text, name.as_ref())?;
        if above.get_str("env.id").is_some_and(|id| layers.get_str("env.id") != Some(id))
            && self.preset.is_some()
        {
            let (asked, of_preset) = (above.get_str("env.id"), layers.get_str("env.id"));
            let message = format!(
                "the preset '{name}' is for {}, not for {}",
                of_preset.unwrap_or_default(),
                asked.unwrap_or_default()
            );
            return Err(BadInput::refuse(message, "leave out --preset, or --env"));
        }
        layers.add(above.into_table());
        Ok(layers.finish::<RunConfig>()?.resolve()?)
    }

    fn preset(&self, above: &Layers) -> Result<(String, &'static str)> {
        if let Some(name) = &self.preset {
            return Ok((name.clone(), presets::by_name(name)?));
        }
        let id = above.get_str("env.id").unwrap_or(presets::MAIN_ENV);
        match presets::of_env(id) {
            Some(text) => Ok((format!("preset of {id}"), text)),
            // An env without a preset is unknown, and the registry knows the nearest name.
            None => {
                registry::task(id, &toml::Table::new()).map_err(sayso::Error::from)?;
                Err(BadInput::refuse(format!("{id} has no preset"), "give one with --preset"))
            }
        }
    }

    fn lay_flags(&self, layers: &mut Layers) {
        let sentences = |texts: &[String]| Value::from(texts.to_vec());
        if !self.prompt.is_empty() {
            // A prompt of one's own makes the goal and the baselines of a file stale.
            layers.remove("env.goal");
            layers.set("reward.prompts", sentences(&self.prompt));
            layers.set("reward.baselines", Value::Array(Vec::new()));
        }
        if !self.baseline.is_empty() {
            layers.set("reward.baselines", sentences(&self.baseline));
        }
        if let Some(alpha) = self.alpha {
            layers.set("reward.alpha", alpha);
        }
        if let Some(env) = &self.env {
            layers.set("env.id", env.as_str());
        }
        if let Some(model) = &self.model {
            layers.set("reward.model", model.as_str());
        }
        if self.ground_truth {
            layers.set("reward.source", "ground_truth");
        }
        if let Some(obs) = self.obs.and_then(|obs| obs.to_possible_value()) {
            layers.set("env.observation", obs.get_name());
        }
        for key in ["env.seed", "train.seed"] {
            if let Some(seed) = self.seed {
                layers.set(key, seed);
            }
        }
        if let Some(n_envs) = self.envs {
            layers.set("env.n_envs", n_envs);
        }
    }
}
