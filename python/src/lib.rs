//! `sayso._core`: batches of envs and reward models for Python. Configuration is passed as JSON, columns are returned as
//! NumPy arrays that own their memory; everything else is in the façade.

mod errors;
mod policy;
mod process;
mod reward_function;
mod reward_model;
mod vec_env;

use mimalloc::MiMalloc;
use pyo3::prelude::*;

/// Every step allocates the arrays that it returns. The system's allocator gives freed memory back to the kernel, and each
/// page of it is a page fault in the next step.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The native part of `sayso`.
#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    errors::add(module)?;
    module.add_class::<vec_env::VecEnv>()?;
    module.add_class::<policy::Policy>()?;
    module.add_class::<reward_function::RewardFunction>()?;
    module.add_class::<reward_model::RewardModel>()?;
    module.add_class::<reward_model::PromptedReward>()?;
    module.add_class::<reward_model::EpisodeRewards>()?;
    module.add_function(wrap_pyfunction!(vec_env::env_ids, module)?)?;
    module.add_function(wrap_pyfunction!(vec_env::reward_kinds, module)?)?;
    module.add_function(wrap_pyfunction!(vec_env::describe, module)?)?;
    module.add_function(wrap_pyfunction!(vec_env::goal_named_in, module)?)?;
    module.add_function(wrap_pyfunction!(vec_env::instructions_of, module)?)?;
    module.add_function(wrap_pyfunction!(vec_env::text_dim, module)?)?;
    module.add_function(wrap_pyfunction!(vec_env::goal_rewards, module)?)?;
    module.add_function(wrap_pyfunction!(process::panic, module)?)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("MAX_ENVS", sayso::envs::config::MAX_ENVS)?;
    module.add("GROUND_TRUTH_KINDS", sayso::config::GROUND_TRUTH_KINDS.to_vec())?;
    module.add("MAX_TEXT_LENGTH", sayso::envs::config::MAX_TEXT_LENGTH)?;
    module.add("STATE_BOUND", sayso::envs::task::STATE_BOUND)?;
    module.add("SCHEDULES", sayso::rewards::RewardSchedule::NAMES.to_vec())?;
    Ok(())
}
