//! Substitute without the feature `hub`: opening a repository is an error.

use std::path::PathBuf;

use super::HubName;
use crate::{Result, RewardError};

/// Has no values, so it cannot be constructed.
#[derive(Clone, Debug)]
pub(crate) enum Hub {}

impl Hub {
    /// Returns an error.
    ///
    /// # Errors
    /// Always, because the feature is missing.
    pub fn new(name: HubName) -> Result<Self> {
        let reason =
            "this program was built without the feature 'hub'; download the model and pass its folder";
        Err(RewardError::UnknownModel { name: name.to_string(), reason: reason.into() })
    }

    /// Unreachable, because a [`Hub`] cannot be constructed.
    pub fn name(&self) -> &HubName {
        match *self {}
    }

    /// Unreachable, because a [`Hub`] cannot be constructed.
    pub fn path(&self, _: &str) -> Result<Option<PathBuf>> {
        match *self {}
    }
}
