//! Access to the hub through `hf-hub`. Files are downloaded only if the local cache lacks them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo};

use crate::{Result, RewardError};

/// One repository. Honours `HF_HUB_CACHE`, `HF_HOME`, `HF_ENDPOINT` and `HF_HUB_OFFLINE` as `huggingface_hub` does.
#[derive(Clone, Debug)]
pub(crate) struct Hub {
    name: String,
    cache: PathBuf,
    is_offline: bool,
    /// Names of the repository's files, requested on first use.
    files: Arc<Mutex<Option<Vec<String>>>>,
}

impl Hub {
    /// A repository by its name, `owner/name`. Does not access the network.
    ///
    /// # Errors
    /// Never; the signature is that of the substitute without the feature.
    pub fn new(name: &str) -> Result<Self> {
        let set = |key: &str| std::env::var(key).ok().filter(|value| !value.is_empty());
        let cache = set("HF_HUB_CACHE").map_or_else(|| Cache::from_env().path().clone(), PathBuf::from);
        let is_offline = set("HF_HUB_OFFLINE")
            .is_some_and(|v| !["0", "false", "no", "off"].contains(&v.to_lowercase().as_str()));
        Ok(Self { name: name.into(), cache, is_offline, files: Arc::default() })
    }

    /// Local path of a file, downloaded if necessary; `None` if the repository has no such file.
    ///
    /// # Errors
    /// If it is not in the cache, and offline mode is set or the hub cannot be reached.
    pub fn path(&self, file: &str) -> Result<Option<PathBuf>> {
        let cache = Cache::new(self.cache.clone());
        let cached = cache.repo(Repo::model(self.name.clone()));
        if let Some(path) = cached.get(file) {
            return Ok(Some(path));
        }
        let fetched = match self.is_offline {
            true => Err("HF_HUB_OFFLINE is set".to_owned()),
            false => self.fetch(cache, file).map_err(|error| error.to_string()),
        };
        match fetched {
            Ok(path) => Ok(path),
            // The config is cached, so the repository was downloaded before; the file may be an optional one that it lacks.
            Err(_)
                if ["config.json", "open_clip_config.json"].iter().any(|name| cached.get(name).is_some()) =>
            {
                Ok(None)
            }
            Err(why) => Err(self.unreachable(&why)),
        }
    }

    fn fetch(&self, cache: Cache, file: &str) -> Result<Option<PathBuf>, ApiError> {
        let endpoint = std::env::var("HF_ENDPOINT").unwrap_or_else(|_| "https://huggingface.co".into());
        let api = ApiBuilder::from_cache(cache).with_endpoint(endpoint).with_progress(false).build()?;
        let repo = api.model(self.name.clone());
        if self.has(&repo, file)? { repo.get(file).map(Some) } else { Ok(None) }
    }

    fn has(&self, repo: &ApiRepo, file: &str) -> Result<bool, ApiError> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if files.is_none() {
            *files = Some(repo.info()?.siblings.into_iter().map(|sibling| sibling.rfilename).collect());
        }
        Ok(files.iter().flatten().any(|name| name == file))
    }

    fn unreachable(&self, why: &str) -> RewardError {
        let (name, cache) = (&self.name, self.cache.display());
        RewardError::UnknownModel {
            name: name.clone(),
            reason: format!(
                "it is not in the cache ({cache}), and the download from the Hugging Face hub failed ({why}); on a \
                 machine with network access run `hf download {name} --local-dir FOLDER`, and pass that folder instead \
                 of the name"
            ),
        }
    }
}
