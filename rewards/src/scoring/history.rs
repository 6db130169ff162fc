//! The frames of each env that later scores may depend on.

use serde::{Deserialize, Serialize};

use crate::reward_model::{Feature, FrameSelection, Values, Windows};
use crate::scoring::{FrameRow, ScoringPlan};
use crate::{Result, RewardError};

/// The stored frames of every env: `[n_envs, n_stored, frame_len]` values, and 4 bytes per env beside them.
///
/// Which frames an env has follows from the number of its step alone, so nothing has to be cleared when an episode starts.
#[derive(Debug)]
pub(super) struct History {
    plan: ScoringPlan,
    n_stored: usize,
    frame_len: usize,
    frames: Frames,
    /// `[n_envs]`: step of the newest frame; [`NONE`] before the first one.
    newest: Vec<u32>,
}

const NONE: u32 = u32::MAX;

/// Values of frames, of the type that the model keeps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Frames {
    Embeddings(Vec<f32>),
    Pixels(Vec<u8>),
}

/// The history of one env, for snapshots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnvHistory {
    /// The frames that windows are made of, and the control steps between stored ones.
    selection: FrameSelection,
    interval: u32,
    newest: u32,
    frames: Frames,
}

impl Frames {
    pub fn new(feature: Feature, n_values: usize) -> Self {
        match feature {
            Feature::Embedding(_) => Self::Embeddings(vec![0.0; n_values]),
            Feature::Pixels => Self::Pixels(vec![0; n_values]),
        }
    }

    pub fn values(&self) -> Values<'_> {
        match self {
            Self::Embeddings(values) => Values::Embeddings(values),
            Self::Pixels(values) => Values::Pixels(values),
        }
    }

    pub fn len(&self) -> usize {
        match self {
            Self::Embeddings(values) => values.len(),
            Self::Pixels(values) => values.len(),
        }
    }

    /// Copies `n` values; both have the same type.
    fn copy_from(&mut self, first: usize, other: &Self, other_first: usize, n: usize) {
        match (self, other) {
            (Self::Embeddings(own), Self::Embeddings(other)) => {
                own[first..first + n].copy_from_slice(&other[other_first..other_first + n]);
            }
            (Self::Pixels(own), Self::Pixels(other)) => {
                own[first..first + n].copy_from_slice(&other[other_first..other_first + n]);
            }
            (Self::Embeddings(_), Self::Pixels(_)) | (Self::Pixels(_), Self::Embeddings(_)) => {}
        }
    }

    fn copy_within(&mut self, from: usize, to: usize, n: usize) {
        match self {
            Self::Embeddings(values) => values.copy_within(from..from + n, to),
            Self::Pixels(values) => values.copy_within(from..from + n, to),
        }
    }

    fn slice(&self, first: usize, n: usize) -> Self {
        match self {
            Self::Embeddings(values) => Self::Embeddings(values[first..first + n].to_vec()),
            Self::Pixels(values) => Self::Pixels(values[first..first + n].to_vec()),
        }
    }
}

impl History {
    /// An empty history; `frame_len` is the number of values of a frame, over its views.
    ///
    /// # Errors
    /// If it does not fit into memory.
    pub fn new(plan: ScoringPlan, feature: Feature, n_envs: usize, frame_len: usize) -> Result<Self> {
        let n_stored = plan.n_stored();
        let n_values = (n_envs as u64).saturating_mul(n_stored as u64).saturating_mul(frame_len as u64);
        let value_size = if feature == Feature::Pixels { 1 } else { 4 };
        let what = format!("the history of {n_stored} frames of {n_envs} envs");
        sayso_sim::memory::check_fits(&what, n_values.saturating_mul(value_size))?;
        let frames = Frames::new(feature, n_values as usize);
        Ok(Self { plan, n_stored, frame_len, frames, newest: vec![NONE; n_envs] })
    }

    /// Number of envs.
    pub fn n_envs(&self) -> usize {
        self.newest.len()
    }

    /// Whether scores depend on stored frames.
    pub fn is_needed(&self) -> bool {
        0 < self.n_stored
    }

    /// The values of all frames.
    pub fn values(&self) -> Values<'_> {
        self.frames.values()
    }

    /// Stores frame number `idx` of `frames` as that of `row`.
    ///
    /// # Errors
    /// If an earlier frame of the episode that windows need was not stored.
    pub fn push(&mut self, row: FrameRow, frames: &Frames, idx: usize) -> Result<()> {
        let env_idx = row.env_idx as usize;
        self.check_complete(row)?;
        if matches!(self.plan.frames(), FrameSelection::Episode { .. }) {
            self.thin(env_idx, row.n_steps);
        }
        self.newest[env_idx] = row.n_steps;
        let first = (env_idx * self.n_stored + self.place(row.n_steps)) * self.frame_len;
        self.frames.copy_from(first, frames, idx * self.frame_len, self.frame_len);
        Ok(())
    }

    /// Appends the indices of the frames of the window that ends in the newest frame of an env, oldest first.
    pub fn window(&self, env_idx: u32, out: &mut Vec<u32>) {
        let first = env_idx as usize * self.n_stored;
        let n_steps = self.newest[env_idx as usize];
        let n_frames = self.plan.frames().n_frames() as u32;
        let at = |place: usize| (first + place) as u32;
        if let FrameSelection::Episode { .. } = self.plan.frames() {
            let n_present = self.place(n_steps) as u32 + 1;
            out.extend((n_present..n_frames).map(|_| Windows::ABSENT));
            out.extend((0..n_present).map(|place| at(place as usize)));
            return;
        }
        let stride = self.plan.stride();
        out.extend((0..n_frames).rev().map(|age| match n_steps.checked_sub(age * stride) {
            Some(step) => at(self.place(step)),
            None => Windows::ABSENT,
        }));
    }

    /// Where a frame is stored among those of its env.
    fn place(&self, n_steps: u32) -> usize {
        match self.plan.frames() {
            // After the multiples of the stride below it.
            FrameSelection::Episode { .. } => n_steps.div_ceil(self.plan.episode_stride(n_steps)) as usize,
            _ => (n_steps / self.plan.interval()) as usize % self.n_stored,
        }
    }

    /// Keeps only the frames at the stride of a step.
    fn thin(&mut self, env_idx: usize, n_steps: u32) {
        if n_steps == 0 {
            return;
        }
        let before = self.plan.episode_stride(self.newest[env_idx]);
        let ratio = (self.plan.episode_stride(n_steps) / before) as usize;
        if 1 < ratio {
            let first = env_idx * self.n_stored;
            for place in 1..self.n_stored.div_ceil(ratio) {
                let (from, to) = (first + place * ratio, first + place);
                self.frames.copy_within(from * self.frame_len, to * self.frame_len, self.frame_len);
            }
        }
    }

    fn check_complete(&self, row: FrameRow) -> Result<()> {
        let newest = self.newest[row.env_idx as usize];
        let is_complete = match self.plan.frames() {
            _ if row.n_steps == 0 => true,
            _ if newest == NONE => false,
            FrameSelection::Episode { .. } => {
                let stride = self.plan.episode_stride(row.n_steps);
                (row.n_steps.div_ceil(stride) - 1) * stride <= newest && newest < row.n_steps
            }
            _ => newest + self.plan.interval() == row.n_steps,
        };
        if is_complete {
            return Ok(());
        }
        Err(RewardError::MissingFrame { env_idx: row.env_idx, n_steps: row.n_steps })
    }

    /// The history of one env.
    pub fn save(&self, env_idx: usize) -> EnvHistory {
        let n_values = self.n_stored * self.frame_len;
        EnvHistory {
            selection: self.plan.frames(),
            interval: self.plan.interval(),
            newest: self.newest[env_idx],
            frames: self.frames.slice(env_idx * n_values, n_values),
        }
    }

    /// Whether [`Self::load`] accepts the history of an env.
    pub fn accepts(&self, saved: &EnvHistory) -> bool {
        let is_same_plan = saved.selection == self.plan.frames() && saved.interval == self.plan.interval();
        let is_same_type = std::mem::discriminant(&saved.frames) == std::mem::discriminant(&self.frames);
        let has_frames = saved.newest == NONE || saved.newest < 1 << 31;
        is_same_plan && is_same_type && has_frames && saved.frames.len() == self.n_stored * self.frame_len
    }

    /// Restores the history of one env.
    pub fn load(&mut self, env_idx: usize, saved: &EnvHistory) {
        let n_values = self.n_stored * self.frame_len;
        self.newest[env_idx] = saved.newest;
        self.frames.copy_from(env_idx * n_values, &saved.frames, 0, n_values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scoring::RewardSchedule;

    /// The windows of an episode of `n_steps` steps, in which the frame of step `i` has the value `i`.
    fn windows(
        frames: FrameSelection,
        schedule: RewardSchedule,
        every: u32,
        n_steps: u32,
    ) -> Vec<Vec<Option<u32>>> {
        let plan = ScoringPlan::new(frames, schedule, every).expect("a plan");
        let mut history = History::new(plan, Feature::Embedding(1), 2, 1).expect("a history");
        let mut windows = Vec::new();
        // The second episode must not see the frames of the first.
        for episode in 0..2 {
            windows.clear();
            for step in 0..=n_steps {
                let is_last = step == n_steps;
                if !plan.is_embedded(step, is_last) {
                    continue;
                }
                let row = FrameRow { env_idx: 1, n_steps: step, is_last, text_idx: 0 };
                let value = (step + 1000 * episode) as f32;
                history.push(row, &Frames::Embeddings(vec![value]), 0).expect("the frames are complete");
                if plan.is_scored(step, is_last) {
                    let mut indices = Vec::new();
                    history.window(1, &mut indices);
                    let Values::Embeddings(values) = history.values() else { panic!("embeddings") };
                    let value = |&idx: &u32| {
                        (idx != Windows::ABSENT).then(|| values[idx as usize] as u32 - 1000 * episode)
                    };
                    windows.push(indices.iter().map(value).collect());
                }
            }
        }
        windows
    }

    #[test]
    fn windows_hold_the_frames_of_their_episode_and_no_others() {
        let window = FrameSelection::Window { n_frames: 3, stride: 2 };
        let expected =
            [vec![None, None, Some(1)], vec![None, Some(0), Some(2)], vec![None, Some(1), Some(3)]];
        let got = windows(window, RewardSchedule::HoldLast, 1, 6);
        assert_eq!(got[..3], expected);
        assert_eq!(got[5], [Some(2), Some(4), Some(6)]);
        assert_eq!(windows(window, RewardSchedule::HoldLast, 3, 6)[1], [Some(2), Some(4), Some(6)]);
        assert_eq!(windows(window, RewardSchedule::EpisodeEnd, 1, 7), [[Some(3), Some(5), Some(7)]]);
        let pair = FrameSelection::Pair { lag: 5 };
        assert_eq!(windows(pair, RewardSchedule::Difference, 5, 7), [[None, Some(0)], [Some(0), Some(5)]]);
    }

    #[test]
    fn long_episodes_are_thinned_evenly() {
        let episode = FrameSelection::Episode { n_frames: 4 };
        let at_end = |n_steps| windows(episode, RewardSchedule::EpisodeEnd, 1, n_steps).remove(0);
        assert_eq!(at_end(2), [None, Some(0), Some(1), Some(2)]);
        assert_eq!(at_end(3), [Some(0), Some(1), Some(2), Some(3)]);
        assert_eq!(at_end(4), [None, Some(0), Some(2), Some(4)]);
        assert_eq!(at_end(7), [None, Some(0), Some(4), Some(7)]);
        assert_eq!(at_end(12), [Some(0), Some(4), Some(8), Some(12)]);
        let every_step = windows(episode, RewardSchedule::HoldLast, 1, 12);
        assert_eq!(
            every_step[11],
            [Some(0), Some(4), Some(8), Some(12)],
            "the same with a score in every step"
        );
        assert_eq!(every_step[8], [Some(0), Some(4), Some(8), Some(9)]);
    }

    #[test]
    fn a_missing_frame_is_an_error() {
        let window = FrameSelection::Window { n_frames: 3, stride: 1 };
        let plan = ScoringPlan::new(window, RewardSchedule::HoldLast, 1).expect("a plan");
        let mut history = History::new(plan, Feature::Embedding(1), 1, 1).expect("a history");
        let frame = Frames::Embeddings(vec![0.0]);
        let mut push = |n_steps| history.push(FrameRow { n_steps, ..FrameRow::default() }, &frame, 0).is_ok();
        assert!(!push(3), "an episode begins with its first frame");
        assert!(push(0) && push(1) && !push(3) && push(2) && push(0));
    }

    #[test]
    fn a_history_is_restored() {
        let plan =
            ScoringPlan::new(FrameSelection::Pair { lag: 1 }, RewardSchedule::HoldLast, 1).expect("a plan");
        let history = || History::new(plan, Feature::Pixels, 2, 2).expect("a history");
        let (mut from, mut to) = (history(), history());
        for n_steps in 0..3 {
            let row = FrameRow { env_idx: 1, n_steps, ..FrameRow::default() };
            from.push(row, &Frames::Pixels(vec![n_steps as u8; 2]), 0).expect("complete");
        }
        let saved = from.save(1);
        assert!(to.accepts(&saved));
        to.load(0, &saved);
        let mut indices = Vec::new();
        to.window(0, &mut indices);
        let Values::Pixels(values) = to.values() else { panic!("pixels") };
        let pixels: Vec<u8> = indices.iter().map(|&idx| values[2 * idx as usize]).collect();
        assert_eq!(pixels, [1, 2]);
        let other =
            ScoringPlan::new(FrameSelection::Pair { lag: 2 }, RewardSchedule::HoldLast, 1).expect("a plan");
        assert!(!History::new(other, Feature::Pixels, 2, 2).expect("a history").accepts(&saved));
    }
}
