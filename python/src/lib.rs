//! `sayso._core`: batches of envs and reward models for Python. Configuration goes in as JSON, columns come out as NumPy arrays
//! that own their memory; everything else is the façade's.

mod errors;
mod process;
mod reward_model;
mod vec_env;

use mimalloc::MiMalloc;
use pyo3::prelude::*;

/// Arrays that are handed over are new memory in every step. The system's allocator gives as much back to the kernel as was
/// freed, and each page of it is a fault in the next step.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The native part of `sayso`.
#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    errors::add(module)?;
    module.add_class::<vec_env::VecEnv>()?;
    module.add_class::<reward_model::RewardModel>()?;
    module.add_class::<reward_model::Judge>()?;
    module.add_function(wrap_pyfunction!(vec_env::env_ids, module)?)?;
    module.add_function(wrap_pyfunction!(vec_env::describe, module)?)?;
    module.add_function(wrap_pyfunction!(vec_env::told, module)?)?;
    module.add_function(wrap_pyfunction!(process::panic, module)?)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    Ok(())
}
