//! Rewards from frames: the scorer, and the worker thread that runs it while the envs step.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use sayso_rewards::FrameReward;
use sayso_sim::FrameBatch;
use serde::{Deserialize, Serialize};

use crate::{AgentError, Result};

/// Scores frames. It receives nothing else, so no ground truth can reach a reward.
pub trait FrameScorer: Send {
    /// Scores one step. `frames` holds `n_envs * n_reward_cameras` views, env-major; `scores` receives `[n_envs]`
    /// values. The result must not depend on earlier calls.
    ///
    /// # Errors
    /// If the frames cannot be scored; training stops with this error.
    fn score(&mut self, frames: &FrameBatch, scores: &mut Vec<f32>) -> Result<()>;
}

/// Scores frames with a reward model.
pub struct RewardScorer {
    /// The reward model, with its prompts.
    pub reward: Arc<dyn FrameReward>,
    /// Number of reward cameras per env; their scores are averaged.
    pub n_views_per_env: usize,
}

impl FrameScorer for RewardScorer {
    fn score(&mut self, frames: &FrameBatch, scores: &mut Vec<f32>) -> Result<()> {
        Ok(self.reward.score(frames, self.n_views_per_env, scores)?)
    }
}

/// How scores become the rewards of steps. The env's configuration sets how often frames are rendered; steps without
/// frames have no score of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RewardSchedule {
    /// A step's reward is the latest score of its episode; 0 before the first one.
    #[default]
    HoldLast,
    /// The reward of an episode's last step is its score; every other reward is 0.
    EpisodeEnd,
}

/// A scorer with its reward schedule.
pub struct ScoredReward {
    /// Scores the frames of a step.
    pub scorer: Box<dyn FrameScorer>,
    /// How scores become rewards.
    pub schedule: RewardSchedule,
}

/// Number of frame batches that may wait for their scores; stepping blocks while all of them do.
const N_IN_FLIGHT: usize = 3;

/// A worker thread that runs a scorer. Scores are returned in the order of the frames; buffers are reused.
#[derive(Debug)]
pub struct RewardWorker {
    schedule: RewardSchedule,
    /// `None` once the thread has been asked to end.
    to_score: Option<Sender<FrameBatch>>,
    scored: Receiver<Scored>,
    spare: Vec<FrameBatch>,
    n_waiting: usize,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Scored {
    frames: FrameBatch,
    scores: Result<Vec<f32>>,
}

impl RewardWorker {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn spawn(reward: ScoredReward) -> Result<Self> {
        let ScoredReward { mut scorer, schedule } = reward;
        // The channel of results has room for every batch in flight, so that the worker never blocks on it.
        let (to_score, frames_in) = bounded::<FrameBatch>(N_IN_FLIGHT);
        let (results, scored) = bounded(N_IN_FLIGHT);
        let work = move || {
            for mut frames in frames_in {
                let mut scores = Vec::new();
                let scores = scorer.score(&frames, &mut scores).map(|()| scores);
                frames.release();
                if results.send(Scored { frames, scores }).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("sayso-reward".to_owned())
            .spawn(work)
            .map_err(|error| AgentError::ScorerStopped(format!("its thread cannot be started: {error}")))?;
        let spare = (0..N_IN_FLIGHT).map(|_| FrameBatch::default()).collect();
        Ok(Self { schedule, to_score: Some(to_score), scored, spare, n_waiting: 0, thread: Some(thread) })
    }

    /// How scores become rewards.
    pub fn schedule(&self) -> RewardSchedule {
        self.schedule
    }

    /// A buffer to swap with the env's frames. If all are in flight, this waits for the oldest score and passes it to
    /// `on_score`.
    ///
    /// # Errors
    /// If the scorer failed.
    pub fn buffer(&mut self, on_score: &mut dyn FnMut(Vec<f32>) -> Result<()>) -> Result<FrameBatch> {
        if self.spare.is_empty() {
            on_score(self.receive()?)?;
        }
        Ok(self.spare.pop().unwrap_or_default())
    }

    /// Returns a buffer from [`Self::buffer`] whose frames are not to be scored.
    pub fn return_buffer(&mut self, mut frames: FrameBatch) {
        frames.release();
        self.spare.push(frames);
    }

    /// Sends frames to be scored.
    ///
    /// # Errors
    /// If the thread ended.
    pub fn send(&mut self, frames: FrameBatch) -> Result<()> {
        let sent = self.to_score.as_ref().is_some_and(|to_score| to_score.send(frames).is_ok());
        if !sent {
            return Err(self.reason_of_end());
        }
        self.n_waiting += 1;
        Ok(())
    }

    /// Waits for every outstanding score, oldest first.
    ///
    /// # Errors
    /// If the scorer failed.
    pub fn drain(&mut self, on_score: &mut dyn FnMut(Vec<f32>) -> Result<()>) -> Result<()> {
        while 0 < self.n_waiting {
            on_score(self.receive()?)?;
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<Vec<f32>> {
        let Ok(Scored { frames, scores }) = self.scored.recv() else {
            return Err(self.reason_of_end());
        };
        self.n_waiting -= 1;
        self.spare.push(frames);
        scores
    }

    fn reason_of_end(&mut self) -> AgentError {
        self.to_score = None;
        let reason = match self.thread.take().map(JoinHandle::join) {
            Some(Err(panic)) => match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
                (Some(message), _) => format!("it panicked: {message}"),
                (_, Some(message)) => format!("it panicked: {message}"),
                _ => "it panicked".to_owned(),
            },
            Some(Ok(())) | None => "its thread has ended".to_owned(),
        };
        AgentError::ScorerStopped(reason)
    }
}

impl Drop for RewardWorker {
    fn drop(&mut self) {
        self.to_score = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the scorer was already reported to the caller that waited for its score.
            let _ = thread.join();
        }
    }
}
