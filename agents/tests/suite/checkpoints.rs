use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand_pcg::Pcg64;
use safetensors::SafeTensors;
use sayso_agents::registry::NamedOptions;
use sayso_agents::{
    Checkpoint, NetworkConfig, PpoConfig, TrainConfig, TrainObserver, TrainOutcome, UpdateReport, train,
};
use sayso_envs::{AutoresetMode, EnvConfig, ObservationConfig, Observations, RewardSource, VecEnv};
use sayso_rewards::{FrameSelection, RewardSchedule};
use serde_json::Value;

use crate::learning::{parameters, small_config, small_pixels_ppo, small_ppo};
use crate::point_env::PointEnv;

/// Stops after `n_updates`, and records the paths of the checkpoints.
pub struct StopAfter {
    n_updates: u64,
    written: Vec<PathBuf>,
}

impl TrainObserver for StopAfter {
    fn on_update(&mut self, report: &UpdateReport) -> ControlFlow<()> {
        if self.n_updates <= report.n_updates { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn on_checkpoint(&mut self, path: &Path) {
        self.written.push(path.to_owned());
    }
}

/// Compares twelve updates in one run with six updates, a checkpoint, and six more updates from the file.
pub fn assert_resumes_exactly<O: NamedOptions>(
    options: &O,
    run: impl Fn(&TrainConfig, Option<&Checkpoint>, &mut StopAfter) -> TrainOutcome,
) {
    let folder = tempfile::tempdir().unwrap();
    let config = |total_steps, name: &str| TrainConfig {
        checkpoint_folder: Some(folder.path().join(name)),
        ..TrainConfig::new(options, total_steps, 11).unwrap()
    };
    let endless = config(u64::MAX, "endless");
    let first = run(&endless, None, &mut StopAfter { n_updates: 1, written: vec![] });
    let per_update = first.last_report.unwrap().n_steps;
    let all = 12 * per_update;
    let whole = run(&config(all, "whole"), None, &mut StopAfter { n_updates: u64::MAX, written: vec![] });
    let whole_bytes = std::fs::read(whole.checkpoint_path.as_ref().unwrap()).unwrap();
    assert_eq!(whole.last_report.unwrap().n_updates, 12);

    let first = run(&config(all, "parts"), None, &mut StopAfter { n_updates: 6, written: vec![] });
    assert!(first.interrupted);
    let saved = Checkpoint::load(&first.checkpoint_path.unwrap()).unwrap();
    assert_eq!((saved.n_updates(), saved.n_steps()), (6, 6 * per_update));
    drop(first.policy);
    let second =
        run(&config(all, "parts"), Some(&saved), &mut StopAfter { n_updates: u64::MAX, written: vec![] });
    let second_bytes = std::fs::read(second.checkpoint_path.as_ref().unwrap()).unwrap();
    // Byte by byte: weights, optimiser state, normalisers, random generators, envs, unfinished episodes.
    assert!(whole_bytes == second_bytes, "the resumed run ends in another state");
}

#[test]
fn resuming_is_bit_exact() {
    assert_resumes_exactly(&small_ppo(), |config, resume, observer| {
        train(&mut PointEnv::continuous(3), None, config, resume, observer).unwrap()
    });
}

#[test]
fn resuming_with_scored_frames_is_bit_exact() {
    assert_resumes_exactly(&small_ppo(), |config, resume, observer| {
        let (mut env, scorer) = PointEnv::discrete(3).scored(RewardSchedule::HoldLast, 5);
        train(&mut env, Some(scorer), config, resume, observer).unwrap()
    });
}

#[test]
fn resuming_with_a_history_of_frames_is_bit_exact() {
    let window = FrameSelection::Window { n_frames: 3, stride: 2 };
    let episode = FrameSelection::Episode { n_frames: 4 };
    for (frames, schedule) in [(window, RewardSchedule::HoldLast), (episode, RewardSchedule::Difference)] {
        for autoreset in [AutoresetMode::SameStep, AutoresetMode::NextStep] {
            assert_resumes_exactly(&small_ppo(), |config, resume, observer| {
                let mut env = PointEnv::discrete(3);
                env.autoreset = autoreset;
                let (mut env, scorer) = env.scored_over(frames, schedule, 1);
                train(&mut env, Some(scorer), config, resume, observer).unwrap()
            });
        }
    }
}

#[test]
fn a_history_of_another_reward_model_is_refused() {
    let run = |frames, resume: Option<&Checkpoint>| {
        let (mut env, scorer) = PointEnv::discrete(3).scored_over(frames, RewardSchedule::HoldLast, 1);
        train(&mut env, Some(scorer), &small_config(480), resume, &mut ())
    };
    let saved = run(FrameSelection::Window { n_frames: 4, stride: 1 }, None).unwrap().checkpoint;
    for other in [FrameSelection::Episode { n_frames: 4 }, FrameSelection::Last] {
        let error = run(other, Some(&saved)).unwrap_err().to_string();
        assert!(error.contains("another model, schedule"), "{other:?}: {error}");
    }
}

#[test]
fn resuming_with_pixels_is_bit_exact() {
    assert_resumes_exactly(&small_pixels_ppo(), |config, resume, observer| {
        train(&mut PointEnv::continuous(3).with_pixels(), None, config, resume, observer).unwrap()
    });
}

#[test]
fn frames_are_not_saved_and_resuming_renders_them_again() {
    for autoreset in [AutoresetMode::SameStep, AutoresetMode::NextStep] {
        assert_resumes_exactly(&small_pixels_ppo(), |config, resume, observer| {
            let env = EnvConfig {
                id: "GoTo-v1".to_owned(),
                n_envs: 3,
                observation: ObservationConfig::PIXELS,
                pixel_size: [36, 36],
                max_episode_steps: Some(7),
                autoreset,
                ..EnvConfig::default()
            };
            let mut env = VecEnv::new(&env, RewardSource::GroundTruth).unwrap();
            let outcome = train(&mut env, None, config, resume, observer).unwrap();
            let file = std::fs::read(outcome.checkpoint_path.as_ref().unwrap()).unwrap();
            let names = safetensors::SafeTensors::deserialize(&file).unwrap();
            assert!(
                names.names().iter().all(|name| !name.contains("pixels")),
                "frames are in the checkpoint"
            );
            outcome
        });
    }
}

#[test]
fn old_checkpoints_are_removed_except_the_best_by_training_reward() {
    let names_with = |keep_newest, keep_best| {
        let folder = tempfile::tempdir().unwrap();
        // So fast that the policy gets worse.
        let ppo = PpoConfig { learning_rate: 0.5, ..small_ppo() };
        let config = TrainConfig {
            checkpoint_folder: Some(folder.path().to_owned()),
            checkpoint_every: 1,
            n_report_episodes: 4,
            keep_newest,
            keep_best,
            ..TrainConfig::new(&ppo, 12 * 96, 11).unwrap()
        };
        let outcome = train(&mut PointEnv::continuous(3), None, &config, None, &mut ()).unwrap();
        let entries = std::fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        (names, outcome.checkpoint.best().unwrap())
    };
    let name = |n_steps: u64| format!("step-{n_steps:012}.safetensors");
    let newest = [name(11 * 96), name(12 * 96)];
    let (all, best) = names_with(0, true);
    assert_eq!(all.len(), 12);
    assert!(best.n_steps < 11 * 96, "the test needs a best checkpoint that is old: {best:?}");
    assert_eq!(names_with(2, false).0, newest);
    assert_eq!(names_with(2, true).0, [&[name(best.n_steps)][..], &newest].concat());
}

fn trained(folder: &Path) -> (TrainOutcome, StopAfter) {
    let folder = Some(folder.to_owned());
    let config = TrainConfig { checkpoint_folder: folder, checkpoint_every: 2, ..small_config(5 * 96) };
    let mut observer = StopAfter { n_updates: u64::MAX, written: vec![] };
    (train(&mut PointEnv::continuous(3), None, &config, None, &mut observer).unwrap(), observer)
}

#[test]
fn checkpoints_are_written_at_the_interval_and_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (outcome, observer) = trained(folder.path());
    let names: Vec<_> =
        observer.written.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(
        names,
        ["step-000000000192.safetensors", "step-000000000384.safetensors", "step-000000000480.safetensors"]
    );
    assert_eq!(Checkpoint::latest(folder.path()).unwrap(), outcome.checkpoint_path);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "no temporary file is left");
}

#[test]
fn a_saved_policy_acts_like_the_trained_one() {
    let folder = tempfile::tempdir().unwrap();
    let (outcome, _) = trained(folder.path());
    let saved = Checkpoint::load(outcome.checkpoint_path.as_ref().unwrap()).unwrap();
    assert_eq!(saved.config().tables, small_config(1).tables);
    let mut policies = [saved.policy().unwrap(), outcome.policy];
    let observations = Observations { state: vec![-0.7, 0.1, 1.3], ..Observations::default() };
    for deterministic in [true, false] {
        let actions = policies.each_mut().map(|policy| {
            policy.set_deterministic(deterministic);
            policy.act(&observations, &mut Pcg64::seed_from_u64(3)).unwrap()
        });
        assert_eq!(actions[0], actions[1]);
    }
}

#[test]
fn resuming_a_finished_training_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (outcome, _) = trained(folder.path());
    let config = small_config(5 * 96);
    let again =
        train(&mut PointEnv::continuous(3), None, &config, Some(&outcome.checkpoint), &mut ()).unwrap();
    assert!(again.last_report.is_none(), "there was nothing left to do");
    assert_eq!(parameters(&again), parameters(&outcome));
}

fn error_after(folder: &Path, damage: impl FnOnce(&mut Vec<u8>)) -> String {
    let (outcome, _) = trained(folder);
    let path = outcome.checkpoint_path.unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    damage(&mut bytes);
    std::fs::write(&path, bytes).unwrap();
    let error = Checkpoint::load(&path).unwrap_err().to_string();
    assert!(error.starts_with(path.to_str().unwrap()), "{error}");
    error
}

#[test]
fn errors_of_damaged_files_name_the_file_and_the_tensor() {
    let folder = tempfile::tempdir().unwrap();
    let cut = error_after(folder.path(), |bytes| bytes.truncate(bytes.len() / 2));
    assert!(cut.contains("not an intact safetensors file"), "{cut}");
    let flipped = error_after(folder.path(), |bytes| *bytes.last_mut().unwrap() ^= 1);
    assert!(flipped.contains("tensor '") && flipped.contains("checksum"), "{flipped}");
    let empty = error_after(folder.path(), Vec::clear);
    assert!(empty.contains("not an intact safetensors file"), "{empty}");
    let missing = Checkpoint::load(&folder.path().join("none.safetensors")).unwrap_err().to_string();
    assert!(missing.contains("none.safetensors: cannot be read"), "{missing}");
}

/// The checkpoint's bytes with a changed header whose checksum is right.
fn with_header(bytes: &[u8], change: impl FnOnce(String) -> String) -> Vec<u8> {
    const KEY: &str = "sayso-checkpoint";
    let tensors = SafeTensors::deserialize(bytes).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(bytes).unwrap();
    let mut metadata = metadata.metadata().clone().unwrap();
    let mut ours: Value = serde_json::from_str(&metadata[KEY]).unwrap();
    let header = change(ours["header"].as_str().unwrap().to_owned());
    ours["checksums"]["(header)"] = crc32c::crc32c(header.as_bytes()).into();
    ours["header"] = header.into();
    metadata.insert(KEY.to_owned(), ours.to_string());
    safetensors::serialize(tensors.tensors(), Some(metadata)).unwrap()
}

#[test]
fn a_header_that_asks_for_more_memory_than_its_tensors_have_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = trained(folder.path()).0.checkpoint_path.unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for state_dim in ["1000000000000", "18446744073709551615"] {
        let changed = with_header(&bytes, |header| {
            let start = header.find("\"state_dim\":").unwrap() + "\"state_dim\":".len();
            let len = header[start..].find(|c: char| !c.is_ascii_digit()).unwrap();
            [&header[..start], state_dim, &header[start + len..]].concat()
        });
        std::fs::write(&path, changed).unwrap();
        let error = Checkpoint::load(&path).unwrap().policy().err().unwrap().to_string();
        assert!(error.contains("the policy has more parameters than the"), "{error}");
    }
}

#[test]
fn checkpoints_of_another_configuration_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (outcome, _) = trained(folder.path());
    let resume = |env: &mut PointEnv, config: &TrainConfig| {
        train(env, None, config, Some(&outcome.checkpoint), &mut ()).unwrap_err().to_string()
    };
    let config = small_config(1_000_000);
    let actions = resume(&mut PointEnv::discrete(3), &config);
    assert!(actions.contains("the policy's actions"), "{actions}");
    let n_envs = resume(&mut PointEnv::continuous(4), &config);
    assert!(n_envs.contains("number of envs: expected 4, but it was saved with 3"), "{n_envs}");
    let network = NetworkConfig { hidden_sizes: vec![64], ..small_ppo().network };
    let wider = TrainConfig::new(&PpoConfig { network, ..small_ppo() }, 1_000_000, 11).unwrap();
    let network = resume(&mut PointEnv::continuous(3), &wider);
    assert!(network.contains("train.ppo.network"), "{network}");
    let not_normalized = PpoConfig { normalize_observations: false, ..small_ppo() };
    let not_normalized = TrainConfig::new(&not_normalized, 1_000_000, 11).unwrap();
    let normalized = resume(&mut PointEnv::continuous(3), &not_normalized);
    assert!(normalized.contains("train.ppo.normalize_observations: expected false"), "{normalized}");
}

#[test]
fn an_unwritable_folder_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "not a folder").unwrap();
    let config = TrainConfig { checkpoint_folder: Some(file.join("run")), ..small_config(96) };
    let error = train(&mut PointEnv::continuous(3), None, &config, None, &mut ()).unwrap_err().to_string();
    assert!(error.contains("file/run") && error.contains("cannot be written"), "{error}");
}
