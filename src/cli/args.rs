//! Arguments shared by several commands, and the configuration built from them.

use std::path::{Path, PathBuf};

use crate::config::presets::{self, Preset};
use crate::config::{Layers, RunConfig, parse_assignment};
use crate::envs::registry;
use crate::run_folder;
use crate::sim::render::RenderDevice;
use anyhow::Result;
use clap::{Args, ValueEnum};
use toml::Value;

use super::failure::BadInput;

const HEADING: &str = "Task and reward";

/// Arguments of the configuration.
#[derive(Clone, Debug, Default, Args)]
pub struct ConfigArgs {
    /// Goal prompt: a description of the goal state, from which rewards are computed; repeat it to average several
    #[arg(long, value_name = "TEXT", help_heading = HEADING)]
    pub goal_prompt: Vec<String>,
    /// Baseline prompt: a description of the scene without the goal, one for each goal prompt [default: that of
    /// the goal that the goal prompt names; else required unless alpha is 0]
    #[arg(long, value_name = "TEXT", help_heading = HEADING)]
    pub baseline_prompt: Vec<String>,
    #[command(flatten)]
    pub instruction: InstructionArgs,
    /// Strength of goal-baseline regularisation, from 0 (plain cosine similarity) to 1 (full projection)
    #[arg(long, value_name = "0..1", help_heading = HEADING)]
    pub alpha: Option<f64>,
    /// Environment id, see `sayso envs` [default: Reach-v1]
    #[arg(long, value_name = "ID", help_heading = HEADING)]
    pub env: Option<String>,
    /// Reward model: `bundled`, a folder, or `owner/name[@revision]` on the Hugging Face hub
    #[arg(long, value_name = "MODEL", help_heading = HEADING)]
    pub model: Option<String>,
    /// Use the task's ground-truth reward instead of a reward model, for comparison
    #[arg(long, conflicts_with_all = ["goal_prompt", "baseline_prompt", "alpha", "model"], help_heading = HEADING)]
    pub ground_truth: bool,
    /// Learning algorithm: `ppo`, `sac`, `dqn`, or one that the program registers [default: that of the preset]
    #[arg(long, value_name = "NAME", help_heading = HEADING)]
    pub algorithm: Option<String>,
    /// Observations of the policy, separated by commas
    #[arg(long, value_enum, value_name = "OBS", value_delimiter = ',', help_heading = HEADING)]
    pub obs: Vec<Obs>,
    /// Random seed of the run
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..), help_heading = HEADING)]
    pub seed: Option<i64>,
    /// Number of parallel environments
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..), help_heading = HEADING)]
    pub envs: Option<i64>,
    /// Preset to start from instead of the environment's own
    #[arg(long, value_name = "NAME", help_heading = "Settings")]
    pub preset: Option<String>,
    /// TOML file whose keys override the preset; flags override the file
    #[arg(long, value_name = "FILE.toml", help_heading = "Settings")]
    pub config: Option<PathBuf>,
    /// Set any configuration key, as in --set train.ppo.n_epochs=4
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_assignment, help_heading = "Settings")]
    pub set: Vec<(String, Value)>,
}

/// Observations of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Obs {
    /// The task's state vector
    State,
    /// Images of the task's pixel camera
    Pixels,
    /// State vector and images
    Both,
    /// Embedding of the instruction's sentence, for a policy that reads
    InstructionEmbedding,
}

/// Instructions of episodes.
#[derive(Clone, Debug, Default, Args)]
pub struct InstructionArgs {
    /// Goal of the instruction, by its name in `sayso envs ENV`; repeat it, or give `all`, to sample one for each episode
    #[arg(long, value_name = "GOAL", help_heading = HEADING)]
    pub instruction: Vec<String>,
    /// Wordings of the instructions, one of which is sampled for each episode [default: none; for an existing run those of
    /// its evaluation]
    #[arg(long, value_enum, value_name = "WHICH", help_heading = HEADING)]
    pub paraphrases: Option<ParaphrasesArg>,
}

/// Wordings of instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ParaphrasesArg {
    /// The instruction alone
    None,
    /// The instruction and its paraphrases, without those that are held out
    Training,
    /// The paraphrases that are held out, alone
    HeldOut,
    /// The instruction and all paraphrases
    All,
}

impl InstructionArgs {
    /// Sets the keys of the configuration. Texts and prompts of lower layers belong to another instruction.
    pub fn add_to(&self, layers: &mut Layers) {
        if let [first, rest @ ..] = self.instruction.as_slice() {
            for key in ["env.instruction_text", "reward.goal_prompts", "reward.baseline_prompts"] {
                layers.remove(key);
            }
            let value =
                if rest.is_empty() { Value::from(first.as_str()) } else { self.instruction.clone().into() };
            layers.set("env.instruction", value);
        }
        if let Some(paraphrases) = self.paraphrases {
            layers.set("env.paraphrases", config_name(paraphrases));
        }
    }
}

/// The name of a value in a configuration.
fn config_name(value: impl ValueEnum) -> String {
    value.to_possible_value().map_or(String::new(), |value| value.get_name().replace('-', "_"))
}

/// The device that renders.
#[derive(Clone, Debug, Default, Args)]
pub struct DeviceArgs {
    /// Device that renders: `auto`, `cpu`, `gpu`, or a GPU by its index, PCI bus id or UUID in `sayso doctor`: `gpu:1`,
    /// `gpu:0000:01:00.0`, `gpu:GPU-0a1b2c3d-…`
    /// [default: the first hardware GPU, or else the CPU; for an existing run the device that it was trained on]
    #[arg(long, value_name = "DEVICE", help_heading = "Device")]
    pub device: Option<RenderDevice>,
}

impl DeviceArgs {
    /// The device as a key of the configuration.
    pub fn setting(&self) -> Option<(&'static str, Value)> {
        self.device.as_ref().map(|device| ("env.device", Value::from(device.to_string())))
    }
}

impl ConfigArgs {
    /// Merges preset, file and flags, in this order, and checks the result.
    pub fn resolve(&self, further: &[(&str, Value)]) -> Result<RunConfig> {
        let mut above = Layers::default();
        if let Some(path) = &self.config {
            above.add_file(path)?;
        }
        self.add_flags(&mut above);
        for (key, value) in further {
            above.set(key, value.clone());
        }
        for (key, value) in &self.set {
            above.set(key, value.clone());
        }

        let preset = self.preset(&above)?;
        let (name, of_preset) = (preset.name(), preset.env_id());
        if let Some(asked) = above.get_str("env.id").filter(|&id| id != of_preset) {
            let message = format!("the preset '{name}' is for {of_preset}, not for {asked}");
            return Err(BadInput::refuse(message, "leave out --preset, or --env"));
        }
        let mut layers = preset.layers(above.get_str("train.algorithm"))?;
        layers.append(above);
        Ok(layers.finish::<RunConfig>()?.resolve()?)
    }

    /// Merges the configuration of a run and flags, and checks the result. Prompts and instructions that are given replace the
    /// run's, and wordings also those of its evaluation.
    pub fn resolve_run(&self, run: &Path, device: &DeviceArgs) -> Result<RunConfig> {
        let mut layers = Layers::default();
        layers.add_text(&run_folder::read_config(run)?, &run.join(run_folder::CONFIG))?;
        if let (Some(asked), Some(trained)) = (self.env.as_deref(), layers.get_str("env.id"))
            && asked != trained
        {
            let message = format!("{} was trained in {trained}, not in {asked}", run.display());
            return Err(BadInput::refuse(message, format!("name {trained}, or another run")));
        }
        if self.ground_truth {
            layers.remove("reward.terms");
        }
        if self.instruction.paraphrases.is_some() {
            layers.remove("evaluation.paraphrases");
        }
        self.add_flags(&mut layers);
        if let Some((key, device)) = device.setting() {
            layers.set(key, device);
        }
        Ok(layers.finish::<RunConfig>()?.resolve()?)
    }

    fn preset(&self, above: &Layers) -> Result<&'static Preset> {
        if let Some(name) = &self.preset {
            return Ok(presets::by_name(name)?);
        }
        let id = above.get_str("env.id").unwrap_or(presets::DEFAULT_ENV);
        match presets::of_env(id) {
            Some(preset) => Ok(preset),
            // For an unknown id the registry's error names the nearest one.
            None => {
                registry::task(id, &toml::Table::new()).map_err(crate::Error::from)?;
                Err(BadInput::refuse(format!("{id} has no preset"), "give one with --preset"))
            }
        }
    }

    fn add_flags(&self, layers: &mut Layers) {
        let prompts = |texts: &[String]| Value::from(texts.to_vec());
        if !self.goal_prompt.is_empty() {
            // The instruction and the baseline prompts of a file belong to the goal prompts of that file.
            for key in ["env.instruction", "env.instruction_text"] {
                layers.remove(key);
            }
        }
        self.instruction.add_to(layers);
        if !self.goal_prompt.is_empty() {
            layers.set("reward.goal_prompts", prompts(&self.goal_prompt));
            layers.set("reward.baseline_prompts", Value::Array(Vec::new()));
        }
        if !self.baseline_prompt.is_empty() {
            layers.set("reward.baseline_prompts", prompts(&self.baseline_prompt));
        }
        if let Some(alpha) = self.alpha {
            layers.set("reward.alpha", alpha);
        }
        if let Some(env) = &self.env {
            layers.set("env.id", env.as_str());
        }
        if let Some(algorithm) = &self.algorithm {
            layers.set("train.algorithm", algorithm.as_str());
        }
        if let Some(model) = &self.model {
            layers.set("reward.model", model.as_str());
        }
        if self.ground_truth {
            layers.set("reward.kind", "ground_truth");
        }
        match self.obs.as_slice() {
            [] => {}
            [only] => layers.set("env.observation", config_name(*only)),
            several => {
                let names: Vec<String> = several.iter().map(|&obs| config_name(obs)).collect();
                layers.set("env.observation", names);
            }
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
