//! `sayso bench gpu`: how fast a device draws, embeds and steps.
//!
//! Every figure is the median over windows of time, each begun when the device is idle and ended when it is idle again, after a
//! warm-up. What a device cannot hold is reported as skipped, with the reason.

mod drawing;
mod encoder;
mod step;

use std::time::{Duration, Instant};

use sayso_sim::render::{Backend, DrawOn};
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
    pub device: DrawOn,
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
    pub tensor_device: &'static str,
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
    let backend = Backend::open(&plan.device).map_err(sayso_envs::EnvError::from)?;
    drawing::measure(plan, &mut add)?;
    encoder::measure(plan, &mut add)?;
    step::measure(plan, &mut add)?;
    Ok(Report { machine: machine::facts(), device: backend.name(), tensor_device: "cpu", figures })
}

/// Calls a second, times what a call does: the median over windows after a warm-up. A call returns when its work is done.
fn rate(window: Duration, per_call: usize, mut call: impl FnMut() -> Result<()>) -> Result<(f64, [f64; 2])> {
    for _ in 0..2 {
        call()?;
    }
    let mut rates = Vec::with_capacity(N_WINDOWS);
    for _ in 0..N_WINDOWS {
        let (started, mut n_calls) = (Instant::now(), 0);
        while n_calls == 0 || started.elapsed() < window {
            call()?;
            n_calls += 1;
        }
        rates.push((n_calls * per_call) as f64 / started.elapsed().as_secs_f64());
    }
    rates.sort_by(f64::total_cmp);
    Ok((rates[N_WINDOWS / 2], [rates[0], rates[N_WINDOWS - 1]]))
}

impl Figure {
    fn new(what: String, unit: &'static str, (rate, spread): (f64, [f64; 2])) -> Self {
        Self { what, unit, rate: Some(rate), spread: Some(spread), bytes_per_view: None, skipped: None }
    }

    fn skipped(what: String, unit: &'static str, reason: String) -> Self {
        Self { what, unit, rate: None, spread: None, bytes_per_view: None, skipped: Some(reason) }
    }
}
