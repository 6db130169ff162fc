//! Checkpoints of runs: arbitrary bytes, and changed headers and tensors whose checksums are right. One that can be read gives
//! a policy that acts, and training continues from it, or both are refused with an error.

#![no_main]

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::ops::{ControlFlow, Range};

use libfuzzer_sys::fuzz_target;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use sayso::agents::{Checkpoint, EvalConfig, NetworkConfig, PpoConfig, TrainConfig, evaluate, train};
use sayso::envs::{EnvConfig, RewardSource, VecEnv};
use serde_json::{Value, json};
use tempfile::TempDir;

const METADATA_KEY: &str = "sayso-checkpoint";
const HEADER: &str = "(header)";

struct Fixture {
    folder: TempDir,
    config: TrainConfig,
    bytes: Vec<u8>,
    version: Value,
    header: String,
}

impl Fixture {
    fn new() -> Self {
        let folder = sayso_fuzz::scratch_folder();
        let network = NetworkConfig { hidden_sizes: vec![4], ..NetworkConfig::sb3() };
        let ppo = PpoConfig {
            n_steps: 8,
            minibatch_size: 16,
            normalize_observations: true,
            normalize_rewards: true,
            network,
            ..PpoConfig::sb3()
        };
        let config = TrainConfig {
            checkpoint_folder: Some(folder.path().join("checkpoints")),
            ..TrainConfig::new(&ppo, 16, 1).expect("a configuration")
        };
        let outcome = train(&mut env(), None, &config, None, &mut ()).expect("a short training");
        let bytes = fs::read(outcome.checkpoint_path.expect("a checkpoint")).expect("a file");
        let (_, metadata) = SafeTensors::read_metadata(&bytes).expect("metadata");
        let ours = &metadata.metadata().as_ref().expect("metadata")[METADATA_KEY];
        let ours: Value = serde_json::from_str(ours).expect("JSON");
        let header = ours["header"].as_str().expect("a header").to_owned();
        let config = TrainConfig { total_steps: 32, checkpoint_folder: None, ..config };
        let fixture = Self { folder, config, bytes, version: ours["version"].clone(), header };
        let same = fixture.with(&with_other_values(&fixture.header, &[]), None).expect("a file");
        assert!(fixture.load(&same).is_ok(), "a file without edits can be read");
        fixture
    }

    fn load(&self, bytes: &[u8]) -> sayso::agents::Result<Checkpoint> {
        let path = self.folder.path().join("step-000000000016.safetensors");
        fs::write(&path, bytes).expect("a write to memory");
        Checkpoint::load(&path)
    }

    /// The checkpoint with this header, and with the bytes of a tensor replaced, with the checksums of both.
    fn with(&self, header: &str, replaced: Option<(usize, &[u8])>) -> Option<Vec<u8>> {
        let file = SafeTensors::deserialize(&self.bytes).expect("the fixture");
        let mut tensors: BTreeMap<String, TensorView> = file.tensors().into_iter().collect();
        if let Some((tensor_idx, bytes)) = replaced {
            let name = tensors.keys().nth(tensor_idx % tensors.len())?.clone();
            let dtype = tensors[&name].dtype();
            let n_values = bytes.len() * 8 / dtype.bitsize();
            let bytes = &bytes[..n_values * dtype.bitsize() / 8];
            let shape = match tensors[&name].shape() {
                shape if shape.iter().product::<usize>() == n_values => shape.to_vec(),
                _ => vec![n_values],
            };
            tensors.insert(name, TensorView::new(dtype, shape, bytes).ok()?);
        }
        let mut checksums: BTreeMap<&str, u32> =
            tensors.iter().map(|(name, view)| (name.as_str(), crc32c::crc32c(view.data()))).collect();
        checksums.insert(HEADER, crc32c::crc32c(header.as_bytes()));
        let ours = json!({ "version": self.version, "header": header, "checksums": checksums }).to_string();
        safetensors::serialize(&tensors, Some(HashMap::from([(METADATA_KEY.to_owned(), ours)]))).ok()
    }
}

fn env() -> VecEnv {
    let config = EnvConfig { id: "CartPole-v1".to_owned(), n_envs: 2, ..EnvConfig::default() };
    VecEnv::new(&config, RewardSource::GroundTruth).expect("an environment")
}

thread_local! {
    static FIXTURE: RefCell<Fixture> = RefCell::new(Fixture::new());
}

fn use_checkpoint(checkpoint: &Checkpoint, config: &TrainConfig) {
    if let Ok(mut policy) = checkpoint.policy() {
        let eval = EvalConfig { n_episodes: 1, seed: 1 };
        let _ = evaluate(&mut env(), &mut *policy, &eval, &mut |_| ControlFlow::Break(()));
    }
    let _ = train(&mut env(), None, config, Some(checkpoint), &mut ());
}

/// JSON with some of its numbers, booleans and nulls replaced: each edit is the place of a value and that of another value. The
/// text is edited, as a parser would round the states of the random generators.
fn with_other_values(json: &str, edits: &[u8]) -> String {
    const OTHERS: [&str; 12] = [
        "0",
        "1",
        "-1",
        "3",
        "1e300",
        "18446744073709551615",
        "0.5",
        "null",
        "true",
        "\"x\"",
        "[]",
        "[1.0,2.0]",
    ];
    let mut json = json.to_owned();
    for edit in edits.chunks_exact(2) {
        let places = scalars(&json);
        let Some(place) = places.get(usize::from(edit[0]) % places.len().max(1)) else { break };
        json.replace_range(place.clone(), OTHERS[usize::from(edit[1]) % OTHERS.len()]);
    }
    json
}

/// The places of the numbers, booleans and nulls of a JSON text.
fn scalars(json: &str) -> Vec<Range<usize>> {
    let is_scalar = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'+' | b'.');
    let (bytes, mut places, mut start, mut is_text) = (json.as_bytes(), Vec::new(), None, false);
    for (i, &c) in bytes.iter().enumerate() {
        if c == b'"' {
            is_text = !is_text;
        }
        match (start, !is_text && is_scalar(c)) {
            (None, true) => start = Some(i),
            (Some(first), false) => {
                places.push(first..i);
                start = None;
            }
            _ => {}
        }
    }
    places
}

fuzz_target!(|data: &[u8]| {
    let Some((mode, data)) = data.split_first() else { return };
    FIXTURE.with_borrow(|fixture| {
        let bytes = match mode % 3 {
            0 => Some(data.to_vec()),
            1 => fixture.with(&with_other_values(&fixture.header, data), None),
            _ => data.split_first().and_then(|(&tensor_idx, bytes)| {
                fixture.with(&fixture.header, Some((tensor_idx.into(), bytes)))
            }),
        };
        if let Some(Ok(checkpoint)) = bytes.map(|bytes| fixture.load(&bytes)) {
            use_checkpoint(&checkpoint, &fixture.config);
        }
    });
});
