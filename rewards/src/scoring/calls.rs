//! Calls of reward models: within the caller's thread, or on threads of their own with a time limit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use serde::{Deserialize, Serialize};

use crate::reward_model::{EmbeddedText, RewardModel, Values, Windows};
use crate::scoring::history::Frames;
use crate::scoring::scorer::guard;
use crate::{Result, RewardError};

/// What happens when a call of [`RewardModel::score`] fails: the model failed, panicked, returned a score that is NaN or
/// infinite, or did not answer in time. Every other error, such as a lost device, is returned at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FailureConfig {
    /// Number of further attempts, at most 1,000.
    pub n_retries: u32,
    /// Pause before a further attempt, seconds; at most one day.
    pub pause_secs: f64,
    /// Time limit of an attempt, seconds; none if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_secs: Option<f64>,
    /// What happens after the last attempt.
    pub on_failure: OnFailure,
}

/// What happens when the last attempt failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The error is returned.
    #[default]
    Stop,
    /// The steps have no score.
    Skip,
}

impl FailureConfig {
    /// Largest time limit and pause, seconds: one day.
    const MAX_SECS: f64 = 86_400.0;
    const MAX_RETRIES: u32 = 1000;

    /// Checks the ranges of all fields.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    pub fn validate(&self) -> Result<()> {
        let most = Self::MAX_SECS;
        let timeout = self.timeout_secs.unwrap_or(most);
        let checks = [
            (
                "timeout_secs",
                0.0 < timeout && timeout <= most,
                timeout,
                format!("a number above 0, at most {most}"),
            ),
            (
                "pause_secs",
                (0.0..=most).contains(&self.pause_secs),
                self.pause_secs,
                format!("a number in [0, {most}]"),
            ),
            (
                "n_retries",
                self.n_retries <= Self::MAX_RETRIES,
                f64::from(self.n_retries),
                format!("a number in [0, {}]", Self::MAX_RETRIES),
            ),
        ];
        match checks.into_iter().find(|(_, is_valid, ..)| !is_valid) {
            None => Ok(()),
            Some((field, _, got, expected)) => {
                let (field, got) = (format!("reward.failures.{field}"), got.to_string());
                Err(RewardError::OutOfRange { field, got, expected })
            }
        }
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout_secs.map(Duration::from_secs_f64)
    }

    /// Whether a further attempt may succeed after an error.
    fn covers(error: &RewardError) -> bool {
        matches!(
            error,
            RewardError::Failed { .. }
                | RewardError::NotFinite { .. }
                | RewardError::NoAnswer { .. }
                | RewardError::Panicked { .. }
        )
    }

    fn pause(&self) -> Duration {
        Duration::from_secs_f64(self.pause_secs)
    }
}

/// Windows that own their frames.
#[derive(Debug)]
pub(super) struct OwnedWindows {
    frames: Frames,
    frame_len: usize,
    n_views: usize,
    n_frames: usize,
    frame_indices: Vec<u32>,
    text_indices: Vec<u32>,
    texts: Arc<Vec<EmbeddedText>>,
}

impl OwnedWindows {
    /// Copies a row of windows, or all of them.
    fn copied(windows: &Windows<'_>, rows: std::ops::Range<usize>, texts: &Arc<Vec<EmbeddedText>>) -> Self {
        let indices = &windows.frame_indices[rows.start * windows.n_frames..rows.end * windows.n_frames];
        let frames = match windows.values {
            Values::Embeddings(values) => Frames::Embeddings(present(values, windows.frame_len, indices)),
            Values::Pixels(values) => Frames::Pixels(present(values, windows.frame_len, indices)),
        };
        let mut next = 0;
        let mut renumbered = |&idx: &u32| match idx {
            Windows::ABSENT => idx,
            _ => {
                next += 1;
                next - 1
            }
        };
        Self {
            frames,
            frame_len: windows.frame_len,
            n_views: windows.n_views,
            n_frames: windows.n_frames,
            frame_indices: indices.iter().map(&mut renumbered).collect(),
            text_indices: windows.text_indices[rows].to_vec(),
            texts: Arc::clone(texts),
        }
    }

    fn view(&self) -> Windows<'_> {
        Windows {
            values: self.frames.values(),
            frame_len: self.frame_len,
            n_views: self.n_views,
            n_frames: self.n_frames,
            frame_indices: &self.frame_indices,
            text_indices: &self.text_indices,
            texts: &self.texts,
        }
    }
}

/// The values of the frames that are there.
fn present<T: Copy>(values: &[T], frame_len: usize, indices: &[u32]) -> Vec<T> {
    let indices = indices.iter().filter(|&&idx| idx != Windows::ABSENT);
    indices.flat_map(|&idx| &values[idx as usize * frame_len..][..frame_len]).copied().collect()
}

/// Calls a model once, and checks its scores.
pub(super) fn attempt(model: &dyn RewardModel, windows: &Windows<'_>, out: &mut [f32]) -> Result<()> {
    // A row that the model leaves out is found by the check.
    out.fill(f32::NAN);
    guard("score", || model.score(windows, out))?;
    match out.iter().find(|score| !score.is_finite()) {
        Some(&score) => Err(RewardError::NotFinite { score }),
        None => Ok(()),
    }
}

/// Calls a model in this thread, with the further attempts of `failures`. Returns whether there are scores.
pub(super) fn call(
    model: &dyn RewardModel,
    windows: &Windows<'_>,
    failures: &FailureConfig,
    out: &mut [f32],
) -> Result<bool> {
    let mut n_left = failures.n_retries;
    loop {
        match attempt(model, windows, out) {
            Ok(()) => return Ok(true),
            Err(error) if !FailureConfig::covers(&error) => return Err(error),
            Err(_) if 0 < n_left => {
                n_left -= 1;
                std::thread::sleep(failures.pause());
            }
            Err(_) if failures.on_failure == OnFailure::Skip => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

/// Threads that call a model, and the calls that were not answered yet. Answers come in any order.
pub(super) struct Pool {
    model: Arc<dyn RewardModel>,
    n_threads: usize,
    failures: FailureConfig,
    requests: Sender<Request>,
    /// Kept for the threads that take the place of those that do not answer.
    to_work: Receiver<Request>,
    news: Receiver<News>,
    to_report: Sender<News>,
    pending: BTreeMap<u64, Pending>,
    n_requests: u64,
}

struct Request {
    id: u64,
    windows: Arc<OwnedWindows>,
    /// How long to wait before the call.
    pause: Duration,
    is_late: Arc<AtomicBool>,
}

enum News {
    Started(u64),
    Answered(u64, Result<Vec<f32>>),
}

struct Pending {
    windows: Arc<OwnedWindows>,
    /// What the caller knows the call by.
    call: u64,
    n_retries_left: u32,
    deadline: Option<Instant>,
    /// Set once the time limit has passed: another thread has taken the place of the one that makes the call, which ends.
    is_late: Arc<AtomicBool>,
}

/// The answer of a call: its scores, or `None` if they are skipped.
pub(super) type Answer = (u64, Result<Option<Vec<f32>>>);

impl Pool {
    /// Starts `n_threads` threads.
    pub fn new(model: Arc<dyn RewardModel>, n_threads: usize, failures: FailureConfig) -> Result<Self> {
        let (requests, to_work) = unbounded();
        let (to_report, news) = unbounded();
        let pending = BTreeMap::new();
        let pool =
            Self { model, n_threads, failures, requests, to_work, news, to_report, pending, n_requests: 0 };
        (0..n_threads).try_for_each(|_| pool.spawn())?;
        Ok(pool)
    }

    /// Number of calls without an answer.
    pub fn n_pending(&self) -> usize {
        self.pending.len()
    }

    /// Forgets every call without an answer: starts again with other threads, as those of the calls may never come back.
    pub fn abandon(&mut self) -> Result<()> {
        self.to_work.try_iter().for_each(drop);
        *self = Self::new(Arc::clone(&self.model), self.n_threads, self.failures)?;
        Ok(())
    }

    /// Starts a call for some rows of `windows`; `call` comes back with its answer.
    pub fn start(
        &mut self,
        call: u64,
        windows: &Windows<'_>,
        rows: std::ops::Range<usize>,
        texts: &Arc<Vec<EmbeddedText>>,
    ) -> Result<()> {
        let windows = Arc::new(OwnedWindows::copied(windows, rows, texts));
        self.send(windows, call, self.failures.n_retries, Duration::ZERO)
    }

    fn send(
        &mut self,
        windows: Arc<OwnedWindows>,
        call: u64,
        n_retries_left: u32,
        pause: Duration,
    ) -> Result<()> {
        // Every attempt has an id of its own, so that an answer that comes after its time limit is recognised.
        let id = self.n_requests;
        self.n_requests += 1;
        let is_late = Arc::new(AtomicBool::new(false));
        let request = Request { id, windows: Arc::clone(&windows), pause, is_late: Arc::clone(&is_late) };
        self.pending.insert(id, Pending { windows, call, n_retries_left, deadline: None, is_late });
        self.requests
            .send(request)
            .map_err(|_| RewardError::WorkerStopped("its threads have ended".to_owned()))
    }

    /// Waits for the next answer; `None` if no call is pending.
    pub fn wait(&mut self) -> Result<Option<Answer>> {
        while !self.pending.is_empty() {
            let deadline = self.pending.values().filter_map(|pending| pending.deadline).min();
            let news = match deadline {
                None => self.news.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(deadline) => self.news.recv_deadline(deadline),
            };
            let failed = match news {
                Ok(News::Started(id)) => {
                    if let (Some(pending), Some(timeout)) =
                        (self.pending.get_mut(&id), self.failures.timeout())
                    {
                        pending.deadline = Some(Instant::now() + timeout);
                    }
                    continue;
                }
                Ok(News::Answered(id, outcome)) => {
                    // An answer that comes too late is of no call any more.
                    let Some(pending) = self.pending.remove(&id) else { continue };
                    match outcome {
                        Ok(scores) => return Ok(Some((pending.call, Ok(Some(scores))))),
                        Err(error) => (pending, error),
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    let now = Instant::now();
                    let late = self.pending.iter().find(|(_, it)| it.deadline.is_some_and(|at| at <= now));
                    let Some(id) = late.map(|(&id, _)| id) else { continue };
                    let Some(pending) = self.pending.remove(&id) else { continue };
                    // Its thread may never come back.
                    pending.is_late.store(true, Ordering::Relaxed);
                    self.spawn()?;
                    (pending, RewardError::NoAnswer { secs: self.failures.timeout_secs.unwrap_or_default() })
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(RewardError::WorkerStopped("its threads have ended".to_owned()));
                }
            };
            if let Some(answer) = self.failed(failed)? {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }

    fn failed(&mut self, (pending, error): (Pending, RewardError)) -> Result<Option<Answer>> {
        let Pending { windows, call, n_retries_left, .. } = pending;
        if !FailureConfig::covers(&error) {
            return Ok(Some((call, Err(error))));
        }
        if let Some(n_retries_left) = n_retries_left.checked_sub(1) {
            self.send(windows, call, n_retries_left, self.failures.pause())?;
            return Ok(None);
        }
        Ok(Some(match self.failures.on_failure {
            OnFailure::Stop => (call, Err(error)),
            OnFailure::Skip => (call, Ok(None)),
        }))
    }

    /// Starts a thread. It ends when the pool is dropped, after its call.
    fn spawn(&self) -> Result<()> {
        let (model, requests, news) = (Arc::clone(&self.model), self.to_work.clone(), self.to_report.clone());
        let work = move || {
            for Request { id, windows, pause, is_late } in requests {
                std::thread::sleep(pause);
                if news.send(News::Started(id)).is_err() {
                    return;
                }
                let windows = windows.view();
                let mut scores = vec![0.0; windows.n_rows()];
                let outcome = attempt(&*model, &windows, &mut scores).map(|()| scores);
                if news.send(News::Answered(id, outcome)).is_err() || is_late.load(Ordering::Relaxed) {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("sayso-reward-call".to_owned()).spawn(work);
        let not_started = |error| RewardError::WorkerStopped(format!("a thread cannot be started: {error}"));
        thread.map(drop).map_err(not_started)
    }
}
