//! `sayso envs`: the registered environments.

use crate::Error;
use crate::envs::language::Goal;
use crate::envs::task::{Task, TaskSpec};
use crate::envs::{Space, registry};
use anyhow::Result;

use super::Outcome;
use super::tables::table;

/// List environments, or describe one
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  sayso envs\n  sayso envs Reach-v1")]
pub struct Args {
    /// Environment to describe: instructions, prompts, cameras, metrics, options, observation and action spaces
    #[arg(value_name = "ENV")]
    id: Option<String>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Outcome> {
    match &args.id {
        Some(id) => describe(id)?,
        None => list()?,
    }
    Ok(Outcome::Done)
}

fn list() -> Result<()> {
    let mut table = table(["Environment", "Description", "Instructions", "State", "Action", "Max. steps"]);
    for id in registry::ids() {
        let task = registry::task(id, &toml::Table::new()).map_err(Error::from)?;
        let spec = task.spec();
        let instructions: Vec<&str> = spec.goals.iter().map(|goal| goal.instruction.as_str()).collect();
        table.add_row([
            id.to_owned(),
            spec.summary.to_owned(),
            instructions.join("\n"),
            space(&spec.state_space),
            space(&spec.action_space),
            spec.max_episode_steps.to_string(),
        ]);
    }
    print_line!("{table}")?;
    print_line!("Describe one with `sayso envs ENV`; train in it with `sayso train --env ENV`.")?;
    Ok(())
}

fn describe(id: &str) -> Result<()> {
    let task = registry::task(id, &toml::Table::new()).map_err(Error::from)?;
    let spec = task.spec();
    print_line!("{}\n{}\n", spec.id, spec.summary)?;
    for goal in &spec.goals {
        describe_goal(goal)?;
    }
    print_line!("Episode      {} control steps", spec.max_episode_steps)?;
    print_line!("Action       {}", space(&spec.action_space))?;
    print_line!("Cameras      {}", cameras(&*task))?;
    print_line!("Metrics      {}, success, ground_truth_reward", spec.metric_names.join(", "))?;
    for (name, value) in registry::default_options(id).map_err(Error::from)? {
        print_line!("Option       {name} = {value} by default")?;
    }
    print_line!("State        {}", space(&spec.state_space))?;
    print_line!("             {}", state_names(spec))?;
    Ok(())
}

fn describe_goal(goal: &Goal) -> Result<()> {
    print_line!("Goal '{}'", goal.name)?;
    print_line!("  instruction      {}", goal.instruction)?;
    for paraphrase in &goal.paraphrases {
        print_line!("  paraphrase       {paraphrase}")?;
    }
    for paraphrase in &goal.held_out_paraphrases {
        print_line!("  held out         {paraphrase}")?;
    }
    print_line!("  goal prompt      {}", goal.goal_prompt)?;
    print_line!("  baseline prompt  {}\n", goal.baseline_prompt)?;
    Ok(())
}

/// The cameras of a task, with what they are used for by default.
fn cameras(task: &dyn Task) -> String {
    let spec = task.spec();
    let scene = task.scene();
    let described = scene.cameras.iter().map(|camera| {
        let uses = [
            ("reward", spec.reward_cameras.contains(&camera.name)),
            ("pixels", spec.pixel_camera == camera.name),
            ("video", spec.video_camera == camera.name),
        ];
        let uses: Vec<&str> =
            uses.into_iter().filter(|(_, is_used)| *is_used).map(|(name, _)| name).collect();
        match uses.as_slice() {
            [] => camera.name.clone(),
            uses => format!("{} ({})", camera.name, uses.join(", ")),
        }
    });
    described.collect::<Vec<_>>().join(", ")
}

fn state_names(spec: &TaskSpec) -> String {
    spec.state_names.join(", ")
}

fn space(space: &Space) -> String {
    match space {
        Space::Box { low, .. } => format!("{} numbers", low.len()),
        Space::Image { height, width } => format!("{height} x {width} image"),
        Space::Discrete { n } => format!("1 of {n}"),
        Space::Dict(parts) => parts.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" and "),
        Space::Text { max_length } => format!("text of up to {max_length} characters"),
    }
}
