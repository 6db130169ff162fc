//! Old names of configuration keys and values, for errors that give the new name.

use toml::{Table, Value};

use crate::error::{Error, Result};

/// Old and new key.
const KEYS: [(&str, &str); 9] = [
    ("judge.cameras", "reward.cameras"),
    ("judge.every_n_steps", "reward.every_n_steps"),
    ("reward.source", "reward.kind"),
    ("reward.prompts", "reward.goal_prompts"),
    ("reward.baselines", "reward.baseline_prompts"),
    ("train.score_use", "reward.schedule"),
    ("env.goal", "env.instruction"),
    ("env.smaller_groups", "env.shrink_on_oom"),
    ("n_pictures", "n_images"),
];

/// Key, old and new value.
const VALUES: [(&str, &str, &str); 2] =
    [("reward.kind", "language", "vlm_rm"), ("reward.schedule", "held", "hold_last")];

/// Refuses a table with an old key or value.
///
/// # Errors
/// Names the key and its new name.
pub(super) fn check(table: &Table) -> Result<()> {
    for (old, new) in KEYS {
        if value_at(table, old).is_some() {
            return Err(renamed(old, format!("was renamed; it is now '{new}'")));
        }
    }
    for (key, old, new) in VALUES {
        if value_at(table, key).and_then(Value::as_str) == Some(old) {
            return Err(renamed(key, format!("the value '{old}' was renamed; it is now '{new}'")));
        }
    }
    match table.get("judge") {
        Some(_) => Err(renamed("judge", "was renamed; its keys are now in [reward]".to_owned())),
        None => Ok(()),
    }
}

/// The value at a dotted key.
pub(super) fn value_at<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    let mut parts = key.split('.');
    let first = table.get(parts.next()?)?;
    parts.try_fold(first, |value, part| value.get(part))
}

fn renamed(field: &str, reason: String) -> Error {
    Error::ConfigKey { field: field.to_owned(), reason, nearest: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_old_key_and_value_names_the_new_one() {
        let message = |text: &str| {
            let table: Table = text.parse().expect("TOML");
            check(&table).expect_err("an old key").to_string()
        };
        for (old, new) in KEYS {
            assert!(message(&format!("{old} = 1")).contains(&format!("'{new}'")), "{old}");
        }
        for (key, old, new) in VALUES {
            assert!(message(&format!("{key} = '{old}'")).contains(&format!("'{new}'")), "{key} = {old}");
        }
        assert!(message("[judge]").contains("[reward]"));
        assert!(check(&"env.instruction = 'red'".parse().expect("TOML")).is_ok());
    }
}
