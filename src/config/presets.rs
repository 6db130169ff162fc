//! Presets: the configurations that are part of the program, by name.
//!
//! A preset is two layers: that of the env and its reward, and that of an algorithm in this env. An algorithm without a layer
//! has its defaults.

use super::Layers;
use crate::error::{Error, Result};

/// Env of `sayso train` without arguments.
pub const DEFAULT_ENV: &str = "Reach-v1";

/// A preset.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    name: &'static str,
    env_id: &'static str,
    /// Env, reward and evaluation, and the algorithm that is the default.
    common: &'static str,
    /// Names of algorithms, and what differs from their defaults.
    algorithms: &'static [(&'static str, &'static str)],
}

/// The first one of an env is its default.
const PRESETS: [Preset; 3] = [
    Preset {
        name: "reach",
        env_id: "Reach-v1",
        common: include_str!("../../assets/presets/reach.toml"),
        algorithms: &[
            ("ppo", include_str!("../../assets/presets/reach/ppo.toml")),
            ("sac", include_str!("../../assets/presets/reach/sac.toml")),
        ],
    },
    Preset {
        name: "cart-pole",
        env_id: "CartPole-v1",
        common: include_str!("../../assets/presets/cart-pole.toml"),
        algorithms: &[
            ("ppo", include_str!("../../assets/presets/cart-pole/ppo.toml")),
            ("dqn", include_str!("../../assets/presets/cart-pole/dqn.toml")),
            ("sac", include_str!("../../assets/presets/cart-pole/sac.toml")),
        ],
    },
    Preset {
        name: "go-to",
        env_id: "GoTo-v1",
        common: include_str!("../../assets/presets/go-to.toml"),
        algorithms: &[
            ("ppo", include_str!("../../assets/presets/go-to/ppo.toml")),
            ("sac", include_str!("../../assets/presets/go-to/sac.toml")),
        ],
    },
];

impl Preset {
    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Id of its env.
    pub fn env_id(&self) -> &'static str {
        self.env_id
    }

    /// Its layers, with those of an algorithm: that which is the default, if none is given.
    ///
    /// # Errors
    /// If they are not TOML.
    pub fn layers(&self, algorithm: Option<&str>) -> Result<Layers> {
        let mut layers = Layers::default();
        layers.add_text(self.common, self.name.as_ref())?;
        let algorithm = algorithm.or_else(|| layers.get_str("train.algorithm")).map(str::to_owned);
        let own = self.algorithms.iter().find(|(name, _)| Some(*name) == algorithm.as_deref());
        if let Some((name, text)) = own {
            layers.add_text(text, format!("{}/{name}", self.name).as_ref())?;
        }
        Ok(layers)
    }
}

/// Names of all presets.
pub fn names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|preset| preset.name)
}

/// The preset of a name.
///
/// # Errors
/// If there is none; the error names the nearest one.
pub fn by_name(name: &str) -> Result<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name).ok_or_else(|| Error::UnknownName {
        what: "preset",
        name: name.to_owned(),
        nearest: sayso_sim::names::nearest(name, self::names()).map(str::to_owned),
        known: names().map(str::to_owned).collect(),
    })
}

/// An env's default preset; `None` if the env has none.
pub fn of_env(env_id: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.env_id == env_id)
}

#[cfg(test)]
mod tests {
    use sayso_envs::registry;

    use super::*;
    use crate::config::{RewardConfig, RunConfig};

    #[test]
    fn keys_of_every_kind_of_reward_are_those_of_the_table() {
        let mut layers = PRESETS[0].layers(None).expect("a preset");
        let term = "[{ op = 'multiply', metric = 'success' }]".parse::<toml::Value>().expect("a term");
        layers.set("reward.terms", term);
        let mut config = layers.finish::<RunConfig>().and_then(RunConfig::resolve).expect("a run");
        config.reward.options.clear();
        let table = toml::Table::try_from(&config.reward).expect("a table");
        let mut keys: Vec<&str> = table.keys().map(String::as_str).collect();
        let mut expected = RewardConfig::COMMON_KEYS;
        keys.sort();
        expected.sort();
        assert_eq!(keys, expected);
    }

    #[test]
    fn an_instruction_sets_its_own_prompts() {
        for preset in PRESETS {
            let name = preset.name;
            let task = registry::task(preset.env_id, &toml::Table::new()).expect("a task");
            for goal in &task.spec().goals {
                let mut layers = preset.layers(None).expect("a preset");
                layers.set("env.instruction", goal.name.as_str());
                let config = layers.finish::<RunConfig>().and_then(RunConfig::resolve).expect("a run");
                let RewardConfig { goal_prompts, baseline_prompts, .. } = config.reward;
                let own = (vec![goal.goal_prompt.clone()], vec![goal.baseline_prompt.clone()]);
                assert_eq!((goal_prompts, baseline_prompts), own, "{name}: goal '{}'", goal.name);
            }
        }
    }

    #[test]
    fn presets_are_valid_with_each_of_their_algorithms() {
        for preset in PRESETS {
            for (algorithm, _) in preset.algorithms {
                let mut layers = preset.layers(Some(algorithm)).expect("a preset");
                layers.set("train.algorithm", *algorithm);
                let config = layers.finish::<RunConfig>().and_then(RunConfig::resolve).expect("a run");
                assert_eq!(config.train.tables.keys().collect::<Vec<_>>(), [algorithm], "{}", preset.name);
                // What is saved is read again as the same configuration.
                let mut saved = Layers::default();
                saved.add_text(&config.to_toml().expect("TOML"), "saved".as_ref()).expect("TOML");
                assert_eq!(saved.finish::<RunConfig>().expect("a run"), config);
            }
        }
    }
}
