//! `sayso train`: training of a policy, and its run folder.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::agents::{Checkpoint, TrainObserver, UpdateReport, train};
use crate::config::{Layers, RunConfig};
use crate::envs::VectorEnv as _;
use crate::interrupt;
use crate::metrics::MetricsRow;
use crate::progress::Progress;
use crate::results::Summary;
use crate::run_folder::{self, RunFolder, RunLog};
use crate::setup::{self, Models};
use crate::sim::render::Backend;
use anyhow::{Context as _, Result};

use super::args::{ConfigArgs, DeviceArgs};
use super::failure::BadInput;
use super::measure::RunPolicy;
use super::seeds::{self, Seeds};
use super::text::printable;
use super::{Outcome, measure, report};

/// Train a policy with rewards computed from a goal prompt
///
/// Without arguments, a robot arm is trained to touch the red ball. Rewards are computed from rendered frames and the goal
/// prompt "the gripper touching the red ball". Ground truth is logged, and is never part of the reward.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Total number of environment steps, over all environments
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..), help_heading = "Run")]
    steps: Option<i64>,
    /// Run folder to create [default: the next free one in runs/]
    #[arg(long, value_name = "FOLDER", help_heading = "Run")]
    out: Option<PathBuf>,
    /// Train a run for each of these seeds, one after the other, and compare them: `0..4` (0 to 3) or `1,5,9`
    #[arg(long, value_name = "SEEDS", conflicts_with_all = ["seed", "resume"], help_heading = "Run")]
    seeds: Option<Seeds>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Run folder to continue, or folder of --seeds: from its newest checkpoint, or with the report that is missing; allows only --steps and --device
    #[arg(long, value_name = "RUN", conflicts_with_all = ["ConfigArgs", "out"], help_heading = "Run")]
    resume: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  sayso train --goal-prompt 'the gripper touching the blue ball' --seed 3
  sayso train --env CartPole-v1 --steps 100000
  sayso train --env GoTo-v1 --obs both --out runs/go-to
  sayso train --instruction all --paraphrases training --obs state,instruction-embedding
  sayso train --config mine.toml --set train.ppo.learning_rate=5e-4
  sayso train --resume runs/reach-001

Files:
  config.toml, metrics.jsonl, a TensorBoard event file, checkpoints/, evaluations/, videos/, frames/, report.html,
  summary.json";

/// Runs the command.
pub fn run(args: Args, is_quiet: bool) -> Result<Outcome> {
    interrupt::listen("Finishing this update, then saving.")?;
    match (&args.resume, &args.seeds) {
        (Some(root), _) if !run_folder::is_run(root) && run_folder::runs_in(root).is_ok() => {
            seeds::run(root, args.steps, &args.device, is_quiet)
        }
        (Some(root), _) => Session::resume(root, args.steps, &args.device)?.run(root, is_quiet),
        (None, Some(seeds)) => {
            let root = start_several(&args, seeds)?;
            seeds::run(&root, None, &args.device, is_quiet)
        }
        (None, None) => {
            let session = Session::start(&args)?;
            let root = session.folder.root().to_owned();
            session.run(&root, is_quiet)
        }
    }
}

/// The configuration of the arguments, with another seed if one is given.
fn config(args: &Args, seed: Option<u64>) -> Result<RunConfig> {
    let steps = args.steps.map(|steps| ("train.total_steps", steps.into()));
    let further: Vec<_> = steps.into_iter().chain(args.device.setting()).collect();
    let mut flags = args.config.clone();
    if let Some(seed) = seed {
        flags.seed = Some(i64::try_from(seed)?);
    }
    flags.resolve(&further)
}

/// Creates the run folders of several seeds in a new folder.
fn start_several(args: &Args, seeds: &Seeds) -> Result<PathBuf> {
    let configs = seeds.0.iter().map(|&seed| config(args, Some(seed))).collect::<Result<Vec<_>>>()?;
    if configs.iter().map(|config| config.train.seed).ne(seeds.0.iter().copied()) {
        return Err(BadInput::refuse("train.seed is set beside --seeds", "leave out one of them"));
    }
    if let Some(first) = configs.first() {
        if first.instructions(first.task()?.spec())?.iter().all(|it| it.goal_idx.is_none()) {
            let message =
                "the goal prompt names no goal of the task, so that runs have no success to compare";
            return Err(BadInput::refuse(message, "train single runs with --seed"));
        }
        setup::rehearse(first, &Models::load(first)?)?;
    }
    let root = match (&args.out, configs.first()) {
        (Some(root), _) => {
            run_folder::create_empty(root, &[])?;
            root.clone()
        }
        (None, first) => {
            run_folder::create_next(Path::new("runs"), first.map_or("run", |config| &config.env.id))?
        }
    };
    seeds::create(&root, &configs)?;
    Ok(root)
}

/// One session of a run.
pub struct Session {
    config: RunConfig,
    folder: RunFolder,
    models: Models,
    checkpoint: Option<Checkpoint>,
    elapsed_secs: f64,
    /// Keeps the device open between the envs of training and those of evaluation.
    backend: Backend,
}

impl Session {
    fn start(args: &Args) -> Result<Self> {
        let config = config(args, None)?;
        // What is absent or does not fit fails before anything is written; the envs share the open device.
        let backend = Backend::open(&config.env.device).map_err(crate::Error::from)?;
        let models = Models::load(&config)?;
        setup::rehearse(&config, &models)?;
        let config_toml = config.to_toml()?;
        let folder = match &args.out {
            Some(root) => RunFolder::create(root, &config_toml)?,
            None => RunFolder::create_next(Path::new("runs"), &config.env.id, &config_toml)?,
        };
        Ok(Self { config, folder, models, checkpoint: None, elapsed_secs: 0.0, backend })
    }

    fn resume(root: &Path, steps: Option<i64>, device: &DeviceArgs) -> Result<Self> {
        Self::open(root, steps, device)?.ok_or_else(|| {
            let message = format!("{} is complete", root.display());
            BadInput::refuse(message, "continue with a larger --steps")
        })
    }

    /// Writes a number of steps and a device into the configuration of a run, so that every later session has them.
    pub fn configure(root: &Path, steps: Option<i64>, device: &DeviceArgs) -> Result<()> {
        if steps.is_some() || device.device.is_some() {
            let config = Self::config_of(root, steps, device)?;
            RunFolder::open(root)?.write_config(&config.to_toml()?)?;
        }
        Ok(())
    }

    fn config_of(root: &Path, steps: Option<i64>, device: &DeviceArgs) -> Result<RunConfig> {
        let mut layers = Layers::default();
        layers.add_text(&run_folder::read_config(root)?, &root.join(run_folder::CONFIG))?;
        if let Some(steps) = steps {
            layers.set("train.total_steps", steps);
        }
        if let Some((key, device)) = device.setting() {
            layers.set(key, device);
        }
        Ok(layers.finish::<RunConfig>()?.resolve()?)
    }

    /// The session that continues a run; `None` if the run is complete.
    pub fn open(root: &Path, steps: Option<i64>, device: &DeviceArgs) -> Result<Option<Self>> {
        let config = Self::config_of(root, steps, device)?;
        let folder = RunFolder::open(root)?;
        let checkpoint = setup::newest_checkpoint(root)?;
        let (done, total) = (checkpoint.as_ref().map_or(0, Checkpoint::n_steps), config.train.total_steps);
        if total <= done && Summary::is_written(&folder, done) {
            return Ok(None);
        }
        let backend = Backend::open(&config.env.device).map_err(crate::Error::from)?;
        let models = Models::load(&config)?;
        if steps.is_some() || device.device.is_some() {
            folder.write_config(&config.to_toml()?)?;
        }
        let rows = folder.rows()?;
        let elapsed_secs = rows.iter().rfind(|row| row.step <= done).map_or(0.0, |row| row.elapsed_secs);
        Ok(Some(Self { config, folder, models, checkpoint, elapsed_secs, backend }))
    }

    /// Runs the session to the end of the report; `resume` continues it if it is interrupted.
    pub fn run(mut self, resume: &Path, is_quiet: bool) -> Result<Outcome> {
        let say = |text: String| {
            if !is_quiet {
                eprintln!("{}", printable(&text))
            }
        };
        let instructions = self.config.instructions(self.config.task()?.spec())?;
        say(format!("{}: \"{}\"", self.config.env.id, self.config.title(&instructions)));
        say(format!("Rendering on {}", self.backend.name()));
        let Models { reward, device, .. } = &self.models;
        if reward.is_some() {
            say(format!("Reward model on {device}; {}", device.route()));
        }
        say(format!("Run folder {}", self.folder.root().display()));

        // The same evaluation is read again for the report.
        if measure::evaluation(&self.config, &self.folder, RunPolicy::Untrained, &self.models, is_quiet)?
            .is_none()
            || self.train(is_quiet)?
        {
            eprintln!("Saved. Continue with: sayso train --resume {}", resume.display());
            return Ok(Outcome::Interrupted);
        }
        report::make(&self.config, &self.folder, &self.models, is_quiet)
    }

    /// Whether Ctrl-C ended the training early.
    fn train(&mut self, is_quiet: bool) -> Result<bool> {
        let (mut env, scorer) = setup::training_env(&self.config, &self.models)?;
        let mut config = self.config.train.clone();
        config.checkpoint_folder = Some(self.folder.checkpoints());
        let done = self.checkpoint.as_ref().map_or(0, Checkpoint::n_steps);
        if config.total_steps <= done {
            return Ok(false);
        }
        let mut log = self.folder.log_after(done)?;
        let mut observer = Observer {
            progress: Progress::new("training", "steps", config.total_steps, done, is_quiet),
            log: &mut log,
            started: Instant::now(),
            elapsed_secs: self.elapsed_secs,
            by_instruction: 1 < env.instructions().len(),
            failure: None,
        };
        let outcome = train(&mut env, scorer, &config, self.checkpoint.as_ref(), &mut observer);
        let Observer { progress, failure, .. } = observer;
        progress.finish();
        let outcome = outcome.map_err(crate::Error::from)?;
        if let Some(failure) = failure {
            let saved = outcome
                .checkpoint_path
                .map_or_else(String::new, |path| format!("; saved up to {}", path.display()));
            return Err(anyhow::Error::from(failure)).with_context(|| format!("training stopped{saved}"));
        }
        Ok(outcome.interrupted)
    }
}

/// Logs every update, moves the progress bar, and stops after Ctrl-C.
struct Observer<'a> {
    progress: Progress,
    log: &'a mut RunLog,
    started: Instant,
    /// Training time of earlier sessions.
    elapsed_secs: f64,
    /// Whether episodes have different instructions.
    by_instruction: bool,
    failure: Option<crate::Error>,
}

impl TrainObserver for Observer<'_> {
    fn on_update(&mut self, report: &UpdateReport) -> ControlFlow<()> {
        let elapsed_secs = self.elapsed_secs + self.started.elapsed().as_secs_f64();
        if let Err(err) = self.log.write(&row(report, elapsed_secs, self.by_instruction)) {
            self.failure = Some(err);
            return ControlFlow::Break(());
        }
        self.progress.update(report.n_steps, message(report, self.by_instruction));
        if interrupt::is_requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// `by_instruction`: success is that of each episode's own instruction, not of every goal.
fn message(report: &UpdateReport, by_instruction: bool) -> String {
    let rates: Vec<String> = if by_instruction {
        report.success_rate.iter().map(|rate| format!("{:.0}%", rate * 100.0)).collect()
    } else {
        report.goals.iter().map(|goal| format!("{} {:.0}%", goal.goal, goal.at_end * 100.0)).collect()
    };
    let rates = if rates.is_empty() { "-".to_owned() } else { rates.join(" ") };
    format!("reward {:.3}  success: {rates}", report.mean_reward)
}

/// Tags are those of Stable-Baselines3 where it has them.
fn row(report: &UpdateReport, elapsed_secs: f64, by_instruction: bool) -> MetricsRow {
    let mut values = vec![
        ("rollout/reward_mean".to_owned(), report.mean_reward),
        ("time/fps".to_owned(), report.steps_per_sec),
        ("time/rollout_secs".to_owned(), report.rollout_secs),
        ("time/update_secs".to_owned(), report.update_secs),
    ];
    values.extend(report.update.iter().map(|(name, value)| (format!("train/{name}"), *value)));
    if 0 < report.n_skipped_scores {
        values.push(("rollout/skipped_scores".to_owned(), report.n_skipped_scores as f64));
    }
    values.extend(report.mean_return.map(|value| ("rollout/ep_rew_mean".to_owned(), value)));
    values.extend(report.mean_episode_steps.map(|value| ("rollout/ep_len_mean".to_owned(), value)));
    if by_instruction {
        values.extend(report.success_rate.map(|value| ("rollout/success_rate".to_owned(), value)));
    }
    values
        .extend(report.goals.iter().map(|goal| (format!("rollout/success_rate/{}", goal.goal), goal.at_end)));
    MetricsRow { step: report.n_steps, elapsed_secs, values }
}
