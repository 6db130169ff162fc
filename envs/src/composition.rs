//! Rewards that combine the score of a reward model with ground-truth metrics, which the user names one by one.

use serde::{Deserialize, Serialize};

use crate::instructions::Instruction;
use crate::task::{Measurement, TaskSpec};
use crate::{EnvError, Result};

/// A term of a reward. Terms are applied in their order to the reward `r` that the schedule made of the scores; `m` is the
/// metric in the state after the action.
///
/// A metric is one of [`TaskSpec::metric_names`], or `success` or `ground_truth_reward` of the episode's goal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum RewardTerm {
    /// `r + weight * m`.
    Add {
        /// Name of the metric.
        metric: String,
        /// Factor.
        weight: f32,
    },
    /// `r * m`.
    Multiply {
        /// Name of the metric.
        metric: String,
    },
    /// `r` if `min <= m <= max`, else 0.
    Gate {
        /// Name of the metric.
        metric: String,
        /// Lower bound; none if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<f32>,
        /// Upper bound; none if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<f32>,
    },
    /// `value` if `min <= m <= max`, else `r`.
    Override {
        /// Name of the metric.
        metric: String,
        /// Lower bound; none if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<f32>,
        /// Upper bound; none if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<f32>,
        /// The reward.
        value: f32,
    },
}

impl RewardTerm {
    /// Name of the metric.
    pub fn metric(&self) -> &str {
        match self {
            Self::Add { metric, .. }
            | Self::Multiply { metric }
            | Self::Gate { metric, .. }
            | Self::Override { metric, .. } => metric,
        }
    }

    fn numbers(&self) -> impl Iterator<Item = f32> {
        let numbers = match *self {
            Self::Add { weight, .. } => [Some(weight), None, None],
            Self::Multiply { .. } => [None; 3],
            Self::Gate { min, max, .. } => [min, max, None],
            Self::Override { min, max, value, .. } => [min, max, Some(value)],
        };
        numbers.into_iter().flatten()
    }

    /// Whether an interval has a bound, and is not empty.
    fn has_valid_bounds(&self) -> bool {
        match *self {
            Self::Gate { min, max, .. } | Self::Override { min, max, .. } => match (min, max) {
                (Some(min), Some(max)) => min <= max,
                (min, max) => min.is_some() || max.is_some(),
            },
            Self::Add { .. } | Self::Multiply { .. } => true,
        }
    }
}

/// The term as a formula, for display.
impl std::fmt::Display for RewardTerm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let within = |min: &Option<f32>, max: &Option<f32>, metric: &str| {
            let min = min.map(|min| format!("{min} <= ")).unwrap_or_default();
            let max = max.map(|max| format!(" <= {max}")).unwrap_or_default();
            format!("{min}{metric}{max}")
        };
        match self {
            Self::Add { metric, weight } => write!(f, "add {weight} * {metric}"),
            Self::Multiply { metric } => write!(f, "multiply by {metric}"),
            Self::Gate { metric, min, max } => write!(f, "0 unless {}", within(min, max, metric)),
            Self::Override { metric, min, max, value } => {
                write!(f, "{value} if {}", within(min, max, metric))
            }
        }
    }
}

/// Terms whose metrics were found in a task.
#[derive(Clone, Debug, Default)]
pub(crate) struct Composition {
    terms: Vec<(RewardTerm, Source)>,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Metric(usize),
    Success,
    GroundTruthReward,
}

impl Composition {
    /// Finds the metrics.
    ///
    /// # Errors
    /// If a metric is unknown, belongs to the episode's goal and one of the instructions has none, or a number is out of range.
    pub fn new(terms: &[RewardTerm], spec: &TaskSpec, instructions: &[Instruction]) -> Result<Self> {
        let has_goal = instructions.iter().all(|instruction| instruction.goal_idx.is_some());
        let find = |(idx, term): (usize, &RewardTerm)| {
            if term.numbers().any(|number| !number.is_finite()) || !term.has_valid_bounds() {
                return Err(EnvError::OutOfRange {
                    field: format!("reward.terms[{idx}]"),
                    got: format!("'{term}'"),
                    expected: "numbers that are not NaN or infinite; min, max or both, min <= max".to_owned(),
                });
            }
            let source = match (term.metric(), has_goal) {
                ("success", true) => Source::Success,
                ("ground_truth_reward", true) => Source::GroundTruthReward,
                (name, _) => Source::Metric(metric_idx(spec, name, has_goal)?),
            };
            Ok((term.clone(), source))
        };
        Ok(Self { terms: terms.iter().enumerate().map(find).collect::<Result<_>>()? })
    }

    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether a term has a metric of the episode's goal.
    pub fn needs_goal(&self) -> bool {
        self.terms.iter().any(|(_, source)| !matches!(source, Source::Metric(_)))
    }

    /// Weight `a` and offset `b` of the reward `a * r + b` that the terms make of `r` in a state. `goal_idx` is the episode's
    /// goal.
    pub fn weights(&self, measurement: &Measurement, goal_idx: Option<usize>) -> (f32, f32) {
        let goal_idx = goal_idx.unwrap_or(0);
        let (mut weight, mut offset) = (1.0, 0.0);
        for (term, source) in &self.terms {
            let m = match *source {
                Source::Metric(idx) => measurement.metrics[idx],
                Source::Success => f32::from(u8::from(measurement.success[goal_idx])),
                Source::GroundTruthReward => measurement.reward[goal_idx],
            };
            let is_within = |min: &Option<f32>, max: &Option<f32>| {
                min.is_none_or(|min| min <= m) && max.is_none_or(|max| m <= max)
            };
            match term {
                RewardTerm::Add { weight: factor, .. } => offset += factor * m,
                RewardTerm::Multiply { .. } => (weight, offset) = (weight * m, offset * m),
                RewardTerm::Gate { min, max, .. } if !is_within(min, max) => (weight, offset) = (0.0, 0.0),
                RewardTerm::Override { min, max, value, .. } if is_within(min, max) => {
                    (weight, offset) = (0.0, *value);
                }
                RewardTerm::Gate { .. } | RewardTerm::Override { .. } => {}
            }
        }
        (weight, offset)
    }
}

fn metric_idx(spec: &TaskSpec, name: &str, has_goal: bool) -> Result<usize> {
    let of_goal = if has_goal { &["success", "ground_truth_reward"][..] } else { &[] };
    let known: Vec<&str> =
        spec.metric_names.iter().map(String::as_str).chain(of_goal.iter().copied()).collect();
    let found = spec.metric_names.iter().position(|known| known == name);
    found.ok_or_else(|| EnvError::unknown("metric of a reward term", name, &known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry;

    fn weights(terms: &str, gap: f32, success: bool) -> Result<(f32, f32)> {
        #[derive(Deserialize)]
        struct Terms {
            terms: Vec<RewardTerm>,
        }
        let task = registry::task("Reach-v1", &toml::Table::new())?;
        let terms: Terms = toml::from_str(terms).expect("terms");
        let mut measurement = Measurement::new(task.spec());
        (measurement.metrics[1], measurement.success[1]) = (gap, success);
        measurement.reward[1] = 0.25;
        let green = Instruction::from_text(task.spec(), "green");
        Ok(Composition::new(&terms.terms, task.spec(), &[green])?.weights(&measurement, Some(1)))
    }

    #[test]
    fn terms_are_applied_in_their_order() {
        let add = "{ op = 'add', metric = 'gap_green', weight = -2.0 }";
        let multiply = "{ op = 'multiply', metric = 'ground_truth_reward' }";
        let gate = "{ op = 'gate', metric = 'gap_green', max = 0.5 }";
        let on_success = "{ op = 'override', metric = 'success', min = 1.0, value = 10.0 }";
        let of = |terms: &[&str], gap, success| {
            weights(&format!("terms = [{}]", terms.join(", ")), gap, success).expect("known metrics")
        };
        assert_eq!(of(&[], 0.3, true), (1.0, 0.0));
        assert_eq!(of(&[add], 0.5, true), (1.0, -1.0));
        assert_eq!(of(&[add, multiply], 0.5, true), (0.25, -0.25));
        assert_eq!(of(&[multiply, add], 0.5, true), (0.25, -1.0));
        assert_eq!(of(&[add, gate], 0.6, true), (0.0, 0.0));
        assert_eq!(of(&[add, gate], 0.5, true), (1.0, -1.0));
        assert_eq!(of(&[add, on_success], 0.5, true), (0.0, 10.0));
        assert_eq!(of(&[add, on_success], 0.5, false), (1.0, -1.0));
    }

    #[test]
    fn unknown_metrics_and_open_gates_are_refused() {
        let error =
            |term: &str| weights(&format!("terms = [{term}]"), 0.0, false).expect_err("invalid").to_string();
        let unknown = error("{ op = 'multiply', metric = 'gap_gren' }");
        assert!(unknown.contains("'gap_gren', did you mean 'gap_green'?"), "{unknown}");
        let open = error("{ op = 'gate', metric = 'gap_green' }");
        assert!(open.contains("reward.terms[0] = '0 unless gap_green'"), "{open}");
        let empty = error("{ op = 'gate', metric = 'gap_green', min = 2.0, max = 1.0 }");
        assert!(empty.contains("2 <= gap_green <= 1") && empty.contains("min <= max"), "{empty}");
    }
}
