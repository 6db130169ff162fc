//! Access to the hub through `hf-hub`. Files are downloaded only if the local cache lacks them.

use std::io::{ErrorKind, Result as IoResult};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Cache, Repo, RepoType};

use super::HubName;
use crate::files::exists;
use crate::{Result, RewardError};

/// One revision of a repository. All files are of one commit: that of the cache, or else the latest one.
#[derive(Clone, Debug)]
pub(crate) struct Hub {
    name: HubName,
    settings: Settings,
    state: Arc<Mutex<State>>,
}

/// Where the hub and its cache are.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// Folder of the cache, in the layout of `huggingface_hub`.
    pub cache: PathBuf,
    /// URL of the hub, without a slash at its end.
    pub endpoint: String,
    /// Whether to use the cache alone.
    pub is_offline: bool,
}

/// What is known so far.
#[derive(Debug, Default)]
struct State {
    /// Commit of the revision.
    commit: Option<String>,
    /// Names of the commit's files, requested for the first file that the cache lacks.
    files: Option<Vec<String>>,
}

impl Settings {
    /// Honours `HF_HUB_CACHE`, `HF_HOME`, `HF_ENDPOINT` and `HF_HUB_OFFLINE` as `huggingface_hub` does.
    fn from_env() -> Self {
        let set = |key: &str| std::env::var(key).ok().filter(|value| !value.is_empty());
        Self {
            cache: set("HF_HUB_CACHE").map_or_else(|| Cache::from_env().path().clone(), PathBuf::from),
            endpoint: set("HF_ENDPOINT")
                .map_or_else(|| "https://huggingface.co".into(), |url| url.trim_end_matches('/').into()),
            is_offline: set("HF_HUB_OFFLINE")
                .is_some_and(|v| !["0", "false", "no", "off"].contains(&v.to_lowercase().as_str())),
        }
    }
}

impl Hub {
    /// A repository by its name. Does not access the network.
    ///
    /// # Errors
    /// Never; the signature is that of the substitute without the feature.
    pub fn new(name: HubName) -> Result<Self> {
        Ok(Self::with_settings(name, Settings::from_env()))
    }

    /// As [`Self::new`], with settings that are not from the environment.
    pub(super) fn with_settings(name: HubName, settings: Settings) -> Self {
        Self { name, settings, state: Arc::default() }
    }

    /// Name of the repository.
    pub fn name(&self) -> &HubName {
        &self.name
    }

    /// Local path of a file, downloaded if necessary; `None` if the repository has no such file, which only the hub's list
    /// of its files, or a record of it in the cache, can tell.
    ///
    /// # Errors
    /// If the cache does not tell, and offline mode is set or the hub cannot be reached, or the cache cannot be read or
    /// written.
    pub fn path(&self, file: &str) -> Result<Option<PathBuf>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let cached = self.cached(&mut state, file).map_err(|(path, error)| RewardError::Checkpoint {
            path,
            reason: format!("{error}; this file of the hub's cache is needed for {}/{file}", self.name),
        })?;
        match cached {
            Cached::Present(path) => Ok(Some(path)),
            Cached::Absent => Ok(None),
            Cached::Unknown if self.settings.is_offline => {
                Err(self.unavailable(&state, file, "HF_HUB_OFFLINE is set"))
            }
            Cached::Unknown => self.fetch(&mut state, file).map_err(|why| {
                self.unavailable(
                    &state,
                    file,
                    &format!("the download from {} failed ({why})", self.settings.endpoint),
                )
            }),
        }
    }

    /// What the cache says about a file. An error comes with the path that it is about.
    fn cached(&self, state: &mut State, file: &str) -> Result<Cached, (PathBuf, std::io::Error)> {
        if state.commit.is_none() {
            state.commit = self.cached_commit()?;
        }
        let Some(commit) = &state.commit else { return Ok(Cached::Unknown) };
        let path = self.snapshot(commit).join(file);
        if exists(&path).map_err(|error| (path.clone(), error))? {
            return Ok(Cached::Present(path));
        }
        let record = self.absence_record(commit, file);
        match exists(&record) {
            Ok(true) => Ok(Cached::Absent),
            Ok(false) => Ok(Cached::Unknown),
            Err(error) => Err((record, error)),
        }
    }

    /// The commit of the revision: itself, or the one that the cache recorded for it.
    fn cached_commit(&self) -> Result<Option<String>, (PathBuf, std::io::Error)> {
        let revision = self.revision();
        if revision.len() == 40 && revision.chars().all(|c| c.is_ascii_hexdigit()) {
            return Ok(Some(revision.to_owned()));
        }
        let path = self.folder().join("refs").join(revision);
        match std::fs::read_to_string(&path) {
            Ok(commit) => Ok(Some(commit.trim().to_owned()).filter(|commit| is_commit(commit))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err((path, error)),
        }
    }

    /// Downloads a file, unless the hub's list of files lacks it. The list comes first because a failed request for a file
    /// would not tell whether the file is absent.
    fn fetch(&self, state: &mut State, file: &str) -> Result<Option<PathBuf>, String> {
        let cache = Cache::new(self.settings.cache.clone());
        let api = ApiBuilder::from_cache(cache.clone())
            .with_endpoint(self.settings.endpoint.clone())
            .with_progress(false)
            .build()
            .map_err(|error| error.to_string())?;
        let State { commit, files } = state;
        let files = match files {
            Some(files) => files,
            None => {
                let revision = commit.as_deref().unwrap_or(self.revision());
                let info = api
                    .repo(self.repo_at(revision))
                    .info()
                    .map_err(|error| format!("list of files of '{revision}': {error}"))?;
                if !is_commit(&info.sha) || commit.as_ref().is_some_and(|commit| *commit != info.sha) {
                    return Err(format!("the hub answered with commit '{}' for '{revision}'", info.sha));
                }
                *commit = Some(info.sha);
                files.insert(info.siblings.into_iter().map(|sibling| sibling.rfilename).collect())
            }
        };
        let commit = commit.as_deref().unwrap_or(self.revision());
        if !files.iter().any(|name| name == file) {
            // The record only saves a request later, so that a failure to write it is harmless.
            _ = record(&self.absence_record(commit, file));
            return Ok(None);
        }
        let path = api.repo(self.repo_at(commit)).get(file).map_err(|error| error.to_string())?;
        cache.repo(self.repo_at(self.revision())).create_ref(commit).map_err(|error| error.to_string())?;
        Ok(Some(path))
    }

    fn revision(&self) -> &str {
        self.name.revision.as_deref().unwrap_or("main")
    }

    fn repo_at(&self, revision: &str) -> Repo {
        Repo::with_revision(self.name.repo.clone(), RepoType::Model, revision.to_owned())
    }

    /// Folder of the repository in the cache.
    fn folder(&self) -> PathBuf {
        self.settings.cache.join(self.repo_at(self.revision()).folder_name())
    }

    /// Folder of the files of a commit.
    fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder().join("snapshots").join(commit)
    }

    /// Empty file by which `huggingface_hub` records that a commit lacks a file.
    fn absence_record(&self, commit: &str, file: &str) -> PathBuf {
        self.folder().join(".no_exist").join(commit).join(file)
    }

    fn unavailable(&self, state: &State, file: &str, why: &str) -> RewardError {
        let HubName { repo, revision } = &self.name;
        let at = revision.as_ref().map(|name| format!(" --revision {name}")).unwrap_or_default();
        let elsewhere = format!(
            "on a machine with network access run `hf download {repo}{at} --local-dir FOLDER`, and pass that folder \
             instead of the name"
        );
        match state.commit.as_ref().map(|commit| self.snapshot(commit)) {
            Some(snapshot) if snapshot.is_dir() => RewardError::Checkpoint {
                path: Path::new(&self.name.to_string()).join(file),
                reason: format!(
                    "the cache does not have it, nor tell whether the repository has it, and {why}; if {} has all files of \
                     the model, pass that folder instead of the name, else {elsewhere}",
                    snapshot.display()
                ),
            },
            _ => RewardError::UnknownModel {
                name: self.name.to_string(),
                reason: format!(
                    "{file} is not in the cache ({}), and {why}; {elsewhere}",
                    self.settings.cache.display()
                ),
            },
        }
    }
}

/// What the cache says about a file of a commit.
enum Cached {
    Present(PathBuf),
    Absent,
    Unknown,
}

/// Whether a commit that a server or a file of the cache named can be a folder's name.
fn is_commit(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric())
}

/// Creates an empty file and its folder.
fn record(path: &Path) -> IoResult<()> {
    path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
    std::fs::write(path, b"")
}
