//! `sayso doctor`: the devices and models of this machine.

use std::path::PathBuf;

use crate::envs::EnvConfig;
use crate::rewards::{ImageTextModel as _, ModelDevice};
use crate::sim::render::{DeviceChoice, RenderDevice, adapters};
use crate::{machine, models, setup};
use anyhow::Result;

use super::Outcome;
use super::tables::table;

/// List the devices, SIMD features and models of this machine
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  sayso doctor\n  sayso doctor --model openai/clip-vit-base-patch32")]
pub struct Args {
    /// Also load this model and measure its speed
    #[arg(long, value_name = "MODEL")]
    model: Vec<String>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Outcome> {
    let mut machine_table = table(["Machine", ""]);
    for (label, value) in machine::facts() {
        machine_table.add_row([label, value]);
    }
    print_line!("{machine_table}\n")?;

    let mut device_table = table(["--device", "Renderer", "Reward model"]);
    for row in devices() {
        device_table.add_row(row);
    }
    print_line!("{device_table}\n")?;

    let mut model_table = table(["Model", "Image size", "Embedding", "Frames/s"]);
    for name in std::iter::once("bundled").chain(args.model.iter().map(String::as_str)) {
        model_table.add_row(describe(name)?);
    }
    print_line!("{model_table}\n")?;

    let cached = hub_models();
    match cached.as_slice() {
        [] => {
            print_line!("No models in the Hugging Face cache; the bundled model does not need it.")?;
        }
        names => print_line!("In the Hugging Face cache: {}", names.join(", "))?,
    }
    Ok(Outcome::Done)
}

/// The renderer and the device of the reward model for each `--device`, and the one that `auto` selects. Opens every
/// device.
fn devices() -> Vec<[String; 3]> {
    let chosen = RenderDevice::Auto.resolve();
    let label = |name: String, is_chosen: bool| if is_chosen { format!("{name}\n(auto)") } else { name };
    let env = |device: RenderDevice| EnvConfig { device, ..EnvConfig::default() };
    let model_device = |device: RenderDevice| match setup::model_device(&env(device)) {
        Ok(model_device) => format!("{model_device}\n{}", model_device.route()).replace(": ", ":\n"),
        Err(error) => error.to_string().replace(": ", ":\n"),
    };
    let on_cpu = label("cpu".to_owned(), chosen == RenderDevice::Cpu);
    let mut rows = vec![[on_cpu, "the CPU".to_owned(), model_device(RenderDevice::Cpu)]];
    for (index, adapter) in adapters().into_iter().enumerate() {
        let name = label(format!("gpu:{index}"), index == 0 && chosen != RenderDevice::Cpu);
        let uuid = adapter.uuid.map_or_else(String::new, |uuid| format!("\n{uuid}"));
        let renderer = format!("{adapter}{uuid}\n{}", adapter.driver);
        rows.push([name, renderer, model_device(RenderDevice::Gpu(DeviceChoice::Index(index)))]);
    }
    rows
}

fn describe(name: &str) -> Result<[String; 4]> {
    let model = models::load(name, &ModelDevice::cpu())?;
    let spec = model.image_spec();
    let per_sec = models::frames_per_sec(&*model)?;
    Ok([
        name.to_owned(),
        format!("{} x {} pixels", spec.height, spec.width),
        format!("{} dimensions", model.embed_dim()),
        format!("{per_sec:.0}"),
    ])
}

/// Names of the models in the hub's cache, from the names of its folders (`models--owner--name`).
fn hub_models() -> Vec<String> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/huggingface"));
    let root = std::env::var_os("HF_HOME").map(PathBuf::from).or_else(home);
    let entries =
        root.and_then(|root| std::fs::read_dir(root.join("hub")).ok()).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            entry.file_name().to_str()?.strip_prefix("models--").map(|name| name.replacen("--", "/", 1))
        })
        .collect();
    names.sort();
    names
}
