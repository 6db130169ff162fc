//! Which steps of an episode are rendered and scored.

use crate::reward_model::FrameSelection;
use crate::scoring::RewardSchedule;
use crate::{Result, RewardError};

/// Which steps of an episode are rendered and embedded, and which are scored. It depends on the number of a step within its
/// episode alone, not on the history of the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScoringPlan {
    frames: FrameSelection,
    schedule: RewardSchedule,
    every_n_steps: u32,
}

/// A frame of one env: the state after a control step of an episode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameRow {
    /// Index of the env.
    pub env_idx: u32,
    /// Control steps since the start of the episode; 0 is the first frame, before any action.
    pub n_steps: u32,
    /// The episode ends with this frame.
    pub is_last: bool,
    /// Index of the env's text.
    pub text_idx: u32,
}

impl ScoringPlan {
    /// A plan for a model that looks at `frames`, scored every `every_n_steps` control steps of an episode.
    ///
    /// # Errors
    /// If a number is out of range, or the schedule does not use the interval.
    pub fn new(frames: FrameSelection, schedule: RewardSchedule, every_n_steps: u32) -> Result<Self> {
        frames.validate()?;
        let out_of_range = |expected: &str| {
            let (field, got) = ("reward.every_n_steps".to_owned(), every_n_steps.to_string());
            Err(RewardError::OutOfRange { field, got, expected: expected.to_owned() })
        };
        if every_n_steps == 0 {
            return out_of_range("1 or more");
        }
        if schedule == RewardSchedule::EpisodeEnd && every_n_steps != 1 {
            return out_of_range("1, because reward.schedule = \"episode_end\" scores the last step alone");
        }
        Ok(Self { frames, schedule, every_n_steps })
    }

    /// The frames that a score depends on.
    pub fn frames(self) -> FrameSelection {
        self.frames
    }

    /// How scores become rewards.
    pub fn schedule(self) -> RewardSchedule {
        self.schedule
    }

    /// Whether a frame is scored.
    pub fn is_scored(self, n_steps: u32, is_last: bool) -> bool {
        match self.schedule {
            RewardSchedule::EpisodeEnd => is_last && 0 < n_steps,
            _ if n_steps == 0 => self.schedule.scores_first_frame(),
            _ => n_steps.is_multiple_of(self.every_n_steps),
        }
    }

    /// Whether a frame is rendered and embedded: it is scored, or a later score may depend on it.
    pub fn is_embedded(self, n_steps: u32, is_last: bool) -> bool {
        self.is_scored(n_steps, is_last) || (!is_last && self.is_kept(n_steps))
    }

    /// Whether the first frame of an episode is embedded.
    pub fn embeds_first_frame(self) -> bool {
        self.is_embedded(0, false)
    }

    /// Whether a later score may depend on a frame.
    pub(super) fn is_kept(self, n_steps: u32) -> bool {
        match self.frames {
            FrameSelection::Last => false,
            FrameSelection::Window { .. } | FrameSelection::Pair { .. } => {
                n_steps.is_multiple_of(self.interval())
            }
            // The windows of later steps are at least as sparse as that of the next one.
            FrameSelection::Episode { .. } => n_steps.is_multiple_of(self.episode_stride(n_steps + 1)),
        }
    }

    /// Control steps between the frames of a window; 1 if it is not constant.
    pub(super) fn stride(self) -> u32 {
        match self.frames {
            FrameSelection::Window { stride, .. } => stride,
            FrameSelection::Pair { lag } => lag,
            FrameSelection::Last | FrameSelection::Episode { .. } => 1,
        }
    }

    /// Control steps between the frames that windows are made of: the greatest common divisor of the interval of scores and
    /// the stride of windows, as windows end in scored steps.
    pub(super) fn interval(self) -> u32 {
        match self.schedule {
            // An episode may end in any step.
            RewardSchedule::EpisodeEnd => 1,
            _ => gcd(self.every_n_steps, self.stride()),
        }
    }

    /// Control steps between the kept frames of an episode in its step `n_steps`: the least power of two at which they and the
    /// frame of the step fit.
    pub(super) fn episode_stride(self, n_steps: u32) -> u32 {
        let most = self.frames.n_frames() as u32;
        let mut stride = 1;
        // The multiples below `n_steps`, 0 among them, and the frame of the step.
        while most < n_steps.div_ceil(stride) + 1 {
            stride *= 2;
        }
        stride
    }

    /// Number of frames of an env that are stored.
    pub(super) fn n_stored(self) -> usize {
        match self.frames {
            FrameSelection::Last => 0,
            FrameSelection::Window { .. } | FrameSelection::Pair { .. } => {
                (self.frames.n_frames() - 1) * (self.stride() / self.interval()) as usize + 1
            }
            FrameSelection::Episode { n_frames } => n_frames as usize,
        }
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embedded(frames: FrameSelection, schedule: RewardSchedule, every: u32, n_steps: u32) -> Vec<u32> {
        let plan = ScoringPlan::new(frames, schedule, every).expect("a plan");
        (0..=n_steps).filter(|&step| plan.is_embedded(step, step == n_steps)).collect()
    }

    #[test]
    fn only_frames_that_a_score_depends_on_are_embedded() {
        use FrameSelection::{Episode, Last, Pair, Window};
        use RewardSchedule::{Difference, EpisodeEnd, HoldLast};
        assert_eq!(embedded(Last, HoldLast, 3, 8), [3, 6]);
        assert_eq!(embedded(Last, Difference, 3, 8), [0, 3, 6]);
        assert_eq!(embedded(Last, EpisodeEnd, 1, 8), [8]);
        assert_eq!(embedded(Window { n_frames: 3, stride: 4 }, HoldLast, 6, 9), [0, 2, 4, 6, 8]);
        assert_eq!(embedded(Pair { lag: 4 }, HoldLast, 4, 9), [0, 4, 8]);
        assert_eq!(embedded(Pair { lag: 2 }, EpisodeEnd, 1, 3), [0, 1, 2, 3]);
        assert_eq!(embedded(Episode { n_frames: 4 }, EpisodeEnd, 1, 5), [0, 1, 2, 4, 5]);
    }

    #[test]
    fn the_history_is_no_longer_than_its_windows_when_stride_and_interval_agree() {
        let stored = |stride, every| {
            let frames = FrameSelection::Window { n_frames: 5, stride };
            ScoringPlan::new(frames, RewardSchedule::HoldLast, every).expect("a plan").n_stored()
        };
        assert_eq!([stored(1, 1), stored(4, 4), stored(4, 8), stored(4, 1)], [5, 5, 5, 17]);
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        let error = |frames, schedule, every| {
            ScoringPlan::new(frames, schedule, every).map_err(|error| error.to_string()).expect_err("invalid")
        };
        let window = FrameSelection::Window { n_frames: 0, stride: 1 };
        assert!(error(window, RewardSchedule::HoldLast, 1).starts_with("reward.n_frames = 0"));
        let pair = FrameSelection::Pair { lag: 0 };
        assert!(error(pair, RewardSchedule::HoldLast, 1).starts_with("reward.lag = 0"));
        let last = FrameSelection::Last;
        assert!(error(last, RewardSchedule::HoldLast, 0).starts_with("reward.every_n_steps = 0"));
        assert!(error(last, RewardSchedule::EpisodeEnd, 2).contains("episode_end"));
    }
}
