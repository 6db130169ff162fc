//! Several runs as one result, and recordings of a run's policy.

use std::fs;
use std::path::Path;

use crate::program::{sayso, stderr, stdout};
use crate::runs::small;

fn run(folder: &Path, args: &[&str]) -> String {
    let output = sayso(folder, args);
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    stdout(&output)
}

fn comparison(folder: &Path) -> serde_json::Value {
    let json = fs::read(folder.join("compare.json")).expect("reads");
    serde_json::from_slice(&json).expect("JSON")
}

#[test]
fn seeds_are_runs_of_one_group_and_another_algorithm_is_another_group() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let continuous = ["--env", "CartPole-v1", "--set", "env.options.actions='continuous'", "--steps", "256"];
    let table = run(dir.path(), &small(&[&continuous[..], &["--seeds", "3..5", "--out", "ppo"]].concat()));
    assert!(table.contains("interquartile mean"), "{table}");
    let seeds = comparison(&dir.path().join("ppo"));
    let runs = &seeds["groups"][0]["runs"];
    assert_eq!((runs[0]["seed"].as_u64(), runs[1]["seed"].as_u64()), (Some(3), Some(4)));
    assert!(runs[0]["root"].as_str().is_some_and(|root| root.ends_with("seed-3")), "{runs}");
    assert!(!seeds["groups"][0]["success"]["interval"].is_null());

    let sac = ["train", "--ground-truth", "--quiet", "--envs", "4", "--algorithm", "sac", "--out", "sac"];
    let evaluation = ["--set", "evaluation.n_episodes=4", "--set", "evaluation.n_video_episodes=0"];
    run(dir.path(), &[&sac[..], &continuous, &evaluation].concat());
    let table = run(dir.path(), &["compare", "ppo", "sac", "--out", "."]);
    let groups = &comparison(dir.path())["groups"];
    let names: Vec<_> = groups.as_array().into_iter().flatten().map(|group| group["name"].as_str()).collect();
    assert_eq!(names.len(), 2, "{groups}");
    for (name, algorithm) in names.iter().zip(["ppo", "sac"]) {
        assert!(name.is_some_and(|name| name.starts_with(algorithm)), "{names:?}");
    }
    assert!(table.contains("ppo") && table.contains("sac"), "{table}");
    let page = fs::read_to_string(dir.path().join("compare.html")).expect("reads");
    assert!(page.contains("<svg") && page.contains("<polygon") && !page.contains("<script"));
}

#[test]
fn runs_of_different_tasks_and_runs_without_results_are_not_compared() {
    let dir = tempfile::tempdir().expect("temporary folder");
    for (out, variant) in [("a", "classic"), ("b", "vlm_rm")] {
        let options = format!("env.options.variant='{variant}'");
        run(dir.path(), &small(&["--env", "CartPole-v1", "--set", &options, "--steps", "64", "--out", out]));
    }
    let output = sayso(dir.path(), &["compare", "a", "b"]);
    assert_eq!(output.status.code(), Some(2));
    for part in ["a is of CartPole-v1", "classic", "b is of CartPole-v1", "vlm_rm"] {
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
    }
    fs::remove_file(dir.path().join("b/summary.json")).expect("removes");
    let output = sayso(dir.path(), &["compare", "b"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("no summary.json") && stderr(&output).contains("sayso report b"));
}

/// The run observes images of an unusual size, its episodes are short, and its reward has two cameras.
#[test]
fn a_rollout_of_a_run_has_the_configuration_of_the_run() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let settings = ["--set", "env.pixel_size=[36, 40]", "--set", "env.max_episode_steps=20"];
    let train = ["train", "--quiet", "--obs", "pixels", "--envs", "2", "--steps", "64", "--out", "run"];
    let evaluation = ["--set", "evaluation.n_episodes=2", "--set", "evaluation.n_video_episodes=0"];
    let reward = ["--set", "reward.every_n_steps=5", "--set", "train.ppo.n_steps=16"];
    run(dir.path(), &[&train[..], &settings, &evaluation, &reward].concat());
    let rollout = ["rollout", "Reach-v1", "--policy", "trained", "--run", "run", "--episodes", "1"];
    run(dir.path(), &[&rollout[..], &["--out", "scored"]].concat());
    let lines = fs::read_to_string(dir.path().join("scored/scores.jsonl")).expect("reads");
    assert_eq!(lines.lines().count(), 20, "{lines}");
    run(dir.path(), &[&rollout[..], &["--out", "unscored", "--no-score", "--instruction", "blue"]].concat());
}
