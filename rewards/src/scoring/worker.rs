//! The worker thread that scores frames while the envs step.

use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::scoring::history::EnvHistory;
use crate::scoring::{RewardFrames, Score, Scorer, ScoringPlan};
use crate::{Result, RewardError};

/// Number of frame batches that may wait to be embedded; stepping blocks while all of them do.
const N_IN_FLIGHT: usize = 3;

/// A worker thread that runs a [`Scorer`]. Frames are embedded in the order in which they are sent; scores come back with the
/// tags of their steps, in any order. Buffers are reused.
#[derive(Debug)]
pub struct RewardWorker {
    plan: ScoringPlan,
    /// `None` once the thread has been asked to end.
    orders: Option<Sender<Order>>,
    embedded: Receiver<Result<Step>>,
    /// Scores that came after their step was embedded.
    late: Receiver<(u64, Vec<Score>)>,
    finished: Vec<(u64, Vec<Score>)>,
    spare_frames: Vec<RewardFrames>,
    spare_scores: Vec<Vec<Score>>,
    n_in_flight: usize,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Order {
    Score(Step),
    /// Send all scores, then the state.
    Flush {
        reply: Sender<Result<State>>,
        with_histories: bool,
    },
}

/// The frames of a step, and then its scores.
#[derive(Debug)]
struct Step {
    tag: u64,
    frames: RewardFrames,
    scores: Vec<Score>,
}

/// The state of the scorer after every frame that was sent.
#[derive(Debug, Default)]
struct State {
    histories: Vec<Option<EnvHistory>>,
    n_skipped: u64,
}

impl RewardWorker {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn spawn(scorer: Scorer) -> Result<Self> {
        let plan = scorer.plan();
        let (orders, to_do) = bounded(N_IN_FLIGHT + 1);
        let (to_return, embedded) = bounded(N_IN_FLIGHT);
        let (to_report, late) = unbounded();
        let thread = std::thread::Builder::new()
            .name("sayso-reward".to_owned())
            .spawn(move || work(scorer, &to_do, &to_return, &to_report))
            .map_err(|error| RewardError::WorkerStopped(format!("its thread cannot be started: {error}")))?;
        Ok(Self {
            plan,
            orders: Some(orders),
            embedded,
            late,
            finished: Vec::new(),
            spare_frames: (0..N_IN_FLIGHT).map(|_| RewardFrames::default()).collect(),
            spare_scores: Vec::new(),
            n_in_flight: 0,
            thread: Some(thread),
        })
    }

    /// Which frames are embedded and scored, and how scores become rewards.
    pub fn plan(&self) -> ScoringPlan {
        self.plan
    }

    /// A buffer to swap with the env's frames. If all are in flight, this waits for the oldest one.
    ///
    /// # Errors
    /// If the scorer failed.
    pub fn buffer(&mut self) -> Result<RewardFrames> {
        if self.spare_frames.is_empty() {
            self.receive()?;
        }
        Ok(self.spare_frames.pop().unwrap_or_default())
    }

    /// Returns a buffer from [`Self::buffer`] whose frames are not to be scored.
    pub fn return_buffer(&mut self, mut frames: RewardFrames) {
        frames.release();
        self.spare_frames.push(frames);
    }

    /// Sends the frames of a step to be scored.
    ///
    /// # Errors
    /// If the scorer failed.
    pub fn send(&mut self, tag: u64, frames: RewardFrames) -> Result<()> {
        let scores = self.spare_scores.pop().unwrap_or_default();
        self.order(Order::Score(Step { tag, frames, scores }))?;
        self.n_in_flight += 1;
        Ok(())
    }

    /// Waits for every outstanding score, and passes those since the last call to `on_scores`, with the tags of their steps.
    /// Returns the number of scores that were skipped so far ([`crate::OnFailure::Skip`]).
    ///
    /// # Errors
    /// If the scorer failed.
    pub fn drain(&mut self, on_scores: &mut dyn FnMut(u64, &[Score])) -> Result<u64> {
        let State { n_skipped, .. } = self.flush(false)?;
        for (tag, mut scores) in self.finished.drain(..) {
            on_scores(tag, &scores);
            scores.clear();
            self.spare_scores.push(scores);
        }
        for (tag, scores) in self.late.try_iter() {
            on_scores(tag, &scores);
        }
        Ok(n_skipped)
    }

    /// The histories of all envs, after every frame that was sent; `None` for each if scores depend on no earlier frame.
    ///
    /// # Errors
    /// If the scorer failed.
    pub fn save_histories(&mut self) -> Result<Vec<Option<EnvHistory>>> {
        Ok(self.flush(true)?.histories)
    }

    fn flush(&mut self, with_histories: bool) -> Result<State> {
        let (reply, answer) = bounded(1);
        self.order(Order::Flush { reply, with_histories })?;
        while 0 < self.n_in_flight {
            self.receive()?;
        }
        match answer.recv() {
            Ok(state) => state,
            Err(_) => Err(self.reason_of_end()),
        }
    }

    /// Waits until the oldest step in flight was embedded.
    fn receive(&mut self) -> Result<()> {
        let Ok(outcome) = self.embedded.recv() else { return Err(self.reason_of_end()) };
        self.n_in_flight -= 1;
        let Step { tag, frames, scores } = outcome?;
        self.spare_frames.push(frames);
        self.finished.push((tag, scores));
        Ok(())
    }

    fn order(&mut self, order: Order) -> Result<()> {
        let is_sent = self.orders.as_ref().is_some_and(|orders| orders.send(order).is_ok());
        if is_sent { Ok(()) } else { Err(self.reason_of_end()) }
    }

    /// The error of a thread that has ended: that of the scorer, if it is still to be received.
    fn reason_of_end(&mut self) -> RewardError {
        let own = self.embedded.try_iter().find_map(Result::err);
        own.unwrap_or_else(|| RewardError::WorkerStopped("its thread has ended".to_owned()))
    }
}

/// Scores until there are no further orders, or an error was reported.
fn work(
    mut scorer: Scorer,
    to_do: &Receiver<Order>,
    to_return: &Sender<Result<Step>>,
    late: &Sender<(u64, Vec<Score>)>,
) {
    let report = |scorer: &mut Scorer| {
        for finished in scorer.take_finished() {
            // Nobody waits for them if the receiver is gone.
            let _ = late.send(finished);
        }
    };
    for order in to_do {
        match order {
            Order::Score(mut step) => {
                let mut outcome = scorer.submit(step.tag, &step.frames, &mut step.scores);
                while outcome.is_ok() && scorer.is_busy() {
                    outcome = scorer.wait();
                }
                report(&mut scorer);
                step.frames.release();
                let is_over = outcome.is_err();
                if to_return.send(outcome.map(|()| step)).is_err() || is_over {
                    return;
                }
            }
            Order::Flush { reply, with_histories } => {
                let mut outcome = Ok(());
                while outcome.is_ok() && scorer.is_waiting() {
                    outcome = scorer.wait();
                }
                report(&mut scorer);
                let n_envs = if with_histories { scorer.n_envs() } else { 0 };
                let histories = || (0..n_envs).map(|env_idx| scorer.save_history(env_idx)).collect();
                let state = outcome.map(|()| State { histories: histories(), n_skipped: scorer.n_skipped() });
                let is_over = state.is_err();
                if reply.send(state).is_err() || is_over {
                    return;
                }
            }
        }
    }
}

impl Drop for RewardWorker {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // It cannot panic: panics of the model are errors.
            let _ = thread.join();
        }
    }
}
