//! The exceptions that Rust errors become.

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use sayso::Error;
use sayso::rewards::RewardError;

create_exception!(sayso._core, SaysoError, PyException, "Base class of Sayso's exceptions.");
create_exception!(sayso._core, DeviceError, SaysoError, "A device is absent, lost, or out of memory.");

/// Adds the exceptions to the module. `sayso.errors` has those that also derive from exceptions of Python or Gymnasium.
pub fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("SaysoError", py.get_type::<SaysoError>())?;
    module.add("DeviceError", py.get_type::<DeviceError>())
}

/// The exception for an error: a `DeviceError` for a device, a `SaysoError` for an internal error, a `ValueError` for wrong
/// input.
pub fn raise(error: impl Into<Error>) -> PyErr {
    let error = error.into();
    let hint = match &error {
        Error::NoBaseline { .. } => {
            Some("describe the scene without the goal as baseline_prompt, or give alpha=0".to_owned())
        }
        // Options of the command line do not exist in Python.
        other => other.hint().filter(|hint| !hint.contains("--")),
    };
    let hint = hint.map_or_else(String::new, |hint| format!(" ({hint})"));
    let text = format!("{error}{hint}");
    if error.is_device() {
        DeviceError::new_err(text)
    } else if error.is_internal() || matches!(error.reward_error(), Some(RewardError::Failed { .. })) {
        SaysoError::new_err(text)
    } else {
        PyValueError::new_err(text)
    }
}
