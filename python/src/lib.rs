//! `sayso._core`: batches of envs and reward models for Python. Configuration goes in as JSON, columns come out as NumPy arrays that own their
//! memory; everything else is the façade's.

mod errors;
mod reward_model;
mod vec_env;

use pyo3::prelude::*;

/// The native part of `sayso`.
#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    errors::add(module)?;
    module.add_class::<vec_env::VecEnv>()?;
    module.add_class::<reward_model::RewardModel>()?;
    module.add_class::<reward_model::Judge>()?;
    module.add_function(wrap_pyfunction!(vec_env::env_ids, module)?)?;
    module.add_function(wrap_pyfunction!(vec_env::describe, module)?)?;
    module.add_function(wrap_pyfunction!(errors::panic, module)?)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    Ok(())
}
