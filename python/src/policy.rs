//! Policies of runs.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use numpy::{PyArray1, PyArrayMethods as _, PyReadonlyArray2, PyReadonlyArray4};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use rand::SeedableRng as _;
use rand_pcg::Pcg64;
use sayso::agents::Policy as AnyPolicy;
use sayso::agents::policy::{ActionSpec, PolicySpaces};
use sayso::config::{Layers, RunConfig};
use sayso::envs::{Actions, Observations};
use sayso::run_folder;
use sayso::setup;
use sayso::sim::Frames;

use crate::errors::raise;
use crate::process::detached;

/// The policy of a run.
#[pyclass(module = "sayso._core", frozen)]
pub struct Policy {
    state: Mutex<State>,
    spaces: PolicySpaces,
    /// `[env]` of the run's configuration, JSON.
    #[pyo3(get)]
    env: String,
    /// Env steps of training that the policy had.
    #[pyo3(get)]
    n_steps: u64,
}

struct State {
    policy: Box<dyn AnyPolicy>,
    rng: Pcg64,
}

#[pymethods]
impl Policy {
    /// Loads the policy of the newest checkpoint of a run, or of the best one by mean training reward.
    #[new]
    fn new(py: Python<'_>, run: PathBuf, best: bool, seed: u64) -> PyResult<Self> {
        detached(py, || {
            let mut layers = Layers::default();
            let text = run_folder::read_config(&run).map_err(raise)?;
            layers.add_text(&text, &run.join(run_folder::CONFIG)).map_err(raise)?;
            let config = layers.finish::<RunConfig>().and_then(RunConfig::resolve).map_err(raise)?;
            let checkpoint = setup::checkpoint(&run, best).map_err(raise)?;
            let policy = checkpoint.policy().map_err(raise)?;
            let env = serde_json::to_string(&config.env);
            Ok(Self {
                spaces: checkpoint.spaces().clone(),
                n_steps: checkpoint.n_steps(),
                state: Mutex::new(State { policy, rng: Pcg64::seed_from_u64(seed) }),
                env: env.map_err(|error| PyRuntimeError::new_err(error.to_string()))?,
            })
        })
    }

    /// Number of values of a state; 0 if the policy reads none.
    #[getter]
    fn state_dim(&self) -> usize {
        self.spaces.state_dim
    }

    /// Height and width of an image; `None` if the policy reads none.
    #[getter]
    fn image_size(&self) -> Option<(usize, usize)> {
        self.spaces.image.map(|[height, width]| (height, width))
    }

    /// Number of values of an instruction's embedding; `None` if the policy reads none.
    #[getter]
    fn instruction_dim(&self) -> Option<usize> {
        self.spaces.instruction_dim
    }

    /// Actions for a batch: f32 `[n, action_dim]`, or i64 `[n]`. Each column is present if the policy reads it: states f32
    /// `[n, state_dim]`, images u8 `[n, height, width, 3]`, embeddings f32 `[n, instruction_dim]`.
    #[pyo3(signature = (state, pixels, instruction, deterministic))]
    fn act<'py>(
        &self,
        py: Python<'py>,
        state: Option<PyReadonlyArray2<'py, f32>>,
        pixels: Option<PyReadonlyArray4<'py, u8>>,
        instruction: Option<PyReadonlyArray2<'py, f32>>,
        deterministic: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let observations = self.observations(state, pixels, instruction)?;
        let actions = detached(py, || {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let State { policy, rng } = &mut *state;
            policy.set_deterministic(deterministic);
            policy.act(&observations, rng).map_err(raise)
        })?;
        match (actions, &self.spaces.actions) {
            (Actions::Continuous(values), ActionSpec::Continuous { low, .. }) => {
                let shape = [values.len() / low.len(), low.len()];
                Ok(PyArray1::from_vec(py, values).reshape(shape)?.into_any())
            }
            (Actions::Continuous(values), ActionSpec::Discrete { .. }) => {
                Ok(PyArray1::from_vec(py, values).into_any())
            }
            (Actions::Discrete(choices), _) => {
                Ok(PyArray1::from_iter(py, choices.into_iter().map(i64::from)).into_any())
            }
        }
    }
}

impl Policy {
    fn observations(
        &self,
        state: Option<PyReadonlyArray2<'_, f32>>,
        pixels: Option<PyReadonlyArray4<'_, u8>>,
        instruction: Option<PyReadonlyArray2<'_, f32>>,
    ) -> PyResult<Observations> {
        let PolicySpaces { state_dim, image, instruction_dim, .. } = self.spaces;
        let state_dim = (state_dim != 0).then_some(state_dim);
        let n_rows = [&state, &instruction].into_iter().flatten().map(|rows| rows.as_array().nrows());
        let n_images = pixels.as_ref().map(|images| images.as_array().dim().0);
        let n_rows: Vec<usize> = n_rows.chain(n_images).collect();
        let rows_fit = |rows: &Option<PyReadonlyArray2<'_, f32>>, dim: Option<usize>| {
            rows.as_ref().map(|rows| rows.as_array().ncols()) == dim
        };
        let images_fit = pixels.as_ref().map(|images| images.as_array().dim())
            == image.map(|[height, width]| (n_images.unwrap_or(0), height, width, Frames::N_CHANNELS));
        let fits = rows_fit(&state, state_dim) && rows_fit(&instruction, instruction_dim) && images_fit;
        if !fits || n_rows.windows(2).any(|pair| pair[0] != pair[1]) {
            return Err(PyValueError::new_err(format!(
                "observations do not fit the policy, which reads {state_dim:?} state values, images of {image:?} \
                 and embeddings of {instruction_dim:?} values"
            )));
        }
        let values = |rows: Option<PyReadonlyArray2<'_, f32>>| {
            rows.map_or_else(Vec::new, |rows| rows.as_array().iter().copied().collect())
        };
        let mut observations = Observations { state: values(state), ..Observations::default() };
        observations.instruction_embedding = values(instruction);
        if let (Some(images), Some([height, width])) = (pixels, image) {
            let bytes: Vec<u8> = images.as_array().iter().copied().collect();
            let frames = Frames::from_pixels(n_images.unwrap_or(0), height, width, bytes);
            observations.pixels.extend(frames);
        }
        Ok(observations)
    }
}
