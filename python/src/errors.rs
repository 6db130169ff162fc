//! One tree of exceptions.

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use sayso::Error;
use sayso::envs::EnvError;
use sayso::sim::SimError;

create_exception!(sayso._core, SaysoError, PyException, "Whatever goes wrong in Sayso.");
create_exception!(sayso._core, DeviceError, SaysoError, "A device is absent, lost, or out of memory.");

/// Adds the exceptions to the module. `sayso.errors` has those that are also Python's or Gymnasium's.
pub fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("SaysoError", py.get_type::<SaysoError>())?;
    module.add("DeviceError", py.get_type::<DeviceError>())
}

/// The exception for an error: what was asked for wrongly is a `ValueError`.
pub fn raise(error: impl Into<Error>) -> PyErr {
    let error = error.into();
    let hint = error.hint().map_or_else(String::new, |hint| format!(" ({hint})"));
    let text = format!("{error}{hint}");
    match &error {
        Error::Env(EnvError::Sim(
            SimError::Gpu(_)
            | SimError::GpuLost { .. }
            | SimError::GpuMemory { .. }
            | SimError::GpuLimit { .. }
            | SimError::NoGpu { .. },
        )) => DeviceError::new_err(text),
        _ if error.is_internal() => SaysoError::new_err(text),
        _ => PyValueError::new_err(text),
    }
}
