//! Scores of the frames of a step, in the order of the steps.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use sayso_sim::FrameBatch;
use sayso_sim::FramePart;

use crate::reward_model::{EmbeddedText, Feature, RewardModel, RewardText, Windows};
use crate::scoring::calls::{self, FailureConfig, Pool};
use crate::scoring::history::{EnvHistory, Frames, History};
use crate::scoring::{FrameRow, ScoringPlan};
use crate::{Result, RewardError};

/// The frames that a step rendered for the reward model.
#[derive(Debug, Default)]
pub struct RewardFrames {
    /// The frames, `n_views` for each of `rows`, in their order.
    pub frames: FrameBatch,
    /// The env and the step of each frame. The frames of one env are in the order of its steps.
    pub rows: Vec<FrameRow>,
    /// The texts that rows refer to, those of earlier steps if empty. A text is embedded once while it stays at its index.
    pub texts: Arc<[RewardText]>,
}

impl RewardFrames {
    /// Releases frames on a device, and forgets which env they were of; buffers on the host are kept.
    pub fn release(&mut self) {
        self.frames.release();
        self.rows.clear();
    }
}

/// The score of a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Env and step.
    pub row: FrameRow,
    /// The score, a finite number.
    pub score: f32,
}

/// A reward model, with the history of the frames of every env.
///
/// Frames of a step are submitted in the order of the steps, and their scores are taken when they are there: at once, or later
/// and in any order if the model waits for a server.
pub struct Scorer {
    model: Arc<dyn RewardModel>,
    plan: ScoringPlan,
    n_views: usize,
    frame_len: usize,
    history: History,
    /// The texts of the last step.
    source: Arc<[RewardText]>,
    texts: Arc<Vec<EmbeddedText>>,
    failures: FailureConfig,
    /// `None` if the model is called in this thread.
    pool: Option<Pool>,
    /// Rows of each call of the pool.
    calls: BTreeMap<u64, CallRows>,
    n_calls: u64,
    finished: Vec<(u64, Vec<Score>)>,
    n_skipped: u64,
    /// Buffers of a step.
    fresh: Frames,
    frame_indices: Vec<u32>,
    text_indices: Vec<u32>,
    scored: Vec<FrameRow>,
    scores: Vec<f32>,
}

struct CallRows {
    tag: u64,
    rows: Vec<FrameRow>,
}

/// Number of calls per thread of the pool that may wait for their answer; further frames are not accepted meanwhile.
const N_WAITING_PER_THREAD: usize = 4;

impl Scorer {
    /// A scorer for `n_envs` envs with `n_views` reward cameras each. `texts` are those that rows refer to until a step has its
    /// own.
    ///
    /// # Errors
    /// If the plan is of another model, the model cannot read a text, the history does not fit into memory, or a thread cannot be started.
    pub fn new(
        model: Arc<dyn RewardModel>,
        plan: ScoringPlan,
        failures: FailureConfig,
        n_envs: usize,
        n_views: usize,
        texts: &[RewardText],
    ) -> Result<Self> {
        failures.validate()?;
        if plan.frames() != model.frames() {
            let (got, expected) =
                (format!("{:?}", plan.frames()), format!("{:?}, those of the model", model.frames()));
            return Err(RewardError::OutOfRange { field: "frames of the plan".to_owned(), got, expected });
        }
        let feature = model.feature();
        let frame_len = n_views * values_per_view(&*model);
        let history = History::new(plan, feature, n_envs, frame_len)?;
        let n_threads = model.n_parallel_calls().max(1);
        let has_pool = 1 < n_threads || failures.timeout_secs.is_some();
        let pool = has_pool.then(|| Pool::new(Arc::clone(&model), n_threads, failures)).transpose()?;
        let mut scorer = Self {
            model,
            plan,
            n_views,
            frame_len,
            history,
            source: Arc::default(),
            texts: Arc::default(),
            failures,
            pool,
            calls: BTreeMap::new(),
            n_calls: 0,
            finished: Vec::new(),
            n_skipped: 0,
            fresh: Frames::new(feature, 0),
            frame_indices: Vec::new(),
            text_indices: Vec::new(),
            scored: Vec::new(),
            scores: Vec::new(),
        };
        scorer.read_texts(&texts.into())?;
        Ok(scorer)
    }

    /// The reward model.
    pub fn model(&self) -> &Arc<dyn RewardModel> {
        &self.model
    }

    /// Which frames are embedded and scored, and how scores become rewards.
    pub fn plan(&self) -> ScoringPlan {
        self.plan
    }

    /// Number of envs.
    pub fn n_envs(&self) -> usize {
        self.history.n_envs()
    }

    /// Number of scores that were skipped, see [`crate::OnFailure::Skip`].
    pub fn n_skipped(&self) -> u64 {
        self.n_skipped
    }

    /// Replaces the content of `out` with the scores of a step that are due, and waits for them if necessary.
    ///
    /// # Errors
    /// As [`Self::submit`] and [`Self::wait`]. The other scores of the step are then dropped.
    pub fn score(&mut self, step: &RewardFrames, out: &mut Vec<Score>) -> Result<()> {
        out.clear();
        let mut outcome = self.submit(0, step, out);
        while outcome.is_ok() && self.is_waiting() {
            outcome = self.wait();
        }
        if outcome.is_err() {
            self.calls.clear();
            self.finished.clear();
            if let Some(pool) = &mut self.pool {
                pool.abandon()?;
            }
        }
        for (_, scores) in self.finished.drain(..) {
            out.extend_from_slice(&scores);
        }
        outcome
    }

    /// Embeds the frames of a step once, and scores those that are due: appends the scores to `out`, or, if the model is called
    /// on threads, starts to; [`Self::take_finished`] then returns them with `tag`.
    ///
    /// # Errors
    /// If the frames have another size or number, an earlier frame is missing, or the model fails.
    pub fn submit(&mut self, tag: u64, step: &RewardFrames, out: &mut Vec<Score>) -> Result<()> {
        if step.rows.is_empty() {
            return Ok(());
        }
        self.read_texts(&step.texts)?;
        self.read_frames(step)?;
        let mut n_done = 0;
        while n_done < step.rows.len() {
            // An env has two frames in a step that starts its next episode; its first window must be scored before the second
            // frame is stored.
            let rest = &step.rows[n_done..];
            let n_rows = n_of_distinct_envs(rest);
            self.score_rows(tag, &rest[..n_rows], n_done, out)?;
            n_done += n_rows;
        }
        Ok(())
    }

    /// Whether any score is still to come.
    pub fn is_waiting(&self) -> bool {
        self.pool.as_ref().is_some_and(|pool| 0 < pool.n_pending())
    }

    /// Whether so many scores are still to come that no further frames should be submitted.
    pub fn is_busy(&self) -> bool {
        let most = N_WAITING_PER_THREAD * self.model.n_parallel_calls().max(1);
        self.pool.as_ref().is_some_and(|pool| most <= pool.n_pending())
    }

    /// Waits for the next scores.
    ///
    /// # Errors
    /// If a call failed, see [`FailureConfig`].
    pub fn wait(&mut self) -> Result<()> {
        let Some(answer) = self.pool.as_mut().map(Pool::wait).transpose()?.flatten() else { return Ok(()) };
        let (call, outcome) = answer;
        let Some(CallRows { tag, rows }) = self.calls.remove(&call) else { return Ok(()) };
        match outcome? {
            Some(scores) => {
                let scores = rows.into_iter().zip(scores).map(|(row, score)| Score { row, score });
                self.finished.push((tag, scores.collect()));
            }
            None => self.n_skipped += rows.len() as u64,
        }
        Ok(())
    }

    /// The scores that are there, with the tags of their steps.
    pub fn take_finished(&mut self) -> impl Iterator<Item = (u64, Vec<Score>)> {
        self.finished.drain(..)
    }

    /// The history of an env, for a snapshot; `None` if scores depend on no earlier frame.
    pub fn save_history(&self, env_idx: usize) -> Option<EnvHistory> {
        self.history.is_needed().then(|| self.history.save(env_idx))
    }

    /// Checks a history that was read from a snapshot.
    ///
    /// # Errors
    /// If it has other frames, another interval, or values of another size: it is of another model or schedule.
    pub fn check_history(&self, saved: Option<&EnvHistory>) -> Result<()> {
        let fits = match saved {
            Some(saved) => self.history.is_needed() && self.history.accepts(saved),
            None => !self.history.is_needed(),
        };
        if fits { Ok(()) } else { Err(RewardError::OtherHistory) }
    }

    /// Restores the history of an env that [`Self::check_history`] accepts.
    pub fn load_history(&mut self, env_idx: usize, saved: Option<&EnvHistory>) {
        if let Some(saved) = saved {
            self.history.load(env_idx, saved);
        }
    }

    /// Embeds the texts that differ from those of the step before.
    fn read_texts(&mut self, texts: &Arc<[RewardText]>) -> Result<()> {
        if texts.is_empty() || Arc::ptr_eq(texts, &self.source) {
            return Ok(());
        }
        let is_same = |(own, text): &(&EmbeddedText, &RewardText)| own.text == **text;
        let n_same = self.texts.iter().zip(texts.iter()).take_while(is_same).count();
        let mut embedded = self.texts[..n_same].to_vec();
        for text in &texts[n_same..] {
            embedded.push(embed_text(&*self.model, text)?);
        }
        (self.source, self.texts) = (Arc::clone(texts), Arc::new(embedded));
        Ok(())
    }

    /// Embeds all frames of a step, or copies their pixels.
    fn read_frames(&mut self, step: &RewardFrames) -> Result<()> {
        let frames = &step.frames;
        let expected = step.rows.len() * self.n_views;
        if frames.n_views() != expected {
            return Err(RewardError::OutOfRange {
                field: "frames".to_owned(),
                got: format!("{} views", frames.n_views()),
                expected: format!("{expected}, {} for each of {} rows", self.n_views, step.rows.len()),
            });
        }
        if let Some(row) = step.rows.iter().find(|row| {
            row.env_idx as usize >= self.history.n_envs() || row.text_idx as usize >= self.texts.len()
        }) {
            return Err(RewardError::OutOfRange {
                field: "rows".to_owned(),
                got: format!("env {} with text {}", row.env_idx, row.text_idx),
                expected: format!("one of {} envs and {} texts", self.history.n_envs(), self.texts.len()),
            });
        }
        read_frames(&*self.model, frames, &mut self.fresh)
    }

    /// Scores the rows that are due; the first one is frame number `first` of the step.
    fn score_rows(&mut self, tag: u64, rows: &[FrameRow], first: usize, out: &mut Vec<Score>) -> Result<()> {
        self.frame_indices.clear();
        self.text_indices.clear();
        self.scored.clear();
        let keeps_history = self.history.is_needed();
        for (idx, &row) in rows.iter().enumerate() {
            if keeps_history {
                self.history.push(row, &self.fresh, first + idx)?;
            }
            if !self.plan.is_scored(row.n_steps, row.is_last) {
                continue;
            }
            if keeps_history {
                self.history.window(row.env_idx, &mut self.frame_indices);
            } else {
                self.frame_indices.push((first + idx) as u32);
            }
            self.text_indices.push(row.text_idx);
            self.scored.push(row);
        }
        if self.scored.is_empty() {
            return Ok(());
        }
        let windows = Windows {
            values: if keeps_history { self.history.values() } else { self.fresh.values() },
            frame_len: self.frame_len,
            n_views: self.n_views,
            n_frames: self.plan.frames().n_frames(),
            frame_indices: &self.frame_indices,
            text_indices: &self.text_indices,
            texts: &self.texts,
        };
        let n_rows = self.scored.len();
        if let Some(pool) = &mut self.pool {
            let n_rows_per_call = if 1 < self.model.n_parallel_calls() { 1 } else { n_rows };
            for first in (0..n_rows).step_by(n_rows_per_call) {
                let rows = first..(first + n_rows_per_call).min(n_rows);
                let call = self.n_calls;
                self.n_calls += 1;
                self.calls.insert(call, CallRows { tag, rows: self.scored[rows.clone()].to_vec() });
                pool.start(call, &windows, rows, &self.texts)?;
            }
            return Ok(());
        }
        self.scores.resize(n_rows, 0.0);
        if calls::call(&*self.model, &windows, &self.failures, &mut self.scores)? {
            out.extend(self.scored.iter().zip(&self.scores).map(|(&row, &score)| Score { row, score }));
        } else {
            self.n_skipped += n_rows as u64;
        }
        Ok(())
    }
}

/// Checks that a model can read a text.
///
/// # Errors
/// If it cannot, or panics.
pub fn check_text(model: &dyn RewardModel, text: &RewardText) -> Result<()> {
    embed_text(model, text).map(|_| ())
}

/// Embeds a text.
pub(super) fn embed_text(model: &dyn RewardModel, text: &RewardText) -> Result<EmbeddedText> {
    let features = guard("embed_text", || model.embed_text(text))?;
    Ok(EmbeddedText { text: text.clone(), features })
}

/// Number of values that are kept of a view.
pub(super) fn values_per_view(model: &dyn RewardModel) -> usize {
    let image = model.frame_request().image;
    match model.feature() {
        Feature::Embedding(dim) => dim,
        Feature::Pixels => image.height * image.width * sayso_sim::Frames::N_CHANNELS,
    }
}

/// Calls a reward model; its panic becomes an error.
pub(super) fn guard<T>(method: &'static str, call: impl FnOnce() -> Result<T>) -> Result<T> {
    // Nothing that the call may have left half-written is read after its error.
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|panic| Err(RewardError::Panicked { method, message: panic_message(&*panic) }))
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    text.unwrap_or("no message").to_owned()
}

/// Replaces the content of `out` with what the model keeps of every view.
pub(super) fn read_frames(model: &dyn RewardModel, frames: &FrameBatch, out: &mut Frames) -> Result<()> {
    match out {
        Frames::Embeddings(values) => {
            *values = guard("embed_frames", || model.embed_frames(frames))?.into_values();
        }
        Frames::Pixels(values) => copy_pixels(frames, values)?,
    }
    let (got, expected) = (out.len(), frames.n_views() * values_per_view(model));
    if got == expected {
        return Ok(());
    }
    Err(RewardError::WrongLength { what: "values of frames", expected, got })
}

fn copy_pixels(frames: &FrameBatch, out: &mut Vec<u8>) -> Result<()> {
    out.clear();
    for part in &frames.parts {
        match part {
            FramePart::Host(frames) => out.extend_from_slice(frames.pixels()),
            FramePart::Device(frames) => {
                return Err(RewardError::OutOfRange {
                    field: "frames".into(),
                    got: format!("{} views on {}", frames.n_views(), frames.gpu().adapter()),
                    expected: "frames on the host".into(),
                });
            }
        }
    }
    Ok(())
}

/// Length of the longest prefix of `rows` in which no env is twice. The rows of a step list the envs in ascending order, those
/// that start their next episode again after the others of their group.
fn n_of_distinct_envs(rows: &[FrameRow]) -> usize {
    let ascends = |pair: &[FrameRow]| pair[0].env_idx < pair[1].env_idx;
    rows.windows(2).position(|pair| !ascends(pair)).map_or(rows.len(), |idx| idx + 1)
}
