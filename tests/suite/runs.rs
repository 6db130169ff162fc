//! Small training runs. Where the reward model does not matter, the reward is ground truth, so that they take seconds.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use sayso::metrics;
use sayso::results::Summary;

use crate::program::{command, sayso, stderr, stdout};

/// Arguments of a small run with several updates.
const SMALL: [&str; 15] = [
    "--ground-truth",
    "--envs",
    "4",
    "--set",
    "train.ppo.n_steps=16",
    "--set",
    "train.ppo.n_epochs=1",
    "--set",
    "evaluation.n_episodes=4",
    "--set",
    "evaluation.n_envs=4",
    "--set",
    "evaluation.n_video_episodes=1",
    "--set",
    "train.checkpoint_every=1",
];

#[test]
fn a_run_writes_all_its_files_and_eval_reads_them() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let args = ["--env", "CartPole-v1", "--steps", "256", "--out", "run"];
    let output = sayso(dir.path(), &with_language_reward(&args));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("Untrained"), "the table is printed: {}", stdout(&output));

    let run = dir.path().join("run");
    for part in ["config.toml", "videos/untrained.mp4", "videos/trained.mp4", "report.html", "summary.json"] {
        assert!(run.join(part).exists(), "{part} is missing");
    }
    let summary = summary(&run);
    assert_eq!((summary.env_id.as_str(), summary.n_steps, summary.total_steps), ("CartPole-v1", 256, 256));
    assert_eq!((summary.seed, summary.episodes.n_episodes), (0, 4));
    assert_eq!(summary.goals[0].goal, "upright");
    assert!(summary.goals[0].is_target && summary.goals[0].after.is_some_and(|after| after.n_episodes == 4));
    let rows = metrics::read(&run.join("metrics.jsonl")).expect("reads");
    assert_eq!(rows.iter().map(|row| row.step).collect::<Vec<_>>(), [64, 128, 192, 256]);
    assert!(rows.iter().all(|row| row.get("train/value_loss").is_some()), "{rows:?}");
    let events = fs::read_dir(&run).expect("lists").flatten();
    assert_eq!(events.filter(|file| file.file_name().to_string_lossy().starts_with("events.out")).count(), 1);

    let output = sayso(dir.path(), &["eval", "run", "--episodes", "5", "--no-video"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("upright"), "{}", stdout(&output));
    assert!(run.join("eval-20000.json").exists());
}

#[test]
fn a_run_that_scores_every_fourth_step_has_videos_and_a_report() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let args = with_language_reward(&["--steps", "128", "--out", "run", "--set", "env.max_episode_steps=10"]);
    let output = sayso(dir.path(), &[&args[..], &["--set", "reward.every_n_steps=4"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    for part in ["videos/untrained.mp4", "videos/trained.mp4", "report.html"] {
        assert!(dir.path().join("run").join(part).exists(), "{part} is missing");
    }
    let output = sayso(dir.path(), &["eval", "run", "--episodes", "2", "--video-episodes", "1"]);
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn policies_with_pixel_observations_are_trained_and_evaluated() {
    for obs in ["pixels", "both"] {
        let dir = tempfile::tempdir().expect("temporary folder");
        let args = ["--obs", obs, "--steps", "64", "--out", "run", "--set", "env.max_episode_steps=8"];
        let output = sayso(dir.path(), &small(&args));
        assert!(output.status.success(), "{obs}: {}", stderr(&output));
        let output = sayso(dir.path(), &["eval", "run", "--episodes", "2"]);
        assert!(output.status.success(), "{obs}: {}", stderr(&output));
    }
}

#[test]
fn a_policy_that_reads_is_trained_resumed_and_evaluated_on_other_wordings() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let reading =
        ["--instruction", "all", "--paraphrases", "training", "--obs", "state,instruction-embedding"];
    let run = |name: &str, steps: &str| {
        let args = [&["--steps", steps, "--out", name][..], &reading].concat();
        let fixed = ["--set", "env.max_episode_steps=8", "--set", "train.ppo.linear_decay=false"];
        let args = [&with_language_reward(&args)[..], &fixed].concat();
        let output = sayso(dir.path(), &args);
        assert!(output.status.success(), "{}", stderr(&output));
    };
    run("whole", "256");
    run("half", "128");
    let output = sayso(dir.path(), &["train", "--quiet", "--resume", "half", "--steps", "256"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let rows = |name: &str| {
        let rows = metrics::read(&dir.path().join(name).join("metrics.jsonl")).expect("reads");
        let is_timed = |tag: &str| tag.starts_with("time/");
        rows.into_iter()
            .map(|row| row.values.into_iter().filter(|(tag, _)| !is_timed(tag)).collect::<Vec<_>>())
            .collect::<Vec<_>>()
    };
    assert_eq!(rows("half"), rows("whole"));
    assert!(rows("whole").iter().flatten().any(|(tag, _)| tag == "rollout/success_rate"));

    let summary = summary(&dir.path().join("whole"));
    assert_eq!((summary.instruction, summary.goal_prompts.len()), (None, 0));
    assert!(summary.goals.iter().all(|goal| goal.is_target) && 1 < summary.instructions.len());
    assert!(summary.instructions.iter().all(|it| !it.is_held_out && it.after.is_some()));
    let page = fs::read_to_string(dir.path().join("whole/report.html")).expect("reads");
    assert!(page.contains("12 instructions") && page.contains("Success by instruction"));

    let args = ["eval", "whole", "--episodes", "12", "--no-video"];
    let output = sayso(dir.path(), &[&args[..], &["--instruction", "blue", "--paraphrases", "all"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let table = stdout(&output);
    assert!(table.contains("put the gripper on the blue ball  (held out)"), "{table}");
    assert!(!table.contains("the red ball"), "{table}");
}

#[test]
fn a_report_has_no_external_resources() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let output = sayso(dir.path(), &small(&["--env", "CartPole-v1", "--steps", "128", "--out", "run"]));
    assert!(output.status.success(), "{}", stderr(&output));
    let page = fs::read_to_string(dir.path().join("run/report.html")).expect("reads");
    for absent in ["<script", "<link", "src=\"http", "href=\"http", "url(http", "src=\"/"] {
        assert!(!page.contains(absent), "the report contains {absent}");
    }
    assert!(page.contains("data:video/mp4;base64,") && page.contains("<svg"));
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let steps = |n, out| {
        ["--env", "CartPole-v1", "--set", "train.ppo.linear_decay=false", "--steps", n, "--out", out]
    };
    for (n, out) in [("256", "uninterrupted"), ("128", "resumed")] {
        let output = sayso(dir.path(), &with_language_reward(&steps(n, out)));
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let output = sayso(dir.path(), &["train", "--resume", "resumed", "--steps", "256"]);
    assert!(output.status.success(), "{}", stderr(&output));

    let losses = |out: &str| -> Vec<_> {
        let rows = metrics::read(&dir.path().join(out).join("metrics.jsonl")).expect("reads");
        let value = |row: &metrics::MetricsRow, tag| row.get(tag).map(f64::to_bits);
        rows.iter()
            .map(|row| (row.step, value(row, "train/policy_loss"), value(row, "train/value_loss")))
            .collect()
    };
    assert_eq!(losses("uninterrupted"), losses("resumed"));
}

#[test]
fn a_complete_run_is_not_resumed() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let output = sayso(dir.path(), &small(&["--env", "CartPole-v1", "--steps", "64", "--out", "run"]));
    assert!(output.status.success(), "{}", stderr(&output));
    let output = sayso(dir.path(), &["train", "--resume", "run"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("is complete") && stderr(&output).contains("--steps"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_damaged_checkpoint_is_named() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let output = sayso(dir.path(), &small(&["--env", "CartPole-v1", "--steps", "64", "--out", "run"]));
    assert!(output.status.success(), "{}", stderr(&output));
    let folder = dir.path().join("run/checkpoints");
    let newest =
        fs::read_dir(&folder).expect("lists").flatten().map(|file| file.path()).max().expect("a checkpoint");
    let bytes = fs::read(&newest).expect("reads");
    fs::write(&newest, &bytes[..bytes.len() / 2]).expect("writes");
    let output = sayso(dir.path(), &["eval", "run"]);
    let name = newest.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains(&name), "{}", stderr(&output));
}

#[test]
#[cfg(unix)]
fn ctrl_c_saves_and_prints_the_command_to_continue() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let args = small(&["--env", "CartPole-v1", "--steps", "100000000", "--out", "run"]);
    let child =
        command(dir.path(), &args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    wait_for_rows(&dir.path().join("run/metrics.jsonl"));
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.expect("kill runs").success());
    let output = child.wait_with_output().expect("ends");
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(stderr(&output).contains("sayso train --resume run"), "{}", stderr(&output));
    let saved = fs::read_dir(dir.path().join("run/checkpoints")).expect("lists").count();
    assert!(saved > 0, "no checkpoint was saved");
}

#[test]
#[cfg(unix)]
fn an_interrupted_run_gets_its_report() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let run = dir.path().join("run");
    let args = small(&["--env", "CartPole-v1", "--steps", "100000000", "--out", "run"]);
    let child =
        command(dir.path(), &args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
    wait_for_rows(&run.join("metrics.jsonl"));
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.expect("kill runs").success());
    child.wait_with_output().expect("ends");
    assert!(!run.join("report.html").exists());
    let output = sayso(dir.path(), &["report", "run"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("Trained"), "{}", stdout(&output));
    let summary = summary(&run);
    assert!(0 < summary.n_steps && summary.n_steps < summary.total_steps, "{summary:?}");
    let page = fs::read_to_string(run.join("report.html")).expect("reads");
    assert!(
        page.contains(&format!("{} of 100000000", summary.n_steps)),
        "the report says how far the run is"
    );
}

#[test]
fn a_run_that_failed_after_its_last_update_is_finished_by_resume() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let run = dir.path().join("run");
    let output = sayso(dir.path(), &small(&["--env", "CartPole-v1", "--steps", "128", "--out", "run"]));
    assert!(output.status.success(), "{}", stderr(&output));
    let checkpoints = || -> Vec<_> {
        let files = fs::read_dir(run.join("checkpoints")).expect("lists").flatten();
        files.map(|file| (file.file_name(), fs::read(file.path()).expect("reads"))).collect()
    };
    let (before, rows) = (checkpoints(), fs::read(run.join("metrics.jsonl")).expect("reads"));
    for missing in ["report.html", "summary.json"] {
        fs::remove_file(run.join(missing)).expect("removes");
        fs::remove_dir_all(run.join("evaluations")).expect("removes");
        let output = sayso(dir.path(), &["train", "--resume", "run"]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(run.join(missing).exists(), "{missing}");
    }
    assert!(before == checkpoints(), "nothing was trained again");
    assert_eq!(rows, fs::read(run.join("metrics.jsonl")).expect("reads"));
}

#[test]
fn a_run_without_a_checkpoint_has_a_report_and_can_be_started() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let run = dir.path().join("run");
    let output = sayso(dir.path(), &small(&["--env", "CartPole-v1", "--steps", "512", "--out", "run"]));
    assert!(output.status.success(), "{}", stderr(&output));
    let config = fs::read(run.join("config.toml")).expect("reads");
    fs::remove_dir_all(&run).expect("removes");
    fs::create_dir(&run).expect("creates");
    fs::write(run.join("config.toml"), config).expect("writes");
    let output = sayso(dir.path(), &["report", "run"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(summary(&run).goals.iter().all(|goal| goal.after.is_none()));
    let output = sayso(dir.path(), &["train", "--resume", "run"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(summary(&run).n_steps, 512);
    let output = sayso(dir.path(), &["eval", "run", "--best", "--episodes", "2", "--no-video"]);
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn escape_sequences_of_a_foreign_configuration_are_not_printed() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let hostile = "[env]\nid = \"\\u001b]0;owned\\u0007\"\n";
    fs::write(dir.path().join("foreign.toml"), hostile).expect("writes");
    let output = sayso(dir.path(), &["train", "--config", "foreign.toml", "--out", "run"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("owned") && !stderr(&output).contains('\u{1b}'), "{}", stderr(&output));
}

fn summary(run: &Path) -> Summary {
    serde_json::from_slice(&fs::read(run.join("summary.json")).expect("a summary")).expect("valid JSON")
}

/// Waits until the metrics log has a row, for at most two minutes.
fn wait_for_rows(path: &Path) {
    let started = Instant::now();
    while !fs::read_to_string(path).is_ok_and(|text| text.contains('\n')) {
        assert!(started.elapsed() < Duration::from_secs(120), "no update in two minutes");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_policy_learns_from_scored_frames_and_ground_truth_shows_it() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let output = sayso(dir.path(), &["train", "--env", "CartPole-v1", "--steps", "50000", "--out", "run"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let summary = summary(&dir.path().join("run"));
    assert_eq!(summary.reward, "bundled");
    let goal = &summary.goals[0];
    let (before, after) = (goal.before.rate, goal.after.expect("trained").rate);
    assert!(before < 0.2 && after > 0.6, "success went from {before} to {after}");
}

/// A policy that does not read touches the ball that is asked for in at most a third of the episodes.
#[test]
fn a_policy_learns_to_read_and_obeys_sentences_that_it_never_read() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let reading =
        ["--instruction", "all", "--paraphrases", "training", "--obs", "state,instruction-embedding"];
    let evaluation = ["--set", "evaluation.paraphrases=held_out", "--set", "evaluation.n_video_episodes=0"];
    let args = ["train", "--quiet", "--ground-truth", "--steps", "300000", "--out", "run"];
    let output = sayso(dir.path(), &[&args[..], &reading, &evaluation].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let instructions = summary(&dir.path().join("run")).instructions;
    assert_eq!(instructions.len(), 3, "one held-out wording for each ball");
    assert!(instructions.iter().all(|it| it.is_held_out));
    let (mut n_met, mut n) = (0, 0);
    for rate in instructions.iter().filter_map(|it| it.after) {
        n_met += rate.n_success;
        n += rate.n_episodes;
    }
    assert_eq!(n, 200);
    assert!(100 < n_met, "success in {n_met} of {n} episodes");
}

fn with_language_reward<'a>(args: &[&'a str]) -> Vec<&'a str> {
    small(args).into_iter().filter(|arg| *arg != "--ground-truth").collect()
}

pub fn small<'a>(args: &[&'a str]) -> Vec<&'a str> {
    ["train"].iter().chain(args).chain(SMALL.iter()).copied().collect()
}
