//! Reward models that are functions of Python.

use std::sync::{Arc, Mutex, PoisonError};

use numpy::ndarray::Array2;
use numpy::{IntoPyArray as _, PyArray1, PyArrayMethods as _, PyReadonlyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use sayso::rewards::{Feature, FrameSelection, Result, RewardError, RewardModel, Windows};
use sayso::sim::{FrameRequest, ImageSpec};

/// A function of frames and instructions, as a reward model.
#[pyclass(module = "sayso._core", frozen)]
pub struct RewardFunction {
    function: Arc<Function>,
}

#[pymethods]
impl RewardFunction {
    /// `function(frames, instructions)` gets u8 `[n, n_frames, n_views, height, width, 3]` and `n` texts, and with more than one
    /// frame `mask`, bool `[n, n_frames]`; it returns `n` scores.
    #[new]
    fn new(function: Py<PyAny>, image_size: (usize, usize), n_frames: u32, stride: u32) -> Self {
        let frames = match n_frames {
            1 => FrameSelection::Last,
            n_frames => FrameSelection::Window { n_frames, stride },
        };
        Self { function: Arc::new(Function { function, image_size, frames, exception: Mutex::new(None) }) }
    }
}

impl RewardFunction {
    /// The reward model, shared.
    pub fn shared(&self) -> Arc<Function> {
        self.function.clone()
    }
}

/// The reward model that calls a function.
pub struct Function {
    function: Py<PyAny>,
    image_size: (usize, usize),
    frames: FrameSelection,
    /// The exception of the last call that failed.
    exception: Mutex<Option<PyErr>>,
}

impl Function {
    /// The exception of the last call that failed, once.
    pub fn take_exception(&self) -> Option<PyErr> {
        self.exception.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl RewardModel for Function {
    fn frame_request(&self) -> FrameRequest {
        let (height, width) = self.image_size;
        FrameRequest::on_host(ImageSpec { height, width, mean: [0.0; 3], std: [1.0; 3] })
    }

    fn feature(&self) -> Feature {
        Feature::Pixels
    }

    fn frames(&self) -> FrameSelection {
        self.frames
    }

    fn score(&self, windows: &Windows<'_>, out: &mut [f32]) -> Result<()> {
        let scores = Python::attach(|py| {
            let called = self.call(py, windows);
            called.map_err(|error| {
                let reason = error.to_string();
                *self.exception.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                RewardError::Failed { reason }
            })
        })?;
        if scores.len() != out.len() {
            return Err(RewardError::WrongLength { what: "scores", expected: out.len(), got: scores.len() });
        }
        out.copy_from_slice(&scores);
        Ok(())
    }
}

impl Function {
    fn call(&self, py: Python<'_>, windows: &Windows<'_>) -> PyResult<Vec<f32>> {
        let (height, width) = self.image_size;
        let (n_rows, n_frames, n_views) = (windows.n_rows(), windows.n_frames(), windows.n_views());
        let frame_len = n_views * height * width * 3;
        let mut pixels = Vec::with_capacity(n_rows * n_frames * frame_len);
        for row in 0..n_rows {
            for frame in 0..n_frames {
                match windows.pixels(row, frame) {
                    Some(frame) => pixels.extend_from_slice(frame),
                    None => pixels.resize(pixels.len() + frame_len, 0),
                }
            }
        }
        let shape = [n_rows, n_frames, n_views, height, width, 3];
        let frames = PyArray1::from_vec(py, pixels).reshape(shape)?;
        let instructions: Vec<&str> = (0..n_rows).map(|row| windows.text(row).instruction.as_str()).collect();
        let kwargs = PyDict::new(py);
        if 1 < n_frames {
            let mask =
                Array2::from_shape_fn((n_rows, n_frames), |(row, frame)| windows.is_present(row, frame));
            kwargs.set_item("mask", mask.into_pyarray(py))?;
        }
        let scores = self.function.bind(py).call((frames, instructions), Some(&kwargs))?;
        let float32 = py.import("numpy")?.call_method1("asarray", (scores, "float32"))?;
        let Ok(scores) = float32.extract::<PyReadonlyArray1<'_, f32>>() else {
            let shape = float32.getattr("shape")?;
            return Err(PyValueError::new_err(format!("scores have shape {shape}; expected ({n_rows},)")));
        };
        Ok(scores.as_array().to_vec())
    }
}
