//! The reward of VLM-RM: similarity of a frame to a goal prompt, with goal-baseline regularisation.
//!
//! Rocamonde et al., ICLR 2024, definition 1. With the unit embeddings `g` (goal), `b` (baseline) and `s` (frame), and the
//! line `L` through `b` and `g`:
//!
//! ```text
//! R(s) = 1 - ½ |α proj_L(s) + (1 - α) s - g|²
//! ```
//!
//! Because `g` is on `L`, the vector inside the norm is `(1 - α) u + α (u·d / |d|²) d` with `u = s - g` and `d = g - b`,
//! which costs two dot products per frame instead of a matrix product. With `α = 0` and one prompt the reward is the
//! cosine.

use serde::{Deserialize, Serialize};

use crate::ops::math::dot;
use crate::{Embeddings, ImageTextModel, Result, RewardError};

/// Prompts and regularisation of a [`GoalBaseline`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoalBaselineConfig {
    /// Goal prompts: descriptions of the goal. Several are averaged without normalising the mean, as in the published
    /// code.
    pub goal_prompts: Vec<String>,
    /// Baseline prompts: descriptions of the scene without the goal; as many as `goal_prompts`. May be empty if `alpha` is 0.
    #[serde(default)]
    pub baseline_prompts: Vec<String>,
    /// Strength of the regularisation, `α` in 0 to 1.
    #[serde(default)]
    pub alpha: f32,
}

impl GoalBaselineConfig {
    /// Checks the ranges of all fields.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    pub fn validate(&self) -> Result<()> {
        let out_of_range = |field: &str, got: String, expected: String| {
            Err(RewardError::OutOfRange { field: field.into(), got, expected })
        };
        if self.goal_prompts.is_empty() {
            return out_of_range("goal_prompts", "[]".into(), "at least one prompt".into());
        }
        if !(0.0..=1.0).contains(&self.alpha) {
            return out_of_range("alpha", self.alpha.to_string(), "0 to 1".into());
        }
        let may_be_absent = self.alpha == 0.0 && self.baseline_prompts.is_empty();
        if self.baseline_prompts.len() != self.goal_prompts.len() && !may_be_absent {
            let expected = format!("as many as goal_prompts, {}", self.goal_prompts.len());
            return out_of_range(
                "baseline_prompts",
                format!("{} prompts", self.baseline_prompts.len()),
                expected,
            );
        }
        Ok(())
    }
}

/// The reward function for embedded goal and baseline prompts.
#[derive(Clone, Debug, PartialEq)]
pub struct GoalBaseline {
    /// As [`embed_prompts`] returns them.
    prompts: Vec<f32>,
    alpha: f32,
}

impl GoalBaseline {
    /// Embeds the prompts.
    ///
    /// # Errors
    /// As [`embed_prompts`].
    pub fn new(model: &dyn ImageTextModel, config: &GoalBaselineConfig) -> Result<Self> {
        let embed = |prompts: &[String]| model.embed_prompts(prompts);
        Ok(Self { prompts: embed_prompts(&embed, config)?, alpha: config.alpha })
    }

    /// Replaces the content of `out` with one reward per row of `frames`, each at most 1.
    ///
    /// # Errors
    /// If the width of the embeddings differs from the model's.
    pub fn score(&self, frames: &Embeddings, out: &mut Vec<f32>) -> Result<()> {
        let dim = self.prompts.len() / 2;
        if frames.n_rows() > 0 && frames.dim() != dim {
            return Err(RewardError::OutOfRange {
                field: "frames.dim".into(),
                got: frames.dim().to_string(),
                expected: format!("{dim}, the width of the prompts' embeddings"),
            });
        }
        out.clear();
        out.extend(frames.rows().map(|frame| reward(frame, &self.prompts, self.alpha)));
        Ok(())
    }
}

/// Embeds goal and baseline prompts: `[2 * embed_dim + 1]`, the goal `g`, the direction `d = g - b` (zeros without a
/// baseline), and `|d|²`. `embed` returns the unit embedding of each text.
///
/// # Errors
/// If the config is out of range, the model cannot encode a prompt, or goal and baseline have the same embedding while
/// `alpha` is not 0.
pub fn embed_prompts(
    embed: &dyn Fn(&[String]) -> Result<Embeddings>,
    config: &GoalBaselineConfig,
) -> Result<Vec<f32>> {
    config.validate()?;
    let mut prompts = mean_row(&embed(&config.goal_prompts)?);
    let dim = prompts.len();
    if config.baseline_prompts.is_empty() {
        prompts.resize(2 * dim, 0.0);
    } else {
        let baseline = mean_row(&embed(&config.baseline_prompts)?);
        for (idx, b) in baseline.iter().enumerate() {
            prompts.push(prompts[idx] - b);
        }
    }
    let direction = &prompts[dim..];
    let direction_sq = dot(direction, direction);
    if config.alpha > 0.0 && direction_sq < f32::EPSILON {
        return Err(RewardError::OutOfRange {
            field: "baseline_prompts".into(),
            got: format!("{:?}, which the model cannot distinguish from the goal", config.baseline_prompts),
            expected: "prompts of another meaning, or alpha = 0".into(),
        });
    }
    prompts.push(direction_sq);
    Ok(prompts)
}

/// The reward of a frame's embedding; `prompts` are those of [`embed_prompts`].
pub fn reward(frame: &[f32], prompts: &[f32], alpha: f32) -> f32 {
    let (goal, rest) = prompts.split_at(frame.len());
    let (direction, direction_sq) = rest.split_at(frame.len());
    let along = match alpha > 0.0 {
        true => {
            let u_d: f32 = frame.iter().zip(goal).zip(direction).map(|((s, g), d)| (s - g) * d).sum();
            alpha * u_d / direction_sq[0]
        }
        false => 0.0,
    };
    let distance_sq: f32 = frame
        .iter()
        .zip(goal)
        .zip(direction)
        .map(|((s, g), d)| ((1.0 - alpha) * (s - g) + along * d).powi(2))
        .sum();
    1.0 - 0.5 * distance_sq
}

/// Mean of all rows, not normalised.
fn mean_row(rows: &Embeddings) -> Vec<f32> {
    let mut mean = vec![0.0; rows.dim()];
    for row in rows.rows() {
        mean.iter_mut().zip(row).for_each(|(mean, v)| *mean += v / rows.n_rows() as f32);
    }
    mean
}

#[cfg(test)]
mod tests {
    use sayso_sim::{Frames, ImageSpec};

    use super::*;

    /// A model whose prompts are spelled-out embeddings, numbers separated by spaces.
    struct Spelled(ImageSpec);

    impl ImageTextModel for Spelled {
        fn image_spec(&self) -> &ImageSpec {
            &self.0
        }

        fn embed_dim(&self) -> usize {
            3
        }

        fn embed_frames(&self, _: &Frames) -> Result<Embeddings> {
            Ok(Embeddings::from_values(3, Vec::new()))
        }

        fn embed_prompts(&self, prompts: &[String]) -> Result<Embeddings> {
            let values = prompts.iter().flat_map(|p| p.split(' ').filter_map(|v| v.parse().ok())).collect();
            Ok(Embeddings::from_values(3, values))
        }
    }

    fn rewards(goal: &[&str], baseline: &[&str], alpha: f32, frames: &[f32]) -> Result<Vec<f32>> {
        let model = Spelled(ImageSpec { height: 1, width: 1, mean: [0.0; 3], std: [1.0; 3] });
        let owned = |prompts: &[&str]| prompts.iter().map(|&p| p.to_owned()).collect();
        let config =
            GoalBaselineConfig { goal_prompts: owned(goal), baseline_prompts: owned(baseline), alpha };
        let mut out = vec![7.0];
        GoalBaseline::new(&model, &config)?.score(&Embeddings::from_values(3, frames.to_vec()), &mut out)?;
        Ok(out)
    }

    /// The published form: `1 - |(s - g) M|² / 2` with `M = α d dᵀ / |d|² + (1 - α) I`.
    fn published(s: [f32; 3], g: [f32; 3], b: [f32; 3], alpha: f32) -> f32 {
        let d: [f32; 3] = std::array::from_fn(|i| g[i] - b[i]);
        let d_sq: f32 = d.iter().map(|v| v * v).sum();
        let mut total = 0.0;
        for col in 0..3 {
            let moved: f32 = (0..3)
                .map(|row| {
                    let identity = if row == col { 1.0 - alpha } else { 0.0 };
                    (s[row] - g[row]) * (alpha * d[row] * d[col] / d_sq + identity)
                })
                .sum();
            total += moved * moved;
        }
        1.0 - total / 2.0
    }

    #[test]
    fn without_regularisation_the_reward_is_the_cosine() -> Result<()> {
        assert!((rewards(&["0.6 0.8 0"], &[], 0.0, &[0.0, 0.6, 0.8])?[0] - 0.48).abs() < 1e-6);
        Ok(())
    }

    #[test]
    fn the_reward_equals_the_published_matrix_form() -> Result<()> {
        let (g, b, s) = ([0.6, 0.8, 0.0], [0.0, 0.6, 0.8], [0.48, 0.6, 0.64]);
        for alpha in [0.0, 0.2, 0.5, 0.9, 1.0] {
            let got = rewards(&["0.6 0.8 0"], &["0 0.6 0.8"], alpha, &s)?[0];
            assert!((got - published(s, g, b, alpha)).abs() < 1e-6, "alpha {alpha}");
        }
        Ok(())
    }

    #[test]
    fn several_prompts_are_averaged_without_normalising() -> Result<()> {
        let got = rewards(&["1 0 0", "0 1 0"], &["0 0 1", "0 0 1"], 0.3, &[0.6, 0.0, 0.8])?[0];
        assert!((got - published([0.6, 0.0, 0.8], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0], 0.3)).abs() < 1e-6);
        Ok(())
    }

    #[test]
    fn a_config_out_of_range_names_its_field() {
        let message = |goal: &[&str], baseline: &[&str], alpha| {
            rewards(goal, baseline, alpha, &[1.0, 0.0, 0.0]).err().map(|e| e.to_string()).unwrap_or_default()
        };
        assert!(message(&[], &[], 0.0).starts_with("goal_prompts = []"));
        assert!(message(&["1 0 0"], &[], 0.5).starts_with("baseline_prompts = 0 prompts"));
        assert!(message(&["1 0 0"], &["0 1 0", "0 0 1"], 0.0).starts_with("baseline_prompts = 2 prompts"));
        assert!(message(&["1 0 0"], &["0 1 0"], 1.5).starts_with("alpha = 1.5"));
        assert!(message(&["1 0 0"], &["0 1 0"], f32::NAN).starts_with("alpha = NaN"));
        assert!(message(&["1 0 0"], &["1 0 0"], 0.5).contains("cannot distinguish from the goal"));
        assert!(serde_json::from_str::<GoalBaselineConfig>(r#"{"goal_prompts":["a"],"alfa":1}"#).is_err());
    }
}
