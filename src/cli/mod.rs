//! The command line. Each command is one file; it parses its arguments, calls the library, and prints tables or writes files.

#![deny(clippy::print_stdout)]

/// Prints a line to stdout; see [`text::printable`]. A closed pipe is an error, which ends the command without a message
/// ([`failure::report`]).
macro_rules! print_line {
    ($($format:tt)*) => {{
        use std::io::Write as _;
        writeln!(std::io::stdout(), "{}", $crate::cli::text::printable(&format!($($format)*)))
    }};
}

mod args;
mod bench;
mod compare;
mod doctor;
mod envs;
mod eval;
mod failure;
mod measure;
mod pretrain;
mod report;
mod rollout;
mod score;
mod seeds;
mod tables;
mod text;
mod train;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

/// Result of a command that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The work is complete.
    Done,
    /// Interrupted by Ctrl-C; training and pretraining save their state first.
    Interrupted,
}

/// Headless, batched robot simulator with rewards from vision-language models.
///
/// `sayso train` without further arguments trains a robot arm to touch the red ball, with rewards computed from rendered
/// frames and the goal prompt "the gripper touching the red ball". It writes a run folder with metrics, videos, checkpoints
/// and a report.
#[derive(Debug, Parser)]
#[command(name = "sayso", version, max_term_width = 100, propagate_version = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Number of threads [default: one per core]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Print errors and results only
    #[arg(short, long, global = true)]
    quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  sayso train
  sayso train --goal-prompt 'the gripper touching the blue ball'
  sayso eval runs/reach-001 --episodes 500
  sayso report runs/reach-001
  sayso train --seeds 0..4
  sayso compare runs/reach-001 runs/reach-002
  sayso rollout GoTo-v1 --policy scripted
  sayso score a.png b.png --goal-prompt 'a red ball' --baseline-prompt 'a table'
  sayso envs

Exit codes: 0 success, 1 internal error, 2 bad input, 3 lost GPU (saved files are intact), 130 interrupted by Ctrl-C.";

#[derive(Debug, Subcommand)]
enum Command {
    Train(train::Args),
    Eval(eval::Args),
    Compare(compare::Args),
    Report(report::Args),
    Rollout(rollout::Args),
    Pretrain(pretrain::Args),
    Score(score::Args),
    Envs(envs::Args),
    Doctor(doctor::Args),
    Bench(bench::Args),
}

/// Parses the arguments of the process, runs the command, and returns the exit code.
pub fn main() -> ExitCode {
    // The message of a panic is printed by then; its exit code is that of internal errors.
    std::panic::catch_unwind(run).unwrap_or(ExitCode::from(failure::INTERNAL))
}

fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(err) => return failure::report_arguments(&err, &Cli::command()),
    };
    let is_quiet = cli.quiet;
    let outcome = use_threads(cli.threads).and_then(|()| match cli.command {
        Command::Train(args) => train::run(args, is_quiet),
        Command::Eval(args) => eval::run(&args, is_quiet),
        Command::Compare(args) => compare::run(&args),
        Command::Report(args) => report::run(&args, is_quiet),
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
        Err(err) => ExitCode::from(failure::report(&err)),
    }
}

fn use_threads(n_threads: Option<u16>) -> anyhow::Result<()> {
    let Some(n_threads) = n_threads else { return Ok(()) };
    rayon::ThreadPoolBuilder::new()
        .num_threads(usize::from(n_threads))
        .build_global()
        .map_err(|err| anyhow::anyhow!("cannot start {n_threads} threads: {err}"))
}
