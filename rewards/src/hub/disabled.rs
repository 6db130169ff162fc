//! Without the feature `hub` there are folders only.

use std::path::PathBuf;

use crate::{Result, RewardError};

/// Never made.
#[derive(Clone, Debug)]
pub(crate) enum Hub {}

impl Hub {
    /// # Errors
    /// Always; says that the feature is missing.
    pub fn new(name: &str) -> Result<Self> {
        let reason =
            "this program was built without the feature 'hub'; download the model and pass its folder";
        Err(RewardError::UnknownModel { name: name.into(), reason: reason.into() })
    }

    /// Unreachable, because a [`Hub`] is never made.
    pub fn path(&self, _: &str) -> Result<Option<PathBuf>> {
        match *self {}
    }
}
