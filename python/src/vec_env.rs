//! A batch of envs.

use std::ops::RangeInclusive;
use std::sync::Arc;

use numpy::{PyArray1, PyArrayMethods as _, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::{PyException, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use sayso::config::{GROUND_TRUTH, Layers, RunConfig, presets};
use sayso::envs::language::named_goal;
use sayso::envs::{
    Actions, AutoresetMode, EnvConfig, EnvError, GoalReward, Instruction, Observations, ResetOptions,
    RewardSource, Seed, Space, StepBatch, StepInfo, VectorEnv as _, registry,
};
use sayso::rewards::kinds::VlmRm;
use sayso::rewards::registry::kinds;
use sayso::rewards::{CheckpointModel, ImageTextModel as _, ModelDevice, RewardModel, VlmRmModel};
use sayso::sim::Frames;
use sayso::sim::render::RenderDevice;
use sayso::{models, setup};

use crate::errors::raise;
use crate::process::{ProcessLocal, detached, use_device};
use crate::reward_function::{Function, RewardFunction};
use crate::reward_model;

/// Rows and columns that a frame may have.
const PIXELS: RangeInclusive<usize> = 1..=4096;

/// Ids of all environments, without `sayso/`.
#[pyfunction]
pub fn env_ids() -> Vec<&'static str> {
    registry::ids().collect()
}

/// Names of all kinds of reward models.
#[pyfunction]
pub fn reward_kinds() -> Vec<String> {
    kinds().iter().map(|kind| kind.name().to_owned()).collect()
}

/// The static properties of an environment with some options (JSON): spaces, goals, names. Creates no world.
#[pyfunction]
pub fn describe<'py>(py: Python<'py>, id: &str, options: &str) -> PyResult<Bound<'py, PyDict>> {
    let task = registry::task(id, &table("options", options)?).map_err(raise)?;
    let spec = task.spec();
    let dict = PyDict::new(py);
    dict.set_item("summary", spec.summary)?;
    dict.set_item("max_episode_steps", spec.max_episode_steps)?;
    dict.set_item("control_hz", task.scene().physics.control_hz() as u32)?;
    dict.set_item("goals", spec.goals.iter().map(|goal| goal.name.clone()).collect::<Vec<_>>())?;
    dict.set_item(
        "instructions",
        spec.goals.iter().map(|goal| goal.instruction.clone()).collect::<Vec<_>>(),
    )?;
    let goal_space = spec.goal_space.as_ref();
    dict.set_item("goal_value_names", goal_space.map(|space| space.names.clone()))?;
    dict.set_item("pixel_camera", spec.pixel_camera)?;
    dict.set_item("metric_names", &spec.metric_names)?;
    dict.set_item("state_names", &spec.state_names)?;
    dict.set_item("state_space", bounds(py, &spec.state_space)?)?;
    dict.set_item("action_space", bounds(py, &spec.action_space)?)?;
    dict.set_item("cameras", task.scene().cameras.iter().map(|it| it.name.clone()).collect::<Vec<_>>())?;
    Ok(dict)
}

/// The rewards, f32 `[n]`, of achieved and desired goals, f32 `[n, goal_dim]`, of an environment with some options (JSON), by the
/// kind of reward `goal_sparse` or `goal_dense`.
#[pyfunction]
pub fn goal_rewards<'py>(
    py: Python<'py>,
    id: &str,
    options: &str,
    kind: &str,
    achieved: PyReadonlyArray2<'py, f32>,
    desired: PyReadonlyArray2<'py, f32>,
) -> PyResult<Bound<'py, PyArray1<f32>>> {
    let task = registry::task(id, &table("options", options)?).map_err(raise)?;
    let Some(space) = &task.spec().goal_space else {
        return Err(PyValueError::new_err(format!("the goals of {id} have no values")));
    };
    let reward = match kind {
        "goal_sparse" => GoalReward::Sparse,
        "goal_dense" => GoalReward::Dense,
        _ => return Err(PyValueError::new_err(format!("the reward '{kind}' is not one of goals"))),
    };
    let [achieved, desired] = [achieved, desired].map(|goals| goals.as_array().to_owned());
    if achieved.dim() != desired.dim() || achieved.ncols() != space.dim() {
        let message = format!(
            "goals have shapes {:?} and {:?}; expected [n, {}] of both",
            achieved.shape(),
            desired.shape(),
            space.dim()
        );
        return Err(PyValueError::new_err(message));
    }
    let rewards = achieved
        .rows()
        .into_iter()
        .zip(desired.rows())
        .map(|(achieved, desired)| reward.of(space, &achieved.to_vec(), &desired.to_vec()));
    Ok(PyArray1::from_iter(py, rewards))
}

/// `{"low", "high"}` of a box space, `{"n"}` of a discrete one.
fn bounds<'py>(py: Python<'py>, space: &Space) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    match space {
        Space::Box { low, high } => {
            dict.set_item("low", PyArray1::from_slice(py, low))?;
            dict.set_item("high", PyArray1::from_slice(py, high))?;
        }
        Space::Discrete { n } => dict.set_item("n", n)?,
        other => return Err(PyRuntimeError::new_err(format!("no Python space for {other:?}"))),
    }
    Ok(dict)
}

fn table(what: &str, json: &str) -> PyResult<toml::Table> {
    serde_json::from_str(json).map_err(|error| PyValueError::new_err(format!("{what}: {error}")))
}

/// The configuration of a run with the preset's reward and default settings of the env, overridden by `settings`; and
/// whether there is a reward.
fn resolve(settings: toml::Table) -> PyResult<(RunConfig, bool)> {
    let mut above = Layers::default();
    above.add(settings);
    let has_reward = above.get_str("reward.kind") != Some("none");
    if !has_reward {
        above.set("reward.kind", GROUND_TRUTH);
    }
    let id = above.get_str("env.id").unwrap_or(presets::DEFAULT_ENV).to_owned();
    registry::task(&id, &toml::Table::new()).map_err(raise)?;
    let mut layers = match presets::of_env(&id) {
        Some(preset) => preset.layers(above.get_str("train.algorithm")).map_err(raise)?,
        None => Layers::default(),
    };
    layers.remove("env");
    let env = toml::Value::try_from(EnvConfig { id, ..EnvConfig::default() });
    layers.set("env", env.map_err(|error| PyRuntimeError::new_err(error.to_string()))?);
    layers.append(above);
    let config = layers.finish::<RunConfig>().and_then(RunConfig::resolve).map_err(raise)?;
    Ok((config, has_reward))
}

/// The reward source: the task's ground truth, or a model that reads the frames; `model` is the encoder if it is loaded already.
fn reward_source(config: &RunConfig, model: Option<Arc<CheckpointModel>>) -> PyResult<RewardSource> {
    let model: Option<Arc<dyn RewardModel>> = match model {
        None => setup::reward_model(config).map_err(raise)?.0,
        Some(model) => {
            let options = toml::Value::Table(config.reward.options.clone()).try_into::<VlmRm>();
            let options = options.map_err(|error| PyValueError::new_err(error.to_string()))?;
            Some(Arc::new(VlmRmModel::new(model, options.alpha)))
        }
    };
    let Some(model) = model else {
        return Ok(config.reward.ground_truth().unwrap_or(RewardSource::GroundTruth));
    };
    Ok(RewardSource::Model(model, config.scoring()))
}

/// Index of the goal that a prompt names, if it names exactly one of the goals of an environment with some options (JSON).
/// Creates no world.
#[pyfunction]
pub fn goal_named_in(id: &str, options: &str, prompt: &str) -> PyResult<Option<usize>> {
    let task = registry::task(id, &table("options", options)?).map_err(raise)?;
    Ok(named_goal(&task.spec().goals, prompt))
}

/// An instruction: its sentence, and the index of its goal among the task's goals; `None` if it is of none.
type InstructionRow = (String, Option<usize>);

/// The instructions that episodes with some settings (JSON) may have. Creates no world and opens no device.
#[pyfunction]
pub fn instructions_of(settings: &str) -> PyResult<Vec<InstructionRow>> {
    let mut settings = table("settings", settings)?;
    if let Some(env) = settings.get_mut("env").and_then(toml::Value::as_table_mut) {
        let device = env.insert("device".to_owned(), "cpu".into());
        let device = device.as_ref().and_then(toml::Value::as_str).unwrap_or("cpu");
        device.parse::<RenderDevice>().map_err(|error| raise(EnvError::from(error)))?;
    }
    let (config, _) = resolve(settings)?;
    let task = config.task().map_err(raise)?;
    Ok(rows_of(&config.instructions(task.spec()).map_err(raise)?))
}

fn rows_of(instructions: &[Instruction]) -> Vec<InstructionRow> {
    instructions.iter().map(|it| (it.text.clone(), it.goal_idx)).collect()
}

/// Width of the embeddings of a model's text tower: `bundled`, a folder, or a name on the Hugging Face hub.
#[pyfunction]
pub fn text_dim(py: Python<'_>, name: &str) -> PyResult<usize> {
    let model = detached(py, || models::load(name, &ModelDevice::cpu()).map_err(raise))?;
    Ok(model.embed_dim())
}

/// Envs that step together.
#[pyclass(module = "sayso._core")]
pub struct VecEnv {
    env: ProcessLocal<sayso::envs::VecEnv>,
    device: RenderDevice,
    video_camera: &'static str,
    /// The reward, if it is a function of Python.
    function: Option<Arc<Function>>,
}

#[pymethods]
impl VecEnv {
    /// Creates a batch from settings in JSON: tables `env` and `reward`, as in a run's configuration; `reward.kind` may
    /// also be "none". `model` replaces the encoder that the settings name, `function` the reward.
    #[new]
    #[pyo3(signature = (settings, model=None, function=None))]
    fn new(
        py: Python<'_>,
        settings: &str,
        model: Option<PyRef<'_, reward_model::RewardModel>>,
        function: Option<PyRef<'_, RewardFunction>>,
    ) -> PyResult<Self> {
        let (model, function) = (model.map(|it| it.shared()), function.map(|it| it.shared()));
        let called = function.clone();
        detached(py, || {
            let (mut config, has_reward) = resolve(table("settings", settings)?)?;
            if function.is_some() {
                // A function is called once for the envs that are scored in a step.
                config.env.n_groups = 1;
            }
            use_device(&config.env.device)?;
            let source = match function {
                Some(function) => RewardSource::Model(function as Arc<dyn RewardModel>, config.scoring()),
                None if has_reward => reward_source(&config, model)?,
                None => RewardSource::None,
            };
            let text = setup::text_tower(&config.env).map_err(raise)?;
            let env = sayso::envs::VecEnv::with_plugins(&config.env, source, text, |_| {});
            let env = env.map_err(raise)?;
            let video_camera = env.task_spec().video_camera;
            Ok(Self {
                env: ProcessLocal::new(env),
                device: config.env.device,
                video_camera,
                function: called,
            })
        })
    }

    /// Starts episodes in the envs of `mask`, in all if absent; `seeds` has a seed or `None` for each env. Returns the
    /// columns.
    #[pyo3(signature = (seeds=None, mask=None))]
    fn reset<'py>(
        &mut self,
        py: Python<'py>,
        seeds: Option<Vec<Option<u64>>>,
        mask: Option<PyReadonlyArray1<'py, bool>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let mask = mask.map(|mask| mask.as_array().to_vec());
        let options = ResetOptions { seed: seeds.map(Seed::PerEnv), mask };
        let mut batch = StepBatch::default();
        use_device(&self.device)?;
        let outcome = detached(py, || self.env.reset(&options, &mut batch).map_err(raise));
        outcome.map_err(|error| self.with_cause(py, error))?;
        self.columns(py, batch)
    }

    /// Advances every env by one control step. `actions` are f32 `[n_envs, dim]`.
    fn step_continuous<'py>(
        &mut self,
        py: Python<'py>,
        actions: PyReadonlyArray2<'py, f32>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let actions = Actions::Continuous(actions.as_array().iter().copied().collect());
        self.step(py, &actions)
    }

    /// Advances every env by one control step. `actions` are i64 `[n_envs]`.
    fn step_discrete<'py>(
        &mut self,
        py: Python<'py>,
        actions: PyReadonlyArray1<'py, i64>,
    ) -> PyResult<Bound<'py, PyDict>> {
        // Negative numbers are out of range for any number of choices.
        let choice = |&choice: &i64| u32::try_from(choice).unwrap_or(u32::MAX);
        let actions = Actions::Discrete(actions.as_array().iter().map(choice).collect());
        self.step(py, &actions)
    }

    /// Renders one camera of every env, u8 `[n_envs, height, width, 3]`; the video camera if none is named.
    #[pyo3(signature = (height, width, camera=None))]
    fn render<'py>(
        &mut self,
        py: Python<'py>,
        height: usize,
        width: usize,
        camera: Option<&str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if ![height, width].iter().all(|side| PIXELS.contains(side)) {
            let (min, max) = (PIXELS.start(), PIXELS.end());
            let message =
                format!("a frame of {height} by {width} pixels; expected {min} to {max} rows and columns");
            return Err(PyValueError::new_err(message));
        }
        let camera = camera.unwrap_or(self.video_camera).to_owned();
        use_device(&self.device)?;
        let frames = detached(py, || self.env.render(&camera, height, width).map_err(raise))?;
        images(py, frames)
    }

    /// The instructions that episodes have or had; the columns `instruction` are indices into them.
    fn instructions(&self) -> Vec<InstructionRow> {
        rows_of(self.env.instructions())
    }

    /// Changes the instruction of one env's episode to the words `text`, which the reward model is given too unless there are
    /// prompts. Returns the columns of the observation that have changed.
    #[pyo3(signature = (env_idx, text, goal_prompt=None, baseline_prompt=None))]
    fn set_instruction<'py>(
        &mut self,
        py: Python<'py>,
        env_idx: usize,
        text: &str,
        goal_prompt: Option<String>,
        baseline_prompt: Option<String>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let mut instruction = Instruction::from_text(self.env.task_spec(), text);
        if let Some(prompt) = goal_prompt {
            instruction.goal_prompts = vec![prompt];
        }
        if let Some(prompt) = baseline_prompt {
            instruction.baseline_prompts = vec![prompt];
        }
        use_device(&self.device)?;
        let mut observations = Observations::default();
        detached(py, || self.env.set_instruction(env_idx, instruction, &mut observations).map_err(raise))?;
        observation(py, observations, self.env.n_envs())
    }

    /// The complete state, as bytes.
    fn snapshot(&self, py: Python<'_>) -> PyResult<Vec<u8>> {
        detached(py, || self.env.snapshot().map_err(raise))
    }

    /// Restores a state from `snapshot`.
    fn restore(&mut self, py: Python<'_>, snapshot: &[u8]) -> PyResult<()> {
        detached(py, || self.env.restore(snapshot).map_err(raise))
    }
}

impl VecEnv {
    fn step<'py>(&mut self, py: Python<'py>, actions: &Actions) -> PyResult<Bound<'py, PyDict>> {
        let mut batch = StepBatch::default();
        use_device(&self.device)?;
        let outcome = detached(py, || self.env.step(actions, &mut batch).map_err(raise));
        outcome.map_err(|error| self.with_cause(py, error))?;
        self.columns(py, batch)
    }

    /// The error with the exception of the reward's function as its cause.
    fn with_cause(&self, py: Python<'_>, error: PyErr) -> PyErr {
        match self.function.as_ref().and_then(|function| function.take_exception()) {
            None => error,
            Some(exception) if exception.is_instance_of::<PyException>(py) => {
                error.set_cause(py, Some(exception));
                error
            }
            // Such as `KeyboardInterrupt`.
            Some(exception) => exception,
        }
    }

    /// The columns as arrays that take ownership of their memory.
    fn columns<'py>(&self, py: Python<'py>, batch: StepBatch) -> PyResult<Bound<'py, PyDict>> {
        let n_envs = self.env.n_envs();
        let StepBatch {
            observations,
            rewards,
            score_weights: _,
            terminated,
            truncated,
            final_observations,
            info,
            restart_info,
        } = batch;
        let dict = PyDict::new(py);
        dict.set_item("observation", observation(py, observations, n_envs)?)?;
        let has_ended = terminated.iter().chain(&truncated).any(|&has_ended| has_ended);
        if has_ended && self.env.autoreset_mode() == AutoresetMode::SameStep {
            dict.set_item("final_observation", observation(py, final_observations, n_envs)?)?;
            dict.set_item("restart_info", info_columns(py, restart_info, n_envs)?)?;
        }
        dict.set_item("reward", PyArray1::from_vec(py, rewards))?;
        dict.set_item("terminated", PyArray1::from_vec(py, terminated))?;
        dict.set_item("truncated", PyArray1::from_vec(py, truncated))?;
        dict.set_item("info", info_columns(py, info, n_envs)?)?;
        Ok(dict)
    }
}

/// Success and ground-truth reward of every goal `[n_envs, n_goals]`, metrics `[n_envs, n_metrics]`, and per-env columns.
fn info_columns(py: Python<'_>, info: StepInfo, n_envs: usize) -> PyResult<Bound<'_, PyDict>> {
    let StepInfo { success, ground_truth_reward, metrics, instruction, episode_steps, is_reset, quarantined } =
        info;
    let rows = |len: usize| [n_envs, len / n_envs];
    let dict = PyDict::new(py);
    let (n_success, n_rewards, n_metrics) = (success.len(), ground_truth_reward.len(), metrics.len());
    dict.set_item("success", PyArray1::from_vec(py, success).reshape(rows(n_success))?)?;
    let ground_truth_reward = PyArray1::from_vec(py, ground_truth_reward);
    dict.set_item("ground_truth_reward", ground_truth_reward.reshape(rows(n_rewards))?)?;
    dict.set_item("metrics", PyArray1::from_vec(py, metrics).reshape(rows(n_metrics))?)?;
    dict.set_item("instruction", indices(py, &instruction))?;
    dict.set_item("episode_steps", PyArray1::from_vec(py, episode_steps))?;
    dict.set_item("is_reset", PyArray1::from_vec(py, is_reset))?;
    dict.set_item("quarantined", PyArray1::from_vec(py, quarantined))?;
    Ok(dict)
}

/// Every column that an observation may have: `instruction` is the index, and `pixels` an array for each camera.
fn observation<'py>(
    py: Python<'py>,
    observations: Observations,
    n_envs: usize,
) -> PyResult<Bound<'py, PyDict>> {
    let Observations { state, pixels, instruction, instruction_embedding, achieved_goal, desired_goal } =
        observations;
    let matrix = |values: Vec<f32>| match values.len() / n_envs {
        0 => Ok::<_, PyErr>(None),
        width => Ok(Some(PyArray1::from_vec(py, values).reshape([n_envs, width])?.into_any())),
    };
    let dict = PyDict::new(py);
    dict.set_item("state", matrix(state)?)?;
    let pixels = pixels.into_iter().map(|frames| images(py, frames)).collect::<PyResult<Vec<_>>>()?;
    dict.set_item("pixels", pixels)?;
    dict.set_item("instruction", indices(py, &instruction))?;
    dict.set_item("instruction_embedding", matrix(instruction_embedding)?)?;
    dict.set_item("achieved_goal", matrix(achieved_goal)?)?;
    dict.set_item("desired_goal", matrix(desired_goal)?)?;
    Ok(dict)
}

fn indices<'py>(py: Python<'py>, values: &[u32]) -> Bound<'py, PyArray1<i64>> {
    PyArray1::from_iter(py, values.iter().map(|&value| i64::from(value)))
}

fn images<'py>(py: Python<'py>, frames: Frames) -> PyResult<Bound<'py, PyAny>> {
    let shape = [frames.n_views(), frames.height(), frames.width(), Frames::N_CHANNELS];
    Ok(PyArray1::from_vec(py, frames.into_pixels()).reshape(shape)?.into_any())
}
