//! Conversion of spaces, observations and actions between Sayso and gymnasium-rs.

use gymnasium_rs::core::Space;
use ndarray::{Array1, Array3};
use sayso_envs::{Actions, EnvError, Observations, Result, Space as SaysoSpace};
use sayso_sim::Frames;

/// Observation types: gymnasium-rs's type parameter `Obs`.
pub trait Observation: Sized {
    /// The space of such observations.
    ///
    /// # Errors
    /// If observations in `space` do not convert to this type.
    fn space(space: &SaysoSpace) -> Result<Space>;

    /// Takes the observation out of a batch of one env.
    fn take(observations: &mut Observations) -> Self;
}

/// The state, `[state_dim]`, for [`sayso_envs::ObservationConfig::STATE`].
impl Observation for Array1<f32> {
    fn space(space: &SaysoSpace) -> Result<Space> {
        match space {
            SaysoSpace::Box { low, high } => Ok(bounds(low, high)),
            other => Err(misfit("observation", other, "the state, as Obs is Array1<f32>")),
        }
    }

    fn take(observations: &mut Observations) -> Self {
        std::mem::take(&mut observations.state).into()
    }
}

/// An image, `[height, width, 3]` u8 sRGB, for [`sayso_envs::ObservationConfig::PIXELS`].
///
/// Its space is that of the flattened image, `[height * width * 3]`, because boxes of gymnasium-rs have one dimension.
impl Observation for Array3<u8> {
    fn space(space: &SaysoSpace) -> Result<Space> {
        match *space {
            SaysoSpace::Image { height, width } => {
                let len = height * width * Frames::N_CHANNELS;
                Ok(Space::Box { low: Array1::zeros(len), high: Array1::from_elem(len, 255.0) })
            }
            ref other => Err(misfit("observation", other, "pixels, as Obs is Array3<u8>")),
        }
    }

    fn take(observations: &mut Observations) -> Self {
        image(std::mem::take(&mut observations.pixels[0]))
    }
}

/// Action types: gymnasium-rs's type parameter `Action`.
pub trait Action: Sized {
    /// The space of such actions.
    ///
    /// # Errors
    /// If this type does not convert to actions in `space`.
    fn space(space: &SaysoSpace) -> Result<Space>;

    /// Converts to the actions of a batch of one env.
    ///
    /// # Errors
    /// If the action is in no action space.
    fn into_actions(self) -> Result<Actions>;
}

/// Values of a box, `[dim]`.
impl Action for Array1<f32> {
    fn space(space: &SaysoSpace) -> Result<Space> {
        match space {
            SaysoSpace::Box { low, high } => Ok(bounds(low, high)),
            other => Err(misfit("action", other, "a box, as Action is Array1<f32>")),
        }
    }

    fn into_actions(self) -> Result<Actions> {
        // The order of the elements, which differs from the order in memory if the array is a slice of another one.
        Ok(Actions::Continuous(self.to_vec()))
    }
}

/// A choice, counted from 0.
impl Action for i32 {
    fn space(space: &SaysoSpace) -> Result<Space> {
        match space {
            SaysoSpace::Discrete { n } if i32::try_from(*n).is_ok() => Ok(Space::Discrete(*n as i32)),
            other => Err(misfit("action", other, "choices, as Action is i32")),
        }
    }

    fn into_actions(self) -> Result<Actions> {
        let choice = u32::try_from(self).map_err(|_| EnvError::BadAction {
            expected: "a choice of 0 or more".to_owned(),
            got: self.to_string(),
        })?;
        Ok(Actions::Discrete(vec![choice]))
    }
}

/// The only frame of a batch of one, `[height, width, 3]`.
pub(crate) fn image(frames: Frames) -> Array3<u8> {
    let shape = (frames.height(), frames.width(), Frames::N_CHANNELS);
    Array3::from_shape_vec(shape, frames.into_pixels()).expect("a batch of one env has one frame")
}

fn bounds(low: &[f32], high: &[f32]) -> Space {
    Space::Box { low: low.to_vec().into(), high: high.to_vec().into() }
}

fn misfit(field: &str, got: &SaysoSpace, expected: &str) -> EnvError {
    let got = match got {
        SaysoSpace::Box { low, .. } => format!("a box of {} values", low.len()),
        SaysoSpace::Image { .. } => "pixels".to_owned(),
        SaysoSpace::Discrete { n } => format!("one of {n} choices"),
        SaysoSpace::Dict(parts) => {
            parts.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" and ")
        }
        SaysoSpace::Text { .. } => "a text".to_owned(),
    };
    EnvError::OutOfRange { field: field.to_owned(), got, expected: expected.to_owned() }
}
