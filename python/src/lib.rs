//! `sayso._core`: batches of envs for Python. Configuration goes in as JSON, columns come out as NumPy arrays that own their
//! memory; everything else is the façade's.

mod errors;
mod vec_env;

use pyo3::prelude::*;

/// The native part of `sayso`.
#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    errors::add(module)?;
    module.add_class::<vec_env::VecEnv>()?;
    module.add_function(wrap_pyfunction!(vec_env::env_ids, module)?)?;
    module.add_function(wrap_pyfunction!(vec_env::describe, module)?)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    Ok(())
}
