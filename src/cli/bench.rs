//! `sayso bench`: speed of rendering, image towers and stepping on this machine.

use std::path::PathBuf;
use std::time::Duration;

use crate::bench::{Figure, Plan, Tower, measure};
use crate::run_folder;
use crate::sim::render::RenderDevice;
use anyhow::{Context as _, Result};
use clap::Subcommand;

use super::Outcome;
use super::tables::table;

/// Measure the speed of rendering, image towers and stepping
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Debug, Subcommand)]
enum Benchmark {
    Gpu(GpuArgs),
}

/// Measure rendering, image towers with random weights, and whole steps on one device
///
/// Every figure is the median over five windows after a warm-up; the device is idle at the start and the end of a window.
/// Measurements that fail on the device, for example for lack of memory, are reported as skipped. Figures are printed to
/// stderr as they are measured, and written to a JSON file at the end.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
struct GpuArgs {
    /// Device that renders: `auto`, `cpu`, `gpu`, or a GPU by its index, PCI bus id or UUID in `sayso doctor`: `gpu:1`,
    /// `gpu:0000:01:00.0`, `gpu:GPU-0a1b2c3d-…`
    #[arg(long, value_name = "DEVICE", default_value = "gpu")]
    device: RenderDevice,
    /// Image sizes in pixels
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "64,128,224", value_parser = side)]
    sizes: Vec<usize>,
    /// Views per batch
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "256,1024,4096,8192", value_parser = count)]
    views: Vec<usize>,
    /// Image towers: b32, l14, h14
    #[arg(long, value_name = "T,T", value_delimiter = ',', default_value = "b32,l14,h14")]
    towers: Vec<Tower>,
    /// Images per batch of the image towers
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "32", value_parser = count)]
    images: Vec<usize>,
    /// Numbers of environments for whole steps
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "64,1024", value_parser = count)]
    envs: Vec<usize>,
    /// Image towers for whole steps, in addition to the bundled model
    #[arg(long, value_name = "T,T", value_delimiter = ',')]
    step_towers: Vec<Tower>,
    /// Length of a measurement window
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    window: Duration,
    /// JSON file to write
    #[arg(long, value_name = "FILE.json", default_value = "bench-gpu.json")]
    out: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  sayso bench gpu --step-towers l14
  sayso bench gpu --device cpu --views 64 --sizes 64 --towers b32 --envs 64 --window 0.2
  sayso bench gpu --device gpu:1 --out gpu-1.json";

/// Runs the command.
pub fn run(args: &Args, is_quiet: bool) -> Result<Outcome> {
    let Benchmark::Gpu(args) = &args.benchmark;
    let plan = Plan {
        device: args.device.clone(),
        sizes: args.sizes.clone(),
        n_views: args.views.clone(),
        towers: args.towers.clone(),
        n_images: args.images.clone(),
        n_envs: args.envs.clone(),
        step_towers: args.step_towers.clone(),
        window: args.window,
    };
    let report = measure(&plan, |figure| {
        if !is_quiet {
            eprintln!("{}: {}", figure.what, describe(figure));
        }
    })?;
    let json = serde_json::to_vec_pretty(&report).context("cannot encode the figures")?;
    run_folder::write_atomically(&args.out, &json)?;
    let mut figures = table(["Measurement", "Rate"]);
    for figure in &report.figures {
        figures.add_row([figure.what.clone(), describe(figure)]);
    }
    print_line!(
        "{figures}\nRenderer: {}; image towers: {}; {}.\nWritten: {}",
        report.device,
        report.tensor_device,
        report.route,
        args.out.display()
    )?;
    Ok(Outcome::Done)
}

fn describe(figure: &Figure) -> String {
    match (figure.rate, &figure.skipped) {
        (Some(rate), _) => {
            let part = figure.of_tower_alone;
            let part =
                part.map_or_else(String::new, |part| format!(", {:.0}% of the tower alone", 100.0 * part));
            let n = figure.n_read_backs;
            let n = n.map_or_else(String::new, |n| format!(", {n} read-backs"));
            let decimals = if rate < 100.0 { 1 } else { 0 };
            format!("{rate:.decimals$} {}{part}{n}", figure.unit)
        }
        (None, reason) => format!("skipped: {}", reason.as_deref().unwrap_or("unknown reason")),
    }
}

fn count(text: &str) -> Result<usize, String> {
    in_range(text, 1, 1_000_000)
}

fn side(text: &str) -> Result<usize, String> {
    in_range(text, 1, 4096)
}

fn in_range(text: &str, low: usize, high: usize) -> Result<usize, String> {
    let number = text.parse().ok().filter(|n| (low..=high).contains(n));
    number.ok_or_else(|| format!("expected a number from {low} to {high}"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|s: &f64| (0.001..=600.0).contains(s));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "expected seconds from 0.001 to 600".into())
}
