//! The sun, the ambient light and the sky.

use serde::{Deserialize, Serialize};

/// One sun, uniform ambient light, and a sky of two colours. All colours are linear RGB.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Light {
    /// Unit vector from the scene towards the sun, world frame.
    pub sun_direction: [f32; 3],
    /// Radiance of the sun on a surface that faces it.
    pub sun_colour: [f32; 3],
    /// Ambient light, from all directions.
    pub ambient_colour: [f32; 3],
    /// Colour of the sky straight up.
    pub sky_zenith: [f32; 3],
    /// Colour of the sky at the horizon and below.
    pub sky_horizon: [f32; 3],
}

impl Default for Light {
    fn default() -> Self {
        Self {
            sun_direction: [0.42, 0.34, 0.84],
            sun_colour: [0.85, 0.82, 0.76],
            ambient_colour: [0.32, 0.34, 0.38],
            sky_zenith: [0.30, 0.48, 0.80],
            sky_horizon: [0.72, 0.80, 0.90],
        }
    }
}
