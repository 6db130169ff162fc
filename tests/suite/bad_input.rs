//! Errors for bad input: exit code 2, a message, a hint, and no files written.

use std::fs;
use std::path::Path;

use crate::program::{sayso, stderr};

/// Arguments, and expected parts of the message.
type Case = (&'static [&'static str], &'static [&'static str]);

const ARGUMENTS: [Case; 46] = [
    (&["train", "--env", "Reech-v0"], &["unknown environment 'Reech-v0'", "Reach-v1"]),
    (&["train", "--preset", "reech"], &["unknown preset 'reech'", "did you mean 'reach'?"]),
    (&["train", "--alpha", "1.5"], &["reward.alpha = 1.5", "[0, 1]"]),
    (&["train", "--alpha", "much"], &["--alpha", "much"]),
    (&["train", "--steps", "0"], &["--steps", "0"]),
    (&["train", "--steps", "many"], &["--steps", "many"]),
    (&["train", "--goal-prompt", " "], &["reward.goal_prompts", "empty"]),
    (
        &["train", "--goal-prompt", "a house on fire"],
        &["does not name exactly one of the task's goals", "--baseline-prompt", "alpha is 0"],
    ),
    (&["train", "--set", "train.ppo.lerning_rate=1"], &["lerning_rate", "did you mean 'learning_rate'?"]),
    (
        &["train", "--set", "train.ppo.learning_rate=fast"],
        &["train.ppo.learning_rate", "\"fast\"", "expected a number"],
    ),
    (&["train", "--set", "train.ppo.discount=1.5"], &["train.ppo.discount = 1.5", "[0, 1]"]),
    (
        &["train", "--env", "CartPole-v1", "--set", "env.options.varient=1"],
        &["env.options.varient", "did you mean 'variant'?"],
    ),
    (&["train", "--set", "reward.cameras=['frontt']"], &["unknown camera 'frontt'", "did you mean 'front'?"]),
    (&["train", "--set", "env.pixel_camera=frontt"], &["unknown camera 'frontt'", "did you mean 'front'?"]),
    (&["train", "--obs", "pixels", "--set", "env.pixel_size=[4,4]"], &["image"]),
    (&["train", "--set", "env.observation=['state','goal']"], &["observation space"]),
    (
        &["train", "--obs", "state,instruction-embedding", "--set", "env.text_model=nope"],
        &["no model 'nope'"],
    ),
    (&["train", "--set", "env.autoreset=disabled"], &["env.autoreset", "disabled", "same_step"]),
    (&["train", "--seeds", "4..0"], &["--seeds", "0..4"]),
    (&["train", "--algorithm", "dqn"], &["actions of DQN", "discrete"]),
    (&["compare", "."], &["not a run folder", "config.toml"]),
    (&["train", "--set", "nonsense"], &["KEY=VALUE"]),
    (
        &["train", "--baseline-prompt", "a", "--baseline-prompt", "b"],
        &["reward.baseline_prompts = 2 prompts", "1, one for each goal prompt"],
    ),
    (&["train", "--ground-truth", "--goal-prompt", "x"], &["cannot be used with"]),
    (&["rollout", "Reach-v1", "--policy", "trained"], &["--run"]),
    (
        &[
            "rollout",
            "Reach-v1",
            "--policy",
            "scripted",
            "--goal-prompt",
            "the red ball and the blue ball",
            "--baseline-prompt",
            "the red ball",
        ],
        &["does not name exactly one of the task's goals", "red, green, blue", "--policy random"],
    ),
    (&["train", "--device", "gqu"], &["'gqu'", "'cpu'", "'gpu:1'"]),
    (&["train", "--device", "gpu:99"], &["no device 99", "found:", "--device cpu"]),
    (&["train", "--set", "env.device=quick"], &["env.device", "'quick'", "'cpu'"]),
    (&["train", "--prompt", "a"], &["--prompt was renamed", "--goal-prompt"]),
    (&["score", "a.png", "--goal", "a"], &["--goal was renamed", "--goal-prompt"]),
    (&["pretrain", "--pictures", "9"], &["--pictures was renamed", "--images"]),
    (
        &["train", "--goal-prompt", "the red ball", "--set", "env.instruction=blue"],
        &["reward.goal_prompts", "'red'", "'blue'"],
    ),
    (
        &["train", "--set", "evaluation.max_episode_steps=0"],
        &["evaluation.max_episode_steps = 0", "1 or more"],
    ),
    (
        &["train", "--set", "reward.schedule=episode_end", "--set", "reward.every_n_steps=4"],
        &["reward.every_n_steps = 4", "episode_end"],
    ),
    (&["train", "--set", "judge.every_n_steps=4"], &["judge.every_n_steps", "'reward.every_n_steps'"]),
    (&["train", "--set", "env.goal=red"], &["env.goal", "'env.instruction'"]),
    (&["train", "--set", "reward.kind=vlm_rn"], &["reward.kind = 'vlm_rn'", "did you mean 'vlm_rm'?"]),
    (&["train", "--set", "reward.alfa=1"], &["reward.alfa", "did you mean 'alpha'?"]),
    (&["train", "--set", "reward.every_step=2"], &["reward.every_step", "did you mean 'every_n_steps'?"]),
    (&["train", "--set", "reward.kind=mean_pooled"], &["reward", "missing field `n_frames`"]),
    (
        &["train", "--set", "reward.kind=mean_pooled", "--set", "reward.n_frames=60"],
        &["reward.n_frames", "59 control steps", "at most 50"],
    ),
    (
        &["train", "--set", "reward.kind=score_difference", "--set", "reward.lag=0"],
        &["reward.lag = 0", "[1, "],
    ),
    (
        &["train", "--set", "reward.terms=[{op='multiply', metric='gap_rod'}]"],
        &["gap_rod", "did you mean 'gap_red'?"],
    ),
    (&["train", "--set", "reward.failures.timeout_secs=0"], &["reward.failures.timeout_secs = 0"]),
    (&["train", "--set", "reward.schedule=held"], &["reward.schedule", "'held'", "'hold_last'"]),
];

#[test]
fn bad_arguments_are_explained() {
    for (args, expected) in ARGUMENTS {
        let dir = tempfile::tempdir().expect("temporary folder");
        expect_refusal(dir.path(), args, expected);
        assert_eq!(fs::read_dir(dir.path()).expect("lists").count(), 0, "{args:?} wrote files");
    }
}

#[test]
fn bad_configuration_files_are_explained() {
    let cases: [(&str, &[&str]); 6] = [
        ("[env]\nid = 3\n", &["env.id", "integer `3`", "string"]),
        ("[env]\nn_envs = -4\n", &["env.n_envs", "-4"]),
        ("[env]\nn_envs = 0\n", &["env.n_envs = 0", "[1, 65536]"]),
        ("[trian]\nseed = 1\n", &["unknown field `trian`", "did you mean 'train'?"]),
        ("seed = \n", &["mine.toml", "line 1"]),
        ("[reward]\nkind = 'magic'\n", &["reward.kind", "magic", "vlm_rm", "ground_truth"]),
    ];
    for (text, expected) in cases {
        let dir = tempfile::tempdir().expect("temporary folder");
        fs::write(dir.path().join("mine.toml"), text).expect("writes");
        expect_refusal(dir.path(), &["train", "--config", "mine.toml"], expected);
    }
}

#[test]
fn missing_files_and_folders_are_named() {
    let dir = tempfile::tempdir().expect("temporary folder");
    expect_refusal(dir.path(), &["train", "--config", "none.toml"], &["cannot read none.toml"]);
    expect_refusal(dir.path(), &["train", "--resume", "none"], &["none is not a run folder", "config.toml"]);
    expect_refusal(dir.path(), &["eval", "none"], &["none is not a run folder"]);
    expect_refusal(dir.path(), &["train", "--model", "no/such-model"], &["no/such-model"]);
}

#[test]
fn an_occupied_folder_is_refused() {
    let dir = tempfile::tempdir().expect("temporary folder");
    fs::create_dir(dir.path().join("out")).expect("creates");
    fs::write(dir.path().join("out/notes.txt"), "text").expect("writes");
    let expected = ["out already exists and is not empty", "--out"];
    expect_refusal(dir.path(), &["train", "--ground-truth", "--out", "out"], &expected);
    expect_refusal(dir.path(), &["rollout", "CartPole-v1", "--no-score", "--out", "out"], &expected);
    assert_eq!(fs::read_dir(dir.path().join("out")).expect("lists").count(), 1);
}

#[test]
fn an_unwritable_path_is_named() {
    let dir = tempfile::tempdir().expect("temporary folder");
    // A file in place of a folder is unwritable for every user, root included.
    fs::write(dir.path().join("file"), "").expect("writes");
    expect_refusal(dir.path(), &["train", "--ground-truth", "--out", "file/run"], &["file/run"]);
}

fn expect_refusal(folder: &Path, args: &[&str], expected: &[&str]) {
    let output = sayso(folder, args);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {message}");
    for part in expected {
        assert!(message.contains(part), "{args:?}: '{part}' is missing in: {message}");
    }
    assert!(
        !message.contains("panicked") && !message.contains("RUST_BACKTRACE"),
        "{args:?} panics: {message}"
    );
}

#[test]
fn sizes_that_cannot_fit_are_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let pixels = ["--set", "env.pixel_size=[4096, 4096]", "--obs", "pixels", "--out", "run"];
    for (args, expected) in [
        (&["--envs", "65536"][..], "env.n_envs = 65536 with observations of 4096 x 4096 pixels"),
        (&["--envs", "8", "--set", "train.ppo.n_steps=100000"], "train.ppo.n_steps = 100000"),
    ] {
        let output = sayso(dir.path(), &[&["train"], args, &pixels].concat());
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(expected) && stderr(&output).contains("GB"), "{}", stderr(&output));
        assert!(!dir.path().join("run").exists());
    }
}
