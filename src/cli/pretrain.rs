//! `sayso pretrain`: trains a reward model like the bundled one on images of the simulator.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::config::Layers;
use crate::interrupt;
use crate::pretrain::{
    CHECKPOINT, ModelEvalConfig, PretrainConfig, PretrainReport, Pretraining, evaluate_model, model_card,
};
use crate::progress::Progress;
use crate::rewards::ModelDevice;
use crate::{Error, models, run_folder};
use anyhow::{Context as _, Result};

use super::Outcome;
use super::failure::BadInput;
use super::tables::table;

/// Subfolder of the finished model.
const MODEL: &str = "model";

/// Pretrain a reward model on the simulator's images and captions
///
/// Trains a small CLIP on images of sampled states of all tasks and their captions, with ground truth as the training
/// signal. The result is a checkpoint in Hugging Face format, for `sayso train --model FOLDER/model`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Folder to create
    #[arg(long, value_name = "FOLDER", default_value = "pretrained")]
    out: PathBuf,
    /// Folder of an interrupted pretraining run to continue
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["out", "from", "config", "images", "seed"])]
    resume: Option<PathBuf>,
    /// Folder of a pretraining run whose weights and configuration to start from, with a new learning rate schedule
    #[arg(long, value_name = "FOLDER")]
    from: Option<PathBuf>,
    /// TOML file whose keys override the defaults
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
    /// Number of training images, each used once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    images: Option<i64>,
    /// Random seed of the weights and of all images
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    seed: Option<i64>,
}

const EXAMPLES: &str = "\
Examples:
  sayso pretrain --out mine
  sayso pretrain --resume mine
  sayso pretrain --from mine --images 200000 --seed 1 --out better
  sayso train --model mine/model";

/// Runs the command.
pub fn run(args: &Args, is_quiet: bool) -> Result<Outcome> {
    interrupt::listen("Finishing this step, then saving.")?;
    let (mut pretraining, folder) = match &args.resume {
        Some(folder) => (resume(folder)?, folder),
        None => (start(args)?, &args.out),
    };
    let total = pretraining.config().n_steps();
    let mut progress = Progress::new("pretraining", "steps", total, pretraining.n_steps(), is_quiet);
    let on_step = |report: &PretrainReport| {
        progress.update(report.n_steps, message(report));
        if interrupt::is_requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    pretraining.run(folder, on_step).map_err(Error::from)?;
    progress.finish();
    if interrupt::is_requested() && pretraining.n_steps() < total {
        eprintln!("Saved. Continue with: sayso pretrain --resume {}", folder.display());
        return Ok(Outcome::Interrupted);
    }
    let model = folder.join(MODEL);
    pretraining.export(&model).map_err(Error::from)?;
    evaluate_and_describe(&pretraining, &model)?;
    print_line!("Written: {0}\nUse it with: sayso train --model {0}", model.display())?;
    Ok(Outcome::Done)
}

/// Evaluates the finished model on held-out scenes, prints the results, and writes the model card.
fn evaluate_and_describe(pretraining: &Pretraining, folder: &Path) -> Result<()> {
    let name = folder.display().to_string();
    let model = models::load(&name, &ModelDevice::cpu())?;
    let mut evaluations = Vec::new();
    let mut table = table(["Task", "Goal", "Rank correlation with ground truth", "AUC of success"]);
    for task in pretraining.tasks() {
        let evaluation =
            evaluate_model(&**task, &*model, &ModelEvalConfig::default()).map_err(Error::from)?;
        for goal in &evaluation.goals {
            table.add_row([
                goal.task.clone(),
                goal.goal.clone(),
                format!("{:.3}", goal.averaged),
                format!("{:.3}", goal.auc),
            ]);
        }
        evaluations.push(evaluation);
    }
    let card = model_card(pretraining, &evaluations, models::frames_per_sec(&*model)?);
    run_folder::write_atomically(&folder.join("README.md"), card.as_bytes())?;
    print_line!("Held-out scenes:\n{table}")?;
    Ok(())
}

fn start(args: &Args) -> Result<Pretraining> {
    let mut layers = Layers::default();
    if let Some(from) = &args.from {
        expect_checkpoint(from)?;
        let config = Pretraining::saved_config(from).map_err(Error::from)?;
        layers.add_text(&as_toml(&config)?, from)?;
    }
    if let Some(path) = &args.config {
        layers.add_file(path)?;
    }
    if let Some(images) = args.images {
        layers.set("n_images", images);
    }
    if let Some(seed) = args.seed {
        layers.set("seed", seed);
    }
    let config: PretrainConfig = layers.finish()?;
    let text = as_toml(&config)?;
    let pretraining = match &args.from {
        Some(from) => Pretraining::starting_from(config, from),
        None => Pretraining::new(config),
    };
    let pretraining = pretraining.map_err(Error::from)?;
    run_folder::create_empty(&args.out, &[])?;
    run_folder::write_atomically(&args.out.join(run_folder::CONFIG), text.as_bytes())?;
    Ok(pretraining)
}

fn as_toml(config: &PretrainConfig) -> Result<String> {
    toml::to_string_pretty(config).context("cannot write the configuration as TOML")
}

fn resume(folder: &Path) -> Result<Pretraining> {
    expect_checkpoint(folder)?;
    Ok(Pretraining::resume(folder).map_err(Error::from)?)
}

fn expect_checkpoint(folder: &Path) -> Result<()> {
    if folder.join(CHECKPOINT).is_file() {
        return Ok(());
    }
    let message = format!("{} contains no {CHECKPOINT}", folder.display());
    Err(BadInput::refuse(message, "start with `sayso pretrain --out FOLDER`"))
}

fn message(report: &PretrainReport) -> String {
    format!(
        "{:.0} images/s  contrastive {:.3}  axes {:.4}  order {:.4}  positions {:.4}  landmarks {:.4}  patches {:.3}",
        report.images_per_sec,
        report.contrastive,
        report.axes,
        report.order,
        report.positions,
        report.landmarks,
        report.patches
    )
}
