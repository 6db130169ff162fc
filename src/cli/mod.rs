//! The commands: arguments in, work done by the library, tables and files out.

mod args;
mod bench;
mod doctor;
mod envs;
mod eval;
mod failure;
mod measure;
mod pretrain;
mod rollout;
mod score;
mod tables;
mod train;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What a command ends with, if it does not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Everything that was asked for is done.
    Done,
    /// Ctrl-C ended it in good order.
    Interrupted,
}

/// A headless, batched robot simulator whose rewards come from a sentence.
///
/// Without further arguments, `sayso train` teaches a robot arm to touch the red ball from the sentence "the gripper
/// touching the red ball" alone, and leaves a folder with curves, videos, checkpoints and a report.
#[derive(Debug, Parser)]
#[command(name = "sayso", version, max_term_width = 100, propagate_version = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Threads to use [default: one per core]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Say nothing but errors and results
    #[arg(short, long, global = true)]
    quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  sayso train                                              the main job
  sayso train --prompt 'the gripper touching the blue ball'
  sayso eval runs/reach-001 --episodes 500                 measure what was learnt
  sayso rollout GoTo-v0 --policy scripted                  watch an environment
  sayso score a.png b.png --goal 'a red ball' --baseline 'a table'
  sayso envs                                               what there is to learn in

Exit codes: 0 done, 1 a fault in the program, 2 bad input, 3 a graphics processor was lost (what was saved is
intact), 130 ended by Ctrl-C.";

#[derive(Debug, Subcommand)]
enum Command {
    Train(train::Args),
    Eval(eval::Args),
    Rollout(rollout::Args),
    Pretrain(pretrain::Args),
    Score(score::Args),
    Envs(envs::Args),
    Doctor(doctor::Args),
    Bench(bench::Args),
}

/// Reads the arguments, runs the command, and turns its end into an exit code.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let is_quiet = cli.quiet;
    let outcome = use_threads(cli.threads).and_then(|()| match cli.command {
        Command::Train(args) => train::run(args, is_quiet),
        Command::Eval(args) => eval::run(&args, is_quiet),
        Command::Rollout(args) => rollout::run(&args, is_quiet),
        Command::Pretrain(args) => pretrain::run(&args, is_quiet),
        Command::Score(args) => score::run(&args),
        Command::Envs(args) => envs::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Bench(args) => bench::run(&args, is_quiet),
    });
    match outcome {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Interrupted) => ExitCode::from(crate::interrupt::EXIT_CODE),
        Err(err) => ExitCode::from(failure::tell(&err)),
    }
}

fn use_threads(n_threads: Option<u16>) -> anyhow::Result<()> {
    let Some(n_threads) = n_threads else { return Ok(()) };
    rayon::ThreadPoolBuilder::new()
        .num_threads(usize::from(n_threads))
        .build_global()
        .map_err(|err| anyhow::anyhow!("cannot start {n_threads} threads: {err}"))
}
