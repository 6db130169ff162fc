#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! Loads models from a small HTTP server that answers as the hub does.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::HubName;
use super::enabled::{Hub, Settings};
use crate::files::ModelFiles;
use crate::{CheckpointModel, ModelDevice, RewardError};

/// A hub with one repository, `owner/name`, of which every revision is the same commit.
#[derive(Clone)]
struct Server {
    endpoint: String,
    repo: Arc<Mutex<Repo>>,
}

#[derive(Default)]
struct Repo {
    commit: String,
    files: BTreeMap<String, Vec<u8>>,
    /// HTTP status of the paths that end with a text.
    failing: Vec<(&'static str, u16)>,
    requests: Vec<String>,
}

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

impl Server {
    /// Serves the files of a golden checkpoint.
    fn of_golden(case: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(case);
        let files = std::fs::read_dir(folder).unwrap().map(|file| {
            let file = file.unwrap();
            (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap())
        });
        let repo = Repo { commit: COMMIT.into(), files: files.collect(), ..Repo::default() };
        let server = Self { endpoint, repo: Arc::new(Mutex::new(repo)) };
        let served = server.clone();
        std::thread::spawn(move || listener.incoming().for_each(|stream| served.answer(stream.unwrap())));
        server
    }

    fn edit<T>(&self, edit: impl FnOnce(&mut Repo) -> T) -> T {
        edit(&mut self.repo.lock().unwrap())
    }

    /// The requested paths since the last call.
    fn requests(&self) -> Vec<String> {
        self.edit(|repo| std::mem::take(&mut repo.requests))
    }

    fn answer(&self, mut stream: TcpStream) {
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        let Some(request) = lines.next() else { return };
        let path = request.split(' ').nth(1).unwrap().to_owned();
        let range = lines
            .take_while(|line| !line.is_empty())
            .filter_map(|line| line.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned))
            .last();
        let answer = self.edit(|repo| {
            repo.requests.push(path.clone());
            repo.answer(&path, range.as_deref())
        });
        // The client may have closed the connection.
        _ = stream.write_all(&answer);
    }
}

impl Repo {
    fn answer(&self, path: &str, range: Option<&str>) -> Vec<u8> {
        let plain = |status: u16, body: &[u8], headers: &str| {
            let head = format!("HTTP/1.1 {status} Status\r\nConnection: close\r\n{headers}");
            [format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
        };
        if let Some((_, status)) = self.failing.iter().find(|(end, _)| path.ends_with(end)) {
            return plain(*status, b"", "");
        }
        if path.starts_with("/api/models/owner/name/revision/") {
            let files = self.files.keys().map(|name| serde_json::json!({ "rfilename": name }));
            let info = serde_json::json!({ "sha": self.commit, "siblings": files.collect::<Vec<_>>() });
            return plain(200, info.to_string().as_bytes(), "");
        }
        let file = path.strip_prefix("/owner/name/resolve/").and_then(|rest| rest.split_once('/'));
        let Some((name, body)) = file.and_then(|(_, name)| self.files.get_key_value(name)) else {
            return plain(404, b"", "");
        };
        let (start, end) = range.and_then(|range| range.split_once('-')).unwrap_or(("0", ""));
        let start: usize = start.parse().unwrap();
        let end = end.parse().map_or(body.len(), |end: usize| (end + 1).min(body.len()));
        let headers = format!(
            "ETag: \"{}-{name}\"\r\nX-Repo-Commit: {}\r\nContent-Range: bytes {start}-{}/{}\r\n",
            self.commit,
            self.commit,
            end - 1,
            body.len()
        );
        plain(206, &body[start..end], &headers)
    }
}

fn settings(server: &Server, cache: &TempDir) -> Settings {
    Settings { cache: cache.path().to_owned(), endpoint: server.endpoint.clone(), is_offline: false }
}

/// Loads a model by name with a new [`Hub`].
fn load(name: &str, settings: Settings) -> Result<CheckpointModel, RewardError> {
    let hub = Hub::with_settings(HubName::parse(name).unwrap(), settings);
    CheckpointModel::load(&ModelFiles::of_hub(hub), &ModelDevice::cpu())
}

fn refused(name: &str, settings: Settings) -> String {
    load(name, settings).unwrap_err().to_string()
}

fn repo_folder(cache: &TempDir) -> PathBuf {
    cache.path().join("models--owner--name")
}

#[test]
fn a_tokenizer_that_fails_to_download_is_not_replaced_by_another() {
    let (server, cache) = (Server::of_golden("clip_quick_gelu"), tempfile::tempdir().unwrap());
    server.edit(|repo| {
        repo.files.insert("tokenizer.json".into(), b"{}".to_vec());
        repo.failing = vec![("/tokenizer.json", 500)];
    });
    let error = refused("owner/name", settings(&server, &cache));
    assert!(error.starts_with("owner/name/tokenizer.json: ") && error.contains("500"), "{error}");
    let requests = server.requests();
    assert!(requests.iter().any(|path| path.ends_with("/config.json")), "{requests:?}");
    assert!(!requests.iter().any(|path| path.ends_with("/vocab.json")), "{requests:?}");
}

#[test]
fn weights_that_fail_to_download_are_not_replaced_by_another_format() {
    let (server, cache) = (Server::of_golden("clip_words"), tempfile::tempdir().unwrap());
    server.edit(|repo| {
        repo.files.insert("model.safetensors".into(), b"not read".to_vec());
        repo.failing = vec![("/model.safetensors", 403)];
    });
    let error = refused("owner/name", settings(&server, &cache));
    assert!(error.starts_with("owner/name/model.safetensors: ") && error.contains("403"), "{error}");
}

#[test]
fn a_list_of_files_that_fails_does_not_make_a_file_absent() {
    let (server, cache) = (Server::of_golden("clip_quick_gelu"), tempfile::tempdir().unwrap());
    // The cache of an earlier load that was interrupted after the config.
    server.edit(|repo| repo.failing = vec![("/preprocessor_config.json", 500)]);
    refused("owner/name", settings(&server, &cache));
    server.edit(|repo| repo.failing = vec![(COMMIT, 503)]);
    let error = refused("owner/name", settings(&server, &cache));
    assert!(error.starts_with("owner/name/preprocessor_config.json: ") && error.contains("503"), "{error}");
}

#[test]
fn a_cache_that_cannot_be_written_is_reported() {
    let (server, cache) = (Server::of_golden("clip_quick_gelu"), tempfile::tempdir().unwrap());
    std::fs::create_dir_all(repo_folder(&cache).join("snapshots")).unwrap();
    std::fs::write(repo_folder(&cache).join("snapshots").join(COMMIT), b"not a folder").unwrap();
    let error = refused("owner/name", settings(&server, &cache));
    assert!(error.contains("config.json") && error.contains("I/O error"), "{error}");
    let error = refused(&format!("owner/name@{COMMIT}"), settings(&server, &cache));
    assert!(error.contains("config.json") && error.contains("Not a directory"), "{error}");
}

#[test]
fn a_model_that_was_loaded_once_loads_without_the_network() {
    // Without tokenizer.json, so that a file is known to be absent.
    let (server, cache) = (Server::of_golden("clip_quick_gelu"), tempfile::tempdir().unwrap());
    load("owner/name", settings(&server, &cache)).unwrap();
    server.requests();
    load("owner/name", settings(&server, &cache)).unwrap();
    load("owner/name", Settings { is_offline: true, ..settings(&server, &cache) }).unwrap();
    assert_eq!(server.requests(), Vec::<String>::new());
}

#[test]
fn a_cache_does_not_show_that_a_file_is_absent() {
    let (server, cache) = (Server::of_golden("clip_quick_gelu"), tempfile::tempdir().unwrap());
    load("owner/name", settings(&server, &cache)).unwrap();
    std::fs::remove_dir_all(repo_folder(&cache).join(".no_exist")).unwrap();
    let error = refused("owner/name", Settings { is_offline: true, ..settings(&server, &cache) });
    let snapshot = repo_folder(&cache).join("snapshots").join(COMMIT);
    assert!(error.starts_with("owner/name/tokenizer.json: "), "{error}");
    assert!(error.contains("HF_HUB_OFFLINE is set") && error.contains(snapshot.to_str().unwrap()), "{error}");
    // What the message recommends.
    CheckpointModel::load(&ModelFiles::folder(snapshot), &ModelDevice::cpu()).unwrap();
}

#[test]
fn a_revision_is_requested_and_cached_by_its_name() {
    let (server, cache) = (Server::of_golden("clip_words"), tempfile::tempdir().unwrap());
    for (name, url, reference) in [
        ("owner/name", "main", "main"),
        ("owner/name@v1.0", "v1.0", "v1.0"),
        ("owner/name@refs/pr/1", "refs%2Fpr%2F1", "refs/pr/1"),
        (&format!("owner/name@{COMMIT}"), COMMIT, COMMIT),
    ] {
        let folder = repo_folder(&cache);
        if folder.exists() {
            std::fs::remove_dir_all(&folder).unwrap();
        }
        server.requests();
        load(name, settings(&server, &cache)).unwrap();
        let requests = server.requests();
        assert_eq!(requests[0], format!("/api/models/owner/name/revision/{url}"));
        assert_eq!(requests[1], format!("/owner/name/resolve/{COMMIT}/config.json"));
        let files_prefix = format!("/owner/name/resolve/{COMMIT}/");
        assert!(requests[1..].iter().all(|path| path.starts_with(&files_prefix)), "{requests:?}");
        let commit = std::fs::read_to_string(folder.join("refs").join(reference)).unwrap();
        assert_eq!(commit, COMMIT);
    }
}

#[test]
fn files_of_a_branch_that_moved_are_of_one_commit() {
    let (server, cache) = (Server::of_golden("clip_words"), tempfile::tempdir().unwrap());
    server.edit(|repo| repo.failing = vec![("/tokenizer.json", 500)]);
    refused("owner/name", settings(&server, &cache));
    // The rest of the cached commit is requested, and the hub's answer for another commit is refused.
    server.edit(|repo| {
        repo.failing.clear();
        repo.commit = COMMIT.replace('0', "f");
    });
    server.requests();
    let error = refused("owner/name", settings(&server, &cache));
    assert_eq!(server.requests(), [format!("/api/models/owner/name/revision/{COMMIT}")]);
    assert!(error.starts_with("owner/name/tokenizer.json: ") && error.contains("answered with"), "{error}");
}

#[test]
fn a_repository_that_is_not_there_is_an_unknown_model() {
    let (server, cache) = (Server::of_golden("clip_words"), tempfile::tempdir().unwrap());
    let error = refused("owner/other@v2", settings(&server, &cache));
    assert!(error.starts_with("no model 'owner/other@v2': config.json is not in the cache"), "{error}");
    assert!(error.contains("404") && error.contains("hf download owner/other --revision v2"), "{error}");
    let offline = Settings { is_offline: true, ..settings(&server, &cache) };
    let error = refused("owner/name", offline);
    assert!(error.contains("HF_HUB_OFFLINE is set; on a machine with network access"), "{error}");
}
