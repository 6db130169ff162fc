//! Checkpoints: one safetensors file with the complete state of a training run, from which it resumes bit-exactly.
//!
//! Tensors: `policy.*` (parameters), `adam.*` (moments), the normalisers, the current observations, and the env's
//! snapshot as bytes. The rest (configuration, counters, random generators, unfinished episodes) is JSON in the file's
//! metadata. Every part has a CRC-32C; files are written atomically.

mod data;

pub use data::TensorData;

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use rand::SeedableRng;
use rand_pcg::Pcg64;
use safetensors::SafeTensors;
use sayso_sim::atomic_write;
use serde::{Deserialize, Serialize};

use crate::config::TrainConfig;
use crate::episodes::{EpisodeTracker, MAX_COUNT, RecentEpisodes};
use crate::normalize::{ObservationNormalizer, RunningMoments};
use crate::policy::{ActorCritic, PolicySpec, TrainedPolicy};
use crate::{AgentError, Result};

/// Version of the file layout; other versions are refused. Layout 2 no longer has `train.score_use`; layout 3 has no pixel
/// observations, which are rendered again from the envs' state; in layout 4 the envs' snapshot has a checksum; layout 5 has
/// the frames that later scores depend on, layout 6 the instructions of episodes, layout 7 articulations apart.
const VERSION: u32 = 7;
/// Key of Sayso's JSON in the file's metadata.
const METADATA_KEY: &str = "sayso-checkpoint";
/// Name of the header among the checksums.
const HEADER: &str = "(header)";

/// The complete state of a training run.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    header: Header,
    tensors: BTreeMap<String, TensorData>,
    /// The file that it was read from; empty if it was made in memory.
    path: PathBuf,
}

/// Everything that is not a tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    pub config: TrainConfig,
    pub policy: PolicySpec,
    pub n_updates: u64,
    pub n_steps: u64,
    pub adam_steps: u64,
    pub action_rng: Pcg64,
    pub shuffle_rng: Pcg64,
    pub tracker: EpisodeTracker,
    pub recent: RecentEpisodes,
    /// The best checkpoint so far, this one included; `None` before the first finished episode.
    pub best: Option<BestCheckpoint>,
}

impl Header {
    fn check(&self) -> Result<(), String> {
        let counts = [self.n_updates, self.n_steps, self.adam_steps];
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
    /// [`Header`] as JSON; a string, so that the checksum covers its exact bytes.
    header: String,
    /// CRC-32C of the header and of every tensor's bytes, by name.
    checksums: BTreeMap<String, u32>,
}

impl BestCheckpoint {
    /// Name of its file.
    pub fn file_name(&self) -> String {
        file_name_at(self.n_steps)
    }
}

impl Checkpoint {
    pub(crate) fn new(header: Header, tensors: Vec<(String, TensorData)>) -> Self {
        Self { header, tensors: tensors.into_iter().collect(), path: PathBuf::new() }
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
        checkpoint.path = path.to_owned();
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

    /// The policy.
    ///
    /// # Errors
    /// If the tensors do not fit the network that the checkpoint describes.
    pub fn policy(&self) -> Result<TrainedPolicy> {
        Ok(TrainedPolicy::new(self.network()?, self.observation_normalizer()?))
    }

    pub(crate) fn network(&self) -> Result<ActorCritic> {
        // A damaged specification may ask for more memory than there is; the tensors in the file bound it.
        self.header.policy.validate()?;
        let saved = self.tensors.iter().filter(|(name, _)| name.starts_with("policy."));
        let n_saved: usize = saved.map(|(_, data)| data.shape().iter().product::<usize>()).sum();
        match self.header.policy.n_parameters() {
            Some(n_parameters) if n_parameters <= n_saved => {}
            _ => {
                return Err(
                    self.error(format!("the policy has more parameters than the {n_saved} in the file"))
                );
            }
        }
        // The initial parameters are overwritten, so the seed does not matter.
        let network =
            ActorCritic::new(self.header.policy.clone(), &mut Pcg64::seed_from_u64(0), &Device::Cpu)?;
        for (name, var) in network.parameters().iter() {
            var.set(&self.tensor(&format!("policy.{name}"), var.dims(), network.device())?)?;
        }
        let n_saved = self.tensors.keys().filter(|name| name.starts_with("policy.")).count();
        self.expect_equal("number of policy tensors", &network.parameters().iter().len(), &n_saved)?;
        Ok(network)
    }

    pub(crate) fn observation_normalizer(&self) -> Result<Option<ObservationNormalizer>> {
        if !self.header.config.ppo.normalize_observations {
            return Ok(None);
        }
        let values = self.f64_values("observations.moments")?;
        let moments = RunningMoments::from_values(self.header.policy.state_dim, &values)
            .map_err(|error| self.error(format!("tensor 'observations.moments': {error}")))?;
        Ok(Some(ObservationNormalizer { moments }))
    }

    /// A tensor of the given shape.
    pub(crate) fn tensor(&self, name: &str, shape: &[usize], device: &Device) -> Result<Tensor> {
        let data = self.data(name)?;
        if data.shape() != shape {
            let got = data.shape();
            return Err(self.error(format!("tensor '{name}': expected shape {shape:?}, got {got:?}")));
        }
        Ok(Tensor::from_vec(self.f32_values(name)?, shape, device)?)
    }

    pub(crate) fn f32_values(&self, name: &str) -> Result<Vec<f32>> {
        self.data(name)?.to_f32().map_err(|reason| self.error(format!("tensor '{name}': {reason}")))
    }

    pub(crate) fn f64_values(&self, name: &str) -> Result<Vec<f64>> {
        self.data(name)?.to_f64().map_err(|reason| self.error(format!("tensor '{name}': {reason}")))
    }

    pub(crate) fn bytes(&self, name: &str) -> Result<&[u8]> {
        self.data(name)?.to_bytes().map_err(|reason| self.error(format!("tensor '{name}': {reason}")))
    }

    /// Checks that a saved value is the expected one.
    pub(crate) fn expect_equal<T: PartialEq + Debug>(
        &self,
        what: &str,
        expected: &T,
        saved: &T,
    ) -> Result<()> {
        if expected == saved {
            return Ok(());
        }
        Err(self.error(format!("{what}: expected {expected:?}, but it was saved with {saved:?}")))
    }

    fn data(&self, name: &str) -> Result<&TensorData> {
        self.tensors.get(name).ok_or_else(|| self.error(format!("tensor '{name}' is missing")))
    }

    pub(crate) fn error(&self, reason: String) -> AgentError {
        let path = if self.path == Path::new("") { PathBuf::from("checkpoint") } else { self.path.clone() };
        AgentError::Checkpoint { path, reason }
    }

    fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let header = serde_json::to_string(&self.header).map_err(|error| error.to_string())?;
        let mut checksums: BTreeMap<String, u32> =
            self.tensors.iter().map(|(name, data)| (name.clone(), data.checksum())).collect();
        checksums.insert(HEADER.to_owned(), crc32c::crc32c(header.as_bytes()));
        let metadata = serde_json::to_string(&Metadata { version: VERSION, header, checksums })
            .map_err(|error| error.to_string())?;
        safetensors::serialize(&self.tensors, Some(HashMap::from([(METADATA_KEY.to_owned(), metadata)])))
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
        let header: Header = serde_json::from_str(&ours.header)
            .map_err(|error| format!("its header cannot be parsed: {error}"))?;
        header.check().map_err(|reason| format!("its header is damaged: {reason}"))?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.tensors() {
            let data = TensorData::from_view(&view);
            if ours.checksums.get(&name) != Some(&data.checksum()) {
                return Err(format!("tensor '{name}' is damaged: the checksum differs"));
            }
            tensors.insert(name, data);
        }
        if let Some(name) = ours.checksums.keys().find(|name| *name != HEADER && !tensors.contains_key(*name))
        {
            return Err(format!("tensor '{name}' is missing"));
        }
        Ok(Self { header, tensors, path: PathBuf::new() })
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
        _ => reason,
    }
}
