//! Checkpoints: one safetensors file with the complete state of a training run, from which it resumes bit-exactly.
//!
//! Tensors: those of the algorithm (parameters, moments of the optimiser, normalisers), and `run.*`, those of the loop: the current
//! observations, the state of the reward, and the envs' snapshot as bytes. The rest (configuration, counters, random
//! generators, unfinished episodes) is JSON in the file's metadata. Every part has a CRC-32C; files are written atomically.

mod data;
mod state;

pub use data::TensorData;
pub use state::SavedState;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use sayso_sim::atomic_write;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::config::TrainConfig;
use crate::episodes::{EpisodeTracker, MAX_COUNT, RecentEpisodes};
use crate::policy::{Policy, PolicySpaces};
use crate::{AgentError, Result};

/// Version of the file layout; other versions are refused. Layout 2 no longer has `train.score_use`; layout 3 has no pixel
/// observations, which are rendered again from the envs' state; in layout 4 the envs' snapshot has a checksum; layout 5 has
/// the frames that later scores depend on, layout 6 the instructions of episodes; in layout 7 the state of the algorithm and
/// the articulations of the envs are apart.
const VERSION: u32 = 7;
/// Key of Sayso's JSON in the file's metadata.
const METADATA_KEY: &str = "sayso-checkpoint";
/// Name of the header among the checksums.
const HEADER: &str = "(header)";
/// Prefix of the names of the loop's tensors.
const RUN: &str = "run.";

/// The complete state of a training run.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    header: Header,
    /// The state of the loop.
    run: SavedState,
    algorithm: SavedState,
}

/// Everything of the loop that is not a tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    pub config: TrainConfig,
    pub spaces: PolicySpaces,
    pub n_updates: u64,
    pub n_steps: u64,
    pub tracker: EpisodeTracker,
    pub recent: RecentEpisodes,
    /// The best checkpoint so far, this one included; `None` before the first finished episode.
    pub best: Option<BestCheckpoint>,
}

impl Header {
    fn check(&self) -> Result<(), String> {
        let counts = [self.n_updates, self.n_steps];
        if let Some(count) = counts.into_iter().find(|&count| count > MAX_COUNT) {
            return Err(format!("it counts {count} steps or updates, expected at most {MAX_COUNT}"));
        }
        self.tracker.check()?;
        self.recent.check(self.tracker.n_goals())
    }
}

/// The checkpoint with the highest mean training reward so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BestCheckpoint {
    /// Env steps at which it was saved.
    pub n_steps: u64,
    /// Mean undiscounted return of its latest finished episodes, of the reward that was trained on.
    pub mean_return: f64,
}

/// Sayso's part of the file's metadata.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    version: u32,
    /// [`WholeHeader`] as JSON; a string, so that the checksum covers its exact bytes.
    header: String,
    /// CRC-32C of the header and of every tensor's bytes, by name.
    checksums: BTreeMap<String, u32>,
}

/// The header and the values of the algorithm.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WholeHeader<H> {
    run: H,
    algorithm: BTreeMap<String, Box<RawValue>>,
}

impl BestCheckpoint {
    /// Name of its file.
    pub fn file_name(&self) -> String {
        file_name_at(self.n_steps)
    }
}

impl Checkpoint {
    pub(crate) fn new(header: Header, run: SavedState, algorithm: SavedState) -> Self {
        Self { header, run, algorithm }
    }

    /// The configuration of the training run.
    pub fn config(&self) -> &TrainConfig {
        &self.header.config
    }

    /// Number of updates so far.
    pub fn n_updates(&self) -> u64 {
        self.header.n_updates
    }

    /// Number of env steps so far, over all envs.
    pub fn n_steps(&self) -> u64 {
        self.header.n_steps
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// The best checkpoint so far by mean training reward; `None` before the first finished episode.
    pub fn best(&self) -> Option<BestCheckpoint> {
        self.header.best
    }

    /// `step-NNNNNNNNNNNN.safetensors`; names sort by steps.
    pub fn file_name(&self) -> String {
        file_name_at(self.header.n_steps)
    }

    /// Writes the file under another name, flushes it to the disk, and renames it; its folder is created if missing.
    ///
    /// # Errors
    /// If the folder cannot be created or the file cannot be written; an existing file is then unchanged.
    pub fn save(&self, path: &Path) -> Result<()> {
        let failed = |reason: String| AgentError::Checkpoint { path: path.to_owned(), reason };
        let io = |error: std::io::Error| failed(format!("cannot be written: {error}"));
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        std::fs::create_dir_all(folder).map_err(io)?;
        let bytes = self.to_bytes().map_err(failed)?;
        atomic_write(path, &bytes).map_err(io)
    }

    /// Reads a file that [`Self::save`] wrote, and checks every part of it.
    ///
    /// # Errors
    /// If the file is missing, damaged, or not a checkpoint; names the file and the tensor.
    pub fn load(path: &Path) -> Result<Self> {
        let failed = |reason: String| AgentError::Checkpoint { path: path.to_owned(), reason };
        let bytes = std::fs::read(path).map_err(|error| failed(format!("cannot be read: {error}")))?;
        let mut checkpoint = Self::from_bytes(&bytes).map_err(failed)?;
        for state in [&mut checkpoint.run, &mut checkpoint.algorithm] {
            state.path = path.to_owned();
        }
        Ok(checkpoint)
    }

    /// The latest checkpoint file of a folder; `None` if there is none.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn latest(folder: &Path) -> Result<Option<PathBuf>> {
        Ok(file_names(folder)?.last().map(|name| folder.join(name)))
    }

    /// Removes all checkpoint files of a folder but the `keep_newest` newest and that of `best`.
    ///
    /// # Errors
    /// If the folder cannot be read or a file cannot be removed.
    pub(crate) fn prune(folder: &Path, keep_newest: usize, best: Option<BestCheckpoint>) -> Result<()> {
        let names = file_names(folder)?;
        let best = best.map(|best| best.file_name());
        let n_old = names.len().saturating_sub(keep_newest);
        for name in names[..n_old].iter().filter(|name| best.as_ref() != Some(name)) {
            let path = folder.join(name);
            std::fs::remove_file(&path).map_err(|error| AgentError::Checkpoint {
                reason: format!("cannot be removed: {error}"),
                path,
            })?;
        }
        Ok(())
    }

    /// The policy. It acts deterministically.
    ///
    /// # Errors
    /// If the algorithm is not registered, or the tensors do not fit the network that the checkpoint describes.
    pub fn policy(&self) -> Result<Box<dyn Policy>> {
        self.header.spaces.validate()?;
        self.header.config.options()?.policy(&self.header.spaces, &self.algorithm)
    }

    /// Observations and actions of the policy.
    pub fn spaces(&self) -> &PolicySpaces {
        &self.header.spaces
    }

    /// The state of the algorithm.
    pub fn algorithm(&self) -> &SavedState {
        &self.algorithm
    }

    /// The state of the loop.
    pub(crate) fn run(&self) -> &SavedState {
        &self.run
    }

    fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let header = WholeHeader { run: &self.header, algorithm: self.algorithm.values.clone() };
        let header = serde_json::to_string(&header).map_err(|error| error.to_string())?;
        let run = self.run.tensors.iter().map(|(name, data)| (format!("{RUN}{name}"), data));
        let tensors: BTreeMap<String, &TensorData> =
            self.algorithm.tensors.iter().map(|(name, data)| (name.clone(), data)).chain(run).collect();
        let mut checksums: BTreeMap<String, u32> =
            tensors.iter().map(|(name, data)| (name.clone(), data.checksum())).collect();
        checksums.insert(HEADER.to_owned(), crc32c::crc32c(header.as_bytes()));
        let metadata = serde_json::to_string(&Metadata { version: VERSION, header, checksums })
            .map_err(|error| error.to_string())?;
        safetensors::serialize(tensors, Some(HashMap::from([(METADATA_KEY.to_owned(), metadata)])))
            .map_err(|error| error.to_string())
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let damaged = |error: &dyn std::fmt::Display| format!("is not an intact safetensors file: {error}");
        let file = SafeTensors::deserialize(bytes).map_err(|error| damaged(&error))?;
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| damaged(&error))?;
        let ours = metadata.metadata().as_ref().and_then(|metadata| metadata.get(METADATA_KEY));
        let ours = ours.ok_or_else(|| format!("is not a checkpoint: its metadata lacks '{METADATA_KEY}'"))?;
        let ours: Metadata =
            serde_json::from_str(ours).map_err(|error| format!("its metadata is damaged: {error}"))?;
        if ours.version != VERSION {
            return Err(wrong_version(ours.version));
        }
        if ours.checksums.get(HEADER) != Some(&crc32c::crc32c(ours.header.as_bytes())) {
            return Err("its header is damaged: the checksum differs".to_owned());
        }
        let WholeHeader { run: header, algorithm: values } =
            serde_json::from_str::<WholeHeader<Header>>(&ours.header)
                .map_err(|error| format!("its header cannot be parsed: {error}"))?;
        header.check().map_err(|reason| format!("its header is damaged: {reason}"))?;
        let (mut run, mut algorithm) =
            (SavedState::default(), SavedState { values, ..SavedState::default() });
        for (name, view) in file.tensors() {
            let data = TensorData::from_view(&view);
            if ours.checksums.get(&name) != Some(&data.checksum()) {
                return Err(format!("tensor '{name}' is damaged: the checksum differs"));
            }
            match name.strip_prefix(RUN) {
                Some(name) => run.tensors.insert(name.to_owned(), data),
                None => algorithm.tensors.insert(name, data),
            };
        }
        let is_missing = |name: &str| match name.strip_prefix(RUN) {
            Some(name) => !run.tensors.contains_key(name),
            None => !algorithm.tensors.contains_key(name),
        };
        if let Some(name) = ours.checksums.keys().find(|name| *name != HEADER && is_missing(name)) {
            return Err(format!("tensor '{name}' is missing"));
        }
        Ok(Self { header, run, algorithm })
    }
}

fn file_name_at(n_steps: u64) -> String {
    format!("step-{n_steps:012}.safetensors")
}

/// Names of the checkpoint files of a folder, in the order of their steps.
fn file_names(folder: &Path) -> Result<Vec<String>> {
    let failed = |error: std::io::Error| AgentError::Checkpoint {
        path: folder.to_owned(),
        reason: format!("cannot be read: {error}"),
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        if name.starts_with("step-") && name.ends_with(".safetensors") {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn wrong_version(version: u32) -> String {
    let reason = format!("has layout version {version}, and this program reads version {VERSION}");
    match version {
        1 => format!("{reason}: 'train.score_use' is now 'reward.schedule'; train again with this program"),
        2 => format!("{reason}: checkpoints now name the best one; train again with this program"),
        3 => format!("{reason}: snapshots of envs now have a checksum; train again with this program"),
        6 => format!("{reason}: the algorithm is now 'train.algorithm'; train again with this program"),
        _ => reason,
    }
}
