//! `sayso bench gpu`: speed of rendering, embedding and stepping on one device.
//!
//! Every figure is the median over windows of time after a warm-up; each window begins and ends with an idle device. What
//! does not fit on the device is reported as skipped, with the reason.

mod encoder;
mod rendering;
mod step;

use std::time::{Duration, Instant};

use sayso_envs::EnvError;
use sayso_rewards::{ModelDevice, RewardError};
use sayso_sim::SimError;
use sayso_sim::render::{Backend, RenderDevice};
use serde::Serialize;

use crate::error::Result;
use crate::machine;

pub use encoder::Tower;

/// Windows per figure.
const N_WINDOWS: usize = 5;

/// What is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The device that renders.
    pub device: RenderDevice,
    /// Sides of the square frames, pixels.
    pub sizes: Vec<usize>,
    /// Views per batch, one per env.
    pub n_views: Vec<usize>,
    /// Image towers, with random weights.
    pub towers: Vec<Tower>,
    /// Images per batch of the towers.
    pub n_images: Vec<usize>,
    /// Envs of the whole step.
    pub n_envs: Vec<usize>,
    /// Towers of the whole step, beside the bundled model.
    pub step_towers: Vec<Tower>,
    /// Minimum length of a window.
    pub window: Duration,
}

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// The unit of the rate.
    pub unit: &'static str,
    /// Median rate per second over windows; `None` if skipped.
    pub rate: Option<f64>,
    /// Rates of the slowest and the fastest window.
    pub spread: Option<[f64; 2]>,
    /// Bytes per view on the device, if known.
    pub bytes_per_view: Option<u64>,
    /// How often frames were copied to the host during the measurement, if a GPU rendered.
    pub n_read_backs: Option<u64>,
    /// Rate of the whole step, as a share of the rate of its tower alone.
    pub of_tower_alone: Option<f64>,
    /// Why the figure was skipped.
    pub skipped: Option<String>,
}

/// All figures, and the machine and devices that they were measured on.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Facts about the machine, as reported by `sayso doctor`.
    pub machine: Vec<(String, String)>,
    /// The device that rendered.
    pub device: String,
    /// The device that embedded.
    pub tensor_device: String,
    /// How frames reached the device that embedded.
    pub route: String,
    /// The figures, in the order of measurement.
    pub figures: Vec<Figure>,
}

/// Measures every figure of the plan and calls `on_figure` with each.
///
/// # Errors
/// If the device is absent or fails, or an environment does.
pub fn measure(plan: &Plan, mut on_figure: impl FnMut(&Figure)) -> Result<Report> {
    let mut figures = Vec::new();
    let mut add = |figure: Figure| {
        on_figure(&figure);
        figures.push(figure);
    };
    // Keeps the device open from figure to figure.
    let backend = Backend::open(&plan.device).map_err(EnvError::from)?;
    let model_device = ModelDevice::for_renderer(backend.gpu())?;
    rendering::measure(plan, &mut add)?;
    encoder::measure(plan, &model_device, &mut add)?;
    step::measure(plan, &backend, &model_device, &mut add)?;
    Ok(Report {
        machine: machine::facts(),
        device: backend.name(),
        tensor_device: model_device.to_string(),
        route: model_device.route().to_string(),
        figures,
    })
}

/// Work to time: called repeatedly, and finished at the end of a window, so that the next begins with an idle device.
trait Work {
    fn call(&mut self) -> Result<()>;

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

impl<F: FnMut() -> Result<()>> Work for F {
    fn call(&mut self) -> Result<()> {
        self()
    }
}

/// A rate per second: the median over windows, and those of the slowest and the fastest.
#[derive(Clone, Copy, Debug)]
struct Rate {
    median: f64,
    spread: [f64; 2],
}

/// Whether the request does not fit on the device.
fn is_too_much(error: &crate::Error) -> bool {
    matches!(error.sim_error(), Some(SimError::GpuLimit { .. } | SimError::GpuMemory { .. }))
        || matches!(error.reward_error(), Some(RewardError::OutOfMemory { .. }))
}

/// Calls per second times `per_call`, after a warm-up.
fn rate(window: Duration, per_call: usize, work: &mut dyn Work) -> Result<Rate> {
    for _ in 0..2 {
        work.call()?;
    }
    work.finish()?;
    let mut rates = Vec::with_capacity(N_WINDOWS);
    for _ in 0..N_WINDOWS {
        let (started, mut n_calls) = (Instant::now(), 0);
        while n_calls == 0 || started.elapsed() < window {
            work.call()?;
            n_calls += 1;
        }
        work.finish()?;
        rates.push((n_calls * per_call) as f64 / started.elapsed().as_secs_f64());
    }
    rates.sort_by(f64::total_cmp);
    Ok(Rate { median: rates[N_WINDOWS / 2], spread: [rates[0], rates[N_WINDOWS - 1]] })
}

impl Figure {
    fn new(what: String, unit: &'static str, rate: Rate) -> Self {
        let none = Self::skipped(what, unit, String::new());
        Self { rate: Some(rate.median), spread: Some(rate.spread), skipped: None, ..none }
    }

    /// The figure, skipped if the request does not fit on the device; any other failure is returned.
    fn of(what: String, unit: &'static str, measured: Result<Rate>) -> Result<Self> {
        match measured {
            Ok(rate) => Ok(Self::new(what, unit, rate)),
            Err(error) if is_too_much(&error) => Ok(Self::skipped(what, unit, error.to_string())),
            Err(error) => Err(error),
        }
    }

    fn skipped(what: String, unit: &'static str, reason: String) -> Self {
        Self {
            what,
            unit,
            rate: None,
            spread: None,
            bytes_per_view: None,
            n_read_backs: None,
            of_tower_alone: None,
            skipped: Some(reason),
        }
    }
}
