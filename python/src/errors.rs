//! One tree of exceptions.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use sayso::Error;

use crate::process::threads;

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
    // The command line's options are not ours.
    let hint = error
        .hint()
        .filter(|hint| !hint.contains("--"))
        .map_or_else(String::new, |hint| format!(" ({hint})"));
    let text = format!("{error}{hint}");
    if error.is_device() {
        DeviceError::new_err(text)
    } else if error.is_internal() {
        SaysoError::new_err(text)
    } else {
        PyValueError::new_err(text)
    }
}

/// Does native work without the interpreter's lock, on this process's own threads. A panic in it, which would be no fault of
/// the caller's, is a `SaysoError`: pyo3's own exception for it passes by every `except Exception`, and would end a worker that
/// could go on.
pub fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> PyResult<T> + Send) -> PyResult<T> {
    let threads = threads()?;
    let done = py.detach(|| catch_unwind(AssertUnwindSafe(|| threads.install(work))));
    done.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(SaysoError::new_err(format!("a fault in Sayso itself: {said} (please report it)")))
    })
}

/// Panics, so that a test can see what becomes of it.
#[pyfunction]
pub fn panic(py: Python<'_>) -> PyResult<()> {
    detached(py, || panic!("as asked"))
}
