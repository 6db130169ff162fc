//! Presets: the configurations that are part of the program, by name.

use crate::error::{Error, Result};

/// Env of `sayso train` without arguments.
pub const DEFAULT_ENV: &str = "Reach-v1";

/// Name, id of the env, and text of every preset; the first one of an env is its default.
const PRESETS: [(&str, &str, &str); 3] = [
    ("reach", "Reach-v1", include_str!("../../assets/presets/reach.toml")),
    ("cart-pole", "CartPole-v1", include_str!("../../assets/presets/cart-pole.toml")),
    ("go-to", "GoTo-v1", include_str!("../../assets/presets/go-to.toml")),
];

/// Names of all presets.
pub fn names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|preset| preset.0)
}

/// The text of a preset.
///
/// # Errors
/// If there is none of that name; the error names the nearest one.
pub fn by_name(name: &str) -> Result<&'static str> {
    PRESETS.iter().find(|preset| preset.0 == name).map(|preset| preset.2).ok_or_else(|| Error::UnknownName {
        what: "preset",
        name: name.to_owned(),
        nearest: sayso_sim::names::nearest(name, self::names()).map(str::to_owned),
        known: names().map(str::to_owned).collect(),
    })
}

/// The text of an env's default preset; `None` if the env has none.
pub fn of_env(env_id: &str) -> Option<&'static str> {
    PRESETS.iter().find(|preset| preset.1 == env_id).map(|preset| preset.2)
}

#[cfg(test)]
mod tests {
    use sayso_envs::registry;

    use super::*;
    use crate::config::{Layers, RewardConfig, RunConfig};

    #[test]
    fn keys_of_every_kind_of_reward_are_those_of_the_table() {
        let mut layers = Layers::default();
        layers.add_text(PRESETS[0].2, PRESETS[0].0.as_ref()).expect("a preset");
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
        for (name, id, text) in PRESETS {
            let task = registry::task(id, &toml::Table::new()).expect("a task");
            for goal in &task.spec().goals {
                let mut layers = Layers::default();
                layers.add_text(text, name.as_ref()).expect("a preset");
                layers.set("env.instruction", goal.name.as_str());
                let config = layers.finish::<RunConfig>().and_then(RunConfig::resolve).expect("a run");
                let RewardConfig { goal_prompts, baseline_prompts, .. } = config.reward;
                let own = (vec![goal.goal_prompt.clone()], vec![goal.baseline_prompt.clone()]);
                assert_eq!((goal_prompts, baseline_prompts), own, "{name}: goal '{}'", goal.name);
            }
        }
    }
}
