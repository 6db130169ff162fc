//! The run folder: configuration, logs, checkpoints, videos and report of one run.
//!
//! ```text
//! RUN/
//!   config.toml            the resolved configuration
//!   metrics.jsonl          one line per update
//!   events.out.tfevents.*  the same values for TensorBoard
//!   checkpoints/           everything that `--resume` needs
//!   evaluations/           ground-truth success of the untrained and the trained policy
//!   videos/                MP4s of the untrained and the trained policy
//!   frames/                scored frames, PNG
//!   report.html            report without external resources
//!   summary.json           results of the run, for scripts
//! ```
//!
//! The two logs are appended to. Every other file is written atomically, so that a full disk or a power failure leaves the
//! old file or the new one, never a truncated one.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use sayso_sim::atomic_write;

use crate::error::{Error, Result};
use crate::metrics::{self, MetricsRow};
use crate::tensorboard::EventWriter;

/// Name of the resolved configuration in a run folder.
pub const CONFIG: &str = "config.toml";
/// Name of the metrics log in a run folder.
pub const METRICS: &str = "metrics.jsonl";
/// Name of the report in a run folder.
pub const REPORT: &str = "report.html";
/// Name of the folder of checkpoints in a run folder.
pub const CHECKPOINTS: &str = "checkpoints";
/// Name of the folder of evaluations in a run folder.
pub const EVALUATIONS: &str = "evaluations";
/// Name of the summary in a run folder.
pub const SUMMARY: &str = "summary.json";
const PARTS: [&str; 4] = [CHECKPOINTS, EVALUATIONS, "videos", "frames"];

/// The folder of a run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    root: PathBuf,
}

/// The two logs of a run, open for writing.
#[derive(Debug)]
pub struct RunLog {
    root: PathBuf,
    metrics: File,
    events: EventWriter,
}

impl RunLog {
    /// Appends one row to both logs.
    ///
    /// # Errors
    /// If a log cannot be written; earlier rows stay intact.
    pub fn write(&mut self, row: &MetricsRow) -> Result<()> {
        let line = row.to_line();
        self.metrics.write_all(line.as_bytes()).map_err(Error::file("write", &self.root.join(METRICS)))?;
        self.events.write_scalars(row.step, row.values.iter().map(|(tag, value)| (tag.as_str(), *value)))
    }
}

impl RunFolder {
    /// Creates the folder of a new run and writes its configuration.
    ///
    /// # Errors
    /// [`Error::FolderExists`] if the folder is not empty; [`Error::File`] if it cannot be written.
    pub fn create(root: &Path, config_toml: &str) -> Result<Self> {
        create_empty(root, &PARTS)?;
        write_atomically(&root.join(CONFIG), config_toml.as_bytes())?;
        Ok(Self { root: root.to_owned() })
    }

    /// Creates the folder of a new run as [`create_next`].
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written.
    pub fn create_next(parent: &Path, env_id: &str, config_toml: &str) -> Result<Self> {
        Self::create(&create_next(parent, env_id)?, config_toml)
    }

    /// Opens the folder of an earlier run.
    ///
    /// # Errors
    /// [`Error::NotARun`] if it is not a run folder; [`Error::File`] if a part of it is missing and cannot be created.
    pub fn open(root: &Path) -> Result<Self> {
        read_config(root)?;
        for part in PARTS {
            let folder = root.join(part);
            fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
        }
        Ok(Self { root: root.to_owned() })
    }

    /// Opens the logs to continue after `step`. Later rows are removed from the metrics log, because the resumed run logs them
    /// again.
    ///
    /// # Errors
    /// [`Error::File`] if they cannot be written.
    pub fn log_after(&self, step: u64) -> Result<RunLog> {
        let path = self.root.join(METRICS);
        if path.exists() {
            let kept = metrics::lines_up_to(&path, step)?;
            write_atomically(&path, kept.as_bytes())?;
        }
        let metrics = OpenOptions::new().create(true).append(true).open(&path);
        let metrics = metrics.map_err(Error::file("create", &path))?;
        let start_step = if step == 0 { 0 } else { step + 1 };
        let events = EventWriter::create(&self.root, start_step)?;
        Ok(RunLog { root: self.root.clone(), metrics, events })
    }

    /// All logged rows, earlier sessions included.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn rows(&self) -> Result<Vec<MetricsRow>> {
        metrics::read(&self.root.join(METRICS))
    }

    /// Path of the folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Folder of the checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.root.join(CHECKPOINTS)
    }

    /// Replaces the configuration.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_config(&self, config_toml: &str) -> Result<()> {
        self.write_part(CONFIG, config_toml.as_bytes()).map(|_| ())
    }

    /// Writes a video, and returns its path.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_video(&self, name: &str, mp4: &[u8]) -> Result<PathBuf> {
        self.write_part(&format!("videos/{name}.mp4"), mp4)
    }

    /// Writes a frame, and returns its path.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_frame(&self, name: &str, png: &[u8]) -> Result<PathBuf> {
        self.write_part(&format!("frames/{name}.png"), png)
    }

    /// Removes the frames of an earlier report.
    ///
    /// # Errors
    /// If one cannot be removed.
    pub fn clear_frames(&self) -> Result<()> {
        let folder = self.root.join("frames");
        for entry in fs::read_dir(&folder).map_err(Error::file("read", &folder))? {
            let path = entry.map_err(Error::file("read", &folder))?.path();
            if path.extension().is_some_and(|extension| extension == "png") {
                fs::remove_file(&path).map_err(Error::file("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Writes the report, and returns its path.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_report(&self, html: &str) -> Result<PathBuf> {
        self.write_part(REPORT, html.as_bytes())
    }

    /// Whether there is a report.
    pub fn has_report(&self) -> bool {
        self.root.join(REPORT).is_file()
    }

    /// Writes a value as JSON.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_json(&self, name: &str, value: &impl serde::Serialize) -> Result<()> {
        let json = serde_json::to_vec_pretty(value).map_err(std::io::Error::other);
        let json = json.map_err(Error::file("write", &self.root.join(name)))?;
        self.write_part(name, &json).map(|_| ())
    }

    fn write_part(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.root.join(name);
        write_atomically(&path, bytes)?;
        Ok(path)
    }
}

/// Creates the first free folder `parent/NAME-NNN`, where NAME is the env's id in lower case, without its version. Runs that start
/// at the same time get different folders.
///
/// # Errors
/// [`Error::File`] if it cannot be created.
pub fn create_next(parent: &Path, env_id: &str) -> Result<PathBuf> {
    fs::create_dir_all(parent).map_err(Error::file("create", parent))?;
    let name = env_id.split("-v").next().unwrap_or(env_id).to_lowercase();
    let mut number = 1_u32;
    loop {
        let root = parent.join(format!("{name}-{number:03}"));
        match fs::create_dir(&root) {
            Ok(()) => return Ok(root),
            Err(err) if err.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(err) => return Err(Error::file("create", &root)(err)),
        }
    }
}

/// Whether a folder is that of a run.
pub fn is_run(root: &Path) -> bool {
    root.join(CONFIG).is_file()
}

/// The run folders in a folder, in the order of their names and the numbers at their ends.
///
/// # Errors
/// [`Error::NotARun`] if there is none; [`Error::File`] if the folder cannot be read.
pub fn runs_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut runs = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::file("read", folder))? {
        let path = entry.map_err(Error::file("read", folder))?.path();
        if is_run(&path) {
            runs.push(path);
        }
    }
    if runs.is_empty() {
        let reason = "it has no config.toml, nor a folder that has one".to_owned();
        return Err(Error::NotARun { path: folder.to_owned(), reason });
    }
    runs.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    Ok(runs)
}

/// Creates a folder with these subfolders. If there are any, one of several programs that do so at the same time succeeds.
///
/// # Errors
/// [`Error::FolderExists`] if the folder is not empty; [`Error::File`] if it cannot be created.
pub fn create_empty(root: &Path, parts: &[&str]) -> Result<()> {
    if is_occupied(root)? {
        return Err(Error::FolderExists { path: root.to_owned() });
    }
    fs::create_dir_all(root).map_err(Error::file("create", root))?;
    for part in parts {
        let folder = root.join(part);
        fs::create_dir(&folder).map_err(|err| match err.kind() {
            ErrorKind::AlreadyExists => Error::FolderExists { path: root.to_owned() },
            _ => Error::file("create", &folder)(err),
        })?;
    }
    Ok(())
}

/// The resolved configuration of an earlier run.
///
/// # Errors
/// [`Error::NotARun`] if the folder has none.
pub fn read_config(root: &Path) -> Result<String> {
    fs::read_to_string(root.join(CONFIG))
        .map_err(|err| Error::NotARun { path: root.to_owned(), reason: format!("{CONFIG}: {err}") })
}

/// Writes a file atomically; on failure the old file stays.
///
/// # Errors
/// If the folder is missing or read-only, or the disk is full.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    atomic_write(path, bytes).map_err(Error::file("write", path))
}

fn is_occupied(root: &Path) -> Result<bool> {
    match fs::read_dir(root) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(err) if err.kind() == ErrorKind::NotFound => Ok(false),
        Err(err) => Err(Error::file("create", root)(err)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(step: u64, value: f64) -> MetricsRow {
        MetricsRow { step, elapsed_secs: 1.0, values: vec![("rollout/ep_rew_mean".into(), value)] }
    }

    #[test]
    fn a_resumed_run_removes_rows_after_its_checkpoint() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let root = dir.path().join("run");
        let run = RunFolder::create(&root, "seed = 1\n").expect("creates");
        let mut log = run.log_after(0).expect("opens");
        for step in [100, 200, 300] {
            log.write(&row(step, step as f64)).expect("logs");
        }
        let run = RunFolder::open(&root).expect("opens");
        run.log_after(200).expect("resumes").write(&row(300, 7.0)).expect("logs");
        let steps: Vec<_> =
            run.rows().expect("reads").iter().map(|row| (row.step, row.values[0].1)).collect();
        assert_eq!(steps, [(100, 100.0), (200, 200.0), (300, 7.0)]);
    }

    #[test]
    fn runs_that_start_at_the_same_time_get_different_folders() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let create =
            || RunFolder::create_next(dir.path(), "Reach-v1", "").expect("creates").root().to_owned();
        let mut roots: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(create)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        roots.sort();
        let expected: Vec<_> = (1..=16).map(|number| dir.path().join(format!("reach-{number:03}"))).collect();
        assert_eq!(roots, expected);
    }

    #[test]
    fn one_of_several_runs_gets_a_folder_given_by_name() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let root = dir.path().join("run");
        let results: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(|| RunFolder::create(&root, ""))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
        let refusals = results.iter().filter(|result| matches!(result, Err(Error::FolderExists { .. })));
        assert_eq!(refusals.count(), 15, "{results:?}");
    }

    #[test]
    fn an_occupied_folder_is_refused_and_not_changed() {
        let dir = tempfile::tempdir().expect("temporary folder");
        fs::write(dir.path().join("notes.txt"), "text").expect("writes");
        assert!(matches!(RunFolder::create(dir.path(), ""), Err(Error::FolderExists { .. })));
        assert_eq!(fs::read_dir(dir.path()).expect("lists").count(), 1);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let path = dir.path().join("missing").join("file");
        let err = write_atomically(&path, b"new").expect_err("no such folder");
        assert!(err.to_string().contains("missing"), "{err}");
        assert_eq!(fs::read_dir(dir.path()).expect("lists").count(), 0);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_hint_names_a_full_disk() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let run = RunFolder::create(&dir.path().join("run"), "").expect("creates");
        let mut log = run.log_after(0).expect("opens");
        log.metrics = OpenOptions::new().append(true).open("/dev/full").expect("opens");
        let err = log.write(&row(1, 0.0)).expect_err("/dev/full takes nothing");
        assert!(err.hint().is_some_and(|hint| hint.contains("disk is full")), "{err}");
    }
}
