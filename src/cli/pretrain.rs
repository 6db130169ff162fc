//! `sayso pretrain`: makes a reward model like the bundled one, from pictures that the simulator draws.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sayso::agents::pretrain::{
    CHECKPOINT, ExamConfig, PretrainConfig, PretrainReport, Pretraining, examine, model_card,
};
use sayso::config::Layers;
use sayso::rewards::JudgeDevice;
use sayso::{Error, models, run_folder};

use super::Outcome;
use super::failure::BadInput;
use super::tables::table;
use crate::interrupt;
use crate::progress::Progress;

/// Name of the finished model in the folder.
const MODEL: &str = "model";

/// Make a reward model from pictures and captions that the simulator makes
///
/// Trains a small CLIP, contrastively, on scattered states of all tasks and what can be said about them. The result is a
/// checkpoint in Hugging Face form that `sayso train --model FOLDER/model` reads.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Folder to create
    #[arg(long, value_name = "FOLDER", default_value = "pretrained")]
    out: PathBuf,
    /// Go on in a folder where a pretraining was interrupted
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["out", "from", "config", "pictures", "seed"])]
    resume: Option<PathBuf>,
    /// Start from the weights and the settings of another pretraining, with a learning rate that rises and falls anew
    #[arg(long, value_name = "FOLDER")]
    from: Option<PathBuf>,
    /// A TOML file laid over the defaults
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
    /// Pictures to learn from, each drawn once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    pictures: Option<i64>,
    /// Seed of the weights and of all pictures
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    seed: Option<i64>,
}

const EXAMPLES: &str = "\
Examples:
  sayso pretrain --out mine
  sayso pretrain --resume mine
  sayso pretrain --from mine --pictures 200000 --seed 1 --out better
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
        if interrupt::is_asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    pretraining.run(folder, on_step).map_err(Error::from)?;
    progress.finish();
    if interrupt::is_asked() && pretraining.n_steps() < total {
        eprintln!("Saved. Continue with: sayso pretrain --resume {}", folder.display());
        return Ok(Outcome::Interrupted);
    }
    let model = folder.join(MODEL);
    pretraining.export(&model).map_err(Error::from)?;
    examine_and_describe(&pretraining, &model)?;
    println!("Written: {0}\nUse it with: sayso train --model {0}", model.display());
    Ok(Outcome::Done)
}

/// Examines the finished model on held-out scenes, prints what came out, and writes the model card.
fn examine_and_describe(pretraining: &Pretraining, folder: &Path) -> Result<()> {
    let name = folder.display().to_string();
    let model = models::load(&name, &JudgeDevice::cpu())?;
    let mut exams = Vec::new();
    let mut table = table(["Task", "Goal", "Rank correlation with the truth", "AUC of the goal"]);
    for task in pretraining.tasks() {
        let exam = examine(&**task, &*model, &ExamConfig::default()).map_err(Error::from)?;
        for goal in &exam.goals {
            table.add_row([
                goal.task.clone(),
                goal.goal.clone(),
                format!("{:.3}", goal.averaged),
                format!("{:.3}", goal.auc),
            ]);
        }
        exams.push(exam);
    }
    println!("On held-out scenes:\n{table}");
    let card = model_card(pretraining, &exams, models::frames_per_sec(&*model)?);
    Ok(run_folder::write_atomically(&folder.join("README.md"), card.as_bytes())?)
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
    if let Some(pictures) = args.pictures {
        layers.set("n_pictures", pictures);
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
    run_folder::create_fresh(&args.out, &[])?;
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
    let message = format!("{} holds no {CHECKPOINT}", folder.display());
    Err(BadInput::refuse(message, "start with `sayso pretrain --out FOLDER`"))
}

fn message(report: &PretrainReport) -> String {
    format!(
        "{:.0} pictures/s  contrastive {:.3}  axes {:.4}  order {:.4}  positions {:.4}  landmarks {:.4}  patches {:.3}",
        report.pictures_per_sec,
        report.contrastive,
        report.axes,
        report.order,
        report.positions,
        report.landmarks,
        report.patches
    )
}
