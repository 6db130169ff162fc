//! Surfaces: base colour, roughness and pattern.

use serde::{Deserialize, Serialize};

/// A surface: base colour, roughness and an optional pattern.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Material {
    /// Base colour, linear RGB, each in [0, 1].
    pub colour: [f32; 3],
    /// Roughness in [0, 1]: 0 has a mirror-like highlight, 1 is matt.
    pub roughness: f32,
    /// Pattern that modulates the base colour.
    pub pattern: Pattern,
}

/// A texture: procedural or an image. Lengths in metres, in the frame of the instance.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Pattern {
    /// The base colour everywhere.
    #[default]
    Plain,
    /// Squares that alternate between the base colour and `other`.
    Checker {
        /// The second colour, linear RGB.
        other: [f32; 3],
        /// Edge length of a square.
        cell: f32,
    },
    /// Grid lines of colour `line` on the base colour.
    Grid {
        /// Colour of the lines, linear RGB.
        line: [f32; 3],
        /// Distance between lines.
        cell: f32,
        /// Width of a line.
        width: f32,
    },
    /// Growth rings and grain of wood, between the base colour and `other`.
    Wood {
        /// The dark colour of the grain, linear RGB.
        other: [f32; 3],
        /// Distance between rings.
        ring: f32,
    },
    /// Smooth value noise between the base colour and `other`.
    Noise {
        /// The second colour, linear RGB.
        other: [f32; 3],
        /// Size of a feature.
        cell: f32,
    },
    /// An image, repeated; multiplies the base colour.
    Image {
        /// Index into [`RenderScene::textures`](super::RenderScene::textures).
        texture_idx: u32,
        /// Width of one repetition.
        size: f32,
    },
}
