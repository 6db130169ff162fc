//! Rewards from frames: the judge, and the thread that it works on while the envs step on.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use sayso_rewards::FrameReward;
use sayso_sim::FrameBatch;
use serde::{Deserialize, Serialize};

use crate::{AgentError, Result};

/// A judge of frames; it sees nothing else, so that no ground truth can reach a reward.
pub trait FrameScorer: Send {
    /// Scores a step. `frames` holds `n_envs * n_judge_cameras` views, env-major; `rewards` becomes
    /// `[n_envs]`. What one call answers must not depend on earlier calls.
    ///
    /// # Errors
    /// If the frames cannot be scored; training stops with this error.
    fn score(&mut self, frames: &FrameBatch, rewards: &mut Vec<f32>) -> Result<()>;
}

/// A judge that is a reward model.
pub struct RewardScorer {
    /// The model, with its sentence.
    pub reward: Arc<dyn FrameReward>,
    /// Cameras of an env; their scores are averaged.
    pub n_views_per_env: usize,
}

impl FrameScorer for RewardScorer {
    fn score(&mut self, frames: &FrameBatch, rewards: &mut Vec<f32>) -> Result<()> {
        Ok(self.reward.score(frames, self.n_views_per_env, rewards)?)
    }
}

/// How a score becomes the rewards of steps. How often frames are drawn is the env's configuration; steps without
/// frames have no score of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoreUse {
    /// A score is the reward of its step and of those after it until the next score; 0 before an episode's first one.
    #[default]
    Held,
    /// The last step of an episode earns its score, and every other step 0.
    EpisodeEnd,
}

/// Frames that wait for a judge at once; the envs pause when all are waiting.
const N_IN_FLIGHT: usize = 3;

/// A judge at work on a thread of its own. Frames go in and scores come out in the same order; the buffers go round.
#[derive(Debug)]
pub struct ScoringThread {
    /// `None` once the thread has been told to end.
    to_score: Option<Sender<FrameBatch>>,
    scored: Receiver<Scored>,
    spare: Vec<FrameBatch>,
    n_waiting: usize,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Scored {
    frames: FrameBatch,
    rewards: Result<Vec<f32>>,
}

impl ScoringThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system refuses another thread.
    pub fn spawn(mut scorer: Box<dyn FrameScorer>) -> Result<Self> {
        // The answers have room for everything in flight, so that the judge never waits for its reader.
        let (to_score, frames_in) = bounded::<FrameBatch>(N_IN_FLIGHT);
        let (answers, scored) = bounded(N_IN_FLIGHT);
        let work = move || {
            for mut frames in frames_in {
                let mut rewards = Vec::new();
                let rewards = scorer.score(&frames, &mut rewards).map(|()| rewards);
                frames.release();
                if answers.send(Scored { frames, rewards }).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("sayso-scorer".to_owned())
            .spawn(work)
            .map_err(|error| AgentError::ScorerStopped(format!("no thread for it: {error}")))?;
        let spare = (0..N_IN_FLIGHT).map(|_| FrameBatch::default()).collect();
        Ok(Self { to_score: Some(to_score), scored, spare, n_waiting: 0, thread: Some(thread) })
    }

    /// A buffer to exchange with the env's frames. If all are in flight this waits for the oldest score, which goes to
    /// `on_score`.
    ///
    /// # Errors
    /// If the judge failed.
    pub fn buffer(&mut self, on_score: &mut dyn FnMut(Vec<f32>) -> Result<()>) -> Result<FrameBatch> {
        if self.spare.is_empty() {
            on_score(self.receive()?)?;
        }
        Ok(self.spare.pop().unwrap_or_default())
    }

    /// Gives back a buffer from [`Self::buffer`] that the env did not fill.
    pub fn return_buffer(&mut self, mut frames: FrameBatch) {
        frames.release();
        self.spare.push(frames);
    }

    /// Hands frames to the judge.
    ///
    /// # Errors
    /// If the judge's thread ended.
    pub fn send(&mut self, frames: FrameBatch) -> Result<()> {
        let sent = self.to_score.as_ref().is_some_and(|to_score| to_score.send(frames).is_ok());
        if !sent {
            return Err(self.reason_of_end());
        }
        self.n_waiting += 1;
        Ok(())
    }

    /// Waits for every score that is still missing, oldest first.
    ///
    /// # Errors
    /// If the judge failed.
    pub fn drain(&mut self, on_score: &mut dyn FnMut(Vec<f32>) -> Result<()>) -> Result<()> {
        while 0 < self.n_waiting {
            on_score(self.receive()?)?;
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<Vec<f32>> {
        let Ok(Scored { frames, rewards }) = self.scored.recv() else {
            return Err(self.reason_of_end());
        };
        self.n_waiting -= 1;
        self.spare.push(frames);
        rewards
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

impl Drop for ScoringThread {
    fn drop(&mut self) {
        self.to_score = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the judge was reported where its score was missed.
            let _ = thread.join();
        }
    }
}
