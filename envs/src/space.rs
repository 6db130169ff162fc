//! Spaces of observations and actions. Names and meanings are those of Gymnasium.

use rand::Rng;
use serde::{Deserialize, Serialize};

/// The set of possible observations or actions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Space {
    /// A vector of `f32`, each between its bounds.
    Box {
        /// Lower bounds; may be `-inf`.
        low: Vec<f32>,
        /// Upper bounds; may be `inf`.
        high: Vec<f32>,
    },
    /// An image: `[height, width, 3]` u8 in [0, 255].
    Image {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// One of `n` choices, counted from 0.
    Discrete {
        /// Number of choices.
        n: usize,
    },
    /// Named subspaces, in this order.
    Dict(Vec<(String, Space)>),
    /// A text.
    Text {
        /// Maximum length, in characters.
        max_length: usize,
    },
}

impl Space {
    /// A box of `dim` values, all between `low` and `high`.
    pub fn uniform_box(dim: usize, low: f32, high: f32) -> Self {
        Self::Box { low: vec![low; dim], high: vec![high; dim] }
    }

    /// Number of `f32` values of a box; 1 for a discrete space; 0 for the others.
    pub fn dim(&self) -> usize {
        match self {
            Self::Box { low, .. } => low.len(),
            Self::Discrete { .. } => 1,
            Self::Image { .. } | Self::Dict(_) | Self::Text { .. } => 0,
        }
    }

    /// Samples actions for `n_envs` envs, uniformly; bounds are clipped to ±1e6.
    ///
    /// Returns `None` for spaces that are not action spaces (images, dicts, texts).
    pub fn sample_actions<R: Rng>(&self, n_envs: usize, rng: &mut R) -> Option<Actions> {
        match self {
            Self::Box { low, high } => {
                let mut values = Vec::with_capacity(n_envs * low.len());
                for _ in 0..n_envs {
                    for (&low, &high) in low.iter().zip(high) {
                        values.push(rng.random_range(low.max(-1e6)..=high.min(1e6)));
                    }
                }
                Some(Actions::Continuous(values))
            }
            &Self::Discrete { n } => {
                Some(Actions::Discrete((0..n_envs).map(|_| rng.random_range(0..n as u32)).collect()))
            }
            Self::Image { .. } | Self::Dict(_) | Self::Text { .. } => None,
        }
    }
}

/// One action per env.
#[derive(Clone, Debug, PartialEq)]
pub enum Actions {
    /// `[n_envs, dim]` f32, row-major, for [`Space::Box`].
    Continuous(Vec<f32>),
    /// `[n_envs]`, for [`Space::Discrete`].
    Discrete(Vec<u32>),
}

impl Actions {
    /// Copies `rows` of `all` into `self`; a continuous row has `dim` values.
    pub(crate) fn copy_rows(&mut self, all: &Self, rows: std::ops::Range<usize>, dim: usize) {
        match (self, all) {
            (Self::Continuous(own), Self::Continuous(all)) => {
                own.clear();
                own.extend_from_slice(&all[rows.start * dim..rows.end * dim]);
            }
            (Self::Discrete(own), Self::Discrete(all)) => {
                own.clear();
                own.extend_from_slice(&all[rows]);
            }
            (own @ Self::Discrete(_), Self::Continuous(all)) => {
                *own = Self::Continuous(all[rows.start * dim..rows.end * dim].to_vec());
            }
            (own @ Self::Continuous(_), Self::Discrete(all)) => *own = Self::Discrete(all[rows].to_vec()),
        }
    }
}
