//! `sayso bench gpu`: how fast a device draws, embeds and steps.
//!
//! Every figure is the median over windows of time, each begun when the device is idle and ended when it is idle again, after a
//! warm-up. What a device cannot hold is reported as skipped, with the reason.

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

/// Windows of a figure.
const N_WINDOWS: usize = 5;

/// What is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What draws.
    pub device: RenderDevice,
    /// Rows and columns of pictures.
    pub sizes: Vec<usize>,
    /// Views of a batch, one an env.
    pub n_views: Vec<usize>,
    /// Image towers, with random weights.
    pub towers: Vec<Tower>,
    /// Pictures of a batch for them.
    pub n_images: Vec<usize>,
    /// Envs of the whole step.
    pub n_envs: Vec<usize>,
    /// Towers of the whole step, beside the bundled model.
    pub step_towers: Vec<Tower>,
    /// How long a window is, at least.
    pub window: Duration,
}

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// What the rate counts.
    pub unit: &'static str,
    /// A second, median over windows; absent if it was skipped.
    pub rate: Option<f64>,
    /// The slowest and the fastest window.
    pub spread: Option<[f64; 2]>,
    /// Bytes on the device that are there for each view, where that is known.
    pub bytes_per_view: Option<u64>,
    /// How often pictures were copied to the host meanwhile, where a graphics processor drew.
    pub n_read_backs: Option<u64>,
    /// Images a second of the whole step for those of its tower alone.
    pub of_tower_alone: Option<f64>,
    /// Why there is no figure.
    pub skipped: Option<String>,
}

/// All figures, and where they were taken.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Facts about the machine, as `doctor` tells them.
    pub machine: Vec<(String, String)>,
    /// What drew.
    pub device: String,
    /// What embedded.
    pub tensor_device: String,
    /// How frames got there.
    pub route: String,
    /// The figures, in the order in which they were taken.
    pub figures: Vec<Figure>,
}

/// Takes every figure of the plan; `told` hears of each.
///
/// # Errors
/// If the device is absent or fails, or an environment does.
pub fn measure(plan: &Plan, mut told: impl FnMut(&Figure)) -> Result<Report> {
    let mut figures = Vec::new();
    let mut add = |figure: Figure| {
        told(&figure);
        figures.push(figure);
    };
    // Keeps the device open from figure to figure.
    let backend = Backend::open(&plan.device).map_err(EnvError::from)?;
    let model_device = ModelDevice::beside(backend.gpu())?;
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

/// What is timed: called again and again, and finished at the end of a window, so that the next begins with an idle device.
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

/// A second; the median over windows, the slowest and the fastest.
#[derive(Clone, Copy, Debug)]
struct Rate {
    median: f64,
    spread: [f64; 2],
}

/// Whether a device cannot hold what was asked of it.
fn is_too_much(error: &crate::Error) -> bool {
    matches!(error.sim_error(), Some(SimError::GpuLimit { .. } | SimError::GpuMemory { .. }))
        || matches!(error.reward_error(), Some(RewardError::OutOfMemory { .. }))
}

/// Calls a second, times what a call does, after a warm-up.
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

    /// The figure, or that the device cannot hold it; any other failure ends the measurement.
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
